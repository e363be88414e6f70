// One rater, one task at a time. A vote is one entry of localStorage, written as it is given, so
// that a reload loses nothing and the thousandth vote costs no more than the first.
"use strict";
const { schema, export: exportId, grades, kinds, tasks } = DATA;
const SIDES = ["A", "B"];
const ANSWERS = [...SIDES, "same", "nothing"];
const MARKS = grades ? SIDES.flatMap((side) => [`severity_${side}`, `box_${side}`]) : []; // of a vote
const STEP = 4; // pixels that an arrow moves a box
const LEAST = 4; // pixels along a box
const AHEAD = 3; // tasks whose pictures are loaded before they are shown
const MOST_SCALE = 4;
const GAP = 12;
const RECENT = 30; // votes that the time left is taken from
const LONGEST = 300; // seconds that a vote counts with: whoever takes more went for coffee

let rater = "";
let queue = []; // places in tasks, in the rater's order, of what is not answered
let votes = new Map(); // task id to {answer, time, seconds}, in the order of voting
let saved = 0; // votes that are in a file, as they are now
let flipped = -1; // the picture that stands alone, or -1 for all side by side
let framed = true; // whether frames show where to look
let images = []; // of the task that is shown
let ready = false;
let marks = {}; // by side {severity, box} of the task that is shown, null where it is to be given
let active = "A"; // the side that keys are for
let factor = 1; // screen pixels of a picture's pixel
let looked = 0; // seconds for which the task was in sight
let since = 0;
const loaded = new Map(); // task id to its images

// What a rater did ---------------------------------------------------------------------------

const prefix = () => `nacd-bench votes ${exportId} ${rater}\n`;

function stored() {
  const found = [];
  const known = new Set(tasks.map(([id]) => id));
  for (let i = 0; i < localStorage.length; i++) {
    const key = localStorage.key(i);
    const id = key.startsWith(prefix()) ? key.slice(prefix().length) : "";
    if (!known.has(id)) continue;
    try {
      const vote = JSON.parse(localStorage.getItem(key));
      if (ANSWERS.includes(vote.answer)) found.push([id, vote]);
    } catch { /* somebody else's entry */ }
  }
  found.sort((a, b) => (a[1].time < b[1].time ? -1 : 1));
  return new Map(found);
}

function keep(id, vote) {
  try {
    if (vote) localStorage.setItem(prefix() + id, JSON.stringify(vote));
    else localStorage.removeItem(prefix() + id);
  } catch {
    notice("This browser keeps no more votes. Save them to a file now and after each session; they are lost when you leave the page without.");
  }
}

const unsaved = () => votes.size - saved;

function noteSaved(count) {
  saved = count;
  try { localStorage.setItem(`${prefix()}saved`, String(count)); } catch { /* a reminder only */ }
}

// A number from 0 to 2^32 that text decides (FNV-1a, then mixed).
function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  h = Math.imul(h ^ (h >>> 16), 2246822507);
  h = Math.imul(h ^ (h >>> 13), 3266489909);
  return (h ^ (h >>> 16)) >>> 0;
}

function ownOrder() {
  const places = tasks.map(([id], place) => [hash(`${exportId} ${rater} ${id}`), place]);
  return places.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((each) => each[1]);
}

function begin(name) {
  rater = name;
  try { votes = stored(); } catch { votes = new Map(); }
  queue = ownOrder().filter((place) => !votes.has(tasks[place][0]));
  saved = 0;
  try { saved = Math.min(votes.size, Number(localStorage.getItem(`${prefix()}saved`)) || 0); } catch { /* as above */ }
  $("#rater").textContent = rater;
  for (const id of ["who", "keep"]) $(`#${id}`).hidden = false;
  $("#start").hidden = true;
  notice("");
  next();
}

function leave() {
  if (unsaved() && !confirm("There are votes that are not saved to a file. They stay in this browser under your name. Leave?")) return;
  for (const id of ["who", "keep", "vote", "done"]) $(`#${id}`).hidden = true;
  rater = "";
  $("#start").hidden = false;
  $("#name").value = "";
  $("#name").focus();
}

