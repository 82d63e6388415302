// The four questions of 3 a.m., answered from what the node says and from nothing else.
import { DAY_MS, decisionOf, IN_EFFECT, isOperator, reachingUs, stakeOf, state } from "./state.js";
import { staleSince } from "./stream.js";
import { clock, count, money, percent, when } from "./words.js";

const NOT_SHOWN = "Not shown";
const UNSEEN = "We may not see";
const TOO_MUCH = "Too much to tell";
const LIKELY_PPM = 500_000;
const UNDER_WAY = new Set(["planned", "preflight", "signed", "broadcast", "included"]);
const ASKED = new Set(["awaiting-approval"]);
const WENT_WRONG = new Set(["reverted", "failed", "unknown"]);
const HOUR_MS = 3_600_000;

/** Incidents in which something was said in the last day, or on which a lever holds: what reaches us, then the latest. */
export function currentIncidents() {
  const places = new Map(reachingUs().map((id, place) => [id, place]));
  const place = (one) => places.get(one.id) ?? places.size;
  return state.incidents
    .filter((one) => one.last_ms > Date.now() - DAY_MS || places.has(one.id))
    .sort((a, b) => place(a) - place(b) || b.last_ms - a.last_ms);
}

/** Uses of levers; those of drill hooks, which have no effect, are none. */
function leverActions() {
  const levers = state.status && new Set(state.status.hooks.map((hook) => hook.hook));
  return levers ? state.actions.filter((action) => levers.has(action.hook)) : state.actions;
}

export function openRequests() {
  return state.requests.filter((request) => request.state === "open");
}

/** Each: what is asked, the answer in a word or two, how good that is, and what it rests on. */
export function answers() {
  const doubt = doubtOf();
  // that nothing is known to be wrong counts for something only while somebody is looking
  const isCalm = ({ kind, answer }) =>
    answer === UNSEEN || answer === TOO_MUCH || ((kind === "good" || kind === "none") && answer !== NOT_SHOWN);
  return [leaving(), armed(), done(), waiting()].map((one) =>
    doubt && isCalm(one) ? { ...one, answer: "Not known", kind: "bad", lines: [doubt] } : one,
  );
}

/** Why nothing that is shown can be trusted to be so now; nothing while it can. */
function doubtOf() {
  if (staleSince(Date.now()) !== null) return "nothing is heard from the node";
  if (!isOperator()) return "";
  if (state.errors.status) return state.errors.status.message;
  return state.errors.incidents || state.errors.decisions ? "the record cannot be read now" : "";
}

function leaving() {
  const question = "Is money leaving?";
  const open = currentIncidents();
  if (!isOperator()) {
    const text = open.length ? count(open.length, "open incident") : "Nothing reported";
    return {
      question,
      answer: text,
      kind: open.length ? "warn" : "none",
      lines: ["What it means for this node is its operator's."],
    };
  }
  if (state.errors.decisions) return unknown(question, state.errors.decisions);
  const ours = open
    .map((one) => ({ one, decision: decisionOf(one.id) }))
    .filter(({ decision }) => stakeOf(decision) > 0);
  if (!ours.length) {
    const lines = open.length
      ? [`${count(open.length, "open incident")}, none of which reaches us`]
      : ["no incident in a day"];
    const { healthy: isHealthy, reasons = [] } = state.health ?? {};
    if (state.isPartial)
      return {
        question,
        answer: TOO_MUCH,
        kind: "warn",
        lines: ["more was decided in a day than is read here", ...lines],
      };
    return isHealthy
      ? { question, answer: "No sign of it", kind: "good", lines }
      : { question, answer: UNSEEN, kind: "warn", lines: [...reasons, ...lines], link: "#/node" };
  }
  const [worst, ...others] = ours
    .map(({ one, decision }) => aboutOurs(question, one, decision))
    .sort((a, b) => b.rank - a.rank);
  const more = others.filter((one) => one.rank > 0).length;
  return more ? { ...worst, lines: [`and ${count(more, "other incident")} that reach us`, ...worst.lines] } : worst;
}

