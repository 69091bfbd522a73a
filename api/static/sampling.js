// Samples of a whole video file: frames at regular times, each recognized by the server.

import { CutDetector } from "./cuts.js";
import { grab } from "./frames.js";
import { pause, recognize } from "./recognition.js";
import { Refusal } from "./refusal.js";
import { Tracker } from "./tracking.js";

const LONGEST = 960; // pixels; faces in a video are often smaller than those at a webcam
const MAX_REQUESTS = 2; // concurrent; the video seeks the next frame meanwhile
const RATES = [10, 5, 2, 1]; // frames per second of the video
const MIN_BUDGET = 30; // seconds that the analysis of a short video may take

// A video element that can seek in the file. Throws a Refusal if the file cannot be played.
export async function openVideo(address, signal) {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.preload = "auto";
  video.src = address;
  signal.addEventListener("abort", () => {
    video.removeAttribute("src");
    video.load();
  });
  await event(video, "loadeddata", signal);
  if (!video.videoWidth) throw new Refusal("The file has no picture.");
  if (video.duration === Infinity) {
    // The duration of a browser's recording is known only after a seek to its end.
    video.currentTime = Number.MAX_SAFE_INTEGER;
    while (video.duration === Infinity) await event(video, "durationchange", signal);
  }
  return video;
}

// Yields a sample per frame, in order: `seconds`, `frame` (the canvas), `cut` (whether there is a cut
// after the previous sample), `faces` with the person's `id` and smoothed probabilities, the `rate`
// of sampling, and `image`, `model` and `truncated` of the server's response.
export async function* samples(video, signal, refused) {
  const sampling = new SamplingRate(video.duration);
  const tracker = new Tracker();
  const cuts = new CutDetector();
  const requests = [];
  for (let seconds = 0; seconds < video.duration || requests.length; ) {
    if (seconds < video.duration) {
      await seek(video, seconds, signal);
      const frame = grab(video, LONGEST);
      const answer = recognizeWithRetries(frame, signal, refused);
      answer.catch(() => {}); // awaited below, unless the visitor stops the analysis
      requests.push({ seconds, frame, cut: cuts.isCut(frame), answer });
      seconds = sampling.next(seconds);
      if (requests.length < MAX_REQUESTS && seconds < video.duration) continue;
    }
    const { answer, ...sample } = requests.shift();
    const { image, faces, truncated, model } = await answer;
    if (signal.aborted) return;
    if (sample.cut) tracker.cut();
    sampling.count();
    yield {
      ...sample,
      image,
      model,
      truncated,
      rate: sampling.rate,
      faces: tracker.update(sample.seconds, faces),
    };
  }
}

// The number of samples per second of video: the highest rate at which the analysis takes no longer
// than the video. It changes only at full seconds, so that samples are evenly spaced in between.
export class SamplingRate {
  rate = RATES[0];
  #duration;
  #times = [];

  constructor(duration) {
    this.#duration = duration;
  }

  // Counts a response that arrived at `now` milliseconds.
  count(now = performance.now()) {
    this.#times.push(now);
    if (this.#times.length > 20) this.#times.shift();
  }

  // The time of the sample after the one at `seconds`; a multiple of 0.1 s.
  next(seconds) {
    if (Number.isInteger(seconds)) this.rate = this.#affordable();
    return Math.round(10 * (seconds + 1 / this.rate)) / 10;
  }

  #affordable() {
    if (this.#times.length < 5) return this.rate;
    const cost = (this.#times.at(-1) - this.#times[0]) / 1000 / (this.#times.length - 1);
    const budget = Math.max(this.#duration, MIN_BUDGET);
    return RATES.find((rate) => rate * this.#duration * cost <= budget) ?? RATES.at(-1);
  }
}

async function recognizeWithRetries(frame, signal, refused) {
  for (;;) {
    try {
      return await recognize(frame, signal);
    } catch (error) {
      if (!(error instanceof Refusal) || error.final || signal.aborted) throw error;
      refused(error.message);
      await pause(error.wait, signal);
    }
  }
}

async function seek(video, seconds, signal) {
  if (video.currentTime === seconds && video.readyState >= 2 && !video.seeking) return;
  video.currentTime = seconds;
  await event(video, "seeked", signal);
}

// Waits for an event of the video; rejects if the video cannot be decoded or `signal` aborts.
function event(video, name, signal) {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const options = { signal: done.signal };
    const settle = (act, value) => {
      done.abort();
      act(value);
    };
    video.addEventListener(name, () => settle(resolve), options);
    video.addEventListener("error", () => settle(reject, new Refusal("The rest of the video cannot be decoded.", 0, true)), options);
    signal.addEventListener("abort", () => settle(reject, signal.reason), options);
    if (signal.aborted) settle(reject, signal.reason);
  });
}
