// Summary of a video's samples: when each person was in view, and the share of each emotion.

import { nameOf } from "./unsure.js";

const MAX_GAP = 1.0; // seconds out of view that end a person's stretch

// The persons of a video, by number. Each sample represents the time up to halfway to its
// neighbours, the last one the time until `end`. Each person has the `first` and the `last` second
// in view, the total `seconds`, the `shares` of that time by emotion (largest first), and the
// `stretches` of one emotion each; UNSURE counts as one.
export function persons(samples, end) {
  const found = new Map();
  samples.forEach(({ faces }, index) => {
    const [from, to] = interval(samples, index, end);
    for (const face of faces) {
      const { id } = face;
      const emotion = nameOf(face);
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

// The second up to which the video is analysed.
export function analysedUntil(samples, duration, complete) {
  const last = samples.at(-1);
  return complete || !last ? duration : Math.min(duration, last.seconds + 0.5 / last.rate);
}

function extend(stretches, emotion, start, end) {
  const latest = stretches.at(-1);
  if (latest && latest.emotion === emotion && start - latest.end <= MAX_GAP) latest.end = end;
  else stretches.push({ emotion, start, end });
}

// A share of time. Unlike a probability, it can be 100 %.
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
