// The picture, and the boxes over it.

import { caption, paint } from "./emotions.js";
import { expandedFace, onSelection, point, pointedFace, select } from "./selection.js";
import { nameOf, onUnsureChange } from "./unsure.js";

const MAX_LABELS = 4; // with more faces, boxes have numbers only
const GAP = 3; // pixels between a box and its label
const TINY = 20; // pixels; if most boxes are narrower, the numbers are smaller
const REACH = 22; // pixels around a box that belong to it, for touch

const viewer = document.getElementById("viewer");
const empty = document.getElementById("empty");
const picture = document.getElementById("picture");
const photo = document.getElementById("photo");
const video = document.getElementById("video");
const frame = document.getElementById("frame");
const blank = document.getElementById("blank");
const boxes = document.getElementById("boxes");
const media = { photo, video, blank };

let drawn = null; // the arguments of `drawBoxes` whose boxes are shown

export function clearViewer() {
  drawn = null;
  boxes.replaceChildren();
  video.pause();
  for (const medium of [photo, video]) {
    if (medium.src) URL.revokeObjectURL(medium.src);
    medium.removeAttribute("src");
  }
  video.srcObject = null;
  video.load();
  for (const part of [photo, video, blank, frame, picture]) part.hidden = true;
  picture.classList.remove("is-mirrored");
  empty.hidden = false;
  viewer.classList.add("is-empty");
}

// Shows the "photo", the "video", or a "blank" area for a picture that only the server can decode.
export function showMedium(name, width, height) {
  picture.style.setProperty("--ratio", width / height);
  media[name].hidden = false;
  picture.hidden = false;
  empty.hidden = true;
  viewer.classList.remove("is-empty");
  viewer.scrollIntoView({ block: "nearest" });
}

// Shows a frame (a canvas) in place of the video. The caller draws its boxes in the same task, so
// that they never appear over another frame.
export function showFrame(canvas) {
  frame.width = canvas.width;
  frame.height = canvas.height;
  frame.getContext("2d").drawImage(canvas, 0, 0);
  frame.hidden = false;
}

export function mirror(on) {
  picture.classList.toggle("is-mirrored", on);
}

// ------------------------------------------------------------------- boxes

// Draws the boxes of `faces`, in pixels of `image`: with labels, or with numbers if labels would
// cover faces.
export function drawBoxes(faces, { width, height }) {
  drawn = [faces, { width, height }];
  const mirrored = picture.classList.contains("is-mirrored");
  boxes.replaceChildren(
    ...faces.map((face) => {
      const left = mirrored ? width - face.box.x - face.box.width : face.box.x;
      const box = document.createElement("div");
      box.className = "box";
      box.dataset.id = face.id;
      paint(box, nameOf(face));
      box.style.left = share(left, width);
      box.style.top = share(face.box.y, height);
      box.style.width = share(face.box.width, width);
      box.style.height = share(face.box.height, height);
      box.append(label(face, faces.length));
      return box;
    }),
  );
  placeLabels();
  highlightBoxes();
}

function label(face, count) {
  const words = document.createElement("span");
  words.className = "box-label";
  const what = document.createElement("span");
  what.className = "box-emotion";
  what.textContent = caption(face);
  if (count > 1) {
    const number = document.createElement("span");
    number.className = "box-number";
    number.textContent = face.id;
    words.append(number, " ");
  }
  words.append(what);
  return words;
}

// Places each label where it covers no face and no other label. If that is impossible, or with many
// faces, boxes have numbers only.
function placeLabels() {
  boxes.classList.remove("is-crowded");
  const few = boxes.children.length <= MAX_LABELS;
  if (!(few && placeAll() === 0) && boxes.children.length > 1) {
    boxes.classList.add("is-crowded");
    placeAll();
  }
}

