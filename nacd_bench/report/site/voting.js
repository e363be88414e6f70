// One rater, one task at a time. A vote is one entry of localStorage, written as it is given, so
// that a reload loses nothing and the thousandth vote costs no more than the first.
"use strict";
const { schema, export: exportId, kinds, tasks } = DATA;
const ANSWERS = ["A", "B", "same"];
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
let images = []; // of the task that is shown
let ready = false;
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
  if (!rater || !queue.length || !ready) return;
  const id = tasks[queue[0]][0];
  const vote = { answer: choice, time: new Date().toISOString(), seconds: Math.round(10 * inSight()) / 10 };
  votes.set(id, vote);
  keep(id, vote);
  queue.shift();
  loaded.delete(id);
  next();
}

function undo() {
  const last = [...votes.keys()].pop();
  if (last === undefined) return;
  votes.delete(last);
  keep(last, null);
  if (saved > votes.size) noteSaved(0); // the file has a vote too many
  queue.unshift(tasks.findIndex(([id]) => id === last));
  next();
}

function later() {
  if (queue.length < 2) return;
  queue.push(queue.shift());
  next();
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

function next() {
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
  for (const button of $("#answers").children) button.disabled = !ready;
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
  const factor = scale(flipped < 0 ? images.length : 1, width || 300, height || 300);
  $("#pictures").classList.toggle("enlarged", factor > 1);
  $("#pictures").replaceChildren(...shown.map(({ caption, image, missing }) => {
    Object.assign(image.style, { width: `${Math.round(width * factor)}px`, height: `${Math.round(height * factor)}px` });
    return make("figure", {}, make("figcaption", {}, caption), missing ? make("p", { class: "missing" }, "This picture is missing.") : image);
  }));
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
    const rows = [...votes].map(([task, vote]) => [rater, task, vote.answer, vote.time, exportId]);
    text = [["rater", "task", "answer", "time", "export"], ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
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
    for (const { task, answer, time, seconds } of found.votes) {
      if (!known.has(task) || votes.has(task) || !ANSWERS.includes(answer)) continue;
      votes.set(task, { answer, time, seconds });
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
  if (button) answer(button.dataset.answer);
});
for (const [id, act] of Object.entries({ flip, beside, undo, back: undo, later })) $(`#${id}`).addEventListener("click", act);
$("#save").addEventListener("click", () => save("json"));
$("#save-csv").addEventListener("click", () => save("csv"));
$("#load").addEventListener("change", () => {
  if ($("#load").files[0]) load($("#load").files[0]);
  $("#load").value = "";
});

onKeys({
  1: () => answer("A"), ArrowLeft: () => answer("A"),
  2: () => answer("B"), ArrowRight: () => answer("B"),
  3: () => answer("same"), ArrowDown: () => answer("same"),
  u: undo, Backspace: undo, l: later, s: beside, Escape: beside, " ": flip,
}, ({ key, repeat, target }) => !rater || repeat || target.closest("input") ||
  (key === " " && target.closest("button"))); // it presses the button
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
