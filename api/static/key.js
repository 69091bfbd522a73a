// The key that some servers ask for. It is forgotten when the page is left.

const form = document.getElementById("key-form");
const input = document.getElementById("key");

let key = "";

export function keyHeader() {
  return key ? { "X-API-Key": key } : {};
}

export function requestKey() {
  form.hidden = false;
}

// Fulfilled when the visitor has given a key.
export function nextKey() {
  return new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  // A header holds bytes; these are the key's in UTF-8.
  key = String.fromCharCode(...new TextEncoder().encode(input.value));
  form.hidden = true;
  document.getElementById("file").focus();
});
