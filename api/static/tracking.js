// Persons in a video: boxes are matched between frames, probabilities are smoothed over time.
// The method and its constants are those of recognizer/video/tracking.py.

const MIN_OVERLAP = 0.3; // intersection over union; below it, two boxes are different persons
const MAX_GAP = 1.0; // seconds out of view that end a track, unless the frames are further apart
export const TIME_CONSTANT = 0.5; // seconds after which a change has reached 1 − 1/e = 63 %

export class Tracker {
  #timeConstant;
  #tracks = [];
  #persons = 0;
  #now = 0;

  constructor(timeConstant = TIME_CONSTANT) {
    this.#timeConstant = timeConstant;
  }

  get persons() {
    return this.#persons;
  }

  // Ends all tracks, because faces after a cut are different persons.
  cut() {
    this.#tracks = [];
  }

  // Returns the faces of the frame at `seconds` in the same order, with the person's number as `id`
  // and smoothed `probabilities` and `emotion`. Times must increase.
  update(seconds, faces) {
    const before = this.#now;
    this.#now = seconds;
    this.#tracks = this.#tracks.filter(({ seen }) => seen === before || seconds - seen <= MAX_GAP);
    const known = this.#match(faces);
    return faces.map((face) => this.#follow(face, known.get(face)));
  }

  // Matches faces to tracks, pairs with the largest overlap first.
  #match(faces) {
    const pairs = this.#tracks
      .flatMap((track) => faces.map((face) => ({ track, face, shared: overlap(track.box, face.box) })))
      .filter(({ shared }) => shared >= MIN_OVERLAP)
      .sort((a, b) => b.shared - a.shared);
    const matches = new Map();
    const taken = new Set();
    for (const { track, face } of pairs) {
      if (matches.has(face) || taken.has(track)) continue;
      matches.set(face, track);
      taken.add(track);
    }
    return matches;
  }

  #follow(face, track) {
    if (!track) {
      track = { id: (this.#persons += 1), probabilities: { ...face.probabilities } };
      this.#tracks.push(track);
    } else {
      const weight = this.#timeConstant
        ? 1 - Math.exp(-(this.#now - track.seen) / this.#timeConstant)
        : 1;
      for (const [emotion, latest] of Object.entries(face.probabilities)) {
        track.probabilities[emotion] += weight * (latest - track.probabilities[emotion]);
      }
    }
    track.box = face.box;
    track.seen = this.#now;
    const probabilities = { ...track.probabilities };
    return { ...face, id: track.id, probabilities, emotion: mostProbable(probabilities) };
  }
}

export function mostProbable(probabilities) {
  return Object.entries(probabilities).reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

// Intersection over union of two boxes, 0 … 1.
export function overlap(a, b) {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (a.width * a.height + b.width * b.height - shared);
}
