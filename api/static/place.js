// Where faces are recognized: by the server, or on this device with one of the models of
// device/choices.json.

const PRIVACY = {
  server: "Pictures are sent to this server only, and it does not store them.",
  device: "Pictures stay on this device: nothing is sent.",
};

const control = document.getElementById("place-control");
const select = document.getElementById("place");
const privacy = document.getElementById("privacy");

let models = [];

// Reads the choices. Without a server, this device is chosen.
export async function offerPlaces() {
  const response = await fetch("device/choices.json").catch(() => null);
  if (!response?.ok) return; // the description of the model reports a server that is down
  const choices = await response.json();
  models = choices.models;
  control.hidden = !choices.server || !models.length;
  if (!choices.server) select.value = "device";
  describePlace();
}

export function onDevice() {
  return select.value === "device";
}

// The models that can run on this device, as choices.json lists them.
export function deviceModels() {
  return models;
}

export function onPlaceChange(act) {
  select.addEventListener("change", act);
}

function describePlace() {
  privacy.textContent = PRIVACY[select.value];
}

onPlaceChange(describePlace);
