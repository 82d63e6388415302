// Elements made of values, never of markup: what a signal says is text wherever it is shown.

const SVG = "http://www.w3.org/2000/svg";
const SPOKEN = new Set(["title", "aria-label"]);

// What is not seen, or moves what stands beside it, though the one who reads cannot tell: controls, marks of direction,
// joiners, tags; and heaps of accents, which are drawn over the lines above.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/gu;
const HEAPED = /(\p{M}{3})(\p{M}+)/gu;

/** A text as it is shown: nothing in it is invisible. */
export function shown(text) {
  return String(text)
    .replace(UNSEEN, (letter) => `⟨U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`)
    .replace(HEAPED, (_, first, rest) => `${first}⟨${[...rest].length} more marks⟩`);
}

/** An element. Attributes that are false or null are left out; children are nodes, texts, lists of them, or nothing. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : SPOKEN.has(name) ? shown(value) : value);
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : shown(child))),
  );
  return element;
}

/** Make the children of `parent` those of `fresh`, keeping what is the same: focus, scroll, and what is unfolded stay. */
export function show(parent, ...fresh) {
  const wanted = document.createDocumentFragment();
  wanted.append(...fresh.flat(Infinity).filter(Boolean));
  patchChildren(parent, wanted);
}

function patchChildren(old, fresh) {
  const keyed = new Map([...old.childNodes].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = keyOf(child);
    const match = key ? keyed.get(key) : place && !keyOf(place) && place.nodeName === child.nodeName ? place : null;
    if (!match || match.nodeName !== child.nodeName) {
      old.insertBefore(child, place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    else old.insertBefore(match, place);
    patch(match, child);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function patch(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // whether it is unfolded is the reader's
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, fresh);
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}
