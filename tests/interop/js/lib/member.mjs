// A roster member on js-libp2p: gossip, feeds, heartbeats and sync, each as the specs say.

import { multiaddr } from '@multiformats/multiaddr'

import { Admission } from './admission.mjs'
import { MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, NO_DIGEST } from './envelope.mjs'
import { decodeEquivocation, encodeFrame, sealEnvelope, verifyEquivocation } from './envelope.mjs'
import { Feeds } from './feeds.mjs'
import { hex, same } from './fields.mjs'
import { HEARTBEAT_INTERVAL_MS, decodeHeartbeat, encodeHeartbeat } from './heartbeat.mjs'
import { scoreParams, startHost } from './host.mjs'
import { splitLog, verifySplitView } from './log_cases.mjs'
import { logKey, logOfHead } from './log_members.mjs'
import { verifyHead } from './log_notes.mjs'
import { ProofError } from './log_tree.mjs'
import { DecodeError } from './msgpack.mjs'
import { SignatureError, addressOfKey, publicKeyOf } from './signing.mjs'
import { SYNC_PROTOCOL } from './sync.mjs'
import { Syncing } from './syncing.mjs'
import { topicNames } from './topics.mjs'

const DIAL_INTERVAL_MS = 500
const DIAL_TIMEOUT_MS = 5_000
const SYNC_INTERVAL_MS = 5_000
const MAX_PUBLISH_QUEUE = 20_000

export class Member {
  feeds = new Feeds()
  counters = new Map()
  outgoing = [[], []]
  heartbeatsMs = new Map()
  timers = new Map()
  stopped = false
  sending = false

  // `emit(event)` is told what happens. `dial` maps peer ids to addresses; other roster peers dial us.
  constructor ({ seed, secret, roster, listen, dial, emit }) {
    this.settings = { seed, listen }
    this.secret = secret
    this.publisher = addressOfKey(publicKeyOf(secret))
    this.admission = new Admission(roster)
    const { domain, publishers } = this.admission
    Object.assign(this, { domain, publishers, roster: this.admission.roster })
    this.peers = new Set([...publishers.values()].map((publisher) => publisher.peer))
    this.dial = dial
    this.sync = new Syncing(this)
    this.emit = emit
    const [frames, proofs, heartbeats] = topicNames(this.roster.network)
    this.topics = { frames, proofs, heartbeats }
  }

  async start () {
    const topics = Object.values(this.topics)
    this.host = await startHost({
      ...this.settings,
      isAllowed: (peer) => this.peers.has(peer),
      gossip: { allowedTopics: topics, scoreParams: scoreParams(topics) }
    })
    this.host.addEventListener('peer:connect', ({ detail }) => this.onPeer(detail.toString()))
    this.host.addEventListener('peer:disconnect', ({ detail }) => {
      this.emit({ event: 'peer-down', peer: detail.toString() })
    })
    await this.host.handle(SYNC_PROTOCOL, (stream, connection) => this.sync.serve(stream, connection))
    const judges = { frames: this.judgeFrame, proofs: this.judgeProof, heartbeats: this.judgeHeartbeat }
    for (const [name, judge] of Object.entries(judges)) {
      this.gossip.topicValidators.set(this.topics[name], (forwarder, message) => this.judge(judge, name, message))
      this.gossip.subscribe(this.topics[name])
    }
    this.every(DIAL_INTERVAL_MS, () => this.dialMissing())
    this.every(SYNC_INTERVAL_MS, () => Promise.all(this.connected().map((peer) => this.sync.syncWith(peer))))
    this.every(HEARTBEAT_INTERVAL_MS, () => this.sendHeartbeat())
    return { peer: this.host.peerId.toString(), listen: this.host.getMultiaddrs().map(String) }
  }

  async stop () {
    this.stopped = true
    for (const timer of this.timers.values()) clearTimeout(timer)
    await this.host.stop()
  }

  get gossip () {
    return this.host.services.pubsub
  }

