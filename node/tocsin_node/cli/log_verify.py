"""`tocsin log fsck` and `tocsin log verify`: is a log whole, and does it say what its head and the chain say?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tocsin_protocol.log.bundle import MAX_BUNDLE_BYTES, decode_proof_bundle, verify_proof_bundle
from tocsin_protocol.log.checkpoint import SignedHead
from tocsin_protocol.log.trust import TrustPolicy, judge_head

from .base import home_option, open_config, output_option
from .log_anchors import check_anchors, own_endpoints
from .log_trust import read_file, trust_of, trust_options
from .output import Output

if TYPE_CHECKING:
    from ..record.checking import LogFault
    from ..record.files import LogFiles
    from ..store.log_files import StoreLog

PROOF_SUFFIX = ".tlog-proof"
CASE_SUFFIX = ".tocsin-case"


@contextmanager
def own_log(home: Path) -> Iterator[StoreLog]:
    """This node's log, from its database."""
    from ..store.log_files import StoreLog

    own = StoreLog(open_config(home).node.data_dir)
    try:
        yield own
    finally:
        own.close()


@contextmanager
def _open_log(source: str, feed_key: Path | None) -> Iterator[LogFiles]:
    from ..private_files import read_private_file
    from ..record.files import LogFolder, LogServer

    if not source.startswith(("http://", "https://")):
        yield LogFolder(Path(source))
        return
    key = None if feed_key is None else read_private_file(feed_key).decode("ascii", errors="replace").strip()
    server = LogServer(source, key)
    try:
        yield server
    finally:
        server.close()


@click.command()
@home_option
@output_option
def fsck(home: Path, out: Output) -> None:
    """Hash this node's whole log anew, and say where it is not what was signed."""
    from ..record.checking import check_log

    with own_log(home) as own:
        head = SignedHead(own.head, {})
        _tell(
            out,
            head,
            check_log(own, head.checkpoint, own.pruned) + own.check_details(),
            own.count_outside(),
            own.pruned,
        )


@click.command()
@click.argument("source", required=False)
@trust_options
@click.option("--anchor", "is_anchored", is_flag=True, help="Read the log's anchors back from the chain, too.")
@click.option(
    "--rpc", "urls", multiple=True, help="An endpoint of the chain; give two or more, of different providers."
)
@click.option(
    "--feed-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a key of scope operator of the feed at that address: it shows the log's entries to nobody else.",
)
@home_option
@output_option
def verify(
    source: str | None,
    log_key: str | None,
    policy: Path | None,
    is_anchored: bool,
    urls: tuple[str, ...],
    feed_key: Path | None,
    home: Path,
    out: Output,
) -> None:
    """Check a log: SOURCE is a folder or an address (http, https); or a proof file, or a case file.

    One of --key and --policy says whose word counts. Every entry of a log is hashed anew. With --anchor, each root that
    the log says was written to a chain is read back by two endpoints (--rpc) and has to be one of this log; without
    SOURCE that is this node's own log, by the endpoints of its config.
    """
    from ..record.checking import check_log

    if urls and not is_anchored:
        raise click.UsageError("--rpc goes with --anchor")
    if source is None:
        if not is_anchored or log_key is not None or policy is not None:
            raise click.UsageError(
                "SOURCE is wanted; this node's own log is checked by `fsck`, or here by --anchor alone"
            )
        with own_log(home) as own:
            _verify_anchored(own, SignedHead(own.head, {}), urls or own_endpoints(home), own.pruned, out)
        return
    if is_anchored and source.endswith((PROOF_SUFFIX, CASE_SUFFIX)):
        raise click.UsageError("--anchor wants a whole log: a folder, an address, or no SOURCE")
    trust = trust_of(log_key, policy)
    if source.endswith(PROOF_SUFFIX):
        _verify_proof(Path(source), trust, out)
        return
    if source.endswith(CASE_SUFFIX):
        _verify_case(Path(source), trust, out)
        return
    with _open_log(source, feed_key) as files:
        head = judge_head(files.checkpoint(), trust)
        if is_anchored:
            _verify_anchored(files, head, urls, 0, out)
            return
        _tell(out, head, check_log(files, head.checkpoint), 0, 0)


