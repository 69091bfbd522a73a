// A photo: it is shown and sent, then its faces are described.

import { describe, showFaces } from "./faces.js";
import { showLatency } from "./rates.js";
import { recognize } from "./recognition.js";
import { Refusal } from "./refusal.js";
import { drawBoxes, showFrame, showMedium } from "./viewer.js";
import { say } from "./status.js";
import { onUnsureChange } from "./unsure.js";

const LONGEST = 2560; // pixels; larger photos are scaled down
const SENT_UNCHANGED = ["image/jpeg", "image/png", "image/webp", "image/bmp"];
const ANIMATED = ["image/gif", "image/webp", "image/png", "image/apng", "image/avif"]; // formats that may be animated
const MAX_BYTES = 8_000_000;

const photo = document.getElementById("photo");
const blankNote = document.getElementById("blank-note");

export async function openPhoto(file, signal) {
  say("Detecting faces…");
  const shown = await showPhoto(file);
  if (signal.aborted) return;
  try {
    const sent = shown ? fit(file) : file;
    const start = performance.now();
    const { image, faces: found, truncated } = await recognize(sent, signal);
    if (signal.aborted) return;
    showLatency(performance.now() - start);
    if (!shown) showBlank(file, image);
    const faces = found.map((face, index) => ({ ...face, id: index + 1 }));
    drawBoxes(faces, image);
    showFaces(faces, image, shown ? photo : null);
    const report = () =>
      say(
        describe(faces) +
          (truncated ? " There are more faces, but the server returns no more than these." : "") +
          (shown ? "" : " This browser cannot show this kind of image."),
      );
    report();
    onUnsureChange(report, { signal });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    say(error.message, { problem: true });
  }
}

// False if the browser cannot decode the image; the server may be able to.
async function showPhoto(file) {
  photo.src = URL.createObjectURL(file);
  photo.alt = `Your picture ${file.name}`;
  try {
    await photo.decode();
  } catch {
    return false;
  }
  if (!photo.naturalWidth) return false; // an SVG without a size
  showMedium("photo", photo.naturalWidth, photo.naturalHeight);
  // The server reads the first frame, so this frame is shown.
  if (ANIMATED.includes(file.type)) showFrame(drawn(photo.naturalWidth, photo.naturalHeight));
  return true;
}

function showBlank(file, { width, height }) {
  blankNote.textContent = `${file.name}: ${width} × ${height} pixels. The boxes are where the server detected faces.`;
  showMedium("blank", width, height);
}

// The file itself, or a canvas of it if the server would refuse the file.
function fit(file) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  const isSmall = Math.max(width, height) <= LONGEST && file.size <= MAX_BYTES;
  return isSmall && SENT_UNCHANGED.includes(file.type) ? file : drawn(width, height);
}

// The photo (of an animation the first frame) with at most LONGEST pixels on its long side.
function drawn(width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(photo, 0, 0, canvas.width, canvas.height);
  return canvas;
}
