// Drawing with WebGL 2. Triangles and lines go to the graphics card once; moving the view changes
// a few numbers only, and parts of the slice that are out of view are left out.

const CELL_REGIONS = 1500; // regions in a part of the slice that is drawn or left out as a whole
const MOST_PARTS_A_SIDE = 24;
const MOST_COLOURS = 16;

const FILL_VERTEX = `#version 300 es
uniform vec4 view;                       // scale and shift, to clip coordinates
uniform vec3 palette[${MOST_COLOURS}];
in vec2 position;
in float colour;
flat out vec3 tint;
void main() {
  tint = palette[int(colour)];
  gl_Position = vec4(position * view.xy + view.zw, 0.0, 1.0);
}`;

const FILL_FRAGMENT = `#version 300 es
precision mediump float;
flat in vec3 tint;
uniform float opacity;
out vec4 pixel;
void main() { pixel = vec4(tint * opacity, opacity); }`;

// A line is a rectangle around its two ends, half a pixel wider than the line on each side, where
// it fades out. A line thinner than a pixel is a faint one of one pixel.
const LINE_VERTEX = `#version 300 es
uniform vec4 view;
uniform vec2 pixels;                     // half the size of the canvas
uniform float width;                     // in pixels
in vec4 ends;                            // from x, y to x, y
out float across;
void main() {
  vec2 from = (ends.xy * view.xy + view.zw) * pixels;
  vec2 to = (ends.zw * view.xy + view.zw) * pixels;
  vec2 along = to - from;
  float size = length(along);
  along = size > 0.0 ? along / size : vec2(1.0, 0.0);
  float reach = 0.5 * max(width, 1.0) + 0.5;
  float side = float(gl_VertexID & 1) * 2.0 - 1.0;
  float cap = min(0.5 * width, 0.5 * reach);
  vec2 place = (gl_VertexID & 2) == 0 ? from - along * cap : to + along * cap;
  across = side * reach;
  place += vec2(-along.y, along.x) * across;
  gl_Position = vec4(place / pixels, 0.0, 1.0);
}`;

const LINE_FRAGMENT = `#version 300 es
precision mediump float;
in float across;
uniform float width;
uniform vec4 ink;
out vec4 pixel;
void main() {
  float cover = clamp(0.5 * max(width, 1.0) + 0.5 - abs(across), 0.0, 1.0) * min(width, 1.0);
  pixel = vec4(ink.rgb, 1.0) * ink.a * cover;
}`;

