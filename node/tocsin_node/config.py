"""The node's configuration: node.toml, checked whole before anything starts (deploy/node.example.toml has it all)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import chain_of, check_account_id, check_asset_id, check_slug

from .care_config import DrillSection, SafetySection, WatchdogSection
from .chain.config import ChainConfig, EvmChain
from .control_client import SOCKET_NAME
from .detect.config import OutflowWatcherConfig
from .hooks.config import ContractHookConfig, HookConfig, SafeOwnersHookConfig, SafeProposalHookConfig
from .hooks.drilling import drill_fault
from .hooks.message_config import WebhookHookConfig
from .keystore import read_credential, read_passphrase
from .never_touch import NeverTouch
from .peer_ids import is_ed25519_peer_id
from .risk_config import RiskSection
from .toml_files import FilePath, Section, TomlFile, open_toml

CONFIG_NAME = "node.toml"
DEFAULT_FEED_LISTEN = "127.0.0.1:9480"
DEFAULT_MESH_LISTEN = "/ip4/0.0.0.0/tcp/9400"
MAX_CHAINS = 32
MAX_HOOKS = 64
MAX_WATCHERS = 64
MAX_LISTEN = 8
MAX_ADDRESSES = 16
MAX_PEERS = 1024
MAX_TRUSTED = 256
MAX_ORIGINS = 16
MAX_SUBNETS = 16
MANIFESTS_NAME = "manifests"

_MULTIADDR = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/([^/\s]{1,253})/tcp/(0|[1-9][0-9]{0,4})")
_MAX_PORT = 65_535


def _check_name(text: str) -> str:
    try:
        return check_slug(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def check_multiaddr(text: str) -> str:
    """Return a TCP multiaddr such as /ip4/192.0.2.7/tcp/9400; raises ValueError."""
    match = _MULTIADDR.fullmatch(text)
    if match is None or int(match[3]) > _MAX_PORT:
        raise ValueError(f"{text[:80]!r} is not a TCP address such as /ip4/192.0.2.7/tcp/9400")
    if match[1].startswith("ip") and ip_address(match[2]).version != int(match[1][2]):
        raise ValueError(f"{match[2]!r} is not an {match[1]} address")
    return text


def check_listen(text: str) -> str:
    """Return `host:port` with an IP address as host; raises ValueError."""
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        fits = port.isascii() and port.isdecimal() and int(port) <= _MAX_PORT
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{text[:80]!r} is not an address and port such as {DEFAULT_FEED_LISTEN}")
    return text


def _check_peer_id(text: str) -> str:
    if not is_ed25519_peer_id(text):
        raise ValueError(f"{text[:80]!r} is not a peer id such as 12D3Koo…")
    return text


def _check_contract(text: str) -> str:
    try:
        return check_asset_id(text) if "/" in text else check_account_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


Name = Annotated[str, AfterValidator(_check_name)]
ContractId = Annotated[str, AfterValidator(_check_contract)]
TcpMultiaddr = Annotated[str, AfterValidator(check_multiaddr)]
PeerId = Annotated[str, AfterValidator(_check_peer_id)]


class NodeSection(Section):
    """Whose node this is and where it keeps its state."""

    member: Name
    data_dir: FilePath


class NetworkSection(Section):
    """The network: its first roster, and the hash that was agreed on out of band."""

    genesis: FilePath
    genesis_hash: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]


class KeysSection(Section):
    """The keystore and where its passphrase comes from: a 0600 file or a systemd credential."""

    keystore: FilePath
    passphrase_file: FilePath | None = None
    passphrase_credential: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")

    @model_validator(mode="after")
    def _check_one_source(self) -> KeysSection:
        if (self.passphrase_file is None) == (self.passphrase_credential is None):
            raise ValueError("one of passphrase_file and passphrase_credential is wanted")
        return self


class MeshSection(Section):
    """Where we listen for members, and addresses that override those in the roster."""

    listen: tuple[TcpMultiaddr, ...] = Field(default=(DEFAULT_MESH_LISTEN,), min_length=1, max_length=MAX_LISTEN)
    addresses: dict[PeerId, Annotated[list[TcpMultiaddr], Field(min_length=1, max_length=MAX_ADDRESSES)]] = Field(
        default={}, max_length=MAX_PEERS
    )


def _check_origin(text: str) -> str:
    if not re.fullmatch(r"https?://[-a-zA-Z0-9.:\[\]]{1,255}", text):
        raise ValueError(f"{text[:80]!r} is not an origin such as https://desk.example.org")
    return text


def _check_subnet(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as exc:
        raise ValueError(f"{text[:80]!r} is not a network such as 10.1.0.0/16") from exc


class FeedSection(Section):
    """Where the feed answers HTTP, with TLS where it has a certificate, and what it may reach with webhooks."""

    listen: Annotated[str, AfterValidator(check_listen)] = DEFAULT_FEED_LISTEN
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    cors_origins: tuple[Annotated[str, AfterValidator(_check_origin)], ...] = Field(default=(), max_length=MAX_ORIGINS)
    webhook_networks: tuple[Annotated[str, AfterValidator(_check_subnet)], ...] = Field(
        default=(), max_length=MAX_SUBNETS
    )

    @model_validator(mode="after")
    def _check_tls(self) -> FeedSection:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are wanted together")
        return self

    @property
    def host(self) -> str:
        """The address to bind, without brackets."""
        return self.listen.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The port to bind; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])


class PolicySection(Section):
    """The file with the policy; without one the built-in policy stands, which never acts."""

    file: FilePath | None = None


class AnchorSection(Section):
    """Where the record's head is written to, how often, and by which key; the keystore opens by [keys]' passphrase."""

    chain: EvmChain
    keystore: FilePath
    max_day_spend_wei: int = Field(ge=1, le=2**63 - 1)
    interval_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    gas_limit: int = Field(default=60_000, ge=24_200, le=30_000_000)


class LogSection(Section):
    """How much is logged, and in which form; and where the record is anchored, if anywhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    as_json: bool = Field(default=False, alias="json")
    anchor: AnchorSection | None = None


