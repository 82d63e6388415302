// One node of the js-libp2p mesh the bench compares with: one JSON request a line on stdin, one answer on stdout.
// What js does best is used: native SHA-256 and the native secp256k1, five times node:crypto and thirty times noble
// (asked for by name: its main module falls back to slow JavaScript in silence),
// messages signed beforehand. Gossipsub 1.1 as ours speaks it; 1.2 was measured beside it and made no clear difference.

import './lib/node20.mjs'

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const { createLibp2p } = await import('libp2p')
const { generateKeyPairFromSeed } = await import('@libp2p/crypto/keys')
const { gossipsub } = await import('@libp2p/gossipsub')
const { identify } = await import('@libp2p/identify')
const { noise } = await import('@libp2p/noise')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')
const { multiaddr } = await import('@multiformats/multiaddr')
const secp256k1 = createRequire(import.meta.url)('secp256k1/bindings')

// A message is its sending time (8 bytes, not signed), a signature (64) over the SHA-256 of the rest, and the rest.
const TIME_BYTES = 8
const BODY_AT = TIME_BYTES + 64
const TOPIC = 'bench'
// A burst gives the event loop a turn after so many messages, or nothing would be read meanwhile.
const BURST_TURN = 16
const TICK_MS = 2

const emit = (value) => process.stdout.write(JSON.stringify(value) + '\n')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const turn = () => new Promise((resolve) => setImmediate(resolve))
const nowMs = () => performance.timeOrigin + performance.now()
const digestOf = (message) => createHash('sha256').update(message.subarray(BODY_AT)).digest()

let host
let secret
let keys = {}
let latencies = []
let refused = 0
let messages = []

function validate (forwarder, message) {
  const key = keys[message.from.toString()]
  const data = message.data
  const good = key !== undefined && data.length > BODY_AT &&
    secp256k1.ecdsaVerify(data.subarray(TIME_BYTES, BODY_AT), digestOf(data), key)
  if (!good) refused += 1
  return good ? 'accept' : 'reject'
}

function take ({ detail }) {
  const { data } = detail
  latencies.push(nowMs() - new DataView(data.buffer, data.byteOffset).getFloat64(0))
}

function prepare (count, size, first) {
  return Array.from({ length: count }, (_, i) => {
    const message = Buffer.alloc(size, 0x55)
    message.writeUInt32BE(first + i, BODY_AT)
    message.set(secp256k1.ecdsaSign(digestOf(message), secret).signature, TIME_BYTES)
    return message
  })
}

async function send (message) {
  message.writeDoubleBE(nowMs())
  // What finds no peer is missed by the count of deliveries.
  await host.services.pubsub.publish(TOPIC, message, { allowPublishToZeroTopicPeers: true })
}

async function sendAtRate (messages, rate, startMs) {
  await sleep(startMs - nowMs())
  for (let sent = 0; sent < messages.length;) {
    const due = Math.min(messages.length, Math.floor((nowMs() - startMs) / 1000 * rate) + 1)
    while (sent < due) await send(messages[sent++])
    await sleep(TICK_MS)
  }
}

async function sendBurst (messages, startMs) {
  await sleep(startMs - nowMs())
  for (const [i, message] of messages.entries()) {
    await send(message)
    if (i % BURST_TURN === BURST_TURN - 1) await turn()
  }
}

const operations = {
  async start ({ seed, protocol }) {
    host = await createLibp2p({
      start: false,
      privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex')),
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      // Its pings time out on a machine that is busy, and the mesh falls apart.
      connectionMonitor: { enabled: false },
      services: {
        identify: identify(),
        pubsub: gossipsub({ globalSignaturePolicy: 'StrictSign', fallbackToFloodsub: false })
      }
    })
    const { pubsub } = host.services
    pubsub.protocols = [protocol]
    pubsub.topicValidators.set(TOPIC, validate)
    pubsub.addEventListener('message', take)
    await host.start()
    pubsub.subscribe(TOPIC)
    secret = createHash('sha256').update(seed).digest()
    return {
      peer: host.peerId.toString(),
      key: Buffer.from(secp256k1.publicKeyCreate(secret)).toString('hex'),
      listen: host.getMultiaddrs().map(String)
    }
  },
  async join ({ known, dial }) {
    keys = Object.fromEntries(Object.entries(known).map(([peer, key]) => [peer, Buffer.from(key, 'hex')]))
    for (const address of dial) await host.dial(multiaddr(address))
    while (host.services.pubsub.getMeshPeers(TOPIC).length < Object.keys(known).length - 1) await sleep(50)
    return {}
  },
  prepare ({ count, size, first }) {
    messages = prepare(count, size, first)
    return {}
  },
  async send ({ rate, startMs }) {
    if (rate === null) await sendBurst(messages, startMs)
    else await sendAtRate(messages, rate, startMs)
    return { sent: messages.length }
  },
  delivered () {
    return { delivered: latencies.length }
  },
  measure () {
    const { user, system } = process.cpuUsage()
    return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss(), refused }
  },
  latencies () {
    const taken = latencies
    latencies = []
    return { latencies: taken }
  },
  async stop () {
    await host?.stop()
    return {}
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...request } = JSON.parse(line)
  try {
    emit(await operations[op](request))
  } catch (error) {
    emit({ error: `${error.name}: ${error.message}` })
  }
  if (op === 'stop') break
}
process.exit(0)
