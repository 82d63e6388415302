// Signed notes, the heads of logs and their cosignatures (specs/audit-log.md), with the Ed25519 of Node itself.

import { createPrivateKey, createPublicKey, verify } from 'node:crypto'

import { same } from './fields.mjs'
import { EMPTY_ROOT, HASH_BYTES, sha256 } from './log_tree.mjs'
import { DecodeError, OversizedError } from './msgpack.mjs'
import { SignatureError } from './signing.mjs'

export const LOG = 1
export const COSIGNER = 4
export const MAX_NOTE_BYTES = 65_536
const MAX_NOTE_SIGNATURES = 100
const MAX_NAME_BYTES = 256
const KEY_BYTES = 32
const KEY_ID_BYTES = 4
const TIME_BYTES = 8
const SIGNATURE_BYTES = { [LOG]: 64, [COSIGNER]: TIME_BYTES + 64 }
const DASH = '\u2014 '
// What stands before the 32 bytes of an Ed25519 secret in PKCS #8 (RFC 8410).
const SECRET_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function decodeUtf8 (where, data) {
  try {
    return utf8.decode(data)
  } catch {
    throw new DecodeError(`${where} is not UTF-8`)
  }
}

// Node reads any spelling: the one that counts is the one it writes.
export function decodeBase64 (where, text) {
  const data = Buffer.from(text, 'base64')
  if (data.toString('base64') !== text) throw new DecodeError(`${where} is not in the one spelling of base64`)
  return data
}

export function decodeSize (where, text) {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new DecodeError(`${where} is not a decimal number in 0…2^53-1 without leading zeros`)
  }
  return Number(text)
}

function checkName (name) {
  if (/[^!-*,-~]/.test(name)) throw new DecodeError('name with a character that is not ASCII, a space or a plus sign')
  if (name.length < 1 || name.length > MAX_NAME_BYTES) throw new DecodeError(`name of ${name.length} bytes`)
  return name
}

export const keyId = (name, algorithm, key) =>
  sha256(name, '\n', Buffer.of(algorithm), key).subarray(0, KEY_ID_BYTES).toString('hex')

// The public half of a secret of 32 bytes, as C2SP writes it.
export function keyText (secret, name, algorithm) {
  const pair = createPrivateKey({ key: Buffer.concat([SECRET_HEAD, secret]), format: 'der', type: 'pkcs8' })
  const key = Buffer.from(createPublicKey(pair).export({ format: 'jwk' }).x, 'base64url')
  const material = Buffer.concat([Buffer.of(algorithm), key]).toString('base64')
  return `${checkName(name)}+${keyId(name, algorithm, key)}+${material}`
}

export function decodeKey (text) {
  const [name, id, ...rest] = text.split('+')
  const material = decodeBase64('key', rest.join('+'))
  if (material.length !== 1 + KEY_BYTES) throw new DecodeError(`key of ${material.length} bytes`)
  const [algorithm, key] = [material[0], material.subarray(1)]
  if (algorithm !== LOG && algorithm !== COSIGNER) throw new DecodeError(`key of algorithm ${algorithm}`)
  if (id !== keyId(checkName(name), algorithm, key)) throw new DecodeError(`key with the id ${id}, not its own`)
  return { name, id, algorithm, key }
}

function decodeLine (line) {
  if (!line.startsWith(DASH)) throw new DecodeError('signature line without its dash')
  const [name, ...rest] = line.slice(DASH.length).split(' ')
  const data = decodeBase64('signature', rest.join(' '))
  if (data.length <= KEY_ID_BYTES) throw new DecodeError(`signature of ${data.length} bytes, with its key's id`)
  return {
    name: checkName(name),
    id: data.subarray(0, KEY_ID_BYTES).toString('hex'),
    signature: data.subarray(KEY_ID_BYTES)
  }
}

export function decodeNote (data) {
  if (data.length > MAX_NOTE_BYTES) throw new OversizedError(`note of ${data.length} bytes`)
  const whole = decodeUtf8('note', data)
  if (/[\x00-\x09\x0b-\x1f]/.test(whole)) throw new DecodeError('note with a control character')
  const gap = whole.lastIndexOf('\n\n')
  if (gap < 0 || gap + 2 === whole.length || !whole.endsWith('\n')) {
    throw new DecodeError('note without the empty line before its signatures, or the end of its last line')
  }
  const lines = whole.slice(gap + 2, -1).split('\n')
  if (lines.length > MAX_NOTE_SIGNATURES) throw new DecodeError(`note with ${lines.length} signatures`)
  return { text: whole.slice(0, gap + 1), signatures: lines.map(decodeLine) }
}

// The time of a cosignature in seconds; null of a log's own signature.
function verifyLine ({ name, algorithm, key }, text, { signature }) {
  if (signature.length !== SIGNATURE_BYTES[algorithm]) {
    throw new SignatureError(`signature of ${name} with ${signature.length} bytes`)
  }
  let [timeS, signed, message] = [null, signature, text]
  if (algorithm === COSIGNER) {
    timeS = Number(signature.readBigUInt64BE())
    if (!Number.isSafeInteger(timeS)) throw new SignatureError(`cosignature of ${name} is past 2^53-1 s`)
    signed = signature.subarray(TIME_BYTES)
    message = `cosignature/v1\ntime ${timeS}\n${text}`
  }
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') }
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
  if (!verify(null, Buffer.from(message), publicKey, signed)) throw new SignatureError(`${name} did not sign this`)
  return timeS
}

export function decodeCheckpoint (text) {
  const lines = text.split('\n')
  if (lines.length !== 4 || lines[3] !== '') throw new DecodeError(`checkpoint of ${lines.length - 1} lines`)
  const [origin, size, root] = [checkName(lines[0]), decodeSize('size', lines[1]), decodeBase64('root', lines[2])]
  if (root.length !== HASH_BYTES) throw new DecodeError(`root of ${root.length} bytes`)
  if (size === 0 && !same(root, EMPTY_ROOT)) throw new DecodeError('root of size 0 is not that of the empty tree')
  return { origin, size, root }
}

// The head that one of these logs signed, and when which of these witnesses cosigned it (key -> seconds).
export function verifyHead (data, logs, witnesses = []) {
  const { text, signatures } = decodeNote(data)
  const [signers, cosigned] = [new Set(), new Map()]
  for (const line of signatures) {
    const key = [...logs, ...witnesses].find(({ name, id }) => name === line.name && id === line.id)
    if (key === undefined) continue
    const timeS = verifyLine(key, text, line)
    if (key.algorithm === LOG) signers.add(key.name)
    else if (!cosigned.has(key)) cosigned.set(key, timeS)
  }
  if (signers.size === 0) throw new SignatureError('checkpoint is signed by none of the logs')
  const head = decodeCheckpoint(text)
  if (!signers.has(head.origin)) throw new SignatureError(`${[...signers]} signed a checkpoint of ${head.origin}`)
  return { ...head, cosigned }
}
