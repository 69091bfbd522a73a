// The API key of servers that require one. It is kept until the page is closed.

const form = document.getElementById("key-form");
const input = document.getElementById("key");

let key = "";

export function keyHeader() {
  return key ? { "X-API-Key": key } : {};
}

export function requestKey() {
  form.hidden = false;
}

// Resolves when the visitor has entered a key.
export function nextKey() {
  return new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  // fetch() sends each character of a header as one byte; the server expects UTF-8.
  key = String.fromCharCode(...new TextEncoder().encode(input.value));
  form.hidden = true;
  document.getElementById("file").focus();
});
