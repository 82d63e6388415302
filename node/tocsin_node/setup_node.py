"""Making a node's home: keys, config, policy, manifest and roster entry; and pinning the genesis roster in it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.belief.reputation import Pin
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import check_slug
from tocsin_protocol.roster import verify_genesis
from tocsin_protocol.roster_encoding import decode_publisher, encode_signed_roster, publisher_map
from tocsin_protocol.roster_model import Capability, DetectorEntry, Publisher, RateClass, Roster, SignedRoster
from tocsin_protocol.signing import public_key_of

from .config import CONFIG_NAME, DEFAULT_FEED_LISTEN, DEFAULT_MESH_LISTEN, MANIFESTS_NAME, check_config, load_config
from .errors import ConfigError
from .keystore import (
    DEFAULT_COST,
    SECRET_BYTES,
    ScryptCost,
    create_keystore,
    create_root_keystore,
    generate_passphrase,
    generate_secrets,
    read_credential,
    read_passphrase,
)
from .peer_ids import peer_id_of_seed
from .private_files import make_private_directory, read_private_file, replace_file, write_new_file
from .roster_files import PUBLIC_FILE_MODE, RosterEntry, encode_entry, genesis_hash, read_roster
from .samples import SAMPLE_POLICY, sample_manifest
from .toml_files import parse_toml

KEYSTORE_NAME = "keystore.json"
PASSPHRASE_NAME = "passphrase"  # noqa: S105 - the name of the file
ROOT_NAME = "root.json"
ROOT_PASSPHRASE_NAME = "root.passphrase"  # noqa: S105 - the name of the file
POLICY_NAME = "policy.toml"
MANIFEST_NAME = "manifest.toml"
ENTRY_NAME = "entry.json"
GENESIS_NAME = "genesis.roster"
DATA_NAME = "data"
# In nats: a member's word counts 12 to 1 from the first day, and never comes to count more than 50 to 1.
PROPOSED_PIN = Pin(2.5, 3.9)
VALIDITY_MS = 2 * 365 * 24 * 3600 * 1000
# A peer whose clock runs behind ours must not refuse the first signals of a new key.
VALID_BEFORE_MS = 24 * 3600 * 1000

_UNPINNED = 'genesis_hash = ""'
# Any keys will do to find out whether the rest of an entry is what the other members take.
_SAMPLE_KEYS = (public_key_of(bytes(31) + b"\1"), peer_id_of_seed(bytes(32)), bytes(32))


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a new node is to be. `addresses` is where the others dial; empty: those of `listen` that name a host."""

    member: str
    organisation: str
    listen: tuple[str, ...] = (DEFAULT_MESH_LISTEN,)
    addresses: tuple[str, ...] = ()
    feed_listen: str = DEFAULT_FEED_LISTEN
    rate_class: RateClass = RateClass.STANDARD
    capabilities: tuple[Capability, ...] = (Capability.CRITICAL, Capability.PUBLISH)
    detectors: tuple[DetectorEntry, ...] = ()
    rpc_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeHome:
    """Where a node's files are, and what the other members need to know of it."""

    directory: Path
    entry: RosterEntry
    guardian_address: str

    @property
    def config_path(self) -> Path:
        """node.toml."""
        return self.directory / CONFIG_NAME

    @property
    def policy_path(self) -> Path:
        """policy.toml."""
        return self.directory / POLICY_NAME

    @property
    def manifest_path(self) -> Path:
        """manifest.toml."""
        return self.directory / MANIFEST_NAME

    @property
    def entry_path(self) -> Path:
        """entry.json, for the other members."""
        return self.directory / ENTRY_NAME

    @property
    def root_path(self) -> Path:
        """root.json, which belongs offline."""
        return self.directory / ROOT_NAME

    @property
    def root_passphrase_path(self) -> Path:
        """The passphrase of root.json, which belongs elsewhere."""
        return self.directory / ROOT_PASSPHRASE_NAME


def create_node_home(
    directory: Path,
    plan: NodePlan,
    now_ms: int,
    *,
    passphrase_file: Path | None = None,
    passphrase_credential: str | None = None,
    root_secret: bytes | None = None,
    cost: ScryptCost = DEFAULT_COST,
    extra_config: str = "",
    policy: str = "",
    manifest: str = "",
) -> NodeHome:
    """Make a new node's files in `directory`; raises ConfigError, also where one of them is already.

    The passphrase is read from an existing 0600 file or a systemd credential; with neither, a random one is written
    beside the keystore (0600). `root_secret` is the 32-byte root key of
    a member that has one (a further node); without it a new one is made. `extra_config` is TOML to append to
    node.toml (chains, hooks, watchers), `policy` and `manifest` are what stands in policy.toml and manifest.toml in
    place of the commented samples.
    """
    _check_plan(plan)
    config_path = directory / CONFIG_NAME
    planned = _config_text(plan, "passphrase_file = ''", extra_config)
    check_config(parse_toml(config_path, planned.encode()), pinned=False)
    make_private_directory(directory)
    for name in (CONFIG_NAME, KEYSTORE_NAME, ENTRY_NAME, POLICY_NAME, MANIFEST_NAME, ROOT_NAME):
        if (directory / name).exists():
            raise ConfigError(directory / name, "", "exists already: a node's home is made once")
    if passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
        source = f"passphrase_file = {_toml(str(passphrase_file.absolute()))}"
    elif passphrase_credential is not None:
        passphrase = read_credential(passphrase_credential)
        source = f"passphrase_credential = {_toml(passphrase_credential)}"
    else:
        passphrase = _new_passphrase(directory / PASSPHRASE_NAME)
        source = f"passphrase_file = {_toml(PASSPHRASE_NAME)}"
    root = root_secret
    if root is None:
        root = secrets.token_bytes(SECRET_BYTES)
        create_root_keystore(directory / ROOT_NAME, root, _new_passphrase(directory / ROOT_PASSPHRASE_NAME), cost)
    keys = generate_secrets()
    create_keystore(directory / KEYSTORE_NAME, keys, passphrase, cost)
    entry = RosterEntry(
        member=plan.member,
        organisation=plan.organisation,
        root=public_key_of(root),
        publisher=_publisher(plan, keys.publisher_key, peer_id_of_seed(keys.transport), keys.log_key, now_ms),
    )
    write_new_file(directory / ENTRY_NAME, encode_entry(entry), mode=PUBLIC_FILE_MODE)
    write_new_file(directory / POLICY_NAME, (policy or SAMPLE_POLICY).encode())
    write_new_file(directory / MANIFEST_NAME, (manifest or sample_manifest(plan.member)).encode())
    write_new_file(config_path, _config_text(plan, source, extra_config).encode())
    make_private_directory(directory / DATA_NAME)
    return NodeHome(directory, entry, keys.guardian_address)


