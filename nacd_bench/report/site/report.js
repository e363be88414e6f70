"use strict";
const R = DATA;
const ROLES = ["original", "neural", "traditional"];

let before = "#/gallery"; // where closing a triplet leads: what was seen last, in this page only

function show() {
  const { page, rest, query } = address();
  const known = ["overview", "gallery", "thresholds", "triplets", "triplet"].includes(page) ? page : "overview";
  // with nothing in the address, the strongest finding stands above the overview
  const first = !page && findings[0];
  if (known !== "triplet") before = page ? location.hash : "#/overview";
  for (const section of $$(".page")) section.hidden = section.id !== known && !(first && section.id === "triplet");
  if (first) showTriplet(seeing(first), [first[0]], first);
  for (const link of $$("nav a")) {
    if (link.dataset.page === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  ({ gallery: showGallery, thresholds: showThresholds, triplets: showTriplets, triplet: showTriplet }[known] || (() => {}))(query, rest);
  if (known !== "overview") document.title = `${known} - ${R.title}`;
  else document.title = R.title;
}

// --- scores, sets and thresholds

const chosen = { ...R.thresholds }; // by method

function members(set) {
  // [{score, positive}] of a method on a test set, or of all triplets
  return (method) =>
    (set ? Object.entries(R.sets[set].truth) : R.triplets.map((_, i) => [i, null]))
      .map(([i, positive]) => ({ score: R.triplets[i].scores[method], positive, index: Number(i) }))
      .filter((each) => each.score !== undefined && each.score !== null);
}

function counts(rows, threshold) {
  const found = { tp: 0, fp: 0, fn: 0, tn: 0 };
  for (const row of rows) found[row.score > threshold ? (row.positive ? "tp" : "fp") : row.positive ? "fn" : "tn"] += 1;
  return found;
}

function rocPoints(rows) {
  const sorted = [...rows].sort((a, b) => b.score - a.score);
  const positives = rows.filter((row) => row.positive).length;
  const negatives = rows.length - positives;
  const points = [[0, 0]];
  let tp = 0, fp = 0;
  sorted.forEach((row, i) => {
    if (row.positive) tp += 1; else fp += 1;
    if (i + 1 === sorted.length || sorted[i + 1].score !== row.score) points.push([fp / negatives, tp / positives]);
  });
  return points;
}

// --- charts

const W = 420, H = 320, LEFT = 46, TOP = 26, RIGHT = 14, BOTTOM = 40;
const px = (x) => LEFT + x * (W - LEFT - RIGHT);
const py = (y) => H - BOTTOM - y * (H - TOP - BOTTOM);

function chart(title, xLabel, yLabel, xTicks, yTicks) {
  const svg = make("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title },
    make("text", { x: LEFT, y: 16 }, title),
    make("path", { class: "axis", d: `M${px(0)} ${py(1)}V${py(0)}H${px(1)}` }),
    make("text", { x: px(0.5), y: H - 8, "text-anchor": "middle" }, xLabel),
    make("text", { x: 12, y: py(0.5), transform: `rotate(-90 12 ${py(0.5)})`, "text-anchor": "middle" }, yLabel));
  for (const [at, label] of xTicks) svg.append(make("text", { x: px(at), y: py(0) + 15, "text-anchor": "middle" }, label));
  for (const [at, label] of yTicks) svg.append(make("text", { x: LEFT - 5, y: py(at) + 4, "text-anchor": "end" }, label));
  return svg;
}

const UNIT = [0, 0.25, 0.5, 0.75, 1].map((x) => [x, String(x)]);

function rocChart(rows, point, title) {
  const svg = chart(title, "false positive rate", "true positive rate", UNIT, UNIT);
  const path = rocPoints(rows).map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  svg.append(make("line", { class: "axis", x1: px(0), y1: py(0), x2: px(1), y2: py(1), "stroke-dasharray": "3 3" }), make("path", { class: "curve", d: path }));
  if (point) svg.append(make("circle", { class: "point", cx: px(point[0]), cy: py(point[1]), r: 6 }));
  return svg;
}

function histogram(all, title, threshold) {
  const rows = all.filter((row) => Number.isFinite(row.score));
  if (rows.length < all.length) title += `; ${all.length - rows.length} infinite`;
  if (!rows.length) return chart(title, "score", "triplets", [], []);
  const values = rows.map((row) => row.score);
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1, bins = 30;
  const bars = { with: Array(bins).fill(0), without: Array(bins).fill(0) };
  for (const row of rows) {
    const bin = Math.min(bins - 1, Math.floor(((row.score - low) / span) * bins));
    bars[row.positive === true ? "with" : "without"][bin] += 1;
  }
  const most = Math.max(1, ...bars.with, ...bars.without);
  const svg = chart(title, "score", "triplets", [0, 0.5, 1].map((x) => [x, number(low + x * span)]), [0, 0.5, 1].map((y) => [y, String(Math.round(y * most * 10) / 10)]));
  for (const [side, heights] of Object.entries(bars)) {
    heights.forEach((height, i) => {
      if (height) svg.append(make("rect", { class: side, x: px(i / bins), width: (W - LEFT - RIGHT) / bins, y: py(height / most), height: py(0) - py(height / most) }));
    });
  }
  if (threshold !== undefined) {
    const x = px(Math.max(0, Math.min(1, (threshold - low) / span)));
    svg.append(make("line", { class: "line", x1: x, x2: x, y1: py(1), y2: py(0) }));
  }
  return svg;
}

for (const place of $$("[data-histograms]")) {
  const set = place.dataset.histograms || null;
  const methods = set ? R.sets[set].methods : Object.keys(R.detectors);
  for (const method of methods) {
    const rows = members(set)(method);
    if (rows.length) place.append(make("figure", {}, histogram(rows, `${method}: ${set ? "with (red) and without (blue) the artifact" : "all triplets"}`)));
  }
}

// --- gallery: only the cards in sight are in the page

const CARD = { width: 330, height: 168, gap: 12 };
let shown = [];

// detections from the strongest: predicted severities by their size; others, which have scales of
// their own, by their place among their detector's
const severity = ([, name, confidence]) => (R.detectors[name].severity ? confidence : -Infinity);
const strongestFirst = (a, b) => (severity(b) === severity(a) ? a[4] - b[4] : severity(b) - severity(a));
const findings = [...R.detections].sort(strongestFirst);

// the query of a link to a finding, and to its place in the image
function seeing([t, detector, , box]) {
  const margin = 0.4 * Math.max(box[2] - box[0], box[3] - box[1], 32);
  const { width, height } = R.triplets[t];
  const see = [
    Math.max(0, box[0] - margin), Math.max(0, box[1] - margin), Math.min(width, box[2] + margin), Math.min(height, box[3] + margin),
  ].map(Math.round);
  return new URLSearchParams({ boxes: detector, see });
}

// what is known of a triplet, in runs where of any is
const isLabelled = R.triplets.some((triplet) => triplet.free || triplet.labels.length);
const labelOf = (triplet) => (triplet.free ? "free" : triplet.labels.map((label) => label.type).join(", ") || (isLabelled ? "none" : ""));
const codecOf = (triplet) => [triplet.neural_codec, triplet.traditional_codec].map((name) => name || "?").join(" / ");

function showGallery(query) {
  const form = $("#gallery .filters");
  const choices = {
    detector: Object.keys(R.detectors),
    type: unique(Object.values(R.detectors).map((each) => each.type)),
    codec: unique(R.triplets.map(codecOf)),
    rate: unique(R.triplets.map((triplet) => triplet.rate)),
    label: unique(R.triplets.map(labelOf)),
  };
  for (const [name, values] of Object.entries(choices)) fill(form.elements[name], withAll(values), query.get(name));
  form.elements.label.parentElement.hidden = !isLabelled;
  form.elements.sort.value = query.get("sort") || "";
  if (document.activeElement !== form.elements.q) form.elements.q.value = query.get("q") || "";
  form.elements.over.checked = query.get("over") === "1";
  const part = (query.get("q") || "").toLowerCase();
  shown = R.detections.filter(([t, detector, confidence]) => {
    const triplet = R.triplets[t];
    return (!query.get("detector") || detector === query.get("detector")) &&
      (!query.get("type") || R.detectors[detector].type === query.get("type")) &&
      (!query.get("codec") || codecOf(triplet) === query.get("codec")) &&
      (!query.get("rate") || triplet.rate === query.get("rate")) &&
      (!query.get("label") || labelOf(triplet) === query.get("label")) &&
      (!part || triplet.id.toLowerCase().includes(part)) &&
      (query.get("over") !== "1" || confidence > (chosen[detector] ?? -Infinity));
  });
  const order = { "": strongestFirst, weakest: (a, b) => strongestFirst(b, a), name: (a, b) => (R.triplets[a[0]].id < R.triplets[b[0]].id ? -1 : 1) };
  shown.sort(order[query.get("sort") || ""] || order[""]);
  $("#gallery .count").textContent = `${shown.length} of ${counted(R.detections.length, "detection")}` + (R.detections.length ? "" : ": the detectors found nothing.");
  $("#gallery .cards").replaceChildren();
  drawCards();
}

function drawCards() {
  const place = $("#gallery .cards");
  if ($("#gallery").hidden) return;
  const columns = Math.max(1, Math.floor((place.clientWidth + CARD.gap) / (CARD.width + CARD.gap)));
  const width = Math.min(CARD.width, place.clientWidth);
  const step = CARD.height + CARD.gap;
  drawVisible(place, shown.length, { columns, step, across: CARD.width + CARD.gap }, (i) => card(shown[i], width));
}

function card([t, detector, confidence, box], width) {
  const triplet = R.triplets[t];
  const side = Math.floor((width - 24) / 3);
  const crops = ROLES.map((role) => crop(triplet, role, box, side));
  const link = make("a", {
    class: "card", role: "listitem", href: `#/triplet/${t}?${seeing([t, detector, confidence, box])}`,
    style: { width: `${width}px`, height: `${CARD.height}px` },
    "aria-label": `${detector} ${number(confidence)} in ${triplet.id}`,
  }, make("div", { class: "crops" }, crops), make("div", { class: "name", title: triplet.id }, triplet.id),
  make("div", { class: "what" }, make("span", {}, `${detector} ${number(confidence)}`), make("span", {}, [triplet.rate, labelOf(triplet)].filter(Boolean).join(" · "))));
  return link;
}

function crop(triplet, role, box, side) {
  const [x0, y0, x1, y1] = box;
  const margin = Math.max(8, 0.08 * Math.max(x1 - x0, y1 - y0));
  const reach = Math.min(Math.max(x1 - x0, y1 - y0) + 2 * margin, Math.max(triplet.width, triplet.height));
  const scale = side / reach;
  const left = (x0 + x1) / 2 - reach / 2, top = (y0 + y1) / 2 - reach / 2;
  const sharp = triplet.crops[box.join(",")]?.[role];
  const inBox = inCss(box, left, top, scale);
  return make("div", { class: "crop" },
    make("img", { src: triplet.images[role], alt: "", loading: "lazy", decoding: "async", style: inCss([0, 0, triplet.width, triplet.height], left, top, scale) }),
    sharp && make("img", { src: sharp, alt: "", loading: "lazy", style: inBox }),
    make("i", { style: inBox }),
    make("span", {}, role));
}

$("#gallery .filters").addEventListener("input", (event) => {
  const query = formQuery(event.currentTarget);
  to("gallery", query, true);
  showGallery(query);
});
$("#gallery .filters").addEventListener("submit", (event) => event.preventDefault());
onScroll(drawCards);

// --- triplets

function showTriplets() {
  const names = Object.keys(R.detectors);
  $("#triplets .count").textContent = counted(R.triplets.length, "triplet");
  const rows = R.triplets.map((triplet, i) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: `#/triplet/${i}` }, triplet.id)), isLabelled && make("td", {}, labelOf(triplet)),
    names.map((name) => make("td", {}, number(triplet.scores[name])))));
  $("#triplets table").replaceChildren(
    make("thead", {}, make("tr", {}, ["triplet", ...(isLabelled ? ["label"] : []), ...names].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, rows));
}

