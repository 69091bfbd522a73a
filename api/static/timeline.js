// The last 30 seconds of the largest face: one strip per emotion, as a recorder would write them.

import { EMOTIONS } from "./reading.js";

const SPAN = 30_000; // milliseconds
const GAP = 1500; // milliseconds without an answer that break a line

const section = document.getElementById("timeline");
const names = document.getElementById("strip-names");
const canvas = document.getElementById("strips");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Timeline {
  #samples = [];
  #drawn = 0;
  #named = [];

  constructor() {
    section.hidden = false;
    this.#name(EMOTIONS);
    this.#draw(EMOTIONS, performance.now());
  }

  // `probabilities` by emotion, or null where no face was in view.
  add(probabilities) {
    const now = performance.now();
    this.#samples.push({ now, probabilities });
    while (now - this.#samples[0].now > SPAN + GAP) this.#samples.shift();
    const seen = this.#samples.find((sample) => sample.probabilities);
    const emotions = seen ? Object.keys(seen.probabilities) : EMOTIONS;
    this.#name(emotions);
    if (calm.matches && now - this.#drawn < 1000) return;
    this.#drawn = now;
    this.#draw(emotions, now);
  }

  #name(emotions) {
    if (String(emotions) === String(this.#named)) return;
    this.#named = emotions;
    names.replaceChildren(
      ...emotions.map((emotion) => {
        const item = document.createElement("li");
        item.textContent = emotion;
        return item;
      }),
    );
  }

  #draw(emotions, now) {
    const density = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * density;
    canvas.height = height * density;
    const pen = canvas.getContext("2d");
    pen.scale(density, density);
    const style = getComputedStyle(document.documentElement);
    const step = height / emotions.length;
    emotions.forEach((emotion, row) => {
      const base = Math.round((row + 1) * step) - 3.5;
      pen.strokeStyle = style.getPropertyValue("--line");
      pen.strokeRect(-1, base, width + 2, 0);
      pen.strokeStyle = pen.fillStyle = style.getPropertyValue(`--${emotion}`) || style.color;
      for (const run of this.#runs()) {
        const points = run.map(({ now: time, probabilities }) => [
          width * (1 - (now - time) / SPAN),
          base - probabilities[emotion] * (step - 6),
        ]);
        trace(pen, points, base);
      }
    });
  }

  // Stretches of samples without a gap.
  #runs() {
    const runs = [];
    let last = null;
    for (const sample of this.#samples) {
      if (sample.probabilities) {
        if (last?.probabilities && sample.now - last.now < GAP) runs.at(-1).push(sample);
        else runs.push([sample]);
      }
      last = sample;
    }
    return runs;
  }
}

export function hideTimeline() {
  section.hidden = true;
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