def pin_genesis(config_path: Path, signed: SignedRoster, expected_hash: bytes) -> Roster:
    """Copy a genesis roster into a node's home and pin its hash in node.toml; raises ConfigError.

    A pin that is there already is never changed: a node belongs to one network.
    """
    config = load_config(config_path, pinned=False)
    found = genesis_hash(signed)
    if found != expected_hash:
        raise ConfigError("genesis roster", "hash", f"{expected_hash.hex()} was expected", found=found.hex())
    try:
        roster = verify_genesis(signed, found)
    except DecodeError as exc:
        raise ConfigError("genesis roster", "", str(exc)) from exc
    if roster_has_not(roster, config.node.member):
        raise ConfigError("genesis roster", "members", f"{config.node.member!r}, the member of this node, is not there")
    if config.network.genesis_hash not in ("", found.hex()):
        raise ConfigError(
            config_path, "network.genesis_hash", f"is pinned already, and not to {found.hex()}",
            found=config.network.genesis_hash,
        )  # fmt: skip
    if config.network.genesis.exists():
        if encode_signed_roster(read_roster(config.network.genesis)) != encode_signed_roster(signed):
            raise ConfigError(config.network.genesis, "", "is another roster already")
    else:
        write_new_file(config.network.genesis, encode_signed_roster(signed), mode=PUBLIC_FILE_MODE)
    if not config.network.genesis_hash:
        text = read_private_file(config_path).decode()
        if text.count(_UNPINNED) != 1:
            raise ConfigError(config_path, "network.genesis_hash", f'write "{found.hex()}" here by hand')
        replace_file(config_path, text.replace(_UNPINNED, f'genesis_hash = "{found.hex()}"').encode())
    return roster


def propose_pins(roster: Roster, member: str) -> tuple[str, ...]:
    """The members whose word the operator may want to weigh from the first day, by PROPOSED_PIN: all the others."""
    return tuple(other.name for other in roster.members if other.name != member)


def roster_has_not(roster: Roster, member: str) -> bool:
    """Whether a member is missing from a roster."""
    return all(other.name != member for other in roster.members)


def _check_plan(plan: NodePlan) -> None:
    try:
        check_slug(plan.member)
        # the same check that every other member makes
        decode_publisher("publisher", publisher_map(_publisher(plan, *_SAMPLE_KEYS, 0)))
    except DecodeError as exc:
        raise ConfigError("new node", "", str(exc)) from exc
    if not plan.organisation:
        raise ConfigError("new node", "organisation", "is empty")


def _publisher(plan: NodePlan, key: bytes, peer_id: str, log: bytes, now_ms: int) -> Publisher:
    return Publisher(
        key=key,
        peer_id=peer_id,
        addresses=plan.addresses or tuple(address for address in plan.listen if not _is_wildcard(address)),
        valid_from_ms=max(0, now_ms - VALID_BEFORE_MS),
        valid_until_ms=now_ms + VALIDITY_MS,
        capabilities=tuple(sorted(plan.capabilities)),
        rate_class=plan.rate_class,
        detectors=plan.detectors,
        rpc_groups=plan.rpc_groups,
        revoked=(),
        log=log,
    )


def _is_wildcard(address: str) -> bool:
    return address.startswith(("/ip4/0.0.0.0/", "/ip6/::/")) or address.endswith("/tcp/0")


def _new_passphrase(path: Path) -> bytes:
    passphrase = generate_passphrase()
    write_new_file(path, passphrase + b"\n")
    return passphrase


def _config_text(plan: NodePlan, source: str, extra: str) -> str:
    return f"""\
# A Tocsin node. Paths are relative to this file.

[node]
member = {_toml(plan.member)}
data_dir = {_toml(DATA_NAME)}

[network]
genesis = {_toml(GENESIS_NAME)}
# agreed on out of band; `tocsin roster pin` fills it in
{_UNPINNED}

[keys]
keystore = {_toml(KEYSTORE_NAME)}
{source}

[mesh]
listen = {_toml_list(plan.listen)}

[feed]
listen = {_toml(plan.feed_listen)}

[policy]
file = {_toml(POLICY_NAME)}

[exposure]
manifest = {_toml(MANIFEST_NAME)}
manifests = {_toml(MANIFESTS_NAME)}

[log]
level = "info"
json = false

{extra}"""


def _toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_list(texts: Sequence[str]) -> str:
    return f"[{', '.join(_toml(text) for text in texts)}]"
