"""Relays that take a transaction to block builders without showing it to anybody else (Flashbots form)."""

from __future__ import annotations

import secrets

from .config import RelayConfig, RelayForm
from .guardian import Guardian
from .rpc import RpcEndpoint


class PrivateRelay:
    """One relay. It knows us by a key made for this run, which holds nothing and says nothing about the guardian."""

    def __init__(self, config: RelayConfig, *, timeout_ms: int) -> None:
        self._form = config.form
        sign = Guardian(secrets.token_bytes(32)).sign_body if config.form is RelayForm.FLASHBOTS else None
        self._endpoint = RpcEndpoint(config.url, timeout_ms=timeout_ms, sign_body=sign)

    async def send(self, raw: str) -> None:
        """Hand over a signed transaction; raises RpcRefused or RpcUnavailable. What it answers is not looked at."""
        if self._form is RelayForm.FLASHBOTS:
            await self._endpoint.call("eth_sendPrivateTransaction", {"tx": raw})
        else:
            await self._endpoint.call("eth_sendRawTransaction", raw)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._endpoint.aclose()
