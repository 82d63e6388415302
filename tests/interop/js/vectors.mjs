// Checks every file of specs/vectors (given as the folder) with this implementation and prints one JSON object:
// {file: {checked, failed: [sentence, …]}}. A file or section nobody here knows is a failure too.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { countApprovals, decodeApproval, readTypedData, typedDataDigest, useKey } from './lib/approval.mjs'
import { Admission, malformation } from './lib/admission.mjs'
import { buildTree, claimLeaf, proRata } from './lib/claims.mjs'
import { decodeBody, encodeBody } from './lib/body.mjs'
import * as wire from './lib/envelope.mjs'
import { Feeds } from './lib/feeds.mjs'
import { equal, raw, refused } from './lib/expect.mjs'
import { hex } from './lib/fields.mjs'
import { checkActionable } from './lib/freshness.mjs'
import { decodeHeartbeat, encodeHeartbeat } from './lib/heartbeat.mjs'
import { DecodeError, decode, encode } from './lib/msgpack.mjs'
import { isPart, readReport } from './lib/report.mjs'
import * as risk from './lib/risk.mjs'
import { decodeRoster, decodeSignedRoster, rosterHash, verifyGenesis, verifySuccessor } from './lib/roster.mjs'
import { Domain, SignatureError, addressOfKey, publicKeyOf, recoverKey, verifyDigest } from './lib/signing.mjs'
import * as sync from './lib/sync.mjs'
import { judgeTopic, topicNames } from './lib/topics.mjs'
import { LOG_CHECKS } from './vectors_log.mjs'

// Only the files of one network name it.
let domain

// Bytes are told from text as {bytes: hex}, maps are {map: [[key, value], …]}.
function untagged (value) {
  if (Array.isArray(value)) return value.map(untagged)
  if (value === null || typeof value !== 'object') return value
  if ('bytes' in value) return raw(value.bytes)
  return new Map(value.map.map(([key, item]) => [key, untagged(item)]))
}

const refusesAs = (run) => (vector) =>
  equal(malformation(refused(() => run(raw(vector.encoded)))), vector.reason, 'reason')
const refuses = (run) => (vector) => refused(() => run(raw(vector.encoded)))
const roundTrips = (read, write) => (vector) => equal(write(read(raw(vector.encoded))), vector.encoded)

function envelopeVector (vector, file) {
  const envelope = wire.decodeEnvelope(domain, raw(vector.encoded))
  for (const name of ['publisher', 'lane', 'sequence', 'previous', 'body', 'signature', 'digest']) {
    equal(envelope[name], vector[name], name)
  }
  verifyDigest(raw(file.key), envelope.digest, envelope.signature)
}

function digestVector ({ network, message: m, change, digest }) {
  const of = new Domain(raw(network))
  equal(m !== undefined
    ? of.signalDigest(raw(m.publisher), m.lane, m.sequence, raw(m.previous), raw(m.body))
    : of.rosterChangeDigest(change.epoch, raw(change.roster)), digest)
}

function verifyVector ({ key, digest, signature }) {
  verifyDigest(raw(key), raw(digest), raw(signature))
}

// Our feeds hold envelopes, not digests: what the vector holds is put in place of them.
function positionVector ({ envelope: encoded, held, position }) {
  const envelope = wire.decodeEnvelope(domain, raw(encoded))
  const feeds = new Feeds()
  const { publisher, lane, sequence } = envelope
  const { envelopes } = feeds.feed(publisher, lane)
  const put = (place, text) => envelopes.set(place, { publisher, lane, sequence: place, digest: raw(text) })
  if (held.same !== null) put(sequence, held.same)
  if (held.before !== null) put(sequence - 1, held.before)
  if (held.after !== null) envelopes.set(sequence + 1, wire.decodeEnvelope(domain, raw(held.after)))
  equal(feeds.position(envelope), position)
}

function admissionVector ({ roster, steps }) {
  const admission = new Admission(raw(roster))
  for (const [number, step] of steps.entries()) {
    for (const [publisher, lane, sequence] of step.heads ?? []) admission.setHead(raw(publisher), lane, sequence)
    if (step.equivocators !== undefined) admission.equivocators = new Set(step.equivocators)
    if (step.roster !== undefined) admission.setRoster(raw(step.roster))
    for (let i = 0; i < (step.repeat ?? 0); i++) {
      const found = admission.admitFrame(raw(step.frame), step.from, step.at_ms)
      equal([found.verdict, found.reason, found.admitted.length, found.dropped, found.doubtful.length],
        [step.verdict, step.reason, step.admitted, step.dropped, step.doubtful], `step ${number}`)
    }
  }
}

