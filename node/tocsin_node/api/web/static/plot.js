// Two small drawings over time: what happened, and what we believed.
import { h, s } from "./dom.js";
import { clock, count, percent } from "./words.js";

const LEFT = 74,
  RIGHT = 10,
  LANE = 22,
  AXIS = 20;
const MIN_SPAN_MS = 60_000;
const TICKS = 4;
const MOST_NATS = 9.3;
const BELIEF_LINES = [100, 10_000, 500_000, 990_000, 999_900];

/** A scale from `from` to `to` (ms) over a drawing `width` wide. */
function scale(from, to, width) {
  const span = Math.max(to - from, MIN_SPAN_MS);
  return (ms) => LEFT + ((ms - (to - span)) / span) * (width - LEFT - RIGHT);
}

/** What happened, one lane for each kind: `moments` are {lane, at_ms, kind, text}. */
export function timeline(lanes, moments, to, width) {
  const from = Math.min(to, ...moments.map((one) => one.at_ms));
  const x = scale(from, to, width);
  const height = lanes.length * LANE + AXIS;
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      class: "plot",
      role: "img",
      "aria-label": `${moments.length} moments from ${clock(from)} to ${clock(to)}`,
    },
    lanes.map((lane, row) => [
      s("text", { x: 0, y: row * LANE + 15 }, lane),
      s("line", { x1: LEFT, x2: width - RIGHT, y1: row * LANE + 11, y2: row * LANE + 11, class: "lane" }),
    ]),
    moments.map((one) =>
      s(
        "path",
        { d: shape(one.kind, x(one.at_ms), lanes.indexOf(one.lane) * LANE + 11), class: `dot ${one.kind}` },
        s("title", {}, `${clock(one.at_ms)} ${one.text}`),
      ),
    ),
    ticks(x, from, to, width, height),
  );
}

/** The same in words, for who cannot see it or wants to know. */
export function story(moments) {
  return h(
    "details",
    {},
    h("summary", {}, `${count(moments.length, "moment")} in words`),
    h(
      "ol",
      { class: "story" },
      moments.map((one) => h("li", {}, h("span", { class: "number" }, clock(one.at_ms)), ` ${one.text}`)),
    ),
  );
}

/** What was believed after each decision (ppm), as steps. Odds go by factors, and so does the scale: a tenth of a percent counts. */
export function beliefPlot(decisions, to, width) {
  const rows = [...decisions].sort((a, b) => a.at_ms - b.at_ms);
  const [from, height] = [rows[0].at_ms, 132];
  const x = scale(from, to, width),
    y = (ppm) => 8 + (0.5 - logit(ppm) / (2 * MOST_NATS)) * (height - AXIS - 16);
  const steps = rows
    .map((one, place) => `${place ? `H${x(one.at_ms)}V` : `M${x(one.at_ms)} `}${y(one.belief_ppm)}`)
    .join("");
  const last = rows.at(-1);
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      class: "plot",
      role: "img",
      "aria-label": `Belief went from ${percent(rows[0].belief_ppm)} to ${percent(last.belief_ppm)}`,
    },
    BELIEF_LINES.map((ppm) => [
      s("line", { x1: LEFT, x2: width - RIGHT, y1: y(ppm), y2: y(ppm), class: "lane" }),
      s("text", { x: LEFT - 8, y: y(ppm) + 4, "text-anchor": "end" }, percent(ppm)),
    ]),
    s("path", { d: `${steps}H${x(to)}`, class: "belief" }),
    rows
      .filter((one) => one.actions)
      .map((one) =>
        s(
          "path",
          { d: shape("bad", x(one.at_ms), y(one.belief_ppm)), class: "dot bad" },
          s("title", {}, `${clock(one.at_ms)} ${one.sentence}`),
        ),
      ),
    ticks(x, from, to, width, height),
  );
}

function logit(ppm) {
  const p = Math.min(Math.max(ppm, 1), 999_999) / 1e6;
  return Math.min(Math.max(Math.log(p / (1 - p)), -MOST_NATS), MOST_NATS);
}

/** The same shapes as the marks of the text, so that no meaning hangs on a colour. */
function shape(kind, x, y) {
  if (kind === "bad") return `M${x} ${y - 6}l6 11h-12z`;
  if (kind === "warn") return `M${x} ${y - 6}l6 6l-6 6l-6 -6z`;
  return `M${x - 4} ${y}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`;
}

function ticks(x, from, to, width, height) {
  const first = to - Math.max(to - from, MIN_SPAN_MS),
    most = width < 500 ? 2 : TICKS;
  return Array.from({ length: most }, (_, place) => {
    const ms = first + ((to - first) * place) / (most - 1);
    const anchor = place === 0 ? "start" : place === most - 1 ? "end" : "middle";
    return s("text", { x: x(ms), y: height - 4, "text-anchor": anchor, class: "tick" }, clock(ms).slice(-8));
  });
}
