// Approvals by operators (specs/approval.md): typed data, its files, and whose approvals count.

import { textOf, oneOf, uintOf, hex, same } from './fields.mjs'
import { parseJson } from './json.mjs'
import { DecodeError } from './msgpack.mjs'
import { SignatureError, addressOfKey, keccak256, recoverKey } from './signing.mjs'

const FIELDS = [
  ['string', 'purpose'], ['string', 'effect'], ['string', 'scope'], ['string', 'lever'], ['string', 'target'],
  ['uint8', 'tier'], ['string', 'window'], ['bytes32', 'payload'], ['bytes32', 'incident'], ['uint64', 'epoch'],
  ['uint64', 'notBefore'], ['uint64', 'expires'], ['address', 'node']
]
const DOMAIN_FIELDS = [['string', 'name'], ['string', 'version'], ['bytes32', 'salt']]
const PURPOSES = ['act', 'reopen']
const TEXTS = { effect: 200, scope: 160, lever: 160, target: 160 }
const MAX_WINDOW_MS = 86_400_000
const MAX_TIME_MS = 253_402_300_799_000
const MAX_APPROVAL_BYTES = 8192
const HIGHEST_TIER = 4
// How messages name the two times.
const TIMES = { notBefore: 'not_before_ms', expires: 'expires_ms' }

const raw = (text) => Buffer.from(text.slice(2), 'hex')
const hashOf = (text) => Buffer.from(keccak256(Buffer.from(text)))
const TYPE_HASH = hashOf(`Approval(${FIELDS.map(([type, name]) => `${type} ${name}`).join(',')})`)

function encodeField (type, value) {
  if (type === 'string') return hashOf(value)
  if (type === 'bytes32') return raw(value)
  if (type === 'address') return Buffer.concat([Buffer.alloc(12), raw(value)])
  return Buffer.from(BigInt(value).toString(16).padStart(64, '0'), 'hex')
}

export function typedDataDigest (domain, message) {
  return domain.structDigest([TYPE_HASH, ...FIELDS.map(([type, name]) => encodeField(type, message[name]))])
}

// The 32 bytes that name what is allowed once.
export function useKey ({ purpose, scope, lever, target, epoch }) {
  const texts = [purpose, scope, lever, target].map(hashOf)
  return Buffer.from(keccak256(Buffer.concat([...texts, encodeField('uint64', epoch)])))
}

// The network id and the message of a wallet's typed data; throws DecodeError naming the field.
export function readTypedData (value) {
  const document = objectOf('request', value, ['types', 'primaryType', 'domain', 'message'])
  const domain = objectOf('request domain', document.domain, ['name', 'version', 'salt'])
  const message = objectOf('request message', document.message, FIELDS.map(([, name]) => name))
  hexOf('salt', domain.salt, 32)
  checkMessage(message)
  if (domain.name !== 'Tocsin' || domain.version !== '1') throw new DecodeError('request domain is not that of an approval')
  if (document.primaryType !== 'Approval') throw new DecodeError('request primaryType is not that of an approval')
  const wanted = { EIP712Domain: DOMAIN_FIELDS, Approval: FIELDS }
  const types = objectOf('request types', document.types, Object.keys(wanted))
  for (const [name, fields] of Object.entries(wanted)) {
    const found = Array.isArray(types[name]) ? types[name] : []
    const isSame = found.length === fields.length && fields.every(([type, field], at) =>
      Object.keys(found[at] ?? {}).length === 2 && found[at].type === type && found[at].name === field)
    if (!isSame) throw new DecodeError('request types is not that of an approval')
  }
  return { networkId: raw(domain.salt), message }
}

function checkMessage (message) {
  oneOf('purpose', message.purpose, PURPOSES)
  for (const [name, most] of Object.entries(TEXTS)) {
    if (!/^[\x20-\x7e]*$/.test(textOf(name, message[name], most))) throw new DecodeError(`${name} is not printable ASCII`)
  }
  uintOf('tier', message.tier, 0, HIGHEST_TIER)
  hexOf('payload', message.payload, 32)
  hexOf('incident', message.incident, 32)
  uintOf('epoch', message.epoch)
  hexOf('node', message.node, 20)
  for (const [field, name] of Object.entries(TIMES)) {
    if (uintOf(name, message[field], 0, MAX_TIME_MS) % 1000 !== 0) throw new DecodeError(`${name} is not a whole second`)
  }
  uintOf('expires_ms', message.expires, message.notBefore + 1, message.notBefore + MAX_WINDOW_MS)
  const [begins, ends] = [message.notBefore, message.expires].map((ms) =>
    new Date(ms).toISOString().slice(0, 19).replace('T', ' '))
  if (message.window !== `${begins} to ${ends} UTC`) throw new DecodeError('window does not follow from the times')
}

