// What the checks of vectors are written with.

import { hex } from './fields.mjs'
import { DecodeError } from './msgpack.mjs'

export const raw = (text) => Buffer.from(text, 'hex')

export function equal (found, wanted, what = 'value') {
  const [a, b] = [found, wanted].map((value) => JSON.stringify(value instanceof Uint8Array ? hex(value) : value))
  if (a !== b) throw new Error(`${what} is ${a.slice(0, 200)}, wanted ${b.slice(0, 200)}`)
}

// The error that refused it: one of these kinds, or else a DecodeError.
export function refused (run, ...kinds) {
  try {
    run()
  } catch (error) {
    if ((kinds.length > 0 ? kinds : [DecodeError]).some((kind) => error instanceof kind)) return error
    throw error
  }
  throw new Error('accepted')
}
