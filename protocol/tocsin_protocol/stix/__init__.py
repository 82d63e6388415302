"""Signals, incidents and actions as STIX 2.1 objects, and findings of others as drafts of signals (specs/stix.md)."""
