// Both ends of `/tocsin/sync/1` (specs/sync.md): one request and one response a stream.

import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'

import { decodeEnvelope } from './envelope.mjs'
import { hex, same } from './fields.mjs'
import { DecodeError } from './msgpack.mjs'
import { lastAccepted } from './roster.mjs'
import { SignatureError, isSignedBy } from './signing.mjs'
import * as sync from './sync.mjs'

const SYNC_TIMEOUT_MS = 10_000
// Rounds of ranges in one synchronisation with one peer; what is left comes with the next.
const MAX_RANGES_A_ROUND = 256

export class Syncing {
  // Peers with whom a synchronisation is under way.
  busy = new Set()

  constructor (member) {
    this.member = member
  }

  async ask (peer, request) {
    const signal = AbortSignal.timeout(SYNC_TIMEOUT_MS)
    const stream = await this.member.host.dialProtocol(peerIdFromString(peer), sync.SYNC_PROTOCOL, { signal })
    try {
      const messages = lpStream(stream, { maxDataLength: sync.MAX_SYNC_RESPONSE_BYTES })
      await messages.write(sync.encodeRequest(request), { signal })
      const response = (await messages.read({ signal })).subarray()
      if (response.length === 0) throw new Error('the peer will not answer')
      await stream.close({ signal })
      return Buffer.from(response)
    } catch (error) {
      stream.abort(error)
      throw error
    }
  }

  async serve (stream, connection) {
    const signal = AbortSignal.timeout(SYNC_TIMEOUT_MS)
    try {
      const messages = lpStream(stream, { maxDataLength: sync.MAX_SYNC_REQUEST_BYTES })
      const request = (await messages.read({ signal })).subarray()
      await messages.write(this.answer(request, connection.remotePeer.toString()), { signal })
      await stream.close({ signal })
    } catch (error) {
      this.member.count(`sync refused: ${error.name}`)
      stream.abort(error)
    }
  }

  // The response, of length 0 when we will not answer.
  answer (data, peer) {
    let request
    try {
      request = sync.decodeRequest(data)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.member.count('sync malformed')
      return Buffer.alloc(0)
    }
    this.member.emit({ event: 'asked', peer, kind: request.kind })
    const { feeds, roster } = this.member
    switch (request.kind) {
      case 'heads':
        return sync.encodeHeads({ epoch: roster.epoch, proofs: feeds.proofs.size, heads: feeds.heads() })
      case 'range': {
        const { publisher, lane, first, last } = request
        return sync.encodeItems(
          feeds.range(publisher, lane, first, last, sync.MAX_RANGE_ENVELOPES, sync.MAX_RANGE_BYTES))
      }
      case 'proofs':
        return sync.encodeItems([...feeds.proofs.values()].slice(request.skip, request.skip + sync.MAX_PROOFS))
      default:
        // Rosters come to this member from outside: it holds none with their signatures. It has no log, and keeps no head.
        return sync.encodeItems([])
    }
  }

  // Asks a peer for its heads and fetches what is missing here; returns how many signals came.
  async syncWith (peer) {
    if (this.busy.has(peer)) return 0
    this.busy.add(peer)
    try {
      const { heads } = sync.decodeHeads(await this.ask(peer, { kind: 'heads' }))
      let fetched = 0
      for (const head of heads) {
        if (this.member.publishers.has(hex(head.publisher))) fetched += await this.fetchFeed(peer, head)
      }
      return fetched
    } finally {
      this.busy.delete(peer)
    }
  }

  async fetchFeed (peer, { publisher, lane, sequence }) {
    let fetched = 0
    for (let round = 0; round < MAX_RANGES_A_ROUND; round++) {
      const range = this.member.feeds.missing(publisher, lane, sequence, sync.MAX_RANGE_ENVELOPES)
      if (range === undefined) break
      const [first, last] = range
      const response = await this.ask(peer, { kind: 'range', publisher, lane, first, last })
      const envelopes = sync.decodeItems(response, sync.MAX_RANGE_ENVELOPES)
        .map((item) => this.checkFetched(item, range, publisher, lane))
      if (envelopes.length === 0) break
      for (const envelope of envelopes) this.member.keep(envelope, 'sync')
      fetched += envelopes.length
    }
    return fetched
  }

  // What is fetched is verified like what is gossiped; the rate does not count.
  checkFetched (item, [first, last], id, lane) {
    const envelope = decodeEnvelope(this.member.domain, item)
    const publisher = this.member.publishers.get(hex(id))
    const isOfFeed = same(envelope.publisher, id) && envelope.lane === lane
    if (!isOfFeed || envelope.sequence < first || envelope.sequence > last) {
      throw new DecodeError('a fetched signal is not of the range asked for')
    }
    if (envelope.sequence > lastAccepted(publisher, lane)) throw new DecodeError('a fetched signal is of a revoked key')
    if (!isSignedBy(publisher.key, envelope.digest, envelope.signature)) {
      throw new SignatureError('a fetched signal is not signed by its publisher')
    }
    return envelope
  }
}
