// Whether a signal may still set a lever off (specs/signal.md), by the receiver's clock.

const MINUTE_MS = 60_000
const MAX_CLOCK_SKEW_MS = 5_000
const DEFAULT_MINUTES = 60
const MINUTES = {
  'asset.drain': 10,
  'flashloan.attack': 10,
  'oracle.manipulation': 10,
  'oracle.stale': 10,
  'bridge.mint-mismatch': 15,
  'bridge.message-forgery': 15,
  'key.compromise': 360,
  'governance.malicious-proposal': 1440,
  'governance.takeover': 1440
}

// 'admitted' when it may, else why not. The future is judged by the time of arrival.
export function checkActionable ({ category, drill, issued, expires }, nowMs, receivedMs) {
  if (drill || category === 'meta.drill') return 'drill'
  if (issued > (receivedMs ?? nowMs) + MAX_CLOCK_SKEW_MS) return 'from-future'
  if (nowMs >= expires) return 'expired'
  if (nowMs - issued > (MINUTES[category] ?? DEFAULT_MINUTES) * MINUTE_MS) return 'stale'
  return 'admitted'
}
