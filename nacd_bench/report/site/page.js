"use strict";
// What all pages share. The page's data are in DATA (data.js); everything shown goes through textContent.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const SVG = ["svg", "path", "line", "rect", "circle", "text", "g"];

function make(tag, attributes = {}, ...children) {
  const node = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// left, top, width and height in CSS of a box in pixels of an image
const inCss = ([x0, y0, x1, y1], left = 0, top = 0, scale = 1) => ({
  left: `${(x0 - left) * scale}px`, top: `${(y0 - top) * scale}px`, width: `${(x1 - x0) * scale}px`, height: `${(y1 - y0) * scale}px`,
});

// --- numbers; nacd_bench/numbers.py is the same for everything else

// four significant digits of a value of any size
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  return String(Number(Number(value).toPrecision(4)));
}

// three decimals of a share, and more where it would read as 0 or 1 and is not
function share(value) {
  if (!Number.isFinite(value)) return "-";
  let decimals = 3;
  while (decimals < 12 && value !== Number(value.toFixed(decimals)) && [0, 1].includes(Number(value.toFixed(decimals)))) decimals += 1;
  return value.toFixed(decimals);
}

// a number as YAML has it
function yamlNumber(value) {
  if (Number.isNaN(value)) return ".nan";
  return Number.isFinite(value) ? String(value) : value > 0 ? ".inf" : "-.inf";
}

// --- forms

function fill(select, options, value) {
  select.replaceChildren(...options.map(([key, label]) => make("option", { value: key }, label)));
  select.value = value || "";
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const unique = (values) => [...new Set(values.filter((value) => value !== null && value !== undefined && value !== ""))].sort();
const withAll = (values) => [["", "all"], ...values.map((value) => [value, value])];

// what the fields of a form say, without empty ones
function formQuery(form) {
  const query = new URLSearchParams();
  for (const { name, type, checked, value } of form.elements) {
    if (name && value && (type !== "checkbox" || checked)) query.set(name, value);
  }
  return query;
}

// --- keys: a name of a key, or a letter in lower case, to what it does

function onKeys(actions, isOff = () => false) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isOff(event)) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

// the link to the content keeps the address, which holds what is seen
$(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("#main").focus();
});

// --- long lists: only the items in sight are in the page, on paper the first ones

const PRINTED = 200;
let isPrinting = false;

function drawVisible(list, count, { columns = 1, step, across = 0 }, item) {
  list.style.height = `${Math.ceil(count / columns) * step}px`;
  const top = -list.getBoundingClientRect().top;
  const first = isPrinting ? 0 : Math.max(0, Math.floor(top / step) - 2) * columns;
  const last = Math.min(count, isPrinting ? PRINTED : (Math.ceil((top + innerHeight) / step) + 2) * columns);
  if (isPrinting && last < count) list.dataset.rest = `and ${count - last} more`;
  else delete list.dataset.rest;
  const layout = `${columns} ${step}`;
  const drawn = new Set();
  for (const node of [...list.children]) {
    const key = Number(node.dataset.key);
    const isOld = node.dataset.layout !== layout || key >= count;
    const isFar = (key < first || key >= last) && document.activeElement !== node;
    if (isOld || isFar) node.remove();
    else drawn.add(key);
  }
  for (let key = first; key < last; key += 1) {
    if (drawn.has(key)) continue;
    const node = item(key);
    Object.assign(node.dataset, { key, layout });
    Object.assign(node.style, { top: `${Math.floor(key / columns) * step}px`, left: `${(key % columns) * across}px` });
    list.append(node);
  }
}

function onScroll(draw) {
  let waiting = false;
  for (const kind of ["scroll", "resize"]) addEventListener(kind, () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }, { passive: true });
  for (const kind of ["beforeprint", "afterprint"]) addEventListener(kind, () => {
    isPrinting = kind === "beforeprint";
    draw();
  });
}
