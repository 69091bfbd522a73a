// The timeline of a video: a row per person, a slider for the time, and the export.

import { paint } from "./emotions.js";
import { expandedFace, onSelection, point, pointedFace, select } from "./selection.js";
import { clock, percentOfTime } from "./summary.js";
import { minProbability } from "./unsure.js";

const workspace = document.getElementById("workspace");
const section = document.getElementById("timeline");
const rows = document.getElementById("persons");
const ruler = document.getElementById("ruler");
const play = document.getElementById("play");
const analysed = document.getElementById("analysed");
const end = document.getElementById("duration");
const save = document.getElementById("save");
const rowTemplate = document.getElementById("person-template");

const wide = matchMedia("(min-width: 52rem)"); // as in the style sheet

const CROP = 56; // pixels of a person's picture

let actions = {}; // of the controls: seek(seconds), play(), save(format)
let duration = 0;

// Opens an empty timeline for a video of `seconds`.
export function showTimeline(seconds, chosenActions) {
  actions = chosenActions;
  duration = seconds;
  rows.replaceChildren();
  ruler.max = seconds;
  end.textContent = clock(seconds);
  save.hidden = true;
  showAnalysed(0);
  showTime(0);
  showPlaying(false);
  section.hidden = false;
  if (wide.matches) workspace.scrollIntoView({ block: "start" });
  else section.scrollIntoView({ block: "nearest" });
}

export function hideTimeline() {
  section.hidden = true;
}

export function showAnalysed(seconds) {
  analysed.style.width = `${(100 * seconds) / duration}%`;
}

export function showTime(seconds) {
  ruler.value = seconds;
  ruler.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(duration)}`);
  section.style.setProperty("--time", seconds / duration);
}

export function showPlaying(playing) {
  play.textContent = playing ? "Pause" : "Play";
}

export function offerExport() {
  save.hidden = false;
}

// Shows the persons as summary.js returns them.
export function showPersons(persons) {
  for (const person of persons) {
    const row = rows.querySelector(`[data-id="${person.id}"]`) ?? rows.appendChild(newRow(person.id));
    const [[emotion, share]] = Object.entries(person.shares);
    row.querySelector(".person-most").textContent = `${emotion} ${percentOfTime(share)}`;
    const state = `${person.stretches.length} ${person.last} ${minProbability()}`;
    if (row.dataset.state === state) continue;
    row.dataset.state = state;
    row.querySelector(".band").replaceChildren(...person.stretches.map(segment));
  }
  highlight();
}

// Replaces a person's picture if the face is clearly larger than before.
export function showPortrait({ id, square }, frame) {
  const row = rows.querySelector(`[data-id="${id}"]`) ?? rows.appendChild(newRow(id));
  if (square.side < 1.2 * Number(row.dataset.side ?? 0)) return;
  row.dataset.side = square.side;
  const { x, y, side } = square;
  const pen = row.querySelector("canvas").getContext("2d");
  pen.clearRect(0, 0, CROP, CROP);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(frame, x - side / 2, y - side / 2, side, side, 0, 0, CROP, CROP);
}

function newRow(id) {
  const row = rowTemplate.content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  row.querySelector(".row-number").textContent = id;
  row.querySelector("canvas").width = row.querySelector("canvas").height = CROP;
  row.querySelector("button").addEventListener("click", () => {
    select(id);
    actions.seek(Number(row.querySelector(".segment").dataset.start));
  });
  row.querySelector(".band").addEventListener("click", (event) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    select(id);
    actions.seek(Math.max(0, Math.min(1, (event.clientX - left) / width)) * duration);
  });
  row.addEventListener("pointerenter", () => point(id));
  row.addEventListener("pointerleave", () => point(null));
  return row;
}

function segment({ emotion, start, end: until }) {
  const part = document.createElement("span");
  part.className = "segment";
  part.dataset.start = start;
  part.title = `${emotion} ${clock(start)}–${clock(until)}`;
  paint(part, emotion);
  part.style.left = `${(100 * start) / duration}%`;
  part.style.width = `${(100 * (until - start)) / duration}%`;
  const words = document.createElement("span");
  words.className = "segment-name";
  words.textContent = emotion;
  part.append(words);
  return part;
}

// Marks the person whose probabilities are shown. If the person has changed, scrolls the rows (not
// the page) to it.
export function showExpanded() {
  const before = rows.querySelector(".is-selected");
  highlight();
  const row = rows.querySelector(".is-selected");
  if (!row || row === before) return;
  const above = row.offsetTop < rows.scrollTop;
  const below = row.offsetTop + row.offsetHeight > rows.scrollTop + rows.clientHeight;
  if (above || below) rows.scrollTop = row.offsetTop;
}

function highlight() {
  for (const row of rows.children) {
    row.classList.toggle("is-selected", Number(row.dataset.id) === expandedFace());
    row.classList.toggle("is-pointed", Number(row.dataset.id) === pointedFace());
  }
}

ruler.addEventListener("input", () => actions.seek(Number(ruler.value)));
play.addEventListener("click", () => actions.play());
for (const button of save.querySelectorAll("button")) {
  button.addEventListener("click", () => actions.save(button.value));
}
onSelection(showExpanded);