// --- thresholds

function showThresholds(query) {
  const sets = Object.keys(R.sets);
  if (!sets.length) return;
  const form = $("#thresholds .filters");
  const set = sets.includes(query.get("set")) ? query.get("set") : sets[0];
  const methods = R.sets[set].methods;
  const method = methods.includes(query.get("method")) ? query.get("method") : methods[0];
  fill(form.elements.set, sets.map((name) => [name, name]), set);
  fill(form.elements.method, methods.map((name) => [name, name]), method);
  const known = R.sets[set].criteria[method] || {};
  fill(form.elements.criterion, [["", "as chosen"], ...Object.keys(known).map((name) => [name, name])], "");
  const rows = members(set)(method);
  const { nothing } = R.detectors[method] || {};
  const cuts = unique2(rows.map((row) => row.score), nothing);
  const slider = $("#thresholds input[type=range]");
  slider.max = cuts.length - 1;
  let threshold = query.has("at") ? Number(query.get("at")) : chosen[method] ?? (known.youden ? known.youden.threshold : cuts[Math.floor(cuts.length / 2)]);
  slider.value = nearest(cuts, threshold);
  const update = (value) => {
    threshold = value;
    if (R.detectors[method]) chosen[method] = value;
    draw(set, method, rows, value);
  };
  slider.oninput = () => { update(cuts[slider.value]); to("thresholds", new URLSearchParams({ set, method, at: threshold }), true); };
  form.oninput = (event) => {
    if (event.target.name === "criterion" && event.target.value) {
      update(known[event.target.value].threshold);
      slider.value = nearest(cuts, threshold);
      to("thresholds", new URLSearchParams({ set, method, at: threshold }), true);
      return;
    }
    const next = new URLSearchParams({ set: form.elements.set.value, method: form.elements.method.value });
    to("thresholds", next, true);
    showThresholds(next);
  };
  form.onsubmit = (event) => event.preventDefault();
  update(threshold);
}

