// From an image to the emotion of every face in it, as recognizer/recognizer.py.

import { grey } from "./images.js";
import { boxSquare, crop } from "./squares.js";

export const SIZE = 48; // height and width of a face crop in pixels
const DECIMALS = 6;

export class WholeImage {
  squareRatio = 1;

  async detect({ width, height }) {
    return [{ box: { x: 0, y: 0, width, height }, confidence: 1, eyes: null, square: null }];
  }
}

// The faces of an image as `POST /predict` returns them. `classify` maps crops, Uint8Array
// [N, 48, 48], to probabilities, Float32Array [N, labels]. `live`: of a webcam, frame by frame.
export async function recognizeFaces(image, detector, classify, labels, live = false) {
  const faces = await (live && detector.follow ? detector.follow(image) : detector.detect(image));
  const squares = faces.map(({ box, square }) => roundedSquare(square ?? boxSquare(box, detector.squareRatio)));
  const crops = new Uint8Array(faces.length * SIZE * SIZE);
  squares.forEach((square, index) => crops.set(grey(crop(image, square, SIZE)), index * SIZE * SIZE));
  const rows = faces.length ? await classify(crops, faces.length) : [];
  return faces.map(({ box, confidence, eyes }, index) => {
    const row = [...rows.subarray(index * labels.length, (index + 1) * labels.length)];
    return {
      box,
      confidence: rounded(confidence),
      emotion: labels[row.indexOf(Math.max(...row))],
      probabilities: Object.fromEntries(labels.map((label, column) => [label, rounded(row[column])])),
      square: squares[index],
      eyes,
    };
  });
}

function roundedSquare(square) {
  return Object.fromEntries(Object.entries(square).map(([name, value]) => [name, rounded(value)]));
}

function rounded(value) {
  return Number(value.toFixed(DECIMALS));
}
