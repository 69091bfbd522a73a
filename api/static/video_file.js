// A video file: samples of the whole file are analysed, then it can be played with the result.

import { detector } from "./detector.js";
import { showFaces } from "./faces.js";
import { grab } from "./frames.js";
import { facesAt } from "./interpolation.js";
import { Rates } from "./rates.js";
import { Refusal } from "./refusal.js";
import { download, personsToCsv, samplesToCsv, toJson } from "./export.js";
import { openVideo, samples as analysis } from "./sampling.js";
import { drawBoxes, showFrame, showMedium } from "./viewer.js";
import { say, sayOften } from "./status.js";
import { analysedUntil, clock, percentOfTime, persons } from "./summary.js";
import * as timeline from "./timeline.js";
import { onUnsureChange } from "./unsure.js";

const LONGEST = 1280; // pixels of the frames that are shown
const PAUSE = 250; // milliseconds between two updates of the timeline

const video = document.getElementById("video");
const stop = document.getElementById("stop");

// Analyses the file until its end, until the visitor stops it, or until `signal` aborts.
export async function openVideoFile(file, signal) {
  say("Opening the video…");
  video.src = URL.createObjectURL(file);
  video.muted = true;
  try {
    const scanner = await openVideo(video.src, signal);
    await new Analysis(file.name, scanner, signal).run();
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    say(video.error || !video.videoWidth ? `This browser cannot play ${file.name}.` : error.message, { problem: true });
  }
}

class Analysis {
  #name;
  #scanner;
  #signal;
  #samples = [];
  #persons = [];
  #detector = detector();
  #complete = false;
  #following = true; // whether the viewer shows the frames that are being analysed
  #drawn = 0;

  constructor(name, scanner, signal) {
    this.#name = name;
    this.#scanner = scanner;
    this.#signal = signal;
  }

  async run() {
    const { videoWidth, videoHeight, duration } = this.#scanner;
    showMedium("video", videoWidth, videoHeight);
    timeline.showTimeline(duration, {
      seek: (seconds) => this.#seek(seconds),
      play: () => this.#play(),
      save: (format) => this.#save(format),
    });
    this.#watchPlayer();
    onUnsureChange(() => this.#redraw(), { signal: this.#signal });
    try {
      await this.#analyse();
    } finally {
      if (!this.#signal.aborted) this.#finish();
    }
  }

  async #analyse() {
    const ended = new AbortController(); // aborts at the visitor's button or with `signal`
    const end = () => ended.abort();
    stop.addEventListener("click", end, { signal: this.#signal });
    this.#signal.addEventListener("abort", end);
    stop.hidden = false;
    const rates = new Rates({ sampled: true });
    const refused = (sentence) => say(sentence, { problem: true });
    let before = performance.now();
    try {
      for await (const sample of analysis(this.#scanner, ended.signal, refused)) {
        this.#add(sample);
        rates.add(performance.now() - before);
        rates.showSampling(sample.rate);
        before = performance.now();
      }
      this.#complete = !ended.signal.aborted;
    } catch (error) {
      if (!ended.signal.aborted) throw error;
    } finally {
      stop.hidden = true;
    }
  }

  #add({ frame, ...sample }) {
    this.#samples.push(sample);
    for (const face of sample.faces) timeline.showPortrait(face, frame);
    timeline.showAnalysed(sample.seconds);
    if (this.#following) {
      showFrame(frame);
      timeline.showTime(sample.seconds);
      this.#show(sample.faces, frame, sample.seconds);
    }
    if (performance.now() - this.#drawn < PAUSE) return;
    this.#drawn = performance.now();
    this.#summarize();
    const time = `${clock(sample.seconds)} of ${clock(this.#scanner.duration)}`;
    sayOften(`Analysing ${time}: ${people(this.#persons.length)} so far.`);
  }

  #finish() {
    this.#summarize();
    const analysed = this.#samples.length ? this.#analysedUntil() : 0;
    timeline.showAnalysed(analysed);
    const truncated = this.#samples.some((sample) => sample.truncated);
    say(
      (this.#complete
        ? `Done: ${people(this.#persons.length)} in ${clock(analysed)}.`
        : `Stopped at ${clock(analysed)} of ${clock(this.#scanner.duration)}: ${people(this.#persons.length)}.`) +
        (truncated ? " Some frames have more faces than the server returns." : ""),
    );
    if (!this.#samples.length) return;
    timeline.offerExport();
    if (this.#following) this.#seek(this.#samples.find(({ faces }) => faces.length)?.seconds ?? 0);
  }

  #summarize() {
    this.#persons = persons(this.#samples, this.#analysedUntil());
    timeline.showPersons(this.#persons);
  }

  #redraw() {
    if (!this.#samples.length) return;
    this.#summarize();
    if (!this.#following) this.#present(video.currentTime);
  }

  #analysedUntil() {
    return analysedUntil(this.#samples, this.#scanner.duration, this.#complete);
  }

  // ----------------------------------------------------------------- player

  #seek(seconds) {
    this.#following = false;
    video.currentTime = seconds;
    timeline.showTime(seconds);
  }

  #play() {
    this.#following = false;
    if (video.paused) video.play();
    else video.pause();
  }

  // Shows each frame of the player together with the boxes of the same frame.
  #watchPlayer() {
    const options = { signal: this.#signal };
    for (const name of ["play", "pause", "ended"]) {
      video.addEventListener(name, () => timeline.showPlaying(!video.paused), options);
    }
    video.addEventListener("seeked", () => this.#present(video.currentTime), options);
    const exact = "requestVideoFrameCallback" in video;
    const next = (_, metadata) => {
      if (this.#signal.aborted) return;
      if (!video.paused) this.#present(metadata?.mediaTime ?? video.currentTime);
      if (exact) video.requestVideoFrameCallback(next);
      else requestAnimationFrame(next);
    };
    if (exact) video.requestVideoFrameCallback(next);
    else requestAnimationFrame(next);
  }

  #present(seconds) {
    if (this.#following || video.seeking) return;
    const frame = grab(video, LONGEST);
    timeline.showTime(seconds);
    showFrame(frame);
    this.#show(facesAt(this.#samples, seconds), frame, seconds);
  }

  #show(faces, source, seconds) {
    const { image } = this.#samples[0] ?? {};
    if (!image) return;
    drawBoxes(faces, image);
    showFaces(faces, image, source, {
      noun: "Person",
      when: ` at ${clock(seconds)}`,
      about: ({ id }) => this.#about(id),
    });
    timeline.showExpanded();
  }

  #about(id) {
    const person = this.#persons.find((one) => one.id === id);
    if (!person) return "";
    const shares = Object.entries(person.shares).map(([emotion, share]) => `${emotion} ${percentOfTime(share)}`);
    return `In view ${clock(person.first)}–${clock(person.last)}; share of that time: ${shares.join(", ")}.`;
  }

  // ----------------------------------------------------------------- export

  #save(format) {
    const result = {
      name: this.#name,
      duration: this.#scanner.duration,
      complete: this.#complete,
      detector: this.#detector,
      samples: this.#samples,
    };
    const stem = this.#name.replace(/\.[^.]*$/, "");
    if (format === "json") download(toJson(result), "application/json", `${stem}.json`);
    if (format === "persons") download(personsToCsv(result), "text/csv", `${stem}-persons.csv`);
    if (format === "samples") download(samplesToCsv(result), "text/csv", `${stem}-samples.csv`);
  }
}

function people(count) {
  return count === 1 ? "1 person" : `${count || "no"} people`;
}
