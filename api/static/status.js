// One sentence about the current state, shown and announced to screen readers.

const PAUSE = 2000; // milliseconds between two announcements of a sentence that changes often

const status = document.getElementById("status");
const announcement = document.getElementById("announcement");

let announcedAt = 0;

// Shows a sentence and announces it.
export function say(sentence, { problem = false } = {}) {
  status.classList.toggle("is-problem", problem);
  if (status.textContent !== sentence) status.textContent = sentence;
  if (announcement.textContent !== sentence) announcement.textContent = sentence;
  announcedAt = performance.now();
}

// Shows a sentence that changes often, and announces it at most every two seconds.
export function sayOften(sentence) {
  status.classList.remove("is-problem");
  if (status.textContent !== sentence) status.textContent = sentence;
  if (performance.now() - announcedAt < PAUSE) return;
  announcedAt = performance.now();
  if (announcement.textContent !== sentence) announcement.textContent = sentence;
}
