// A video that runs: one frame at a time goes to the server, the newest when it is free.

import { recognize, Refusal } from "./recognition.js";

const LONGEST = 640; // pixels; enough for a face an arm's length away

// Goes on until `signal` aborts. There is never more than one request under way, and frames
// that pass meanwhile are left out.
export async function follow(video, signal, { answered, refused }) {
  const frame = document.createElement("canvas");
  while (await nextFrame(video, signal)) {
    const taken = performance.now();
    grab(video, frame);
    try {
      const answer = await recognize(await jpeg(frame), signal);
      if (!signal.aborted) answered(answer, frame, performance.now() - taken);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      refused(error.message);
      await pause(error.wait, signal);
    }
  }
}

// True with the next new frame, false once it is over.
function nextFrame(video, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const over = () => resolve(false);
    signal.addEventListener("abort", over, { once: true });
    const come = () => {
      signal.removeEventListener("abort", over);
      resolve(true);
    };
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(come);
    else requestAnimationFrame(come);
  });
}

function grab(video, frame) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  frame.width = Math.round(video.videoWidth * scale);
  frame.height = Math.round(video.videoHeight * scale);
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
}

export function jpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