// The file of an approval; its signature is not checked here.
export function decodeApproval (text) {
  if (Buffer.byteLength(text) > MAX_APPROVAL_BYTES) {
    throw new DecodeError(`file of more than ${MAX_APPROVAL_BYTES} bytes`)
  }
  const file = objectOf('approval file', parseJson(text), ['approval', 'request', 'signature'])
  uintOf('approval version', file.approval, 1, 1)
  return { ...readTypedData(file.request), signature: compactSignature(file.signature) }
}

function compactSignature (text) {
  if (typeof text !== 'string' || !/^0x[0-9a-fA-F]{128}(?:00|01|1[bB]|1[cC])$/.test(text)) {
    throw new DecodeError('signature is not 0x and 65 bytes with a last byte of 0, 1, 27 or 28')
  }
  const bytes = raw(text)
  if (bytes[32] >> 7) throw new DecodeError('signature with a high s')
  bytes[32] |= (bytes[64] % 27) << 7
  return bytes.subarray(0, 64)
}

// Why an approval does not count (a refusal), or whose it is (an operator's address in hex).
function judge (domain, policy, { asked, used, now_ms: nowMs, latest_ms: latestMs }, { networkId, message, signature }) {
  if (!same(networkId, domain.networkId)) return { refusal: 'wrong-network' }
  if (message.node !== asked.node) return { refusal: 'wrong-node' }
  if (message.payload !== asked.payload) return { refusal: 'wrong-payload' }
  if (FIELDS.some(([, name]) => message[name] !== asked[name])) return { refusal: 'other-request' }
  if (used.includes(hex(useKey(asked)))) return { refusal: 'used' }
  if (Math.max(nowMs, latestMs) >= asked.expires) return { refusal: 'expired' }
  if (nowMs < asked.notBefore) return { refusal: 'not-yet-valid' }
  let signer
  try {
    signer = hex(addressOfKey(recoverKey(typedDataDigest(domain, message), signature)))
  } catch (error) {
    if (error instanceof SignatureError) return { refusal: 'bad-signature' }
    throw error
  }
  if (policy.removed.includes(signer)) return { refusal: 'removed-operator' }
  if (!policy.operators.includes(signer)) return { refusal: 'unknown-operator' }
  const rule = ruleFor(policy, asked)
  if (rule === undefined) return { refusal: 'no-rule' }
  if (!rule.operators.includes(signer)) return { refusal: 'not-in-rule' }
  return { signer }
}

function ruleFor ({ rules }, { tier, scope }) {
  const places = [[tier, scope], [null, scope], [tier, '*'], [null, '*']]
  return places.map(([t, s]) => rules.find((rule) => rule.tier === t && rule.scope === s)).find((rule) => rule)
}

export function countApprovals (domain, policy, moment, approvals) {
  const counted = new Set()
  const refusals = approvals.map((approval) => {
    const { refusal, signer } = judge(domain, policy, moment, approval)
    if (refusal !== undefined) return refusal
    if (counted.has(signer)) return 'duplicate-signer'
    counted.add(signer)
    return null
  })
  const rule = ruleFor(policy, moment.asked)
  return { refusals, counted: [...counted].sort(), granted: rule !== undefined && counted.size >= rule.m }
}

function objectOf (where, value, names) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new DecodeError(`${where} is not a map`)
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) throw new DecodeError(`${where} has the unknown key ${name}`)
  }
  for (const name of names) {
    if (!Object.hasOwn(value, name)) throw new DecodeError(`${where} lacks the key ${name}`)
  }
  return value
}

function hexOf (where, value, length) {
  if (typeof value !== 'string' || value.length !== 2 + 2 * length || !/^0x[0-9a-f]+$/.test(value)) {
    throw new DecodeError(`${where} is not 0x and ${2 * length} lower-case hex digits`)
  }
  return value
}
