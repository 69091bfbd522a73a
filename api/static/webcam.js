// The webcam: the newest frame is sent whenever fewer than two requests are in progress.

import { grab } from "./frames.js";
import { pause, recognize } from "./recognition.js";
import { Refusal } from "./refusal.js";

const LONGEST = 640; // pixels; enough for a face at arm's length
const MAX_REQUESTS = 2; // concurrent: one is encoded and sent while the other is processed

// Opens the webcam. Throws a Refusal with the reason if there is none.
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
  InsecureContextError: "Browsers allow a webcam only on pages over HTTPS or from this machine.",
  NotAllowedError: "The browser blocks the webcam. Allow it in the browser’s settings for this page.",
  NotFoundError: "No webcam was found.",
  NotReadableError: "The webcam is in use by another program.",
};

// Sends frames until `signal` aborts. `answered` is called with each response and its frame, in the
// order of the frames. Frames that arrive while all requests are in progress are skipped.
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
        const answer = await recognize(frame, signal, { live: true });
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
  await Promise.all(Array.from({ length: MAX_REQUESTS }, lane));
}

// Gives each frame of a playing video to one waiting caller.
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
    const onFrame = () => {
      if (signal.aborted) return;
      const first = this.#waiting.shift();
      if (first) first(true);
      else this.#fresh = true;
      request(onFrame);
    };
    request(onFrame);
    signal.addEventListener("abort", () => this.#waiting.splice(0).forEach((wake) => wake(false)));
  }

  // True once there is a new frame, false once `signal` has aborted.
  async next() {
    if (this.#signal.aborted) return false;
    if (!this.#fresh) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#fresh = false;
    return true;
  }
}
