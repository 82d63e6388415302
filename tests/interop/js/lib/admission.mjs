// The gossip rules (specs/gossip.md): what a frame must be to pass, in the order of the spec.

import { MAX_FRAME_BYTES, decodeEnvelope, decodeFrame } from './envelope.mjs'
import { hex, same } from './fields.mjs'
import { DecodeError } from './msgpack.mjs'
import { lastAccepted, mayPublish } from './roster.mjs'
import { isSignedBy } from './signing.mjs'

const RATES = {
  standard: { low: [2, 20], standard: [20, 500], high: [500, 10_000] },
  critical: { low: [1, 10], standard: [5, 50], high: [50, 1_000] }
}

// Token buckets by feed, in thousandths of a signal; bounded by the roster.
class RateLimiter {
  buckets = new Map()

  allow (feed, lane, rateClass, nowMs) {
    const [perSecond, burst] = RATES[lane === 0 ? 'critical' : 'standard'][rateClass]
    const full = burst * 1000
    const bucket = this.buckets.get(feed) ?? { level: full, at: nowMs }
    const level = Math.min(full, bucket.level + Math.max(0, nowMs - bucket.at) * perSecond)
    const allowed = level >= 1000
    this.buckets.set(feed, { level: allowed ? level - 1000 : level, at: nowMs })
    return allowed
  }
}

// Judges frames against a roster (by publisher id, hex) and the feeds held; the caller stores what is admitted.
export class Admission {
  rates = new RateLimiter()

  constructor (domain, publishers, feeds) {
    this.domain = domain
    this.publishers = publishers
    this.feeds = feeds
  }

  // {verdict, reason, admitted, dropped}: `from` is the peer id that signed the gossip message.
  admitFrame (data, from, nowMs) {
    if (data.length > MAX_FRAME_BYTES) return refuse('reject', 'oversized')
    let envelopes
    try {
      envelopes = decodeFrame(data).map((item) => decodeEnvelope(this.domain, item))
    } catch (error) {
      if (error instanceof DecodeError) return refuse('reject', 'malformed')
      throw error
    }
    const { publisher: id, lane } = envelopes[0]
    if (envelopes.some((envelope) => !same(envelope.publisher, id))) return refuse('reject', 'mixed-publishers')
    if (envelopes.some((envelope) => envelope.lane !== lane)) return refuse('reject', 'mixed-lanes')
    const publisher = this.publishers.get(hex(id))
    if (publisher === undefined) return refuse('ignore', 'unknown-publisher')
    if (publisher.peer !== from) return refuse('ignore', 'wrong-peer')
    if (nowMs < publisher.validFromMs || nowMs >= publisher.validUntilMs) return refuse('ignore', 'key-not-valid')
    if (!mayPublish(publisher, lane)) return refuse('ignore', 'not-capable')
    if (this.feeds.isEquivocator(id)) return refuse('ignore', 'equivocator')
    return this.admitEnvelopes(envelopes, publisher, nowMs)
  }

  admitEnvelopes (envelopes, publisher, nowMs) {
    const admitted = []
    const dropped = []
    for (const envelope of envelopes) {
      const reason = this.checkEnvelope(envelope, publisher, nowMs)
      if (reason === 'bad-signature') return refuse('reject', reason)
      if (reason === 'admitted') admitted.push(envelope)
      else dropped.push({ reason, envelope })
    }
    if (admitted.length === 0) return { ...refuse('ignore', 'nothing-new'), dropped }
    return { verdict: 'accept', reason: 'admitted', admitted, dropped }
  }

  checkEnvelope (envelope, publisher, nowMs) {
    if (envelope.sequence > lastAccepted(publisher, envelope.lane)) return 'key-revoked'
    const held = this.feeds.get(envelope.publisher, envelope.lane, envelope.sequence)
    if (held !== undefined) return same(held.digest, envelope.digest) ? 'duplicate' : 'equivocation'
    const feed = `${hex(envelope.publisher)}/${envelope.lane}`
    if (!this.rates.allow(feed, envelope.lane, publisher.rate, nowMs)) return 'over-rate'
    return isSignedBy(publisher.key, envelope.digest, envelope.signature) ? 'admitted' : 'bad-signature'
  }
}

function refuse (verdict, reason) {
  return { verdict, reason, admitted: [], dropped: [] }
}
