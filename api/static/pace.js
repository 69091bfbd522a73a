// How long an answer takes, and how many come in a second.

const WINDOW = 2000; // milliseconds that the means are taken over
const PAUSE = 500; // milliseconds between two readings, so that they can be read

const pace = document.getElementById("pace");
const rateEntry = document.getElementById("rate-entry");
const rate = document.getElementById("rate");
const latency = document.getElementById("latency");

export function hidePace() {
  pace.hidden = true;
}

export function showLatency(milliseconds) {
  rateEntry.hidden = true;
  latency.textContent = `${Math.round(milliseconds)} ms`;
  pace.hidden = false;
}

export class Pace {
  #answers = [];
  #shown = performance.now();

  constructor() {
    rate.textContent = latency.textContent = "–";
    rateEntry.hidden = pace.hidden = false;
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
}
