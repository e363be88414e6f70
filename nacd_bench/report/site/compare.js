"use strict";
const C = DATA;
const FILTERS = ["status", "change", "artifact_type", "preset"];
const LABELS = { original: "original", before: "before", after: "after", traditional: "traditional" };
const GAP = 6, PAD = 9, HEAD = 46, BETWEEN = 12, MOST = 300;

// --- what the address bar holds

const query = () => new URLSearchParams(location.hash.replace(/^#\??/, ""));

function keep(name, value) {
  const now = query();
  if (value) now.set(name, value);
  else now.delete(name);
  history.replaceState(null, "", now.toString() ? `#?${now}` : "#");
}

// --- which changes are shown

let shown = [];
let side = "after"; // the one that the view for flipping shows
const list = $(".changes");
const form = $(".filters");

function setUp() {
  const now = query();
  for (const name of FILTERS) {
    fill(form.elements[name], withAll(unique(C.changes.map((change) => change[name]))), now.get(name));
    if (form.elements[name].selectedIndex < 0) form.elements[name].value = "";
  }
  form.elements.sort.value = ["weakest", "name"].includes(now.get("sort")) ? now.get("sort") : "";
  form.elements.q.value = now.get("q") || "";
  choose();
}

function choose() {
  const part = form.elements.q.value.toLowerCase();
  shown = C.changes.filter((each) =>
    FILTERS.every((name) => !form.elements[name].value || each[name] === form.elements[name].value) &&
    (!part || each.image.toLowerCase().includes(part)));
  const order = { weakest: (a, b) => b.place - a.place, name: (a, b) => (a.image < b.image ? -1 : a.image > b.image ? 1 : a.place - b.place) };
  shown.sort(order[form.elements.sort.value] || ((a, b) => a.place - b.place));
  let text = `${shown.length} of ${C.total} changes`;
  if (C.total > C.changes.length) text += `. The page holds the ${C.changes.length} strongest, changes.csv has all`;
  if (C.total > C.pictured) text += `. The ${C.pictured} strongest have pictures (pictures=... for more)`;
  if (!C.total) text = "Nothing to show: neither run has an artifact where the other was compared";
  $(".count").textContent = `${text}.`;
  list.replaceChildren();
  draw();
}

form.addEventListener("input", () => {
  for (const name of [...FILTERS, "sort", "q"]) keep(name, form.elements[name].value);
  choose();
});
form.addEventListener("submit", (event) => event.preventDefault());

// --- only the changes in sight are in the page

const views = () => (mode() === "flip" ? ["original", side, "traditional"] : ["original", "before", "after", "traditional"]);
const mode = () => (query().get("view") === "flip" ? "flip" : "side");

function sizes() {
  const inner = list.clientWidth - 2 * PAD;
  const count = mode() === "flip" ? 3 : 4;
  const columns = inner >= 640 ? count : 2;
  const edge = Math.floor(Math.min(MOST, (inner - (columns - 1) * GAP) / columns));
  const rows = Math.ceil(count / columns);
  return { edge, step: HEAD + rows * (edge + GAP) + 2 * PAD + BETWEEN };
}

function draw() {
  const { edge, step } = sizes();
  drawVisible(list, shown.length, { step }, (key) => change(key, edge, step));
}

function change(key, edge, step) {
  const each = shown[key];
  const a = number(each.severity_before), b = number(each.severity_after);
  const notes = [
    each.threshold !== null && `threshold ${number(each.threshold)}`,
    each.bpp_before !== null && each.bpp_after !== null && `${number(each.bpp_before)} to ${number(each.bpp_after)} bpp`,
  ].filter(Boolean).join(" · ");
  return make("article", {
    class: "change", role: "listitem", tabindex: "0",
    "aria-label": `${each.status}: ${each.artifact_type} in ${each.image}`,
    style: { height: `${step - BETWEEN}px` },
  },
  make("div", { class: "head" },
    make("span", { class: `status ${each.status}` }, each.status), make("span", {}, [each.change, each.detector].filter(Boolean).join(", ")),
    make("span", { class: "name", title: each.image }, [each.image, each.preset].filter(Boolean).join(" · ")),
    make("span", {}, `severity ${a} to ${b}`), make("span", { class: "soft" }, notes)),
  make("div", { class: "views" }, views().map((view) => pane(each, view, edge))));
}

function pane(each, view, edge) {
  const label = make("span", { class: "label" }, LABELS[view]);
  const frame = make("div", { class: "view", "data-role": view, style: { width: `${edge}px`, height: `${edge}px` } });
  if (!each.pictures[view]) {
    const fault = each.faults[view] || each.faults.original ||
      (each.part ? "There is no picture of it." : "No picture: only the strongest changes have some.");
    frame.append(make("div", { class: "fault" }, fault), label);
    return frame;
  }
  const [x0, y0, x1, y1] = each.part;
  const scale = edge / Math.max(x1 - x0, y1 - y0);
  const left = (x0 + x1 - edge / scale) / 2, top = (y0 + y1 - edge / scale) / 2; // the part is in the middle
  const inside = (box) => inCss(box, left, top, scale);
  frame.append(make("img", { src: each.pictures[view], alt: `${LABELS[view]} of ${each.image}`, loading: "lazy", decoding: "async", style: inside(each.part) }));
  each.boxes.forEach((box, i) => {
    const own = view === ["before", "after"][i] || view === "original" || view === "traditional";
    if (box) frame.append(make("i", { class: own ? "" : "other", style: inside(box) }));
  });
  frame.append(label);
  return frame;
}

function again() {
  const key = document.activeElement?.dataset?.key;
  list.replaceChildren();
  draw();
  if (key !== undefined) $(`.change[data-key='${key}']`, list)?.focus({ preventScroll: true });
}

// --- buttons and keys

function show() {
  for (const button of $$("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === mode());
  $("[data-flip]").disabled = mode() !== "flip";
}

function view(name) {
  const { step } = sizes();
  const at = Math.max(0, Math.round(-list.getBoundingClientRect().top / step));
  keep("view", name === "flip" ? "flip" : "");
  show();
  again();
  if (-list.getBoundingClientRect().top > 0) scrollTo(0, list.getBoundingClientRect().top + scrollY + at * sizes().step);
  draw();
}

function flip() {
  if (mode() !== "flip") return view("flip");
  side = side === "after" ? "before" : "after";
  again();
}

function boxes() {
  const without = list.classList.toggle("without-boxes");
  $("[data-boxes]").setAttribute("aria-pressed", String(!without));
}

function move(by) {
  const { step } = sizes();
  const now = document.activeElement?.dataset?.key;
  const at = now === undefined ? Math.max(0, Math.round(-list.getBoundingClientRect().top / step)) - (by > 0 ? 1 : 0) : Number(now);
  const key = Math.min(shown.length - 1, Math.max(0, at + by));
  if (key < 0) return;
  scrollTo(0, list.getBoundingClientRect().top + scrollY + key * step - 20);
  draw();
  $(`.change[data-key='${key}']`, list)?.focus({ preventScroll: true });
}

for (const button of $$("[data-view]")) button.addEventListener("click", () => view(button.dataset.view));
$("[data-flip]").addEventListener("click", flip);
$("[data-boxes]").addEventListener("click", boxes);
onKeys({ j: () => move(1), k: () => move(-1), f: flip, b: boxes, 1: () => view("side"), 2: () => view("flip") },
  (event) => event.target.closest("input, select, textarea"));
onScroll(draw);
addEventListener("hashchange", () => { if (location.hash.startsWith("#?")) { setUp(); show(); } });
setUp();
show();
