// Case files, split views, and what a witness answers to a log that has grown (specs/audit-log.md).

import { decodeEnvelope } from './envelope.mjs'
import { bytesOf, checkRising, hex, listOf, same, uintOf } from './fields.mjs'
import { logOfHead, readOrigin } from './log_members.mjs'
import { MAX_NOTE_BYTES, decodeNote, verifyHead } from './log_notes.mjs'
import { MAX_ENTRY_BYTES, ProofError, decodeEntry, leafHash, pathOf, rootsOfPath, verifyInclusion } from './log_tree.mjs'
import { judgeHead } from './log_trust.mjs'
import { DecodeError, decode, encode } from './msgpack.mjs'
import { Domain, SignatureError, addressOfKey, recoverKey } from './signing.mjs'

const MAX_CASE_BYTES = 64 * 1024 * 1024
const MAX_CASE_ENTRIES = 4096
const MAX_SPLIT_VIEW_BYTES = 2 * MAX_NOTE_BYTES + 4096
const MAX_GROWTH_BYTES = MAX_NOTE_BYTES + 4096

// The indexes of the entries of a case file; throws where it does not hold under the policy.
export function verifyCase (data, policy) {
  const [checkpoint, listed, signals] = listOf('case', decode(data, MAX_CASE_BYTES, MAX_CASE_ENTRIES), 3, 3)
  const items = listOf('entries', listed, 1, MAX_CASE_ENTRIES).map((item) => {
    const [index, entry, path] = listOf('entry', item, 3, 3)
    return { index: uintOf('index', index), entry: bytesOf('entry', entry, 0, MAX_ENTRY_BYTES), path: pathOf(path) }
  })
  listOf('signals', signals, 0, MAX_CASE_ENTRIES)
  const { origin, size, root } = judgeHead(noteOf('checkpoint', checkpoint), policy)
  const log = readOrigin(origin)
  if (log === undefined) throw new ProofError(`${origin} is not the log of a node`)
  const indexes = items.map(({ index }) => index)
  checkRising('entry number', indexes, (one, other) => one - other)
  for (const { index, entry, path } of items) verifyInclusion({ index, size, leaf: leafHash(entry), path, root })
  const entries = items.map(({ entry }) => decodeEntry(entry))
  const logged = entries.filter(({ kind }) => kind === 'signal').map(({ reference }) => hex(reference))
  const domain = new Domain(log.network)
  for (const digest of signals.map((signal) => verifySignal(domain, signal))) {
    if (!logged.includes(digest)) throw new ProofError(`the signal ${digest} is in no entry of the case`)
  }
  return indexes
}

function verifySignal (domain, encoded) {
  const { publisher, digest, signature } = decodeEnvelope(domain, bytesOf('signal', encoded, 0, Infinity))
  if (!same(addressOfKey(recoverKey(digest, signature)), publisher)) {
    throw new SignatureError(`the signal ${hex(digest)} is not signed by its publisher`)
  }
  return hex(digest)
}

const noteOf = (where, value) => bytesOf(where, value, 0, MAX_NOTE_BYTES)

// Throws unless the log has signed two heads that no one log can have.
export function verifySplitView (data, log) {
  const [one, other, hashes] = listOf('split view', decode(data, MAX_SPLIT_VIEW_BYTES), 3, 3)
  const path = pathOf(hashes)
  const [smaller, larger] = [one, other].map((note) => verifyHead(noteOf('head', note), [log]))
  if (smaller.size === larger.size) {
    if (path.length > 0) throw new ProofError('two heads of one size with a path')
    if (same(smaller.root, larger.root)) throw new ProofError('two heads of one size with one root')
    return
  }
  const [foundSmaller, found] = rootsOfPath(smaller.size, larger.size, path)
  if (!same(found, larger.root)) throw new ProofError('the path does not lead to the larger root')
  if (same(foundSmaller, smaller.root)) throw new ProofError('the larger log begins with the smaller')
}

// Whose log a proof says has split, unverified; undefined where it is a proof of another kind.
export function splitLog (proof) {
  const fields = listOf('proof', decode(proof, MAX_SPLIT_VIEW_BYTES), 2, 3)
  if (fields.length === 2) return undefined
  const heads = fields.slice(0, 2)
  if (!heads.every((head) => head instanceof Uint8Array && decodeNote(head).signatures.length === 1)) {
    throw new DecodeError('a head of a split view does not have one signature alone')
  }
  return logOfHead(heads[0])
}

// How a log has grown, as it stands in other messages.
export function growthOf (value) {
  const [old, path, checkpoint] = listOf('growth', value, 3, 3)
  return { old: uintOf('old', old), path: pathOf(path), checkpoint: noteOf('checkpoint', checkpoint) }
}

// What a witness answers that keeps this head (null: none), and of `split` the proof; throws where it refuses.
export function judgeGrowth (kept, data, log) {
  const { old, path, checkpoint: note } = growthOf(decode(data, MAX_GROWTH_BYTES))
  const head = verifyHead(note, [log])
  if (kept === null) return { answer: 'cosign' }
  const before = verifyHead(kept, [log])
  if (head.size === before.size) {
    return same(head.root, before.root) ? { answer: 'cosign' } : { answer: 'split', proof: encode([kept, note, []]) }
  }
  if (head.size < before.size || old !== before.size) return { answer: 'behind' }
  if (before.size === 0) return { answer: 'cosign' }
  const [foundBefore, found] = rootsOfPath(before.size, head.size, path)
  if (!same(found, head.root)) throw new ProofError('the path does not lead to the root of the new head')
  return same(foundBefore, before.root) ? { answer: 'cosign' } : { answer: 'split', proof: encode([kept, note, path]) }
}
