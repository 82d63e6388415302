// The log's tree (specs/audit-log.md): entries, hashes, proofs, and the names of its files.
// Proofs are followed from the root down, as RFC 6962 defines them: sizes go past 2^32, where JavaScript has no shifts.

import { createHash } from 'node:crypto'

import { bytesOf, listOf, oneOf, same, uintOf } from './fields.mjs'
import { DecodeError, OversizedError, TruncatedError, decode, encode } from './msgpack.mjs'

export class ProofError extends Error {}

export const HASH_BYTES = 32
export const MAX_PROOF_HASHES = 63
export const MAX_ENTRY_BYTES = 65_535
const TILE_WIDTH = 256
const LENGTH_BYTES = 2
const KINDS = ['signal', 'verdict', 'incident', 'evidence', 'basis', 'decision', 'adjudication', 'report', 'action', 'outcome',
  'alarm', 'roster', 'equivocation', 'operator', 'node', 'anchor']

export const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
export const EMPTY_ROOT = sha256()
export const leafHash = (entry) => sha256(Buffer.of(0), entry)
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right)

// `detail` is an encoded map.
export function encodeEntry ({ atMs, kind, reference, detail }) {
  return encode([atMs, kind, reference, decode(detail, MAX_ENTRY_BYTES)])
}

export function decodeEntry (data) {
  const [atMs, kind, reference, detail] = listOf('entry', decode(data, MAX_ENTRY_BYTES), 4, 4)
  uintOf('time', atMs)
  oneOf('kind', kind, KINDS)
  bytesOf('reference', reference, 0, 32)
  if (!(detail instanceof Map)) throw new DecodeError('detail is not a map')
  return { atMs, kind, reference, detail: encode(detail) }
}

// The largest power of two below a size of two or more: where RFC 6962 splits a tree.
function splitOf (size) {
  let left = 1
  while (left * 2 < size) left *= 2
  return left
}

export function rootOf (leaves) {
  if (leaves.length === 0) return EMPTY_ROOT
  if (leaves.length === 1) return leaves[0]
  const left = splitOf(leaves.length)
  return nodeHash(rootOf(leaves.slice(0, left)), rootOf(leaves.slice(left)))
}

function withoutLast (path) {
  if (path.length === 0) throw new ProofError('too few hashes')
  return [path.slice(0, -1), path.at(-1)]
}

function inclusionRoot (index, size, leaf, path) {
  if (size === 1) {
    if (path.length > 0) throw new ProofError('too many hashes')
    return leaf
  }
  const [rest, sibling] = withoutLast(path)
  const left = splitOf(size)
  return index < left
    ? nodeHash(inclusionRoot(index, left, leaf, rest), sibling)
    : nodeHash(sibling, inclusionRoot(index - left, size - left, leaf, rest))
}

export function verifyInclusion ({ index, size, leaf, path, root }) {
  if (index >= size) throw new ProofError(`entry ${index} is not in a tree of ${size}`)
  if (!same(inclusionRoot(index, size, leaf, path), root)) throw new ProofError('another root')
}

function prefixRoots (old, size, path) {
  if (old === size) {
    if (path.length !== 1) throw new ProofError(path.length === 0 ? 'too few hashes' : 'too many hashes')
    return [path[0], path[0]]
  }
  const [rest, sibling] = withoutLast(path)
  const left = splitOf(size)
  if (old <= left) {
    const [oldRoot, root] = prefixRoots(old, left, rest)
    return [oldRoot, nodeHash(root, sibling)]
  }
  return prefixRoots(old - left, size - left, rest).map((root) => nodeHash(sibling, root))
}

// The roots of `old` and of `size` entries that a path leads to which begins with the hash that both are reached from.
export function rootsOfPath (old, size, path) {
  if (old < 1 || old >= size) throw new ProofError(`a tree of ${size} has no proper beginning of ${old}`)
  return prefixRoots(old, size, path)
}

const isPowerOfTwo = (size) => size === 1 || splitOf(size) * 2 === size

export function verifyConsistency ({ old, size, path, oldRoot, root }) {
  if (old === 0 || old === size) {
    if (path.length > 0) throw new ProofError('hashes where none are needed')
    if (!same(oldRoot, old === 0 ? EMPTY_ROOT : root)) throw new ProofError('two roots for one tree')
    return
  }
  const [foundOld, found] = rootsOfPath(old, size, isPowerOfTwo(old) ? [oldRoot, ...path] : path)
  if (!same(foundOld, oldRoot) || !same(found, root)) throw new ProofError('another root')
}

export function pathOf (value) {
  return listOf('path', value, 0, MAX_PROOF_HASHES).map((hash) => bytesOf('path', hash, HASH_BYTES))
}

function placeOf (number, width) {
  const groups = number.toString().replace(/\B(?=(\d{3})+$)/g, ' ').split(' ')
  const last = groups.pop().padStart(3, '0')
  const place = [...groups.map((group) => `x${group.padStart(3, '0')}`), last].join('/')
  return width === TILE_WIDTH ? place : `${place}.p/${width}`
}

// The paths of all tiles of a tree, level by level, and of the bundles of its entries.
export function filesOf (size) {
  const [tiles, bundles] = [[], []]
  for (let level = 0, hashes = size; hashes > 0; level += 1, hashes = Math.floor(hashes / TILE_WIDTH)) {
    for (let number = 0; number * TILE_WIDTH < hashes; number++) {
      const place = placeOf(number, Math.min(TILE_WIDTH, hashes - number * TILE_WIDTH))
      tiles.push(`tile/${level}/${place}`)
      if (level === 0) bundles.push(`tile/entries/${place}`)
    }
  }
  return { tiles, bundles }
}

export function encodeBundle (entries) {
  return Buffer.concat(entries.flatMap((entry) => {
    if (entry.length > MAX_ENTRY_BYTES) throw new OversizedError(`an entry of ${entry.length} bytes`)
    return [Buffer.of(entry.length >> 8, entry.length & 0xff), entry]
  }))
}

export function decodeBundle (data, width) {
  const entries = []
  let at = 0
  for (let number = 0; number < width; number++) {
    const begin = at + LENGTH_BYTES
    const end = begin <= data.length ? begin + data.readUInt16BE(at) : Infinity
    if (end > data.length) throw new TruncatedError(`a bundle ends in entry ${number} of ${width}`)
    entries.push(data.subarray(begin, end))
    at = end
  }
  if (at !== data.length) throw new DecodeError(`${data.length - at} bytes after the entries of a bundle`)
  return entries
}
