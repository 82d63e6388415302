"""What the commands about policy, manifest and coverage read: files, and the node around them where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, NodeError
from .base import open_config
from .output import Output

if TYPE_CHECKING:
    from tocsin_protocol.exposure.manifest import Manifest
    from tocsin_protocol.roster import RosterIndex

    from ..config import NodeConfig
    from ..policy_file import LoadedPolicy

FILE = click.Path(path_type=Path, dir_okay=False)
strict_option = click.option("--strict", is_flag=True, help="Exit with 1 when there is anything to note.")


@dataclass(frozen=True, slots=True)
class Around:
    """A node's config and roster; None where there is no node, and where it has no roster yet."""

    config: NodeConfig | None
    roster: RosterIndex | None

    @property
    def members(self) -> tuple[str, ...] | None:
        """The names in the roster."""
        return None if self.roster is None else tuple(member.name for member in self.roster.roster.members)


def look_around(home: Path, *, needs_node: bool) -> Around:
    """What there is in a home; raises ConfigError where a node is needed and is not there, or its config is wrong."""
    from ..config import CONFIG_NAME

    if not needs_node and not (home / CONFIG_NAME).exists():
        return Around(None, None)
    return Around(open_config(home, pinned=False), _roster(home))


def open_roster(home: Path) -> RosterIndex:
    """The roster that the node goes by; raises ConfigError where it has none yet."""
    from tocsin_protocol.roster import RosterIndex

    from .roster_io import current_roster

    return RosterIndex(current_roster(home, None))


def read_manifest(around: Around, path: Path | None) -> Manifest | None:
    """The manifest of a file, or else the node's own; None where there is no node to have one."""
    from ..manifest_file import load_manifest

    if path is not None:
        return load_manifest(path)
    if around.config is None:
        return None
    return load_manifest(around.config.exposure.manifest, around.config.node.member)


def read_policy(around: Around, path: Path | None, manifest: Manifest | None) -> LoadedPolicy:
    """The policy of a file, or else the node's own, against what is known around it; raises ConfigError."""
    from ..policy_file import load_policy

    config = around.config
    hooks = None if config is None else config.hook_names
    scopes = None if manifest is None else tuple(holding.name for holding in manifest.holdings)
    file = path if path is not None or config is None else config.policy.file
    return load_policy(file, hooks, scopes, around.members)


def show_notes(out: Output, notes: tuple[str, ...]) -> None:
    """What the operator should know, among the rest and not on another stream that a screen shows elsewhere."""
    for note in notes:
        out.say(("  ! ", "bold yellow"), note)


def _roster(home: Path) -> RosterIndex | None:
    try:
        return open_roster(home)
    except (ConfigError, NodeError):
        return None
