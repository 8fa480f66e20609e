// What is drawn, sorted by the part of the slice where it is.

/** The slice in square parts, row by row. */
class Parts {
  constructor(nRegions) {
    const side = Math.round(Math.sqrt(nRegions / CELL_REGIONS));
    this.side = Math.max(1, Math.min(MOST_PARTS_A_SIDE, side));
    this.count = this.side * this.side;
  }

  at(x, y) {
    const index = (coordinate) =>
      Math.max(0, Math.min(this.side - 1, Math.floor(((coordinate + 1) / 2) * this.side)));
    return index(y) * this.side + index(x);
  }
}

/** Points of triangles or ends of lines, part after part. */
class Batch {
  /**
   * @param {Parts} parts
   * @param {Uint32Array} starts - where each part begins, in points or in lines
   * @param {Float32Array} data - coordinates
   * @param {number} size - how many of them a point (2) or a line (4) has
   */
  constructor(parts, starts, data, size, colours = null) {
    Object.assign(this, { starts, data, colours });
    this.boxes = Array.from({ length: parts.count }, (_, part) =>
      boxOf(data, size * starts[part], size * starts[part + 1]));
  }

  /** Ranges [first, count] of what may be seen in a window [left, bottom, right, top]. */
  visible([left, bottom, right, top]) {
    const ranges = [];
    this.boxes.forEach((box, part) => {
      const [first, stop] = [this.starts[part], this.starts[part + 1]];
      const isSeen = box[0] <= right && box[2] >= left && box[1] <= top && box[3] >= bottom;
      if (!isSeen || first === stop) return;
      const last = ranges.at(-1);
      if (last && last[0] + last[1] === first) last[1] += stop - first;
      else ranges.push([first, stop - first]);
    });
    return ranges;
  }
}

function boxOf(data, first, stop) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = first; i < stop; i += 2) {
    box[0] = Math.min(box[0], data[i]);
    box[1] = Math.min(box[1], data[i + 1]);
    box[2] = Math.max(box[2], data[i]);
    box[3] = Math.max(box[3], data[i + 1]);
  }
  return box;
}

/** The regions as triangles: what a `Batch` is made of. */
function trianglesOf(mesh, parts) {
  const { vertices, offsets } = mesh;
  const places = new Uint16Array(mesh.nRegions);
  const counts = new Uint32Array(parts.count);
  for (let region = 0; region < mesh.nRegions; region++) {
    const corner = mesh.corner(offsets[region]);
    places[region] = parts.at(vertices[2 * corner], vertices[2 * corner + 1]);
    counts[places[region]] += 3 * (offsets[region + 1] - offsets[region] - 2);
  }
  const starts = startsOf(counts);
  const next = starts.slice();
  const data = new Float32Array(2 * starts[parts.count]);
  const colours = new Uint8Array(starts[parts.count]);
  for (let region = 0; region < mesh.nRegions; region++) {
    const points = fanOf(mesh.polygon(region));
    const first = next[places[region]];
    data.set(points, 2 * first);
    colours.fill(mesh.colours[region], first, first + points.length / 2);
    next[places[region]] += points.length / 2;
  }
  return [starts, data, 2, colours];
}

/** The lines that each layer made; those of layer -1 bound the slice. */
function linesByLayer(mesh, parts) {
  const members = new Map();
  for (let edge = 0; edge < mesh.nEdges; edge++) {
    const layer = mesh.edgeLayers[edge];
    if (!members.has(layer)) members.set(layer, []);
    members.get(layer).push(edge);
  }
  const batches = new Map();
  for (const [layer, edges] of members) {
    const segments = new Float32Array(4 * edges.length);
    edges.forEach((edge, i) => {
      for (let j = 0; j < 4; j++) {
        const vertex = mesh.edges[2 * edge + (j >> 1)];
        segments[4 * i + j] = mesh.vertices[2 * vertex + (j & 1)];
      }
    });
    batches.set(layer, segmentBatch(segments, parts));
  }
  return batches;
}

/** Segments [x0, y0, x1, y1, …], sorted by part. */
function segmentBatch(segments, parts) {
  const n = segments.length / 4;
  const places = new Uint16Array(n);
  const counts = new Uint32Array(parts.count);
  for (let i = 0; i < n; i++) {
    places[i] = parts.at(segments[4 * i], segments[4 * i + 1]);
    counts[places[i]]++;
  }
  const starts = startsOf(counts);
  const next = starts.slice();
  const data = new Float32Array(4 * n);
  for (let i = 0; i < n; i++) {
    data.set(segments.subarray(4 * i, 4 * i + 4), 4 * next[places[i]]++);
  }
  return new Batch(parts, starts, data, 4);
}

/** A convex polygon [x0, y0, …] as triangles. */
function fanOf(points) {
  const triangles = [];
  for (let i = 2; i + 3 < points.length; i += 2) {
    triangles.push(points[0], points[1], points[i], points[i + 1], points[i + 2], points[i + 3]);
  }
  return triangles;
}

/** A polygon's sides as segments. */
function outlineOf(points) {
  const n = points.length;
  const ends = [];
  for (let i = 0; i < n; i += 2) {
    ends.push(points[i], points[i + 1], points[(i + 2) % n], points[(i + 3) % n]);
  }
  return ends;
}
