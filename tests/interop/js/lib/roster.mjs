// Rosters (specs/roster.md): who may speak, with which key, from which peer.

import { bytesOf, hex, listOf, mapOf, oneOf, textOf, uintOf } from './fields.mjs'
import { DecodeError, compareText, decode, encode } from './msgpack.mjs'
import { Domain, SignatureError, addressOfKey, keccak256, verifyDigest } from './signing.mjs'

export const ROSTER_VERSION = 1
export const MAX_ROSTER_BYTES = 512 * 1024
export const MAX_MEMBERS = 256
export const MAX_PUBLISHERS_PER_MEMBER = 8
export const MAX_LABELS = 16

const SLUG = /^[a-z0-9][-.a-z0-9]{0,63}$/

export function rosterHash (body) {
  return Buffer.from(keccak256(body))
}

export function decodeRoster (body) {
  const names = ['epoch', 'members', 'network', 'previous', 'version']
  const fields = mapOf('roster', decode(body, MAX_ROSTER_BYTES), names)
  uintOf('roster version', fields.get('version'), ROSTER_VERSION, ROSTER_VERSION)
  const members = listOf('members', fields.get('members'), 1, MAX_MEMBERS)
    .map((member, i) => decodeMember(`members[${i}]`, member))
  const publishers = members.flatMap((member) => member.publishers)
  checkRising('member name', members.map((member) => member.name), compareText)
  checkUnique('root key', members.map((member) => hex(member.root)))
  checkUnique('publisher key', publishers.map((publisher) => hex(publisher.key)))
  checkUnique('peer id', publishers.map((publisher) => publisher.peer))
  return {
    network: bytesOf('network', fields.get('network'), 32),
    epoch: uintOf('epoch', fields.get('epoch')),
    previous: bytesOf('previous', fields.get('previous'), 32),
    members
  }
}

function decodeMember (where, value) {
  const fields = mapOf(where, value, ['name', 'organisation', 'publishers', 'root'])
  const publishers = listOf(`${where}.publishers`, fields.get('publishers'), 0, MAX_PUBLISHERS_PER_MEMBER)
  return {
    name: slugOf(`${where}.name`, fields.get('name')),
    organisation: textOf(`${where}.organisation`, fields.get('organisation')),
    root: keyOf(`${where}.root`, fields.get('root')),
    publishers: publishers.map((publisher, i) => decodePublisher(`${where}.publishers[${i}]`, publisher))
  }
}

function decodePublisher (where, value) {
  const names = ['addresses', 'capabilities', 'detectors', 'key', 'peer', 'rate', 'revoked', 'rpc', 'valid']
  const fields = mapOf(where, value, names)
  const list = (name, most, check) => listOf(`${where}.${name}`, fields.get(name), 0, most).map(check)
  const key = keyOf(`${where}.key`, fields.get('key'))
  const [validFromMs, validUntilMs] = listOf(`${where}.valid`, fields.get('valid'), 2, 2)
    .map((time) => uintOf(`${where}.valid`, time))
  const capabilities = list('capabilities', 2, (c) => oneOf(`${where}.capabilities`, c, ['publish', 'critical']))
  checkRising('capability', capabilities, compareText)
  return {
    id: addressOfKey(key),
    key,
    peer: textOf(`${where}.peer`, fields.get('peer')),
    addresses: list('addresses', MAX_LABELS, (address) => textOf(`${where}.addresses`, address)),
    validFromMs,
    validUntilMs,
    capabilities,
    rate: oneOf(`${where}.rate`, fields.get('rate'), ['low', 'standard', 'high']),
    detectors: list('detectors', MAX_LABELS, (detector) => decodeDetector(`${where}.detectors`, detector)),
    rpcGroups: list('rpc', MAX_LABELS, (group) => textOf(`${where}.rpc`, group)),
    revoked: list('revoked', 2, (pair) => listOf(`${where}.revoked`, pair, 2, 2)
      .map((number) => uintOf(`${where}.revoked`, number)))
  }
}

function decodeDetector (where, value) {
  const [name, vendor, contentHash] = listOf(where, value, 3, 3)
  return { name: slugOf(where, name), vendor: slugOf(where, vendor), contentHash: bytesOf(where, contentHash, 32) }
}

