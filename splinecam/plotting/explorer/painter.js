// Drawing with WebGL 2. Triangles and lines go to the graphics card once; moving the view changes
// a few numbers only, and parts of the slice that are out of view are left out.

const CELL_REGIONS = 1500; // regions in a part of the slice that is drawn or left out as a whole
const MOST_PARTS_A_SIDE = 24;
const MOST_COLOURS = 16;
const TEXTURE_WIDTH = 2048; // which WebGL 2 has at least

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
precision highp float;
flat in vec3 tint;
uniform float opacity;
out vec4 pixel;
void main() { pixel = vec4(tint * opacity, opacity); }`;

// A line is a rectangle (six points, two triangles) around its two ends, half a pixel wider than
// the line on each side, where it fades out. A line thinner than a pixel is a faint one of one
// pixel. The ends are looked up in a texture: instances of so few points are slow to draw.
const LINE_VERTEX = `#version 300 es
uniform vec4 view;
uniform vec2 pixels;                     // half the size of the canvas
uniform float width;                     // in pixels
uniform highp sampler2D lines;           // ends of each line: from x, y to x, y
out float across;
const ivec2 corners[6] = ivec2[6](
  ivec2(0, 0), ivec2(1, 0), ivec2(0, 1), ivec2(0, 1), ivec2(1, 0), ivec2(1, 1));
void main() {
  int line = gl_VertexID / 6;
  ivec2 corner = corners[gl_VertexID % 6];
  vec4 ends = texelFetch(lines, ivec2(line % ${TEXTURE_WIDTH}, line / ${TEXTURE_WIDTH}), 0);
  vec2 from = (ends.xy * view.xy + view.zw) * pixels;
  vec2 to = (ends.zw * view.xy + view.zw) * pixels;
  vec2 along = to - from;
  float size = length(along);
  along = size > 0.0 ? along / size : vec2(1.0, 0.0);
  float reach = 0.5 * max(width, 1.0) + 0.5;
  float cap = min(0.5 * width, 0.5 * reach);
  vec2 place = corner.x == 0 ? from - along * cap : to + along * cap;
  across = corner.y == 0 ? -reach : reach;
  place += vec2(-along.y, along.x) * across;
  gl_Position = vec4(place / pixels, 0.0, 1.0);
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
in float across;
uniform float width;
uniform vec4 ink;
out vec4 pixel;
void main() {
  float cover = clamp(0.5 * max(width, 1.0) + 0.5 - abs(across), 0.0, 1.0) * min(width, 1.0);
  pixel = vec4(ink.rgb, 1.0) * ink.a * cover;
}`;

// The last picture of the regions, moved and scaled to where the view has gone since.
const COPY_VERTEX = `#version 300 es
uniform vec4 view;                       // scale and shift of the picture, in clip coordinates
out vec2 place;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  place = corner;
  gl_Position = vec4((2.0 * corner - 1.0) * view.xy + view.zw, 0.0, 1.0);
}`;

const COPY_FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
uniform sampler2D picture;
out vec4 pixel;
void main() { pixel = vec4(texture(picture, place).rgb, 1.0); }`;

class Painter {
  constructor(canvas, mesh) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
    if (!gl) throw new Error("This page draws with WebGL 2, which this browser does not offer.");
    this.gl = gl;
    this.fill = linked(gl, FILL_VERTEX, FILL_FRAGMENT, ["position", "colour"]);
    this.line = linked(gl, LINE_VERTEX, LINE_FRAGMENT, []);
    this.copy = linked(gl, COPY_VERTEX, COPY_FRAGMENT, []);
    this.picture = newTexture(gl, new Float32Array(0));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const parts = new Parts(mesh.nRegions);
    this.regions = new Batch(parts, ...trianglesOf(mesh, parts));
    this.regions.array = this.#triangleArray(this.regions.data, this.regions.colours);
    this.layers = linesByLayer(mesh, parts);
    for (const batch of this.layers.values()) batch.texture = newTexture(gl, batch.data);
    this.boundary = segmentBatch(mesh.boundary, parts);
    this.boundary.texture = newTexture(gl, this.boundary.data);
    this.marks = gl.createTexture();
    this.noPoints = gl.createVertexArray();
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

  /** Keep what has been drawn; return the milliseconds that waiting for it took. */
  keep() {
    const { gl, canvas } = this;
    const start = performance.now();
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    gl.copyTexImage2D(gl.TEXTURE_2D, 0, gl.RGB, 0, 0, canvas.width, canvas.height, 0);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    this.keptClip = this.view.clip;
    return performance.now() - start;
  }

  /** Draw what was kept where it is in the view of now. */
  drawKept() {
    const { gl, copy, keptClip } = this;
    const [scaleX, scaleY, shiftX, shiftY] = this.view.clip;
    const [x, y] = [scaleX / keptClip[0], scaleY / keptClip[1]];
    gl.useProgram(copy.id);
    gl.uniform4f(copy.at("view"), x, y, shiftX - x * keptClip[2], shiftY - y * keptClip[3]);
    gl.bindVertexArray(this.noPoints);
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  drawRegions(palette) {
    const { gl, regions } = this;
    this.#useFill(palette, 1);
    gl.bindVertexArray(regions.array.id);
    for (const [first, count] of regions.visible(this.view.window)) {
      gl.drawArrays(gl.TRIANGLES, first, count);
    }
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
    gl.bindVertexArray(this.noPoints);
    fillTexture(gl, this.marks, new Float32Array(ends));
    gl.drawArrays(gl.TRIANGLES, 0, 6 * (ends.length / 4));
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
    gl.bindVertexArray(this.noPoints);
    gl.bindTexture(gl.TEXTURE_2D, batch.texture);
    for (const [first, count] of batch.visible(this.view.window)) {
      gl.drawArrays(gl.TRIANGLES, 6 * first, 6 * count);
    }
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

function newTexture(gl, ends) {
  const texture = gl.createTexture();
  fillTexture(gl, texture, ends);
  return texture;
}

/** Write the ends of lines into a texture, and leave it bound. */
function fillTexture(gl, texture, ends) {
  const height = Math.max(1, Math.ceil(ends.length / 4 / TEXTURE_WIDTH));
  const padded = new Float32Array(4 * TEXTURE_WIDTH * height);
  padded.set(ends);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, TEXTURE_WIDTH, height, 0, gl.RGBA, gl.FLOAT, padded);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}