function unique2(values, nothing) {
  // between two scores nothing changes: cuts are the scores themselves, and one below all, or that
  // with which a detector found nothing
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  if (typeof nothing === "number") return [nothing, ...sorted.filter((score) => score > nothing)];
  if (sorted[0] === -Infinity) return sorted;
  return sorted.length ? [sorted[0] - Math.max(1e-9, Math.abs(sorted[0]) * 1e-6), ...sorted] : [0];
}
const nearest = (cuts, value) => cuts.reduce((best, cut, i) => (Math.abs(cut - value) < Math.abs(cuts[best] - value) ? i : best), 0);

function draw(set, method, rows, threshold) {
  const { tp, fp, fn, tn } = counts(rows, threshold);
  const figures = {
    precision: share(tp / (tp + fp)), recall: share(tp / (tp + fn)), FPR: share(fp / (fp + tn)), F1: share((2 * tp) / (2 * tp + fp + fn)),
    "true positives": tp, "false positives": fp, "false negatives": fn, "true negatives": tn,
  };
  $("#thresholds output").textContent = number(threshold);
  $("#thresholds .numbers").replaceChildren(...Object.entries(figures).map(([name, value]) => make("div", { "data-figure": name }, make("b", {}, String(value)), name)));
  const point = [fp / (fp + tn), tp / (tp + fn)];
  const auc = R.sets[set].auc[method];
  $("[data-chart=roc]").replaceChildren(rocChart(rows, point, `ROC of ${method}, AUC ${share(auc)}`));
  $("[data-chart=scores]").replaceChildren(histogram(rows, "scores with (red) and without (blue) the artifact", threshold));
  $("#thresholds .button").href = `#/gallery?${new URLSearchParams(R.detectors[method] ? { detector: method, over: "1" } : {})}`;
  $("#thresholds textarea").value = yaml();
}

