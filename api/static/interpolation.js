// Faces at any time of a video, interpolated between its samples.

import { mostProbable } from "./tracking.js";

// The faces at `seconds`, interpolated linearly between the samples before and after. There are none
// between two samples with a cut, because the exact frame of the cut is unknown, and none beyond
// the last sample.
export function facesAt(samples, seconds) {
  const after = firstFrom(samples, seconds);
  const [a, b] = [samples[after - 1], samples[after]];
  if (b && b.seconds - seconds < 1e-3) return b.faces;
  if (!a) return [];
  if (!b) return seconds - a.seconds <= 1 / a.rate ? a.faces : [];
  if (b.cut) return [];
  const part = (seconds - a.seconds) / (b.seconds - a.seconds);
  const [near, far] = part < 0.5 ? [a, b] : [b, a];
  return near.faces.map((face) => {
    const other = far.faces.find(({ id }) => id === face.id);
    return other ? blend(face, other, Math.min(part, 1 - part)) : face;
  });
}

// The index of the first sample that is not before `seconds`.
function firstFrom(samples, seconds) {
  let [low, high] = [0, samples.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle].seconds < seconds - 1e-3) low = middle + 1;
    else high = middle;
  }
  return low;
}

function blend(face, other, part) {
  const mix = (a, b) =>
    Object.fromEntries(Object.entries(a).map(([key, value]) => [key, value + part * (b[key] - value)]));
  const probabilities = mix(face.probabilities, other.probabilities);
  return {
    ...face,
    box: mix(face.box, other.box),
    square: mix(face.square, other.square),
    probabilities,
    emotion: mostProbable(probabilities),
  };
}
