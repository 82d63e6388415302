"""How what was contained is opened again: stage by stage, by people (specs/recovery.md).

Nothing here opens anything: what comes out are states, plans and proposals for the protocol's own governance.
"""