function keyOf (where, value) {
  bytesOf(where, value, 33)
  try {
    addressOfKey(value)
  } catch (error) {
    if (error instanceof SignatureError) throw new DecodeError(`${where}: ${error.message}`)
    throw error
  }
  return value
}

function slugOf (where, value) {
  if (!SLUG.test(textOf(where, value))) throw new DecodeError(`${where} is not a short name of a-z, 0-9, '-' and '.'`)
  return value
}

function checkUnique (what, values) {
  if (new Set(values).size !== values.length) throw new DecodeError(`the same ${what} stands twice`)
}

function checkRising (what, values, compare) {
  for (let i = 1; i < values.length; i++) {
    if (compare(values[i - 1], values[i]) >= 0) throw new DecodeError(`${what}s are not in rising order`)
  }
}

// A roster with the root signatures that brought it into force; checks neither.
export function decodeSignedRoster (data) {
  const [body, pairs] = listOf('signed roster', decode(data, MAX_ROSTER_BYTES + MAX_MEMBERS * 128), 2, 2)
  bytesOf('roster body', body, 0, MAX_ROSTER_BYTES)
  const signatures = listOf('signatures', pairs, 0, MAX_MEMBERS).map((pair) => {
    const [root, signature] = listOf('roster signature', pair, 2, 2)
    return { root: bytesOf('root', root, 33), signature: bytesOf('signature', signature, 64) }
  })
  checkRising("signature's root", signatures.map((s) => s.root), Buffer.compare)
  return { body, signatures }
}

export function encodeSignedRoster ({ body, signatures }) {
  return encode([body, signatures.map(({ root, signature }) => [root, signature])])
}

// ⌊2n/3⌋+1 of n members.
export function quorum (members) {
  return Math.floor(2 * members / 3) + 1
}

// Throws unless the signed roster follows the one in force, given as its body; returns it decoded.
export function verifySuccessor (currentBody, signed) {
  const current = decodeRoster(currentBody)
  const roster = decodeRoster(signed.body)
  const demand = (holds, message) => { if (!holds) throw new DecodeError(message) }
  demand(hex(roster.network) === hex(current.network), 'roster is of another network')
  demand(roster.epoch === current.epoch + 1, `roster has epoch ${roster.epoch} where ${current.epoch + 1} is next`)
  demand(hex(roster.previous) === hex(rosterHash(currentBody)), 'roster does not name the one before it')
  const names = new Set(roster.members.map((member) => member.name))
  const removed = current.members.filter((member) => !names.has(member.name))
  demand(removed.length <= 1, `roster removes ${removed.length} members at once`)
  checkRevocations(current, roster)
  const voters = new Set(current.members.filter((m) => names.has(m.name)).map((m) => hex(m.root)))
  const digest = new Domain(roster.network).rosterChangeDigest(roster.epoch, rosterHash(signed.body))
  for (const { root, signature } of signed.signatures) {
    demand(voters.has(hex(root)), `roster is signed by ${hex(root)}, which is not a voting root`)
    verifyDigest(root, digest, signature)
  }
  demand(signed.signatures.length >= quorum(voters.size), `roster has ${signed.signatures.length} root signatures`)
  return roster
}

function checkRevocations (current, roster) {
  const after = new Map(publishersOf(roster).map((publisher) => [hex(publisher.id), publisher]))
  for (const publisher of publishersOf(current)) {
    const entry = after.get(hex(publisher.id))
    for (const [lane, last] of entry === undefined ? [] : publisher.revoked) {
      if (entry.revoked.length === 0 || lastAccepted(entry, lane) > last) {
        throw new DecodeError(`roster lifts the revocation of 0x${hex(publisher.id)}`)
      }
    }
  }
}

export function publishersOf (roster) {
  return roster.members.flatMap((member) => member.publishers)
}

// The last sequence accepted in a lane: all of them, unless the key was revoked.
export function lastAccepted (publisher, lane) {
  if (publisher.revoked.length === 0) return Number.MAX_SAFE_INTEGER
  return new Map(publisher.revoked).get(lane) ?? 0
}

export function mayPublish (publisher, lane) {
  return publisher.capabilities.includes(lane === 0 ? 'critical' : 'publish')
}
