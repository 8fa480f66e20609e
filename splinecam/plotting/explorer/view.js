// The part of the slice that is seen, and how gestures move it.

const CLOSEST = 20000; // how much nearer than the whole slice, at most: float32 ends there
const FARTHEST = 0.4;
const MARGIN = 0.04; // free share of the canvas on each side
const CLICK_SLACK = 5; // pixels that a click may move

class View {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number[]} size - half the width and height of the slice, the greater of which is 1
   */
  constructor(canvas, size) {
    this.canvas = canvas;
    this.size = size;
    this.isWhole = true;
    this.width = this.height = 1;
    this.reset();
  }

  /** Take over the size of the canvas on the page; say whether it is another one. */
  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    this.width = Math.max(1, clientWidth);
    this.height = Math.max(1, clientHeight);
    if (this.isWhole) this.reset();
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
  }

  get ratio() {
    return this.canvas.width / this.width;
  }

  /** Pixels of the page for a unit, where the whole slice is seen. */
  get wholeZoom() {
    const share = 0.5 - MARGIN;
    return Math.min((share * this.width) / this.size[0], (share * this.height) / this.size[1]);
  }

  reset() {
    this.x = this.y = 0;
    this.zoom = this.wholeZoom;
    this.isWhole = true;
  }

  /** Scale and shift to WebGL's clip coordinates. */
  get clip() {
    const scale = [(2 * this.zoom) / this.width, (2 * this.zoom) / this.height];
    return [...scale, -this.x * scale[0], -this.y * scale[1]];
  }

  /** What is seen: [left, bottom, right, top]. */
  get window() {
    const [x, y] = [this.width / 2 / this.zoom, this.height / 2 / this.zoom];
    return [this.x - x, this.y - y, this.x + x, this.y + y];
  }

  toScreen(x, y) {
    return [
      this.width / 2 + (x - this.x) * this.zoom,
      this.height / 2 - (y - this.y) * this.zoom,
    ];
  }

  fromScreen(left, top) {
    return [
      this.x + (left - this.width / 2) / this.zoom,
      this.y - (top - this.height / 2) / this.zoom,
    ];
  }

  move(right, down) {
    this.isWhole = false;
    this.x = clamp(this.x - right / this.zoom, this.size[0]);
    this.y = clamp(this.y + down / this.zoom, this.size[1]);
  }

  /** Come nearer by a factor, so that what is at a point of the screen stays there. */
  zoomAt(left, top, factor) {
    const [x, y] = this.fromScreen(left, top);
    const whole = this.wholeZoom;
    this.zoom = Math.max(FARTHEST * whole, Math.min(CLOSEST * whole, this.zoom * factor));
    const [nowLeft, nowTop] = this.toScreen(x, y);
    this.move(left - nowLeft, top - nowTop);
  }

  /** Bring a polygon into sight, nearer if it is small. */
  show(points) {
    const [left, bottom, right, top] = boxOf(points, 0, points.length);
    const reach = Math.max(right - left, top - bottom);
    const wanted = (0.25 * Math.min(this.width, this.height)) / reach;
    const [x0, y0, x1, y1] = this.window;
    const isInside = left >= x0 && right <= x1 && bottom >= y0 && top <= y1;
    this.isWhole &&= isInside && reach * this.zoom > 12;
    if (!isInside) [this.x, this.y] = [(left + right) / 2, (bottom + top) / 2];
    if (reach * this.zoom <= 12) {
      [this.x, this.y] = [(left + right) / 2, (bottom + top) / 2];
      this.zoom = Math.min(CLOSEST * this.wholeZoom, wanted);
    }
  }
}

function clamp(value, most) {
  return Math.max(-most, Math.min(most, value));
}

/** Listen to mouse, fingers and keys on the canvas.
 *
 * `on` has `change()`, when the view has moved, `hover(left, top)`, `leave()`, `click(left, top)`
 * and `escape()`.
 */
function listen(view, on) {
  const { canvas } = view;
  const fingers = new Map();
  let travelled = 0;

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, placeOf(event));
    travelled = fingers.size > 1 ? Infinity : 0;
  });

  canvas.addEventListener("pointermove", (event) => {
    const now = placeOf(event);
    if (!fingers.has(event.pointerId)) return on.hover(...now);
    const before = [...fingers.values()];
    fingers.set(event.pointerId, now);
    const after = [...fingers.values()];
    const [from, to] = [middleOf(before), middleOf(after)];
    travelled += Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (travelled <= CLICK_SLACK) return;
    canvas.classList.add("moving");
    view.move(to[0] - from[0], to[1] - from[1]);
    if (after.length === 2) view.zoomAt(...to, spread(after) / Math.max(1, spread(before)));
    on.change();
  });

  const lift = (event) => {
    if (!fingers.delete(event.pointerId) || fingers.size) return;
    canvas.classList.remove("moving");
    if (event.type === "pointerup" && travelled <= CLICK_SLACK) on.click(...placeOf(event));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => on.leave());

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // A pinch on a touchpad comes as small steps with the control key.
    const speed = event.ctrlKey ? 0.01 : 0.0015;
    view.zoomAt(...placeOf(event), Math.exp(-event.deltaY * lines * speed));
    on.change();
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const step = 60;
    const middle = [view.width / 2, view.height / 2];
    const action = {
      ArrowLeft: () => view.move(step, 0),
      ArrowRight: () => view.move(-step, 0),
      ArrowUp: () => view.move(0, step),
      ArrowDown: () => view.move(0, -step),
      "+": () => view.zoomAt(...middle, 1.5),
      "=": () => view.zoomAt(...middle, 1.5),
      "-": () => view.zoomAt(...middle, 1 / 1.5),
      0: () => view.reset(),
      Escape: () => on.escape(),
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
    on.change();
  });

  function placeOf(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}

function middleOf(places) {
  const sum = places.reduce((a, b) => [a[0] + b[0], a[1] + b[1]]);
  return [sum[0] / places.length, sum[1] / places.length];
}

function spread([a, b]) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
