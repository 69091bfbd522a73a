// The last 30 seconds of one face at the webcam: a line chart per emotion.

import { emotions, paint } from "./emotions.js";

const SPAN = 30_000; // milliseconds
const GAP = 1500; // milliseconds without a prediction that interrupt a line

const section = document.getElementById("recent");
const who = document.getElementById("recent-who");
const names = document.getElementById("chart-names");
const canvas = document.getElementById("chart");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class RecentChart {
  #samples = [];
  #drawn = 0;

  constructor() {
    section.hidden = false;
    this.#draw(emotions(), null, performance.now());
  }

  // Adds the faces of a frame; `id` is the number of the face whose chart is drawn.
  add(faces, id) {
    const now = performance.now();
    this.#samples.push({ now, faces: new Map(faces.map((face) => [face.id, face.probabilities])) });
    while (now - this.#samples[0].now > SPAN + GAP) this.#samples.shift();
    if (reducedMotion.matches && now - this.#drawn < 1000) return;
    this.#drawn = now;
    this.#draw(faces.length ? Object.keys(faces[0].probabilities) : emotions(), id, now);
  }

  #draw(labels, id, now) {
    name(labels);
    who.textContent = id === null ? "" : `person ${id}`;
    const density = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * density;
    canvas.height = height * density;
    const pen = canvas.getContext("2d");
    pen.scale(density, density);
    const line = getComputedStyle(document.documentElement).getPropertyValue("--line");
    const step = height / labels.length;
    const runs = this.#runs(id);
    labels.forEach((label, row) => {
      const base = Math.round((row + 1) * step) - 3.5;
      pen.strokeStyle = line;
      pen.strokeRect(-1, base, width + 2, 0);
      pen.strokeStyle = pen.fillStyle = getComputedStyle(names.children[row]).getPropertyValue("--emotion");
      for (const run of runs) {
        const points = run.map(({ now: time, probabilities }) => [
          width * (1 - (now - time) / SPAN),
          base - probabilities[label] * (step - 6),
        ]);
        trace(pen, points, base);
      }
    });
  }

  // Runs of samples of this face without a gap.
  #runs(id) {
    const runs = [];
    let last = -Infinity;
    for (const { now, faces } of this.#samples) {
      const probabilities = faces.get(id);
      if (!probabilities) continue;
      if (now - last < GAP) runs.at(-1).push({ now, probabilities });
      else runs.push([{ now, probabilities }]);
      last = now;
    }
    return runs;
  }
}

export function hideRecentChart() {
  section.hidden = true;
}

function name(labels) {
  if (String(labels) === String([...names.children].map((item) => item.textContent))) return;
  names.replaceChildren(
    ...labels.map((label) => {
      const item = document.createElement("li");
      paint(item, label);
      item.textContent = label;
      return item;
    }),
  );
  canvas.style.height = `${1.75 * labels.length}rem`;
}

function trace(pen, points, base) {
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(points.at(-1)[0], base);
  pen.lineTo(points[0][0], base);
  pen.globalAlpha = 0.3;
  pen.fill();
  pen.globalAlpha = 1;
}