def _verify_anchored(files: LogFiles, head: SignedHead, urls: Sequence[str], pruned: int, out: Output) -> None:
    from ..record.checking import check_log

    # What was changed without a new head is found here, and named; the anchors are held against what is whole.
    if faults := check_log(files, head.checkpoint, pruned):
        _tell(out, head, faults, 0, pruned)
        return
    checked = check_anchors(files, head.checkpoint, urls, pruned)
    for line in checked.stood:
        out.say(("Anchored. ", "bold green"), line)
    for note in checked.notes:
        out.say(("  ? ", "bold yellow"), note)
    _tell(out, head, checked.faults, 0, pruned, {"anchored": checked.stood, "notes": checked.notes})


def _verify_proof(path: Path, trust: TrustPolicy, out: Output) -> None:
    from tocsin_protocol.audit import decode_entry

    bundle = decode_proof_bundle(read_file(path, MAX_BUNDLE_BYTES))
    head = verify_proof_bundle(bundle, trust)
    entry = decode_entry(bundle.index, bundle.entry)
    shown = _head_view(head) | {
        "index": bundle.index,
        "at_ms": entry.at_ms,
        "kind": entry.kind.value,
        "about": entry.reference.hex(),
        "entry": bundle.entry.hex(),
    }
    if out.as_json:
        out.emit(shown)
    else:
        out.say(("Proven. ", "bold green"), f"Entry {bundle.index} of {head.checkpoint.origin} is a {entry.kind}")
        _say_head(out, head)


def _verify_case(path: Path, trust: TrustPolicy, out: Output) -> None:
    from tocsin_protocol.log.case import MAX_CASE_BYTES, decode_case, verify_case

    judged = verify_case(decode_case(read_file(path, MAX_CASE_BYTES)), trust)
    if out.as_json:
        entries = [
            {"index": e.sequence - 1, "at_ms": e.at_ms, "kind": e.kind.value, "about": e.reference.hex()}
            for e in judged.entries
        ]
        signals = [{"digest": s.digest.hex(), "publisher": "0x" + s.publisher.hex()} for s in judged.signals]
        out.emit(_head_view(judged.head) | {"entries": entries, "signals": signals})
    else:
        out.say(("Proven. ", "bold green"), f"{len(judged.entries)} entries, {len(judged.signals)} signals")
        _say_head(out, judged.head)


def _tell(
    out: Output,
    head: SignedHead,
    faults: list[LogFault],
    outside: int,
    pruned: int,
    more: Mapping[str, object] | None = None,
) -> None:
    if out.as_json:
        told = [{"where": fault.where, "what": fault.what} for fault in faults]
        out.emit(_head_view(head) | {"faults": told, "outside": outside, "pruned": pruned} | dict(more or {}))
    else:
        for fault in faults:
            out.say(("  ! ", "bold red"), (f"{fault.where}: {fault.what}", "yellow"))
        if outside:
            out.say(
                ("  ! ", "bold red"),
                (f"{outside} entries are under no head: the log grows no more; `tocsin status` says why", "yellow"),
            )
        if not faults:
            out.say(("Whole. ", "bold green"), f"{head.checkpoint.size} entries of {head.checkpoint.origin}")
        if pruned:
            out.say(f"  of the first {pruned} only the hashes are here: `tocsin log verify` checks their export")
        _say_head(out, head)
    if faults or outside:
        click.get_current_context().exit(1)


def _head_view(head: SignedHead) -> dict[str, object]:
    return {
        "origin": head.checkpoint.origin,
        "size": head.checkpoint.size,
        "root": head.checkpoint.root.hex(),
        "cosigned": {key.name: line.timestamp_s for key, line in head.cosigned.items()},
    }


def _say_head(out: Output, head: SignedHead) -> None:
    names = ", ".join(sorted(key.name for key in head.cosigned)) or "nobody"
    out.say(f"  head of {head.checkpoint.size} entries, root {head.checkpoint.root.hex()}, cosigned by {names}")
