// How long an answer takes, how many come in a second, and how densely a video is sampled.

const WINDOW = 2000; // milliseconds that the means are taken over
const PAUSE = 500; // milliseconds between two readings, so that they can be read

const pace = document.getElementById("pace");
const rateEntry = document.getElementById("rate-entry");
const rate = document.getElementById("rate");
const samplingEntry = document.getElementById("sampling-entry");
const sampling = document.getElementById("sampling");
const latencyEntry = document.getElementById("latency-entry");
const latency = document.getElementById("latency");

export function hidePace() {
  pace.hidden = true;
}

export function showLatency(milliseconds) {
  show(latencyEntry);
  latency.textContent = `${Math.round(milliseconds)} ms`;
}

export class Pace {
  #answers = [];
  #shown = performance.now();

  // With `sampled`, the sampling rate of a video is shown beside, else the latency.
  constructor({ sampled = false } = {}) {
    for (const value of [rate, latency, sampling]) value.textContent = "–";
    show(rateEntry, sampled ? samplingEntry : latencyEntry);
  }

  // Counts an answer that took `milliseconds`.
  add(milliseconds) {
    const now = performance.now();
    this.#answers.push({ now, milliseconds });
    this.#answers = this.#answers.filter((answer) => now - answer.now <= WINDOW);
    if (now - this.#shown < PAUSE || this.#answers.length < 2) return;
    this.#shown = now;
    const span = now - this.#answers[0].now;
    const total = this.#answers.reduce((sum, answer) => sum + answer.milliseconds, 0);
    rate.textContent = ((1000 * (this.#answers.length - 1)) / span).toFixed(1);
    latency.textContent = `${Math.round(total / this.#answers.length)} ms`;
  }

  showSampling(framesPerSecond) {
    sampling.textContent = framesPerSecond;
  }
}

function show(...entries) {
  for (const entry of [rateEntry, samplingEntry, latencyEntry]) entry.hidden = !entries.includes(entry);
  pace.hidden = false;
}
