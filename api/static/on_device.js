// Recognition on the visitor's device, by a worker.

import { Refusal } from "./refusal.js";

let worker = null;
let count = 0;
const waiting = new Map(); // the promises' functions by the number of the message

// Loads the runtime, the detector and a model of choices.json.
export async function prepare(model) {
  await ask({ model });
}

// The faces in a picture (a Blob or a canvas), as `POST /predict` returns them. In a `live` picture,
// faces are first looked for where they were in the one before.
export async function recognizeOnDevice(picture, model, detector, live, signal) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Refusal("This browser cannot read this file as an image. It reads JPEG, PNG, WebP and GIF.", 0, true);
  }
  signal?.throwIfAborted();
  const answer = await ask({ model, picture: bitmap, detector, live }, [bitmap]);
  signal?.throwIfAborted();
  return answer;
}

function ask(message, transferred = []) {
  worker ??= started();
  count += 1;
  return new Promise((resolve, reject) => {
    waiting.set(count, { resolve, reject });
    worker.postMessage({ number: count, ...message }, transferred);
  });
}

function started() {
  const one = new Worker(new URL("device/worker.js", import.meta.url), { type: "module" });
  one.addEventListener("message", ({ data: { number, answer, problem } }) => {
    if (problem) return stop(`The model does not run on this device: ${problem}.`);
    waiting.get(number).resolve(answer);
    waiting.delete(number);
  });
  one.addEventListener("error", () => stop("The model cannot be loaded onto this device."));
  return one;
}

// Refuses what is waiting; the next picture gets a new worker, which loads everything again.
function stop(reason) {
  for (const { reject } of waiting.values()) reject(new Refusal(reason, 2000, true));
  waiting.clear();
  worker?.terminate();
  worker = null;
}
