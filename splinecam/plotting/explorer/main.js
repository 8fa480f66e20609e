// Puts the page together.

const SLOW_FRAME = 20; // milliseconds
const REST = 120; // milliseconds after which the view is said to rest
const THICKEST_LINE = 1.1; // pixels of the page
const LINE_PER_SIZE = 0.07; // width of the lines relative to the size of a typical region
const FAINTEST_LINE = 0.045; // lines thinner than this are left out

class Explorer {
  constructor(header, arrays) {
    this.header = header;
    this.mesh = new Mesh(header, arrays);
    this.view = new View(byId("canvas"), header.size);
    this.painter = new Painter(byId("canvas"), this.mesh);
    this.grid = new RegionGrid(this.mesh);
    this.themes = themesOf(header);
    this.hidden = new Set();
    this.hovered = this.selected = this.pointed = null;
    this.isMoving = false;
    this.cost = 0; // milliseconds that the regions took to draw
    this.panel = new Panel(header, this.mesh, {
      toggle: (layer, isShown) => this.#toggle(layer, isShown),
      point: (layer) => this.#set("pointed", layer),
      select: (region) => this.select(region),
      hover: (region) => this.#set("hovered", region),
      deselect: () => this.select(null),
    });
    listen(this.view, {
      change: () => this.#move(),
      hover: (left, top) => this.hoverAt(left, top),
      leave: () => this.#leave(),
      click: (left, top) => this.clickAt(left, top),
      escape: () => this.select(null),
    });
    byId("reset").addEventListener("click", () => {
      this.view.reset();
      this.redraw();
    });
    this.#startTheme();
    new ResizeObserver(() => this.redraw()).observe(this.view.canvas);
  }

  /** From plane coordinates to pixels of the canvas. */
  toScreen(u, v) {
    const { middle, scale } = this.header;
    return this.view.toScreen((u - middle[0]) / scale, (v - middle[1]) / scale);
  }

  #move() {
    this.isMoving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.isMoving = false;
      this.redraw();
    }, REST);
    this.redraw();
  }

  /** Draw before the next frame is shown. */
  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const { view, painter, mesh } = this;
    view.fit();
    const theme = this.themes[this.theme];
    painter.begin(view, theme.paper);
    // The regions are drawn anew if the view or the look is another one; where that is slow, not
    // before the view rests.
    const look = [this.theme, ...this.hidden, this.pointed, view.width, view.height].join();
    const isSame = look === this.keptLook;
    const scene = [...view.clip, look].join();
    if (scene !== this.keptScene && !(isSame && this.isMoving && this.cost > SLOW_FRAME)) {
      this.#drawScene(theme);
      this.cost = painter.keep();
      [this.keptScene, this.keptLook] = [scene, look];
    } else {
      painter.drawKept();
    }
    const marked = this.selected === null ? [] : [mesh.polygon(this.selected)];
    const under = this.hovered === null ? [] : [mesh.polygon(this.hovered)];
    painter.drawShades(marked, theme.accent, 0.4);
    painter.drawOutlines([...marked, ...under], theme.halo, 4.5 * view.ratio);
    painter.drawOutlines([...marked, ...under], theme.accent, 2.2 * view.ratio);
    this.#drawScale();
  }

  #drawScene(theme) {
    const { painter, view } = this;
    painter.drawRegions(theme.palette);
    this.#drawLines(theme, view.ratio);
    if (this.hidden.has("boundary")) return;
    painter.drawBoundary(theme.halo, 4 * view.ratio);
    painter.drawBoundary(theme.boundary ?? theme.ink, 1.7 * view.ratio);
  }

  #drawLines(theme, ratio) {
    const typical = this.view.zoom * this.header.typicalSize;
    const width = Math.min(THICKEST_LINE, LINE_PER_SIZE * typical);
    const isPointed = this.pointed !== null && this.pointed !== "boundary";
    this.header.layers.forEach((_, layer) => {
      if (this.hidden.has(layer) || width < FAINTEST_LINE) return;
      const ink = [...theme.ink, isPointed ? 0.35 : 0.9];
      this.painter.drawLayer(layer, ink, width * ratio);
    });
    if (isPointed) {
      this.painter.drawLayer(this.pointed, theme.accent, Math.max(0.5, 1.6 * width) * ratio);
    }
    this.painter.drawOutlines([this.header.outline], theme.ink, 1.2 * ratio);
  }

  /** A bar of a round length in plane coordinates. */
  #drawScale() {
    const { scale } = this.header;
    const perPixel = scale / this.view.zoom;
    const power = 10 ** Math.floor(Math.log10(110 * perPixel));
    const length = [5, 2, 1].map((n) => n * power).find((n) => n <= 110 * perPixel) ?? power;
    byId("scale-bar").style.width = `${length / perPixel}px`;
    byId("scale-label").textContent = String(Number(length.toPrecision(1)));
  }

  hoverAt(left, top) {
    const [x, y] = this.view.fromScreen(left, top);
    const region = this.grid.find(x, y);
    const { middle, scale } = this.header;
    const digits = Math.max(2, Math.ceil(Math.log10(this.view.zoom / scale)) + 1);
    const text = [middle[0] + x * scale, middle[1] + y * scale].map((c) =>
      signed(c.toFixed(Math.min(12, digits))));
    byId("cursor").textContent = `u ${text[0]}\u2003v ${text[1]}`;
    this.#showUnderCursor(region < 0 ? null : region, [x, y]);
  }

  clickAt(left, top) {
    const place = this.view.fromScreen(left, top);
    const region = this.grid.find(...place);
    this.select(region < 0 || region === this.selected ? null : region, place);
  }

  /** Select a region, or none; show it, by its outputs at a place of it. */
  select(region, place = null) {
    this.selected = region;
    this.hovered = null;
    if (region !== null && place === null) {
      place = centreOf(this.mesh.polygon(region));
      this.view.show(this.mesh.polygon(region));
    }
    this.place = place;
    this.panel.showRegion(region, place);
    this.panel.showNeighbours(region);
    this.redraw();
  }

  #showUnderCursor(region, place) {
    if (region !== null) this.panel.showRegion(region, place);
    else this.panel.showRegion(this.selected, this.place);
    this.#set("hovered", region);
  }

  #leave() {
    byId("cursor").textContent = "";
    this.#showUnderCursor(null);
  }

  #toggle(layer, isShown) {
    if (isShown) this.hidden.delete(layer);
    else this.hidden.add(layer);
    this.redraw();
  }

  #set(name, value) {
    if (this[name] === value) return;
    this[name] = value;
    this.redraw();
  }

  #startTheme() {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.#setTheme(isDark ? "dark" : "light");
    byId("theme").addEventListener("click", () =>
      this.#setTheme(this.theme === "dark" ? "light" : "dark"));
  }

  #setTheme(theme) {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
    this.redraw();
  }
}

/** The mean of a polygon's corners. */
function centreOf(points) {
  let [x, y] = [0, 0];
  for (let i = 0; i < points.length; i += 2) {
    x += points[i];
    y += points[i + 1];
  }
  return [(2 * x) / points.length, (2 * y) / points.length];
}

async function start() {
  const header = JSON.parse(byId("header").textContent);
  const text = byId("arrays").textContent;
  byId("arrays").remove();
  window.explorer = new Explorer(header, await readArrays(header.arrays, text));
  byId("message").textContent = "";
}

start().catch((error) => {
  byId("message").textContent = error.message;
  console.error(error);
});
