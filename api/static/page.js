// The controls of the page: they open a photo, a video or the webcam.

import { onDetectorChange } from "./detector.js";
import { describeLive, drawExpressions, showFaces, showNoFace } from "./faces.js";
import { showModels, showSelectedModel } from "./model.js";
import { onModelChange, selectedModel } from "./model_choice.js";
import { hideRates, Rates } from "./rates.js";
import { openPhoto } from "./photo.js";
import { prepare } from "./on_device.js";
import { offerPlaces, onDevice, onPlaceChange } from "./place.js";
import { Refusal } from "./refusal.js";
import { clearSelection, expandedFace } from "./selection.js";
import { clearViewer, drawBoxes, mirror, showFrame, showMedium } from "./viewer.js";
import { say, sayOften } from "./status.js";
import { hideRecentChart, RecentChart } from "./recent_chart.js";
import { hideTimeline } from "./timeline.js";
import { Tracker } from "./tracking.js";
import { openVideoFile } from "./video_file.js";
import { follow, openWebcam } from "./webcam.js";

const VIDEO_ENDINGS = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|ogv|3gp)$/i; // some systems give no media type

const file = document.getElementById("file");
const webcam = document.getElementById("webcam");
const clear = document.getElementById("clear");
const stop = document.getElementById("stop");
const mirrored = document.getElementById("mirror");
const mirrorControl = document.getElementById("mirror-control");
const sound = document.getElementById("sound");
const viewer = document.getElementById("viewer");
const video = document.getElementById("video");

let activity = new AbortController();
let shownFile = null; // the file that is opened again if the detector or the model changes

// Ends the current activity, and returns the signal that aborts the new one.
function begin() {
  activity.abort();
  activity = new AbortController();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  shownFile = null;
  clearSelection();
  clearViewer();
  hideRecentChart();
  hideTimeline();
  showNoFace();
  webcam.textContent = "Start webcam";
  for (const control of [clear, stop, mirrorControl]) control.hidden = true;
  hideRates();
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
  stream.getVideoTracks()[0].addEventListener("ended", () => signal.aborted || end("The webcam was disconnected."));
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
  if (!plays) return end("The webcam sends no picture.", { problem: true });
  showMedium("video", video.videoWidth, video.videoHeight);
  await showWebcam(signal);
}

// The frame, the boxes, the sentence, the list and the chart change together, with each response.
async function showWebcam(signal) {
  const tracker = new Tracker();
  const chart = new RecentChart();
  const rates = new Rates();
  await follow(video, signal, {
    answered({ image, faces: found }, frame, taken) {
      const faces = tracker.update(taken / 1000, found);
      showFrame(frame);
      drawBoxes(faces, image);
      showFaces(faces, image, frame, { noun: "Person" });
      sayOften(describeLive(faces));
      chart.add(faces, expandedFace());
      rates.add(performance.now() - taken);
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

// The webcam uses the new detector with the next frame.
onDetectorChange(() => {
  if (shownFile) openFile(shownFile);
});

// Another model may have other expressions, so that bars and charts begin anew.
async function restart(describeModel) {
  const [chosen, live] = [shownFile, video.srcObject];
  end("");
  const { signal } = activity;
  await describeModel();
  if (signal.aborted || !(await isLoaded(signal))) return;
  if (chosen) openFile(chosen);
  else if (live) startWebcam();
  else end("No picture yet.");
}

// Loads the selected model if it runs on this device; false if that fails, or after another activity
// has begun.
async function isLoaded(signal) {
  if (!onDevice()) return true;
  say("Loading the detector, the model and their runtime onto this device…");
  try {
    await prepare(selectedModel());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!signal.aborted) say(error.message, { problem: true });
    return false;
  }
  return !signal.aborted;
}

onPlaceChange(() => restart(showModels));
onModelChange(() => restart(showSelectedModel));

mirrored.addEventListener("change", () => mirror(mirrored.checked));
sound.addEventListener("change", () => (video.muted = !sound.checked));

document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) openFile(event.clipboardData.files[0]);
  else say("The clipboard has no picture.");
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  viewer.classList.add("is-target");
});

document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) viewer.classList.remove("is-target");
});

document.addEventListener("drop", (event) => {
  event.preventDefault();
  viewer.classList.remove("is-target");
  if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  else say("This is not a file. Copy the picture and paste it here instead.");
});

drawExpressions();
end("No picture yet.");
start();

async function start() {
  const { signal } = activity;
  await offerPlaces();
  await showModels();
  if (onDevice() && (await isLoaded(signal))) say("No picture yet.");
}
