// The choice of a model: the ready ones of the server, and the selected one.

const NAMES = {
  fer2013: "FER-2013",
  "fer2013-small": "FER-2013 small",
  ferplus: "FER+",
};

const control = document.getElementById("model-control");
const select = document.getElementById("model-choice");

// `models` as `GET /models` lists them. The control is hidden where there is nothing to choose.
export function offerModels(models) {
  const ready = models.filter(({ model }) => model);
  select.replaceChildren(...ready.map(({ model }) => new Option(nameOf(model), model.version)));
  control.hidden = ready.length < 2;
}

// The query that names the selected model; empty before the server has listed its models.
export function modelQuery() {
  return select.value && `version=${select.value}`;
}

export function onModelChange(act) {
  select.addEventListener("change", act);
}

function nameOf({ dataset, labels }) {
  return `${NAMES[dataset] ?? dataset}, ${labels.length} expressions`;
}
