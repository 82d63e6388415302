// The page: which part of it is shown, what is done with a click, and the alarms above everything.
import { answers, openRequests } from "./answers.js";
import { h, show } from "./dom.js";
import { drillsPage, nodePage } from "./health.js";
import { incidentPage } from "./incident.js";
import { get, post, Refused, signIn, signOut } from "./node.js";
import { nowPage } from "./now.js";
import { refused, signInPage } from "./signin.js";
import { signalPage } from "./signal.js";
import { isOperator, load, loadAll, look, missed, onChange, POLLED, state } from "./state.js";
import { listen, staleSince, stop } from "./stream.js";
import { told, waitingPage } from "./waiting.js";
import { clock, count, mark, tick } from "./words.js";

const POLL_MS = 4_000;
const HIDDEN_POLL_MS = 30_000;
const MAX_FILE_BYTES = 64 * 1024;
const PAGES = {
  "": nowPage,
  waiting: waitingPage,
  node: nodePage,
  drills: drillsPage,
  incident: incidentPage,
  signal: signalPage,
};
const NAMES = [
  ["", "Now"],
  ["waiting", "Waiting"],
  ["node", "Node"],
  ["drills", "Drills"],
];
const HEX32 = /^[0-9a-f]{64}$/;

const main = document.getElementById("main");
const OVER =
  "You are signed out: a session ends after twelve hours, when its key does, and when the feed starts anew. What was shown here is not known to be so any more.";
/** What could not be done, until it is tried again. */
let notice = "";

