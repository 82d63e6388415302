// How things are written: money, shares, times, names.
import { h } from "./dom.js";

const MICRO = 1_000_000;
const UNITS = [
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
];

/** Micro-USD as `$27.4 M`. */
export function money(micro) {
  const usd = micro / MICRO;
  for (const [size, unit] of UNITS) {
    if (Math.abs(usd) >= size) return `$${digits(usd / size)} ${unit}`;
  }
  return `$${digits(usd)}`;
}

/** Parts of a million as a percentage. */
export function percent(ppm) {
  return `${digits(ppm / 10_000, ppm > 990_000 ? 4 : 2)} %`;
}

function digits(value, most = 3) {
  return value.toLocaleString("en", { maximumSignificantDigits: most });
}

/** `1 lever`, `2 levers`. */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** A time of day in UTC, with its day where that is not today. */
export function clock(ms) {
  const text = new Date(ms).toISOString();
  const isToday = text.slice(0, 10) === new Date().toISOString().slice(0, 10);
  return isToday ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

/** A time as an element that says how long ago it was; `tick` keeps it true. */
export function when(ms) {
  const whole = new Date(ms).toISOString();
  return h("time", { datetime: whole, title: `${whole.slice(0, 19).replace("T", " ")} UTC`, "data-ms": ms }, ago(ms));
}

/** Write every `when` of the page anew. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-ms]")) {
    const text = ago(Number(element.dataset.ms));
    if (element.firstChild.data !== text) element.firstChild.data = text;
  }
}

function ago(ms) {
  const left = ms - Date.now();
  // clocks of browser and node differ
  if (Math.abs(left) < 1500) return "now";
  return left > 0 ? `in ${span(left)}` : `${span(-left)} ago`;
}

/** A length of time in its two largest units. */
export function span(ms) {
  const seconds = Math.round(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** The first digits of an id, as the commands take them. */
export function short(id) {
  return id.replace(/^0x/, "").slice(0, 12);
}

/** An account, asset or other subject, short enough to read; its whole spelling belongs beside it. */
export function brief(subject) {
  const tail = subject.split(/[:/]/).pop();
  return /^0x[0-9a-f]{16,}$/i.test(tail)
    ? `${tail.slice(0, 6)}…${tail.slice(-4)}`
    : subject.split(":").length > 1
      ? tail
      : subject;
}

/** An id in full that can be copied. */
export function code(text) {
  return h("code", {}, text);
}

/** A command to run, with a button that copies it. */
export function command(text) {
  return h(
    "div",
    { class: "command" },
    h("code", { tabindex: 0, "aria-label": "command" }, text),
    h("button", { type: "button", "data-do": "copy", "data-text": text }, "Copy"),
  );
}

/** What something is of, beside a mark whose shape says the same as its colour. */
export function mark(kind, ...text) {
  const shape = { bad: "▲", warn: "◆", good: "●", none: "○" }[kind];
  return h("span", { class: `mark ${kind}` }, h("span", { "aria-hidden": "true" }, `${shape} `), ...text);
}

export const SEVERITY_KINDS = { critical: "bad", high: "warn", medium: "none", low: "none" };

/** A marking in the colours that FIRST prescribes. */
export function tlp(label) {
  return h("span", { class: `tlp tlp-${label.replace("+", "-")}` }, `TLP:${label.toUpperCase()}`);
}

/** A table; cells are nodes or texts, and every row knows the names of its columns where there is no room for the head. */
export function table(label, heads, rows, keys = []) {
  // what each part is stands there in words as well: laid out for a phone, it would be no table to a screen reader
  const body = rows.map((cells, place) =>
    h(
      "tr",
      { role: "row", "data-key": keys[place] ?? null },
      cells.map((cell, column) => h("td", { role: "cell", "data-head": heads[column] }, cell)),
    ),
  );
  return h(
    "table",
    { role: "table" },
    h("caption", { class: "hidden" }, label),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        heads.map((head) => h("th", { role: "columnheader", scope: "col" }, head)),
      ),
    ),
    h("tbody", { role: "rowgroup" }, body),
  );
}

/** Names with what they stand for; what there is nothing of is left out. */
export function facts(...pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    {},
    rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

export function panel(title, ...children) {
  const id = `panel-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "panel", "aria-labelledby": id, "data-key": id }, h("h2", { id }, title), ...children);
}