function answer(choice) {
  if (!rater || !queue.length || !ready || !kinds[tasks[queue[0]][1]].answers.includes(choice)) return;
  const id = tasks[queue[0]][0];
  const given = choice === "nothing" ? [] : MARKS.map((name) => {
    const [what, side] = name.split("_");
    return [name, marks[side][what]];
  });
  const vote = { answer: choice, ...Object.fromEntries(given), time: new Date().toISOString(), seconds: Math.round(10 * inSight()) / 10 };
  votes.set(id, vote);
  keep(id, vote);
  queue.shift();
  loaded.delete(id);
  next();
}

function undo() {
  const last = [...votes.keys()].pop();
  if (last === undefined) return;
  const vote = votes.get(last);
  votes.delete(last);
  keep(last, null);
  if (saved > votes.size) noteSaved(0); // the file has a vote too many
  queue.unshift(tasks.findIndex(([id]) => id === last));
  next(vote);
}

function later() {
  if (queue.length < 2) return;
  queue.push(queue.shift());
  next();
}

// Grades: how strong on each side, and where ---------------------------------------------------

const isGraded = ({ severity, box }) => severity === 0 || (severity !== null && box !== null);

function choose(side) {
  active = side;
  showMarks();
}

function grade(side, severity) {
  if (!ready) return;
  marks[side].severity = severity;
  if (severity === 0) marks[side].box = null;
  active = side;
  const other = SIDES.find((name) => name !== side);
  if (isGraded(marks[side]) && marks[other].severity === null) active = other;
  showMarks();
}

function grown([x0, y0, x1, y1]) {
  const { naturalWidth: width, naturalHeight: height } = images[0].image;
  const [left, right] = [Math.max(0, Math.floor(x0)), Math.min(width, Math.ceil(x1))];
  const [top, bottom] = [Math.max(0, Math.floor(y0)), Math.min(height, Math.ceil(y1))];
  return right - left < LEAST || bottom - top < LEAST ? null : [left, top, right, bottom];
}

function setBox(side, box) {
  active = side;
  marks[side].box = box;
  if (marks[side].severity === 0) marks[side].severity = null;
  showMarks();
}

// An arrow key: the box of the active side moves, or its right and lower edges do.
function arrow(x, y, { shiftKey }) {
  if (!queue.length || !ready) return;
  const { naturalWidth: width, naturalHeight: height } = images[0].image;
  const start = [width / 3, height / 3, 2 * width / 3, 2 * height / 3];
  let [x0, y0, x1, y1] = marks[active].box || start.map(Math.round);
  if (!marks[active].box) [x, y] = [0, 0]; // the first arrow puts it into the middle
  if (shiftKey) {
    x1 = Math.min(width, Math.max(x0 + LEAST, x1 + x));
    y1 = Math.min(height, Math.max(y0 + LEAST, y1 + y));
  } else {
    x = Math.max(-x0, Math.min(width - x1, x));
    y = Math.max(-y0, Math.min(height - y1, y));
    [x0, y0, x1, y1] = [x0 + x, y0 + y, x1 + x, y1 + y];
  }
  setBox(active, [x0, y0, x1, y1]);
}

// A box that is drawn with the mouse, a pen or a finger, up to the picture's border.
function press(event) {
  const frame = event.target.closest(".frame[data-side]");
  if (!frame || !ready || event.button) return;
  const { side } = frame.dataset;
  const bounds = frame.getBoundingClientRect();
  const place = ({ clientX, clientY }) => [(clientX - bounds.left) / factor, (clientY - bounds.top) / factor];
  const [fromX, fromY] = place(event);
  const move = (at) => {
    const [x, y] = place(at);
    setBox(side, grown([Math.min(x, fromX), Math.min(y, fromY), Math.max(x, fromX), Math.max(y, fromY)]));
  };
  const release = () => {
    for (const kind of ["pointerup", "pointercancel"]) removeEventListener(kind, release);
    removeEventListener("pointermove", move);
  };
  addEventListener("pointermove", move);
  for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, release);
  choose(side);
  event.preventDefault();
}