function yaml() {
  const lines = ["schema_version: 2", "criterion: chosen", `detectors: ${JSON.stringify(R.made_with)}`, "sets:"];
  for (const set of Object.keys(R.sets)) {
    const own = R.sets[set].methods.filter((method) => R.detectors[method] && R.detectors[method].type === set && chosen[method] !== undefined);
    if (!own.length) continue;
    lines.push(`  ${set}:`);
    for (const method of own) {
      const rows = members(set)(method);
      const { tp, fp, fn, tn } = counts(rows, chosen[method]);
      const value = tp / (tp + fn) - fp / (fp + tn);
      lines.push(`    ${JSON.stringify(method)}:`, "      chosen:", `        threshold: ${yamlNumber(chosen[method])}`, `        value: ${yamlNumber(value)}`,
        `        tp: ${tp}`, `        fp: ${fp}`, `        fn: ${fn}`, `        tn: ${tn}`, `        n: ${rows.length}`,
        `        n_excluded: ${Object.keys(R.sets[set].truth).length - rows.length}`);
    }
  }
  return lines.join("\n") + "\n";
}

$("#thresholds .copy").addEventListener("click", async () => {
  const area = $("#thresholds textarea");
  area.select();
  try { await navigator.clipboard.writeText(area.value); } catch { document.execCommand("copy"); }
});

