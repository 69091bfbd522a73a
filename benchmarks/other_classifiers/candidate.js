// Measure one package of npm for benchmarks/comparison.py: candidate.py's counterpart under node.
//
//     node benchmarks/other_classifiers/candidate.js PACKAGE FACES RESULT --timed=N
//
// FACES is a .npy file, uint8 [N, 48, 48]; RESULT is the JSON file that candidate.py describes. The
// order is the same: import, load, classify 100 faces, read the peak of the memory, time faces one
// by one, then classify the others. TensorFlow.js runs on its backend `wasm`: the fastest of those
// that need no native library. Under node it has one thread.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");

const PACKAGES = path.join(__dirname, "node_modules");
const WASM = path.join(PACKAGES, "@tensorflow/tfjs-backend-wasm/dist/");
const WARM_UP = 100;
const SIDE = 48;

// A loader returns the labels of a network by our names, its files, and a function from one face,
// uint8 [48 × 48], to its probabilities.
const LOADERS = { human: loadHuman, "face-api": loadFaceApi };

// @vladmandic/human has no function that classifies a face without its detector. So its own loader
// loads the network, and the face takes the steps of `cutAndResize` in src/face/facemeshutil.ts
// (÷ 255) and of `predict` in src/gear/emotion.ts. The scores are not rounded to two digits.
async function loadHuman() {
  const folder = path.join(PACKAGES, "@vladmandic/human");
  const { Human } = require(path.join(folder, "dist/human.node-wasm.js"));
  const off = { enabled: false };
  const human = new Human({
    backend: "wasm",
    wasmPath: WASM,
    modelBasePath: `file://${folder}/models/`,
    debug: false,
    face: { mesh: off, iris: off, description: off, emotion: { enabled: true } },
    body: off,
    hand: off,
    object: off,
    gesture: off,
  });
  const { tf } = human;
  tf.io.registerLoadRouter((url) => readFiles(tf, String(url)));
  await human.load(); // It prints the errors that it finds, and goes on.
  const network = human.models.models.emotion;
  if (!network?.executor || tf.getBackend() !== "wasm") throw new Error("human cannot be loaded");

  const classify = async (face) => {
    const probabilities = tf.tidy(() => {
      const crop = tf.div(tf.tensor4d(threeChannels(face, Float32Array), [1, SIDE, SIDE, 3]), 255);
      const resized = tf.image.resizeBilinear(crop, network.inputs[0].shape.slice(1, 3), false);
      const grey = tf.sum(tf.mul(resized, [0.2989, 0.587, 0.114]), 3, true);
      return network.execute(tf.mul(tf.sub(grey, 0.5), 2));
    });
    const values = await probabilities.data();
    probabilities.dispose();
    return Array.from(values);
  };
  return {
    labels: ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"],
    files: ["emotion.json", "emotion.bin"].map((name) => path.join(folder, "models", name)),
    classify,
  };
}

// Reads file:// for TensorFlow.js, which does so itself only with its native library.
function readFiles(tf, url) {
  if (!url.startsWith("file://")) return null;
  const file = url.slice("file://".length);
  const readWeights = async (manifest) => {
    const names = manifest.flatMap((group) => group.paths);
    const parts = names.map((name) => fs.readFileSync(path.join(path.dirname(file), name)));
    return [tf.io.getWeightSpecs(manifest), new Uint8Array(Buffer.concat(parts)).buffer];
  };
  const load = () => tf.io.getModelArtifactsForJSON(JSON.parse(fs.readFileSync(file)), readWeights);
  return { load };
}

// @vladmandic/face-api: `predictExpressions` takes a face that is cut out, resizes and scales it.
async function loadFaceApi() {
  const folder = path.join(PACKAGES, "@vladmandic/face-api");
  const { nets, tf } = require(path.join(folder, "dist/face-api.node-wasm.js"));
  require(path.join(PACKAGES, "@tensorflow/tfjs-backend-wasm")).setWasmPaths(WASM);
  await tf.setBackend("wasm");
  await nets.faceExpressionNet.loadFromDisk(path.join(folder, "model"));

  const ours = { fearful: "fear", disgusted: "disgust", surprised: "surprise" };
  const names = ["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"];
  const classify = async (face) => {
    const crop = tf.tensor3d(threeChannels(face, Int32Array), [SIDE, SIDE, 3], "int32");
    const expressions = await nets.faceExpressionNet.predictExpressions(crop);
    crop.dispose();
    return names.map((name) => expressions[name]);
  };
  const files = ["face_expression_model-weights_manifest.json", "face_expression_model.bin"];
  return {
    labels: names.map((name) => ours[name] ?? name),
    files: files.map((name) => path.join(folder, "model", name)),
    classify,
  };
}

// Both packages take colour images only.
function threeChannels(face, Type) {
  const pixels = new Type(3 * face.length);
  face.forEach((grey, index) => pixels.fill(grey, 3 * index, 3 * index + 3));
  return pixels;
}

// Returns the number of faces, and a function that reads one. Unread faces take no memory.
function openFaces(file) {
  const opened = fs.openSync(file);
  const start = Buffer.alloc(10);
  fs.readSync(opened, start, 0, 10, 0);
  const header = 10 + start.readUInt16LE(8); // Version 1 of the format, which NumPy writes.
  const bytes = SIDE * SIDE;
  const readFace = (index) => {
    const face = new Uint8Array(bytes);
    fs.readSync(opened, face, 0, bytes, header + index * bytes);
    return face;
  };
  return { count: (fs.fstatSync(opened).size - header) / bytes, readFace };
}

function peakBytes() {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1]);
}

async function main() {
  const options = { timed: { type: "string", default: "1000" } };
  const { positionals, values } = parseArgs({ options, allowPositionals: true });
  const [packageName, facesFile, resultFile] = positionals;
  const timed = Number(values.timed);

  const { count, readFace } = openFaces(facesFile);
  const { labels, files, classify } = await LOADERS[packageName]();
  const probabilities = [];
  const seconds = [];
  let peak;
  for (let index = 0; index < count; index++) {
    if (index === WARM_UP) peak = peakBytes();
    const face = readFace(index);
    const start = performance.now();
    probabilities.push(await classify(face));
    const end = performance.now();
    if (index >= WARM_UP && seconds.length < timed) seconds.push((end - start) / 1000);
  }
  const fileBytes = files.reduce((sum, file) => sum + fs.statSync(file).size, 0);
  const result = { labels, file_bytes: fileBytes, peak_bytes: peak, seconds, probabilities };
  fs.writeFileSync(resultFile, JSON.stringify(result));
}

main();
