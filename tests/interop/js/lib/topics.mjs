// The gossip topics of a network, and whether a topic is one of them (specs/gossip.md).

import { hex } from './fields.mjs'

const TOPIC_KINDS = ['frames', 'proofs', 'heartbeats']
const SOME_NETWORKS = new RegExp(`^/tocsin/1/[0-9a-f]{16}/(${TOPIC_KINDS.join('|')})$`)

// In the order frames, proofs, heartbeats.
export function topicNames (network) {
  return TOPIC_KINDS.map((kind) => `/tocsin/1/${hex(network).slice(0, 16)}/${kind}`)
}

export function judgeTopic (topic, network) {
  if (topicNames(network).includes(topic)) return 'admitted'
  return SOME_NETWORKS.test(topic) ? 'wrong-network' : 'unknown-topic'
}
