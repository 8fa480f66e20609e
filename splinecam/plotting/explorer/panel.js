// The panel: what can be shown, the region under the cursor, and the selected one's neighbours.

const MOST_OUTPUTS = 6; // the greatest ones are listed

class Panel {
  /** `on` has `toggle(layer, isShown)`, `point(layer | null)`, `select(region)`, `hover(region)`,
   * `deselect()`. */
  constructor(header, mesh, on) {
    this.header = header;
    this.mesh = mesh;
    this.on = on;
    byId("heading").textContent = counted(mesh.nRegions, "region");
    const units = header.layers.reduce((sum, layer) => sum + layer.size, 0);
    byId("subheading").textContent =
      `${counted(units, "unit")} in ${counted(header.layers.length, "layer")}`;
    this.#fillToggles();
    this.showRegion(null);
  }

  #fillToggles() {
    const { header, mesh } = this;
    const counts = new Map();
    for (const layer of mesh.edgeLayers) counts.set(layer, (counts.get(layer) ?? 0) + 1);
    header.layers.forEach(({ name }, layer) =>
      this.#addToggle(layer, `Layer ${name}`, counts.get(layer)));
    this.#addToggle("boundary", header.boundaryName, mesh.boundary.length / 4);
  }

  #addToggle(layer, name, count = 0) {
    const box = element("input", "");
    box.type = "checkbox";
    box.checked = true;
    box.dataset.layer = layer;
    box.addEventListener("change", () => this.on.toggle(layer, box.checked));
    const row = element("label", "toggle", box, element("span", "name", name),
      element("span", "count", count.toLocaleString("en")));
    row.title = name;
    row.addEventListener("pointerenter", () => this.on.point(layer));
    row.addEventListener("pointerleave", () => this.on.point(null));
    byId("toggles").append(row);
  }

  /** Show the facts about a region, with outputs at a point of it. */
  showRegion(region, place) {
    const section = byId("region");
    if (region === null) {
      const hint = "Point at a region to read it, click it to see its neighbours.";
      section.replaceChildren(element("p", "hint", hint));
      return;
    }
    const outputs = this.mesh.outputsAt(region, ...place);
    const facts = element("dl", "facts",
      ...fact("Area", this.mesh.areas[region].toPrecision(6), "area"),
      ...fact("Class", this.#classOf(outputs), "class"));
    section.replaceChildren(
      element("h3", "", `Region ${region}`), facts,
      ...this.#layerBars(region), ...this.#outputBars(outputs));
    section.dataset.region = region;
  }

  #classOf(outputs) {
    if (this.header.nOutputs === 1) return outputs[0] > 0 ? "1" : "0";
    return String(this.mesh.outputNumbers[greatest(outputs)]);
  }

  #layerBars(region) {
    const { layers } = this.header;
    const bars = element("div", "bars");
    layers.forEach(({ name, size, highest, isGroup }, layer) => {
      // The places of the maxima of windows do not add up to anything.
      if (isGroup) return;
      const count = this.mesh.active[layers.length * region + layer];
      const most = size * highest;
      bars.append(...bar(`Layer ${name}`, 0, most ? count / most : 0, `${count} / ${most}`));
    });
    const isPlain = layers.every(({ highest, isGroup }) => highest === 1 || isGroup);
    const title = isPlain ? "Active units" : "Breakpoints exceeded";
    return bars.children.length ? [element("h2", "", title), bars] : [];
  }

  #outputBars(outputs) {
    const order = [...outputs.keys()].sort((i, j) => outputs[j] - outputs[i]);
    const shown = order.slice(0, MOST_OUTPUTS);
    const [low, high] = [Math.min(0, ...outputs), Math.max(0, ...outputs)];
    const range = high - low || 1;
    const bars = element("div", "bars");
    shown.forEach((i, rank) => {
      const [from, to] = [Math.min(0, outputs[i]), Math.max(0, outputs[i])];
      const text = signed(outputs[i].toPrecision(3));
      const cells = bar(String(this.mesh.outputNumbers[i]), (from - low) / range,
        (to - from) / range, text);
      cells[2].dataset.output = this.mesh.outputNumbers[i];
      if (rank === 0) cells.forEach((cell) => cell.classList.add("winner"));
      bars.append(...cells);
    });
    const hidden = outputs.length - shown.length;
    const title = hidden ? `Outputs here, the greatest ${shown.length}` : "Outputs here";
    return [element("h2", "", title), bars];
  }

  /** List what lies across the sides of the selected region. */
  showNeighbours(region) {
    const section = byId("neighbours");
    if (region === null) {
      section.replaceChildren();
      return;
    }
    const close = element("button", "close", "Close");
    close.type = "button";
    close.addEventListener("click", () => this.on.deselect());
    const title = element("div", "title",
      element("h2", "", `Neighbours of region ${region}`), close);
    const list = element("ol", "");
    for (const side of this.mesh.neighbours(region)) list.append(this.#sideRow(side));
    section.replaceChildren(title, list);
    section.dataset.region = region;
  }

  #sideRow({ region, flips }) {
    if (region < 0) return element("li", "", element("p", "hint", "The slice ends here"));
    const rows = flips.map((flip) => this.#flipRow(flip));
    const button = element("button", "", `Region ${region}`, ...rows);
    button.type = "button";
    button.dataset.region = region;
    button.addEventListener("click", () => this.on.select(region));
    button.addEventListener("pointerenter", () => this.on.hover(region));
    button.addEventListener("pointerleave", () => this.on.hover(null));
    return element("li", "", button);
  }

  /** One unit that changes: what it does in the selected region, and across the side. */
  #flipRow({ layer, unit, step }) {
    const { name, highest, isGroup } = this.header.layers[layer];
    const row = element("div", "flip", element("span", "unit", `Layer ${name}, unit ${unit}`),
      element("span", "change", changeOf(step, highest, isGroup)));
    row.title = row.firstChild.textContent;
    Object.assign(row.dataset, { layer, unit, step });
    return row;
  }
}

function changeOf(step, highest, isGroup) {
  if (isGroup) return "another maximum there";
  if (highest === 1) return step > 0 ? "on here, off there" : "off here, on there";
  return step > 0 ? "higher piece here" : "higher piece there";
}

function greatest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function fact(term, value, field) {
  const description = element("dd", "", value);
  description.dataset.field = field;
  return [element("dt", "", term), description];
}

/** A name, a bar from one share of the track on, as long as another, and a number. */
function bar(name, start, share, text) {
  const mark = element("i", "");
  mark.style.left = `${100 * start}%`;
  mark.style.width = `${100 * share}%`;
  const label = element("span", "name", name);
  label.title = name;
  return [label, element("span", "track", mark), element("span", "value", text)];
}

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function signed(text) {
  return text.replace("-", "−");
}

function byId(id) {
  return document.getElementById(id);
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}
