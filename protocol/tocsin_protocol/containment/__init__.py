"""What becomes of the use of a lever: its life-cycle, and the one action that a key may have."""
