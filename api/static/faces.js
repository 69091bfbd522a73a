// The faces of the shown picture: a row per face, and the probabilities of the selected one.

import { detector } from "./detector.js";
import { caption, emotions, icon, paint, percent } from "./emotions.js";
import { expandedFace, onSelection, point, pointedFace, select, selectedFace, setExpandedFace } from "./selection.js";
import { emotionOf, nameOf, onUnsureChange } from "./unsure.js";
import { highlightBoxes } from "./viewer.js";

const workspace = document.getElementById("workspace");
const title = document.getElementById("faces-title");
const list = document.getElementById("faces");
const detail = document.getElementById("detail-template").content.firstElementChild.cloneNode(true);
const note = detail.querySelector("#detail-note");
const bars = detail.querySelector("#bars");
const expressions = document.getElementById("expressions");
const rowTemplate = document.getElementById("row-template");
const barTemplate = document.getElementById("bar-template");

const NO_FACES = { faces: [], image: null, source: null, noun: "Face", when: "", about: () => "" };

let shown = NO_FACES;

export function describe(faces) {
  if (!faces.length) {
    return "No face detected. The detector needs faces from the front, in good light.";
  }
  return `${faces.length === 1 ? "One face" : `${faces.length} faces`}: ${predictions(faces, 4)}.`;
}

export function describeLive(faces) {
  return faces.length ? `Live: ${predictions(faces, 4)}.` : "Live: no face detected.";
}

function predictions(faces, limit) {
  const first = faces.slice(0, limit).map(caption);
  if (faces.length > limit) first.push(`and ${faces.length - limit} more in the list`);
  return first.join(", ");
}

// Shows `faces`, the largest first, with boxes in pixels of `image`. `source` is the picture in any
// size, or null if the browser cannot show it. `when` is a part of the title, `about` returns a note
// on a face.
export function showFaces(faces, image, source, { noun = "Face", when = "", about = () => "" } = {}) {
  shown = { faces, image, source, noun, when, about };
  render();
}

export function showNoFace() {
  shown = NO_FACES;
  render();
}

function render() {
  const { faces, image, source } = shown;
  const hadFocus = list.contains(document.activeElement);
  const many = faces.length > 1;
  workspace.classList.toggle("has-many", many);
  list.classList.toggle("is-many", many);
  list.classList.toggle("is-placeholder", !faces.length);
  title.textContent = `${many ? `${faces.length} faces` : "Face"}${shown.when}`;
  if (!faces.length) return showPlaceholder();
  const expanded = choose();
  setExpandedFace(expanded.id);
  const rows = keyedRows([...faces].sort((a, b) => a.id - b.id));
  for (const [face, row] of rows) fillRow(row, face, face === expanded);
  const [, open] = rows.find(([face]) => face === expanded);
  if (detail.parentElement !== open) open.append(detail);
  fillDetail(expanded);
  if (source) {
    for (const [face, row] of rows) if (many) drawCrop(row.querySelector(".row-crop"), source, image, face.square);
    drawCrop(detail.querySelector(".crop"), source, image, expanded.square);
  }
  detail.querySelector(".crop").hidden = !source;
  highlightBoxes();
  if (hadFocus && !list.contains(document.activeElement)) open.querySelector("button").focus();
}

// The face whose probabilities are shown: the selected one, else the previous one, else the
// largest.
function choose() {
  const byId = (id) => shown.faces.find((face) => face.id === id);
  return byId(selectedFace()) ?? byId(expandedFace()) ?? shown.faces[0];
}

// Pairs of a face and its row. Existing rows are reused, so that the focus stays.
function keyedRows(faces) {
  const before = new Map([...list.children].map((row) => [Number(row.dataset.id), row]));
  const pairs = faces.map((face) => [face, before.get(face.id) ?? newRow(face.id)]);
  const rows = pairs.map(([, row]) => row);
  if (rows.length !== list.children.length || rows.some((row, index) => row !== list.children[index])) {
    list.replaceChildren(...rows);
  }
  return pairs;
}