class ExposureSection(Section):
    """Our own manifest, and the folder with the other members'; the folder is beside the data, if not given."""

    manifest: FilePath | None = None
    manifests: FilePath | None = None


class EvidenceSection(Section):
    """The contracts, as accounts or assets, whose word evidence may rest on, beside our own."""

    trusted: tuple[ContractId, ...] = Field(default=(), max_length=MAX_TRUSTED)

    @field_validator("trusted")
    @classmethod
    def _check_once(cls, trusted: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(trusted)) != len(trusted):
            raise ValueError("a contract is named twice")
        return trusted


class NodeConfig(Section):
    """All of node.toml; paths are absolute."""

    node: NodeSection
    network: NetworkSection
    keys: KeysSection
    mesh: MeshSection = MeshSection()
    feed: FeedSection = FeedSection()
    policy: PolicySection = PolicySection()
    exposure: ExposureSection = ExposureSection()
    evidence: EvidenceSection = EvidenceSection()
    log: LogSection = LogSection()
    safety: SafetySection = SafetySection()
    drills: DrillSection = DrillSection()
    watchdog: WatchdogSection = WatchdogSection()
    risk: RiskSection = RiskSection()
    chains: tuple[ChainConfig, ...] = Field(default=(), alias="chain", max_length=MAX_CHAINS)
    hooks: tuple[HookConfig, ...] = Field(default=(), alias="hook", max_length=MAX_HOOKS)
    watchers: tuple[OutflowWatcherConfig, ...] = Field(default=(), alias="watcher", max_length=MAX_WATCHERS)

    @property
    def genesis_hash(self) -> bytes:
        """The pinned hash of the genesis roster, 32 bytes."""
        return bytes.fromhex(self.network.genesis_hash)

    @property
    def control_path(self) -> Path:
        """The Unix socket on which the relay takes requests."""
        return self.node.data_dir / SOCKET_NAME

    @property
    def manifests_dir(self) -> Path:
        """The folder with the other members' manifests."""
        return self.exposure.manifests or self.node.data_dir.parent / MANIFESTS_NAME

    @property
    def hook_names(self) -> frozenset[str]:
        """The names that a policy may use: drill hooks are no levers."""
        return frozenset(hook.name for hook in self.hooks if not hook.drill)

    @property
    def drill_names(self) -> frozenset[str]:
        """The hooks that drills set off, and nothing else does."""
        return frozenset(hook.name for hook in self.hooks if hook.drill)

    def read_passphrase(self) -> bytes:
        """The keystore's passphrase; raises ConfigError."""
        if self.keys.passphrase_file is not None:
            return read_passphrase(self.keys.passphrase_file)
        assert self.keys.passphrase_credential is not None  # noqa: S101 - the section checks that there is one
        return read_credential(self.keys.passphrase_credential)


