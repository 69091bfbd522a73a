// The detector: the choices of the server, and the selected one.

const NAMES = {
  yunet: "detected",
  whole: "the whole picture",
};

const control = document.getElementById("detector-control");
const select = document.getElementById("detector");

export function offerDetectors(names) {
  select.replaceChildren(...names.map((name) => new Option(NAMES[name] ?? name, name)));
  control.hidden = false;
}

export function detector() {
  return select.value || "yunet";
}

export function onDetectorChange(act) {
  select.addEventListener("change", act);
}
