"""The record as a Merkle log: tree, proofs, tiles, signed heads and what may be concluded from them."""
