// The detector `yunet`, as recognizer/detectors/yunet.py, where the steps and values are explained.

import { roundHalfEven, turned } from "./images.js";
import { detectRows } from "./network.js";
import { boxSquare, corrected, crop, inImage, scaled, snapped, turnedBack } from "./squares.js";

const LONG_SIDE = 640;
const SECOND_LONG_SIDE = 960;
const TURNED_LONG_SIDE = 320;
const MAX_ENLARGEMENT = 2;
const MIN_PROPOSAL = 0.3;
const CERTAIN = 0.8;
const CERTAINLY_UPRIGHT = 0.9;
const MIN_CONFIDENCE = 0.7;
const SECOND_MIN_CONFIDENCE = 0.6;
const MAX_PROPOSALS = 300;
const TILT = (7 * Math.PI) / 180;
const LARGE_TILT = (12 * Math.PI) / 180;
const SEARCH_INTERVAL = 500; // milliseconds between two searches of the whole picture of a webcam
const THOROUGH_INTERVAL = 2000; // milliseconds between two that take as long as those of a photo
const MIN_EYE_DISTANCE = 0.15;
const SQUARE_RATIO = 0.85;
const SMALL = { name: "small", side: 128, margin: 1.6 };
const LARGE = { name: "large", side: 416, margin: 1.8 };
const QUARTER = Math.PI / 2;

export class YuNet {
  squareRatio = SQUARE_RATIO;
  #run;
  #weights;
  #followed = []; // the faces in the picture before, of a webcam
  #nextSearch = 0;
  #nextThorough = 0;

  // `run` as of detectRows; `weights`: those of yunet_alignment.json.
  constructor(run, weights) {
    this.#run = run;
    this.#weights = weights;
  }

