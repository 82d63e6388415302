// What this page knows of the node, and when it learnt it. Loaded by topic; everything shown follows from it.
import { get, Refused } from "./node.js";

export const DAY_MS = 86_400_000;
const PAGE = 100;
const MAX_PLANS = 3;
const TOGETHER_MS = 250;
// Whoever fills the record with noise must not push off the page what reaches us: that is asked for by its name.
const DECISION_PAGE = 200;
const MAX_DECISION_PAGES = 10;
const MAX_REACHING = 10;
const MAX_DRAWN = 3;
export const IN_EFFECT = new Set(["effective", "expiring"]);

export const state = {
  /** Who asks: {scope, key}; null until he has signed in or chosen not to. */
  session: null,
  status: null,
  health: null,
  requests: [],
  incidents: [],
  /** Of the last day, newest first; not all of them where `isPartial`. */
  decisions: [],
  isPartial: false,
  actions: [],
  signals: [],
  drills: [],
  /** What this node signs about the subjects that it was named. */
  risk: [],
  exposure: null,
  publishers: [],
  log: null,
  /** By incident, the way back of those on which something was done. */
  plans: {},
  /** The incident or signal that is looked at: {kind, id, view, signals, error}. */
  focus: null,
  /** By topic, why it could not be had. */
  errors: {},
  /** When the relay, and when the feed, was last heard. */
  heardMs: 0,
  stream: { isOpen: false, sequence: 0, sinceMs: Date.now() },
};

const PUBLIC = {
  health: async () => {
    state.health = await get("/healthz");
  },
  log: async () => {
    state.log = await get("/v1/log");
  },
  publishers: async () => {
    state.publishers = (await get("/v1/publishers")).publishers;
  },
  incidents: loadIncidents,
  signals: loadSignals,
  actions: async () => {
    state.actions = (await get("/v1/actions", { limit: 50 })).actions;
  },
  focus: loadFocus,
};
const INSURED = {
  exposure: async () => {
    state.exposure = await get("/v1/exposure");
  },
  drills: async () => {
    state.drills = (await get("/v1/drills", { limit: 50 })).drills;
  },
};
const RELIED_ON = {
  risk: async () => {
    state.risk = (await get("/v1/risk", { limit: PAGE })).reports;
  },
};
const OPERATED = {
  status: async () => {
    state.status = await get("/v1/status");
  },
  requests: async () => {
    state.requests = (await get("/v1/requests")).requests;
  },
  decisions: loadDecisions,
  plans: loadPlans,
};

/** What changes with no entry in the record. */
export const POLLED = ["health", "log", "risk", "status", "requests", "plans"];
// What is asked by the incidents that reach us; decisions and actions say which these are.
const AFTERWARDS = new Set(["incidents", "signals", "plans"]);
const BY_KIND = {
  signal: ["signals", "incidents", "focus"],
  incident: ["incidents", "focus"],
  evidence: ["decisions", "focus"],
  decision: ["decisions", "incidents", "signals", "focus"],
  action: ["actions", "incidents", "requests", "status", "focus", "plans"],
  outcome: ["actions", "incidents", "status", "focus", "plans"],
  operator: ["requests", "status", "actions", "plans", "focus"],
  roster: ["publishers", "status"],
  alarm: ["status", "health"],
  node: ["status", "health", "drills"],
};

let changed = () => {};
let wanted = new Set();
let timer = null;
let isLoading = false;

/** Call `work` after whatever was loaded. */
export function onChange(work) {
  changed = work;
}

export function isOperator() {
  return state.session?.scope === "operator";
}

/** Every topic that the session may ask for. */
export function topics() {
  const scope = state.session?.scope;
  return {
    ...PUBLIC,
    ...(scope === "insurer" || isOperator() ? INSURED : {}),
    ...(scope && scope !== "public" ? RELIED_ON : {}),
    ...(isOperator() ? OPERATED : {}),
  };
}

export function loadAll() {
  return load(Object.keys(topics()));
}

/** Load some topics; what fails keeps what was known, and says why. */
export async function load(names) {
  const known = topics();
  const asked = [...new Set(names)].filter((name) => Object.hasOwn(known, name));
  await Promise.all(asked.filter((name) => !AFTERWARDS.has(name)).map((name) => loadOne(name, known[name])));
  await Promise.all(asked.filter((name) => AFTERWARDS.has(name)).map((name) => loadOne(name, known[name])));
  changed();
}

/** By topic, what is being asked, and what is asked after it. */
const asking = new Map();
const next = new Map();

/** In turn, so that no older answer takes the place of a newer one; all who ask meanwhile get what is asked next. */
function loadOne(name, work) {
  // each incident and signal that is looked at has a place of its own for its answer
  const topic = name === "focus" ? state.focus : name;
  const before = asking.get(topic);
  if (!before) {
    asking.set(
      topic,
      ask(name, work).finally(() => asking.delete(topic)),
    );
    return asking.get(topic);
  }
  if (!next.has(topic)) {
    const goOn = () => {
      next.delete(topic);
      return loadOne(name, work);
    };
    next.set(topic, before.then(goOn, goOn));
  }
  return next.get(topic);
}

