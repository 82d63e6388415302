// Asking the node. The key is in a cookie that nothing here can read.

/** What could not be had, with the feed's own word of why; `status` is 0 when nobody answered. */
export class Refused extends Error {
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const ANSWER_MS = 10_000;

export function get(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return ask(text ? `${path}?${text}` : path);
}

export function post(path, body) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

export function signIn(key) {
  return ask("/dashboard/session", { method: "POST", headers: { authorization: `Bearer ${key}` } });
}

export function signOut() {
  return ask("/dashboard/session", { method: "DELETE" });
}

async function ask(path, how = {}) {
  let response, text;
  try {
    response = await fetch(path, { ...how, signal: AbortSignal.timeout(ANSWER_MS) });
    text = await response.text();
  } catch {
    throw new Refused(0, "the feed does not answer");
  }
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(response.status, "what came is not JSON: something stands between this page and the feed");
  }
  // health says what is wrong with a 503 of its own
  if (response.ok || (body && "healthy" in body)) return body;
  throw new Refused(response.status, body?.detail ?? response.statusText, body?.code);
}
