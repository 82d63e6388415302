"""The anchor from its configuration: its key, which is nobody else's, and its own sender on the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import trio

from .chain.client import open_chain
from .chain.config import ChainConfig
from .chain.errors import ChainConfigError
from .chain.guardian import Guardian
from .chain.key_lock import hold_key
from .chain.sender import Sender
from .config import CONFIG_NAME, AnchorSection, NodeConfig
from .errors import ConfigError
from .keystore import NodeSecrets, open_anchor_keystore
from .relay.anchoring import Anchoring
from .relay.metrics import Metrics
from .store.writer import Store

_KEY = "log.anchor.keystore"
_MINUTE_MS = 60_000


def open_anchor_key(config: NodeConfig, keys: NodeSecrets, operators: Mapping[bytes, str]) -> Guardian | None:
    """Open the anchor's key, None where the log is not anchored.

    Raises ConfigError where it is a key that does something else: its nonce would stand in the way of a pause.
    """
    if config.log.anchor is None:
        return None
    guardian = Guardian(open_anchor_keystore(config.log.anchor.keystore, config.read_passphrase()))
    taken = {"0x" + address.hex(): f"operator {name}'s" for address, name in operators.items()}
    taken |= dict.fromkeys(config.safety.disarm_keys, "one of safety.disarm_keys")
    taken |= {"0x" + keys.publisher_id.hex(): "the publisher's", keys.guardian_address: "the guardian's"}
    if whose := taken.get(guardian.address):
        raise ConfigError(CONFIG_NAME, _KEY, f"a key of its own is wanted, and this is {whose}", found=guardian.address)
    return guardian


async def run_log_anchor(
    section: AnchorSection,
    chains: tuple[ChainConfig, ...],
    guardian: Guardian,
    store: Store,
    may_show: Callable[[], bool],
    metrics: Metrics,
    now_ms: Callable[[], int],
    *,
    task_status: trio.TaskStatus[Anchoring] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Anchor the log until cancelled; raises ConfigError where another process uses the key."""
    (chain,) = [chain for chain in chains if chain.chain == section.chain]
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_key(chain.chain_id, guardian.address))
        except ChainConfigError as exc:
            raise ConfigError(CONFIG_NAME, _KEY, str(exc)) from exc
        async with open_chain(anchor_chain(section, chain)) as client:
            sender, interval_ms = Sender(client, guardian), section.interval_minutes * _MINUTE_MS
            anchoring = Anchoring(store, sender, interval_ms, may_show, metrics, now_ms)
            task_status.started(anchoring)
            await anchoring.run_anchoring()


def anchor_chain(section: AnchorSection, chain: ChainConfig) -> ChainConfig:
    """A chain as the anchor uses it: its own connections, gas and cap, and nothing that hides it."""
    own = {"gas_limit": section.gas_limit, "max_day_spend_wei": section.max_day_spend_wei, "private_relays": []}
    return chain.model_copy(update=own)
