// Risk reports (specs/risk.md): words, digests, signers, and what several of them come to.

import { DecodeError } from './msgpack.mjs'
import { addressOfKey, keccak256, recoverKey, signDigest } from './signing.mjs'

export const STATES =
  ['none', 'false-alarm', 'resolved', 'suspected', 'recovering', 'contained', 'confirmed', 'unknown']
const [RECOVERING, CONFIRMED] = [4, 6]
const FIELDS = [
  ['subject', 'bytes32'], ['incident', 'bytes32'], ['state', 'uint8'], ['category', 'bytes32'], ['severity', 'uint8'],
  ['posterior_ppm', 'uint32'], ['tvl_at_risk', 'uint64'], ['loss_observed', 'uint64'], ['loss_p50', 'uint64'],
  ['loss_p90', 'uint64'], ['loss_p99', 'uint64'], ['drain_rate', 'uint64'], ['hazard_rate', 'uint64'],
  ['multiplier_bps', 'uint32'], ['capacity_bps', 'uint16'], ['epoch', 'uint64'], ['observed', 'uint64'],
  ['expires', 'uint64'], ['previous', 'bytes32'], ['evidence_root', 'bytes32'], ['model_hash', 'bytes32']
]
const MONEY = ['tvl_at_risk', 'loss_observed', 'loss_p50', 'loss_p90', 'loss_p99', 'drain_rate']
const MEDIANS = [...MONEY, 'posterior_ppm', 'hazard_rate', 'multiplier_bps']
const MAX_UINT = 2n ** 53n - 1n
const [MAX_LIFETIME, MAX_AHEAD, MAX_MULTIPLIER] = [60_000n, 30_000n, 1_000_000_000n]
const CATEGORIES = new Set([
  'asset.drain', 'oracle.manipulation', 'oracle.stale', 'price.depeg', 'flashloan.attack',
  'governance.malicious-proposal', 'governance.takeover', 'key.compromise', 'contract.attacker-deployed',
  'contract.malicious-upgrade', 'bridge.mint-mismatch', 'bridge.message-forgery', 'approval.drainer',
  'frontend.compromise', 'dependency.compromise', 'liquidity.run', 'infra.outage', 'funding.suspicious',
  'laundering.movement', 'vulnerability.disclosed', 'meta.update', 'meta.retraction', 'meta.all-clear', 'meta.drill'
].map((name) => Buffer.alloc(32).fill(name, 0, name.length, 'ascii').toString('hex')))
const ZERO = '00'.repeat(32)

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())
const hash = (...parts) => Buffer.from(keccak256(Buffer.concat(parts)))
const text = (value) => hash(Buffer.from(value, 'ascii'))
const TYPE_HASH = text(`RiskReport(${FIELDS.map(([name, kind]) => `${kind} ${camel(name)}`).join(',')})`)
const DOMAIN_TYPE_HASH = text('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)')

const need = (holds, what) => { if (!holds) throw new DecodeError(what) }

export function digestOf (oracle, words) {
  const [, chain, address] = oracle.split(':')
  const chainWord = Buffer.from(BigInt(chain).toString(16).padStart(64, '0'), 'hex')
  const domain = hash(DOMAIN_TYPE_HASH, text('Tocsin RiskOracle'), text('1'), chainWord,
    Buffer.from(address.slice(2).padStart(64, '0'), 'hex'))
  return hash(Buffer.of(0x19, 0x01), domain, hash(TYPE_HASH, words))
}

// The fields of a report: hex for bytes, BigInt for numbers.
export function decodeReport (words) {
  need(words.length === 32 * FIELDS.length, `a report of ${words.length} bytes`)
  const report = {}
  for (const [place, [name, kind]] of FIELDS.entries()) {
    const word = words.subarray(32 * place, 32 * place + 32).toString('hex')
    report[name] = kind === 'bytes32' ? word : BigInt('0x' + word)
  }
  check(report)
  return report
}

