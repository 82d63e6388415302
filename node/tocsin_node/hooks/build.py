"""Hooks from their configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.ids import chain_of

from tocsin_node.chain.client import ChainClient, open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.key_lock import hold_key
from tocsin_node.chain.sender import Sender
from tocsin_node.errors import ConfigError
from tocsin_node.outbound import open_client

from .config import EvmHookConfig, HookConfig, WebhookHookConfig
from .evm import EvmHook
from .hook import Hook
from .webhook import WebhookHook, read_secret


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
    data_dir: Path,
) -> AsyncIterator[Levers]:
    """Open every configured hook; relative paths count from the config file's folder.

    Raises ConfigError for a hook named twice, a hook on a chain that is not configured, a bad secret file, and a
    guardian that another process uses.
    """
    _check_hooks(configs, chains, config_file)
    # Before the chains are opened: what is raised inside their nurseries comes out as a group.
    secrets = {
        config.name: read_secret(config_file.parent / config.secret_file)
        for config in configs
        if isinstance(config, WebhookHookConfig)
    }
    guardian = Guardian(guardian_key)
    acting_on = {chain_of(config.target) for config in configs if isinstance(config, EvmHookConfig)}
    async with AsyncExitStack() as stack:
        for chain in chains:
            if chain.chain in acting_on:
                _hold_key(stack, data_dir, chain, guardian)
        clients = {chain.chain: await stack.enter_async_context(open_chain(chain)) for chain in chains}
        senders = {chain: Sender(client, guardian) for chain, client in clients.items()}
        for name in acting_on:
            clients[name].nursery.start_soon(senders[name].run_warm)
        hooks: dict[str, Hook] = {}
        for config in configs:
            if isinstance(config, EvmHookConfig):
                hooks[config.name] = EvmHook(config, senders[chain_of(config.target)])
            else:
                client = await stack.enter_async_context(open_client())
                hooks[config.name] = WebhookHook(config, secrets[config.name], client)
        yield Levers(hooks, clients)


def _hold_key(stack: AsyncExitStack, data_dir: Path, chain: ChainConfig, guardian: Guardian) -> None:
    try:
        stack.enter_context(hold_key(data_dir, chain.chain_id, guardian.address))
    except ChainConfigError as exc:
        raise ConfigError(data_dir, "chain", str(exc)) from exc


def _check_hooks(configs: Sequence[HookConfig], chains: Sequence[ChainConfig], config_file: Path) -> None:
    known = {chain.chain for chain in chains}
    if len(known) != len(chains):
        raise ConfigError(config_file, "chains", "each chain once is wanted")
    names: set[str] = set()
    for config in configs:
        if config.name in names:
            raise ConfigError(config_file, "hooks.name", "each name once is wanted", found=config.name)
        names.add(config.name)
        if isinstance(config, EvmHookConfig) and chain_of(config.target) not in known:
            key = f"hooks.{config.name}.target"
            raise ConfigError(config_file, key, "a chain of [[chains]] is wanted", found=config.target)
