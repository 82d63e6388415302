// What a chain was given of a log (specs/audit-log.md, Anchors).

import { same } from './fields.mjs'
import { readOrigin } from './log_members.mjs'
import { DecodeError } from './msgpack.mjs'
import { ProofError, sha256 } from './log_tree.mjs'

const MAGIC = Buffer.from('tocsin\0\x01', 'latin1')
const ANCHOR_BYTES = 80

export function decodeAnchor (data) {
  if (data.length !== ANCHOR_BYTES) throw new DecodeError(`an anchor of ${data.length} bytes`)
  if (!same(data.subarray(0, 8), MAGIC)) throw new DecodeError('an anchor that begins otherwise')
  const size = Buffer.from(data).readBigUInt64BE(40)
  if (size === 0n || size > BigInt(Number.MAX_SAFE_INTEGER)) throw new DecodeError(`size is ${size}`)
  return { originHash: data.subarray(8, 40), size: Number(size), root: data.subarray(48) }
}

// The names that a log has had: one that was begun anew has kept the entries of the copy that it began with.
function namesOf (origin) {
  const generation = readOrigin(origin)?.generation ?? 1
  const first = generation === 1 ? origin : origin.slice(0, origin.lastIndexOf('/'))
  return Array.from({ length: generation }, (_, n) => n === 0 ? first : `${first}/${n + 1}`)
}

export function verifyAnchor (data, { origin, size, root }) {
  const anchor = decodeAnchor(data)
  const isOurs = namesOf(origin).some((name) => same(anchor.originHash, sha256(Buffer.from(name))))
  if (!isOurs || anchor.size !== size || !same(anchor.root, root)) throw new ProofError('an anchor of something else')
}
