"""Hooks from their configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.ids import chain_of
from tocsin_protocol.signing import sign_digest

from tocsin_node.chain.client import ChainClient, open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.key_lock import hold_key
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms as read_clock
from tocsin_node.errors import ConfigError
from tocsin_node.outbound import open_client
from tocsin_node.webhook_signing import read_secret

from .command import CommandHook
from .config import (
    ContractHookConfig,
    HookConfig,
    SafeModuleHookConfig,
    SafeOwnersHookConfig,
    SafeProposalHookConfig,
)
from .evm import EvmHook
from .hook import Hook
from .message_config import CommandHookConfig, PluginHookConfig, WebhookHookConfig
from .plugins import open_plugin
from .routes import ModuleRoute
from .safe import OwnersRoute, SignDigest
from .safe_proposal import SafeProposalHook
from .webhook import WebhookHook


@dataclass(frozen=True, slots=True)
class Levers:
    """The hooks by name, and the chains they act on by CAIP-2 id."""

    hooks: dict[str, Hook]
    clients: dict[str, ChainClient]


@asynccontextmanager
async def open_hooks(
    configs: Sequence[HookConfig],
    chains: Sequence[ChainConfig],
    guardian_key: bytes,
    config_file: Path,
) -> AsyncIterator[Levers]:
    """Open every configured hook; relative paths count from the config file's folder.

    Raises ConfigError for a hook named twice, a hook on a chain that is not configured, a bad secret file or
    plugin, and a guardian that another process uses.
    """
    _check_hooks(configs, chains, config_file)
    # Before the chains are opened: what is raised inside their nurseries comes out as a group.
    secrets = {
        config.name: read_secret(config_file.parent / config.secret_file)
        for config in configs
        if isinstance(config, WebhookHookConfig)
    }
    plugins = {
        config.name: open_plugin(config, config_file) for config in configs if isinstance(config, PluginHookConfig)
    }
    guardian = Guardian(guardian_key)

    # Not a partial: its text would show the key.
    def sign(digest: bytes) -> bytes:
        return sign_digest(guardian_key, digest)

    acting_on = {chain_of(config.target) for config in configs if isinstance(config, ContractHookConfig)}
    async with AsyncExitStack() as stack:
        for chain in chains:
            if chain.chain in acting_on:
                _hold_key(stack, chain, guardian, config_file)
        clients = {chain.chain: await stack.enter_async_context(open_chain(chain)) for chain in chains}
        senders = {chain: Sender(client, guardian) for chain, client in clients.items()}
        for name in acting_on:
            clients[name].nursery.start_soon(senders[name].run_warm)
        hooks: dict[str, Hook] = {}
        for config in configs:
            if isinstance(config, ContractHookConfig):
                hooks[config.name] = open_contract_hook(config, senders[chain_of(config.target)], sign)
            elif isinstance(config, WebhookHookConfig):
                client = await stack.enter_async_context(open_client())
                hooks[config.name] = WebhookHook(config, secrets[config.name], client)
            elif isinstance(config, CommandHookConfig):
                hooks[config.name] = CommandHook(config)
            else:
                hooks[config.name] = plugins[config.name]
        yield Levers(hooks, clients)


def open_contract_hook(
    config: ContractHookConfig, sender: Sender, sign: SignDigest, now_ms: Callable[[], int] = read_clock
) -> Hook:
    """Return the hook of a call, by whichever way it goes; `sign` is the guardian's key as an owner of a Safe."""
    if isinstance(config, SafeProposalHookConfig):
        return SafeProposalHook(config, sender, now_ms)
    guardian, client = sender.guardian.address, sender.client
    if isinstance(config, SafeModuleHookConfig):
        return EvmHook(config, sender, now_ms, ModuleRoute(config, guardian, client))
    if isinstance(config, SafeOwnersHookConfig):
        return EvmHook(config, sender, now_ms, OwnersRoute(config, guardian, client, sign))
    return EvmHook(config, sender, now_ms)


def _hold_key(stack: AsyncExitStack, chain: ChainConfig, guardian: Guardian, config_file: Path) -> None:
    try:
        stack.enter_context(hold_key(chain.chain_id, guardian.address))
    except ChainConfigError as exc:
        raise ConfigError(config_file, "chain", str(exc)) from exc


def _check_hooks(configs: Sequence[HookConfig], chains: Sequence[ChainConfig], config_file: Path) -> None:
    known = {chain.chain for chain in chains}
    if len(known) != len(chains):
        raise ConfigError(config_file, "chains", "each chain once is wanted")
    names: set[str] = set()
    for config in configs:
        if config.name in names:
            raise ConfigError(config_file, "hooks.name", "each name once is wanted", found=config.name)
        names.add(config.name)
        if isinstance(config, ContractHookConfig) and chain_of(config.target) not in known:
            key = f"hooks.{config.name}.target"
            raise ConfigError(config_file, key, "a chain of [[chains]] is wanted", found=config.target)
