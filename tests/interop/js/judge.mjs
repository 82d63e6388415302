// Judges encodings with the second implementation: one JSON array [kind, hex] a line on stdin, one answer a line on
// stdout: {ok: true, again} with the value written again where there is a writer, or {ok: false, error}.

import { createInterface } from 'node:readline'

import { decodeBody, encodeBody } from './lib/body.mjs'
import * as wire from './lib/envelope.mjs'
import { hex } from './lib/fields.mjs'
import { decodeHeartbeat, encodeHeartbeat } from './lib/heartbeat.mjs'
import { DecodeError, decode, encode } from './lib/msgpack.mjs'
import { decodeRoster, decodeSignedRoster, encodeSignedRoster } from './lib/roster.mjs'
import { Domain, SignatureError, verifyDigest } from './lib/signing.mjs'
import * as sync from './lib/sync.mjs'

const domain = new Domain(Buffer.from(process.argv[2], 'hex'))

const kinds = {
  value: (data) => encode(decode(data, wire.MAX_ENVELOPE_BYTES)),
  body: (data) => encodeBody(decodeBody(data)),
  envelope: (data) => wire.decodeEnvelope(domain, data).digest,
  frame: (data) => wire.encodeFrame(wire.decodeFrame(data)),
  proof: (data) => wire.encodeEquivocation(...wire.decodeEquivocation(domain, data)),
  roster: (data) => { decodeRoster(data); return data },
  'signed-roster': (data) => encodeSignedRoster(decodeSignedRoster(data)),
  request: (data) => sync.encodeRequest(sync.decodeRequest(data)),
  heads: (data) => sync.encodeHeads(sync.decodeHeads(data)),
  items: (data) => sync.encodeItems(sync.decodeItems(data, sync.MAX_RANGE_ENVELOPES)),
  heartbeat: (data) => encodeHeartbeat(decodeHeartbeat(data)),
  // 33 bytes of key, 32 of digest, then the signature.
  signature: (data) => {
    verifyDigest(data.subarray(0, 33), data.subarray(33, 65), data.subarray(65))
    return data
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [kind, data] = JSON.parse(line)
  let answer
  try {
    answer = { ok: true, again: hex(kinds[kind](Buffer.from(data, 'hex'))) }
  } catch (error) {
    if (!(error instanceof DecodeError || error instanceof SignatureError)) throw error
    answer = { ok: false, error: error.message }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
