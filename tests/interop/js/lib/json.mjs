// JSON as files of approvals have it: no key twice, no number but integers. JSON.parse lets both pass.

import { DecodeError } from './msgpack.mjs'

const TOKEN = /\s*(?:([{}[\]:,])|("(?:[^"\\\x00-\x1f]|\\.)*")|(-?[0-9][0-9.eE+-]*)|(true|false|null))/y
const INTEGER = /^-?(?:0|[1-9][0-9]*)$/
const MAX_DEPTH = 16

export function parseJson (text) {
  TOKEN.lastIndex = 0
  const value = readValue(text, next(text), 0)
  if (text.slice(TOKEN.lastIndex).trim() !== '') throw new DecodeError('file is not JSON: text after its end')
  return value
}

function next (text) {
  const token = TOKEN.exec(text)
  if (token === null) throw new DecodeError('file is not JSON')
  return token
}

function readValue (text, [, mark, string, number, word], depth) {
  if (depth > MAX_DEPTH) throw new DecodeError('file is not JSON that an approval has: too deep')
  if (string !== undefined) return readString(string)
  if (number !== undefined) return readInteger(number)
  if (word !== undefined) return JSON.parse(word)
  if (mark === '{') return readObject(text, depth)
  if (mark === '[') return readList(text, depth)
  throw new DecodeError('file is not JSON')
}

function readString (string) {
  try {
    return JSON.parse(string)
  } catch {
    throw new DecodeError('file is not JSON: a text that is none')
  }
}

function readInteger (number) {
  if (!INTEGER.test(number)) throw new DecodeError(`${number.slice(0, 80)} in the file is not an integer`)
  return Number(number)
}

function readObject (text, depth) {
  const found = new Map()
  let token = next(text)
  while (token[1] !== '}') {
    if (token[2] === undefined) throw new DecodeError('file is not JSON: a key that is no text')
    const key = readString(token[2])
    if (found.has(key)) throw new DecodeError('the same key stands twice in an object of the file')
    if (next(text)[1] !== ':') throw new DecodeError('file is not JSON')
    found.set(key, readValue(text, next(text), depth + 1))
    token = afterItem(text, '}')
  }
  return Object.fromEntries(found)
}

function readList (text, depth) {
  const found = []
  let token = next(text)
  while (token[1] !== ']') {
    found.push(readValue(text, token, depth + 1))
    token = afterItem(text, ']')
  }
  return found
}

// The token after a comma, or the end.
function afterItem (text, end) {
  const token = next(text)
  if (token[1] === end) return token
  if (token[1] !== ',') throw new DecodeError('file is not JSON')
  const following = next(text)
  if (following[1] === end) throw new DecodeError('file is not JSON: a comma before the end')
  return following
}
