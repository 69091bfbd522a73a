// The webcam: the newest frame goes to the server whenever the server can take one.

import { grab, jpeg } from "./frames.js";
import { recognize, Refusal } from "./recognition.js";

const LONGEST = 640; // pixels; enough for a face an arm's length away
const UNDER_WAY = 2; // requests at a time: one is encoded and sent while the other is computed

// Opens the webcam. Throws a Refusal that says why there is none.
export async function openWebcam() {
  try {
    if (!navigator.mediaDevices) throw new DOMException("", "InsecureContextError");
    return await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, frameRate: { ideal: 30 }, facingMode: "user" },
    });
  } catch (error) {
    throw new Refusal(PROBLEMS[error.name] ?? "The webcam cannot be started.");
  }
}

const PROBLEMS = {
  InsecureContextError: "The browser gives a webcam only to pages over HTTPS or on this machine itself.",
  NotAllowedError: "The webcam is not allowed here. Allow it in the browser’s settings of this page.",
  NotFoundError: "No webcam was found.",
  NotReadableError: "The webcam is in use by another program.",
};

// Goes on until `signal` aborts. `answered` gets answers in the order of their frames, each with
// its frame; frames that pass while all requests are under way are left out.
export async function follow(video, signal, { answered, refused }) {
  const frames = new NewestFrame(video, signal);
  let latest = 0;
  let shown = 0;
  const lane = async () => {
    while (await frames.next()) {
      const number = (latest += 1);
      const taken = performance.now();
      const frame = grab(video, LONGEST);
      try {
        const answer = await recognize(await jpeg(frame), signal);
        if (signal.aborted || number < shown) continue;
        shown = number;
        answered(answer, frame, taken);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Refusal)) throw error;
        refused(error.message);
        await pause(error.wait, signal);
      }
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, lane));
}

// Hands every frame of a playing video out once, to the first who waits.
class NewestFrame {
  #waiting = [];
  #fresh = false;
  #signal;

  constructor(video, signal) {
    this.#signal = signal;
    const request =
      "requestVideoFrameCallback" in video
        ? (act) => video.requestVideoFrameCallback(act)
        : (act) => requestAnimationFrame(act);
    const come = () => {
      if (signal.aborted) return;
      const first = this.#waiting.shift();
      if (first) first(true);
      else this.#fresh = true;
      request(come);
    };
    request(come);
    signal.addEventListener("abort", () => this.#waiting.splice(0).forEach((wake) => wake(false)));
  }

  // True as soon as there is a frame that was not handed out, false once it is over.
  async next() {
    if (this.#signal.aborted) return false;
    if (!this.#fresh) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#fresh = false;
    return true;
  }
}

export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
