// Where faces are recognized: by the server, or on this device with one of the models of
// device/choices.json.

const NAMES = {
  "fer2013-small": "small model",
  fer2013: "full model",
};

const PRIVACY = {
  server: "Pictures are sent to this server only, and it does not store them.",
  device: "Pictures stay on this device: nothing is sent.",
};

const control = document.getElementById("place-control");
const select = document.getElementById("place");
const privacy = document.getElementById("privacy");

let models = [];

// Reads the choices; returns whether there is a server that predicts.
export async function offerPlaces() {
  const response = await fetch("device/choices.json").catch(() => null);
  if (!response?.ok) return true; // the description of the model reports a server that is down
  const choices = await response.json();
  models = choices.models;
  const ofDevice = models.map(({ name, bytes }) => {
    const size = `${(bytes / 1e6).toFixed(1)} MB`;
    return new Option(`on this device, ${NAMES[name] ?? name} (${size})`, name);
  });
  select.replaceChildren(...(choices.server ? [new Option("on the server", "")] : []), ...ofDevice);
  control.hidden = !models.length;
  describePlace();
  return choices.server;
}

// The chosen model of choices.json; undefined for the server.
export function deviceModel() {
  return models.find(({ name }) => name === select.value);
}

export function onPlaceChange(act) {
  select.addEventListener("change", act);
}

function describePlace() {
  privacy.textContent = deviceModel() ? PRIVACY.device : PRIVACY.server;
}

onPlaceChange(describePlace);
