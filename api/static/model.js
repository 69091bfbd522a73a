// The selected model: its classes, its accuracy, its version and its dataset.

import { offerDetectors } from "./detector.js";
import { setEmotions } from "./emotions.js";
import { drawExpressions } from "./faces.js";
import { nextKey } from "./api_key.js";
import { modelQuery, offerModels, selectedModel } from "./model_choice.js";
import { deviceModels, onDevice } from "./place.js";
import { KeyRefusal, request } from "./recognition.js";
import { Refusal } from "./refusal.js";

const DATASETS = {
  fer2013: { name: "FER-2013", pictures: "FER-2013’s" },
  "fer2013-small": { name: "FER-2013", pictures: "FER-2013’s" },
  ferplus: { name: "FER-2013’s faces with the votes of ten people each (FER+)", pictures: "FER+’s" },
  sample: { name: "the built-in sample: rendered faces, no photographs", pictures: "the built-in sample’s" },
};

const DETECTORS_ON_DEVICE = ["yunet", "whole"];

const note = document.getElementById("accuracy-note");

// Offers the models and the detectors of the chosen place, and describes the selected model.
export async function showModels() {
  if (onDevice()) {
    offerModels(deviceModels());
    offerDetectors(DETECTORS_ON_DEVICE);
    describe(selectedModel());
    return;
  }
  await untilReady(async () => {
    await request("model"); // refused until a model is ready
    const { models, detectors } = await request("models");
    if (onDevice()) return;
    const ready = models.filter(({ model }) => model);
    offerModels(ready.map(({ model, default: isDefault }) => ({ ...model, default: isDefault })));
    offerDetectors(detectors);
    describe(selectedModel());
  });
}

export async function showSelectedModel() {
  if (onDevice()) describe(selectedModel());
  else await untilReady(async () => describe(await request(`model?${modelQuery()}`)));
}

// Repeats a request of the server, unless the visitor chooses this device.
async function untilReady(act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (onDevice()) return;
      if (!(error instanceof Refusal)) throw error;
      if (error instanceof KeyRefusal) {
        note.textContent = "This server requires an API key.";
        await nextKey();
      } else {
        note.textContent = `No model is ready. ${error.message}`;
        await new Promise((resolve) => setTimeout(resolve, error.wait));
      }
    }
  }
}

function describe({ version, dataset, labels, evaluation }) {
  setEmotions(labels);
  drawExpressions();
  document.getElementById("chance-name").textContent = `chance, ${Math.round(100 / labels.length)} %`;
  for (const name of ["chance", "chance-name"]) {
    document.getElementById(name).style.left = `${100 / labels.length}%`;
  }
  const { name, pictures } = DATASETS[dataset] ?? { name: dataset, pictures: `${dataset}’s` };
  document.getElementById("version").textContent = version.slice(0, 12);
  document.getElementById("dataset").textContent = name;
  document.getElementById("identity").hidden = false;
  if (!evaluation?.PrivateTest) {
    document.getElementById("measured").hidden = true;
    note.textContent = "The accuracy is unknown: there are no published metrics of this model file.";
    return;
  }
  const { accuracy, accuracy_low: low, accuracy_high: high, images } = evaluation.PrivateTest;
  document.getElementById("accuracy").textContent = `${tenths(accuracy)} %`;
  document.getElementById("mark").style.left = `${100 * accuracy}%`;
  document.getElementById("interval").style.left = `${100 * low}%`;
  document.getElementById("interval").style.width = `${100 * (high - low)}%`;
  document.getElementById("measured").hidden = false;
  const count = images ? `${images.toLocaleString("en")} ` : "";
  note.textContent =
    `Measured on the ${count}pictures of ${pictures} PrivateTest: cropped faces that it was not trained on.` +
    ` 95 % confidence interval: ${tenths(low)} to ${tenths(high)} %.` +
    (dataset.startsWith("fer2013") ? " Humans reach about 65 % on such pictures (Goodfellow et al., 2013)." : "");
}

function tenths(share) {
  return (100 * share).toFixed(1);
}
