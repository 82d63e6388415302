"""What a signal claims about a chain, and what it is worth once checked again (specs/evidence.md)."""