function check (r) {
  for (const name of MONEY) need(r[name] <= 10n ** 18n, name)
  for (const name of ['epoch', 'observed', 'expires']) need(r[name] >= 1n && r[name] <= MAX_UINT, name)
  need(r.state <= BigInt(CONFIRMED), 'state')
  need(r.severity <= 4n && r.posterior_ppm <= 1_000_000n && r.capacity_bps <= 10_000n, 'a share')
  need(r.multiplier_bps >= 10_000n && r.multiplier_bps <= MAX_MULTIPLIER, 'multiplier_bps')
  need(r.hazard_rate <= 365_000_000n, 'hazard_rate')
  const quiet = r.state === 0n
  need(quiet === (r.incident === ZERO), 'incident')
  need(quiet ? r.category === ZERO : CATEGORIES.has(r.category), 'category')
  need(quiet === (r.severity === 0n), 'severity')
  need(r.loss_p50 <= r.loss_p90 && r.loss_p90 <= r.loss_p99 && r.loss_p99 <= r.tvl_at_risk, 'losses')
  need(r.loss_observed <= r.tvl_at_risk, 'loss_observed')
  need(r.state < BigInt(RECOVERING) || r.capacity_bps === 0n, 'capacity_bps')
  need(r.observed < r.expires && r.expires <= r.observed + MAX_LIFETIME, 'expires')
}

export function openReport (oracle, signed) {
  const [words, signature] = [signed.subarray(0, -64), signed.subarray(-64)]
  const report = decodeReport(words)
  const digest = digestOf(oracle, words)
  return { report, digest, signature, signer: addressOfKey(recoverKey(digest, signature)).toString('hex') }
}

export const signReport = (oracle, secret, words) => signDigest(secret, digestOf(oracle, words))

export function isLegal (before, after, same) {
  if (after === 'none') return before === 'none'
  return !same || after !== 'suspected' || before === 'suspected'
}

const follows = (before, after) =>
  isLegal(STATES[before.state], STATES[after.state], before.incident === after.incident)

export function aggregate (reports, { subject, signers, threshold, now_ms: now }) {
  const said = reports.filter(({ signer }) => signers.includes(signer))
  const told = new Map()
  const liars = new Set()
  for (const { report, signer, digest } of said) {
    const key = `${signer} ${report.subject} ${report.epoch}`
    if (told.has(key) && !told.get(key).equals(digest)) liars.add(signer)
    told.set(key, digest)
  }
  const timely = said.filter(({ report, signer }) => report.subject === subject && !liars.has(signer) &&
    report.observed <= BigInt(now) + MAX_AHEAD && BigInt(now) < report.expires)
  const latest = new Map()
  for (const one of timely.sort((a, b) => (a.report.epoch < b.report.epoch ? -1 : 1))) {
    const held = latest.get(one.signer)?.report
    if (!held || follows(held, one.report)) latest.set(one.signer, one)
  }
  const fresh = [...latest.values()].sort((a, b) => (a.signer < b.signer ? -1 : 1))
  const equivocators = [...liars].sort()
  if (fresh.length < threshold) {
    const zeros = Object.fromEntries(MEDIANS.map((name) => [name, 0n]))
    const unknown = { state: 7, incident: ZERO, multiplier_bps: MAX_MULTIPLIER, capacity_bps: 0n, until_ms: 0n }
    return { ...zeros, ...unknown, counted: [], equivocators }
  }
  const sorted = (name) => fresh.map(({ report }) => report[name]).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const kth = (name) => sorted(name)[fresh.length - threshold]
  const state = Number(kth('state'))
  return {
    ...Object.fromEntries(MEDIANS.map((name) => [name, sorted(name)[Math.floor(fresh.length / 2)]])),
    state,
    incident: state === 0 ? ZERO : incidentOf(fresh.filter(({ report }) => Number(report.state) >= state)),
    capacity_bps: state >= RECOVERING ? 0n : sorted('capacity_bps')[Math.floor((fresh.length - 1) / 2)],
    until_ms: kth('expires'),
    counted: fresh.map(({ signer }) => signer),
    equivocators
  }
}

function incidentOf (reports) {
  const counts = new Map()
  for (const { report } of reports) counts.set(report.incident, (counts.get(report.incident) ?? 0) + 1)
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0][0]
}