// Returns the covered area of faces and labels, in square pixels.
function placeAll() {
  for (const box of boxes.children) box.classList.remove("is-open");
  const faces = faceAreas();
  boxes.classList.toggle("is-tiny", faces.filter(({ left, right }) => right - left < TINY).length > faces.length / 2);
  const taken = [];
  let covered = 0;
  [...boxes.children].forEach((box, index) => {
    const { place, cost } = bestPlace(box.firstElementChild, faces[index], [...faces, ...taken]);
    taken.push(place);
    covered += cost;
    box.numberPlace = place;
    put(box, place);
  });
  return covered;
}

// If boxes have numbers only, shows the label of one face; the numbers of the others do not move.
function openLabel(open) {
  for (const box of boxes.children) {
    if (box === open || !box.classList.contains("is-open")) continue;
    box.classList.remove("is-open");
    put(box, box.numberPlace);
  }
  if (!open) return;
  open.classList.add("is-open");
  const faces = faceAreas();
  const own = faces[[...boxes.children].indexOf(open)];
  put(open, bestPlace(open.firstElementChild, own, faces).place);
}

function faceAreas() {
  return [...boxes.children].map(({ offsetLeft: left, offsetTop: top, offsetWidth, offsetHeight }) => ({
    left,
    top,
    right: left + offsetWidth,
    bottom: top + offsetHeight,
  }));
}

function bestPlace({ offsetWidth, offsetHeight }, face, others) {
  return places(face, offsetWidth, offsetHeight)
    .map((place) => ({ place, cost: others.reduce((sum, other) => sum + shared(place, other), 0) }))
    .reduce((best, one) => (one.cost < best.cost ? one : best));
}

function put(box, { left, top }) {
  const { style } = box.firstElementChild;
  style.left = `${left - box.offsetLeft - box.clientLeft}px`;
  style.top = `${top - box.offsetTop - box.clientTop}px`;
}

// The possible places of a label: above, below or beside the box, inside the picture.
function places(box, width, height) {
  const [above, below] = [box.top - height - GAP, box.bottom + GAP];
  const [leftwards, rightwards] = [box.left - width - GAP, box.right + GAP];
  return [
    [box.left, above],
    [box.right - width, above],
    [box.left, below],
    [box.right - width, below],
    [leftwards, box.top],
    [rightwards, box.top],
    [leftwards, box.bottom - height],
    [rightwards, box.bottom - height],
  ].map(([x, y]) => {
    const left = Math.max(0, Math.min(boxes.clientWidth - width, x));
    const top = Math.max(0, Math.min(boxes.clientHeight - height, y));
    return { left, top, right: left + width, bottom: top + height };
  });
}

function shared(a, b) {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

export function highlightBoxes() {
  const all = [...boxes.children];
  const byId = (id) => all.find((box) => Number(box.dataset.id) === id);
  const [selected, pointed] = [byId(expandedFace()), byId(pointedFace())];
  for (const box of all) {
    box.classList.toggle("is-selected", all.length > 1 && box === selected);
    box.classList.toggle("is-pointed", all.length > 1 && box === pointed);
  }
  if (boxes.classList.contains("is-crowded")) openLabel(pointed ?? selected);
}

function share(part, whole) {
  return `${(100 * part) / whole}%`;
}

// The number of the face at a point of the window: the smallest box that contains it, else the
// nearest box within REACH.
function faceAt(x, y) {
  const near = [...boxes.children]
    .map((box) => {
      const { left, right, top, bottom, width, height } = box.getBoundingClientRect();
      const away = Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
      return { id: Number(box.dataset.id), away, size: width * height };
    })
    .filter(({ away }) => away <= REACH)
    .sort((a, b) => a.away - b.away || a.size - b.size);
  return near[0]?.id ?? null;
}

boxes.addEventListener("pointermove", (event) => {
  const id = faceAt(event.clientX, event.clientY);
  boxes.classList.toggle("is-over", id !== null);
  point(id);
});
boxes.addEventListener("pointerleave", () => point(null));
boxes.addEventListener("click", (event) => {
  const id = faceAt(event.clientX, event.clientY);
  if (id !== null) select(id, { show: true });
});

onSelection(highlightBoxes);
onUnsureChange(() => drawn && drawBoxes(...drawn));
new ResizeObserver(() => {
  placeLabels();
  highlightBoxes();
}).observe(picture);
