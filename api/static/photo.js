// A photo: shown, sent, and described.

import { describe, showFaces } from "./faces.js";
import { jpeg } from "./frames.js";
import { showLatency } from "./pace.js";
import { recognize, Refusal } from "./recognition.js";
import { drawBoxes, showFrame, showMedium } from "./stage.js";
import { say } from "./status.js";

const LONGEST = 2560; // pixels; larger photos are sent smaller
const SENT_AS_IT_IS = ["image/jpeg", "image/png", "image/webp", "image/bmp"];
const ANIMATED = ["image/gif", "image/webp", "image/png", "image/apng", "image/avif"]; // they can be
const MOST_BYTES = 8_000_000;

const photo = document.getElementById("photo");
const blankNote = document.getElementById("blank-note");

export async function openPhoto(file, signal) {
  say("Detecting faces…");
  const shown = await showPhoto(file);
  if (signal.aborted) return;
  try {
    const sent = shown ? await fit(file) : file;
    const start = performance.now();
    const { image, faces: found, truncated } = await recognize(sent, signal);
    if (signal.aborted) return;
    showLatency(performance.now() - start);
    if (!shown) showBlank(file, image);
    const faces = found.map((face, index) => ({ ...face, id: index + 1 }));
    drawBoxes(faces, image);
    showFaces(faces, image, shown ? photo : null);
    say(
      describe(faces) +
        (truncated ? " There are more faces; the server answers for no more than these." : "") +
        (shown ? "" : " This browser cannot show this kind of image."),
    );
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    say(error.message, { problem: true });
  }
}

// False if this browser cannot read the image; the server may all the same.
async function showPhoto(file) {
  photo.src = URL.createObjectURL(file);
  photo.alt = `Your picture ${file.name}`;
  try {
    await photo.decode();
  } catch {
    return false;
  }
  if (!photo.naturalWidth) return false; // a drawing without a size
  showMedium("photo", photo.naturalWidth, photo.naturalHeight);
  // The faces are those of the first frame, so that nothing else is shown.
  if (ANIMATED.includes(file.type)) showFrame(drawn(photo.naturalWidth, photo.naturalHeight));
  return true;
}

function showBlank(file, { width, height }) {
  blankNote.textContent = `${file.name}: ${width} × ${height} pixels. The boxes are where the server detected faces.`;
  showMedium("blank", width, height);
}

// The file itself, or a JPEG of it where the server would not take it.
async function fit(file) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  const isSmall = Math.max(width, height) <= LONGEST && file.size <= MOST_BYTES;
  return isSmall && SENT_AS_IT_IS.includes(file.type) ? file : jpeg(drawn(width, height));
}

// The photo, of an animation the first frame, with a long side of at most LONGEST pixels.
function drawn(width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(photo, 0, 0, canvas.width, canvas.height);
  return canvas;
}
