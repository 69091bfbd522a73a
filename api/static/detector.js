// The detector: the choices of the server, and the selected one.

const NAMES = {
  yunet: "detected",
  whole: "the whole picture",
};

const control = document.getElementById("detector-control");
const select = document.getElementById("detector");

// Offers these detectors; a selected one stays selected if it is among them.
export function offerDetectors(names) {
  const selected = names.includes(select.value) ? select.value : names[0];
  select.replaceChildren(...names.map((name) => new Option(NAMES[name] ?? name, name)));
  select.value = selected;
  control.hidden = false;
}

export function detector() {
  return select.value || "yunet";
}

export function onDetectorChange(act) {
  select.addEventListener("change", act);
}
