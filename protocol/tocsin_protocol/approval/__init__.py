"""What the operator's own people allow: m of n signatures over one request (specs/approval.md)."""
