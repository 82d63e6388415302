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

export function textOf (where, value, maxBytes = 256, leastBytes = 1) {
  if (typeof value !== 'string' || Buffer.byteLength(value) < leastBytes || Buffer.byteLength(value) > maxBytes) {
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
