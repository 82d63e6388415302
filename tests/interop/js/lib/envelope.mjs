// The signed envelope (specs/signal.md), frames of envelopes (specs/gossip.md) and proofs of equivocation.

import { bytesOf, listOf, same, uintOf } from './fields.mjs'
import { DecodeError, decode, encode } from './msgpack.mjs'
import { SignatureError, addressOfKey, signDigest, verifyDigest } from './signing.mjs'

export const CRITICAL = 0
export const STANDARD = 1
export const ENVELOPE_VERSION = 1
export const MAX_BODY_BYTES = 16 * 1024
export const MAX_ENVELOPE_BYTES = MAX_BODY_BYTES + 256
export const MAX_FRAME_BYTES = 128 * 1024
export const MAX_FRAME_ENVELOPES = 128
export const MAX_PROOF_BYTES = 2 * MAX_ENVELOPE_BYTES + 16
export const FIRST_SEQUENCE = 1
export const NO_DIGEST = Buffer.alloc(32)

export function sealEnvelope (domain, secret, { publisher, lane, sequence, previous, body }) {
  const digest = domain.signalDigest(publisher, lane, sequence, previous, body)
  const signature = signDigest(secret, digest)
  return decodeEnvelope(domain, encode([ENVELOPE_VERSION, publisher, lane, sequence, previous, body, signature]))
}

// Checks neither signature nor body. `digest` is the identity of the signal.
export function decodeEnvelope (domain, encoded) {
  const fields = listOf('envelope', decode(encoded, MAX_ENVELOPE_BYTES, 7), 7, 7)
  const [version, publisher, lane, sequence, previous, body, signature] = fields
  uintOf('version', version, ENVELOPE_VERSION, ENVELOPE_VERSION)
  bytesOf('publisher', publisher, 20)
  uintOf('lane', lane, CRITICAL, STANDARD)
  uintOf('sequence', sequence, FIRST_SEQUENCE)
  bytesOf('previous', previous, 32)
  if ((sequence === FIRST_SEQUENCE) !== same(previous, NO_DIGEST)) {
    throw new DecodeError('previous is not zero at the first sequence, or zero after it')
  }
  bytesOf('body', body, 1, MAX_BODY_BYTES)
  bytesOf('signature', signature, 64)
  const digest = domain.signalDigest(publisher, lane, sequence, previous, body)
  return { publisher, lane, sequence, previous, body, signature, digest, encoded: Buffer.from(encoded) }
}

export function encodeFrame (envelopes) {
  const frame = encode(envelopes)
  if (envelopes.length < 1 || envelopes.length > MAX_FRAME_ENVELOPES || frame.length > MAX_FRAME_BYTES) {
    throw new DecodeError(`${envelopes.length} envelopes of ${frame.length} bytes do not fit a frame`)
  }
  return frame
}

// The encoded envelopes of a frame, still unopened.
export function decodeFrame (data) {
  const envelopes = listOf('frame', decode(data, MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES), 1, MAX_FRAME_ENVELOPES)
  for (const envelope of envelopes) bytesOf('envelope', envelope, 0, MAX_FRAME_BYTES)
  return envelopes
}

export function encodeEquivocation (one, other) {
  const [first, second] = inOrder(one, other) ? [one, other] : [other, one]
  checkContradiction(first, second)
  return encode([first.encoded, second.encoded])
}

// A proof that a publisher told two histories: throws unless both envelopes are his and contradict each other.
export function verifyEquivocation (domain, publicKey, proof) {
  const pair = decodeEquivocation(domain, proof)
  if (!same(addressOfKey(publicKey), pair[0].publisher)) {
    throw new SignatureError("proof is checked with a key that is not its publisher's")
  }
  for (const envelope of pair) verifyDigest(publicKey, envelope.digest, envelope.signature)
  return pair
}

export function decodeEquivocation (domain, proof) {
  const items = listOf('proof', decode(proof, MAX_PROOF_BYTES, 2), 2, 2)
  const [first, second] = items.map((item) => decodeEnvelope(domain, bytesOf('envelope', item, 1, MAX_ENVELOPE_BYTES)))
  if (!inOrder(first, second)) throw new DecodeError("proof's envelopes are not in rising order")
  checkContradiction(first, second)
  return [first, second]
}

function inOrder (one, other) {
  if (one.sequence !== other.sequence) return one.sequence < other.sequence
  return Buffer.compare(one.digest, other.digest) < 0
}

function checkContradiction (first, second) {
  if (!same(first.publisher, second.publisher) || first.lane !== second.lane) {
    throw new DecodeError("proof's envelopes are of two feeds")
  }
  if (first.sequence === second.sequence && !same(first.digest, second.digest)) return
  if (first.sequence + 1 === second.sequence && !same(second.previous, first.digest)) return
  throw new DecodeError("proof's envelopes do not contradict each other")
}
