"""What happens, as it happens: one reader of the record, and everybody who listens."""
