// Which region is at a point: a grid of square cells, each with the regions that reach into it.

const MOST_CELLS_A_SIDE = 1024;

class RegionGrid {
  constructor(mesh) {
    this.mesh = mesh;
    this.side = Math.min(MOST_CELLS_A_SIDE, Math.ceil(Math.sqrt(mesh.nRegions)));
    const counts = new Uint32Array(this.side * this.side);
    for (let region = 0; region < mesh.nRegions; region++) {
      this.#visit(region, (cell) => counts[cell]++);
    }
    this.starts = startsOf(counts);
    this.regions = new Uint32Array(this.starts[counts.length]);
    const places = this.starts.slice();
    for (let region = 0; region < mesh.nRegions; region++) {
      this.#visit(region, (cell) => (this.regions[places[cell]++] = region));
    }
  }

  /** The region that holds a point, -1 outside: of those near it the one where it is deepest. */
  find(x, y) {
    const cell = this.#index(y) * this.side + this.#index(x);
    let found = -1;
    let deepest = -1e-6;
    for (let i = this.starts[cell]; i < this.starts[cell + 1]; i++) {
      const depth = this.mesh.depth(this.regions[i], x, y);
      if (depth > deepest) [found, deepest] = [this.regions[i], depth];
    }
    return found;
  }

  #index(coordinate) {
    const index = Math.floor(((coordinate + 1) / 2) * this.side);
    return Math.max(0, Math.min(this.side - 1, index));
  }

  /** Call `action` with each cell that a region reaches into: row by row, the cells between the
   * ends of what the row cuts out of the polygon. So slivers do not fill whole boxes. */
  #visit(region, action) {
    const points = this.mesh.polygon(region);
    let [lowest, highest] = [Infinity, -Infinity];
    for (let i = 1; i < points.length; i += 2) {
      lowest = Math.min(lowest, points[i]);
      highest = Math.max(highest, points[i]);
    }
    const lastRow = this.#index(highest);
    for (let row = this.#index(lowest); row <= lastRow; row++) {
      const bottom = row === 0 ? -Infinity : (2 * row) / this.side - 1;
      const top = row === this.side - 1 ? Infinity : (2 * (row + 1)) / this.side - 1;
      const [from, to] = spanWithin(points, bottom, top);
      const last = this.#index(to);
      for (let column = this.#index(from); column <= last; column++) {
        action(row * this.side + column);
      }
    }
  }
}

/** The least and the greatest x of a polygon's outline between two heights. */
function spanWithin(points, bottom, top) {
  let [least, greatest] = [Infinity, -Infinity];
  const n = points.length;
  for (let i = 0; i < n; i += 2) {
    let [x0, y0, x1, y1] = [points[i], points[i + 1], points[(i + 2) % n], points[(i + 3) % n]];
    if (y0 > y1) [x0, y0, x1, y1] = [x1, y1, x0, y0];
    if (y1 < bottom || y0 > top) continue;
    const slope = y1 > y0 ? (x1 - x0) / (y1 - y0) : 0;
    const from = y0 < bottom ? x0 + slope * (bottom - y0) : x0;
    const to = y1 > top ? x0 + slope * (top - y0) : x1;
    least = Math.min(least, from, to);
    greatest = Math.max(greatest, from, to);
  }
  return [least, greatest];
}
