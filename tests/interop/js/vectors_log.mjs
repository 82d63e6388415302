// The checks of the log's vectors, in the form of those in vectors.mjs.

import { equal, raw, refused } from './lib/expect.mjs'
import { hex, same } from './lib/fields.mjs'
import { verifyAnchor } from './lib/log_anchor.mjs'
import { judgeGrowth, splitLog, verifyCase, verifySplitView } from './lib/log_cases.mjs'
import { logKey } from './lib/log_members.mjs'
import { decodeKey, keyText, verifyHead } from './lib/log_notes.mjs'
import * as tree from './lib/log_tree.mjs'
import { decodePolicy, isQuorate, verifyProof } from './lib/log_trust.mjs'
import { DecodeError } from './lib/msgpack.mjs'
import { decodeRoster } from './lib/roster.mjs'
import { SignatureError } from './lib/signing.mjs'

const refuses = (check) => (vector, file) =>
  refused(() => check(vector, file), DecodeError, SignatureError, tree.ProofError)

function entryVector ({ at_ms: atMs, kind, reference, detail, entry }) {
  equal(tree.encodeEntry({ atMs, kind, reference: raw(reference), detail: raw(detail) }), entry, 'entry')
  const found = tree.decodeEntry(raw(entry))
  equal([found.atMs, found.kind, hex(found.reference), hex(found.detail)], [atMs, kind, reference, detail])
}

const inclusion = ({ index, size, leaf, path, root }) =>
  tree.verifyInclusion({ index, size, leaf: raw(leaf), path: path.map(raw), root: raw(root) })

const consistency = ({ old, size, path, old_root: oldRoot, root }) =>
  tree.verifyConsistency({ old, size, path: path.map(raw), oldRoot: raw(oldRoot), root: raw(root) })

const bundle = ({ width, bundle: data }) => tree.decodeBundle(raw(data), width)

function keyVector ({ secret, key_name: name, algorithm, id, key }) {
  equal(keyText(raw(secret), name, algorithm), key, 'key')
  const found = decodeKey(key)
  equal([found.name, found.algorithm, found.id], [name, algorithm, id])
}

const headOf = ({ checkpoint }, { checkpoints: { log } }) => verifyHead(Buffer.from(checkpoint), [decodeKey(log)])

// When the witness of the file cosigned a head of its log.
function cosignedAt ({ checkpoint }, { checkpoints: { log }, cosignatures: { witness } }) {
  const cosigner = decodeKey(witness)
  return verifyHead(Buffer.from(checkpoint), [decodeKey(log)], [cosigner]).cosigned.get(cosigner)
}

const policyOf = ({ policy }) => decodePolicy(Buffer.from(policy))

function policyVector (vector) {
  const policy = policyOf(vector)
  const takes = (names) => isQuorate(policy, [...policy.witnesses.values()]
    .filter(({ name }) => names.some((one) => name === `${one}.example/w`)))
  for (const names of vector.taken) equal(takes(names), true, `taking ${names}`)
  for (const names of vector.refused) equal(takes(names), false, `taking ${names}`)
}

const proof = ({ proof: file }, { proofs }) => verifyProof(Buffer.from(file), policyOf(proofs))
const splitView = ({ proof: data }, { split_views: { log } }) => verifySplitView(raw(data), decodeKey(log))
const caseFile = ({ file: data }, file) => verifyCase(raw(data), policyOf(file))

// By the key that the roster has of the publisher.
function logProof ({ proof: data }, { roster, network, publisher }) {
  const log = splitLog(raw(data))
  const entry = decodeRoster(raw(roster)).members.flatMap((m) => m.publishers).find(({ id }) => same(id, log.publisher))
  if (hex(log.network) !== network || entry?.log === undefined) throw new DecodeError('the roster has no such log')
  verifySplitView(raw(data), logKey(log, entry.log))
  equal(log.publisher, publisher)
}

function growthVector ({ kept, growth, answer }, { log }) {
  const judge = () => judgeGrowth(kept === null ? null : Buffer.from(kept), raw(growth), decodeKey(log))
  if (answer === null) {
    refused(judge, DecodeError, SignatureError, tree.ProofError)
    return
  }
  const found = judge()
  equal(found.answer, answer)
  // What it answers with has to convince others.
  if (answer === 'split') verifySplitView(found.proof, decodeKey(log))
}

const anchor = ({ data, origin, size, root }) => verifyAnchor(raw(data), { origin, size, root: raw(root) })

export const LOG_CHECKS = {
  'log-tree': {
    entries: entryVector,
    roots: ({ leaves, root }) => equal(tree.rootOf(leaves.map((leaf) => tree.leafHash(raw(leaf)))), root),
    'inclusion.valid': inclusion,
    'inclusion.invalid': refuses(inclusion),
    'consistency.valid': consistency,
    'consistency.invalid': refuses(consistency),
    tiles: ({ size, tiles, bundles }) => equal(tree.filesOf(size), { tiles, bundles }),
    'bundles.valid': (vector) => {
      equal(bundle(vector).map(hex), vector.entries)
      equal(tree.encodeBundle(vector.entries.map(raw)), vector.bundle)
    },
    'bundles.invalid': refuses(bundle)
  },
  'log-notes': {
    'keys.valid': keyVector,
    'keys.invalid': refuses(({ key }) => decodeKey(key)),
    'checkpoints.valid': (vector, file) => {
      const { size, root } = headOf(vector, file)
      equal([size, hex(root)], [vector.size, vector.root])
    },
    'checkpoints.invalid': refuses(headOf),
    'cosignatures.valid': (vector, file) => equal(cosignedAt(vector, file), vector.time_s),
    'cosignatures.invalid': refuses(cosignedAt),
    'policies.valid': policyVector,
    'policies.invalid': refuses(policyOf),
    'proofs.valid': (vector, file) => {
      const { entry, index, size } = proof(vector, file)
      equal([hex(entry), index, size], [vector.entry, vector.index, vector.size])
    },
    'proofs.invalid': refuses(proof),
    'split_views.valid': splitView,
    'split_views.invalid': refuses(splitView)
  },
  'log-cases': {
    valid: (vector, file) => equal(caseFile(vector, file), vector.entries),
    invalid: refuses(caseFile)
  },
  'log-proofs': { valid: logProof, invalid: refuses(logProof) },
  'log-witness': { cases: growthVector },
  'log-anchor': { valid: anchor, invalid: refuses(anchor) }
}
