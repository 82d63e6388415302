// What the operators are asked. The page shows it and takes signed files: it has no key, and asks for none.
import { h } from "./dom.js";
import { openRequests } from "./answers.js";
import { state } from "./state.js";
import { clock, code, command, count, facts, mark, panel, short, table, when } from "./words.js";

const STATE_KINDS = { granted: "good", declined: "warn", expired: "none", open: "warn" };

/** What became of the last file or question: {kind, text}. */
export const told = { kind: "", text: "" };

export function waitingPage() {
  const open = openRequests();
  const past = state.requests.filter((request) => request.state !== "open");
  return [
    h("h1", {}, "Waiting for approval"),
    h("p", { id: "told", role: "status", class: told.text ? `note ${told.kind}` : "" }, told.text),
    open.length ? open.map(card) : h("p", { class: "faint" }, "Nothing waits for the operators."),
    past.length
      ? panel(
          "Answered or lapsed",
          table(
            "Answered or lapsed",
            ["state", "asked", "what", "signed by"],
            past.map((one) => [
              mark(STATE_KINDS[one.state] ?? "none", one.state),
              clock(one.asked_ms),
              [one.effect, one.reason ? h("span", { class: "line faint" }, one.reason) : ""],
              one.approved_by.join(", ") || "nobody",
            ]),
            past.map((one) => one.id),
          ),
        )
      : null,
  ];
}

function card(request) {
  const id = short(request.id);
  const name = `request-${id}.json`;
  return h(
    "section",
    { class: "panel request", "data-key": request.id, "aria-label": request.effect },
    h("h2", {}, request.effect),
    h(
      "p",
      { class: "lead" },
      mark("warn", `${request.approved} of ${request.wanted} signed`),
      ", lapses ",
      when(request.expires_ms),
    ),
    h(
      "ul",
      { class: "people", "aria-label": "operators" },
      request.approved_by.map((who) => h("li", {}, mark("good", `${who} signed`))),
      request.waiting_for.map((who) => h("li", {}, mark("none", `${who} may sign`))),
    ),
    facts(
      ["purpose", request.purpose],
      ["scope", request.scope],
      ["lever", request.lever],
      ["target", code(request.target)],
      ["tier", `T${request.tier}`],
      ["valid", request.window],
      ["digest", code(request.id)],
      ["payload", code(request.payload)],
      ["bytes", request.data ? code(request.data) : null],
      ["incident", h("a", { href: `#/incident/${request.incident}` }, short(request.incident))],
    ),
    h("h3", {}, "Sign it on your own machine"),
    h(
      "ol",
      { class: "todo" },
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", "data-do": "save-request", "data-id": request.id, "data-name": name },
          "Save the request",
        ),
        " as ",
        code(name),
      ),
      h(
        "li",
        {},
        "Sign it there, where it is shown again; nobody else has your key:",
        command(
          `tocsin approve sign ${name} --key-file operator.json --passphrase-file passphrase --out approval-${id}.json`,
        ),
      ),
      h(
        "li",
        {},
        h(
          "label",
          {},
          "Hand in what that wrote: ",
          h("input", { type: "file", accept: ".json,application/json", "data-do": "approve" }),
        ),
      ),
    ),
    h(
      "details",
      {},
      h("summary", {}, "the typed data, as a wallet is given it (eth_signTypedData_v4)"),
      h("pre", { tabindex: 0 }, JSON.stringify(request.typed_data, null, 1)),
    ),
    h("p", { class: "faint" }, "To say no: ", code(`tocsin approve decline ${id}`)),
  );
}
