// Catching up: heads, ranges, rosters and proofs over one request and one response (specs/sync.md).

import { bytesOf, checkUnique, hex, listOf, uintOf } from './fields.mjs'
import { CRITICAL, STANDARD } from './envelope.mjs'
import { DecodeError, decode, encode } from './msgpack.mjs'

export const SYNC_PROTOCOL = '/tocsin/sync/1'
export const MAX_SYNC_REQUEST_BYTES = 1024
export const MAX_SYNC_RESPONSE_BYTES = 1024 * 1024
export const MAX_RANGE_ENVELOPES = 1024
export const MAX_RANGE_BYTES = 512 * 1024
export const MAX_HEADS = 4096
export const MAX_ROSTERS_PER_RESPONSE = 4
export const MAX_PROOFS = 16

// A request is {kind, …}: heads; range {publisher, lane, first, last}; rosters {firstEpoch}; proofs {skip}; growth {old};
// witnessed {publisher}.
export function encodeRequest (request) {
  switch (request.kind) {
    case 'heads': return encode(['heads'])
    case 'range': return encode(['range', request.publisher, request.lane, request.first, request.last])
    case 'rosters': return encode(['rosters', request.firstEpoch])
    case 'proofs': return encode(['proofs', request.skip])
    case 'growth': return encode(['growth', request.old])
    case 'witnessed': return encode(['witnessed', request.publisher])
  }
  throw new DecodeError(`request of unknown kind ${request.kind}`)
}

export function decodeRequest (data) {
  const [kind, ...rest] = listOf('request', decode(data, MAX_SYNC_REQUEST_BYTES), 1, 5)
  if (kind === 'heads' && rest.length === 0) return { kind }
  if (kind === 'range' && rest.length === 4) {
    const [publisher, lane, first, last] = rest
    bytesOf('publisher', publisher, 20)
    uintOf('lane', lane, CRITICAL, STANDARD)
    uintOf('last', last, uintOf('first', first, 1))
    return { kind, publisher, lane, first, last }
  }
  if (kind === 'rosters' && rest.length === 1) return { kind, firstEpoch: uintOf('first epoch', rest[0]) }
  if (kind === 'proofs' && rest.length === 1) return { kind, skip: uintOf('skip', rest[0]) }
  if (kind === 'growth' && rest.length === 1) return { kind, old: uintOf('old', rest[0]) }
  if (kind === 'witnessed' && rest.length === 1) return { kind, publisher: bytesOf('publisher', rest[0], 20) }
  throw new DecodeError('request is of no known kind')
}

export function encodeHeads ({ epoch, proofs, heads }) {
  return encode([epoch, proofs, headList(heads)])
}

export function decodeHeads (data) {
  const [epoch, proofs, heads] = listOf('heads response', decode(data, MAX_SYNC_RESPONSE_BYTES, MAX_HEADS), 3, 3)
  return { epoch: uintOf('epoch', epoch), proofs: uintOf('proofs', proofs), heads: decodeHeadList(heads) }
}

export function headList (heads) {
  return heads.map(({ publisher, lane, sequence, digest }) => [publisher, lane, sequence, digest])
}

// Heads as they stand in sync responses and heartbeats.
export function decodeHeadList (value) {
  const heads = listOf('heads', value, 0, MAX_HEADS).map((item) => {
    const [publisher, lane, sequence, digest] = listOf('head', item, 4, 4)
    bytesOf('head publisher', publisher, 20)
    uintOf('head lane', lane, CRITICAL, STANDARD)
    uintOf('head sequence', sequence, 1)
    bytesOf('head digest', digest, 32)
    return { publisher, lane, sequence, digest }
  })
  checkUnique('feed', heads.map((h) => `${hex(h.publisher)}/${h.lane}`))
  return heads
}

// Envelopes in rising sequence, signed rosters in rising epoch, or proofs, as was asked.
export function encodeItems (items) {
  return encode(items)
}

export function decodeItems (data, most) {
  const items = listOf('items', decode(data, MAX_SYNC_RESPONSE_BYTES, MAX_RANGE_ENVELOPES), 0, most)
  for (const item of items) bytesOf('item', item, 0, MAX_SYNC_RESPONSE_BYTES)
  return items
}
