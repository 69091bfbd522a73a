// Sends one picture to the server and returns its answer.

import { detector } from "./detector.js";
import { keyHeader, requestKey } from "./key.js";

export class Refusal extends Error {
  // `wait`: milliseconds after which another try makes sense. `final`: no other try does.
  constructor(sentence, wait = 2000, final = false) {
    super(sentence);
    this.wait = wait;
    this.final = final;
  }
}

const FINAL = [400, 403, 404, 405, 413, 415, 422]; // the same request would be refused again

export class KeyRefusal extends Refusal {}

export async function recognize(picture, signal) {
  const type = picture.type.startsWith("image/") ? picture.type : "application/octet-stream";
  const headers = { "Content-Type": type };
  return ask(`predict?faces=${detector()}`, { method: "POST", body: picture, headers, signal });
}

export async function ask(address, { headers, ...request } = {}) {
  let response, content;
  try {
    response = await fetch(address, { ...request, headers: { ...headers, ...keyHeader() } });
    content = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(
      response
        ? `The server answered ${response.status} and gave no reason.`
        : "The server does not answer. Is it still running?",
    );
  }
  if (response.status === 401) {
    requestKey();
    throw new KeyRefusal("This server asks for a key. Give it above, and try again.");
  }
  if (!response.ok) {
    const seconds = Number(response.headers.get("Retry-After")) || 2;
    const reason = sentence(content.detail ?? `the server answered ${response.status}`);
    throw new Refusal(reason, seconds * 1000, FINAL.includes(response.status));
  }
  return content;
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
