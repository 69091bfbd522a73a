// Recognizes faces on the visitor's device. Messages: { model } of choices.json opens it;
// { number, picture, detector, live } with an ImageBitmap asks for its faces. Every message is
// answered by { number, answer } or { number, problem }.

import { env, InferenceSession, Tensor } from "../onnxruntime/ort.wasm.bundle.min.mjs";
import { imageOf } from "./images.js";
import { recognizeFaces, SIZE, WholeImage } from "./recognizer.js";
import { YuNet } from "./yunet.js";

const FILES = new URL("../../device/", import.meta.url);

env.wasm.wasmPaths = { wasm: new URL("../onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
env.wasm.numThreads = 1; // threads need headers that isolate the page, which few hosts send

const detectors = openDetectors();
const models = new Map(); // a promise of the session, by version
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });
let last = Promise.resolve(); // the sessions are used one call after the other

addEventListener("message", ({ data: { number, ...message } }) => {
  last = last.then(() => respond(number, message));
});

async function respond(number, message) {
  try {
    const classifier = await opened(message);
    const answer = message.picture ? await recognized(classifier, message) : null;
    postMessage({ number, answer });
  } catch (error) {
    postMessage({ number, problem: String(error?.message ?? error) });
  }
}

async function opened({ model }) {
  await detectors;
  const { name, version } = model;
  // The version in the address keeps an older file out of the browser's cache.
  if (!models.has(version)) models.set(version, session(`${name}.onnx?version=${version.slice(0, 12)}`));
  return models.get(version);
}

async function recognized(classifier, { model, picture, detector, live }) {
  const image = pixels(picture);
  const classify = async (crops, count) => {
    const { probabilities } = await classifier.run({ faces: new Tensor("uint8", crops, [count, SIZE, SIZE]) });
    return probabilities.data;
  };
  const faces = await recognizeFaces(image, (await detectors)[detector], classify, model.labels, live);
  return {
    image: { width: image.width, height: image.height },
    faces,
    truncated: false,
    model: { name: "emotion", version: model.version, dataset: model.dataset },
  };
}

function pixels(picture) {
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  context.clearRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  return imageOf(context.getImageData(0, 0, width, height).data, width, height);
}

async function openDetectors() {
  const [network, alignment] = await Promise.all([
    session("face_detection_yunet.onnx"),
    content("yunet_alignment.json").then((response) => response.json()),
  ]);
  const run = async (values, height, width) => {
    const outputs = await network.run({ input: new Tensor("float32", values, [1, 3, height, width]) });
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
  };
  return { yunet: new YuNet(run, alignment), whole: new WholeImage() };
}

async function session(name) {
  const bytes = await (await content(name)).arrayBuffer();
  return InferenceSession.create(new Uint8Array(bytes));
}

async function content(name) {
  const response = await fetch(new URL(name, FILES));
  if (!response.ok) throw new Error(`${name.split("?")[0]} cannot be loaded: status ${response.status}`);
  return response;
}
