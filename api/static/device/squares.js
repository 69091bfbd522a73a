// Squares of an image, { x, y, side, angle }: the centre and side in pixels, the angle in radians,
// clockwise. As recognizer/cropping.py and recognizer/detectors/yunet.py.

import { halved, part, roundHalfEven, scaledLinearly, warped } from "./images.js";

const MAX_OVERSAMPLING = 2; // image pixels per pixel of a crop; a larger square is halved first
const MAX_CORRECTION = 0.8; // of a regression: of the centre, of the logarithm of the side, of the angle
const GRID = 512; // per side of a square and per radian; recognizer/detectors/yunet.py explains it

// The upright square around the centre of a box.
export function boxSquare({ x, y, width, height }, ratio = 1) {
  return { x: x + width / 2, y: y + height / 2, side: ratio * Math.max(width, height), angle: 0 };
}

// Crops a square and rotates it upright; outside the image, its border is repeated.
export function crop(image, { x, y, side, angle }, size) {
  const left = Math.trunc(Math.max(0, Math.min(image.width - 1, x - side)));
  const top = Math.trunc(Math.max(0, Math.min(image.height - 1, y - side)));
  const right = Math.max(left + 1, Math.ceil(x + side));
  const bottom = Math.max(top + 1, Math.ceil(y + side));
  let source = part(image, left, top, right, bottom);
  let [centreX, centreY] = [x - left, y - top];
  while (side > MAX_OVERSAMPLING * size) {
    source = halved(source);
    [centreX, centreY, side] = [centreX / 2, centreY / 2, side / 2];
  }
  const factor = Math.max(1, Math.ceil(side / size));
  const step = side / (size * factor);
  const [across, down] = [Math.cos(angle), Math.sin(angle)];
  const half = (side - step) / 2;
  const startX = centreX - half * (across - down) - 0.5;
  const startY = centreY - half * (down + across) - 0.5;
  const matrix = [
    [step * across, -step * down, startX],
    [step * down, step * across, startY],
  ];
  const upright = warped(source, matrix, size * factor);
  return factor === 1 ? upright : halved(upright);
}

// Scales an image; to less than half by halving first.
export function scaled(image, scale) {
  const width = Math.max(1, roundHalfEven(image.width * scale));
  const height = Math.max(1, roundHalfEven(image.height * scale));
  while (image.width >= 2 * width && image.height >= 2 * height) image = halved(image);
  return image.width === width && image.height === height ? image : scaledLinearly(image, width, height);
}

// A point relative to a square (the origin is its centre, the unit its side) in pixels of the image.
export function inImage(x, y, square) {
  const [across, down] = [Math.cos(square.angle), Math.sin(square.angle)];
  return [square.x + square.side * (x * across - y * down), square.y + square.side * (x * down + y * across)];
}

// Moves, scales and turns a square by a linear regression of a detection that is relative to it.
export function corrected(square, row, weights) {
  const features = [
    row[0] + row[2] / 2,
    row[1] + row[3] / 2,
    Math.log(row[2]),
    Math.log(row[3]),
    ...row.slice(4, 15),
    1,
  ];
  const [right, down, growth, turn] = weights.map((line) => {
    const sum = line.reduce((total, weight, index) => total + weight * features[index], 0);
    return Math.max(-MAX_CORRECTION, Math.min(MAX_CORRECTION, sum));
  });
  const [x, y] = inImage(right, down, square);
  return { x, y, side: square.side * Math.exp(growth), angle: square.angle + turn };
}

// Rounds a square to a grid of about 1/GRID of its side; the pitch is a power of two.
export function snapped({ x, y, side, angle }) {
  const pitch = 2 ** roundHalfEven(Math.log2(side / GRID));
  const [snappedX, snappedY, snappedSide] = [x, y, side].map((value) => pitch * roundHalfEven(value / pitch));
  return { x: snappedX, y: snappedY, side: snappedSide, angle: roundHalfEven(angle * GRID) / GRID };
}

// Converts a square of an image that was rotated clockwise by `turn` · 90° to the image before.
export function turnedBack({ x, y, side, angle }, turn, { width, height }) {
  const [before, above] = [
    [x, y],
    [y, height - x],
    [width - x, height - y],
    [width - y, x],
  ][turn];
  return { x: before, y: above, side, angle: angle - (turn * Math.PI) / 2 };
}
