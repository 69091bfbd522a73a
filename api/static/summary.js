// What a video's samples say: who was in view when, with which emotion, for which share of time.

import { mostProbable } from "./tracking.js";

const MAX_GAP = 1.0; // seconds out of view that break a person's stretch

// The persons of a video, by number. A sample stands for the time up to halfway to its neighbours,
// the last one for the time until `end`. Of each person: `first` and `last` second, `seconds` in view, `shares` of
// that time by emotion, the most frequent first, and `stretches` of one emotion each.
export function persons(samples, end) {
  const found = new Map();
  samples.forEach(({ faces }, index) => {
    const [from, to] = interval(samples, index, end);
    for (const { id, emotion } of faces) {
      if (!found.has(id)) found.set(id, { id, seconds: 0, time: {}, stretches: [] });
      const person = found.get(id);
      person.seconds += to - from;
      person.time[emotion] = (person.time[emotion] ?? 0) + to - from;
      extend(person.stretches, emotion, from, to);
    }
  });
  return [...found.values()]
    .sort((a, b) => a.id - b.id)
    .map(({ id, seconds, time, stretches }) => ({
      id,
      first: stretches[0].start,
      last: stretches.at(-1).end,
      seconds,
      shares: Object.fromEntries(
        Object.entries(time)
          .sort((a, b) => b[1] - a[1])
          .map(([emotion, part]) => [emotion, part / seconds]),
      ),
      stretches,
    }));
}

function interval(samples, index, end) {
  const { seconds } = samples[index];
  const before = samples[index - 1];
  const after = samples[index + 1];
  return [before ? (before.seconds + seconds) / 2 : 0, after ? (seconds + after.seconds) / 2 : end];
}

// The second until which samples tell something: the end of the video if all of it was analysed.
export function analysedUntil(samples, duration, complete) {
  const last = samples.at(-1);
  return complete || !last ? duration : Math.min(duration, last.seconds + 0.5 / last.rate);
}

function extend(stretches, emotion, start, end) {
  const latest = stretches.at(-1);
  if (latest && latest.emotion === emotion && start - latest.end <= MAX_GAP) latest.end = end;
  else stretches.push({ emotion, start, end });
}

// The faces to draw over the video's frame at `seconds`: those of the samples around it, with
// boxes and probabilities in between. None across a cut, because nobody knows at which frame
// between the two samples it is, and none where the samples do not reach.
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

// The number of the first sample that is not before `seconds`.
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

// A share of time; unlike a probability, it can be 100 %.
export function percentOfTime(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}

// 0:07, 12:34 or 1:02:03.
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