function successionVector ({ current, signed, error }) {
  const run = () => verifySuccessor(raw(current), decodeSignedRoster(raw(signed)))
  if (error === null) run()
  else refused(run, DecodeError, SignatureError)
}

const genesis = ({ signed, pinned }) => verifyGenesis(decodeSignedRoster(raw(signed)), raw(pinned))
const items = (data) => sync.decodeItems(data, 2)
const verifyProof = (file, { proof }) => wire.verifyEquivocation(domain, raw(file.key), raw(proof))

function requestVector ({ typed_data: typed, digest, use_key: key, signer, signature }) {
  const { networkId, message } = readTypedData(typed)
  equal(typedDataDigest(new Domain(networkId), message), digest, 'digest')
  equal(useKey(message), key, 'use key')
  equal(addressOfKey(recoverKey(raw(digest), raw(signature))), signer, 'signer')
}

function judgingVector (vector) {
  const of = new Domain(raw(vector.network))
  const approvals = vector.approvals.map((one) =>
    ({ networkId: raw(one.network), message: one.message, signature: raw(one.signature) }))
  const found = countApprovals(of, vector.policy, vector, approvals)
  equal([found.refusals, found.counted, found.granted], [vector.refusals, vector.counted, vector.granted])
}

// An error has to say which field was wrong.
function refusesFile ({ file, names }) {
  const { message } = refused(() => decodeApproval(file))
  if (!message.includes(names)) throw new Error(`refused because ${message}, not because of ${names}`)
}

function treeVector ({ claims, root }) {
  const tree = buildTree(claims)
  equal(tree.root, root, 'root')
  for (const [at, claim] of claims.entries()) {
    equal(claimLeaf(claim), claim.leaf, 'leaf')
    equal(tree.proof(at).map(hex), claim.proof, 'proof')
  }
}

