// A roster member driven by a test: one JSON request a line on stdin, one JSON answer or event a line on stdout.
// The first request is {op: "start", seed, secret, roster, listen, dial}; bytes are hex.

import './lib/node20.mjs'

import { createInterface } from 'node:readline'

const { Member } = await import('./lib/member.mjs')
const { encodeBody, laneOf } = await import('./lib/body.mjs')
const { hex } = await import('./lib/fields.mjs')

const bytes = (text) => Buffer.from(text, 'hex')
const emit = (value) => process.stdout.write(JSON.stringify(value) + '\n')

let member

const operations = {
  async start ({ seed, secret, roster, listen, dial }) {
    member = new Member({ seed: bytes(seed), secret: bytes(secret), roster: bytes(roster), listen, dial, emit })
    return await member.start()
  },
  publish ({ lane, bodies, gossip }) {
    return { signals: member.publish(lane, bodies.map(bytes), { gossip }) }
  },
  // Writes a body itself, from its fields, and publishes it in its lane.
  raise ({ signal, gossip }) {
    return { signals: member.publish(laneOf(signal), [encodeBody(signal)], { gossip }) }
  },
  // Sends any bytes as a frame: for what an honest member would not send.
  async frame ({ data }) {
    await member.gossip.publish(member.topics.frames, bytes(data))
    return {}
  },
  async sync ({ peer }) {
    return { fetched: await member.sync.syncWith(peer) }
  },
  state () {
    const { gossip } = member
    return {
      connected: member.connected(),
      subscribers: member.subscribers('frames'),
      mesh: gossip.getMeshPeers(member.topics.frames),
      scores: member.scores(),
      scoreParts: gossip.dumpPeerScoreStats(),
      counters: Object.fromEntries(member.counters),
      heads: member.feeds.heads().map(({ publisher, lane, sequence, digest }) => ({
        publisher: hex(publisher), lane, sequence, digest: hex(digest)
      })),
      linked: Object.fromEntries([...member.feeds.feeds].map(([name, feed]) => [name, feed.linked]))
    }
  },
  async stop () {
    await member?.stop()
    return {}
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, ...request } = JSON.parse(line)
  try {
    emit({ id, ...await operations[op](request) })
  } catch (error) {
    emit({ id, error: `${error.name}: ${error.message}` })
  }
  if (op === 'stop') break
}
process.exit(0)
