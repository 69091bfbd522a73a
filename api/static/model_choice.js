// The choice of a model: the ready ones of the server or those of this device, and the selected one.

const NAMES = {
  fer2013: "FER-2013",
  "fer2013-small": "FER-2013 small",
  ferplus: "FER+",
};

const control = document.getElementById("model-control");
const select = document.getElementById("model-choice");

let models = [];

// The control is hidden where there is nothing to choose. Files with the same bytes are one model. A
// model that the visitor has chosen stays selected if it is offered again, by the server or the device.
export function offerModels(offered) {
  const chosen = selectedModel();
  models = offered.filter(({ version }, index) => offered.findIndex((one) => one.version === version) === index);
  select.replaceChildren(...models.map((model) => new Option(nameOf(model), model.version)));
  const kept = models.find(({ dataset }) => dataset === chosen?.dataset);
  if (kept && !chosen.default) select.value = kept.version;
  control.hidden = models.length < 2;
}

// The description of the selected model.
export function selectedModel() {
  return models.find(({ version }) => version === select.value);
}

// The query that names the server's selected model. It is empty for the default, and a name instead of
// a version where one is enough: after a reload of the server, a version may not be served any more.
export function modelQuery() {
  const model = selectedModel();
  if (!model || model.default) return "";
  return isOnlyVersion(model) ? `model=${encodeURIComponent(model.dataset)}` : `version=${model.version}`;
}

export function onModelChange(act) {
  select.addEventListener("change", act);
}

// Whether no other version of its dataset's model is offered.
function isOnlyVersion(model) {
  return models.filter(({ dataset }) => dataset === model.dataset).length === 1;
}

function nameOf(model) {
  const { dataset, labels, bytes, version } = model;
  const size = bytes ? `, ${(bytes / 1e6).toFixed(1)} MB` : "";
  const which = isOnlyVersion(model) ? "" : `, version ${version.slice(0, 12)}`;
  return `${NAMES[dataset] ?? dataset}, ${labels.length} expressions${size}${which}`;
}
