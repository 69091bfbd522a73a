// Hard cuts in a video, from the differences of pixels and of colour histograms.

const SIDE = 16; // pixels of the compared thumbnails
const LEVELS = 4; // per colour channel in the histograms
const MIN_DIFFERENCE = 0.1; // mean over pixels and channels, 0 … 1
const MIN_HISTOGRAM_DIFFERENCE = 0.35; // share of pixels whose colour is absent from the other frame

// Distinguishes cuts from motion: at a cut, both the pixels and the colour histogram change.
export class CutDetector {
  #pen;
  #before = null;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    this.#pen = canvas.getContext("2d", { willReadFrequently: true });
    this.#pen.imageSmoothingQuality = "high";
  }

  // Whether there is a cut between the previous frame and this one.
  isCut(frame) {
    this.#pen.drawImage(frame, 0, 0, SIDE, SIDE);
    const { data } = this.#pen.getImageData(0, 0, SIDE, SIDE);
    const now = { data, histogram: histogram(data) };
    const before = this.#before;
    this.#before = now;
    return (
      before !== null &&
      meanDifference(before.data, data) >= MIN_DIFFERENCE &&
      histogramDifference(before.histogram, now.histogram) >= MIN_HISTOGRAM_DIFFERENCE
    );
  }
}

function histogram(data) {
  const counts = new Float32Array(LEVELS ** 3);
  const level = (value) => Math.floor((value * LEVELS) / 256);
  for (let i = 0; i < data.length; i += 4) {
    counts[(level(data[i]) * LEVELS + level(data[i + 1])) * LEVELS + level(data[i + 2])] += 4 / data.length;
  }
  return counts;
}

function histogramDifference(a, b) {
  return a.reduce((sum, share, bin) => sum + Math.abs(share - b[bin]), 0) / 2;
}

function meanDifference(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) if (i % 4 !== 3) sum += Math.abs(a[i] - b[i]);
  return sum / ((a.length * 3) / 4) / 255;
}
