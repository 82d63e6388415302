// The gossip rules (specs/gossip.md): what a frame must be to pass, in the order of the spec.

import { MAX_FRAME_BYTES, decodeEnvelope, decodeFrame } from './envelope.mjs'
import { hex, same } from './fields.mjs'
import { DecodeError, OversizedError, SpellingError, TruncatedError } from './msgpack.mjs'
import { decodeRoster, lastAccepted, mayPublish, publishersOf } from './roster.mjs'
import { Domain, isSignedBy } from './signing.mjs'

export const MAX_SEEN = 65_536

// [signals per second, how many may come at once].
const RATES = {
  standard: { low: [2, 20], standard: [20, 500], high: [500, 10_000] },
  critical: { low: [1, 10], standard: [5, 50], high: [50, 1_000] },
  doubtful: [50, 1_000]
}
const FOR_THE_STORE = ['equivocation', 'below-head']

// Token buckets in thousandths of a signal; bounded by the roster.
class RateLimiter {
  buckets = new Map()

  take (name, [perSecond, burst], nowMs) {
    const full = burst * 1000
    const bucket = this.buckets.get(name) ?? { level: full, at: nowMs }
    const level = Math.min(full, bucket.level + Math.max(0, nowMs - bucket.at) * perSecond)
    const allowed = level >= 1000
    this.buckets.set(name, { level: allowed ? level - 1000 : level, at: nowMs })
    return allowed
  }
}

// Gossip admission of one node, made from the body of a roster.
export class Admission {
  rates = new RateLimiter()
  heads = new Map()
  seen = new Map()
  equivocators = new Set()

  constructor (rosterBody) {
    this.setRoster(rosterBody)
  }

  setRoster (body) {
    this.roster = decodeRoster(body)
    this.domain = new Domain(this.roster.network)
    this.publishers = new Map(publishersOf(this.roster).map((publisher) => [hex(publisher.id), publisher]))
  }

  // Up to where a feed is held without a gap: nothing at or below is new.
  setHead (publisher, lane, sequence) {
    this.heads.set(feedName(publisher, lane), sequence)
  }

  // {verdict, reason, admitted, dropped, doubtful}: `from` is the peer id that signed the gossip message.
  admitFrame (data, from, nowMs) {
    if (data.length > MAX_FRAME_BYTES) return refuse('reject', 'oversized')
    let envelopes
    try {
      envelopes = decodeFrame(data).map((item) => decodeEnvelope(this.domain, item))
    } catch (error) {
      return refuse('reject', malformation(error))
    }
    const { publisher: id, lane } = envelopes[0]
    if (envelopes.some((envelope) => !same(envelope.publisher, id))) return refuse('reject', 'mixed-publishers')
    if (envelopes.some((envelope) => envelope.lane !== lane)) return refuse('reject', 'mixed-lanes')
    const publisher = this.publishers.get(hex(id))
    if (publisher === undefined) return refuse('ignore', 'unknown-publisher')
    if (publisher.peer !== from) return refuse('ignore', 'wrong-peer')
    if (nowMs < publisher.validFromMs || nowMs >= publisher.validUntilMs) return refuse('ignore', 'key-not-valid')
    if (!mayPublish(publisher, lane)) return refuse('ignore', 'not-capable')
    if (this.equivocators.has(hex(id))) return refuse('ignore', 'equivocator')
    return this.admitEnvelopes(envelopes, publisher, nowMs)
  }

  admitEnvelopes (envelopes, publisher, nowMs) {
    const outcome = { verdict: 'accept', reason: 'admitted', admitted: [], dropped: [], doubtful: [] }
    const fresh = new Map()
    let unchecked = 0
    for (const envelope of envelopes) {
      const known = fresh.get(placeName(envelope)) ?? this.seen.get(placeName(envelope))
      const reason = this.place(envelope, publisher, known, nowMs)
      if (reason !== 'admitted') {
        outcome.dropped.push(reason)
        if (known === identity(envelope)) continue
        if (!this.rates.take(`${hex(envelope.publisher)}/doubtful`, RATES.doubtful, nowMs)) {
          unchecked += 1
          continue
        }
      }
      if (!isSignedBy(publisher.key, envelope.digest, envelope.signature)) return refuse('reject', 'bad-signature')
      if (reason === 'admitted') {
        fresh.set(placeName(envelope), identity(envelope))
        outcome.admitted.push(envelope)
      } else if (FOR_THE_STORE.includes(reason)) {
        outcome.doubtful.push(envelope)
      }
    }
    this.remember(fresh)
    if (outcome.admitted.length === 0) return { ...outcome, verdict: 'ignore', reason: 'nothing-new' }
    if (unchecked > 0) return { ...outcome, verdict: 'ignore', reason: 'unchecked' }
    return outcome
  }

  // What an envelope is before its signature is looked at.
  place (envelope, publisher, known, nowMs) {
    const { lane, sequence } = envelope
    if (sequence > lastAccepted(publisher, lane)) return 'key-revoked'
    if (known !== undefined) return known.startsWith(hex(envelope.digest)) ? 'duplicate' : 'equivocation'
    const feed = feedName(envelope.publisher, lane)
    if (sequence <= (this.heads.get(feed) ?? 0)) return 'below-head'
    const rate = RATES[lane === 0 ? 'critical' : 'standard'][publisher.rate]
    return this.rates.take(feed, rate, nowMs) ? 'admitted' : 'over-rate'
  }

  remember (fresh) {
    for (const [name, identity] of fresh) {
      this.seen.set(name, identity)
      if (this.seen.size > MAX_SEEN) this.seen.delete(this.seen.keys().next().value)
    }
  }
}

// The reason that tells how bytes failed to decode.
export function malformation (error) {
  if (error instanceof OversizedError) return 'oversized'
  if (error instanceof TruncatedError) return 'truncated'
  if (error instanceof SpellingError) return 'non-canonical'
  if (error instanceof DecodeError) return 'malformed'
  throw error
}

function feedName (publisher, lane) {
  return `${hex(publisher)}/${lane}`
}

function placeName ({ publisher, lane, sequence }) {
  return `${feedName(publisher, lane)}/${sequence}`
}

function identity ({ digest, signature }) {
  return hex(digest) + hex(signature)
}

function refuse (verdict, reason) {
  return { verdict, reason, admitted: [], dropped: [], doubtful: [] }
}
