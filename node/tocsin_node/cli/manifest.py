"""`tocsin manifest`: what we and the other members hold and hang on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from .base import EXIT_CODES, EXIT_FAILED, home_option, open_config, output_option
from .node_files import FILE, Around, look_around, open_roster, read_manifest, show_notes, strict_option
from .output import Output, count_text, short_hex, time_text

if TYPE_CHECKING:
    from tocsin_protocol.exposure.manifest import Manifest

    from ..signed_manifests import HeldManifest


@click.group(epilog=EXIT_CODES)
def manifest() -> None:
    """Check, show, sign and import manifests: what protocols hold and hang on.

    Ours is manifest.toml. Others get it signed, and give us theirs: by them we know what their trouble would cost us.
    """


@manifest.command(epilog=EXIT_CODES)
@click.argument("path", metavar="[FILE]", type=FILE, required=False)
@strict_option
@home_option
@output_option
def check(path: Path | None, strict: bool, home: Path, out: Output) -> None:
    """Check a manifest: FILE, or the node's own."""
    from ..clock import now_ms
    from ..manifest_notes import find_manifest_notes

    around = look_around(home, needs_node=path is None)
    read = _read(around, path)
    held = _held(around)
    names = None if held is None else [item.manifest.protocol for item in held[0]]
    notes = (*find_manifest_notes(read, names, now_ms()), *(held[1] if held else ()))
    if out.as_json:
        out.emit({"file": _name(around, path), **_summary(read), "warnings": list(notes)})
    else:
        out.say((_name(around, path), "bold"), ": ", _summary_text(read))
        show_notes(out, notes)
        if not notes:
            out.say(("  ✓ ", "bold green"), "nothing to note")
    if strict and notes:
        raise click.exceptions.Exit(EXIT_FAILED)


@manifest.command(epilog=EXIT_CODES, short_help="Show a manifest, ours or a signed one.")
@click.argument("path", metavar="[FILE]", type=FILE, required=False)
@click.option("--read", "is_read", is_flag=True, help="First read on chain the amounts that name balances.")
@home_option
@output_option
def show(path: Path | None, is_read: bool, home: Path, out: Output) -> None:
    """Show a manifest: the node's own, or FILE, which may also be a signed one; its signature is not checked."""
    from tocsin_protocol.exposure.manifest_encoding import decode_manifest

    from ..manifest_json import manifest_view
    from ..signed_manifests import SUFFIX, read_signed_manifest
    from .manifest_view import show_manifest

    notes: tuple[str, ...] = ()
    if path is not None and path.suffix == SUFFIX:
        if is_read:
            raise click.UsageError("--read is for a manifest.toml: a signed manifest stays as it was signed")
        signed = read_signed_manifest(path)
        view = manifest_view(decode_manifest(signed.body))
        view |= {"publisher": "0x" + signed.publisher.hex(), "issued_ms": signed.issued_ms}
    else:
        around = look_around(home, needs_node=is_read or path is None)
        own = _read(around, path)
        if is_read:
            own, notes = _read_on_chain(around, path, out)
        view = manifest_view(own) | ({"warnings": list(notes)} if is_read else {})
    if out.as_json:
        out.emit(view)
    else:
        show_manifest(out, view)
        show_notes(out, notes)


@manifest.command(epilog=EXIT_CODES, short_help="Sign our manifest, for the other members.")
@click.argument("out_path", metavar="OUT", type=FILE)
@home_option
@output_option
def sign(out_path: Path, home: Path, out: Output) -> None:
    """Sign the node's manifest with its publisher key, for the other members; OUT may be an older signed manifest.

    Amounts that name balances are read on chain first; one that cannot be read is signed as it stands in the file.
    """
    from tocsin_protocol.exposure.manifest_signing import sign_manifest

    from ..clock import now_ms
    from ..keystore import open_keystore
    from ..signed_manifests import write_signed_manifest

    config, roster = open_config(home), open_roster(home)
    around = Around(config, roster)
    own, notes = _read_on_chain(around, None, out)
    if not own.holdings:
        raise ConfigError(config.exposure.manifest or home, "holding", "is missing: there is nothing to sign yet")
    with out.working("Opening the keystore…"):
        keys = open_keystore(config.keys.keystore, config.read_passphrase())
    signed = sign_manifest(roster.domain, keys.publisher, now_ms(), own)
    write_signed_manifest(out_path, signed)
    if out.as_json:
        out.emit({"file": str(out_path), "issued_ms": signed.issued_ms, **_summary(own), "warnings": list(notes)})
    else:
        show_notes(out, notes)
        out.say((str(out_path), "bold"), ": ", _summary_text(own), f", issued {time_text(signed.issued_ms)[:-4]} UTC")
        out.say("  Give it to the other members: each runs `tocsin manifest import`.")
    if roster.publisher(keys.publisher_id) is None:
        out.warn("the roster does not list this node yet, so nobody takes it")


