// The latency of predictions, their number per second, and the sampling rate of a video.

const WINDOW = 2000; // milliseconds over which the means are taken
const PAUSE = 500; // milliseconds between two updates of the numbers

const list = document.getElementById("rates");
const rateEntry = document.getElementById("rate-entry");
const rate = document.getElementById("rate");
const samplingEntry = document.getElementById("sampling-entry");
const sampling = document.getElementById("sampling");
const latencyEntry = document.getElementById("latency-entry");
const latency = document.getElementById("latency");

export function hideRates() {
  list.hidden = true;
}

export function showLatency(milliseconds) {
  show(latencyEntry);
  latency.textContent = `${Math.round(milliseconds)} ms`;
}

export class Rates {
  #responses = [];
  #shown = performance.now();

  // Shows the rate, and with it the sampling rate (`sampled`) or the latency.
  constructor({ sampled = false } = {}) {
    for (const value of [rate, latency, sampling]) value.textContent = "–";
    show(rateEntry, sampled ? samplingEntry : latencyEntry);
  }

  // Counts a response that took `milliseconds`.
  add(milliseconds) {
    const now = performance.now();
    this.#responses.push({ now, milliseconds });
    this.#responses = this.#responses.filter((response) => now - response.now <= WINDOW);
    if (now - this.#shown < PAUSE || this.#responses.length < 2) return;
    this.#shown = now;
    const span = now - this.#responses[0].now;
    const total = this.#responses.reduce((sum, response) => sum + response.milliseconds, 0);
    rate.textContent = ((1000 * (this.#responses.length - 1)) / span).toFixed(1);
    latency.textContent = `${Math.round(total / this.#responses.length)} ms`;
  }

  showSampling(framesPerSecond) {
    sampling.textContent = framesPerSecond;
  }
}

function show(...entries) {
  for (const entry of [rateEntry, samplingEntry, latencyEntry]) entry.hidden = !entries.includes(entry);
  list.hidden = false;
}
