// The page: which tile is shown, what is said about it, and where it goes.

import { Refusal, decide, listed, one, picture, token } from "/reviews/api.js";
import { Board } from "/reviews/board.js";

const $ = (id) => document.getElementById(id);
const say = (text) => { $("said").textContent = text; };
const counted = (count, what, many) => `${count} ${count === 1 ? what : many}`;

const board = new Board($("board"), changed);
let tiles = []; // {review, boxes, past, edited}
let place = 0;
let waiting = 0; // in all, when they were listed
let me = "";
let busy = false;
const pictures = new Map(); // sample -> promise of an address

const tile = () => tiles[place];
const decidedHere = () => tiles.filter(({ review }) => review.verdict).length;
const classes = () => tile().review.classes;

// -------------------------------------------------------------------------------------------------------- places

function show(section) {
  for (const id of ["sign-in", "nothing", "work"]) $(id).hidden = id !== section;
  $("progress").hidden = section === "sign-in";
  $("person").hidden = section === "sign-in";
  if (section === "sign-in") $("token").focus();
}

function complain(error) {
  $("word").hidden = !error;
  $("word").textContent = error ? error.message : "";
  if (error && !(error instanceof Refusal)) throw error;
}

function signOut(error) {
  token.forget();
  tiles = [];
  show("sign-in");
  complain(error);
}

/** Do something that may be refused, one thing at a time. */
async function attempt(work) {
  if (busy) return;
  busy = true;
  $("work").setAttribute("aria-busy", "true");
  try {
    await work();
    complain(null);
  } catch (error) {
    if (error.status === 401 || error.status === 404 && !tiles.length) signOut(error);
    else complain(error);
  } finally {
    busy = false;
    $("work").removeAttribute("aria-busy");
  }
}

async function load() {
  const { who, pending, reviews } = await listed();
  me = who;
  waiting = pending;
  for (const address of pictures.values()) address.then(URL.revokeObjectURL, () => {});
  pictures.clear();
  tiles = reviews.map(fresh);
  $("who").textContent = who;
  if (tiles.length) go(0);
  else nothing("No tile waits for you");
}

function nothing(title) {
  $("nothing-title").textContent = title;
  $("back").hidden = !tiles.length;
  show("nothing");
  progress();
  $("nothing-title").focus();
}

// --------------------------------------------------------------------------------------------------------- tiles

function fresh(review) {
  const decided = review.verdict?.objects?.map(({ box, label }) => ({ box, label, confidence: null, doubtful: false, mine: true }));
  return { review, boxes: decided ?? structuredClone(review.boxes), past: [], edited: false };
}

function pictured(sample) {
  if (!pictures.has(sample)) {
    const address = picture(sample);
    pictures.set(sample, address);
    address.catch(() => pictures.delete(sample));
  }
  return pictures.get(sample);
}

function go(to) {
  place = Math.min(Math.max(to, 0), tiles.length - 1);
  const { review, boxes, past } = tile();
  show("work");
  board.show({ width: review.window.width, height: review.window.height, boxes, past });
  describe();
  const doubts = boxes.filter((box) => box.doubtful).length;
  say(`Tile ${place + 1} of ${tiles.length}: ${counted(boxes.length, "box", "boxes")}, ${doubts} doubtful. ${verdictWords(review)}`);
  complain(null);
  pictured(review.sample).then(
    (address) => { if (tile()?.review.sample === review.sample) board.paint(address); },
    (error) => { if (tile()?.review.sample === review.sample) error.status === 401 ? signOut(error) : complain(error); },
  );
  if (tiles[place + 1]) pictured(tiles[place + 1].review.sample).catch(() => {}); // it is asked for again when it is shown
}

async function settle(objects) {
  const [at, { review }] = [place, tile()];
  try {
    tiles[at] = fresh(await decide(review.sample, review.revision, objects));
  } catch (error) {
    if (error.status === 409) { // what another person made of it stands here now
      tiles[at] = fresh(await one(review.sample));
      go(at);
    }
    throw error;
  }
  if (place !== at) return describe(); // somebody went on without waiting
  const ahead = tiles.map((_, step) => (place + 1 + step) % tiles.length);
  const next = ahead.find((index) => !tiles[index].review.verdict);
  if (next === undefined) return nothing(`All ${tiles.length === 1 ? "is" : `${tiles.length} tiles are`} decided`);
  return go(next);
}

const accept = () => attempt(() => settle(board.boxes.map(({ box, label }) => ({ box, label }))));
const reject = () => attempt(() => settle(null));

// ----------------------------------------------------------------------------------------------------- what is seen

function verdictWords(review) {
  if (!review.verdict) return "";
  const { who, at, objects } = review.verdict;
  const by = who === me ? "you" : who;
  return `${objects ? "Accepted" : "Rejected"} by ${by}, ${new Date(at).toLocaleString()}`;
}

function progress() {
  const more = waiting > tiles.length ? ` (${waiting.toLocaleString()} wait in all)` : "";
  $("place").replaceChildren();
  if (tiles.length) {
    const strong = document.createElement("b");
    strong.textContent = `${place + 1} of ${tiles.length}`;
    $("place").append(strong, `${more} · ${decidedHere()} decided`);
  }
  $("bar").max = Math.max(tiles.length, 1);
  $("bar").value = decidedHere();
}

