"use strict";
// The worst findings: the same part of a photograph in the original, in every codec, in the anchor.

const EDGE = 300;

function pane(finding, view) {
  const label = make("span", { class: "label" }, view.label);
  const frame = make("div", { class: "view", style: { width: `${EDGE}px`, height: `${EDGE}px` } });
  if (!view.picture) {
    frame.append(make("div", { class: "fault" }, view.fault), label);
    return frame;
  }
  const [x0, y0, x1, y1] = finding.part;
  const scale = EDGE / Math.max(x1 - x0, y1 - y0);
  const place = (box) => inCss(box, x0, y0, scale);
  const picture = make("img", { src: view.picture, alt: `${view.label}: ${finding.image}`, loading: "lazy", decoding: "async", style: place(finding.part) });
  picture.dataset.own = view.picture;
  picture.dataset.original = finding.views[0].picture || view.picture;
  frame.append(picture, make("i", { style: place(finding.box) }), label);
  return frame;
}

$(".findings").append(...DATA.findings.map((finding) => make("article", { class: "finding" },
  make("h3", {}, `${finding.codec}: ${finding.type}, severity ${number(finding.severity)}, in ${finding.image} at ${finding.preset}`),
  make("div", { class: "views" }, finding.views.map((view) => pane(finding, view))))));
if (!DATA.findings.length) $(".findings").append(make("p", {}, "No codec is worse than the anchor anywhere."));

function flip() {
  const button = $("[data-flip]");
  const isOriginal = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isOriginal));
  for (const picture of $$(".findings img")) picture.src = isOriginal ? picture.dataset.original : picture.dataset.own;
}

function boxes() {
  const without = $(".findings").classList.toggle("without-boxes");
  $("[data-boxes]").setAttribute("aria-pressed", String(!without));
}

$("[data-flip]").addEventListener("click", flip);
$("[data-boxes]").addEventListener("click", boxes);
onKeys({ f: flip, b: boxes });