// File -> section (dotted) -> the check of one vector, given the vector and its file.
const CHECKS = {
  ...LOG_CHECKS,
  encoding: {
    valid: (vector) => {
      equal(encode(untagged(vector.value)), vector.encoded)
      equal(encode(decode(raw(vector.encoded), 4096)), vector.encoded)
    },
    invalid: refusesAs((data) => decode(data, 4096))
  },
  signing: {
    keys: ({ secret, public: key, address }) => {
      equal(publicKeyOf(raw(secret)), key)
      equal(addressOfKey(raw(key)), address)
    },
    digests: digestVector,
    valid: verifyVector,
    invalid: (vector) => refused(() => verifyVector(vector), SignatureError)
  },
  topics: {
    networks: ({ network, topics }) => {
      equal(topicNames(raw(network)), topics)
      for (const topic of topics) equal(judgeTopic(topic, raw(network)), 'admitted')
    },
    cases: ({ topic, reason }, file) => equal(judgeTopic(topic, raw(file.ours)), reason)
  },
  envelope: { valid: envelopeVector, invalid: refusesAs((data) => wire.decodeEnvelope(domain, data)) },
  frame: {
    valid: (vector) => {
      equal(wire.encodeFrame(vector.envelopes.map(raw)), vector.encoded)
      equal(wire.decodeFrame(raw(vector.encoded)).map(hex), vector.envelopes)
    },
    invalid: refusesAs(wire.decodeFrame)
  },
  body: {
    valid: (vector) => {
      equal(encodeBody(decodeBody(raw(vector.body))), vector.body)
      equal(encode(untagged(vector.fields)), vector.body)
    },
    invalid: ({ body }) => refused(() => decodeBody(raw(body)))
  },
  freshness: {
    cases: ({ body, now_ms: nowMs, received_ms: receivedMs, reason }) =>
      equal(checkActionable(decodeBody(raw(body)), nowMs, receivedMs), reason)
  },
  feed: {
    positions: positionVector,
    valid: (vector, file) => verifyProof(file, vector),
    invalid: (vector, file) =>
      refused(() => verifyProof(file, vector), vector.error === 'signature' ? SignatureError : DecodeError)
  },
  sync: {
    'requests.valid': roundTrips(sync.decodeRequest, sync.encodeRequest),
    'requests.invalid': refuses(sync.decodeRequest),
    'heads.valid': roundTrips(sync.decodeHeads, sync.encodeHeads),
    'heads.invalid': refuses(sync.decodeHeads),
    'items.valid': roundTrips(items, sync.encodeItems),
    'items.invalid': refuses(items)
  },
  heartbeat: { valid: roundTrips(decodeHeartbeat, encodeHeartbeat), invalid: refuses(decodeHeartbeat) },
  roster: {
    'bodies.valid': ({ body, hash }) => {
      decodeRoster(raw(body))
      equal(rosterHash(raw(body)), hash)
    },
    'bodies.invalid': ({ body }) => refused(() => decodeRoster(raw(body))),
    'genesis.valid': genesis,
    'genesis.invalid': (vector) => refused(() => genesis(vector)),
    succession: successionVector
  },
  admission: { cases: admissionVector },
  approval: {
    operators: ({ secret, address }) => equal(addressOfKey(publicKeyOf(raw(secret))), address),
    requests: requestVector,
    'files.valid': ({ file, digest }) => {
      const { networkId, message, signature } = decodeApproval(file)
      equal(typedDataDigest(new Domain(networkId), message), digest)
      recoverKey(raw(digest), signature)
    },
    'files.invalid': refusesFile,
    judging: judgingVector
  },
  claims: { trees: treeVector, payouts: ({ claims, funds, paid }) => equal(proRata(claims, funds), paid) },
  report: {
    valid ({ text, hashes, root, withheld }) {
      const found = readReport(text)
      equal(found.hashes.map(hex), hashes, 'hashes')
      equal(found.root, root, 'root')
      equal(found.withheld, withheld, 'withheld')
    },
    invalid: ({ text }) => refused(() => readReport(text)),
    parts: (vector) => equal(isPart(vector.public, vector.full), vector.is_part)
  },
  risk: {
    signers: ({ secret, address }) => equal(addressOfKey(publicKeyOf(raw(secret))), address),
    'reports.valid': riskReport,
    'reports.invalid': ({ report }) => refused(() => risk.decodeReport(raw(report))),
    moves: ({ before, after, same, legal }) => equal(risk.isLegal(before, after, same), legal),
    several: riskReports
  }
}

function riskReport ({ oracle, fields, signed, digest, signer }, file) {
  const one = risk.openReport(oracle, raw(signed))
  equal(one.digest, digest, 'digest')
  equal(one.signer, signer, 'signer')
  for (const [name, value] of Object.entries(fields)) equal(String(one.report[name]), value, name)
  const secret = file.signers.find(({ address }) => address === signer).secret
  equal(risk.signReport(oracle, raw(secret), raw(signed).subarray(0, -64)), signed.slice(-128), 'signature')
}

function riskReports (vector, file) {
  const found = risk.aggregate(vector.reports.map((signed) => risk.openReport(file.oracle, raw(signed))), vector)
  equal(risk.STATES[found.state], vector.state, 'state')
  for (const name of Object.keys(found).filter((name) => name !== 'state')) {
    equal(typeof found[name] === 'bigint' ? String(found[name]) : found[name], vector[name], name)
  }
}

// Lists of vectors in a file, by dotted path.
function sections (node, path = '') {
  return Object.entries(node).flatMap(([key, value]) => {
    if (Array.isArray(value)) return [[path + key, value]]
    return value !== null && typeof value === 'object' ? sections(value, `${path}${key}.`) : []
  })
}

function check (name, file) {
  domain = file.network === undefined ? undefined : new Domain(raw(file.network))
  const report = { checked: 0, failed: [] }
  for (const [section, vectors] of sections(file)) {
    for (const vector of vectors) {
      try {
        CHECKS[name][section](vector, file)
        report.checked += 1
      } catch (error) {
        report.failed.push(`${section} ${vector.name}: ${error.message}`)
      }
    }
  }
  return report
}

const folder = process.argv[2]
const files = readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort()
const report = files.map((name) => [name, check(name, JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')))])
process.stdout.write(JSON.stringify(Object.fromEntries(report)) + '\n')
