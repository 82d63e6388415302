"""Case files and proofs of one entry out of our own database, for whoever has to judge what is in the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin_protocol.log.case import MAX_CASE_ENTRIES, Case
from tocsin_protocol.log.checkpoint import verify_checkpoint

from .proving import Prover

if TYPE_CHECKING:
    from ..store.log_files import StoreLog
    from ..store.replay_source import ReplaySource


def find_case(own: ReplaySource, about: bytes) -> list[int]:
    """Indexes of what a case about an id holds, also what its decisions stood on; raises ProofError or DecodeError.

    Of more than MAX_CASE_ENTRIES no case can be made.
    """
    about_it = own.find_entries(about, MAX_CASE_ENTRIES + 1)
    return sorted({*about_it, *own.find_parts(about_it)})


def make_case(own: ReplaySource, indexes: list[int]) -> Case:
    """The case of these rising indexes, of which there is at least one; raises as `Prover.prove_case`."""
    return prover_up_to(own, indexes[-1]).prove_case(indexes, own.read_signal)


def prover_up_to(own: StoreLog, last: int) -> Prover:
    """Of the entries up to this index."""
    note = own.witnessed_checkpoint(last + 1)
    return Prover(own, verify_checkpoint(note, [own.key]).checkpoint, note)