function describe() {
  const { review, edited } = tile();
  const { x0, y0, width, height } = review.window;
  $("frame").textContent = review.frame;
  $("where").textContent = `${width} × ${height} pixels at ${x0}, ${y0}`;
  $("state").textContent = edited ? "Changed, not saved yet" : verdictWords(review);
  $("work").classList.toggle("rejected", review.verdict?.objects === null && !edited);
  $("accept-word").textContent = !board.boxes.length ? "Accept: nothing here" : edited ? "Accept as fixed" : "Accept";
  $("previous").disabled = place === 0;
  $("next").disabled = place === tiles.length - 1;
  $("undo").disabled = !board.past.length;
  $("draw").setAttribute("aria-pressed", String(board.drawing));
  $("zoom").value = `${board.zoom}×`;
  const chosen = board.boxes[board.selected];
  $("board").setAttribute("aria-label", `Tile of ${review.frame}. ${chosen ? `Selected: ${boxWords(chosen, board.selected)}` : `${counted(board.boxes.length, "box", "boxes")}, none selected`}`);
  progress();
  list();
}

function boxWords({ box, label, doubtful, confidence }, index) {
  const sure = confidence === null ? "" : `, confidence ${Math.round(confidence * 100)} %`;
  const size = `${Math.round(box[2] - box[0])} by ${Math.round(box[3] - box[1])} pixels`;
  return `box ${index + 1}, ${classes()[label]}, ${size}${sure}${doubtful ? ", doubtful" : ""}`;
}

function made(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function list() {
  const focused = document.activeElement?.dataset?.key;
  const doubts = board.boxes.filter((box) => box.doubtful).length;
  $("count").textContent = `${board.boxes.length}${doubts ? `, ${doubts} doubtful` : ""}`;
  const none = made("li", {}, made("span", { class: "none" }, "None: accepted, the tile teaches that nothing is here."));
  $("boxes").replaceChildren(...(board.boxes.length ? board.boxes.map(row) : [none]));
  if (focused) ($("boxes").querySelector(`[data-key="${focused}"]`) ?? $("board")).focus({ preventScroll: true });
  $("boxes").querySelector(".selected")?.scrollIntoView({ block: "nearest" });
}

function row(found, index) {
  const pick = made("button", { type: "button", "data-key": `pick-${index}`, "aria-label": `Select ${boxWords(found, index)}`, "aria-pressed": String(index === board.selected) }, String(index + 1));
  pick.addEventListener("click", () => board.select(index));
  const choice = made("select", { "data-key": `class-${index}`, "aria-label": `Class of box ${index + 1}` });
  choice.append(...classes().map((name, label) => made("option", { value: String(label), ...(label === found.label ? { selected: "" } : {}) }, name)));
  choice.addEventListener("change", () => board.label(index, Number(choice.value)));
  const percent = found.confidence === null ? "by hand" : `${Math.round(found.confidence * 100)} %${found.doubtful ? " ?" : ""}`;
  const sure = made("span", { class: found.doubtful ? "sure doubt" : "sure" }, percent);
  const remove = made("button", { type: "button", "data-key": `delete-${index}`, "aria-label": `Delete box ${index + 1}` }, "✕");
  remove.addEventListener("click", () => board.remove(index));
  return made("li", index === board.selected ? { class: "selected" } : {}, pick, choice, sure, remove);
}

function changed(kind) {
  if (!tile()) return;
  if (kind === "boxes") {
    Object.assign(tile(), { boxes: board.boxes, past: board.past, edited: board.past.length > 0 });
    const last = board.boxes[board.selected];
    if (last) board.newLabel = last.label; // the next box is most likely of the same class
  }
  describe();
  const chosen = board.boxes[board.selected];
  if (kind === "drawing" && board.drawing) say("Draw a box, or press Enter for one in the middle. Escape ends it.");
  else if (chosen) say(boxWords(chosen, board.selected));
}

// --------------------------------------------------------------------------------------------------------- events

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  a: accept,
  r: reject,
  n: () => go(place + 1),
  p: () => go(place - 1),
  "]": () => board.step(1),
  "[": () => board.step(-1),
  x: () => board.remove(board.selected),
  Delete: () => board.remove(board.selected),
  b: () => board.draw(!board.drawing),
  z: () => board.undo(),
  "+": () => board.magnify(1),
  "=": () => board.magnify(1),
  "-": () => board.magnify(-1),
  Escape: () => (board.drawing ? board.draw(false) : board.select(-1)),
};

function arrow(event) {
  const [dx, dy] = ARROWS[event.key];
  const far = event.shiftKey ? 10 : 1;
  if (board.selected >= 0) board.nudge(dx * far, dy * far, event.altKey);
  else if (dx) go(place + dx);
  else return;
  event.preventDefault();
}

function pressed(event) {
  const typing = event.target.closest("select, input, summary");
  if ($("work").hidden || busy || typing || event.ctrlKey || event.metaKey) return;
  if (ARROWS[event.key]) return arrow(event);
  if (event.key === "Enter" && board.drawing && !event.target.closest("button")) return board.place(board.newLabel ?? 0);
  const label = Number(event.key) - 1;
  if (board.selected >= 0 && label >= 0 && label < classes().length) return board.label(board.selected, label);
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does || event.altKey) return;
  event.preventDefault();
  does();
}

document.addEventListener("keydown", pressed);
$("accept").addEventListener("click", accept);
$("reject").addEventListener("click", reject);
$("next").addEventListener("click", () => go(place + 1));
$("previous").addEventListener("click", () => go(place - 1));
$("draw").addEventListener("click", () => board.draw(!board.drawing));
$("undo").addEventListener("click", () => board.undo());
$("larger").addEventListener("click", () => board.magnify(1));
$("smaller").addEventListener("click", () => board.magnify(-1));
$("again").addEventListener("click", () => attempt(load));
$("back").addEventListener("click", () => go(place));
$("leave").addEventListener("click", () => signOut(null));
$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set($("token").value.trim());
  $("token").value = "";
  attempt(load);
});
window.addEventListener("beforeunload", (event) => {
  if (tiles.some(({ edited }) => edited)) event.preventDefault();
});

if (token.get()) attempt(load);
else show("sign-in");
