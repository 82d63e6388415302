"""A vault that anybody may empty, behind a breaker."""

from __future__ import annotations

from dataclasses import dataclass

from contract_kit import Contract, deploy
from tocsin_node.demo.anvil import Anvil

WINDOW_S, TICK_S, TRIP_S, MAX_BPS, RESTRICTED_BPS, LEAST = 3_600, 600, 1_800, 1_000, 200, 5_000
PARAMS = (WINDOW_S, TICK_S, TRIP_S, MAX_BPS, RESTRICTED_BPS, LEAST)
HELD = 1_000_000


@dataclass(frozen=True, slots=True)
class BreakerBench:
    """A vault that anybody may empty, behind a breaker that lets out a tenth in an hour, restricted two per cent."""

    breaker: Contract
    vault: Contract
    token: Contract
    owner: str
    guardian: str
    thief: str

    @property
    def anvil(self) -> Anvil:
        return self.breaker.anvil

    async def level(self) -> int:
        return int(await self.breaker.call("levelOf", self.token.address))


async def open_breaker(anvil: Anvil) -> BreakerBench:
    owner, guardian, thief = anvil.accounts[:3]
    token = await deploy(anvil, "Token", owner)
    breaker = await deploy(anvil, "TocsinBreaker", owner, guardian)
    vault = await deploy(anvil, "BrokenVault", token.address, breaker.address)
    await token.must(owner, "mint", vault.address, HELD)
    await breaker.must(owner, "setProtocol", vault.address, True)
    await breaker.must(owner, "list", token.address, PARAMS, HELD)
    return BreakerBench(breaker, vault, token, owner, guardian, thief)
