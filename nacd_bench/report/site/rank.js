"use strict";
// The curves, and the worst findings: the same part of a photograph in the original, in every codec,
// in the anchor. One finding that is opened has the viewer.

const EDGE = 300;
const FILTERS = { type: (finding) => finding.type, codec: (finding) => finding.codec, rate: (finding) => finding.preset };
const OVERVIEW = ["curve", ...Object.keys(FILTERS), "original", "boxes"]; // settings that go along
const selects = Object.fromEntries(["curve", ...Object.keys(FILTERS)].map((name) => [name, $(`select[name=${name}]`)]));

const titleOf = (finding) => `${finding.codec}: ${finding.type}, severity ${number(finding.severity)}, in ${finding.image} at ${finding.preset}`;
const kept = (query) => new URLSearchParams([...query].filter(([name]) => OVERVIEW.includes(name)));
const opened = () => (address().page === "finding" && DATA.findings[address().rest[0]] ? Number(address().rest[0]) : null);
const chosen = (query) => DATA.findings.filter((finding) =>
  Object.entries(FILTERS).every(([name, of]) => !query.get(name) || of(finding) === query.get(name)));

function show() {
  const { query } = address(), index = opened();
  $("#finding").hidden = index === null;
  $("#overview").hidden = index !== null;
  for (const button of $$("[data-boxes]")) button.setAttribute("aria-pressed", String(query.get("boxes") !== "none"));
  $("main").classList.toggle("without-boxes", query.get("boxes") === "none");
  if (index === null) showOverview(query);
  else showFinding(query, index);
}

// settings into the address of this view
function write(settings) {
  const index = opened();
  to(index === null ? "overview" : `finding/${index}`, withSettings(address().query, settings), true);
}

function change(settings) {
  write(settings);
  show();
}

// --- overview

function showOverview(query) {
  document.title = DATA.title;
  fill(selects.curve, [["", "all"], ...Object.entries(DATA.panels)], DATA.panels[query.get("curve")] ? query.get("curve") : "");
  for (const [name, of] of Object.entries(FILTERS)) fill(selects[name], withAll(unique(DATA.findings.map(of))), query.get(name));
  const curve = `curves${selects.curve.value && "-"}${selects.curve.value}.svg`;
  $("figure a").href = curve;
  if ($("figure img").getAttribute("src") !== curve) $("figure img").src = curve;
  $("[data-flip]").setAttribute("aria-pressed", String(query.has("original")));
  const findings = chosen(query);
  $(".count").textContent = DATA.findings.length ? `${findings.length} of ${counted(DATA.findings.length, "finding")}` : "No codec is worse than the anchor anywhere.";
  $(".findings").replaceChildren(...findings.map((finding) => make("article", { class: "finding" },
    make("h3", {}, linkTo(finding, query)),
    make("div", { class: "views" }, finding.views.map((view) => part(finding, view, query.has("original")))))));
}

function linkTo(finding, query) {
  const index = DATA.findings.indexOf(finding);
  return make("a", { href: `#/finding/${index}?${kept(query)}`, "data-finding": index }, titleOf(finding));
}

function part(finding, { label, picture, fault }, isOriginal) {
  const frame = make("div", { class: "view", style: { width: `${EDGE}px`, height: `${EDGE}px` } });
  if (!picture) {
    frame.append(make("div", { class: "fault" }, fault), make("span", { class: "label" }, label));
    return frame;
  }
  const [x0, y0, x1, y1] = finding.part;
  const scale = EDGE / Math.max(x1 - x0, y1 - y0);
  const place = (box) => inCss(box, x0, y0, scale);
  const src = (isOriginal && finding.views[0].picture) || picture;
  frame.append(
    make("img", { src, alt: `${label}: ${finding.image}`, loading: "lazy", decoding: "async", style: place(finding.part) }),
    make("i", { style: place(finding.box) }), make("span", { class: "label" }, label));
  return frame;
}

for (const [name, select] of Object.entries(selects)) select.addEventListener("change", () => change({ [name]: select.value }));
for (const form of $$(".filters")) form.addEventListener("submit", (event) => event.preventDefault());

function nextCurve() {
  const { options, selectedIndex } = selects.curve;
  change({ curve: options[(selectedIndex + 1) % options.length].value });
}

// --- a finding

let last = null; // the one that was open

function showFinding(query, index) {
  const finding = DATA.findings[index];
  last = index;
  const [x0, y0, x1, y1] = finding.part || [0, 0, 1, 1];
  const box = finding.box.map((edge, i) => edge - [x0, y0][i % 2]);
  const isFlip = query.get("mode") === "flip";
  $("#finding-title").textContent = document.title = titleOf(finding);
  for (const button of $$("[data-mode]")) button.setAttribute("aria-pressed", String((button.dataset.mode === "flip") === isFlip));
  const size = { width: x1 - x0, height: y1 - y0 };
  const views = isFlip ? [finding.views[side(finding, query)]] : finding.views;
  showPanes(query, size, views.map(({ label, picture, fault }) => ({
    caption: picture ? label : `${label}: ${fault}`,
    pictures: picture ? [make("img", { src: picture, alt: `${label}: ${finding.image}`, draggable: "false" })] : [],
    boxes: picture ? [boxOn(box, `${finding.type} ${number(finding.severity)}`)] : [],
  })));
}

// the view that stands in the place of all: at first the codec
function side(finding, query) {
  const given = Number(query.get("side") || 1);
  return finding.views[given] ? given : 0;
}

function flip() {
  const { query } = address(), finding = DATA.findings[opened()];
  if (!finding) return change({ original: query.has("original") ? "" : "1" });
  const next = query.get("mode") === "flip" ? (side(finding, query) + 1) % finding.views.length : 1;
  return change({ mode: "flip", side: String(next) });
}

// the next of the findings that are listed
function step(by) {
  const { query } = address(), index = opened(), all = chosen(query);
  if (!all.length) return;
  const at = index === null ? Math.min(0, -by) : all.indexOf(DATA.findings[index]);
  const next = all[(at + by + all.length) % all.length];
  to(`finding/${DATA.findings.indexOf(next)}`, withSettings(query, { see: "" }), index !== null);
  if (index !== null) show();
}

const boxes = () => change({ boxes: address().query.get("boxes") === "none" ? "" : "none" });
const close = () => to("overview", kept(address().query));

for (const button of $$("[data-boxes]")) button.addEventListener("click", boxes);
for (const button of $$("[data-mode=flip], [data-flip]")) button.addEventListener("click", flip);
$("[data-mode=side]").addEventListener("click", () => change({ mode: "" }));
for (const button of $$("[data-step]")) button.addEventListener("click", () => step(Number(button.dataset.step)));
$("[data-close]").addEventListener("click", close);
onKeys({ f: flip, b: boxes, j: () => step(1), k: () => step(-1) }, isTyping);
onKeys({ 1: () => change({ mode: "" }), 2: flip, Escape: close }, isElsewhere);
onKeys({ c: nextCurve }, (event) => isTyping(event) || isViewing());
addEventListener("hashchange", () => {
  show();
  scrollTo(0, 0);
  if (opened() === null && last !== null) $(`.finding [data-finding='${last}']`)?.focus();
  if (opened() === null) last = null;
});
show();
