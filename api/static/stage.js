// The picture and the boxes over it.

import { percent } from "./reading.js";

const stage = document.getElementById("stage");
const empty = document.getElementById("empty");
const picture = document.getElementById("picture");
const photo = document.getElementById("photo");
const video = document.getElementById("video");
const boxes = document.getElementById("boxes");

export function clearStage() {
  boxes.replaceChildren();
  for (const medium of [photo, video]) {
    if (medium.src) URL.revokeObjectURL(medium.src);
    medium.removeAttribute("src");
    medium.hidden = true;
  }
  video.srcObject = null;
  video.load();
  picture.hidden = true;
  picture.classList.remove("is-mirrored");
  empty.hidden = false;
  stage.classList.add("is-empty");
}

// Shows `medium`, the photo or the video. With null there is an empty frame: some formats are
// read by the server, but by no browser.
export function showMedium(medium, width, height) {
  picture.style.setProperty("--ratio", width / height);
  if (medium) medium.hidden = false;
  picture.hidden = false;
  empty.hidden = true;
  stage.classList.remove("is-empty");
}

export function mirror(on) {
  picture.classList.toggle("is-mirrored", on);
}

export function drawBoxes(faces, { width, height }) {
  const mirrored = picture.classList.contains("is-mirrored");
  boxes.replaceChildren(
    ...faces.map((face, index) => {
      const left = mirrored ? width - face.box.x - face.box.width : face.box.x;
      const box = document.createElement("div");
      box.className = "box";
      box.dataset.emotion = face.emotion;
      box.style.left = share(left, width);
      box.style.top = share(face.box.y, height);
      box.style.width = share(face.box.width, width);
      box.style.height = share(face.box.height, height);
      box.classList.toggle("is-high", face.box.y < 0.1 * height);
      box.classList.toggle("is-right", left + face.box.width / 2 > 0.6 * width);
      const label = document.createElement("span");
      label.className = "box-label";
      const number = faces.length > 1 ? `${index + 1} ` : "";
      label.textContent = `${number}${face.emotion} ${percent(face.probabilities[face.emotion])}`;
      box.append(label);
      return box;
    }),
  );
}

function share(part, whole) {
  return `${(100 * part) / whole}%`;
}