function showMarks() {
  for (const field of $$("#answers fieldset")) {
    const { severity, box } = marks[field.dataset.side];
    field.setAttribute("aria-current", field.dataset.side === active);
    for (const button of $$("button", field)) button.setAttribute("aria-pressed", Number(button.dataset.severity) === severity);
    const wanted = severity === null ? "How strong?" : severity && !box ? "Where? Draw a box or press an arrow." : "";
    $("p", field).textContent = [wanted, box ? `Box of ${box[2] - box[0]} x ${box[3] - box[1]} pixels.` : ""].filter(Boolean).join(" ") || "No place.";
  }
  for (const frame of $$("#pictures .frame[data-side]")) {
    $("i", frame)?.remove();
    const { box } = marks[frame.dataset.side];
    if (box) frame.append(make("i", { style: inCss(box, 0, 0, factor) }));
  }
  $("#grade").disabled = !ready || !SIDES.every((side) => isGraded(marks[side]));
}

function finish() {
  if (!ready || !SIDES.every((side) => isGraded(marks[side]))) return;
  const more = marks.A.severity - marks.B.severity;
  answer(more > 0 ? "A" : more < 0 ? "B" : "same");
}

// What is shown ------------------------------------------------------------------------------

function notice(text) {
  $("#notice").textContent = text;
  $("#notice").hidden = !text;
}

function picturesOf(place) {
  const [id, kind] = tasks[place];
  if (!loaded.has(id)) {
    loaded.set(id, kinds[kind].pictures.map((caption) => {
      const image = new Image();
      image.alt = `Picture ${caption}`;
      image.draggable = false;
      image.src = `pictures/${id.slice(1, 3)}/${id}-${caption}.png`;
      return { caption, image, loading: image.decode().then(() => true, () => false) };
    }));
  }
  return loaded.get(id);
}

function next(before = {}) {
  $("#vote").hidden = !queue.length;
  $("#done").hidden = queue.length > 0;
  showProgress();
  if (!queue.length) {
    $("#done-title").focus();
    return;
  }
  for (const id of [...loaded.keys()]) {
    if (!queue.slice(0, AHEAD + 1).some((place) => tasks[place][0] === id)) loaded.delete(id);
  }
  const place = queue[0];
  images = picturesOf(place);
  ready = false;
  looked = 0;
  active = "A";
  marks = Object.fromEntries(SIDES.map((side) => [side, { severity: before[`severity_${side}`] ?? null, box: before[`box_${side}`] ?? null }]));
  if (flipped >= 0) flipped = images.findIndex(({ caption }) => caption === "A");
  $("#question").textContent = kinds[tasks[place][1]].question;
  $("#question").focus({ preventScroll: true }); // not a button: the space bar is for flipping
  draw();
  enable();
  Promise.all(images.map((each) => each.loading)).then((whole) => {
    if (place !== queue[0]) return;
    ready = whole.every(Boolean);
    since = performance.now();
    images.forEach((each, index) => { each.missing = !whole[index]; });
    draw();
    enable();
    if (!ready) notice("A picture of this task cannot be loaded. Go on with Later, and tell whoever gave you this page.");
    else if ($("#notice").textContent.startsWith("A picture")) notice("");
    queue.slice(1, AHEAD + 1).forEach(picturesOf);
  });
}

function enable() {
  for (const button of $$("#answers button")) button.disabled = !ready;
  if (grades) showMarks();
  else {
    const [, kind, place] = queue.length ? tasks[queue[0]] : [];
    $("#answers [data-answer=nothing]").hidden = !kinds[kind]?.answers.includes("nothing");
    $("#framed").disabled = !place;
    $("#framed").setAttribute("aria-pressed", framed);
  }
  $("#undo").disabled = !votes.size;
  $("#later").disabled = queue.length < 2;
  $("#flip").setAttribute("aria-pressed", flipped >= 0);
  $("#beside").setAttribute("aria-pressed", flipped < 0);
}

