// One signal: what was said, by whom, and what its signature covers.
import { h } from "./dom.js";
import { nameOf } from "./map.js";
import { isOperator, state } from "./state.js";
import { clock, code, command, facts, mark, money, panel, SEVERITY_KINDS, short, table, tlp, when } from "./words.js";

// An envelope ends with it.
const SIGNATURE_DIGITS = 128;

export function signalPage() {
  const { id, view, error } = state.focus ?? {};
  if (error) return [h("h1", {}, "Signal"), h("p", { class: "note bad" }, error.message)];
  if (!view) return [h("h1", {}, "Signal"), h("p", { class: "faint" }, "Loading…")];
  const told = view.signal;
  return [
    h(
      "h1",
      {},
      `${told?.category ?? "A signal that cannot be read"} `,
      told ? mark(SEVERITY_KINDS[told.severity], told.severity) : null,
      " ",
      told ? tlp(told.tlp) : null,
    ),
    told?.text ? h("blockquote", {}, told.text) : null,
    view.incident ? h("p", {}, h("a", { href: `#/incident/${view.incident}` }, "The incident it belongs to")) : null,
    told ? panel("What is said", ...said(told)) : null,
    panel(
      "Who says so, and how it came",
      facts(
        ["member", view.member || "of no member now"],
        ["publisher", code(view.publisher)],
        ["place in the feed", `${view.lane} ${view.sequence}`],
        ["came", [clock(view.received_ms), ` UTC by ${view.path}, `, when(view.received_ms)]],
        ["standing", view.standing],
      ),
    ),
    panel(
      "Signature",
      h(
        "p",
        {},
        mark("good", "Checked here"),
        " before it counted: secp256k1 over EIP-712, in compact form at the end of these bytes. Nothing with a bad signature is ever stored.",
      ),
      facts(
        ["digest", code(view.digest)],
        ["key", code(view.publisher)],
        ["signature", code(`0x${view.encoded.slice(-SIGNATURE_DIGITS)}`)],
      ),
      h(
        "details",
        {},
        h("summary", {}, `the ${view.encoded.length / 2} bytes that were signed and sent`),
        h("code", { class: "bytes" }, view.encoded),
      ),
      h(
        "p",
        {},
        h("a", { href: `/v1/signals/${id}`, download: `signal-${short(id)}.json` }, "Save as JSON"),
        told && !told.drill
          ? [
              " · ",
              h("a", { href: `/dashboard/stix/${id}`, download: `signal-${short(id)}.stix.json` }, "Save as STIX 2.1"),
            ]
          : null,
      ),
    ),
    isOperator() ? panel("Proof", ...proof(id)) : null,
  ];
}

function proof(id) {
  const name = `signal-${short(id)}`;
  return [
    h(
      "p",
      {},
      "That it stands in this node's record, and since when: ",
      h("a", { href: `/dashboard/proof/${id}`, download: `${name}.tlog-proof` }, "Save the proof of its entry"),
      " (C2SP tlog-proof), or ",
      h("a", { href: `/dashboard/case/${id}`, download: `${name}.tocsin-case` }, "Save the case file"),
      " with the signal and what came of it. ",
      code("tocsin_verify.py"),
      " checks either. At the node:",
    ),
    command(`tocsin log prove ${short(id)} --out ${name}.tocsin-case`),
  ];
}

function said(told) {
  const loss = told.loss;
  return [
    facts(
      ["stage", told.stage],
      ["confidence", `${told.confidence} %, credibility ${told.credibility} of 6`],
      ["detected", `${clock(told.detected_ms)} UTC`],
      ["valid until", [clock(told.expires_ms), " UTC, ", when(told.expires_ms)]],
      ["lost so far", loss.observed_micro_usd ? money(loss.observed_micro_usd) : ""],
      ["losing", loss.rate_micro_usd_per_hour ? `${money(loss.rate_micro_usd_per_hour)} an hour` : ""],
      ["at risk", loss.at_risk_micro_usd ? money(loss.at_risk_micro_usd) : ""],
      ["recommends", told.tier ? `tier ${told.tier}` : ""],
      ["cause", told.cause ?? ""],
      ["drill", told.drill ? "yes: nothing acts on it" : ""],
      ["detector", told.detector ? `${told.detector.vendor}/${told.detector.name}` : ""],
    ),
    h("h3", {}, "Subjects"),
    table(
      "Subjects",
      ["role", "name", "id"],
      told.subjects.map((one) => [one.role, nameOf(one.value, state.exposure), code(one.value)]),
    ),
    told.evidence.length
      ? [
          h("h3", {}, "Evidence that it offers"),
          table(
            "Evidence",
            ["kind", "chain", "block", "reference"],
            told.evidence.map((one) => [one.kind, one.chain, String(one.block), code(one.reference)]),
          ),
        ]
      : null,
    told.references.length
      ? [
          h("h3", {}, "Refers to"),
          h(
            "ul",
            { class: "plain" },
            told.references.map((one) =>
              h("li", {}, `${one.relation} `, h("a", { href: `#/signal/${one.digest.slice(2)}` }, short(one.digest))),
            ),
          ),
        ]
      : null,
  ];
}
