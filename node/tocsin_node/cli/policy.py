"""`tocsin policy`: what a policy says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .base import EXIT_CODES, EXIT_FAILED, home_option, output_option
from .node_files import FILE, Around, look_around, read_manifest, read_policy, show_notes, strict_option
from .output import Output, count_text

if TYPE_CHECKING:
    from tocsin_protocol.exposure.manifest import Manifest

    from ..policy_file import LoadedPolicy

_BUILT_IN = "the built-in policy"
_MANIFEST = click.option("--manifest", "manifest_path", type=FILE, help="The manifest; the node's own, if not given.")


@click.group(epilog=EXIT_CODES)
def policy() -> None:
    """Check and show what this node may do about what it learns."""


@policy.command(epilog=EXIT_CODES)
@click.argument("path", metavar="[FILE]", type=FILE, required=False)
@_MANIFEST
@strict_option
@home_option
@output_option
def check(path: Path | None, manifest_path: Path | None, strict: bool, home: Path, out: Output) -> None:
    """Check a policy: FILE, or the node's own.

    With FILE no node is needed. Where there is one, FILE is held against its hooks, its manifest and its roster.
    """
    around, manifest, loaded = _read(path, manifest_path, home)
    faults = loaded.policy.faults()
    if out.as_json:
        out.emit(
            {
                "file": _name(around, path),
                "hash": loaded.hash.hex(),
                "warnings": list(loaded.notes),
                "faults": list(faults),
                "checked_against": _checked_against(around, manifest),
            }
        )
    else:
        _say_check(out, _name(around, path), loaded, _checked_against(around, manifest))
    if strict and (faults or loaded.notes):
        raise click.exceptions.Exit(EXIT_FAILED)


@policy.command(epilog=EXIT_CODES, short_help="Show what a policy says and what its levers are worth.")
@click.argument("path", metavar="[FILE]", type=FILE, required=False)
@_MANIFEST
@home_option
@output_option
def show(path: Path | None, manifest_path: Path | None, home: Path, out: Output) -> None:
    """Show a policy: its levers and from which belief each is worth using, quorum, budgets, limits, pins."""
    from .policy_view import policy_view, show_policy

    around, manifest, loaded = _read(path, manifest_path, home)
    view = {"file": _name(around, path), **policy_view(loaded, manifest)}
    if out.as_json:
        out.emit(view)
    else:
        show_policy(out, view)


def _read(path: Path | None, manifest_path: Path | None, home: Path) -> tuple[Around, Manifest | None, LoadedPolicy]:
    around = look_around(home, needs_node=path is None)
    manifest = read_manifest(around, manifest_path)
    return around, manifest, read_policy(around, path, manifest)


def _name(around: Around, path: Path | None) -> str:
    file = path or (around.config.policy.file if around.config else None)
    return _BUILT_IN if file is None else str(file)


def _checked_against(around: Around, manifest: Manifest | None) -> dict[str, bool]:
    return {
        "hooks": around.config is not None,
        "holdings": manifest is not None,
        "members": around.members is not None,
    }


def _say_check(out: Output, name: str, loaded: LoadedPolicy, checked: dict[str, Any]) -> None:
    policy = loaded.policy
    parts = ((len(policy.levers), "lever"), (len(policy.limits), "limit"), (len(policy.pins), "pin"))
    out.say((name, "bold"), ": ", ", ".join(count_text(count, what) for count, what in parts))
    out.say("  hash ", (loaded.hash.hex(), "cyan"))
    if unknown := [what for what, is_known in checked.items() if not is_known]:
        out.say((f"  names of {' and '.join(unknown)} were not checked: no node here says which there are", "dim"))
    show_notes(out, loaded.notes)
    faults = policy.faults()
    for fault in faults:
        out.say(("  ✗ may not be armed: ", "bold red"), fault)
    if not faults:
        out.say(("  ✓ ", "bold green"), "nothing keeps it from being armed" if policy.levers else "nothing to arm")


@policy.command(epilog=EXIT_CODES)
@home_option
@output_option
def reload(home: Path, out: Output) -> None:
    """Have the running node read its policy anew. One that is wrong is refused, and the one in force stays."""
    from ..control_verbs import Verb
    from .base import ask_node, open_config

    answer = ask_node(open_config(home), Verb.RELOAD_POLICY)
    if out.as_json:
        out.emit(answer)
        return
    out.say(("In force: ", "bold green"), f"the policy with the hash {answer['policy']}")
    for warning in answer["warnings"]:
        out.warn(warning)
