// The live stream, and whether it can be trusted to be live.
import { heard, loadAll, state } from "./state.js";

// The feed gives a sign every 15 s; what it writes stands in its log, whose length is asked for apart from the stream.
const STALE_MS = 20_000;
const RETRY_MS = 2_000;

let source = null;
let retry = null;
let behindSince = 0;

/** Listen, from what was last heard on. */
export function listen() {
  stop();
  const after = state.stream.sequence ? `?after=${state.stream.sequence}` : "";
  source = new EventSource(`/v1/live${after}`);
  source.addEventListener("open", () => {
    setOpen(true);
    // it begins with what comes from now on: what came since the page asked, no event tells of
    loadAll();
  });
  source.addEventListener("error", () => {
    setOpen(false);
    // it tries again by itself, but not after an answer that is no stream
    if (source?.readyState === EventSource.CLOSED) retry ??= setTimeout(listen, RETRY_MS);
  });
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      state.stream.sequence = Number(event.lastEventId);
      heard(kind);
    });
  }
}

const KINDS = [
  "signal",
  "verdict",
  "incident",
  "evidence",
  "decision",
  "adjudication",
  "action",
  "outcome",
  "alarm",
  "roster",
  "equivocation",
  "operator",
  "node",
];

export function stop() {
  clearTimeout(retry);
  retry = null;
  source?.close();
  source = null;
}

function setOpen(isOpen) {
  if (state.stream.isOpen !== isOpen) Object.assign(state.stream, { isOpen, sinceMs: Date.now() });
}

/** Since when (ms) what is shown may be old; null while it is live. */
export function staleSince(nowMs) {
  const { isOpen, sinceMs, sequence } = state.stream;
  if (!isOpen && nowMs - sinceMs > RETRY_MS) return sinceMs;
  if (nowMs - state.heardMs > STALE_MS) return state.heardMs;
  // the operator is sent every entry: a stream that is open and behind the log is stuck
  const isBehind = state.session?.scope === "operator" && sequence > 0 && (state.log?.size ?? 0) > sequence;
  behindSince = isBehind ? behindSince || nowMs : 0;
  return isBehind && nowMs - behindSince > STALE_MS ? behindSince : null;
}
