"""A Safe with a guardian module that may restrict the targets, for the tests of contracts and of Safe hooks.

ward = await open_ward(anvil, "1.5.0")
await ward.grant(ward.guardian)
pause = await ward.allow(pause_scope(ward.pausable))
await ward.module.must(ward.guardian, "execute", pause, [])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from contract_kit import Contract, Sent, deploy, time_of
from eth_abi import encode
from safe_kit import OWNER_KEYS, Safe, create_safe, enable_guardian_module, place_safe_contracts
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.signing import keccak256

DAY_S = 86_400
MARKET = keccak256(b"market 1")
OTHER_MARKET = keccak256(b"market 2")


class Direction(IntEnum):
    """TocsinGuardianModule.Direction."""

    SWITCH = 0
    LOWER = 1
    RAISE = 2


class Verdict(IntEnum):
    """TocsinGuardianModule.Verdict."""

    ALLOWED = 0
    IN_EFFECT = 1
    NO_GRANT = 2
    EXPIRED = 3
    NO_SCOPE = 4
    WRONG_ARGUMENTS = 5
    NO_CODE = 6
    UNREADABLE = 7
    NOT_TIGHTER = 8
    NO_BUDGET = 9
    MODULE_DISABLED = 10


@dataclass(frozen=True, slots=True)
class Scope:
    """TocsinGuardianModule.Scope; functions by their signatures, `source` the target itself unless told."""

    target: str
    function: str
    getter: str
    bound: int
    direction: Direction = Direction.SWITCH
    moved: int = 0
    word: int = 0
    source: str | None = None
    pins: Sequence[tuple[int, bytes]] = ()

    def to_abi(self) -> tuple[object, ...]:
        """The tuple that `allow` takes."""
        reading = (self.source or self.target, selector(self.getter), _arity(self.getter), self.word)
        arity = _arity(self.function)
        head = (self.target, selector(self.function), arity, int(self.direction), self.moved)
        return (*head, reading, self.bound, list(self.pins))


@dataclass(frozen=True, slots=True)
class Ward:
    """The Safe is the owner and the risk admin of the targets."""

    anvil: Anvil
    safe: Safe
    module: Contract
    pausable: Contract
    market: Contract
    guardian: str
    other: str
    stranger: str

    async def grant(self, guardian: str, *, calls: int = 3, window_s: int = 3_600, days: int = 30) -> Sent:
        """Let a guardian act from now on."""
        until = await time_of(self.anvil) + days * DAY_S
        return await self.safe.must(self.module, "grant", guardian, until, window_s, calls)

    async def allow(self, scope: Scope) -> int:
        """Allow a scope and return its id."""
        await self.safe.must(self.module, "allow", scope.to_abi())
        return int(await self.module.call("scopeCount"))

    async def probe(self, guardian: str, scope: int, *arguments: bytes) -> tuple[Verdict, int, int, int]:
        """What the module says of a call: its verdict, the calls left, the window's end and the grant's."""
        verdict, left, window_ends, valid_until = await self.module.call("probe", guardian, scope, list(arguments))
        return Verdict(verdict), left, window_ends, valid_until

    async def refused(self, guardian: str, scope: int, *arguments: bytes) -> Verdict:
        """Why the module refuses a call; `probe` must have said the same."""
        refusal = await self.module.refusal(guardian, "execute", scope, list(arguments))
        assert refusal.name == "Refused", refusal
        verdict = Verdict(refusal.values[0])
        assert (await self.probe(guardian, scope, *arguments))[0] is verdict
        return verdict

    async def execute(self, guardian: str, scope: int, *arguments: bytes) -> Sent:
        """A call that the module does; `probe` must have said so."""
        assert (await self.probe(guardian, scope, *arguments))[0] is Verdict.ALLOWED
        sent = await self.module.must(guardian, "execute", scope, list(arguments))
        assert "Restricted" in sent.events
        return sent


async def open_ward(anvil: Anvil, version: str = "1.5.0") -> Ward:
    """A 2-of-3 Safe with the module enabled, a pausable target and two markets with caps of 1,000 and 500."""
    safe = await create_safe(anvil, await place_safe_contracts(anvil, version), OWNER_KEYS[:3], 2)
    module = await enable_guardian_module(safe)
    pausable = await deploy(anvil, "PausableTarget", safe.address, safe.address)
    market = await deploy(anvil, "MarketTarget", anvil.accounts[0], safe.address)
    for market_id in (MARKET, OTHER_MARKET):
        await market.must(anvil.accounts[0], "setSupplyCap", market_id, 1_000)
        await market.must(anvil.accounts[0], "setBorrowCap", market_id, 500)
        await market.must(anvil.accounts[0], "setRate", market_id, 300)
    return Ward(anvil, safe, module, pausable, market, *anvil.accounts[1:4])


def pause_scope(target: Contract) -> Scope:
    """Pause what has `paused()`."""
    return Scope(target.address, "pause()", "paused()", 1)


def freeze_scope(market: Contract, market_id: bytes = MARKET) -> Scope:
    """Freeze one market: both arguments are pinned."""
    pins = ((0, market_id), (1, word(1)))
    return Scope(market.address, "setFrozen(bytes32,bool)", "isFrozen(bytes32)", 1, pins=pins)


def supply_cap_scope(market: Contract, floor: int, market_id: bytes = MARKET) -> Scope:
    """Lower one market's supply cap, to no less than the floor."""
    return Scope(
        market.address, "setSupplyCap(bytes32,uint256)", "supplyCap(bytes32)", floor,
        direction=Direction.LOWER, moved=1, pins=((0, market_id),),
    )  # fmt: skip


def rate_scope(market: Contract, ceiling: int) -> Scope:
    """Raise any market's rate, to no more than the ceiling."""
    return Scope(
        market.address, "setRate(bytes32,uint256)", "rate(bytes32)", ceiling, direction=Direction.RAISE, moved=1
    )


def selector(signature: str) -> bytes:
    """The first four bytes of a function's calldata."""
    return keccak256(signature.encode())[:4]


def word(value: int) -> bytes:
    """One argument word."""
    return encode(["uint256"], [value])


def address_word(address: str) -> bytes:
    """One argument word that is an address."""
    return encode(["address"], [address])


def _arity(signature: str) -> int:
    types = signature[signature.index("(") + 1 : -1]
    return len(types.split(",")) if types else 0
