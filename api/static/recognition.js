// Requests to the server.

import { detector } from "./detector.js";
import { modelQuery } from "./model_choice.js";
import { keyHeader, requestKey } from "./api_key.js";

// An error whose message is shown to the visitor.
export class Refusal extends Error {
  // `wait`: milliseconds before the next attempt. `final`: another attempt would fail as well.
  constructor(sentence, wait = 2000, final = false) {
    super(sentence);
    this.wait = wait;
    this.final = final;
  }
}

const FINAL = [400, 403, 404, 405, 413, 415, 422]; // the same request would fail again

export class KeyRefusal extends Refusal {}

// The faces in a picture (a Blob), as `POST /predict` returns them.
export async function recognize(picture, signal) {
  const type = picture.type.startsWith("image/") ? picture.type : "application/octet-stream";
  const headers = { "Content-Type": type };
  const query = [`faces=${detector()}`, modelQuery()].filter(Boolean).join("&");
  return request(`predict?${query}`, { method: "POST", body: picture, headers, signal });
}

export async function request(address, { headers, ...options } = {}) {
  let response, content;
  try {
    response = await fetch(address, { ...options, headers: { ...headers, ...keyHeader() } });
    content = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(
      response
        ? `The server returned status ${response.status} without a reason.`
        : "The server does not respond. Is it still running?",
    );
  }
  if (response.status === 401) {
    requestKey();
    throw new KeyRefusal("This server requires an API key. Enter it above, and try again.");
  }
  if (!response.ok) {
    const seconds = Number(response.headers.get("Retry-After")) || 2;
    const reason = sentence(content.detail ?? `the server returned status ${response.status}`);
    throw new Refusal(reason, seconds * 1000, FINAL.includes(response.status));
  }
  return content;
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

// Waits before the next attempt, or until `signal` aborts.
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
