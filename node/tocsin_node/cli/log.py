"""`tocsin log …`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tocsin_protocol.log.bundle import MAX_BUNDLE_BYTES, decode_proof_bundle, encode_proof_bundle, verify_proof_bundle
from tocsin_protocol.log.checkpoint import SignedHead
from tocsin_protocol.log.note import decode_verifier_key
from tocsin_protocol.log.trust import MAX_TRUST_BYTES, NO_QUORUM, TrustPolicy, decode_trust, judge_head

from ..errors import NodeError
from .base import EXIT_CODES, home_option, open_config, output_option
from .output import Output

if TYPE_CHECKING:
    from ..record.checking import LogFault
    from ..record.files import LogFiles
    from ..record.proving import Prover
    from ..store.log_files import StoreLog

MIN_PREFIX_CHARS = 4
_PROOF_SUFFIX = ".tlog-proof"
_CASE_SUFFIX = ".tocsin-case"
_OUT = click.option(
    "--out", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)


@click.group(epilog=EXIT_CODES)
def log() -> None:
    """Check, prove from and export the record of what this node knew, decided and did."""


@log.command()
@home_option
@output_option
def key(home: Path, out: Output) -> None:
    """Print the public key of this node's log: what others need to check it."""
    with _own_log(home) as own:
        text = str(own.key)
    if out.as_json:
        out.emit({"key": text})
    else:
        click.echo(text)


@log.command()
@home_option
@output_option
def fsck(home: Path, out: Output) -> None:
    """Hash this node's whole log anew, and say where it is not what was signed."""
    from ..record.checking import check_log

    with _own_log(home) as own:
        head = SignedHead(own.head, {})
        _tell(out, head, check_log(own, head.checkpoint) + own.check_details(), own.count_outside())


@log.command()
@click.argument("source")
@click.option("--key", "log_key", help="The log's key. Its own word is then enough.")
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False), help="A policy file (C2SP tlog-policy).")
@output_option
def verify(source: str, log_key: str | None, policy: Path | None, out: Output) -> None:
    """Check a log: SOURCE is a folder or an address (http, https); or a proof file, or a case file.

    One of --key and --policy says whose word counts. Every entry of a log is hashed anew.
    """
    from ..record.checking import check_log

    trust = _trust_of(log_key, policy)
    if source.endswith(_PROOF_SUFFIX):
        _verify_proof(Path(source), trust, out)
        return
    if source.endswith(_CASE_SUFFIX):
        _verify_case(Path(source), trust, out)
        return
    with _open_log(source) as files:
        head = judge_head(files.checkpoint(), trust)
        _tell(out, head, check_log(files, head.checkpoint), 0)


@log.command()
@click.argument("about")
@_OUT
@home_option
@output_option
def prove(about: str, path: Path, home: Path, out: Output) -> None:
    """Write a case file about ABOUT: the first hex digits of the id of a signal, an action or an incident.

    The file of an incident has its signals, decisions, actions and outcomes. deploy/verifier/tocsin_verify.py checks it
    without Tocsin.
    """
    from tocsin_protocol.log.case import MAX_CASE_ENTRIES, encode_case

    prefix = _prefix_of(about)
    with _own_log(home) as own:
        indexes = own.find_entries(own.find_id(prefix), MAX_CASE_ENTRIES + 1)
        if len(indexes) > MAX_CASE_ENTRIES:
            raise NodeError(f"more than {MAX_CASE_ENTRIES} entries are about {about!r}: a case file holds no more")
        case = _prover(own).prove_case(indexes, own.read_signal)
    _write(path, encode_case(case))
    if out.as_json:
        out.emit({"entries": len(case.entries), "signals": len(case.signals)})
    else:
        out.say((f"{len(case.entries)} entries", "bold"), f" and {len(case.signals)} signals in {path}")


@log.command()
@click.argument("index", type=click.IntRange(min=0))
@_OUT
@home_option
@output_option
def entry(index: int, path: Path, home: Path, out: Output) -> None:
    """Write a proof file (C2SP tlog-proof) for the entry at INDEX; the first is 0."""
    with _own_log(home) as own:
        bundle = _prover(own).prove_entry(index)
    _write(path, encode_proof_bundle(bundle))
    if out.as_json:
        out.emit({"index": index, "entry": bundle.entry.hex()})
    else:
        out.say((f"Entry {index}", "bold"), f" in {path}")


@log.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@home_option
@output_option
def export(folder: Path, home: Path, out: Output) -> None:
    """Write the log to FOLDER as static files, or add to it what is new."""
    from ..record.export import export_log

    with _own_log(home) as own:
        head = own.head
        written = export_log(own, head, own.checkpoint(), folder)
    if out.as_json:
        out.emit({"entries": head.size, "written": written})
    else:
        out.say((f"{head.size} entries", "bold"), f" in {folder}, {written} files written")


@contextmanager
def _own_log(home: Path) -> Iterator[StoreLog]:
    from ..store.log_files import StoreLog

    own = StoreLog(open_config(home).node.data_dir)
    try:
        yield own
    finally:
        own.close()


@contextmanager
def _open_log(source: str) -> Iterator[LogFiles]:
    from ..record.files import LogFolder, LogServer

    if not source.startswith(("http://", "https://")):
        yield LogFolder(Path(source))
        return
    server = LogServer(source)
    try:
        yield server
    finally:
        server.close()


def _trust_of(log_key: str | None, policy: Path | None) -> TrustPolicy:
    if (log_key is None) == (policy is None):
        raise click.UsageError("give one of --key and --policy")
    if log_key is not None:
        return TrustPolicy((decode_verifier_key(log_key),), {}, {}, NO_QUORUM)
    return decode_trust(_read(policy or Path(), MAX_TRUST_BYTES))


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be read ({exc.strerror})") from exc


def _verify_proof(path: Path, trust: TrustPolicy, out: Output) -> None:
    from tocsin_protocol.audit import decode_entry

    bundle = decode_proof_bundle(_read(path, MAX_BUNDLE_BYTES))
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

    judged = verify_case(decode_case(_read(path, MAX_CASE_BYTES)), trust)
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


def _tell(out: Output, head: SignedHead, faults: list[LogFault], outside: int) -> None:
    if out.as_json:
        told = [{"where": fault.where, "what": fault.what} for fault in faults]
        out.emit(_head_view(head) | {"faults": told, "outside": outside})
    else:
        for fault in faults:
            out.say(("  ! ", "bold red"), (f"{fault.where}: {fault.what}", "yellow"))
        if outside:
            out.say(("  ! ", "bold red"), (f"{outside} entries came after the fault and are under no head", "yellow"))
        if not faults:
            out.say(("Whole. ", "bold green"), f"{head.checkpoint.size} entries of {head.checkpoint.origin}")
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


def _prefix_of(about: str) -> str:
    digits = about.lower().removeprefix("0x")
    if len(digits) < MIN_PREFIX_CHARS or not set(digits) <= set("0123456789abcdef"):
        raise click.BadParameter(f"at least {MIN_PREFIX_CHARS} hex digits of an id are wanted", param_hint="ABOUT")
    return digits


def _prover(own: StoreLog) -> Prover:
    from ..record.proving import Prover

    return Prover(own, own.head, own.checkpoint())


def _write(path: Path, data: bytes) -> None:
    from ..private_files import replace_file

    try:
        replace_file(path, data)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be written ({exc.strerror})") from exc
