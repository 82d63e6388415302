// Feeds in memory: per publisher and lane a hash chain of signals (specs/signal.md), with gaps where they are.

import { NO_DIGEST, encodeEquivocation } from './envelope.mjs'
import { hex, same } from './fields.mjs'

export const MAX_PROOFS_HELD = 256

export class Feeds {
  feeds = new Map()
  proofs = new Map()

  // The envelope held at a place, or undefined.
  get (publisher, lane, sequence) {
    return this.feeds.get(key(publisher, lane))?.envelopes.get(sequence)
  }

  isEquivocator (publisher) {
    return this.proofs.has(hex(publisher))
  }

  // Keeps a verified envelope. 'linked' | 'unlinked' | 'duplicate', or 'equivocation' with the proof kept.
  add (envelope) {
    const { publisher, lane, sequence } = envelope
    const feed = this.feed(publisher, lane)
    const held = feed.envelopes.get(sequence)
    if (held !== undefined && same(held.digest, envelope.digest)) return 'duplicate'
    const before = feed.envelopes.get(sequence - 1)
    const after = feed.envelopes.get(sequence + 1)
    const rival = held ??
      (before !== undefined && !same(before.digest, envelope.previous) ? before : undefined) ??
      (after !== undefined && !same(after.previous, envelope.digest) ? after : undefined)
    if (rival !== undefined) {
      this.keepProof(publisher, encodeEquivocation(envelope, rival))
      return 'equivocation'
    }
    feed.envelopes.set(sequence, envelope)
    feed.highest = Math.max(feed.highest, sequence)
    while (feed.envelopes.has(feed.linked + 1)) feed.linked += 1
    return feed.linked >= sequence ? 'linked' : 'unlinked'
  }

  keepProof (publisher, proof) {
    if (this.proofs.size < MAX_PROOFS_HELD && !this.isEquivocator(publisher)) this.proofs.set(hex(publisher), proof)
  }

  feed (publisher, lane) {
    const name = key(publisher, lane)
    if (!this.feeds.has(name)) this.feeds.set(name, { publisher, lane, linked: 0, highest: 0, envelopes: new Map() })
    return this.feeds.get(name)
  }

  // The highest signal held of each feed.
  heads () {
    return [...this.feeds.values()].filter((feed) => feed.highest > 0).map((feed) => this.head(feed))
  }

  head ({ publisher, lane, highest, envelopes }) {
    return { publisher, lane, sequence: highest, digest: envelopes.get(highest)?.digest ?? NO_DIGEST }
  }

  // The first range missing up to a head somebody else holds: [first, last], or undefined.
  missing (publisher, lane, head, most) {
    const { envelopes, linked } = this.feed(publisher, lane)
    if (linked >= head) return undefined
    const first = linked + 1
    let last = first
    while (last < head && last - first + 1 < most && !envelopes.has(last + 1)) last += 1
    return [first, last]
  }

  // Envelopes held of a range, in rising sequence, within the bounds of a response.
  range (publisher, lane, first, last, maxItems, maxBytes) {
    const { envelopes, highest } = this.feed(publisher, lane)
    const items = []
    let bytes = 0
    for (let sequence = first; sequence <= Math.min(last, highest) && items.length < maxItems; sequence++) {
      const encoded = envelopes.get(sequence)?.encoded
      if (encoded === undefined) continue
      bytes += encoded.length
      if (bytes > maxBytes) break
      items.push(encoded)
    }
    return items
  }
}

function key (publisher, lane) {
  return `${hex(publisher)}/${lane}`
}
