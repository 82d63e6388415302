// Policies that say which logs and witnesses to believe, and the proof files judged by them (specs/audit-log.md).

import { decodeBase64, decodeKey, decodeSize, decodeUtf8, verifyHead, COSIGNER, LOG } from './log_notes.mjs'
import { MAX_ENTRY_BYTES, ProofError, leafHash, pathOf, verifyInclusion } from './log_tree.mjs'
import { DecodeError, OversizedError } from './msgpack.mjs'

const MAX_POLICY_BYTES = 65_536
const MAX_POLICY_LINES = 1024
const MAX_BUNDLE_BYTES = 262_144
const NO_QUORUM = 'none'
const HEADING = 'c2sp.org/tlog-proof@v1'

export function decodePolicy (data) {
  if (data.length > MAX_POLICY_BYTES) throw new OversizedError(`policy of ${data.length} bytes`)
  // Bytes past ASCII are opaque: Latin-1 keeps each as it is.
  const text = data.toString('latin1')
  if (/[^\t\n\x20-\x7e\x80-\xff]/.test(text)) throw new DecodeError('policy with a control character')
  const lines = text.split('\n')
  if (lines.length > MAX_POLICY_LINES) throw new DecodeError(`policy of ${lines.length} lines`)
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), quorum: undefined, grouped: new Set() }
  for (const line of lines) {
    const [verb, ...words] = line.split(/[ \t]+/).filter((word) => word !== '')
    if (verb === undefined || verb.startsWith('#')) continue
    const take = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined
    if (take === undefined) throw new DecodeError(`${verb} is no line of a policy`)
    take(policy, words)
  }
  if (policy.quorum === undefined) throw new DecodeError('policy without a quorum')
  if (policy.logs.length === 0) throw new DecodeError('policy without a log')
  return policy
}

// An address may stand at the end of the lines of logs and witnesses.
const VERBS = {
  log ({ logs }, words) {
    checkWords(words, 1, 2)
    logs.push(newKey(words[0], LOG, logs))
  },

  witness (policy, words) {
    checkWords(words, 2, 3)
    checkNew(policy, words[0])
    policy.witnesses.set(words[0], newKey(words[1], COSIGNER, [...policy.witnesses.values()]))
  },

  group (policy, words) {
    checkWords(words, 3, Infinity)
    const [name, number, ...members] = words
    checkNew(policy, name)
    for (const member of members) {
      checkKnown(policy, member)
      if (policy.grouped.has(member)) throw new DecodeError(`${member} is in a group already`)
      policy.grouped.add(member)
    }
    const least = number === 'any' ? 1 : number === 'all' ? members.length : decodeSize('group', number)
    if (least < 1 || least > members.length) throw new DecodeError(`${least} of ${members.length}`)
    policy.groups.set(name, { least, members })
  },

  quorum (policy, words) {
    checkWords(words, 1, 1)
    if (policy.quorum !== undefined) throw new DecodeError('policy with two quorums')
    if (words[0] !== NO_QUORUM) checkKnown(policy, words[0])
    policy.quorum = words[0]
  }
}

function checkWords (words, least, most) {
  if (words.length < least || words.length > most) throw new DecodeError(`line of a policy with ${words.length} words`)
}

function newKey (text, algorithm, others) {
  const key = decodeKey(decodeUtf8('key', Buffer.from(text, 'latin1')))
  if (key.algorithm !== algorithm) throw new DecodeError(`key of ${key.name} is of algorithm ${key.algorithm}`)
  if (others.some((other) => other.key.equals(key.key))) throw new DecodeError(`key of ${key.name} stands twice`)
  return key
}

const isKnown = ({ witnesses, groups }, name) => witnesses.has(name) || groups.has(name)

function checkKnown (policy, name) {
  if (!isKnown(policy, name)) throw new DecodeError(`${name} is no name of an earlier line`)
}

function checkNew (policy, name) {
  if (name === NO_QUORUM || isKnown(policy, name)) throw new DecodeError(`the name ${name} is taken`)
}

// Whether these keys of its witnesses are enough for the policy.
export function isQuorate ({ witnesses, groups, quorum }, keys) {
  if (quorum === NO_QUORUM) return true
  const met = new Set([...witnesses].filter(([, key]) => keys.includes(key)).map(([name]) => name))
  for (const [name, { least, members }] of groups) {
    if (members.filter((member) => met.has(member)).length >= least) met.add(name)
  }
  return met.has(quorum)
}

export function judgeHead (data, policy) {
  const head = verifyHead(data, policy.logs, [...policy.witnesses.values()])
  if (!isQuorate(policy, [...head.cosigned.keys()])) {
    throw new ProofError(`the quorum ${policy.quorum} has not cosigned`)
  }
  return head
}

// The entry that a proof file holds, its index and the size of the log; throws where the policy does not take it.
export function verifyProof (data, policy) {
  if (data.length > MAX_BUNDLE_BYTES) throw new OversizedError(`proof of ${data.length} bytes`)
  const gap = data.indexOf('\n\n')
  if (gap < 0) throw new DecodeError('proof without the empty line before its checkpoint')
  const [heading, extra, place, ...hashes] = data.toString('latin1', 0, gap).split('\n')
  if (heading !== HEADING) throw new DecodeError(`proof that does not begin with ${HEADING}`)
  if (!extra?.startsWith('extra ') || !place?.startsWith('index ')) {
    throw new DecodeError('proof without the lines extra and index before its hashes')
  }
  const path = pathOf(hashes.map((line) => decodeBase64('hash', line)))
  const entry = decodeBase64('extra', extra.slice('extra '.length))
  if (entry.length > MAX_ENTRY_BYTES) throw new OversizedError(`entry of ${entry.length} bytes`)
  const index = decodeSize('index', place.slice('index '.length))
  const { size, root } = judgeHead(data.subarray(gap + 2), policy)
  verifyInclusion({ index, size, leaf: leafHash(entry), path, root })
  return { entry, index, size }
}
