// The visitor's minimum: where the probability of the predicted emotion is lower, the page says "unsure".

export const UNSURE = "unsure";

const select = document.getElementById("unsure");

export function minProbability() {
  return Number(select.value);
}

// The predicted emotion of a face; null if its probability is below the minimum.
export function emotionOf({ emotion, probabilities }) {
  return probabilities[emotion] < minProbability() ? null : emotion;
}

export function nameOf(face) {
  return emotionOf(face) ?? UNSURE;
}

export function onUnsureChange(act, options) {
  select.addEventListener("change", act, options);
}
