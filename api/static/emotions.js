// The model's emotions: their order, their colours and marks, and how a probability is written.

// The labels of FER-2013. They hold until the server tells those of its model.
let labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

// The style sheet has a colour and index.html a drawing for each of these.
const DRAWN = new Set(labels);
const GOLDEN_ANGLE = 137.5; // degrees; neighbours in the list get hues far apart

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

// Gives an element the emotion's colour as the CSS variable --emotion.
export function paint(element, emotion) {
  if (element.dataset.emotion === emotion) return;
  element.dataset.emotion = emotion;
  if (DRAWN.has(emotion)) {
    element.style.removeProperty("--emotion");
    return;
  }
  const others = labels.filter((label) => !DRAWN.has(label));
  const hue = (20 + GOLDEN_ANGLE * Math.max(0, others.indexOf(emotion))) % 360;
  element.style.setProperty("--emotion", `oklch(var(--other-lightness) 0.13 ${hue.toFixed(0)})`);
}

// The drawing of an emotion; a plain face where there is none.
export function mark(emotion) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", DRAWN.has(emotion) ? `#${emotion}` : "#other");
  svg.append(use);
  return svg;
}
