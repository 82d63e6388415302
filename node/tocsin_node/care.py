"""How a node takes care of itself, put together: the brake, what it watches, the doctor, and drills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.ids import chain_of
from tocsin_protocol.signing import Domain

from .chain.client import ChainClient
from .config import CONFIG_NAME, NodeConfig
from .errors import ConfigError
from .hooks.config import ContractHookConfig, HookConfig
from .hooks.hook import Hook
from .hooks.message_config import WebhookHookConfig
from .keystore import NodeSecrets
from .never_touch import NeverTouch, own_addresses
from .relay.about_us import AboutUs
from .relay.brake import Brake
from .relay.doubles import Doubles
from .relay.ledger import Ledger
from .relay.metrics import Metrics
from .relay.self_watch import SelfWatch
from .store.writer import Store


@dataclass(frozen=True, slots=True)
class Care:
    """What stands before every action, and what is told of ourselves."""

    brake: Brake
    never: NeverTouch
    about_us: AboutUs
    watch: SelfWatch
    doubles: Doubles


def make_care(
    config: NodeConfig,
    keys: NodeSecrets,
    store: Store,
    ledger: Ledger,
    domain: Domain,
    clients: Mapping[str, ChainClient],
    metrics: Metrics,
    now_ms: Callable[[], int],
) -> Care:
    """Build it; raises ConfigError where a hook would act on an address of our own."""
    safety = config.safety
    own = own_addresses(keys.guardian_address, keys.publisher_id, *safety.disarm_keys)
    never = NeverTouch(frozenset(safety.never_touch), own)
    for hook in config.hooks:
        if fault := never.fault_of(hook):
            raise ConfigError(CONFIG_NAME, f"hook.{hook.name}", fault, found=hook.target)
    disarm_keys = [bytes.fromhex(key[2:]) for key in safety.disarm_keys]
    brake = Brake(store, ledger, domain, disarm_keys, metrics, now_ms)
    about_us = AboutUs(store, own, now_ms)
    watch = SelfWatch(store, brake, clients, safety.max_actions_per_hour, now_ms)
    acting_on = {chain_of(hook.target) for hook in config.hooks if isinstance(hook, ContractHookConfig)}
    acted_on = {chain: client for chain, client in clients.items() if chain in acting_on}
    return Care(brake, never, about_us, watch, Doubles(store, brake, keys.guardian_address, acted_on))


def split_hooks(configs: tuple[HookConfig, ...], hooks: Mapping[str, Hook]) -> tuple[dict[str, Hook], dict[str, Hook]]:
    """The levers, and the hooks that are for drills alone."""
    drills = {config.name for config in configs if config.drill}
    return (
        {name: hook for name, hook in hooks.items() if name not in drills},
        {name: hook for name, hook in hooks.items() if name in drills},
    )


def private_files(config: NodeConfig) -> tuple[Path, ...]:
    """Every file that holds a secret of this node."""
    files = [config.keys.keystore, config.keys.passphrase_file, config.watchdog.secret_file]
    files += [config.log.anchor.keystore] if config.log.anchor is not None else []
    files += [hook.secret_file for hook in config.hooks if isinstance(hook, WebhookHookConfig)]
    return tuple(file for file in files if file is not None)
