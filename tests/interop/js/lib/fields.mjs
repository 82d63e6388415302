// Checks that decoders share: each returns the value in its type or throws DecodeError naming the field.

import { DecodeError } from './msgpack.mjs'

export function listOf (where, value, least, most) {
  if (!Array.isArray(value) || value.length < least || value.length > most) {
    throw new DecodeError(`${where} is not a list of ${least === most ? least : `${least}…${most}`}`)
  }
  return value
}

export function uintOf (where, value, least = 0, most = Number.MAX_SAFE_INTEGER) {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new DecodeError(`${where} is not an integer in ${least}…${most}`)
  }
  return value
}

export function bytesOf (where, value, least, most = least) {
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
    throw new DecodeError(`${where} is not ${least === most ? least : `${least}…${most}`} bytes`)
  }
  return value
}

// Control characters and direction overrides can rewrite the terminal or log line that shows them.
const UNSHOWABLE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/
const UNSHOWABLE_IN_LINES = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

// Text that is safe to show; line feeds only where `lines` says so.
export function textOf (where, value, maxBytes = 256, leastBytes = 1, lines = false) {
  if (typeof value !== 'string' || (lines ? UNSHOWABLE_IN_LINES : UNSHOWABLE).test(value)) {
    throw new DecodeError(`${where} is not text without control characters`)
  }
  if (Buffer.byteLength(value) < leastBytes || Buffer.byteLength(value) > maxBytes) {
    throw new DecodeError(`${where} is not text of ${leastBytes}…${maxBytes} bytes`)
  }
  return value
}

export function boolOf (where, value) {
  if (typeof value !== 'boolean') throw new DecodeError(`${where} is not true or false`)
  return value
}

export function oneOf (where, value, allowed) {
  if (!allowed.includes(value)) throw new DecodeError(`${where} is none of ${allowed.join(', ')}`)
  return value
}

// Exactly these keys; those in `optional` may be absent.
export function mapOf (where, value, names, optional = []) {
  if (!(value instanceof Map)) throw new DecodeError(`${where} is not a map`)
  for (const name of value.keys()) {
    if (!names.includes(name)) throw new DecodeError(`${where} has the unknown key ${name}`)
  }
  for (const name of names) {
    if (!value.has(name) && !optional.includes(name)) throw new DecodeError(`${where} lacks the key ${name}`)
  }
  return value
}

export function same (a, b) {
  return Buffer.compare(a, b) === 0
}

export function hex (bytes) {
  return Buffer.from(bytes).toString('hex')
}

export function checkUnique (what, values) {
  if (new Set(values).size !== values.length) throw new DecodeError(`the same ${what} stands twice`)
}

export function checkRising (what, values, compare) {
  for (let i = 1; i < values.length; i++) {
    if (compare(values[i - 1], values[i]) >= 0) throw new DecodeError(`${what}s are not in rising order`)
  }
}