// --- viewer of one triplet

Object.assign(view, { mode: "side", index: 0 });
const FLIPPED = ["neural", "traditional", "original"];

function showTriplet(query, rest, finding) {
  const index = Math.max(0, Math.min(R.triplets.length - 1, Number(rest[0]) || 0));
  const triplet = R.triplets[index];
  if (!triplet) return;
  view.index = index;
  view.mode = ["side", "slider", "flip", "checker"].includes(query.get("mode")) ? query.get("mode") : "side";
  view.side = FLIPPED.includes(query.get("side")) ? query.get("side") : FLIPPED[0];
  $("#triplet-title").textContent = finding ? `Strongest finding: ${finding[1]} ${number(finding[2])}, ${triplet.id}` : triplet.id;
  if (query.has("opacity")) $("#triplet .opacity input").value = query.get("opacity");
  if (query.has("divider")) $("#triplet .divider input").value = query.get("divider");
  for (const button of $$("#triplet [data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === view.mode);
  const detectors = Object.keys(R.detectors);
  const boxes = $("#triplet select[name=boxes]"), heat = $("#triplet select[name=heat]");
  fill(boxes, [["", "all"], ["none", "none"], ["labels", "labels and raters only"], ...detectors.map((name) => [name, name])], query.get("boxes"));
  fill(heat, [["", "none"], ...Object.keys(triplet.heat).map((name) => [name, name])], triplet.heat[query.get("heat")] ? query.get("heat") : "");
  $("#triplet .divider").hidden = view.mode !== "slider";
  $("#triplet .flip").hidden = view.mode !== "flip";
  $("#triplet .opacity").hidden = !heat.value;
  legend(heat.value);
  showPanes(query, triplet, panesOf(triplet, boxes.value, heat.value));
  details(triplet);
}

function legend(name) {
  const place = $("#triplet .legend");
  place.hidden = !name;
  if (!name) return;
  const [low, high] = R.detectors[name].range;
  const scale = make("span", { class: "scale", style: { background: `linear-gradient(to right, ${R.colors.join(",")})` } });
  place.replaceChildren(`heat map of ${name}: ${number(low)}`, scale, `${number(high)}, one scale for all images of the run`);
}

function layers(triplet) {
  const image = (role, more = {}) => make("img", { src: triplet.images[role], alt: `${role} of ${triplet.id}`, draggable: "false", ...more });
  const square = Math.max(8, Math.round(Math.min(triplet.width, triplet.height) / 16));
  const mask = "repeating-conic-gradient(#000 0 25%, transparent 0 50%)";
  const checked = { maskImage: mask, maskSize: `${2 * square}px ${2 * square}px`, webkitMaskImage: mask, webkitMaskSize: `${2 * square}px ${2 * square}px` };
  const divider = $("#triplet .divider input").value;
  // of reduced images, detections are there at full resolution
  const sharp = (role) => Object.entries(triplet.crops).map(([box, paths]) => {
    return make("img", { class: "sharp", src: paths[role], alt: "", draggable: "false", style: inCss(box.split(",").map(Number)) });
  });
  return {
    side: () => ROLES.map((role) => [role, [image(role), ...sharp(role)]]),
    slider: () => [["neural left, traditional right", [image("traditional"), image("neural", { class: "cut", style: { clipPath: `inset(0 ${100 - divider}% 0 0)` } })], "neural"]],
    flip: () => [[view.side, [image(view.side), ...sharp(view.side)]]],
    checker: () => ["neural", "traditional"].map((role) => [`original and ${role}`, [image(role), image("original", { style: checked })], role]),
  }[view.mode]();
}

function panesOf(triplet, chosenBoxes, heat) {
  const opacity = $("#triplet .opacity input").value;
  const above = () => (heat ? [make("img", { class: "heat", src: triplet.heat[heat], alt: `heat map of ${heat}`, style: { opacity } })] : []);
  return layers(triplet).map(([caption, images, side]) =>
    ({ caption, pictures: [...images, ...above()], boxes: boxesOf(triplet, chosenBoxes, side || caption) }));
}

// those of detectors, of labels, and of raters on the side that is shown
function boxesOf(triplet, name, side) {
  const labels = name === "none" ? [] : triplet.labels.filter((label) => label.box).map((label) => boxOn(label.box, `label: ${label.type}`, "label"))
    .concat(triplet.grades.filter((grade) => grade.side === side && grade.box).map(({ type, rater, severity, box }) => boxOn(box, `rater ${rater}: ${type} ${severity}`, "label rater")));
  if (name === "none" || name === "labels") return labels;
  return labels.concat(R.detections.filter(([t, detector]) => t === view.index && (!name || detector === name)).map(([, detector, confidence, box]) => boxOn(box, `${detector} ${number(confidence)}`)));
}

function details(triplet) {
  const rows = [
    ["neural", [triplet.neural_codec, triplet.neural_point, triplet.neural_bpp && `${number(triplet.neural_bpp)} bpp`]],
    ["traditional", [triplet.traditional_codec, triplet.traditional_point, triplet.traditional_bpp && `${number(triplet.traditional_bpp)} bpp`]],
    triplet.gap !== null && ["rate", [`traditional ${triplet.gap < 0 ? "" : "+"}${(100 * triplet.gap).toFixed(1)} % of what was asked for`, triplet.over_tolerance && "over the tolerance"]],
    ["size", [`${triplet.width} x ${triplet.height}`, triplet.reduced && "shown at reduced size, detections at full resolution"]],
    isLabelled && ["known", [labelOf(triplet)]],
    ...unique(triplet.grades.map((grade) => grade.type)).map((type) => [`${type} by raters`, ["neural", "traditional"].map((side) => {
      const of = triplet.grades.filter((grade) => grade.type === type && grade.side === side);
      return of.length && `${side} ${of.map((grade) => grade.severity).join(" ")}`;
    })]),
    ...Object.entries(triplet.scores).map(([name, value]) => [`score of ${name}`, [number(value)]]),
  ].filter(Boolean);
  $("#triplet .details").replaceChildren(make("table", { class: "facts" }, make("tbody", {}, rows.map(([name, values]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, values.filter(Boolean).join(", ")))))));
}

// settings into the address, which stays that of this triplet
function write(settings) {
  const { page, query: before } = address();
  const query = withSettings(page === "triplet" ? before : seeing(findings[0]), settings);
  to(`triplet/${view.index}`, query, true);
  return query;
}

function change(settings) {
  showTriplet(write(settings), [view.index]);
}

function stepBy(count) {
  const { query } = address();
  query.delete("see");
  to(`triplet/${(view.index + count + R.triplets.length) % R.triplets.length}`, query, true);
  show();
}

// the next finding from the strongest on; of a triplet that was chosen otherwise, its strongest
let current = 0;
function stepFinding(count) {
  if (!findings.length) return;
  const { page, query } = address();
  const here = ([t, detector]) => t === view.index && (!query.get("boxes") || detector === query.get("boxes"));
  if (page === "triplet" && !here(findings[current])) current = Math.max(0, findings.findIndex(here));
  current = (current + count + findings.length) % findings.length;
  const next = seeing(findings[current]);
  if (view.mode !== "side") next.set("mode", view.mode);
  to(`triplet/${findings[current][0]}`, next, true);
  show();
}

function flip() {
  const at = FLIPPED.indexOf(view.side) + (view.mode === "flip" ? 1 : 0);
  change({ mode: "flip", side: FLIPPED[at % 3] });
}

for (const button of $$("#triplet [data-mode]")) button.addEventListener("click", () => change({ mode: button.dataset.mode }));
for (const button of $$("#triplet [data-finding]")) button.addEventListener("click", () => stepFinding(Number(button.dataset.finding)));
for (const button of $$("#triplet [data-step]")) button.addEventListener("click", () => stepBy(Number(button.dataset.step)));
$("#triplet [data-close]").addEventListener("click", () => { location.hash = before; });
$("#triplet .flip").addEventListener("click", flip);
$("#triplet select[name=boxes]").addEventListener("change", (event) => change({ boxes: event.target.value }));
$("#triplet select[name=heat]").addEventListener("change", (event) => change({ heat: event.target.value }));
$("#triplet .opacity input").addEventListener("input", (event) => { for (const image of $$("#triplet .heat")) image.style.opacity = event.target.value; });
for (const name of ["opacity", "divider"]) $(`#triplet .${name} input`).addEventListener("change", (event) => write({ [name]: event.target.value }));
$("#triplet .divider input").addEventListener("input", (event) => { for (const image of $$("#triplet .cut")) image.style.clipPath = `inset(0 ${100 - event.target.value}% 0 0)`; });

function cycle(name) {
  const select = $(`#triplet select[name=${name}]`);
  change({ [name]: select.options[(select.selectedIndex + 1) % select.options.length].value });
}
const inViewer = {
  1: () => change({ mode: "" }), 2: () => change({ mode: "slider" }), 3: () => change({ mode: "flip" }), 4: () => change({ mode: "checker" }),
  f: flip, b: () => cycle("boxes"), h: () => cycle("heat"),
  Escape: () => $("#triplet [data-close]").click(), j: () => stepFinding(1), k: () => stepFinding(-1),
};
onKeys(inViewer, isElsewhere);
onKeys({ ArrowLeft: () => stepBy(-1), ArrowRight: () => stepBy(1) }, (event) => isElsewhere(event) || isSliding(event) || event.shiftKey);

addEventListener("hashchange", () => { show(); scrollTo(0, 0); });
show();