async function ask(name, work) {
  try {
    await work();
    delete state.errors[name];
    state.heardMs = Date.now();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    state.errors[name] = error;
    if (error.status === 401) lose();
    else if (error.status) state.heardMs = Date.now();
  }
}

/** What could not be had: no event tells when it can be. */
export function missed() {
  return [...Object.keys(state.errors), ...(state.focus?.error ? ["focus"] : [])];
}

/** The session is over: whoever comes next begins with nothing of what it was shown. */
function lose() {
  if (state.session) location.reload();
  state.session = null;
}

/** An entry came: load what it is about, with what comes at the same time. */
export function heard(kind) {
  for (const name of BY_KIND[kind] ?? ["status"]) wanted.add(name);
  timer ??= setTimeout(flush, TOGETHER_MS);
}

/** One load at a time, however fast entries come. */
async function flush() {
  timer = null;
  if (isLoading) return;
  const names = [...wanted];
  wanted = new Set();
  isLoading = true;
  try {
    await load(names);
  } finally {
    isLoading = false;
  }
  if (wanted.size) timer ??= setTimeout(flush, TOGETHER_MS);
}

/** The newest decision about an incident. */
export function decisionOf(incident) {
  return state.decisions.find((decision) => decision.incident === incident) ?? null;
}

/** What of ours an incident could cost, in micro-USD. */
export function stakeOf(decision) {
  return Object.values(decision?.stakes_micro_usd ?? {}).reduce((sum, stake) => sum + stake, 0);
}

/** Incidents on which a lever holds, or of which our newest decision says that they reach us: the costliest first. */
export function reachingUs() {
  const newest = new Map([...state.decisions].reverse().map((one) => [one.incident, one]));
  const costly = [...newest.values()].filter((one) => stakeOf(one) > 0).sort((a, b) => stakeOf(b) - stakeOf(a));
  const held = state.actions.filter((action) => IN_EFFECT.has(action.state)).map((action) => action.incident);
  return [...new Set([...held, ...costly.map((one) => one.incident)])];
}

export function look(kind, id) {
  // the first signal of an incident has the id of the incident
  if (state.focus?.id === id && state.focus.kind === kind) return;
  state.focus = id ? { kind, id, view: null, signals: [], error: null } : null;
  if (id) load(["focus"]);
}

/** The latest, and those that reach us, wherever they stand. */
async function loadIncidents() {
  const { incidents } = await get("/v1/incidents", { limit: 50 });
  const listed = new Set(incidents.map((one) => one.id));
  const missing = reachingUs().filter((id) => !listed.has(id));
  const more = await Promise.all(missing.slice(0, MAX_REACHING).map(findIncident));
  state.incidents = [...incidents, ...more.filter((one) => one !== null)];
}

/** An incident by its id; null while the index has not come so far, or where it may not be seen. */
async function findIncident(id) {
  try {
    return await get(`/v1/incidents/${id}`);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    return null;
  }
}

/** The latest of a day, and those of what reaches us. */
async function loadSignals() {
  const about = reachingUs().slice(0, MAX_DRAWN);
  const pages = await Promise.all([
    get("/v1/signals", { limit: PAGE, since_ms: Date.now() - DAY_MS }),
    ...about.map((incident) => get("/v1/signals", { limit: PAGE, incident })),
  ]);
  const found = new Map(pages.flatMap((page) => page.signals).map((row) => [row.id, row]));
  state.signals = [...found.values()].sort((a, b) => b.id - a.id);
}

/** What is known is not asked for again: decisions do not change. */
async function loadDecisions() {
  const since = Date.now() - DAY_MS;
  const known = state.decisions;
  const last = known[0]?.id ?? 0;
  const found = [];
  let isJoined = false;
  for (let page = 0, before = {}; page < MAX_DECISION_PAGES && !isJoined; page++) {
    const { decisions, next } = await get("/v1/decisions", { limit: DECISION_PAGE, ...before });
    found.push(...decisions.filter((one) => one.id > last));
    isJoined = !next || decisions.at(-1).id <= last || decisions.at(-1).at_ms < since;
    before = { before: next };
  }
  const all = isJoined ? [...found, ...known] : found;
  const most = MAX_DECISION_PAGES * DECISION_PAGE;
  state.isPartial = all.length > most || !isJoined || (state.isPartial && all.at(-1)?.at_ms > since);
  state.decisions = all.filter((one) => one.at_ms > since).slice(0, most);
}

async function loadFocus() {
  const focus = state.focus;
  if (!focus) return;
  try {
    if (focus.kind === "signal") {
      focus.view = await get(`/v1/signals/${focus.id}`);
    } else {
      const [view, page] = await Promise.all([
        get(`/v1/incidents/${focus.id}`),
        get("/v1/signals", { incident: focus.id, limit: PAGE }),
      ]);
      Object.assign(focus, { view, signals: page.signals });
    }
    focus.error = null;
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    focus.error = error;
  }
}

async function loadPlans() {
  const ids = [...new Set(state.actions.map((action) => action.incident))].slice(0, MAX_PLANS);
  const plans = await Promise.all(ids.map(async (id) => [id, await get(`/v1/incidents/${id}/recovery`)]));
  state.plans = Object.fromEntries(plans);
}
