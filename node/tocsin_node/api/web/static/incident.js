// One incident, from what was said to what was done and how it is opened again.
import { h } from "./dom.js";
import { drawMap, graphOf, HIT_ROLES, nameOf } from "./map.js";
import { actionLine, momentsOf } from "./now.js";
import { beliefPlot, story, timeline } from "./plot.js";
import { reportsAbout, riskReport } from "./risk.js";
import { isOperator, state } from "./state.js";
import {
  brief,
  clock,
  code,
  command,
  count,
  facts,
  mark,
  money,
  panel,
  percent,
  SEVERITY_KINDS,
  short,
  span,
  table,
  tlp,
  when,
} from "./words.js";

const SIGNS = [
  ["prior", "what is believed before anybody speaks"],
  ["support", "who reports it"],
  ["own", "our own detector"],
  ["opposition", "who disputes it"],
  ["silence", "who should have seen it and is silent"],
];
const MAX_HITS = 3;
// How long a drawing goes on after the last that happened.
const AFTER_MS = 600_000;
const STAGES = ["halted", "restricted", "exit-only", "canary-1", "canary-5", "canary-25", "normal"];

export function incidentPage(width) {
  const { id, view, signals, error } = state.focus ?? {};
  if (error) return [h("h1", {}, "Incident"), h("p", { class: "note bad" }, error.message)];
  if (!view) return [h("h1", {}, "Incident"), h("p", { class: "faint" }, "Loading…")];
  const wide = Math.max(width - 34, 300);
  const [newest] = view.decisions ?? [];
  const map = drawMap(graphOf(signals, state.exposure), wide);
  const moments = momentsOf(signals, view.decisions ?? [], view.actions);
  return [
    h(
      "h1",
      {},
      `${view.categories.join(", ")} on ${hitBy(signals)} `,
      mark(SEVERITY_KINDS[view.severity], view.severity),
    ),
    h("p", { class: "lead" }, view.decision ?? `${count(view.signals, "signal")} by ${view.members.join(", ")}.`),
    facts(
      ["begun", [clock(view.first_ms), " UTC, ", when(view.first_ms)]],
      ["last word", when(view.last_ms)],
      ["reported by", view.members.join(", ")],
      ["id", code(id)],
      [
        "tied to",
        view.ties?.length
          ? view.ties.map((tie) => h("a", { href: `#/incident/${tie.other}` }, `${tie.tie} ${short(tie.other)} `))
          : null,
      ],
    ),
    view.actions.length ? panel("What was done", h("ul", { class: "plain" }, view.actions.map(actionStory))) : null,
    ...wayBack(id),
    reportsAbout(id, view.subjects).map(riskReport),
    newest ? panel("Why", ...decision(newest, view.decisions, wide)) : null,
    map && panel("Map", h("div", { class: "wide" }, map)),
    panel("Signals", h("ul", { class: "plain" }, signals.map(signalLine))),
    moments.length
      ? panel(
          "Timeline",
          timeline(
            ["Signals", "Decisions", "Levers"],
            moments,
            Math.min(Date.now(), moments.at(-1).at_ms + AFTER_MS),
            wide,
          ),
          story(moments),
        )
      : null,
    isOperator() ? panel("Proof", ...proof(id)) : null,
  ];
}

/** What the signals say is hit, in our words. */
function hitBy(signals) {
  const hits = signals.flatMap((row) => row.signal?.subjects ?? []).filter((one) => HIT_ROLES.has(one.role));
  return (
    [...new Set(hits.map((one) => nameOf(one.value, state.exposure)))].slice(0, MAX_HITS).join(", ") ||
    "a subject not shown"
  );
}

function actionStory(action) {
  return [
    actionLine(action),
    h(
      "li",
      { class: "inner" },
      action.events
        ? h(
            "ol",
            { class: "steps" },
            h("li", {}, `decided ${clock(action.created_ms)}`),
            action.events.map((event) =>
              h("li", {}, `${event.event} ${clock(event.at_ms)}`, event.reason ? ` (${event.reason})` : ""),
            ),
          )
        : null,
      facts(
        ["target", code(action.target)],
        ["transactions", action.transactions.length ? action.transactions.map((hash) => code(hash)) : null],
      ),
    ),
  ];
}

function decision(newest, all, width) {
  const sum = SIGNS.reduce((total, [name]) => total + Number(newest.nats[name]), 0);
  return [
    h("p", {}, newest.sentence),
    h("h3", {}, "Belief"),
    all.length > 1 ? beliefPlot(all, Math.min(Date.now(), newest.at_ms + AFTER_MS), width) : null,
    table(
      "How belief adds up",
      ["part", "nats", "what it is"],
      [
        ...SIGNS.map(([name, text]) => [name, h("span", { class: "number" }, newest.nats[name]), text]),
        [
          h("b", {}, "sum"),
          h("b", { class: "number" }, sum.toFixed(3)),
          h("b", {}, `${percent(newest.belief_ppm)} = 1 / (1 + e^${(-sum).toFixed(3)})`),
        ],
      ],
    ),
    newest.voices.length
      ? h(
          "details",
          {},
          h(
            "summary",
            {},
            `${count(newest.voices.length, "voice")}, ${count(newest.groups, "independent foreign group")}`,
          ),
          table(
            "Voices",
            ["who", "source", "log ratio", "confidence", "decay", "weight", "counts"],
            newest.voices.map((one) => [
              one.member || "our own detector",
              one.source,
              one.llr,
              percent(one.confidence_ppm),
              percent(one.decay_ppm),
              h("b", {}, one.weight),
              [one.answer, one.shared ? ` (${one.shared})` : ""],
            ]),
          ),
        )
      : null,
    h("h3", {}, "Evidence"),
    h("p", {}, newest.evidence),
    h("h3", {}, "At stake"),
    Object.keys(newest.stakes_micro_usd).length
      ? h(
          "p",
          {},
          Object.entries(newest.stakes_micro_usd).map(([name, micro]) => `${name}: ${money(micro)} `),
        )
      : h("p", {}, "Nothing of ours."),
    h("h3", {}, "Levers"),
    newest.levers.length
      ? table(
          "Levers",
          ["lever", "tier", "verdict", "holds for it", "cost if it acts", "cost if it waits"],
          newest.levers.map((one) => [
            one.hook,
            `T${one.tier}`,
            mark(one.verdict === "fires" ? "bad" : "none", one.verdict),
            one.held.join(", "),
            money(one.cost_micro_usd),
            money(one.observe_micro_usd),
          ]),
        )
      : h("p", {}, "None is configured."),
    newest.would_have.map((one) => h("p", {}, `${one.hook} would have fired with: ${one.changes.join("; ")}.`)),
    h(
      "p",
      { class: "faint" },
      `Decision ${newest.id} at ${clock(newest.at_ms)} UTC under policy `,
      code(short(newest.policy)),
      ".",
    ),
  ];
}

