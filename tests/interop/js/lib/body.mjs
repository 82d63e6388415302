// The canonical body of a signal (specs/signal.md), as an object whose keys are those on the wire.

import { MAX_BODY_BYTES } from './envelope.mjs'
import { boolOf, bytesOf, listOf, mapOf, oneOf, textOf, uintOf } from './fields.mjs'
import { DecodeError, compareText, decode, encode } from './msgpack.mjs'

export const MAX_LIFETIME_MS = 7 * 24 * 3600 * 1000

export const CATEGORIES = [
  'asset.drain', 'oracle.manipulation', 'oracle.stale', 'price.depeg', 'flashloan.attack',
  'governance.malicious-proposal', 'governance.takeover', 'key.compromise', 'contract.attacker-deployed',
  'contract.malicious-upgrade', 'bridge.mint-mismatch', 'bridge.message-forgery', 'approval.drainer',
  'frontend.compromise', 'dependency.compromise', 'liquidity.run', 'infra.outage', 'funding.suspicious',
  'laundering.movement', 'vulnerability.disclosed', 'meta.update', 'meta.retraction', 'meta.all-clear', 'meta.drill'
]
const STAGES = ['funding', 'preparation', 'exploitation', 'laundering']
const SEVERITIES = ['low', 'medium', 'high', 'critical']
const ROLES = ['victim', 'at-risk', 'attacker', 'recipient', 'tool', 'related']
const EVIDENCE_KINDS = ['transaction', 'log', 'call', 'balance', 'code', 'price']
const TLPS = ['clear', 'green', 'amber', 'amber+strict', 'red']
const RELATIONS = ['corroborates', 'disputes', 'updates', 'retracts', 'derived-from']
const CAUSES = ['SC01', 'SC02', 'SC03', 'SC04', 'SC05', 'SC06', 'SC07', 'SC08', 'SC09', 'SC10']

const EIP155 = 'eip155:(?:0|[1-9][0-9]{0,31})'
const OTHER_CHAIN = '(?!eip155:)[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}'
const ACCOUNT = '[-.%a-zA-Z0-9]{1,128}'
const SLUG = /^[a-z0-9][-.a-z0-9]{0,63}$/
const CHAIN_ID = new RegExp(`^(?:${EIP155}|${OTHER_CHAIN})$`)
const ADDRESS = '0x[0-9a-f]{40}'
// eip155 numbers and addresses have one spelling: decimal without leading zeros, lower case.
const SUBJECTS = {
  chain: CHAIN_ID,
  account: new RegExp(`^(?:${EIP155}:${ADDRESS}|${OTHER_CHAIN}:${ACCOUNT})$`),
  asset: new RegExp(
    `^(?:${EIP155}/(?:erc[-a-z0-9]{0,5}:${ADDRESS}|(?!erc)[-a-z0-9]{3,8}:${ACCOUNT})(?:/(?:0|[1-9][0-9]{0,77}))?|` +
    `${OTHER_CHAIN}/[-a-z0-9]{3,8}:${ACCOUNT}(?:/[-.%a-zA-Z0-9]{1,78})?)$`),
  'code-hash': /^0x[0-9a-f]{64}$/,
  dependency: /^[-a-z0-9_./@]{1,64} [-a-zA-Z0-9_.+<>=^~|]{1,63}$/,
  lineage: SLUG
}

const REQUIRED = ['category', 'confidence', 'credibility', 'detected', 'drill', 'evidence', 'expires', 'issued',
  'loss', 'refs', 'severity', 'stage', 'subjects', 'tier', 'tlp']
const OPTIONAL = ['cause', 'detector', 'incident', 'text']

export function encodeBody (signal) {
  const body = encode(signal)
  decodeBody(body)
  return body
}

export function decodeBody (body) {
  const fields = mapOf('body', decode(body, MAX_BODY_BYTES), [...REQUIRED, ...OPTIONAL], OPTIONAL)
  const field = (name, check, ...bounds) => check(name, fields.get(name), ...bounds)
  const list = (name, least, most, check) => field(name, listOf, least, most).forEach(check)
  field('category', oneOf, CATEGORIES)
  field('stage', oneOf, STAGES)
  field('severity', oneOf, SEVERITIES)
  field('tlp', oneOf, TLPS)
  field('confidence', uintOf, 0, 100)
  field('credibility', uintOf, 1, 6)
  field('tier', uintOf, 0, 4)
  field('drill', boolOf)
  field('detected', uintOf)
  const issued = field('issued', uintOf)
  const expires = field('expires', uintOf)
  if (expires <= issued || expires > issued + MAX_LIFETIME_MS) {
    throw new DecodeError(`expires is not within ${MAX_LIFETIME_MS} ms after issued`)
  }
  list('subjects', 1, 64, checkSubject)
  checkSubjectOrder(fields.get('subjects'))
  list('evidence', 0, 32, checkEvidence)
  list('loss', 3, 3, (amount) => uintOf('loss', amount))
  list('refs', 0, 32, checkReference)
  if (fields.has('cause')) field('cause', oneOf, CAUSES)
  if (fields.has('detector')) checkDetector(fields.get('detector'))
  if (fields.has('incident')) field('incident', textOf, 64)
  if (fields.has('text')) field('text', textOf, 4096, 1, true)
  return Object.fromEntries(fields)
}

// The lane a signal's severity puts it in.
export function laneOf (signal) {
  return signal.severity === 'critical' ? 0 : 1
}

function checkSubject (value) {
  const [role, kind, text] = listOf('subject', value, 3, 3)
  oneOf('subject role', role, ROLES)
  oneOf('subject kind', kind, Object.keys(SUBJECTS))
  matching('subject', text, SUBJECTS[kind])
}

function checkSubjectOrder (subjects) {
  for (let i = 1; i < subjects.length; i++) {
    const at = [0, 1, 2].find((part) => subjects[i - 1][part] !== subjects[i][part])
    if (at === undefined) throw new DecodeError('the same subject stands twice')
    if (compareText(subjects[i - 1][at], subjects[i][at]) > 0) throw new DecodeError('subjects are not in rising order')
  }
}

function checkEvidence (value) {
  const [kind, chain, block, reference, detail] = listOf('evidence', value, 5, 5)
  oneOf('evidence kind', kind, EVIDENCE_KINDS)
  chainIdOf('evidence chain', chain)
  uintOf('evidence block', block)
  textOf('evidence reference', reference)
  textOf('evidence detail', detail, 256, 0)
}

export function chainIdOf (where, value) {
  return matching(where, value, CHAIN_ID)
}

function checkReference (value) {
  const [relation, digest] = listOf('ref', value, 2, 2)
  oneOf('ref relation', relation, RELATIONS)
  bytesOf('ref digest', digest, 32)
}

function checkDetector (value) {
  const [name, vendor, contentHash, rpcGroup] = listOf('detector', value, 4, 4)
  for (const slug of [name, vendor, rpcGroup]) matching('detector', slug, SLUG)
  bytesOf('detector content hash', contentHash, 32)
}

function matching (where, value, pattern) {
  if (!pattern.test(textOf(where, value))) throw new DecodeError(`${where} ${value} is not in its one spelling`)
  return value
}
