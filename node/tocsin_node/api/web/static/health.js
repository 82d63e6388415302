// The node itself: whether it hears, speaks and can act, and how fast it was in drills.
import { h } from "./dom.js";
import { isOperator, state } from "./state.js";
import { clock, code, count, facts, mark, panel, span, table, when } from "./words.js";

// As the relay judges them (relay/operator.py, three missed heartbeats).
const SLOW_MS = 600_000;
const SILENT_MS = 60_000;

export function nodePage() {
  const { status, health } = state;
  return [
    h("h1", {}, "Node and peers"),
    h(
      "p",
      { class: "lead" },
      health?.healthy ? mark("good", "Healthy") : mark("bad", "Not healthy"),
      health?.reasons?.length
        ? h(
            "ul",
            {},
            health.reasons.map((reason) => h("li", {}, reason)),
          )
        : null,
    ),
    isOperator() && state.errors.status
      ? h("p", { class: "note bad" }, `The relay was not heard: ${state.errors.status.message}`)
      : null,
    status && isOperator() ? operated(status) : [publishers(), record()],
  ];
}

function operated(status) {
  return [
    status.warnings.length
      ? panel(
          "Warnings",
          h(
            "ul",
            {},
            status.warnings.map((text) => h("li", {}, text)),
          ),
        )
      : null,
    panel(
      "Levers",
      status.hooks.length
        ? table(
            "Levers",
            ["lever", "state", "arm epoch", "target"],
            status.hooks.map((hook) => [
              hook.hook,
              hook.armed ? mark("good", "armed") : mark("bad", "disarmed"),
              String(hook.epoch),
              code(hook.target),
            ]),
          )
        : h("p", {}, "None: this node cannot act."),
      h(
        "p",
        { class: "faint" },
        "Arming and disarming is done at the node: ",
        code("tocsin arm"),
        ", ",
        code("tocsin disarm"),
        ".",
      ),
    ),
    panel(
      "Peers",
      table(
        "Peers",
        ["member", "connected", "heard", "roster epoch"],
        status.peers.map((peer) => [
          peer.member,
          peer.connected ? mark("good", "yes") : mark("bad", "no"),
          peer.heard_ms
            ? mark(Date.now() - peer.heard_ms < SILENT_MS ? "none" : "warn", when(peer.heard_ms))
            : mark("warn", "not yet"),
          peer.epoch === null ? "" : String(peer.epoch),
        ]),
        status.peers.map((peer) => peer.publisher),
      ),
    ),
    status.watchers.length
      ? panel(
          "Watchers",
          table(
            "Watchers",
            ["watcher", "block", "its age", "findings", "errors"],
            status.watchers.map((one) => [
              one.watcher,
              String(one.head),
              one.head_age_ms === null
                ? "not known"
                : mark(one.head_age_ms > SLOW_MS ? "bad" : "good", span(one.head_age_ms)),
              String(one.findings),
              [String(one.errors), one.last_error ? ` (${one.last_error})` : ""],
            ]),
          ),
        )
      : null,
    panel(
      "State",
      facts(
        ["member", status.member],
        ["publishing", status.publishing],
        ["ledger", status.ledger],
        ["doctor", status.doctor],
        ["mesh", status.mesh.up ? `up, ${count(status.mesh.peers, "peer")}` : "down"],
        [
          "roster",
          `epoch ${status.epoch}, ${count(status.members, "member")}, of which ${status.tolerated_faults} may lie`,
        ],
        ["last decision", status.last_decision_ms ? when(status.last_decision_ms) : "none yet"],
        ["running since", when(status.started_ms)],
        ["version", status.version],
      ),
    ),
    record(),
    h(
      "details",
      {},
      h("summary", {}, "Counters"),
      table(
        "Counters",
        ["what", "count"],
        Object.entries(status.counters).map(([name, value]) => [
          code(name),
          h("span", { class: "number" }, String(value)),
        ]),
      ),
    ),
  ];
}

/** Whose word stands behind the record beside our own. */
function record() {
  const { log } = state;
  if (!log) return state.errors.log ? panel("Record", h("p", { class: "note bad" }, state.errors.log.message)) : null;
  const cosigned = new Map(log.cosigned.map((one) => [one.publisher, one]));
  const others = state.publishers.filter((one) => !log.origin.includes(one.id));
  const words = others.filter((one) => cosigned.has(one.id)).length;
  return panel(
    "Record",
    h(
      "p",
      {},
      mark(words ? "good" : "warn", `${words} of ${count(others.length, "other")}`),
      ` cosigned the head of ${log.size} entries: who is shown another history can prove it.`,
    ),
    table(
      "Witnesses",
      ["witness", "this head"],
      others.map((one) => [
        one.member,
        cosigned.has(one.id)
          ? mark("good", "cosigned ", when(cosigned.get(one.id).at_ms))
          : one.equivocated
            ? mark("bad", "told two histories")
            : mark("none", "not yet"),
      ]),
      others.map((one) => one.id),
    ),
    facts(["root", code(log.root)], ["key", code(log.key)]),
    h(
      "p",
      {},
      h("a", { href: "/log/checkpoint", download: "checkpoint" }, "Save the signed head"),
      ". Whose cosignatures are wanted: ",
      code("tocsin log policy"),
    ),
  );
}

function publishers() {
  return panel(
    "Publishers",
    table(
      "Publishers",
      ["member", "publisher", "signals held"],
      state.publishers.map((one) => [
        one.member,
        [code(one.id), one.equivocated ? mark("bad", " told two histories") : ""],
        one.feeds ? String(one.feeds.reduce((sum, feed) => sum + feed.contiguous, 0)) : "for members",
      ]),
      state.publishers.map((one) => one.id),
    ),
  );
}

export function drillsPage() {
  const slowest = Math.max(...state.drills.map((one) => one.ttc_ms ?? 0), 1);
  return [
    h("h1", {}, "Drills"),
    state.errors.drills ? h("p", { class: "note bad" }, state.errors.drills.message) : null,
    state.drills.length
      ? table(
          "Drills",
          ["begun", "lever", "outcome", "time to containment", "stages"],
          state.drills.map((one) => {
            const stages = Object.entries(one.stages).sort(([, a], [, b]) => a - b);
            const began = stages[0]?.[1];
            return [
              began ? clock(began) : "",
              one.hook,
              mark(one.ttc_ms !== null ? "good" : "bad", one.outcome),
              one.ttc_ms === null
                ? "never"
                : [
                    h("meter", { min: 0, max: slowest, value: one.ttc_ms, "aria-hidden": "true" }),
                    ` ${span(one.ttc_ms)}`,
                  ],
              stages.map(([stage, at]) => `${stage} +${span(at - began)}`).join(", "),
            ];
          }),
          state.drills.map((one) => one.drill),
        )
      : h(
          "p",
          { class: "faint" },
          "None yet: ",
          code("tocsin drill"),
          " measures how long containment takes, end to end.",
        ),
  ];
}
