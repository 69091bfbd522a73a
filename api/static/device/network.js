// YuNet on one image: the decoding of cv2.FaceDetectorYN.

import { planes } from "./images.js";

const STRIDES = [8, 16, 32];
const DIVISOR = 32; // of the width and height of the input
const PADDED_SIDE = 64; // a shorter side is padded by repeating the border
const MIN_SIDE = 10; // of a face, in pixels
const MIN_CONFIDENCE = 0.2;
const MAX_OVERLAP = 0.3; // intersection over union

// Detects faces with `run`, which maps a Float32Array [3, height, width] (B, G, R) to the arrays of
// the network's outputs by name. Rows of 15 values in pixels of the image: x, y, width and height of
// the box; x and y of both eyes, the nose and both corners of the mouth; the confidence.
export async function detectRows(image, run) {
  const [width, height] = [image.width, image.height].map((side) => padded(Math.max(side, PADDED_SIDE)));
  const outputs = await run(planes(image, height, width, PADDED_SIDE), height, width);
  const rows = STRIDES.flatMap((stride) => decoded(outputs, stride, width / stride));
  return distinct(rows).filter((row) => row[2] >= MIN_SIDE && row[3] >= MIN_SIDE);
}

function padded(side) {
  return DIVISOR * Math.ceil(side / DIVISOR);
}

function decoded(outputs, stride, columns) {
  const [classes, objects, boxes, points] = ["cls", "obj", "bbox", "kps"].map((name) => outputs[`${name}_${stride}`]);
  const rows = [];
  for (let index = 0; index < classes.length; index += 1) {
    const confidence = Math.sqrt(limited(classes[index]) * limited(objects[index]));
    if (confidence < MIN_CONFIDENCE) continue;
    const [column, line] = [index % columns, Math.floor(index / columns)];
    const box = boxes.subarray(4 * index, 4 * index + 4);
    const [width, height] = [Math.exp(box[2]) * stride, Math.exp(box[3]) * stride];
    const row = [(column + box[0]) * stride - width / 2, (line + box[1]) * stride - height / 2, width, height];
    for (let k = 0; k < 10; k += 2) {
      row.push((points[10 * index + k] + column) * stride, (points[10 * index + k + 1] + line) * stride);
    }
    rows.push([...row, confidence]);
  }
  return rows;
}

function limited(value) {
  return Math.max(0, Math.min(1, value));
}

// Non-maximum suppression on boxes in whole pixels, the most confident first.
function distinct(rows) {
  const kept = [];
  for (const row of [...rows].sort((a, b) => b[14] - a[14])) {
    const box = row.slice(0, 4).map(Math.trunc);
    if (kept.every((other) => overlap(box, other.box) <= MAX_OVERLAP)) kept.push({ row, box });
  }
  return kept.map(({ row }) => row);
}

function overlap([x1, y1, width1, height1], [x2, y2, width2, height2]) {
  const width = Math.min(x1 + width1, x2 + width2) - Math.max(x1, x2);
  const height = Math.min(y1 + height1, y2 + height2) - Math.max(y1, y2);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (width1 * height1 + width2 * height2 - width * height);
}
