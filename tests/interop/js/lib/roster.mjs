// Rosters (specs/roster.md): who may speak, with which key, from which peer.

import { bytesOf, checkRising, checkUnique, hex, listOf, mapOf, oneOf, same, textOf, uintOf } from './fields.mjs'
import { DecodeError, compareText, decode, encode } from './msgpack.mjs'
import { Domain, SignatureError, addressOfKey, keccak256, verifyDigest } from './signing.mjs'

export const ROSTER_VERSION = 1
export const MAX_ROSTER_BYTES = 512 * 1024
export const MAX_MEMBERS = 256
export const MAX_PUBLISHERS_PER_MEMBER = 8
export const MAX_LABELS = 16
export const MAX_RETIRED = 4096

// The base58 of an Ed25519 key's peer id, its one spelling.
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
const SLUG = /^[a-z0-9][-.a-z0-9]{0,63}$/

export function rosterHash (body) {
  return Buffer.from(keccak256(body))
}

export function decodeRoster (body) {
  const names = ['epoch', 'members', 'network', 'previous', 'retired', 'version']
  const fields = mapOf('roster', decode(body, MAX_ROSTER_BYTES, MAX_RETIRED), names, ['retired'])
  uintOf('roster version', fields.get('version'), ROSTER_VERSION, ROSTER_VERSION)
  const members = listOf('members', fields.get('members'), 1, MAX_MEMBERS)
    .map((member, i) => decodeMember(`members[${i}]`, member))
  const publishers = members.flatMap((member) => member.publishers)
  checkRising('member name', members.map((member) => member.name), compareText)
  checkUnique('organisation', members.map((member) => member.organisation))
  checkUnique('root or publisher key', [...members.map((m) => m.root), ...publishers.map((p) => p.key)].map(hex))
  checkUnique('peer id', publishers.map((publisher) => publisher.peer))
  checkUnique('log key', publishers.filter((publisher) => publisher.log !== undefined).map((p) => hex(p.log)))
  const retired = fields.has('retired') ? decodeRetired(fields.get('retired')) : []
  const gone = new Set(retired.map(hex))
  if (publishers.some((publisher) => gone.has(hex(publisher.id)))) {
    throw new DecodeError('a publisher of the roster is retired')
  }
  return {
    network: bytesOf('network', fields.get('network'), 32),
    epoch: uintOf('epoch', fields.get('epoch')),
    previous: bytesOf('previous', fields.get('previous'), 32),
    members,
    retired
  }
}

