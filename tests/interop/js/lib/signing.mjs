// EIP-712 digests and EIP-2098 compact secp256k1 signatures (specs/signal.md, specs/roster.md).
// noble, not libsecp256k1: a second opinion on every signature the Python nodes make.

import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 as keccak256 } from '@noble/hashes/sha3.js'

export { keccak256 }
export class SignatureError extends Error {}

const ascii = (text) => Buffer.from(text, 'ascii')
const DOMAIN_TYPE_HASH = keccak256(ascii('EIP712Domain(string name,string version,bytes32 salt)'))
const SIGNAL_TYPE_HASH = keccak256(
  ascii('Signal(address publisher,uint8 lane,uint64 sequence,bytes32 previous,bytes32 body)'))
const ROSTER_CHANGE_TYPE_HASH = keccak256(ascii('RosterChange(uint64 epoch,bytes32 roster)'))
const NAME_HASH = keccak256(ascii('Tocsin'))
const VERSION_HASH = keccak256(ascii('1'))
const HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0n

// The EIP-712 domain of one network, whose salt is the 32-byte network id.
export class Domain {
  constructor (networkId) {
    if (networkId.length !== 32) throw new SignatureError('network id is not 32 bytes')
    const separator = keccak256(Buffer.concat([DOMAIN_TYPE_HASH, NAME_HASH, VERSION_HASH, networkId]))
    this.networkId = networkId
    this.prefix = Buffer.concat([Buffer.of(0x19, 0x01), separator])
  }

  signalDigest (publisher, lane, sequence, previous, body) {
    return this.structDigest(
      [SIGNAL_TYPE_HASH, word(publisher), uintWord(lane), uintWord(sequence), previous, keccak256(body)])
  }

  rosterChangeDigest (epoch, rosterHash) {
    return this.structDigest([ROSTER_CHANGE_TYPE_HASH, uintWord(epoch), rosterHash])
  }

  structDigest (words) {
    return Buffer.from(keccak256(Buffer.concat([this.prefix, keccak256(Buffer.concat(words))])))
  }
}

function word (bytes) {
  return Buffer.concat([Buffer.alloc(32 - bytes.length), bytes])
}

function uintWord (value) {
  const bytes = Buffer.alloc(32)
  bytes.writeBigUInt64BE(BigInt(value), 24)
  return bytes
}

export function publicKeyOf (secret) {
  return Buffer.from(secp256k1.getPublicKey(secret, true))
}

// The 20-byte Ethereum address of a 33-byte compressed key.
export function addressOfKey (publicKey) {
  if (publicKey.length !== 33) throw new SignatureError('public key is not 33 bytes')
  try {
    const point = secp256k1.Point.fromBytes(publicKey).toBytes(false)
    return Buffer.from(keccak256(point.subarray(1)).subarray(12))
  } catch {
    throw new SignatureError('not a compressed secp256k1 public key')
  }
}

// 64 bytes: r, and s with the parity of R in its top bit. Low s, deterministic (RFC 6979).
export function signDigest (secret, digest) {
  const [parity, ...rs] = secp256k1.sign(digest, secret, { prehash: false, format: 'recovered', lowS: true })
  const signature = Buffer.from(rs)
  signature[32] |= parity << 7
  return signature
}

// Recovery, not plain verification: a flipped parity bit passes the latter and fails in every contract.
export function verifyDigest (publicKey, digest, signature) {
  if (Buffer.compare(recoverKey(digest, signature), publicKey) !== 0) {
    throw new SignatureError("signature is not by the publisher's key")
  }
}

// The 33-byte key that made a signature.
export function recoverKey (digest, signature) {
  if (signature.length !== 64) throw new SignatureError('signature is not 64 bytes')
  const rs = Buffer.from(signature)
  const parity = rs[32] >> 7
  rs[32] &= 0x7f
  if (BigInt('0x' + rs.subarray(32).toString('hex')) > HALF_ORDER) throw new SignatureError('signature with a high s')
  try {
    const parsed = secp256k1.Signature.fromBytes(Buffer.concat([Buffer.of(parity), rs]), 'recovered')
    return Buffer.from(parsed.recoverPublicKey(digest).toBytes(true))
  } catch {
    throw new SignatureError('signature does not verify')
  }
}

export function isSignedBy (publicKey, digest, signature) {
  try {
    verifyDigest(publicKey, digest, signature)
    return true
  } catch (error) {
    if (error instanceof SignatureError) return false
    throw error
  }
}