function place() {
  const [name = "", id = ""] = location.hash.replace(/^#\//, "").split("/");
  const isDetail = name === "incident" || name === "signal";
  return Object.hasOwn(PAGES, name) && isDetail === HEX32.test(id) ? { name, id } : { name: "", id: "" };
}

function render() {
  const { name } = place();
  show(document.getElementById("head"), ...head(name));
  show(document.getElementById("banners"), ...(state.session ? banners() : []));
  if (!state.session) stop();
  const isStale = state.session && staleSince(Date.now()) !== null;
  document.body.classList.toggle("stale", Boolean(isStale));
  show(main, ...(state.session ? PAGES[name](main.clientWidth) : signInPage()));
  document.title = title();
  show(document.getElementById("summary"), state.session ? summary() : "");
}

/** What has changed of the four answers is read out, whichever page is open. */
function summary() {
  return answers()
    .map(({ question, answer }) => `${question} ${answer}.`)
    .join(" ");
}

function title() {
  if (!state.session) return "Tocsin";
  const waits = openRequests().length;
  const [{ kind, answer }] = answers();
  if (kind === "bad") return `▲ ${answer} · ${state.status?.member ?? ""} Tocsin`;
  return `${waits ? `(${waits}) ` : ""}${state.status?.member ?? ""} Tocsin`.trim();
}

function head(name) {
  const waits = openRequests().length;
  const live = state.session && (staleSince(Date.now()) === null ? mark("good", "live") : mark("bad", "stale"));
  return [
    h("a", { class: "brand", href: "#/" }, "Tocsin", state.status ? h("span", {}, ` ${state.status.member}`) : ""),
    state.session
      ? h(
          "nav",
          { "aria-label": "Pages" },
          NAMES.map(([at, text]) =>
            h(
              "a",
              { href: `#/${at}`, "aria-current": at === name ? "page" : null, "data-key": at || "now" },
              text,
              at === "waiting" && waits
                ? h("b", { class: "badge" }, String(waits), h("span", { class: "hidden" }, " open"))
                : "",
            ),
          ),
        )
      : null,
    h(
      "span",
      { class: "right" },
      live,
      state.session ? h("span", { class: "faint scope" }, ` ${state.session.scope} `) : "",
      state.session?.key
        ? h("button", { type: "button", class: "quiet", "data-do": "sign-out" }, "Sign out")
        : state.session
          ? h("button", { type: "button", class: "quiet", "data-do": "to-sign-in" }, "Sign in")
          : null,
    ),
  ];
}

/** What must not be overlooked, whichever page is open; times are fixed, so that nothing is read out again and again. */
function banners() {
  const found = notice ? [["bad", notice]] : [];
  const since = staleSince(Date.now());
  if (since !== null)
    found.push([
      "bad",
      `STALE: nothing here is newer than ${clock(since)} UTC. The node may be acting meanwhile; trying again.`,
    ]);
  if (!isOperator()) return found.map(banner);
  const { status, errors } = state;
  if (errors.status && errors.status.status)
    found.push([
      "bad",
      `THE RELAY DOES NOT ANSWER: ${errors.status.message}. What is shown is the record; nothing says whether it acts.`,
    ]);
  else if (status) {
    const off = status.hooks.filter((hook) => !hook.armed);
    const all = off.length === status.hooks.length;
    if (off.length)
      found.push([
        "bad",
        `${all ? "DISARMED: no lever acts, whatever happens" : `PARTLY DISARMED: ${off.map((hook) => hook.hook).join(", ")}`}. Arm at the node: tocsin arm.`,
      ]);
    for (const text of status.standstills) found.push(["bad", `STANDSTILL: ${text}`]);
    if (status.ledger.startsWith("in doubt")) found.push(["bad", `LEDGER ${status.ledger}`]);
  }
  return found.map(banner);
}

function banner([kind, text]) {
  return h("p", { class: `banner ${kind}`, "data-key": text.slice(0, 8) }, mark(kind, text));
}

const DEEDS = {
  "sign-out": async () => {
    try {
      await signOut();
      location.reload();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      notice = `NOT SIGNED OUT: ${error.message}. Until it is, this browser opens what your key opens.`;
    }
  },
  "to-sign-in": () => {
    stop();
    state.session = null;
  },
  public: async () => {
    try {
      // a session that is over would be refused, and never be taken for the public
      await signOut();
      await begin({ scope: "public", key: null });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused.text = error.message;
    }
  },
  copy: async (button) => {
    // not there over a plain network
    if (!navigator.clipboard) return;
    await navigator.clipboard.writeText(button.dataset.text);
    button.textContent = "Copied";
  },
  "save-request": (button) => {
    const request = state.requests.find((one) => one.id === button.dataset.id);
    const url = URL.createObjectURL(
      new Blob([`${JSON.stringify(request.typed_data, null, 1)}\n`], { type: "application/json" }),
    );
    Object.assign(document.createElement("a"), { href: url, download: button.dataset.name }).click();
    setTimeout(() => URL.revokeObjectURL(url), POLL_MS);
  },
  "ask-step": async (button) => {
    await tell(async () => {
      const asked = await post("/v1/steps", { scope: button.dataset.scope });
      return `The operators are asked: ${asked.effect}`;
    });
    location.hash = "#/waiting";
  },
  approve: async (input) => {
    const [file] = input.files;
    if (!file) return;
    await tell(async () => {
      if (file.size > MAX_FILE_BYTES) throw new Refused(0, `${file.name} is too large for an approval`);
      const answer = await post("/v1/approvals", { approval: await file.text() });
      return `${file.name}: ${answer.sentence}`;
    });
    input.value = "";
  },
};

/** Do something at the node and say what became of it. */
async function tell(work) {
  try {
    Object.assign(told, { kind: "good", text: await work() });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    Object.assign(told, { kind: "bad", text: `Refused${error.code ? ` (${error.code})` : ""}: ${error.message}` });
  }
  await load(["requests", "status", "actions", "plans", "focus"]);
}

async function act(event) {
  const target = event.target.closest?.("[data-do]");
  if (!target || (event.type === "change") !== (target.localName === "input")) return;
  await DEEDS[target.dataset.do](target);
  render();
}

document.addEventListener("click", act);
document.addEventListener("change", act);
document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = event.target.elements.namedItem("key");
  try {
    const session = await signIn(input.value.trim());
    input.value = "";
    refused.text = "";
    begin(session);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused.text = error.message;
    render();
  }
});
window.addEventListener("hashchange", () => {
  const { name, id } = place();
  Object.assign(told, name === "waiting" ? told : { text: "" });
  look(name, id);
  render();
  if (state.session) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
window.addEventListener("resize", render);
document.addEventListener("visibilitychange", () => document.hidden || load(POLLED));

async function begin(session) {
  state.session = session;
  state.heardMs = Date.now();
  state.stream.sinceMs = Date.now();
  listen();
  const { name, id } = place();
  look(name, id);
  await loadAll();
}

async function poll() {
  if (state.session) await load([...POLLED, ...missed()]);
  setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

onChange(render);
setInterval(tick, 1000);
// whoever has a session goes on with it; whoever has none is asked
try {
  const session = await get("/dashboard/session");
  if (session.key) await begin(session);
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  refused.text = error.status === 401 ? OVER : error.message;
}
render();
poll();
