// The partition: loops of regions, sides of edges, and what is asked of a region.

class Mesh {
  constructor(header, arrays) {
    Object.assign(this, arrays);
    this.layers = header.layers;
    this.outputNumbers = header.outputs;
    this.nRegions = arrays.areas.length;
    this.nEdges = arrays.edges.length / 2;
    this.offsets = startsOf(arrays.sides);
    this.flipStarts = startsOf(arrays.flipCounts);
    [this.left, this.right] = this.#sidesOfEdges();
  }

  /** The regions left and right of each edge; -1 outside the slice. */
  #sidesOfEdges() {
    const sides = [new Int32Array(this.nEdges).fill(-1), new Int32Array(this.nEdges).fill(-1)];
    for (let region = 0; region < this.nRegions; region++) {
      for (let k = this.offsets[region]; k < this.offsets[region + 1]; k++) {
        const halfedge = this.halfedges[k];
        sides[halfedge & 1][halfedge >>> 1] = region;
      }
    }
    return sides;
  }

  /** The vertex where the k-th halfedge begins. */
  corner(k) {
    const halfedge = this.halfedges[k];
    return this.edges[2 * (halfedge >>> 1) + (halfedge & 1)];
  }

  /** Corners of a region, counter-clockwise: [x0, y0, x1, y1, …]. */
  polygon(region) {
    const points = [];
    for (let k = this.offsets[region]; k < this.offsets[region + 1]; k++) {
      const vertex = this.corner(k);
      points.push(this.vertices[2 * vertex], this.vertices[2 * vertex + 1]);
    }
    return points;
  }

  /** How deep a point is inside a region: its distance to the nearest side, negative outside. */
  depth(region, x, y) {
    let least = Infinity;
    const stop = this.offsets[region + 1];
    let from = this.corner(stop - 1);
    for (let k = this.offsets[region]; k < stop; k++) {
      const to = this.corner(k);
      const x0 = this.vertices[2 * from];
      const y0 = this.vertices[2 * from + 1];
      const dx = this.vertices[2 * to] - x0;
      const dy = this.vertices[2 * to + 1] - y0;
      const length = Math.hypot(dx, dy);
      // Corners that float32 does not tell apart have no side between them.
      if (length > 0) least = Math.min(least, (dx * (y - y0) - dy * (x - x0)) / length);
      from = to;
    }
    return least < Infinity ? least : -Infinity;
  }

  /** Outputs at a point of a region, where they are affine: from the three corners of the triangle
   * of its fan that holds the point, or is the nearest. */
  outputsAt(region, x, y) {
    const n = this.outputNumbers.length;
    const first = this.offsets[region];
    const a = this.corner(first);
    let best = null;
    let bestLeast = -Infinity;
    for (let k = first + 1; k + 1 < this.offsets[region + 1]; k++) {
      const b = this.corner(k);
      const c = this.corner(k + 1);
      const weights = this.#barycentric(a, b, c, x, y);
      const least = Math.min(...weights);
      if (least > bestLeast) [best, bestLeast] = [{ corners: [a, b, c], weights }, least];
    }
    if (!best) best = { corners: [a], weights: [1] };
    const values = new Float64Array(n);
    best.corners.forEach((corner, i) => {
      for (let j = 0; j < n; j++) values[j] += best.weights[i] * this.outputs[n * corner + j];
    });
    return values;
  }

  #barycentric(a, b, c, x, y) {
    const v = this.vertices;
    const [ax, ay] = [v[2 * a], v[2 * a + 1]];
    const [bx, by] = [v[2 * b] - ax, v[2 * b + 1] - ay];
    const [cx, cy] = [v[2 * c] - ax, v[2 * c + 1] - ay];
    const area = bx * cy - by * cx;
    if (area <= 0) return [-Infinity, 0, 0];
    const toB = ((x - ax) * cy - (y - ay) * cx) / area;
    const toC = (bx * (y - ay) - by * (x - ax)) / area;
    return [1 - toB - toC, toB, toC];
  }

  /** What lies across each side: the neighbour (-1 outside), and the units that change. */
  neighbours(region) {
    const found = [];
    for (let k = this.offsets[region]; k < this.offsets[region + 1]; k++) {
      const edge = this.halfedges[k] >>> 1;
      const isLeft = !(this.halfedges[k] & 1);
      const flips = [];
      for (let f = this.flipStarts[edge]; f < this.flipStarts[edge + 1]; f++) {
        const step = isLeft ? this.flipSteps[f] : -this.flipSteps[f];
        flips.push({ layer: this.flipLayers[f], unit: this.flipUnits[f], step });
      }
      found.push({ edge, region: (isLeft ? this.right : this.left)[edge], flips });
    }
    return found;
  }
}

/** Where the parts of a list begin, from how long they are; one more for the end. */
function startsOf(counts) {
  const starts = new Uint32Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) starts[i + 1] = starts[i] + counts[i];
  return starts;
}
