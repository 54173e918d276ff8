// A tile with its boxes, which can be selected, moved, resized, drawn and deleted. Coordinates are pixels of the tile.

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 2; // pixels: the shortest side of a box
const GRIPS = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const tenth = (value) => Math.round(value * 10) / 10;
const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

function node(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

export class Board {
  /** `changed(kind)` is called after every change: `boxes`, `selection`, `drawing` or `zoom`. */
  constructor(svg, changed) {
    Object.assign(this, { svg, changed, boxes: [], past: [], selected: -1, drawing: false, zoom: 1, width: 1, height: 1 });
    svg.addEventListener("pointerdown", (event) => this.#down(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    svg.addEventListener("pointerup", (event) => this.#up(event));
    svg.addEventListener("pointercancel", () => this.#cancel());
    svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    new ResizeObserver(() => this.#render()).observe(svg);
  }

  /** Another tile: `boxes` are `{box, label, confidence, doubtful, mine}`; `address` may follow by `paint`. */
  show({ width, height, boxes, past = [] }) {
    Object.assign(this, { width, height, boxes, past, selected: -1, drawing: false, zoom: 1, address: "", drag: null });
    this.centre = [width / 2, height / 2];
    this.svg.style.aspectRatio = `${width} / ${height}`;
    this.#render();
  }

  paint(address) {
    this.address = address;
    this.#render();
  }

  select(index) {
    this.selected = this.boxes.length ? (index + this.boxes.length) % this.boxes.length : -1;
    if (index < 0) this.selected = -1;
    this.#told("selection");
  }

  step(by) {
    if (this.boxes.length) this.select((this.selected + by + (this.selected < 0 && by < 0 ? 1 : 0) + this.boxes.length) % this.boxes.length);
  }

  draw(on) {
    this.drawing = on;
    if (on) this.selected = -1;
    this.#told("drawing");
  }

  /** A box in the middle of what is seen: for those who draw without a pointer. */
  place(label) {
    const side = Math.min(this.width, this.height) / this.zoom / 8;
    const [x, y] = this.centre;
    this.#add([x - side / 2, y - side / 2, x + side / 2, y + side / 2], label);
  }

  /** Move the selected box, or its lower right corner. */
  nudge(dx, dy, corner) {
    const found = this.boxes[this.selected];
    if (!found) return;
    this.#remember();
    this.#put(found, corner ? this.#resized(found.box, "se", dx, dy) : this.#moved(found.box, dx, dy));
    this.#told("boxes");
  }

  label(index, label) {
    if (this.boxes[index].label === label) return;
    this.#remember();
    this.#put(this.boxes[index], this.boxes[index].box, label);
    this.#told("boxes");
  }

  remove(index) {
    if (!this.boxes[index]) return;
    this.#remember();
    this.boxes.splice(index, 1);
    this.selected = Math.min(index, this.boxes.length - 1);
    this.#told("boxes");
  }

  undo() {
    if (!this.past.length) return;
    this.boxes = JSON.parse(this.past.pop());
    this.selected = -1;
    this.#told("boxes");
  }

  /** The next step of the zoom, around the selected box or `at`. */
  magnify(by, at) {
    const step = clamp(ZOOMS.indexOf(this.zoom) + by, 0, ZOOMS.length - 1);
    const [x0, y0, x1, y1] = this.boxes[this.selected]?.box ?? [...this.centre, ...this.centre];
    this.zoom = ZOOMS[step];
    this.#look(at ?? [(x0 + x1) / 2, (y0 + y1) / 2]);
    this.#told("zoom");
  }

  // ---------------------------------------------------------------------------------------------------- changes

  #told(kind) {
    this.#render();
    this.changed(kind);
  }

  #remember() {
    this.past.push(JSON.stringify(this.boxes));
  }

  #put(found, box, label = found.label) {
    Object.assign(found, { box: box.map(tenth), label, mine: true, doubtful: false, confidence: null });
  }

  #add(box, label) {
    this.#remember();
    this.boxes.push({ box: box.map(tenth), label, confidence: null, doubtful: false, mine: true });
    this.selected = this.boxes.length - 1;
    this.drawing = false;
    this.#told("boxes");
  }

  #moved([x0, y0, x1, y1], dx, dy) {
    const right = clamp(dx, -x0, this.width - x1);
    const down = clamp(dy, -y0, this.height - y1);
    return [x0 + right, y0 + down, x1 + right, y1 + down];
  }

  #resized([x0, y0, x1, y1], grip, dx, dy) {
    return [
      grip.includes("w") ? clamp(x0 + dx, 0, x1 - LEAST) : x0,
      grip.includes("n") ? clamp(y0 + dy, 0, y1 - LEAST) : y0,
      grip.includes("e") ? clamp(x1 + dx, x0 + LEAST, this.width) : x1,
      grip.includes("s") ? clamp(y1 + dy, y0 + LEAST, this.height) : y1,
    ];
  }

  // ---------------------------------------------------------------------------------------------------- pointer

  #at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  #down(event) {
    if (event.button !== 0 || this.drag) return;
    event.preventDefault();
    this.svg.focus({ preventScroll: true });
    const from = this.#at(event);
    const { grip, index } = event.target.dataset;
    if (this.drawing) this.drag = { kind: "draw", from };
    else if (grip) this.drag = { kind: "resize", grip, from, box: this.boxes[this.selected].box };
    else if (index !== undefined) {
      this.select(Number(index));
      this.drag = { kind: "move", from, box: this.boxes[this.selected].box };
    } else {
      this.select(-1);
      if (this.zoom > 1) this.drag = { kind: "pan", from };
    }
    if (this.drag) this.svg.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.drag) return;
    const { kind, from, box, grip } = this.drag;
    const [x, y] = this.#at(event);
    if (kind === "pan") {
      this.#look([this.centre[0] + from[0] - x, this.centre[1] + from[1] - y]);
      return this.#render();
    }
    if (kind === "draw") {
      this.drag.to = [clamp(x, 0, this.width), clamp(y, 0, this.height)];
      return this.#render();
    }
    if (!this.drag.begun) {
      if (Math.hypot(x - from[0], y - from[1]) * this.#scale() < 3) return undefined; // a click with an unsteady hand
      this.drag.begun = true;
      this.#remember();
    }
    const [dx, dy] = [x - from[0], y - from[1]];
    this.#put(this.boxes[this.selected], kind === "move" ? this.#moved(box, dx, dy) : this.#resized(box, grip, dx, dy));
    return this.#render();
  }

  #up() {
    const { kind, begun } = this.drag ?? {};
    const drawn = kind === "draw" ? this.#drawn() : null;
    this.drag = null;
    if (drawn) this.#add(drawn, this.newLabel ?? 0);
    else if (kind === "draw") this.#render();
    if (begun) this.#told("boxes");
  }

  #cancel() {
    const begun = this.drag?.begun;
    this.drag = null;
    if (begun) this.undo();
    else this.#render();
  }

  #drawn() {
    const { from, to } = this.drag;
    if (!to) return null;
    const [x, y] = [clamp(from[0], 0, this.width), clamp(from[1], 0, this.height)];
    const box = [Math.min(x, to[0]), Math.min(y, to[1]), Math.max(x, to[0]), Math.max(y, to[1])];
    return box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST ? box : null;
  }

  #wheel(event) {
    if (!event.ctrlKey && this.zoom === 1 && event.deltaY > 0) return;
    event.preventDefault();
    this.magnify(event.deltaY < 0 ? 1 : -1, this.#at(event));
  }

  // ---------------------------------------------------------------------------------------------------- drawing

  #look([x, y]) {
    const [across, down] = [this.width / this.zoom, this.height / this.zoom];
    this.centre = [clamp(x, across / 2, this.width - across / 2), clamp(y, down / 2, this.height - down / 2)];
  }

  /** Pixels of the screen to one of the tile. */
  #scale() {
    return this.svg.getScreenCTM()?.a || 1;
  }

  #render() {
    const { svg, width, height, zoom } = this;
    if (!this.centre) return;
    const [across, down] = [width / zoom, height / zoom];
    svg.setAttribute("viewBox", `${this.centre[0] - across / 2} ${this.centre[1] - down / 2} ${across} ${down}`);
    svg.classList.toggle("drawing", this.drawing);
    svg.classList.toggle("zoomed", zoom > 1);
    svg.replaceChildren();
    const image = node("image", { width, height, preserveAspectRatio: "none" }, svg);
    if (this.address) image.setAttribute("href", this.address);
    const order = this.boxes.map((_, index) => index);
    order.sort((one, other) => area(this.boxes[other].box) - area(this.boxes[one].box)); // small ones can be reached
    for (const index of order) if (index !== this.selected) this.#box(index);
    if (this.boxes[this.selected]) this.#box(this.selected);
    const drawn = this.drag?.kind === "draw" ? this.#drawn() : null;
    if (drawn) this.#edges(node("g", {}, svg), drawn, "mine");
  }

  #edges(group, [x0, y0, x1, y1], kind) {
    const place = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    node("rect", { ...place, class: "halo" }, group);
    node("rect", { ...place, class: `edge ${kind}` }, group);
  }

  #box(index) {
    const { box, doubtful, confidence, mine } = this.boxes[index];
    const [x0, y0, x1, y1] = box;
    const chosen = index === this.selected;
    const scale = this.#scale();
    const group = node("g", { class: chosen ? "box selected" : "box" }, this.svg);
    const spare = 5 / scale; // tiny boxes can be hit too
    const around = { x: x0 - spare, y: y0 - spare, width: x1 - x0 + 2 * spare, height: y1 - y0 + 2 * spare };
    node("rect", { ...around, class: "hit", "data-index": index }, group);
    this.#edges(group, box, mine ? "mine" : doubtful ? "doubtful" : "sure");
    if (doubtful) {
      const size = 12 / scale;
      const y = y0 > 1.6 * size ? y0 - 0.4 * size : y1 + 1.2 * size;
      const text = node("text", { x: x0, y, "font-size": size, "stroke-width": 3 / scale }, group);
      text.textContent = `${Math.round(confidence * 100)} %?`;
    }
    if (chosen && !this.drawing) this.#grips(group, box, scale);
  }

  #grips(group, [x0, y0, x1, y1], scale) {
    const coarse = matchMedia("(pointer: coarse)").matches;
    const reach = (coarse ? 16 : 9) / scale;
    const small = Math.min(x1 - x0, y1 - y0) < 3 * reach;
    const out = small ? reach * 0.7 : 0; // so that the box itself can still be taken
    for (const grip of GRIPS) {
      if (small && grip.length === 1) continue;
      const x = grip.includes("w") ? x0 - out : grip.includes("e") ? x1 + out : (x0 + x1) / 2;
      const y = grip.includes("n") ? y0 - out : grip.includes("s") ? y1 + out : (y0 + y1) / 2;
      const half = 4 / scale;
      node("rect", { x: x - half, y: y - half, width: 2 * half, height: 2 * half, class: "handle" }, group);
      node("circle", { cx: x, cy: y, r: reach, class: `grip ${grip}`, "data-grip": grip }, group);
    }
  }
}
