// Puts the page together: photo, video or webcam in, predictions out.

import { onDetectorChange } from "./detector.js";
import { describeLive, drawPlate, showFaces, showNoFace } from "./faces.js";
import { showModel } from "./model.js";
import { hidePace, Pace } from "./pace.js";
import { openPhoto } from "./photo.js";
import { Refusal } from "./recognition.js";
import { clearSelection, expandedFace } from "./selection.js";
import { clearStage, drawBoxes, mirror, showFrame, showMedium } from "./stage.js";
import { say, sayOften } from "./status.js";
import { hideStrips, Strips } from "./strips.js";
import { hideTimeline } from "./timeline.js";
import { Tracker } from "./tracking.js";
import { openVideoFile } from "./video_file.js";
import { follow, openWebcam } from "./webcam.js";

const VIDEO_ENDINGS = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|ogv|3gp)$/i; // some systems name no type

const file = document.getElementById("file");
const webcam = document.getElementById("webcam");
const clear = document.getElementById("clear");
const stop = document.getElementById("stop");
const mirrored = document.getElementById("mirror");
const mirrorControl = document.getElementById("mirror-control");
const sound = document.getElementById("sound");
const stage = document.getElementById("stage");
const video = document.getElementById("video");

let activity = new AbortController();
let shownFile = null; // the file that can be recognized again, with another detector

// Ends what goes on, and returns the signal that ends what begins now.
function begin() {
  activity.abort();
  activity = new AbortController();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  shownFile = null;
  clearSelection();
  clearStage();
  hideStrips();
  hideTimeline();
  showNoFace();
  webcam.textContent = "Start webcam";
  for (const control of [clear, stop, mirrorControl]) control.hidden = true;
  hidePace();
  return activity.signal;
}

function end(sentence, options) {
  begin();
  say(sentence, options);
}

function openFile(chosen) {
  const signal = begin();
  shownFile = chosen;
  clear.hidden = false;
  sound.checked = false;
  const isVideo = chosen.type.startsWith("video/") || VIDEO_ENDINGS.test(chosen.name);
  return isVideo ? openVideoFile(chosen, signal) : openPhoto(chosen, signal);
}

// ------------------------------------------------------------------ webcam

async function startWebcam() {
  const signal = begin();
  say("Waiting for the webcam…");
  let stream;
  try {
    stream = await openWebcam();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!signal.aborted) say(error.message, { problem: true });
    return;
  }
  const off = () => stream.getTracks().forEach((track) => track.stop());
  if (signal.aborted) return off();
  stream.getVideoTracks()[0].addEventListener("ended", () => signal.aborted || end("The webcam was taken away."));
  webcam.textContent = "Stop webcam";
  mirrorControl.hidden = false;
  video.srcObject = stream;
  video.muted = true;
  mirror(mirrored.checked);
  const plays = await video.play().then(
    () => video.videoWidth > 0,
    () => false,
  );
  if (signal.aborted) return;
  if (!plays) return end("The webcam gives no picture.", { problem: true });
  showMedium("video", video.videoWidth, video.videoHeight);
  await showWebcam(signal);
}

// Frame, boxes, sentence, list and strips come from one answer and change together.
async function showWebcam(signal) {
  const tracker = new Tracker();
  const strips = new Strips();
  const pace = new Pace();
  await follow(video, signal, {
    answered({ image, faces: found }, frame, taken) {
      const faces = tracker.update(taken / 1000, found);
      showFrame(frame);
      drawBoxes(faces, image);
      showFaces(faces, image, frame, { noun: "Person" });
      sayOften(describeLive(faces));
      strips.add(faces, expandedFace());
      pace.add(performance.now() - taken);
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
  else startWebcam();
});

clear.addEventListener("click", () => {
  end("No picture yet.");
  file.focus();
});

// A webcam asks with the next frame.
onDetectorChange(() => {
  if (shownFile) openFile(shownFile);
});

mirrored.addEventListener("change", () => mirror(mirrored.checked));
sound.addEventListener("change", () => (video.muted = !sound.checked));

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
