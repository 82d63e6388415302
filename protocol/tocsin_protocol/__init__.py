"""The Tocsin protocol: bytes and values in, values out. No clock, socket, disk, log or randomness."""
