// How faces are found: what this server offers, and what the visitor chose.

const NAMES = {
  yunet: "found in the picture",
  whole: "the picture is one face",
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