  // The faces { box, confidence, eyes, square } in an image, the largest first.
  async detect(image) {
    let proposals = await this.#propose(image, LONG_SIDE);
    const likely = proposals.filter(({ confidence }) => confidence >= MIN_PROPOSAL);
    let faces = await this.#confirmed(image, likely, MIN_CONFIDENCE);
    const certain = faces.filter(({ confidence }) => confidence >= CERTAIN);
    const turn = certain.length ? quarters(certain) : await this.#findTurn(image);
    if (turn || !certain.length) {
      proposals = [...proposals, ...(await this.#propose(image, turn ? LONG_SIDE : SECOND_LONG_SIDE, turn))];
      faces = await this.#confirmed(image, proposals, certain.length ? MIN_CONFIDENCE : SECOND_MIN_CONFIDENCE);
    }
    return largestFirst(distinct(faces));
  }

  // As `detect`, for successive pictures of a webcam. In most of them, faces are refined where they
  // were before, or searched in the picture at TURNED_LONG_SIDE if there were none. Every
  // SEARCH_INTERVAL, and when a face is lost, they are searched at LONG_SIDE; and if none is found,
  // every THOROUGH_INTERVAL as in a photo.
  async follow(image) {
    const now = performance.now();
    const isDue = now >= this.#nextSearch;
    const before = isDue ? [] : this.#followed;
    // Their orientation is known, so that rotated crops are not tried.
    const small = (square) => this.#refine(image, square, SMALL);
    let faces = largestFirst(distinct(await this.#confirmed(image, before, CERTAIN, small)));
    if (isDue || faces.length < before.length) {
      faces = await this.#search(image, LONG_SIDE);
      this.#nextSearch = now + SEARCH_INTERVAL;
      if (!faces.length && now >= this.#nextThorough) {
        faces = await this.detect(image);
        this.#nextThorough = performance.now() + THOROUGH_INTERVAL;
      }
    } else if (!before.length) faces = await this.#search(image, TURNED_LONG_SIDE);
    this.#followed = faces;
    return faces;
  }

  // One pass over the picture.
  async #search(image, longSide) {
    const proposals = await this.#propose(image, longSide);
    const likely = proposals.filter(({ confidence }) => confidence >= MIN_PROPOSAL);
    return largestFirst(distinct(await this.#confirmed(image, likely, MIN_CONFIDENCE)));
  }

  async #propose(image, longSide, turn = 0) {
    const longest = Math.max(image.width, image.height);
    const small = scaled(image, Math.min(MAX_ENLARGEMENT, longSide / longest));
    const factor = longest / Math.max(small.width, small.height);
    const rows = await detectRows(turned(small, turn), this.#run);
    const proposals = rows.map((row) => {
      const full = [...row.slice(0, 14).map((value) => value * factor), row[14]];
      const [x, y, width, height] = full;
      const square = boxSquare({ x, y, width, height });
      const better = corrected(square, relative(full, square), this.#weights.proposal);
      return { square: turnedBack(better, turn, image), confidence: row[14] };
    });
    return proposals.sort((a, b) => b.confidence - a.confidence).slice(0, MAX_PROPOSALS);
  }

  // Refines proposals, with `small` in small crops; leaves out those with a confidence below `least`.
  async #confirmed(image, proposals, least, small = (square) => this.#refineSmall(image, square)) {
    const faces = [];
    for (const { square } of proposals) {
      const face = await this.#confirm(image, square, least, small);
      if (face) faces.push(face);
    }
    return faces;
  }

  async #confirm(image, proposed, least, small) {
    let square = snapped(proposed);
    let refinement = await small(square);
    if (refinement) square = snapped(this.#aligned(refinement));
    if (!(refinement?.confidence >= CERTAIN) || Math.abs(square.angle) > LARGE_TILT) {
      refinement = await this.#refine(image, square, LARGE);
      if (refinement) square = snapped(this.#aligned(refinement));
    }
    if (!refinement || refinement.confidence < least) return null;
    const box = boxInside(refinement, image);
    if (!box) return null;
    square = snapped(averaged(square, refinement));
    square = { ...square, angle: reduced(square.angle) };
    return { box, confidence: refinement.confidence, eyes: eyesOf(refinement), square };
  }

  // Refines a proposal in a small crop; if the face may be rotated, also in rotated crops.
  async #refineSmall(image, square) {
    let best = await this.#refine(image, square, SMALL);
    if (best && best.confidence >= CERTAINLY_UPRIGHT) return best;
    for (const turns of [1, 2, 3]) {
      const other = await this.#refine(image, { ...square, angle: square.angle + turns * QUARTER }, SMALL);
      if (other && other.confidence >= Math.max(CERTAIN, best?.confidence ?? 0)) best = other;
    }
    return best;
  }

  // Detects the face in the crop of a square; null if there is none.
  async #refine(image, square, size) {
    const pixels = crop(image, { ...square, side: square.side * size.margin }, size.side);
    const whole = { x: size.side / 2, y: size.side / 2, side: size.side / size.margin };
    const rows = (await detectRows(pixels, this.#run)).map((row) => relative(row, whole));
    const central = rows.filter(([x, y, width, height]) => Math.hypot(x + width / 2, y + height / 2) < 1 / 3);
    if (!central.length) return null;
    const row = central.reduce((best, one) => (one[14] > best[14] ? one : best));
    return { size, square, row, confidence: row[14] };
  }

  #aligned({ square, row, size }) {
    return corrected(square, row, this.#weights[size.name]);
  }

  // The number of clockwise rotations by 90° that turn a photo upright.
  async #findTurn(image) {
    const confidences = [];
    for (const turn of [0, 1, 2, 3]) {
      const proposals = await this.#propose(image, TURNED_LONG_SIDE, turn);
      confidences.push(Math.max(0, ...proposals.map(({ confidence }) => confidence)));
    }
    const best = confidences.indexOf(Math.max(...confidences));
    return confidences[best] >= CERTAIN ? best : 0;
  }
}

// A row in units of an upright square: the centre is the origin, the side is 1.
function relative(row, { x, y, side }) {
  return row.map((value, index) => {
    if (index === 14) return value;
    if (index === 2 || index === 3) return value / side;
    return (value - (index % 2 === 0 ? x : y)) / side;
  });
}

// The angle less the soft threshold TILT.
function reduced(angle) {
  const whole = remainder(angle, 2 * Math.PI);
  const quarter = roundHalfEven(whole / QUARTER) * QUARTER;
  const tilt = whole - quarter;
  if (Math.abs(tilt) <= TILT) return remainder(quarter, 2 * Math.PI);
  return quarter === 0 ? Math.sign(tilt) * (Math.abs(tilt) - TILT) : whole;
}

function remainder(value, divisor) {
  return value - divisor * roundHalfEven(value / divisor);
}

// The upright box of a refined face, clipped to the image; null if it is outside.
function boxInside({ row, square }, { width, height }) {
  const [x, y] = inImage(row[0] + row[2] / 2, row[1] + row[3] / 2, square);
  let half = [(row[2] * square.side) / 2, (row[3] * square.side) / 2];
  if (Math.abs(Math.sin(square.angle)) > Math.abs(Math.cos(square.angle))) half = half.reverse();
  const [left, right] = [x - half[0], x + half[0]].map((value) => clipped(value, width));
  const [top, bottom] = [y - half[1], y + half[1]].map((value) => clipped(value, height));
  return right > left && bottom > top ? { x: left, y: top, width: right - left, height: bottom - top } : null;
}

function clipped(value, length) {
  return roundHalfEven(Math.max(0, Math.min(length, value)));
}

// The mean of an aligned square and the square of the detected box, with the angle of the first.
function averaged(aligned, { row, square }) {
  const [x, y] = inImage(row[0] + row[2] / 2, row[1] + row[3] / 2, square);
  const side = Math.max(row[2], row[3]) * square.side * SQUARE_RATIO;
  return { ...aligned, x: (aligned.x + x) / 2, y: (aligned.y + y) / 2, side: (aligned.side + side) / 2 };
}

// Both eyes in pixels of the image, the left one first; null for a profile.
function eyesOf({ row, square }) {
  const byX = (a, b) => a[0] - b[0] || a[1] - b[1];
  const [[x1, y1], [x2, y2]] = [row.slice(4, 6), row.slice(6, 8)].sort(byX);
  if (x2 - x1 <= MIN_EYE_DISTANCE) return null;
  const eyes = [inImage(x1, y1, square), inImage(x2, y2, square)].sort(byX);
  return eyes.map((eye) => eye.map((value) => Number(value.toFixed(1))));
}

// The number of clockwise rotations by 90° that turn the most confident face upright.
function quarters(faces) {
  const best = faces.reduce((first, face) => (face.confidence > first.confidence ? face : first));
  return ((roundHalfEven(-best.square.angle / QUARTER) % 4) + 4) % 4;
}

// Leaves out faces whose centre is within a third of a side of a more confident face.
function distinct(faces) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.confidence - a.confidence)) {
    const one = face.square;
    const isApart = ({ square }) =>
      Math.hypot(one.x - square.x, one.y - square.y) >= Math.max(one.side, square.side) / 3;
    if (kept.every(isApart)) kept.push(face);
  }
  return kept;
}

function largestFirst(faces) {
  const area = ({ box }) => box.width * box.height;
  return faces.sort((a, b) => area(b) - area(a) || a.box.y - b.box.y || a.box.x - b.box.x);
}
