// The emotions of the model: their order, colours and icons, and the format of a probability.

import { emotionOf, UNSURE } from "./unsure.js";

const OTHER = "other"; // the icon of emotions without one of their own
const GOLDEN_ANGLE = 137.5; // degrees between the hues of neighbouring emotions

// The emotions with an icon in index.html; style.css has a colour for each of them.
const KNOWN = new Set([...document.querySelectorAll(".sprite symbol")].map(({ id }) => id));
KNOWN.delete(OTHER);

let labels = []; // in the order of the model's output; empty until the server has sent them

export function emotions() {
  return labels;
}

export function setEmotions(names) {
  labels = [...names];
}

export function percent(probability) {
  if (probability < 0.005) return "<1\u00a0%";
  if (probability > 0.995) return ">99\u00a0%";
  return `${Math.round(100 * probability)}\u00a0%`;
}

// The emotion of a face and its probability, as "happy 96 %".
export function caption(face) {
  const emotion = emotionOf(face);
  return emotion ? `${emotion} ${percent(face.probabilities[emotion])}` : UNSURE;
}

// Sets the CSS variable --emotion of an element to the emotion's colour; UNSURE has that of the text.
export function paint(element, emotion) {
  if (element.dataset.emotion === emotion) return;
  element.dataset.emotion = emotion;
  if (KNOWN.has(emotion) || emotion === UNSURE) {
    element.style.removeProperty("--emotion");
    return;
  }
  const others = labels.filter((label) => !KNOWN.has(label));
  const hue = (20 + GOLDEN_ANGLE * Math.max(0, others.indexOf(emotion))) % 360;
  element.style.setProperty("--emotion", `oklch(var(--other-lightness) 0.13 ${hue.toFixed(0)})`);
}

// The icon of an emotion; a neutral one if the emotion is unknown.
export function icon(emotion) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${KNOWN.has(emotion) ? emotion : OTHER}`);
  svg.append(use);
  return svg;
}