function decodeRetired (value) {
  const retired = listOf('retired', value, 1, MAX_RETIRED).map((item) => bytesOf('retired', item, 20))
  checkRising('retired publisher', retired, Buffer.compare)
  return retired
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
  const names = ['addresses', 'capabilities', 'detectors', 'key', 'log', 'peer', 'rate', 'revoked', 'rpc', 'valid']
  const fields = mapOf(where, value, names, ['log'])
  const list = (name, most, check) => listOf(`${where}.${name}`, fields.get(name), 0, most).map(check)
  const key = keyOf(`${where}.key`, fields.get('key'))
  const [validFrom, validUntil] = listOf(`${where}.valid`, fields.get('valid'), 2, 2)
  const validFromMs = uintOf(`${where}.valid[0]`, validFrom)
  const revoked = list('revoked', 2, (pair) => {
    const [lane, last] = listOf(`${where}.revoked`, pair, 2, 2)
    return [uintOf(`${where}.revoked`, lane, 0, 1), uintOf(`${where}.revoked`, last)]
  })
  checkRising('revoked lane', revoked.map(([lane]) => lane), (a, b) => a - b)
  const capabilities = list('capabilities', 2, (c) => oneOf(`${where}.capabilities`, c, ['publish', 'critical']))
  checkRising('capability', capabilities, compareText)
  return {
    id: addressOfKey(key),
    key,
    peer: peerOf(`${where}.peer`, fields.get('peer')),
    addresses: list('addresses', MAX_LABELS, (address) => textOf(`${where}.addresses`, address)),
    validFromMs,
    validUntilMs: uintOf(`${where}.valid[1]`, validUntil, validFromMs + 1),
    capabilities,
    rate: oneOf(`${where}.rate`, fields.get('rate'), ['low', 'standard', 'high']),
    detectors: list('detectors', MAX_LABELS, (detector) => decodeDetector(`${where}.detectors`, detector)),
    rpcGroups: list('rpc', MAX_LABELS, (group) => textOf(`${where}.rpc`, group)),
    revoked,
    log: fields.has('log') ? bytesOf(`${where}.log`, fields.get('log'), 32) : undefined
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

function peerOf (where, value) {
  if (typeof value !== 'string' || !PEER_ID.test(value)) throw new DecodeError(`${where} is not an Ed25519 peer id`)
  return value
}

function slugOf (where, value) {
  if (!SLUG.test(textOf(where, value))) throw new DecodeError(`${where} is not a short name of a-z, 0-9, '-' and '.'`)
  return value
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

// The first roster, checked against the hash pinned out of band.
export function verifyGenesis ({ body }, pinnedHash) {
  if (!same(rosterHash(body), pinnedHash)) throw new DecodeError('genesis roster has another hash than the pinned one')
  const roster = decodeRoster(body)
  if (roster.epoch !== 0 || !same(roster.previous, Buffer.alloc(32)) || roster.retired.length > 0) {
    throw new DecodeError('genesis roster is not epoch 0 without a predecessor and without retired keys')
  }
  return roster
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
  // A removal comes alone. Members are compared by their bytes: the decoder allows one spelling of each.
  const staying = membersOf(currentBody).filter((member) => names.has(member.get('name')))
  demand(removed.length === 0 || same(encode(membersOf(signed.body)), encode(staying)),
    'roster removes a member and changes others in one go')
  checkKeys(current, roster)
  const voters = new Set(current.members.filter((m) => names.has(m.name)).map((m) => hex(m.root)))
  const digest = new Domain(roster.network).rosterChangeDigest(roster.epoch, rosterHash(signed.body))
  for (const { root, signature } of signed.signatures) {
    demand(voters.has(hex(root)), `roster is signed by ${hex(root)}, which is not a voting root`)
    verifyDigest(root, digest, signature)
  }
  demand(signed.signatures.length >= quorum(voters.size), `roster has ${signed.signatures.length} root signatures`)
  return roster
}

function membersOf (body) {
  return decode(body, MAX_ROSTER_BYTES, MAX_RETIRED).get('members')
}

// What may become of publisher keys: nothing that gives one of them a second life.
function checkKeys (current, roster) {
  const before = homes(current)
  const after = homes(roster)
  const gone = [...before.keys()].filter((id) => !after.has(id))
  const retired = [...new Set([...current.retired.map(hex), ...gone])].sort()
  if (roster.retired.map(hex).join() !== retired.join()) {
    throw new DecodeError("roster's retired keys are not those retired before and those that leave")
  }
  for (const [id, { member, publisher }] of before) {
    const entry = after.get(id)
    if (entry === undefined) continue
    if (entry.member !== member) throw new DecodeError(`roster moves 0x${id} from ${member} to ${entry.member}`)
    const sameLog = publisher.log === undefined || (entry.publisher.log !== undefined && same(publisher.log, entry.publisher.log))
    if (!sameLog) throw new DecodeError(`roster changes the log key of 0x${id}`)
    const risen = [0, 1].some((lane) => lastAccepted(entry.publisher, lane) > lastAccepted(publisher, lane))
    if (publisher.revoked.length > 0 && (entry.publisher.revoked.length === 0 || risen)) {
      throw new DecodeError(`roster lifts the revocation of 0x${id}`)
    }
  }
}

function homes (roster) {
  return new Map(roster.members.flatMap((member) =>
    member.publishers.map((publisher) => [hex(publisher.id), { member: member.name, publisher }])))
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
