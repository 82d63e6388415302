// Heartbeats (specs/gossip.md): feed heads, chain heights and coverage.

import { CATEGORIES, chainIdOf } from './body.mjs'
import { checkUnique, listOf, mapOf, oneOf, uintOf } from './fields.mjs'
import { decode, encode } from './msgpack.mjs'
import { decodeHeadList, headList } from './sync.mjs'

export const HEARTBEAT_INTERVAL_MS = 15_000
export const MAX_HEARTBEAT_BYTES = 64 * 1024

export function encodeHeartbeat ({ sentMs, epoch, heads, heights = [], coverage = [] }) {
  return encode({ sent: sentMs, epoch, heads: headList(heads), heights, coverage })
}

export function decodeHeartbeat (data) {
  const names = ['coverage', 'epoch', 'heads', 'heights', 'sent']
  const fields = mapOf('heartbeat', decode(data, MAX_HEARTBEAT_BYTES), names)
  const heights = listOf('heights', fields.get('heights'), 0, 64).map((pair) => {
    const [chain, height] = listOf('height', pair, 2, 2)
    return [chainIdOf('height chain', chain), uintOf('height', height)]
  })
  const coverage = listOf('coverage', fields.get('coverage'), 0, CATEGORIES.length)
    .map((category) => oneOf('coverage', category, CATEGORIES))
  checkUnique('chain', heights.map(([chain]) => chain))
  checkUnique('category', coverage)
  return {
    sentMs: uintOf('sent', fields.get('sent')),
    epoch: uintOf('epoch', fields.get('epoch')),
    heads: decodeHeadList(fields.get('heads')),
    heights,
    coverage
  }
}
