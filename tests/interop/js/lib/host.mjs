// A js-libp2p host set up as the network asks: TCP, Noise, Yamux, gossipsub with StrictSign, roster peers only.

import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { createPeerScoreParams, createTopicScoreParams } from '@libp2p/gossipsub/score'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

// The id all members use: the `from` peer and the sequence number. The default of js puts the key's protobuf first.
export function messageId ({ from, sequenceNumber }) {
  const number = Buffer.alloc(8)
  number.writeBigUInt64BE(sequenceNumber)
  return Buffer.concat([from.toMultihash().bytes, number])
}

// Everything that is scored by default, except mesh delivery rates (P3): a quiet topic would punish honest peers.
export function scoreParams (topics) {
  const topic = () =>
    createTopicScoreParams({ topicWeight: 1, meshMessageDeliveriesWeight: 0, meshFailurePenaltyWeight: 0 })
  return createPeerScoreParams({ topics: Object.fromEntries(topics.map((name) => [name, topic()])) })
}

export async function startHost ({ seed, listen, isAllowed, gossip }) {
  const host = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // A busy machine answers late; a peer that is gone is seen by its closed connection.
    connectionMonitor: { abortConnectionOnPingFailure: false },
    connectionGater: {
      denyInboundEncryptedConnection: (peer) => !isAllowed(peer.toString()),
      denyOutboundEncryptedConnection: (peer) => !isAllowed(peer.toString()),
      denyDialMultiaddr: () => false
    },
    services: {
      identify: identify(),
      // Members probe each other: one that does not answer pings is taken for hung and dropped.
      ping: ping(),
      pubsub: gossipsub({ globalSignaturePolicy: 'StrictSign', msgIdFn: messageId, ...gossip })
    }
  })
  return host
}