@manifest.command("import", epilog=EXIT_CODES, short_help="Keep another member's signed manifest.")
@click.argument("path", metavar="FILE", type=FILE)
@home_option
@output_option
def import_(path: Path, home: Path, out: Output) -> None:
    """Keep another member's signed manifest, if the roster's key signed it and it is newer than the one we have."""
    from ..clock import now_ms
    from ..signed_manifests import import_manifest

    kept = import_manifest(path, open_config(home).manifests_dir, open_roster(home), now_ms())
    if out.as_json:
        out.emit(_row(kept))
    else:
        out.say(
            ("Kept ", "bold green"), (kept.member, "bold cyan"), ": ", _summary_text(kept.manifest), f" ({kept.path})"
        )
        out.say("  A running node uses it from its next start.")


@manifest.command("list", epilog=EXIT_CODES, short_help="List the manifests of others that this node uses.")
@home_option
@output_option
def list_(home: Path, out: Output) -> None:
    """List the manifests of the other members that this node uses, and say which files it does not use and why."""
    from ..clock import now_ms
    from ..signed_manifests import find_manifests

    config = open_config(home)
    held, warnings = find_manifests(config.manifests_dir, open_roster(home), now_ms())
    if out.as_json:
        out.emit({"manifests": [_row(item) for item in held], "warnings": list(warnings)})
        return
    if not held:
        out.say(f"No manifests in {config.manifests_dir}.")
    else:
        columns = ("protocol", "signed by", "issued (UTC)", "holdings", "tokens", "dependencies", "file")
        out.table("", columns, [_cells(item) for item in held])
    show_notes(out, warnings)


def _read(around: Around, path: Path | None) -> Manifest:
    read = read_manifest(around, path)
    assert read is not None  # noqa: S101 - without a file a node is needed
    return read


def _read_on_chain(around: Around, path: Path | None, out: Output) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest with the amounts that the chain tells, and a sentence for each that it does not."""
    import trio

    from ..amounts import with_amounts
    from ..chain.amounts import open_and_read
    from ..clock import now_ms
    from ..manifest_file import read_manifest_file

    assert around.config is not None  # noqa: S101 - who reads a chain has looked for a node
    config = around.config
    file = read_manifest_file(path or config.exposure.manifest, None if path else config.node.member)
    if not file.readings:
        return file.manifest, ()
    with out.working("Reading balances…"):
        read = trio.run(open_and_read, config.chains, file.readings, now_ms())
    notes = tuple(
        f"{name} could not be read on chain, so it stays as declared: {why}" for name, why in read.faults.items()
    )
    return with_amounts(file.manifest, read.amounts), notes


def _held(around: Around) -> tuple[tuple[HeldManifest, ...], tuple[str, ...]] | None:
    from ..clock import now_ms
    from ..signed_manifests import find_manifests

    if around.config is None or around.roster is None:
        return None
    return find_manifests(around.config.manifests_dir, around.roster, now_ms())


def _name(around: Around, path: Path | None) -> str:
    file = path or (around.config.exposure.manifest if around.config else None)
    return "no manifest" if file is None else str(file)


def _summary(read: Manifest) -> dict[str, Any]:
    counts = {"holdings": len(read.holdings), "tokens": len(read.tokens), "dependencies": len(read.dependencies)}
    return {"protocol": read.protocol, **counts}


def _summary_text(read: Manifest) -> str:
    dependencies = f"{len(read.dependencies)} {'dependency' if len(read.dependencies) == 1 else 'dependencies'}"
    return f"{count_text(len(read.holdings), 'holding')}, {count_text(len(read.tokens), 'token')}, {dependencies}"


def _row(item: HeldManifest) -> dict[str, Any]:
    signed = {"publisher": "0x" + item.signed.publisher.hex(), "issued_ms": item.signed.issued_ms}
    return {"member": item.member, **signed, "file": str(item.path), **_summary(item.manifest)}


def _cells(item: HeldManifest) -> tuple[str, ...]:
    counts = (len(item.manifest.holdings), len(item.manifest.tokens), len(item.manifest.dependencies))
    return (
        item.manifest.protocol,
        "0x" + short_hex(item.signed.publisher),
        time_text(item.signed.issued_ms)[:-4],
        *(str(count) for count in counts),
        item.path.name,
    )
