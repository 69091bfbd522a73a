// Recognition of the faces in a picture, by the server or on this device; requests to the server.

import { detector } from "./detector.js";
import { modelQuery, selectedModel } from "./model_choice.js";
import { keyHeader, requestKey } from "./api_key.js";
import { jpeg } from "./frames.js";
import { recognizeOnDevice } from "./on_device.js";
import { onDevice } from "./place.js";
import { Refusal } from "./refusal.js";

const FINAL = [400, 403, 404, 405, 413, 415, 422]; // the same request would fail again

export class KeyRefusal extends Refusal {}

// The faces in a picture (a Blob or a canvas), as `POST /predict` returns them; `live`: of a webcam.
export async function recognize(picture, signal, { live = false } = {}) {
  if (onDevice()) return recognizeOnDevice(picture, selectedModel(), detector(), live, signal);
  const body = picture instanceof Blob ? picture : await jpeg(picture);
  const type = body.type.startsWith("image/") ? body.type : "application/octet-stream";
  const headers = { "Content-Type": type };
  const query = [`faces=${detector()}`, modelQuery()].filter(Boolean).join("&");
  return request(`predict?${query}`, { method: "POST", body, headers, signal });
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
