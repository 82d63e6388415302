"""The mesh process: the only door to libp2p. It faces the network and holds the transport key, nothing else."""