  connected () {
    return this.host.getPeers().map(String)
  }

  // Peers that subscribe to a topic, as far as gossip knows.
  subscribers (name) {
    return this.gossip.getSubscribers(this.topics[name]).map(String)
  }

  scores () {
    return Object.fromEntries(this.connected().map((peer) => [peer, this.gossip.getScore(peer)]))
  }

  count (reason) {
    this.counters.set(reason, (this.counters.get(reason) ?? 0) + 1)
  }

  // Runs a job again and again, one at a time; a failed run is counted and the next one comes.
  every (intervalMs, job) {
    const run = async () => {
      try {
        await job()
      } catch (error) {
        this.count(`failed: ${error.name}`)
      }
      if (!this.stopped) this.timers.set(job, setTimeout(run, intervalMs))
    }
    run()
  }

  async dialMissing () {
    const missing = Object.entries(this.dial).filter(([peer]) => !this.connected().includes(peer))
    await Promise.allSettled(missing.map(([peer, addresses]) => {
      const known = addresses.map((address) => multiaddr(`${address}/p2p/${peer}`))
      return this.host.dial(known, { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) })
    }))
  }

  onPeer (peer) {
    this.emit({ event: 'peer-up', peer })
    this.sync.syncWith(peer).catch((error) => this.count(`sync failed: ${error.name}`))
  }

  // gossip in

  judge (judge, name, message) {
    if (message.type !== 'signed') return 'reject'
    const { verdict, reason } = judge.call(this, message.data, message.from.toString())
    this.count(`${name} ${reason}`)
    return verdict
  }

  judgeFrame (data, from) {
    const outcome = this.admission.admitFrame(data, from, Date.now())
    for (const reason of outcome.dropped) this.count(`envelope ${reason}`)
    // The doubtful ones are signed as well: only what is held can tell a repetition from a second history.
    for (const envelope of [...outcome.admitted, ...outcome.doubtful]) this.keep(envelope, 'gossip')
    return outcome
  }

  judgeProof (proof) {
    try {
      const log = splitLog(proof)
      if (log !== undefined && !same(log.network, this.roster.network)) {
        return { verdict: 'ignore', reason: 'unknown-publisher' }
      }
      const id = log === undefined ? decodeEquivocation(this.domain, proof)[0].publisher : log.publisher
      const publisher = this.publishers.get(hex(id))
      if (publisher === undefined || (log !== undefined && publisher.log === undefined)) {
        return { verdict: 'ignore', reason: 'unknown-publisher' }
      }
      if (this.feeds.isEquivocator(id)) return { verdict: 'ignore', reason: 'duplicate' }
      if (log === undefined) verifyEquivocation(this.domain, publisher.key, proof)
      else verifySplitView(proof, logKey(log, publisher.log))
      this.feeds.keepProof(id, proof)
      this.admission.equivocators.add(hex(id))
      this.emit({ event: 'proof', publisher: hex(id) })
      return { verdict: 'accept', reason: 'admitted' }
    } catch (error) {
      if (error instanceof DecodeError) return { verdict: 'reject', reason: 'malformed' }
      if (error instanceof SignatureError || error instanceof ProofError) return { verdict: 'reject', reason: 'bad-signature' }
      throw error
    }
  }

  // The size of the sender's log, and how many heads of others it keeps: those that their logs have signed.
  readLogs ({ log, cosigned }) {
    const size = log === undefined ? undefined : this.openHead(log.checkpoint)?.size
    return { log: size, cosigned: cosigned.filter((head) => this.openHead(head) !== undefined).length }
  }

  // A head that its log has signed; undefined where it has not, or the roster has no key of it.
  openHead (head) {
    try {
      const log = logOfHead(head)
      const key = this.publishers.get(hex(log.publisher))?.log
      if (key === undefined || !same(log.network, this.roster.network)) return undefined
      return verifyHead(head, [logKey(log, key)])
    } catch (error) {
      if (error instanceof DecodeError || error instanceof SignatureError) return undefined
      throw error
    }
  }

  judgeHeartbeat (data, from) {
    if (!this.peers.has(from)) return { verdict: 'ignore', reason: 'unknown-publisher' }
    const nowMs = Date.now()
    if (nowMs - (this.heartbeatsMs.get(from) ?? 0) < HEARTBEAT_INTERVAL_MS / 2) {
      return { verdict: 'ignore', reason: 'over-rate' }
    }
    try {
      const beat = decodeHeartbeat(data)
      this.heartbeatsMs.set(from, nowMs)
      this.emit({ event: 'heartbeat', peer: from, heads: beat.heads.length, ...this.readLogs(beat) })
      return { verdict: 'accept', reason: 'admitted' }
    } catch (error) {
      if (error instanceof DecodeError) return { verdict: 'reject', reason: 'malformed' }
      throw error
    }
  }

  // Keeps a verified envelope and tells of it when it is new.
  keep (envelope, via) {
    const position = this.feeds.add(envelope)
    this.count(`${via} ${position}`)
    const { publisher, lane } = envelope
    this.admission.setHead(publisher, lane, this.feeds.feed(publisher, lane).linked)
    if (position === 'linked' || position === 'unlinked') {
      this.emit({ event: 'signal', via, position, ...shown(envelope) })
    }
    if (position === 'equivocation') {
      this.admission.equivocators.add(hex(publisher))
      this.emit({ event: 'proof', publisher: hex(publisher) })
      const proof = this.feeds.proofs.get(hex(publisher))
      this.gossip.publish(this.topics.proofs, proof).catch(() => this.count('proof not sent'))
    }
  }

  // gossip out

  // Signs bodies into our own feed; with `gossip` false they wait to be fetched. Returns what was signed.
  publish (lane, bodies, { gossip = true } = {}) {
    if (this.outgoing[lane].length + bodies.length > MAX_PUBLISH_QUEUE) throw new Error('publish queue is full')
    const envelopes = bodies.map((body) => {
      const { highest, envelopes } = this.feeds.feed(this.publisher, lane)
      const previous = envelopes.get(highest)?.digest ?? NO_DIGEST
      const place = { publisher: this.publisher, lane, sequence: highest + 1, previous, body }
      const envelope = sealEnvelope(this.domain, this.secret, place)
      this.feeds.add(envelope)
      return envelope
    })
    if (gossip) {
      this.outgoing[lane].push(...envelopes)
      this.pump().catch((error) => this.emit({ event: 'error', message: `publish: ${error.message}` }))
    }
    return envelopes.map(shown)
  }

  // Sent at once when idle; what arrives meanwhile goes together in the next frame. CRITICAL first, never mixed.
  async pump () {
    if (this.sending) return
    this.sending = true
    try {
      while (this.outgoing.some((queue) => queue.length > 0)) {
        const queue = this.outgoing.find((waiting) => waiting.length > 0)
        const frame = takeFrame(queue)
        await this.gossip.publish(this.topics.frames, encodeFrame(frame), { allowPublishToZeroTopicPeers: true })
      }
    } finally {
      this.sending = false
    }
  }

  async sendHeartbeat () {
    const heads = this.feeds.heads().filter((head) => same(head.publisher, this.publisher))
    const beat = encodeHeartbeat({ sentMs: Date.now(), epoch: this.roster.epoch, heads })
    await this.gossip.publish(this.topics.heartbeats, beat, { allowPublishToZeroTopicPeers: true })
  }
}

function takeFrame (queue) {
  let bytes = 16
  let count = 0
  while (count < queue.length && count < MAX_FRAME_ENVELOPES) {
    bytes += queue[count].encoded.length + 5
    if (bytes > MAX_FRAME_BYTES) break
    count += 1
  }
  return queue.splice(0, count).map((envelope) => envelope.encoded)
}

function shown ({ publisher, lane, sequence, digest, body }) {
  return { publisher: hex(publisher), lane, sequence, digest: hex(digest), body: hex(body) }
}
