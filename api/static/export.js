// The result of a video as files: JSON with everything, CSV of persons, CSV of samples.

import { analysedUntil, persons } from "./summary.js";
import { TIME_CONSTANT } from "./tracking.js";
import { emotionOf, minProbability } from "./unsure.js";

// The result has the name of the video, its duration in seconds, whether all of it is analysed
// (`complete`), the detector and the samples.
export function toJson({ name, duration, complete, detector, samples }) {
  const end = analysedUntil(samples, duration, complete);
  const content = {
    video: name,
    duration: round(duration),
    analysed: round(end),
    image: samples[0].image,
    detector,
    model: samples[0].model,
    time_constant: TIME_CONSTANT,
    min_probability: minProbability(),
    cuts: samples.filter(({ cut }) => cut).map(({ seconds }) => seconds),
    persons: persons(samples, end).map((person) => ({
      person: person.id,
      first: round(person.first),
      last: round(person.last),
      seconds: round(person.seconds),
      shares: Object.fromEntries(Object.entries(person.shares).map(([key, share]) => [key, round(share, 4)])),
      changes: person.stretches.map(({ emotion, start, end }) => ({
        start: round(start),
        end: round(end),
        emotion,
      })),
    })),
    samples: samples.map(({ seconds, truncated, faces }) => ({
      seconds,
      truncated,
      faces: faces.map((face) => ({
        person: face.id,
        box: face.box,
        confidence: face.confidence,
        emotion: emotionOf(face),
        probabilities: Object.fromEntries(
          Object.entries(face.probabilities).map(([key, probability]) => [key, round(probability, 4)]),
        ),
      })),
    })),
  };
  return JSON.stringify(content, null, 1);
}

// One row per stretch of one emotion of a person, with the person's share of that emotion.
export function personsToCsv({ duration, complete, samples }) {
  const rows = persons(samples, analysedUntil(samples, duration, complete)).flatMap(({ id, seconds, shares, stretches }) =>
    stretches.map(({ emotion, start, end }) =>
      [id, round(seconds), emotion, round(start), round(end), round(shares[emotion], 4)],
    ),
  );
  return csv(["person", "seconds_in_view", "emotion", "start", "end", "share_of_emotion"], rows);
}

// One row per face and sample; the columns have the names of the command line's --csv.
export function samplesToCsv({ samples }) {
  const labels = [...new Set(samples.flatMap(({ faces }) => faces.flatMap((face) => Object.keys(face.probabilities))))];
  const rows = samples.flatMap(({ seconds, faces }) =>
    faces.map((face) => {
      const { id, confidence, probabilities } = face;
      const { x, y, width, height } = face.box;
      return [
        ...[seconds, id, x, y, width, height, confidence, emotionOf(face) ?? ""],
        ...labels.map((label) => round(probabilities[label], 4)),
      ];
    }),
  );
  return csv(["seconds", "person", "x", "y", "width", "height", "confidence", "emotion", ...labels], rows);
}

export function download(content, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function csv(head, rows) {
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

function quoted(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function round(value, digits = 2) {
  return Number(value.toFixed(digits));
}
