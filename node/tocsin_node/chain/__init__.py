"""EVM chains: JSON-RPC over httpx, ABI, the guardian's key, and sending. The only door to the chain libraries."""
