// What was found, in words and bars.

// What a model of FER-2013 tells; it is shown until the server's answers bring their own names.
export const EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const LIVE_PAUSE = 2000; // milliseconds between two sentences, so that they can be heard out

const status = document.getElementById("status");
const list = document.getElementById("faces");
const plate = document.getElementById("plate");
const faceTemplate = document.getElementById("face-template");
const barTemplate = document.getElementById("bar-template");

export function percent(probability) {
  if (probability < 0.005) return "<1\u00a0%";
  if (probability > 0.995) return ">99\u00a0%";
  return `${Math.round(100 * probability)}\u00a0%`;
}

export function say(sentence, { problem = false } = {}) {
  status.classList.toggle("is-problem", problem);
  if (status.textContent !== sentence) status.textContent = sentence;
}

export function describe(faces) {
  if (!faces.length) {
    return "No face found. It needs a face from the front, upright and in good light.";
  }
  const found = faces.slice(0, 4).map((face) => `${face.emotion} ${percent(face.probabilities[face.emotion])}`);
  if (faces.length > 4) found.push("and more below");
  return `${faces.length === 1 ? "One face" : `${faces.length} faces`}: ${found.join(", ")}.`;
}

let saidAt = 0;

export function describeLive(faces) {
  if (performance.now() - saidAt < LIVE_PAUSE) return;
  saidAt = performance.now();
  say(faces.length ? `Live: ${faces.map((face) => face.emotion).join(", ")}.` : "Live: no face in view.");
}

// One card per face; cards that are there already are changed, so that their bars can move.
// `source` has the pixels that the boxes count in, or is null where they cannot be shown.
export function showFaces(faces, source) {
  if (!faces.length) return showGhost();
  list.querySelector(".is-ghost")?.remove();
  while (list.children.length > faces.length) list.lastElementChild.remove();
  faces.forEach((face, index) => {
    const names = Object.keys(face.probabilities);
    const card = list.children[index] ?? list.appendChild(newCard(names));
    fillCard(card, face, index, faces.length);
    if (source) drawCrop(card.querySelector(".crop"), source, face.square);
  });
}

export function showGhost() {
  const card = newCard(EMOTIONS);
  card.classList.add("is-ghost");
  card.querySelector(".crop").removeAttribute("role");
  card.querySelector(".crop").removeAttribute("aria-label");
  card.querySelector(".face-place").textContent = "As the model sees it";
  card.querySelector(".face-emotion").textContent = "no face";
  for (const value of card.querySelectorAll(".bar-value")) value.textContent = "–";
  list.replaceChildren(card);
}

function newCard(names) {
  const card = faceTemplate.content.firstElementChild.cloneNode(true);
  const bars = names.map((name) => {
    const bar = barTemplate.content.firstElementChild.cloneNode(true);
    bar.dataset.emotion = name;
    bar.querySelector(".bar-name").textContent = name;
    return bar;
  });
  card.querySelector(".bars").append(...bars);
  return card;
}

function fillCard(card, face, index, count) {
  const sure = `${percent(face.confidence)} sure`;
  card.querySelector(".face-place").textContent =
    count > 1 ? `Face ${index + 1} of ${count}, detector ${sure}` : `Detector ${sure} it is a face`;
  card.querySelector(".face-emotion").textContent = face.emotion;
  for (const bar of card.querySelectorAll(".bar")) {
    const probability = face.probabilities[bar.dataset.emotion];
    bar.classList.toggle("is-first", bar.dataset.emotion === face.emotion);
    bar.querySelector(".bar-value").textContent = percent(probability);
    bar.querySelector(".fill").style.width = `${100 * probability}%`;
  }
}

// The square that the model was shown, upright. The style sheet makes it grey.
function drawCrop(canvas, source, { x, y, side, angle }) {
  const context = canvas.getContext("2d");
  context.resetTransform();
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.translate(canvas.width / 2, canvas.height / 2);
  context.scale(canvas.width / side, canvas.height / side);
  context.rotate(-angle);
  context.translate(-x, -y);
  context.drawImage(source, 0, 0);
}

export function drawPlate() {
  plate.replaceChildren(
    ...EMOTIONS.map((name) => {
      const item = document.createElement("li");
      item.dataset.emotion = name;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("aria-hidden", "true");
      const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
      use.setAttribute("href", `#${name}`);
      svg.append(use);
      item.append(svg, name);
      return item;
    }),
  );
}
