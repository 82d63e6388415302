"""What an incident would cost us: manifests, the graph between them, how harm travels (specs/exposure.md)."""
