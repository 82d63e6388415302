// The logs of members, by the keys that the roster has of them (specs/audit-log.md).

import { hex } from './fields.mjs'
import { LOG, decodeCheckpoint, decodeNote, keyId } from './log_notes.mjs'
import { DecodeError } from './msgpack.mjs'

const NODE_ORIGIN = /^tocsin\/([0-9a-f]{64})\/0x([0-9a-f]{40})(?:\/([1-9][0-9]{0,2}))?$/
const FIRST_GENERATION = 1

// What the origin of a node's log says; undefined where it is none.
export function readOrigin (origin) {
  const named = NODE_ORIGIN.exec(origin)
  if (named === null || named[3] === `${FIRST_GENERATION}`) return undefined
  const [network, publisher] = [named[1], named[2]].map((digits) => Buffer.from(digits, 'hex'))
  return { network, publisher, generation: Number(named[3] ?? FIRST_GENERATION) }
}

// The key of a log by what its origin says and the 32 bytes that the roster has.
export function logKey ({ network, publisher, generation }, key) {
  const first = `tocsin/${hex(network)}/0x${hex(publisher)}`
  const name = generation === FIRST_GENERATION ? first : `${first}/${generation}`
  return { name, id: keyId(name, LOG, key), algorithm: LOG, key }
}

// Whose log a head says that it is of, unverified.
export function logOfHead (head) {
  const { origin } = decodeCheckpoint(decodeNote(head).text)
  const log = readOrigin(origin)
  if (log === undefined) throw new DecodeError(`${origin} is not the log of a node`)
  return log
}
