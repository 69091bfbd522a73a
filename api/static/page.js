// Puts the page together: photo, video or webcam in, reading out.

import { onDetectorChange } from "./detector.js";
import { follow, jpeg } from "./live.js";
import { showModel } from "./model.js";
import { hidePace, Pace, showLatency } from "./pace.js";
import { describe, describeLive, drawPlate, say, showFaces, showGhost } from "./reading.js";
import { recognize, Refusal } from "./recognition.js";
import { clearStage, drawBoxes, mirror, showMedium } from "./stage.js";
import { hideTimeline, Timeline } from "./timeline.js";

const LONGEST = 2560; // pixels; the detector looks at half of that
const SENT_AS_IT_IS = ["image/jpeg", "image/png", "image/webp", "image/bmp"];
const MOST_BYTES = 8_000_000;

const file = document.getElementById("file");
const webcam = document.getElementById("webcam");
const clear = document.getElementById("clear");
const mirrored = document.getElementById("mirror");
const mirrorControl = document.getElementById("mirror-control");
const stage = document.getElementById("stage");
const photo = document.getElementById("photo");
const video = document.getElementById("video");

let activity = new AbortController();
let shownFile = null; // the photo that can be looked at again

// Ends what goes on, and returns the signal that ends what begins now.
function begin() {
  activity.abort();
  activity = new AbortController();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  shownFile = null;
  clearStage();
  hideTimeline();
  showGhost();
  webcam.textContent = "Start webcam";
  for (const control of [clear, mirrorControl]) control.hidden = true;
  hidePace();
  return activity.signal;
}

function end(sentence) {
  begin();
  say(sentence);
}

// ------------------------------------------------------------------ photos

async function openFile(chosen) {
  if (chosen.type.startsWith("video/")) return openVideo(chosen);
  const signal = begin();
  shownFile = chosen;
  clear.hidden = false;
  say("Looking for faces…");
  const shown = await showPhoto(chosen);
  if (signal.aborted) return;
  try {
    const sent = shown ? await fit(chosen) : chosen;
    const start = performance.now();
    const { image, faces, truncated } = await recognize(sent, signal);
    if (signal.aborted) return;
    showLatency(performance.now() - start);
    if (!shown) showMedium(null, image.width, image.height);
    drawBoxes(faces, image);
    showFaces(faces, shown ? scaled(photo, image) : null);
    say(
      describe(faces) +
        (truncated ? " There are more, but the server reads no more than these." : "") +
        (shown ? "" : " Your browser cannot show this kind of image."),
    );
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    say(error.message, { problem: true });
  }
}

// False if this browser cannot read the image; the server may all the same.
async function showPhoto(chosen) {
  photo.src = URL.createObjectURL(chosen);
  photo.alt = `Your picture ${chosen.name}`;
  try {
    await photo.decode();
  } catch {
    return false;
  }
  if (!photo.naturalWidth) return false; // a drawing without a size
  showMedium(photo, photo.naturalWidth, photo.naturalHeight);
  return true;
}

// The file itself, or a JPEG of it where the server would not take it.
async function fit(chosen) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  if (scale === 1 && SENT_AS_IT_IS.includes(chosen.type) && chosen.size <= MOST_BYTES) return chosen;
  return jpeg(scaled(photo, { width: Math.round(width * scale), height: Math.round(height * scale) }));
}

// The photo in the pixels that the server counts in.
function scaled(image, { width, height }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(image, 0, 0, width, height);
  return canvas;
}

// ------------------------------------------------------------- live video

async function openVideo(chosen) {
  const signal = begin();
  clear.hidden = false;
  say("Opening the video…");
  video.src = URL.createObjectURL(chosen);
  video.controls = true;
  await play(signal, `This browser cannot play ${chosen.name}.`);
}

async function openWebcam() {
  const signal = begin();
  say("Waiting for the webcam…");
  let stream;
  try {
    if (!navigator.mediaDevices) throw new DOMException("", "InsecureContextError");
    stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, facingMode: "user" },
    });
  } catch (error) {
    if (!signal.aborted) say(WEBCAM_PROBLEMS[error.name] ?? "The webcam cannot be started.", { problem: true });
    return;
  }
  if (signal.aborted) {
    for (const track of stream.getTracks()) track.stop();
    return;
  }
  stream.getVideoTracks()[0].addEventListener("ended", () => signal.aborted || end("The webcam was taken away."));
  webcam.textContent = "Stop webcam";
  mirrorControl.hidden = false;
  video.srcObject = stream;
  video.controls = false;
  mirror(mirrored.checked);
  await play(signal, "The webcam gives no picture.");
}

const WEBCAM_PROBLEMS = {
  InsecureContextError: "The browser gives a webcam only to pages over HTTPS or on this machine itself.",
  NotAllowedError: "The webcam is not allowed here. Allow it in the browser’s settings of this page.",
  NotFoundError: "No webcam was found.",
  NotReadableError: "The webcam is in use by another program.",
};

async function play(signal, failure) {
  const plays = await video.play().then(
    () => video.videoWidth > 0,
    () => false,
  );
  if (signal.aborted) return;
  if (!plays) {
    begin();
    say(failure, { problem: true });
    return;
  }
  showMedium(video, video.videoWidth, video.videoHeight);
  const timeline = new Timeline();
  const counter = new Pace();
  await follow(video, signal, {
    answered({ image, faces }, frame, milliseconds) {
      drawBoxes(faces, image);
      showFaces(faces, frame);
      describeLive(faces);
      timeline.add(faces[0]?.probabilities ?? null);
      counter.add(milliseconds);
    },
    refused: (sentence) => say(sentence, { problem: true }),
  });
}

// ---------------------------------------------------------------- controls

file.addEventListener("change", () => {
  if (file.files.length) openFile(file.files[0]);
  file.value = ""; // so that the same file can be chosen again
});

webcam.addEventListener("click", () => {
  if (video.srcObject) end("The webcam is off.");
  else openWebcam();
});

clear.addEventListener("click", () => {
  end("No picture yet.");
  file.focus();
});

// A video that runs asks with the next frame.
onDetectorChange(() => {
  if (shownFile) openFile(shownFile);
});

mirrored.addEventListener("change", () => mirror(mirrored.checked));

document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) openFile(event.clipboardData.files[0]);
  else say("The clipboard holds no picture.");
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("is-target");
});

document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) stage.classList.remove("is-target");
});

document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("is-target");
  if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  else say("That is no file. Copy the picture and paste it here instead.");
});

drawPlate();
end("No picture yet.");
showModel();
