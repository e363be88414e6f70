"use strict";
// What pages share that show pictures in full: the place in the address bar, the list of keys, and
// panes that show the same part of pictures of one size. A page has `write` and `change`, which put
// settings into the address, the latter showing them.

// --- what the address bar holds

function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/");
  return { page, rest: rest.map(decodeURIComponent), query: new URLSearchParams(query || "") };
}

function to(page, query, replace = false) {
  const text = query ? query.toString() : "";
  const hash = `#/${page}${text ? "?" + text : ""}`;
  if (replace) history.replaceState(null, "", hash);
  else location.hash = hash;
}

function withSettings(query, settings) {
  for (const [name, value] of Object.entries(settings)) { if (value) query.set(name, value); else query.delete(name); }
  return query;
}

// --- keys

const keys = $("#keys");
const isTyping = ({ target }) => keys.open || target.closest("select, textarea, [type=search]");
$("header .help-key").addEventListener("click", () => keys.showModal());
onKeys({ "?": () => keys.showModal() }, isTyping);

// --- panes

// scale and place of the pictures in their panes; their size, and what part of it is seen (null: all)
const view = { scale: 1, x: 0, y: 0, see: null, width: 1, height: 1 };
const panes = $(".panes");
const isViewing = () => panes.offsetParent !== null;

function showPanes(query, { width, height }, made) {
  const see = (query.get("see") || "").split(",").map(Number);
  view.see = see.length === 4 && see.every(Number.isFinite) && see[2] > see[0] && see[3] > see[1] ? see : null;
  Object.assign(view, { width, height });
  panes.replaceChildren(...made.map(({ caption, pictures, boxes }) => make("div", { class: "pane" },
    make("div", { class: "caption" }, caption),
    make("div", { class: "stage", style: { width: `${width}px`, height: `${height}px` } }, pictures), boxes)));
  fit();
}

const boxOn = (box, text, kind = "") => make("div", { class: `box ${kind}`, "data-box": box }, make("span", {}, text));

// the part of the pictures that is to be seen, in the middle of each pane
function fit() {
  const pane = $(".pane", panes);
  if (!pane) return;
  const [x0, y0, x1, y1] = view.see || [0, 0, view.width, view.height];
  const scale = Math.min(pane.clientWidth / (x1 - x0), pane.clientHeight / (y1 - y0));
  Object.assign(view, { scale, x: (pane.clientWidth - (x0 + x1) * scale) / 2, y: (pane.clientHeight - (y0 + y1) * scale) / 2 });
  place();
}

function place() {
  for (const stage of $$(".stage", panes)) {
    stage.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    for (const image of $$("img", stage)) image.style.imageRendering = view.scale >= 2 ? "pixelated" : "auto";
  }
  for (const box of $$(".box", panes)) {
    Object.assign(box.style, inCss(box.dataset.box.split(",").map(Number), -view.x / view.scale, -view.y / view.scale, view.scale));
  }
}

// after a move: what is seen goes into the address
let writing = 0;
function moved() {
  const pane = $(".pane", panes);
  view.see = [-view.x, -view.y, pane.clientWidth - view.x, pane.clientHeight - view.y].map((side) => side / view.scale);
  place();
  clearTimeout(writing);
  writing = setTimeout(() => { if (isViewing()) write({ see: view.see.map((side) => Number(side.toFixed(1))).join(",") }); }, 150);
}

function zoom(factor, x, y) {
  const pane = $(".pane", panes);
  if (!pane) return;
  if (!factor) { clearTimeout(writing); change({ see: "" }); return; }
  const at = [x ?? pane.clientWidth / 2, y ?? pane.clientHeight / 2];
  const scale = Math.max(1 / 64, Math.min(64, view.scale * factor)), ratio = scale / view.scale;
  Object.assign(view, { scale, x: at[0] - (at[0] - view.x) * ratio, y: at[1] - (at[1] - view.y) * ratio });
  moved();
}

function pan(x, y) {
  Object.assign(view, { x: view.x + x, y: view.y + y });
  moved();
}

panes.addEventListener("wheel", (event) => {
  event.preventDefault();
  const bounds = event.target.closest(".pane")?.getBoundingClientRect();
  if (bounds) zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - bounds.left, event.clientY - bounds.top);
}, { passive: false });

// one pointer moves, two zoom
const pointers = new Map();
panes.addEventListener("pointerdown", (event) => {
  const pane = event.target.closest(".pane");
  if (pane) pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, pane });
});
addEventListener("pointermove", (event) => {
  const from = pointers.get(event.pointerId);
  if (!from) return;
  const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const far = ({ clientX, clientY, x, y }) => Math.hypot((clientX ?? x) - other.x, (clientY ?? y) - other.y);
    const bounds = from.pane.getBoundingClientRect();
    zoom(far(event) / Math.max(1, far(from)), other.x - bounds.left, other.y - bounds.top);
  } else pan(event.clientX - from.x, event.clientY - from.y);
  Object.assign(from, { x: event.clientX, y: event.clientY });
});
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, (event) => pointers.delete(event.pointerId));
for (const button of $$("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));

const isElsewhere = (event) => isTyping(event) || !isViewing();
const isSliding = ({ target, key }) => target.type === "range" && key.startsWith("Arrow");
onKeys({ "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0) }, isElsewhere);
onKeys({ ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60), ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0) },
  (event) => isElsewhere(event) || isSliding(event) || !event.shiftKey);
addEventListener("resize", () => { if (isViewing()) fit(); });
for (const kind of ["beforeprint", "afterprint"]) addEventListener(kind, () => {
  document.body.classList.toggle("printing", kind === "beforeprint");
  if (isViewing()) fit();
});