// The largest whole number of screen pixels per picture pixel with which all fit side by side.
function scale(count, width, height) {
  const dots = window.devicePixelRatio || 1;
  const room = $("#vote").clientWidth - GAP * (count - 1);
  const top = window.innerHeight - 310;
  const most = Math.min(room / count / width, Math.max(top, 200) / height, MOST_SCALE);
  const whole = Math.floor(most * dots) / dots;
  if (whole >= 1) return whole;
  return Math.min(1, $("#vote").clientWidth / width);
}

function draw() {
  const shown = flipped < 0 ? images : [images[flipped]];
  const [{ naturalWidth: width, naturalHeight: height }] = images.map((each) => each.image);
  factor = scale(flipped < 0 ? images.length : 1, width || 300, height || 300);
  $("#pictures").classList.toggle("enlarged", factor > 1);
  $("#pictures").replaceChildren(...shown.map(({ caption, image, missing }) => {
    Object.assign(image.style, { width: `${Math.round(width * factor)}px`, height: `${Math.round(height * factor)}px` });
    const side = grades && SIDES.includes(caption) && caption;
    const picture = make("div", { class: "frame", "data-side": side }, image);
    const place = framed && tasks[queue[0]][2];
    if (place) picture.append(make("i", { style: inCss(place, 0, 0, factor) }));
    return make("figure", {}, make("figcaption", {}, caption), missing ? make("p", { class: "missing" }, "This picture is missing.") : picture);
  }));
  if (grades) showMarks();
  const single = flipped < 0 ? "" : `Picture ${images[flipped].caption}. `;
  $("#shown").textContent = single + (factor < 1 ? `Reduced to ${Math.round(100 * factor)} %: make the window larger.` : "");
}

// A and B in turns at one place, the original (where there is one) after them.
function flip() {
  if (!queue.length) return;
  const order = ["A", "B", "original"].map((name) => images.findIndex((each) => each.caption === name)).filter((place) => place >= 0);
  flipped = flipped < 0 ? order[0] : order[(order.indexOf(flipped) + 1) % order.length];
  draw();
  enable();
}

function beside() {
  flipped = -1;
  if (queue.length) draw();
  enable();
}

function frame() {
  framed = !framed;
  if (queue.length) draw();
  enable();
}

function inSight() {
  return looked + (document.hidden ? 0 : (performance.now() - since) / 1000);
}

function showProgress() {
  const total = tasks.length;
  const done = total - queue.length;
  $("#bar").max = total;
  $("#bar").value = done;
  const recent = [...votes.values()].slice(-RECENT).map((vote) => Math.min(vote.seconds, LONGEST));
  let left = "";
  if (recent.length && queue.length) {
    const minutes = Math.ceil(recent.reduce((a, b) => a + b) / recent.length * queue.length / 60);
    left = minutes < 90 ? `, about ${minutes} min left` : `, about ${Math.round(minutes / 60)} h left`;
  }
  $("#count").textContent = `${done} of ${total}${left}`;
  $("#unsaved").textContent = unsaved() ? `${unsaved()} not saved to a file` : votes.size ? "All saved" : "";
}

// Files --------------------------------------------------------------------------------------

