// Frames of a video as canvases, as JPEG files, and compared to find cuts.

// Draws the current frame into a new canvas whose long side has at most `longest` pixels.
export function grab(video, longest) {
  const scale = Math.min(1, longest / Math.max(video.videoWidth, video.videoHeight));
  const frame = document.createElement("canvas");
  frame.width = Math.max(1, Math.round(video.videoWidth * scale));
  frame.height = Math.max(1, Math.round(video.videoHeight * scale));
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  return frame;
}

export function jpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

const SIDE = 16; // pixels of the thumbnails that are compared
const LEVELS = 4; // per colour channel in the histograms
const MIN_DIFFERENCE = 0.1; // mean over pixels and channels, 0 … 1
const MIN_HISTOGRAM_DIFFERENCE = 0.35; // share of pixels whose colour is not there in the other frame

// Tells hard cuts from motion: at a cut the pixels change and the colours of the whole picture too.
export class CutDetector {
  #pen;
  #before = null;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    this.#pen = canvas.getContext("2d", { willReadFrequently: true });
    this.#pen.imageSmoothingQuality = "high";
  }

  // Whether there is a cut between the frame given before and this one.
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
