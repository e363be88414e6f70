"use strict";
const ROLES = ["original", "neural", "traditional"];
const form = $(".filters");
const list = $(".entries");

// a box in percent of the picture, which has any size
const inPercent = ([x0, y0, x1, y1], [width, height]) => ({
  left: `${100 * x0 / width}%`, top: `${100 * y0 / height}%`, width: `${100 * (x1 - x0) / width}%`, height: `${100 * (y1 - y0) / height}%`,
});

function pane(entry, role) {
  const { files, size, fault } = DATA.pictures[entry.triplet];
  if (!files[role]) return make("div", { class: "fault" }, fault || "There is no picture of it.");
  const side = role === "traditional" ? "traditional" : "neural";
  const frame = make("a", { class: "whole", href: files[role], "data-role": role },
    make("img", { src: files[role], alt: `${role} of ${entry.triplet}`, loading: "lazy", decoding: "async" }));
  if (entry.boxes[side]) frame.append(make("i", { class: "found", style: inPercent(entry.boxes[side], size) }));
  for (const grade of entry.grades) {
    if (grade.side === side && grade.box) {
      frame.append(make("i", { class: "drawn", style: inPercent(grade.box, size) }, make("span", {}, `${grade.rater} ${grade.severity}`)));
    }
  }
  frame.append(make("span", { class: "label" }, role));
  return frame;
}

function article(entry) {
  const graded = ["neural", "traditional"].map((side) => {
    const said = entry.grades.filter((grade) => grade.side === side).map((grade) => `${grade.rater} ${grade.severity}`);
    return said.length ? `${side}: ${said.join(", ")}` : "";
  }).filter(Boolean).join(" · ");
  return make("article", { class: "entry", role: "listitem" },
    make("div", { class: "head" },
      make("b", {}, `${entry.place + 1}. ${entry.detector}`), make("span", {}, entry.triplet),
      make("span", { class: "soft" }, entry.group.join(", ")),
      make("span", {}, `score ${number(entry.score)}, graded ${number(entry.mean)} (${entry.apart > 0 ? "higher" : "lower"} by ${number(Math.abs(entry.apart))})`),
      make("span", { class: "soft" }, graded)),
    make("div", { class: "wholes" }, ROLES.map((role) => pane(entry, role))));
}

function show() {
  const { artifact_type: type, detector, sign, q } = form.elements;
  const entries = DATA.entries.filter((entry) =>
    (!type.value || entry.artifact_type === type.value) && (!detector.value || entry.detector === detector.value) &&
    (!sign.value || (entry.apart > 0) === (sign.value === "over")) && (!q.value || entry.triplet.toLowerCase().includes(q.value.toLowerCase())));
  $(".count").textContent = `${entries.length} of ${DATA.entries.length}`;
  list.replaceChildren(...entries.map(article));
}

for (const name of ["artifact_type", "detector"]) fill(form.elements[name], withAll(unique(DATA.entries.map((entry) => entry[name]))), "");
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();
