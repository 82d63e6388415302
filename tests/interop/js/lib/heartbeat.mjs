// Heartbeats (specs/gossip.md): feed heads, chain heights and coverage.

import { CATEGORIES, chainIdOf } from './body.mjs'
import { bytesOf, checkUnique, listOf, mapOf, oneOf, uintOf } from './fields.mjs'
import { growthOf } from './log_cases.mjs'
import { decode, encode } from './msgpack.mjs'
import { decodeHeadList, headList } from './sync.mjs'

export const HEARTBEAT_INTERVAL_MS = 15_000
export const MAX_HEARTBEAT_BYTES = 64 * 1024

export const MAX_COSIGNED = 32
export const MAX_HEAD_BYTES = 1024

export function encodeHeartbeat ({ sentMs, epoch, heads, heights = [], coverage = [], log, cosigned = [] }) {
  return encode({
    sent: sentMs,
    epoch,
    heads: headList(heads),
    heights,
    coverage,
    ...(log === undefined ? {} : { log: [log.old, log.path, log.checkpoint] }),
    ...(cosigned.length === 0 ? {} : { cosigned })
  })
}

export function decodeHeartbeat (data) {
  const names = ['cosigned', 'coverage', 'epoch', 'heads', 'heights', 'log', 'sent']
  const fields = mapOf('heartbeat', decode(data, MAX_HEARTBEAT_BYTES), names, ['cosigned', 'log'])
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
    coverage,
    // How its log has grown, and the heads of others' logs that it keeps: opened by the member.
    log: fields.has('log') ? logOf(fields.get('log')) : undefined,
    cosigned: fields.has('cosigned')
      ? listOf('cosigned', fields.get('cosigned'), 1, MAX_COSIGNED).map((head) => headOf('cosigned', head))
      : []
  }
}

function logOf (value) {
  const growth = growthOf(value)
  headOf('log', growth.checkpoint)
  return growth
}

function headOf (where, value) {
  return bytesOf(where, value, 1, MAX_HEAD_BYTES)
}