class Painter {
  constructor(canvas, mesh) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
    if (!gl) throw new Error("This page draws with WebGL 2, which this browser does not offer.");
    this.gl = gl;
    this.fill = linked(gl, FILL_VERTEX, FILL_FRAGMENT, ["position", "colour"]);
    this.line = linked(gl, LINE_VERTEX, LINE_FRAGMENT, ["ends"]);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const parts = new Parts(mesh.nRegions);
    this.regions = new Batch(parts, ...trianglesOf(mesh, parts));
    this.regions.array = this.#triangleArray(this.regions.data, this.regions.colours);
    this.layers = linesByLayer(mesh, parts);
    for (const batch of this.layers.values()) batch.array = this.#lineArray(batch.data);
    this.boundary = segmentBatch(mesh.boundary, parts);
    this.boundary.array = this.#lineArray(this.boundary.data);
    this.marks = this.#lineArray(new Float32Array(0));
    this.shade = this.#triangleArray(new Float32Array(0), new Uint8Array(0));
  }

  /** Start a picture: size, view and background. */
  begin(view, paper) {
    const { gl, canvas } = this;
    this.view = view;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    for (const program of [this.fill, this.line]) {
      gl.useProgram(program.id);
      gl.uniform4f(program.at("view"), ...view.clip);
    }
    gl.uniform2f(this.line.at("pixels"), canvas.width / 2, canvas.height / 2);
  }

  drawRegions(palette) {
    this.#useFill(palette, 1);
    this.#drawBatch(this.regions, (first, count) =>
      this.gl.drawArrays(this.gl.TRIANGLES, first, count));
  }

  drawLayer(layer, ink, width) {
    const batch = this.layers.get(layer);
    if (batch) this.#drawLines(batch, ink, width);
  }

  drawBoundary(ink, width) {
    this.#drawLines(this.boundary, ink, width);
  }

  /** Draw polygons over the regions, in one colour. */
  drawShades(polygons, colour, opacity) {
    const points = polygons.flatMap(fanOf);
    if (!points.length) return;
    const { gl } = this;
    this.#useFill([colour], opacity);
    gl.bindVertexArray(this.shade.id);
    fillBuffer(gl, this.shade.points, new Float32Array(points), gl.DYNAMIC_DRAW);
    fillBuffer(gl, this.shade.colours, new Uint8Array(points.length / 2), gl.DYNAMIC_DRAW);
    gl.drawArrays(gl.TRIANGLES, 0, points.length / 2);
  }

  /** Draw outlines of polygons. */
  drawOutlines(polygons, ink, width) {
    const ends = polygons.flatMap(outlineOf);
    if (!ends.length) return;
    const { gl } = this;
    this.#useLine(ink, width);
    gl.bindVertexArray(this.marks.id);
    fillBuffer(gl, this.marks.points, new Float32Array(ends), gl.DYNAMIC_DRAW);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, ends.length / 4);
  }

  #useFill(palette, opacity) {
    const { gl, fill } = this;
    gl.useProgram(fill.id);
    gl.uniform3fv(fill.at("palette"), palette.flat());
    gl.uniform1f(fill.at("opacity"), opacity);
  }

  #useLine(ink, width) {
    const { gl, line } = this;
    gl.useProgram(line.id);
    gl.uniform4f(line.at("ink"), ink[0], ink[1], ink[2], ink[3] ?? 1);
    gl.uniform1f(line.at("width"), width);
  }

  #drawLines(batch, ink, width) {
    const { gl } = this;
    this.#useLine(ink, width);
    this.#drawBatch(batch, (first, count) => {
      // Instances begin where the attribute does.
      gl.bindBuffer(gl.ARRAY_BUFFER, batch.array.points);
      gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, 16 * first);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
    });
  }

  #drawBatch(batch, draw) {
    this.gl.bindVertexArray(batch.array.id);
    for (const [first, count] of batch.visible(this.view.window)) draw(first, count);
  }

  #triangleArray(points, colours) {
    const { gl } = this;
    const array = { id: gl.createVertexArray() };
    gl.bindVertexArray(array.id);
    array.points = newBuffer(gl, points);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.enableVertexAttribArray(0);
    array.colours = newBuffer(gl, colours);
    gl.vertexAttribPointer(1, 1, gl.UNSIGNED_BYTE, false, 0, 0);
    gl.enableVertexAttribArray(1);
    return array;
  }

  #lineArray(ends) {
    const { gl } = this;
    const array = { id: gl.createVertexArray() };
    gl.bindVertexArray(array.id);
    array.points = newBuffer(gl, ends);
    gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.enableVertexAttribArray(0);
    return array;
  }
}

function linked(gl, vertexSource, fragmentSource, attributes) {
  const id = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, vertexSource],
    [gl.FRAGMENT_SHADER, fragmentSource],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(id, shader);
  }
  attributes.forEach((name, place) => gl.bindAttribLocation(id, place, name));
  gl.linkProgram(id);
  if (!gl.getProgramParameter(id, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(id));
  const places = new Map();
  const at = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(id, name));
    return places.get(name);
  };
  return { id, at };
}

function newBuffer(gl, values) {
  const buffer = gl.createBuffer();
  fillBuffer(gl, buffer, values, gl.STATIC_DRAW);
  return buffer;
}

function fillBuffer(gl, buffer, values, usage) {
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, values, usage);
}
