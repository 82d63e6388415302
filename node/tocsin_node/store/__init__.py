"""The only door to SQLite: one writer with group commit, read-only readers."""
