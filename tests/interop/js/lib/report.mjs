// Post-mortem reports (specs/report.md): the root of a file's leaves. What the entries say is not looked into.

import { createHash } from 'node:crypto'

import { DecodeError, encode } from './msgpack.mjs'

const FORMAT = 'tocsin/report/1'
const HASH = /^[0-9a-f]{64}$/

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()

function bytes32 (name, text) {
  if (typeof text !== 'string' || !HASH.test(text)) throw new DecodeError(`${name} is not 32 bytes in lower-case hex`)
  return Buffer.from(text, 'hex')
}

function onlyKeys (name, object, ...keys) {
  const found = Object.keys(object).sort().join()
  if (found !== keys.sort().join()) throw new DecodeError(`${name} has the keys ${found}`)
}

function leafHash (leaf, number) {
  if (leaf.entry === undefined) {
    onlyKeys(`leaf ${number}`, leaf, 'hash')
    return bytes32(`leaf ${number} hash`, leaf.hash)
  }
  onlyKeys(`leaf ${number}`, leaf, 'salt', 'entry')
  return sha256(Buffer.of(0), bytes32(`leaf ${number} salt`, leaf.salt), encode(leaf.entry))
}

// Throws DecodeError unless the file's leaves give its root and begin with the only header.
export function readReport (text) {
  const document = JSON.parse(text)
  onlyKeys('report', document, 'format', 'root', 'leaves')
  if (document.format !== FORMAT) throw new DecodeError(`format is ${document.format}`)
  const hashes = document.leaves.map(leafHash)
  const count = Buffer.alloc(4)
  count.writeUInt32BE(hashes.length)
  const root = sha256(FORMAT, count, ...hashes)
  if (!root.equals(bytes32('root', document.root))) throw new DecodeError(`root is ${document.root}`)
  const headers = document.leaves.flatMap((leaf, number) => leaf.entry?.section === 'header' ? [number] : [])
  if (headers.join() !== '0') throw new DecodeError(`headers at ${headers}`)
  return { root, hashes, withheld: document.leaves.filter((leaf) => leaf.entry === undefined).length }
}

export function isPart (publicText, fullText) {
  const [shown, full] = [readReport(publicText), readReport(fullText)]
  return full.withheld === 0 && shown.root.equals(full.root)
}
