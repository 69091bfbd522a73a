// Goes through a whole video file by its own time and has one frame after the other recognized.

import { CutDetector, grab, jpeg } from "./frames.js";
import { recognize, Refusal } from "./recognition.js";
import { Tracker } from "./tracking.js";
import { pause } from "./webcam.js";

const LONGEST = 960; // pixels; people in a video are further away than those at a webcam
const UNDER_WAY = 2; // requests at a time, while the video is moved to the next frame
const RATES = [10, 5, 2, 1]; // frames per second of the video
const SHORT = 30; // seconds; a video this short is always worth as much time

// A video element that can be moved through the file. Throws a Refusal if it cannot be played.
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
    // Recordings of a browser do not tell their duration before their end was read.
    video.currentTime = Number.MAX_SAFE_INTEGER;
    while (video.duration === Infinity) await event(video, "durationchange", signal);
  }
  return video;
}

// Yields a sample for each frame in order: `seconds`, whether there was a `cut` since the sample
// before, `faces` with smoothed probabilities and the person's `id`, and of the server's answer
// `image`, `model` and `truncated`. `frame` is the canvas that was recognized.
export async function* samples(video, signal, refused) {
  const pace = new SamplingRate(video.duration);
  const tracker = new Tracker();
  const cuts = new CutDetector();
  const underWay = [];
  for (let seconds = 0; seconds < video.duration || underWay.length; ) {
    if (seconds < video.duration) {
      await seek(video, seconds, signal);
      const frame = grab(video, LONGEST);
      const answer = recognizePatiently(frame, signal, refused);
      answer.catch(() => {}); // it is awaited below, unless the visitor stops before
      underWay.push({ seconds, frame, cut: cuts.isCut(frame), answer });
      seconds = pace.next(seconds);
      if (underWay.length < UNDER_WAY && seconds < video.duration) continue;
    }
    const { answer, ...sample } = underWay.shift();
    const { image, faces, truncated, model } = await answer;
    if (signal.aborted) return;
    if (sample.cut) tracker.cut();
    pace.came();
    yield {
      ...sample,
      image,
      model,
      truncated,
      rate: pace.rate,
      faces: tracker.update(sample.seconds, faces),
    };
  }
}

// How many frames of each second of the video are taken: as many as keep the whole analysis
// within the duration of the video. It changes at full seconds only, so that it is steady between.
export class SamplingRate {
  rate = RATES[0];
  #duration;
  #times = [];

  constructor(duration) {
    this.#duration = duration;
  }

  // A frame's answer came, at `now` milliseconds.
  came(now = performance.now()) {
    this.#times.push(now);
    if (this.#times.length > 20) this.#times.shift();
  }

  // The time of the frame after the one at `seconds`; a multiple of 0.1 s.
  next(seconds) {
    if (Number.isInteger(seconds)) this.rate = this.#affordable();
    return Math.round(10 * (seconds + 1 / this.rate)) / 10;
  }

  #affordable() {
    if (this.#times.length < 5) return this.rate;
    const cost = (this.#times.at(-1) - this.#times[0]) / 1000 / (this.#times.length - 1);
    const budget = Math.max(this.#duration, SHORT);
    return RATES.find((rate) => rate * this.#duration * cost <= budget) ?? RATES.at(-1);
  }
}

async function recognizePatiently(frame, signal, refused) {
  const picture = await jpeg(frame);
  for (;;) {
    try {
      return await recognize(picture, signal);
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

// Waits for an event of the video; rejects if the video cannot be played or `signal` aborts.
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