function aboutOurs(question, incident, decision) {
  const isSeen = Number(decision.nats.own) > 0;
  const held = state.actions.filter((action) => action.incident === incident.id && IN_EFFECT.has(action.state));
  const scopes = state.plans[incident.id]?.scopes ?? [];
  const lines = [
    [incident.categories.join(", "), ", last word ", when(incident.last_ms)],
    isSeen ? "seen by our own detector" : `belief ${percent(decision.belief_ppm)}`,
    `${money(stakeOf(decision))} of ours within reach`,
  ];
  const link = `#/incident/${incident.id}`;
  if (scopes.length && scopes.every((scope) => scope.over)) {
    return { question, answer: "Over", kind: "good", rank: 0, lines: [lines[0], "open again as before"], link };
  }
  if (held.length) {
    const stages = scopes.map((scope) => `${scope.scope} is ${scope.stage}`);
    return { question, answer: "Held", kind: "warn", rank: 2, lines: [...lines.slice(0, 2), ...stages], link };
  }
  if (isSeen) return { question, answer: "Yes, we see it", kind: "bad", rank: 4, lines, link };
  if (decision.belief_ppm >= LIKELY_PPM) return { question, answer: "Likely", kind: "bad", rank: 3, lines, link };
  return { question, answer: "Perhaps", kind: "warn", rank: 1, lines, link };
}

function armed() {
  const question = "Are we armed?";
  if (!isOperator()) return { question, answer: NOT_SHOWN, kind: "none", lines: ["The operator's alone."] };
  if (state.errors.status) return unknown(question, state.errors.status);
  const hooks = state.status?.hooks ?? [];
  const ready = hooks.filter((hook) => hook.armed);
  const link = "#/node";
  if (!hooks.length)
    return { question, answer: "No levers", kind: "none", lines: ["this node listens and cannot act"], link };
  const lines = hooks.map((hook) => `${hook.hook} ${hook.armed ? "armed" : "DISARMED"}`);
  if (ready.length === hooks.length) return { question, answer: "Armed", kind: "good", lines, link };
  if (ready.length) return { question, answer: `${ready.length} of ${hooks.length}`, kind: "warn", lines, link };
  return { question, answer: "Disarmed", kind: "bad", lines, link };
}

function done() {
  const question = "What is done?";
  if (state.errors.actions) return unknown(question, state.errors.actions);
  const recent = leverActions().filter(
    (action) => action.since_ms > Date.now() - DAY_MS || IN_EFFECT.has(action.state),
  );
  const of = (states) => recent.filter((action) => states.has(action.state));
  const [held, moving, wrong, asked] = [of(IN_EFFECT), of(UNDER_WAY), of(WENT_WRONG), of(ASKED)];
  const lines = [
    ...wrong.map((action) => `${action.hook}: ${action.state}`),
    ...held.map((action) => [
      `${action.hook} since ${clock(action.since_ms)}`,
      action.ends_ms ? [", ends ", when(action.ends_ms)] : "",
    ]),
    ...[...moving, ...asked].map((action) => `${action.hook} is ${action.state}`),
  ];
  const first = [...wrong, ...held, ...moving, ...asked][0];
  const link = first && `#/incident/${first.incident}`;
  if (wrong.length) return { question, answer: `${wrong.length} went wrong`, kind: "bad", lines, link };
  if (held.length) return { question, answer: `${count(held.length, "lever")} in effect`, kind: "warn", lines, link };
  if (moving.length) return { question, answer: "Under way", kind: "warn", lines, link };
  if (asked.length) return { question, answer: "Waits for people", kind: "warn", lines, link };
  const past = recent[0];
  return {
    question,
    answer: "Nothing",
    kind: "none",
    link: past && `#/incident/${past.incident}`,
    lines: past ? [[`${past.hook} was ${past.state} `, when(past.since_ms)]] : ["no lever was used in a day"],
  };
}

function waiting() {
  const question = "What waits for me?";
  if (!isOperator()) return { question, answer: NOT_SHOWN, kind: "none", lines: ["The operator's alone."] };
  if (state.errors.requests) return unknown(question, state.errors.requests);
  const open = openRequests();
  const link = "#/waiting";
  const warnings = state.status?.warnings.length ?? 0;
  const about = warnings ? [count(warnings, "warning")] : [];
  if (!open.length) {
    return {
      question,
      answer: "Nothing",
      kind: warnings ? "warn" : "good",
      lines: about.length ? about : ["nobody is asked"],
      link: warnings ? "#/node" : link,
    };
  }
  const first = [...open].sort((a, b) => a.expires_ms - b.expires_ms)[0];
  const lines = [
    first.effect,
    [`${first.approved} of ${first.wanted} signed, lapses `, when(first.expires_ms)],
    ...about,
  ];
  const isSoon = first.expires_ms - Date.now() < HOUR_MS / 4;
  return { question, answer: count(open.length, "approval"), kind: isSoon ? "bad" : "warn", lines, link };
}

function unknown(question, error) {
  return { question, answer: "Not known", kind: "bad", lines: [error.message] };
}
