"""What others may rely on: signed reports of how a subject stands, and what several of them come to (specs/risk.md)."""
