// Feeds in memory: per publisher and lane a hash chain of signals (specs/signal.md), with gaps where they are.

import { FIRST_SEQUENCE, NO_DIGEST, encodeEquivocation } from './envelope.mjs'
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

  // Where an envelope stands against what is held: 'linked' | 'unlinked' | 'duplicate' | 'equivocation'.
  position (envelope) {
    const held = this.get(envelope.publisher, envelope.lane, envelope.sequence)
    if (held !== undefined && same(held.digest, envelope.digest)) return 'duplicate'
    if (this.rival(envelope) !== undefined) return 'equivocation'
    if (envelope.sequence === FIRST_SEQUENCE) return 'linked'
    return this.get(envelope.publisher, envelope.lane, envelope.sequence - 1) === undefined ? 'unlinked' : 'linked'
  }

  // What is held and contradicts an envelope, if anything.
  rival ({ publisher, lane, sequence, previous, digest }) {
    const held = this.get(publisher, lane, sequence)
    if (held !== undefined && !same(held.digest, digest)) return held
    const before = this.get(publisher, lane, sequence - 1)
    if (before !== undefined && !same(before.digest, previous)) return before
    const after = this.get(publisher, lane, sequence + 1)
    if (after !== undefined && !same(after.previous, digest)) return after
    return undefined
  }

  // Keeps a verified envelope, or the proof that it contradicts one held; returns its position.
  add (envelope) {
    const { publisher, lane, sequence } = envelope
    const position = this.position(envelope)
    if (position === 'equivocation') this.keepProof(publisher, encodeEquivocation(envelope, this.rival(envelope)))
    if (position === 'equivocation' || position === 'duplicate') return position
    const feed = this.feed(publisher, lane)
    feed.envelopes.set(sequence, envelope)
    feed.highest = Math.max(feed.highest, sequence)
    while (feed.envelopes.has(feed.linked + 1)) feed.linked += 1
    return position
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