/** The way back of what is held, with the step that people can be asked for. */
function wayBack(id) {
  const plan = state.plans[id];
  if (!plan?.scopes.length) return [];
  return plan.scopes.map((scope) => {
    const here = STAGES.indexOf(scope.stage);
    const step = plan.steps.find((one) => one.scope === scope.scope);
    const request = state.requests.find(
      (one) => one.state === "open" && one.purpose === "reopen" && one.scope === scope.scope,
    );
    const proposals = plan.proposals.filter((one) => one.scope === scope.scope);
    return panel(
      `Way back of ${scope.scope}`,
      h(
        "ol",
        { class: "stages", "aria-label": "stages" },
        STAGES.map((stage, at) =>
          h(
            "li",
            { class: at < here ? "past" : at === here ? "here" : "", "aria-current": at === here ? "step" : null },
            stage,
          ),
        ),
      ),
      scope.over ? h("p", {}, mark("good", "Open again as before.")) : null,
      facts(
        ["allowed now", scope.allowed.join(", ") || "nothing"],
        ["new exposure", `${scope.limit_percent} %`],
        ["held by", scope.held_by.map((one) => `${one.hook} (${one.state})`).join(", ")],
        ["calm for", scope.dwell_left_ms ? `${span(scope.dwell_left_ms)} more` : "long enough"],
        ["stepped back", scope.backs ? count(scope.backs, "time") : null],
      ),
      proposals.map((one) =>
        h(
          "div",
          { class: "note" },
          h("b", {}, `Now, by ${one.by}: `),
          one.why,
          h(
            "ul",
            {},
            one.calls.map((call) => h("li", {}, call.effect, " ", code(call.to), " ", code(call.data))),
          ),
        ),
      ),
      step && !scope.over
        ? [
            h("h3", {}, "Next step"),
            h("p", {}, step.effect),
            step.waits
              ? facts(
                  [
                    "operators",
                    step.waits.approved
                      ? "have approved"
                      : request
                        ? `${request.approved} of ${request.wanted} signed`
                        : "are not asked yet",
                  ],
                  ["waits for", [...step.waits.upstream, ...step.waits.beside].join(", ")],
                  ["belief now", step.waits.advice ? percent(step.waits.advice.belief_ppm) : null],
                  [
                    "all-clears of peers",
                    step.waits.advice
                      ? `${step.waits.advice.all_clear_seen} of ${step.waits.advice.all_clear_asked} asked`
                      : null,
                  ],
                )
              : null,
            request
              ? h("p", {}, h("a", { href: "#/waiting" }, "See what is to be signed"))
              : !step.waits?.approved
                ? h(
                    "p",
                    {},
                    h(
                      "button",
                      { type: "button", "data-do": "ask-step", "data-scope": scope.scope },
                      "Ask the operators for this step",
                    ),
                  )
                : null,
          ]
        : null,
    );
  });
}

function signalLine(row) {
  const told = row.signal;
  return h(
    "li",
    { "data-key": row.digest },
    h(
      "a",
      { href: `#/signal/${row.digest}` },
      row.member || brief(row.publisher),
      " ",
      h("b", {}, told?.category ?? "unreadable"),
    ),
    " ",
    told
      ? [
          mark(SEVERITY_KINDS[told.severity], told.severity),
          ` confidence ${told.confidence} %, `,
          h("span", {}, told.subjects.map((one) => `${one.role} ${nameOf(one.value, state.exposure)}`).join(", ")),
          " ",
          tlp(told.tlp),
        ]
      : null,
    " ",
    h(
      "span",
      { class: "faint" },
      when(row.received_ms),
      told?.text ? h("span", { class: "line" }, `“${told.text}”`) : "",
    ),
  );
}

function proof(id) {
  return [
    h(
      "p",
      {},
      "The record is a Merkle log. ",
      h("a", { href: `/dashboard/case/${id}`, download: `incident-${short(id)}.tocsin-case` }, "Save the case file"),
      ": all that is kept here about this incident, with the way from each entry to the signed head. Your policy and manifest are in it. ",
      "Without this software ",
      code("tocsin_verify.py"),
      " checks it. At the node:",
    ),
    command(`tocsin log prove ${short(id)} --out incident-${short(id)}.tocsin-case`),
    command(`tocsin report ${short(id)}`),
    state.log ? facts(["head", `${state.log.size} entries`], ["key", code(state.log.key)]) : null,
  ];
}