function newRow(id) {
  const row = rowTemplate.content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  row.querySelector(".row-number").textContent = id;
  const button = row.querySelector("button");
  button.addEventListener("click", () => select(id, { show: true }));
  button.addEventListener("focus", () => button.matches(":focus-visible") && point(id));
  button.addEventListener("blur", () => point(null));
  row.addEventListener("pointerenter", () => point(id));
  row.addEventListener("pointerleave", () => point(null));
  return row;
}

function fillRow(row, face, isExpanded) {
  const emotion = emotionOf(face);
  paint(row, nameOf(face));
  const button = row.querySelector("button");
  button.setAttribute("aria-expanded", isExpanded);
  button.tabIndex = isExpanded ? 0 : -1;
  row.classList.toggle("is-selected", isExpanded);
  row.classList.toggle("is-pointed", face.id === pointedFace());
  row.querySelector(".row-noun").textContent = `${shown.noun} `;
  row.querySelector(".row-crop").hidden = !shown.source;
  row.querySelector(".row-emotion").textContent = nameOf(face);
  row.querySelector(".row-value").textContent = emotion ? percent(face.probabilities[emotion]) : "";
}

function fillDetail(face) {
  detail.querySelector(".face-emotion").textContent = nameOf(face);
  detail.querySelector(".face-place").textContent =
    detector() === "whole" ? "The whole picture" : `Detected with confidence ${percent(face.confidence)}`;
  const words = shown.about(face);
  note.textContent = words;
  note.hidden = !words;
  fillBars(face.probabilities, emotionOf(face));
}

// `probabilities` by emotion, or null if there are none.
function fillBars(probabilities, first) {
  const names = probabilities ? Object.keys(probabilities) : emotions();
  if (String(names) !== String([...bars.children].map((bar) => bar.dataset.emotion))) {
    bars.replaceChildren(...names.map(newBar));
  }
  for (const bar of bars.children) {
    const probability = probabilities?.[bar.dataset.emotion];
    bar.classList.toggle("is-first", bar.dataset.emotion === first);
    bar.querySelector(".bar-value").textContent = probabilities ? percent(probability) : "–";
    bar.querySelector(".fill").style.width = `${100 * (probability ?? 0)}%`;
  }
}

function newBar(name) {
  const bar = barTemplate.content.firstElementChild.cloneNode(true);
  paint(bar, name);
  bar.querySelector(".bar-name").textContent = name;
  return bar;
}

function showPlaceholder() {
  const row = rowTemplate.content.firstElementChild.cloneNode(true);
  row.querySelector("button").remove();
  row.append(detail);
  list.replaceChildren(row);
  setExpandedFace(null);
  const crop = detail.querySelector(".crop");
  crop.hidden = false;
  clear(crop);
  detail.querySelector(".face-emotion").textContent = "no face";
  detail.querySelector(".face-place").textContent = "The input of the model";
  note.hidden = true;
  fillBars(null);
}

// The square that was classified, upright. The style sheet makes it grey.
function drawCrop(canvas, source, image, { x, y, side, angle }) {
  const context = clear(canvas);
  context.imageSmoothingQuality = "high";
  context.translate(canvas.width / 2, canvas.height / 2);
  context.scale(canvas.width / side, canvas.height / side);
  context.rotate(-angle);
  context.translate(-x, -y);
  context.drawImage(source, 0, 0, image.width, image.height);
}

function clear(canvas) {
  const context = canvas.getContext("2d");
  context.resetTransform();
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

// The expressions of the model, drawn while there is no picture.
export function drawExpressions() {
  expressions.replaceChildren(
    ...emotions().map((name) => {
      const item = document.createElement("li");
      paint(item, name);
      item.append(icon(name), name);
      return item;
    }),
  );
  if (!shown.faces.length) render();
}

// ---------------------------------------------------------------- keyboard

const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

list.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  const row = event.target.closest(".face");
  if (step === undefined || !row || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const rows = [...list.children];
  const next = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(row) + step))];
  next.querySelector("button").focus({ preventScroll: true });
  select(Number(next.dataset.id), { show: true });
});

onUnsureChange(() => shown.faces.length && render());

onSelection((show) => {
  if (!shown.faces.length) return;
  render();
  if (show) list.querySelector(".face.is-selected").scrollIntoView({ block: "nearest" });
});
