"""Containment levers. A hook drives one action from durable intent to a known end, and takes it up after a crash."""
