// Which face is selected, which one is expanded, and which one the visitor points at. The boxes,
// the list and the timeline share them. A face is named by its number.

const listeners = [];

let selected = null;
let expanded = null;
let pointed = null;

// The face that the visitor chose, or null.
export function selectedFace() {
  return selected;
}

// The face whose probabilities are shown: the selected one while it is in the picture.
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
  tell(show);
}

export function point(id) {
  if (id === pointed) return;
  pointed = id;
  tell(false);
}

export function clearSelection() {
  selected = expanded = pointed = null;
}

export function onSelection(act) {
  listeners.push(act);
}

function tell(show) {
  for (const act of listeners) act(show);
}