function save(kind) {
  let text;
  if (kind === "json") {
    const list = [...votes].map(([task, vote]) => ({ task, ...vote }));
    text = JSON.stringify({ schema, export: exportId, rater, votes: list }, null, 1);
  } else {
    const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const plain = (value) => (value === null || value === undefined ? "" : JSON.stringify(value));
    const rows = [...votes].map(([task, vote]) => [rater, task, vote.answer, ...MARKS.map((name) => plain(vote[name])), vote.time, exportId]);
    text = [["rater", "task", "answer", ...MARKS, "time", "export"], ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind === "json" ? "application/json" : "text/csv" }));
  link.download = `votes-${rater.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^\.+/, "_")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  noteSaved(votes.size);
  showProgress();
}

async function load(file) {
  let found;
  try { found = JSON.parse(await file.text()); } catch { found = {}; }
  if (!found || found.schema !== schema || !Array.isArray(found.votes)) {
    notice(`${file.name} is no file of votes that this page saved.`);
  } else if (found.export !== exportId) {
    notice(`${file.name} has votes on other tasks than these.`);
  } else if (found.rater !== rater) {
    notice(`${file.name} has the votes of ${found.rater}, and you are ${rater}. Choose Change and enter that name.`);
  } else {
    let taken = 0;
    const known = new Set(tasks.map(([id]) => id));
    for (const { task, ...vote } of found.votes) {
      if (!known.has(task) || votes.has(task) || !ANSWERS.includes(vote.answer)) continue;
      votes.set(task, vote);
      keep(task, votes.get(task));
      taken++;
    }
    queue = queue.filter((place) => !votes.has(tasks[place][0]));
    notice(`${taken} votes were taken from ${file.name}.`);
    next();
  }
}

// Input --------------------------------------------------------------------------------------

$("#start").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("#name").value.normalize("NFC").replace(/\s+/g, " ").trim();
  if (!name) return;
  if (/^[=+@-]/.test(name)) notice("A name cannot begin with = + - or @, because spreadsheets would read a formula.");
  else begin(name);
});
$("#leave").addEventListener("click", leave);
$("#answers").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "grade") finish();
  else if (button.dataset.answer) answer(button.dataset.answer);
  else grade(button.closest("fieldset").dataset.side, Number(button.dataset.severity));
  if (event.detail && queue.length) $("#question").focus({ preventScroll: true }); // keys are for the task again
});
if (grades) $("#pictures").addEventListener("pointerdown", press);
if (!grades) $("#framed").addEventListener("click", frame);
for (const [id, act] of Object.entries({ flip, beside, undo, back: undo, later })) $(`#${id}`).addEventListener("click", act);
$("#save").addEventListener("click", () => save("json"));
$("#save-csv").addEventListener("click", () => save("csv"));
$("#load").addEventListener("change", () => {
  if ($("#load").files[0]) load($("#load").files[0]);
  $("#load").value = "";
});

const answerKeys = grades ? {
  ...Object.fromEntries([0, 1, 2, 3].map((severity) => [severity, () => grade(active, severity)])),
  a: () => choose("A"), b: () => choose("B"), n: () => answer("nothing"), Enter: finish,
  ArrowLeft: (event) => arrow(-STEP, 0, event), ArrowRight: (event) => arrow(STEP, 0, event),
  ArrowUp: (event) => arrow(0, -STEP, event), ArrowDown: (event) => arrow(0, STEP, event),
} : {
  1: () => answer("A"), ArrowLeft: () => answer("A"),
  2: () => answer("B"), ArrowRight: () => answer("B"),
  3: () => answer("same"), ArrowDown: () => answer("same"),
  4: () => answer("nothing"), f: frame,
};
onKeys({
  ...answerKeys, u: undo, Backspace: undo, l: later, s: beside, Escape: beside, " ": flip,
}, ({ key, repeat, target }) => !rater || (repeat && !(grades && key.startsWith("Arrow"))) || target.closest("input") ||
  ([" ", "Enter"].includes(key) && target.closest("button"))); // it presses the button
document.addEventListener("visibilitychange", () => {
  if (document.hidden) looked += (performance.now() - since) / 1000;
  else since = performance.now();
});
window.addEventListener("storage", (event) => { // the same rater in another tab
  if (!rater || !event.key?.startsWith(prefix())) return;
  const place = queue[0];
  votes = stored();
  queue = queue.filter((each) => !votes.has(tasks[each][0]));
  if (queue[0] === place) showProgress();
  else next();
});
window.addEventListener("resize", () => { if (rater && queue.length) draw(); });
window.addEventListener("beforeunload", (event) => { if (rater && unsaved()) event.preventDefault(); });

$("#start").hidden = false;
$("#name").focus();