def load_config(path: Path, *, pinned: bool = True) -> NodeConfig:
    """Read node.toml; raises ConfigError about the first thing that is wrong.

    `pinned=False` also takes a node that does not have its genesis roster yet.
    """
    return check_config(open_toml(path), pinned=pinned)


def check_config(file: TomlFile, *, pinned: bool = True) -> NodeConfig:
    """Check what stands, or is to stand, in a node.toml; raises ConfigError."""
    config = file.check(NodeConfig)
    if pinned and not config.network.genesis_hash:
        wanted = "the hash of the genesis roster is wanted: run tocsin roster pin"
        raise file.error(("network", "genesis_hash"), wanted)
    _check_names(file, "chain", "chain", (chain.chain for chain in config.chains))
    _check_names(file, "hook", "name", (hook.name for hook in config.hooks))
    chains = {chain.chain for chain in config.chains}
    for place, hook in enumerate(config.hooks):
        if isinstance(hook, ContractHookConfig) and chain_of(hook.target) not in chains:
            raise file.error(("hook", place, "target"), _no_chain(hook.target))
    _check_care(file, config)
    anchor = config.log.anchor
    if anchor is not None and anchor.chain not in chains:
        raise file.error(("log", "anchor", "chain"), f"a [[chain]] section with chain = {anchor.chain!r} is wanted")
    if anchor is not None and anchor.keystore == config.keys.keystore:
        raise file.error(("log", "anchor", "keystore"), "a keystore of its own is wanted: `tocsin log anchor-key`")
    _check_names(file, "watcher", "name", (watcher.name for watcher in config.watchers))
    for place, watcher in enumerate(config.watchers):
        if watcher.chain not in chains:
            raise file.error(("watcher", place, "accounts"), _no_chain(watcher.accounts[0]))
    return config.model_copy(update={"hooks": tuple(_resolve(file.path, hook) for hook in config.hooks)})


def _check_care(file: TomlFile, config: NodeConfig) -> None:
    """Refuse a hook that may never act, and a drill that could do more than drill."""
    never = NeverTouch(frozenset(config.safety.never_touch))
    for place, hook in enumerate(config.hooks):
        if fault := never.fault_of(hook):
            raise file.error(("hook", place, "target"), f"{fault} (safety.never_touch)")
        if hook.drill and (fault := drill_fault(hook, config.hooks)):
            raise file.error(("hook", place, "drill"), fault)


def _check_names(file: TomlFile, table: str, key: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise file.error((table, place, key), f"is taken by another [[{table}]] already")
        seen.add(name)


def _no_chain(value: str) -> str:
    return f"a [[chain]] section with chain = {chain_of(value)!r} is wanted"


def _resolve(path: Path, hook: HookConfig) -> HookConfig:
    """Paths of a hook are meant relative to the file."""
    folder = path.absolute().parent
    if isinstance(hook, WebhookHookConfig):
        return hook.model_copy(update={"secret_file": folder / hook.secret_file.expanduser()})
    if isinstance(hook, SafeOwnersHookConfig | SafeProposalHookConfig):
        return hook.model_copy(update={"folder": folder / hook.folder.expanduser()})
    return hook
