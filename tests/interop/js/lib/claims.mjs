// Claims after a loss (specs/recovery.md): Merkle trees and pro-rata payouts. Amounts are decimal texts.

import { keccak256 } from './signing.mjs'

const raw = (text) => Buffer.from(text, 'hex')
const pair = (a, b) => Buffer.from(keccak256(Buffer.concat(Buffer.compare(a, b) < 0 ? [a, b] : [b, a])))
const word = (digits) => raw(digits.padStart(64, '0'))

export function claimLeaf ({ account, asset, amount }) {
  const words = [word(account), word(asset), word(BigInt(amount).toString(16))]
  return Buffer.from(keccak256(keccak256(Buffer.concat(words))))
}

// The root, and the proof of the claim at an index of the list.
export function buildTree (claims) {
  const leaves = claims.map((claim, index) => ({ leaf: claimLeaf(claim), index }))
  leaves.sort((a, b) => Buffer.compare(a.leaf, b.leaf))
  const size = 2 * leaves.length - 1
  const [nodes, places] = [new Array(size), new Map()]
  for (const [at, { leaf, index }] of leaves.entries()) {
    nodes[size - 1 - at] = leaf
    places.set(index, size - 1 - at)
  }
  for (let at = leaves.length - 2; at >= 0; at--) nodes[at] = pair(nodes[2 * at + 1], nodes[2 * at + 2])
  const proof = (index) => {
    const siblings = []
    for (let at = places.get(index); at > 0; at = (at - 1) >> 1) siblings.push(nodes[at % 2 ? at + 1 : at - 1])
    return siblings
  }
  return { root: nodes[0], proof }
}

export function proRata (claims, funds) {
  const assets = [...new Set(claims.map(({ asset }) => asset))]
  const paid = assets.flatMap((asset) => {
    const fund = BigInt(funds.find((one) => one.asset === asset)?.amount ?? 0)
    const owed = claims.filter((claim) => claim.asset === asset)
    const total = owed.reduce((sum, { amount }) => sum + BigInt(amount), 0n)
    const paying = fund < total ? fund : total
    const shares = owed.map((claim) => {
      const exact = BigInt(claim.amount) * paying
      return { claim, share: exact / total, rest: exact % total }
    })
    let left = paying - shares.reduce((sum, { share }) => sum + share, 0n)
    shares.sort((a, b) => (a.rest === b.rest ? (a.claim.account < b.claim.account ? -1 : 1) : a.rest > b.rest ? -1 : 1))
    return shares.map(({ claim, share }) => {
      const extra = left > 0n ? 1n : 0n
      left -= extra
      return { ...claim, amount: (share + extra).toString() }
    })
  })
  return paid.filter(({ amount }) => amount !== '0').sort((a, b) => (a.account + a.asset < b.account + b.asset ? -1 : 1))
}
