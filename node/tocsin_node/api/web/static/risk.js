// What this node signs for those who insure or lend: how a subject stands, and what cover of it should cost.
import { h } from "./dom.js";
import { nameOf } from "./map.js";
import { state } from "./state.js";
import { clock, code, facts, mark, money, panel, percent, short, table, when } from "./words.js";

const STATE_KINDS = { confirmed: "bad", contained: "warn", recovering: "warn", suspected: "warn", unknown: "bad" };
const FIRM = new Set(["confirmed", "contained", "recovering"]);
const BPS = 10_000;
const PPM = 1_000_000;

/** Reports that name an incident, or a subject of it. */
export function reportsAbout(incident, subjects) {
  return state.risk.filter((one) => one.incident === `0x${incident}` || subjects.includes(one.subject_id));
}

/** All subjects in a line each. */
export function riskTable(reports) {
  return table(
    "Risk reports",
    ["subject", "state", "posterior", "losses", "premium", "capacity", "life"],
    reports.map((one) => [
      nameOf(one.subject_id ?? one.subject, state.exposure),
      stateOf(one),
      percent(one.posterior_ppm),
      lossesOf(one),
      `× ${multiplierOf(one)}`,
      `${one.capacity_bps / 100} %`,
      lifeOf(one),
    ]),
    reports.map((one) => `${one.oracle} ${one.subject}`),
  );
}

/** One report, with all that it says. */
export function riskReport(one) {
  const about = one.subject_id ?? one.subject;
  const query = new URLSearchParams({ oracle: one.oracle, ...(one.subject_id && { subject: one.subject_id }) });
  return panel(
    `Risk report about ${nameOf(about, state.exposure)}`,
    h("p", { class: "lead" }, stateOf(one), `, posterior ${percent(one.posterior_ppm)}, `, lifeOf(one)),
    FIRM.has(one.state)
      ? h(
          "p",
          { class: "faint" },
          "What evidence or people have settled is told with at least 90 %, whatever the belief by voices below.",
        )
      : null,
    facts(
      ["value at risk", money(one.tvl_at_risk)],
      ["lost so far", money(one.loss_observed)],
      ["losses", lossesOf(one)],
      ["drain", one.drain_rate ? `${money(one.drain_rate)} an hour` : "none known"],
      ["hazard", `${(one.hazard_rate / PPM).toLocaleString("en", { maximumSignificantDigits: 3 })} a year`],
      ["premium", `× ${multiplierOf(one)} of that in quiet times`],
      ["capacity", `${one.capacity_bps / 100} % of the usual`],
      ["observed", `${clock(one.observed)} UTC`],
      ["subject", code(about)],
      ["oracle", code(one.oracle)],
      ["signer", code(one.signer)],
      ["digest", code(one.digest)],
    ),
    h(
      "p",
      {},
      h("a", { href: `/v1/risk?${query}`, download: `risk-${short(one.subject)}.json` }, "Save the signed report"),
      ", which ",
      code("tocsin oracle verify"),
      " and the oracle's contract check. Without a new one it soon counts for nothing, and cover is closed.",
    ),
  );
}

function stateOf(one) {
  return mark(STATE_KINDS[one.state] ?? "good", one.state);
}

function lossesOf(one) {
  return `p50 ${money(one.loss_p50)}, p90 ${money(one.loss_p90)}, p99 ${money(one.loss_p99)}`;
}

function multiplierOf(one) {
  return (one.multiplier_bps / BPS).toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** A report that has lapsed counts for nothing, whatever it says. */
function lifeOf(one) {
  return one.expires > Date.now() ? ["counts until ", clock(one.expires)] : mark("bad", "lapsed ", when(one.expires));
}
