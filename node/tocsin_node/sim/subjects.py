"""What kind of thing a subject is, by how it is written; and on which chain it lies."""

from __future__ import annotations

from tocsin_protocol.exposure.manifest import SubjectId
from tocsin_protocol.ids import chain_of
from tocsin_protocol.taxonomy import SubjectKind

DEFAULT_CHAIN = "eip155:1"


def kind_of(subject: str) -> SubjectKind:
    """The kind of a subject that was checked."""
    if " " in subject:
        return SubjectKind.DEPENDENCY
    if "/" in subject:
        return SubjectKind.ASSET
    if subject.startswith("0x"):
        return SubjectKind.CODE_HASH
    colons = subject.count(":")
    return (SubjectKind.LINEAGE, SubjectKind.CHAIN)[colons] if colons < 2 else SubjectKind.ACCOUNT


def subject_id(subject: str) -> SubjectId:
    """As manifests name it."""
    return SubjectId(kind_of(subject), subject)


def chain_or_default(subject: str) -> str:
    """The chain it lies on; of what lies on none, Ethereum."""
    if kind_of(subject) is SubjectKind.CHAIN:
        return subject
    return chain_of(subject) if ":" in subject else DEFAULT_CHAIN
