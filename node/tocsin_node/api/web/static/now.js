// What is going on: four answers, incidents, the map, what happened.
import { answers, currentIncidents } from "./answers.js";
import { h } from "./dom.js";
import { drawMap, graphOf, nameOf } from "./map.js";
import { story, timeline } from "./plot.js";
import { riskTable } from "./risk.js";
import { DAY_MS, decisionOf, isOperator, reachingUs, state } from "./state.js";
import { clock, code, count, mark, panel, percent, SEVERITY_KINDS, when } from "./words.js";

const MAX_HITS = 3;
const MAX_INCIDENTS = 50;
const MAX_MOMENTS = 200;
const LANES = ["Signals", "Decisions", "Levers"];
const STATE_KINDS = {
  effective: "warn",
  expiring: "warn",
  reverted: "bad",
  failed: "bad",
  unknown: "bad",
  "awaiting-approval": "warn",
  included: "warn",
  broadcast: "warn",
};

export function nowPage(width) {
  const open = currentIncidents();
  const graph = graphOf(signalsToDraw(open), state.exposure);
  const map = drawMap(graph, Math.max(width - 34, 300));
  const moments = momentsOf(state.signals, state.decisions, state.actions);
  return [
    h("h1", { class: "hidden" }, "Now"),
    tiles(),
    panel("Incidents", ...(open.length ? listed(open) : [h("p", { class: "faint" }, "None in a day.")])),
    map && panel("Incident map", h("div", { class: "wide" }, map), legend()),
    moments.length
      ? panel("What happened", timeline(LANES, moments, Date.now(), Math.max(width - 34, 300)), story(moments))
      : null,
    panel(
      "Levers used",
      state.actions.length
        ? h("ul", { class: "plain" }, state.actions.slice(0, 10).map(actionLine))
        : h("p", { class: "faint" }, "None so far."),
    ),
    state.risk.length ? panel("Risk reports", riskTable(state.risk)) : null,
  ];
}

/** Of what reaches us where something does: a map of everything that anybody reports shows nothing. */
function signalsToDraw(open) {
  const ids = new Set(open.map((one) => one.id));
  const ours = new Set(reachingUs().filter((id) => ids.has(id)));
  return state.signals.filter((row) => (ours.size ? ours : ids).has(row.incident));
}

function listed(open) {
  const more = open.length - MAX_INCIDENTS;
  return [
    incidentTable(open.slice(0, MAX_INCIDENTS)),
    more > 0 || state.incidents.length >= MAX_INCIDENTS
      ? h(
          "p",
          { class: "faint" },
          `The latest ${MAX_INCIDENTS}, and before them what reaches us. All: `,
          code("tocsin incidents"),
        )
      : null,
  ];
}

function tiles() {
  return h(
    "div",
    { class: "tiles" },
    answers().map(({ question, answer, kind, lines, link }) => {
      const about = [
        h("span", { class: "question" }, question),
        h("strong", {}, mark(kind, answer)),
        h(
          "span",
          { class: "lines" },
          lines.slice(0, 3).map((line) => h("span", {}, line)),
        ),
      ];
      return link
        ? h("a", { class: `tile ${kind}`, href: link, "data-key": question }, about)
        : h("div", { class: `tile ${kind}`, "data-key": question }, about);
    }),
  );
}

function incidentTable(rows) {
  return h(
    "ul",
    { class: "incidents" },
    rows.map((one) => {
      const decision = isOperator() ? decisionOf(one.id) : null;
      const hits = [
        ...new Set(
          state.signals
            .filter((row) => row.incident === one.id)
            .flatMap((row) => row.signal?.subjects ?? [])
            .filter((subject) => ["victim", "at-risk"].includes(subject.role))
            .map((subject) => nameOf(subject.value, state.exposure)),
        ),
      ];
      const reach = decision && Object.keys(decision.stakes_micro_usd).join(", ");
      return h(
        "li",
        { "data-key": one.id, class: reach === "" ? "" : SEVERITY_KINDS[one.severity] },
        h(
          "a",
          { href: `#/incident/${one.id}` },
          h(
            "span",
            { class: "line" },
            h("b", {}, one.categories.join(", ")),
            " on ",
            h("b", {}, hits.slice(0, MAX_HITS).join(", ") || "a subject not shown"),
            hits.length > MAX_HITS ? ` and ${hits.length - MAX_HITS} more` : "",
          ),
          h(
            "span",
            { class: "line small" },
            mark(SEVERITY_KINDS[one.severity], one.severity),
            ` · ${count(one.signals, "signal")} by ${one.members.join(", ")} · `,
            when(one.last_ms),
            decision
              ? ` · belief ${percent(decision.belief_ppm)}${reach ? ` · reaches ${reach}` : " · does not reach us"}`
              : "",
          ),
          one.decision ? h("span", { class: "line faint" }, one.decision) : null,
        ),
      );
    }),
  );
}

export function actionLine(action) {
  const kind = STATE_KINDS[action.state] ?? "none";
  return h(
    "li",
    { "data-key": action.id },
    h("a", { href: `#/incident/${action.incident}` }, action.hook),
    " ",
    mark(kind, action.state),
    " ",
    h(
      "span",
      { class: "faint" },
      "since ",
      clock(action.since_ms),
      action.ends_ms && kind === "warn" ? [", ends ", when(action.ends_ms)] : "",
      action.next ? h("span", { class: "line" }, action.next) : "",
    ),
  );
}

export function momentsOf(signals, decisions, actions) {
  const since = Date.now() - DAY_MS;
  const all = [
    ...signals.map((row) => ({
      lane: "Signals",
      at_ms: row.received_ms,
      kind: SEVERITY_KINDS[row.signal?.severity] ?? "none",
      text: `${row.member} reports ${row.signal?.category}`,
    })),
    ...decisions.map((one) => ({
      lane: "Decisions",
      at_ms: one.at_ms,
      kind: one.actions ? "bad" : "none",
      text: one.sentence,
    })),
    ...actions.flatMap((action) =>
      (action.events ?? [{ at_ms: action.since_ms, event: action.state }]).map((event) => ({
        lane: "Levers",
        at_ms: event.at_ms,
        kind: ["revert", "fail"].includes(event.event) ? "bad" : "warn",
        text: `${action.hook} ${event.event}`,
      })),
    ),
  ];
  return all
    .filter((one) => one.at_ms > since)
    .sort((a, b) => a.at_ms - b.at_ms)
    .slice(-MAX_MOMENTS);
}

function legend() {
  return h(
    "p",
    { class: "legend faint" },
    h("span", { class: "key attacker" }, "attacks"),
    h("span", { class: "key says" }, "reports"),
    h("span", { class: "key own" }, "hangs on"),
    " An account that received something is not yet an attacker.",
  );
}
