// The choice of a model: the ready ones of the server or those of this device, and the selected one.

const NAMES = {
  fer2013: "FER-2013",
  "fer2013-small": "FER-2013 small",
  ferplus: "FER+",
};

const control = document.getElementById("model-control");
const select = document.getElementById("model-choice");

let models = [];

// The control is hidden where there is nothing to choose.
export function offerModels(offered) {
  models = offered;
  select.replaceChildren(...models.map((model) => new Option(nameOf(model), model.version)));
  control.hidden = models.length < 2;
}

// The description of the selected model.
export function selectedModel() {
  return models.find(({ version }) => version === select.value);
}

// The query that names the server's selected model; empty before it has listed its models.
export function modelQuery() {
  return select.value && `version=${select.value}`;
}

export function onModelChange(act) {
  select.addEventListener("change", act);
}

function nameOf({ dataset, labels, bytes }) {
  const size = bytes ? `, ${(bytes / 1e6).toFixed(1)} MB` : "";
  return `${NAMES[dataset] ?? dataset}, ${labels.length} expressions${size}`;
}
