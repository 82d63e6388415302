"""Watchers: they follow a chain and report findings; what becomes of one is not theirs to say."""
