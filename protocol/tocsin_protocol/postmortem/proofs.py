"""The proofs in a report: that the log had what the report stands on, under a head that its key signed."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import ProofError
from ..log.checkpoint import Checkpoint, origin_of, read_origin, verify_checkpoint
from ..log.note import VerifierKey
from ..log.proofs import verify_inclusion
from .entries import Head, Proof
from .report import Report


def verify_proofs(report: Report, keys: Collection[VerifierKey]) -> tuple[Checkpoint, int]:
    """Check every proof that is shown; returns the head and their number.

    Raises ProofError, DecodeError or SignatureError at the first that does not hold; `keys` are those of the log.
    """
    heads = [entry for entry in report.entries if isinstance(entry, Head)]
    # [REPORT] Proofs count under the one head that the report has, signed by the key of its node's log.
    if len(heads) != 1:
        raise ProofError(f"the report has {len(heads)} heads of a log where one is wanted")
    head = verify_checkpoint(heads[0].note.encode(), keys).checkpoint
    told = report.header
    wanted, named = (bytes.fromhex(told.network), bytes.fromhex(told.publisher)), read_origin(head.origin)
    if named is None or (named.network_id, named.publisher) != wanted:
        raise ProofError(f"the head is of {head.origin}, and the report is of {origin_of(*wanted)}")
    proofs = [entry for entry in report.entries if isinstance(entry, Proof)]
    for proof in proofs:
        # [REPORT] A proof leads from the leaf of an entry of the log to the root of that head.
        path = tuple(bytes.fromhex(item) for item in proof.path)
        try:
            verify_inclusion(proof.sequence - 1, head.size, bytes.fromhex(proof.digest), path, head.root)
        except ProofError as exc:
            raise ProofError(f"entry {proof.sequence - 1} of the log: {exc}") from exc
    return head, len(proofs)
