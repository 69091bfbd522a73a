// The selected, the expanded and the pointed-at face, shared by boxes, list and timeline. A face is
// identified by its number.

const listeners = [];

let selected = null;
let expanded = null;
let pointed = null;

// The face that the visitor selected, or null.
export function selectedFace() {
  return selected;
}

// The face whose probabilities are shown: the selected one if it is in the picture.
export function expandedFace() {
  return expanded;
}

export function setExpandedFace(id) {
  expanded = id;
}

export function pointedFace() {
  return pointed;
}

// With `show`, the list scrolls to the face.
export function select(id, { show = false } = {}) {
  selected = id;
  notify(show);
}

export function point(id) {
  if (id === pointed) return;
  pointed = id;
  notify(false);
}

export function clearSelection() {
  selected = expanded = pointed = null;
}

export function onSelection(act) {
  listeners.push(act);
}

function notify(show) {
  for (const act of listeners) act(show);
}
