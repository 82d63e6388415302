"""The incident of March 2023 on a local chain: a lender drained in bites, and a pool that holds its receipts.

Sizes are the real ones in one stablecoin: 197.1 million left Euler in several transactions, and 5,069,017 (45 %) of
what was still good in Balancer's pool left before that pool was paused. Amounts in the token's smallest unit.
https://forum.balancer.fi/t/4490
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin_protocol.ids import account_of, check_asset_id

from tocsin_node.chain.abi import Argument, encode_arguments, encode_call, parse_function
from tocsin_node.chain.rpc import read_data

from .anvil import Anvil, AnvilError, Mined
from .contracts import load_artifact

DECIMALS = 6
UNIT = 10**DECIMALS
LENDER_DEPOSITS = 200_000_000 * UNIT
POOL_ASSET = 11_275_659 * UNIT
POOL_RECEIPTS = 11_902_000 * UNIT
VAULT_DEPOSITS = 50_000_000 * UNIT
ATTACKER_STAKE = 20_000_000 * UNIT
GUARDIAN_WEI = 10**20

# What the lender loses in each bite: 8.9, 18.5, 33.9 and 135.8 million, the last in five parts.
BITES = (8_900_000, 18_500_000, 33_900_000, 27_160_000, 27_160_000, 27_160_000, 27_160_000, 27_160_000)
# What the attacker sells to the pool after each bite but the first: 5,071,045 for 5,069,017 after the pool's fee.
DUMPS = (724_435, 724_435, 724_435, 724_435, 724_435, 724_435, 724_435)

_BALANCE_OF = parse_function("balanceOf(address)(uint256)")


class StepKind(StrEnum):
    """What the attacker does."""

    DRAIN = "drain"
    DUMP = "dump"


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of the attacker; `loss` is what it costs its victim when it goes through."""

    kind: StepKind
    victim: str
    calldata: bytes
    loss: int


@dataclass(frozen=True, slots=True)
class Guardians:
    """The accounts that may pause each protocol."""

    lender: str
    dex: str
    vault: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """The deployed contracts (lower-case addresses) and the attack."""

    token: str
    lender: str
    dex: str
    vault: str
    attacker: str
    owner: str
    thief: str
    chain: str
    steps: tuple[Step, ...]

    @property
    def asset(self) -> str:
        """The stablecoin's CAIP-19 id."""
        return check_asset_id(f"{self.chain}/erc20:{self.token}")

    @property
    def receipt_asset(self) -> str:
        """The CAIP-19 id of the lender's receipt, which the pool holds."""
        return check_asset_id(f"{self.chain}/erc20:{self.lender}")

    def account(self, address: str) -> str:
        """The CAIP-10 id of one of its addresses."""
        return account_of(self.chain, address)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What each protocol holds of the stablecoin, in its smallest unit."""

    lender: int
    dex: int
    vault: int


async def deploy_scenario(anvil: Anvil, guardians: Guardians) -> Scenario:
    """Deploy and fund the three protocols and the attacker; raises AnvilError when a transaction fails."""
    owner, depositor, provider, thief = anvil.accounts[:4]
    token = await _deploy(anvil, owner, "Token", ["address"], [owner])
    three = ["address", "address", "address"]
    lender = await _deploy(anvil, owner, "Lender", three, [token, owner, guardians.lender])
    dex = await _deploy(anvil, owner, "Dex", ["address", *three], [token, lender, owner, guardians.dex])
    vault = await _deploy(anvil, owner, "Vault", three, [token, owner, guardians.vault])
    attacker = await _deploy(anvil, thief, "Attacker", ["address", "address"], [lender, dex])
    for guardian in (guardians.lender, guardians.dex, guardians.vault):
        await anvil.fund(guardian, GUARDIAN_WEI)
    lent = LENDER_DEPOSITS - POOL_RECEIPTS
    for holder, amount in (
        (depositor, lent + VAULT_DEPOSITS),
        (provider, POOL_RECEIPTS + POOL_ASSET),
        (attacker, ATTACKER_STAKE),
    ):
        await _call(anvil, owner, token, "mint(address,uint256)", holder, amount)
    for saver, amount in ((depositor, lent), (provider, POOL_RECEIPTS)):
        await _call(anvil, saver, token, "approve(address,uint256)", lender, amount)
        await _call(anvil, saver, lender, "deposit(uint256)", amount)
    await _call(anvil, provider, lender, "transfer(address,uint256)", dex, POOL_RECEIPTS)
    await _call(anvil, provider, token, "transfer(address,uint256)", dex, POOL_ASSET)
    await _call(anvil, depositor, token, "approve(address,uint256)", vault, VAULT_DEPOSITS)
    await _call(anvil, depositor, vault, "deposit(uint256)", VAULT_DEPOSITS)
    return Scenario(token, lender, dex, vault, attacker, owner, thief, anvil.chain, _plan_attack(lender, dex))


async def run_step(anvil: Anvil, scenario: Scenario, step: Step) -> Mined:
    """Send one transaction of the attack; a paused victim shows as one that was mined and reverted."""
    return await anvil.send(scenario.thief, scenario.attacker, step.calldata)


async def read_holdings(anvil: Anvil, scenario: Scenario) -> Holdings:
    """Return what the protocols hold now."""
    held = [await _balance(anvil, scenario.token, item) for item in (scenario.lender, scenario.dex, scenario.vault)]
    return Holdings(*held)


async def is_paused(anvil: Anvil, address: str) -> bool:
    """Ask a contract whether it is paused."""
    data = "0x" + encode_call(parse_function("paused()")).hex()
    return int.from_bytes(read_data(await anvil.call("eth_call", {"to": address, "data": data}, "latest"), 32)) == 1


async def unpause(anvil: Anvil, scenario: Scenario, address: str) -> None:
    """Let the owner start a paused protocol again."""
    await _call(anvil, scenario.owner, address, "unpause()")


def _plan_attack(lender: str, dex: str) -> tuple[Step, ...]:
    """Bite, then sell what was kept of it; the first bite is the only one with nothing to sell."""
    steps: list[Step] = []
    for bite, dump in zip(BITES, (0, *DUMPS), strict=True):
        net, kept = bite * UNIT, dump * UNIT
        # Levered twenty times and liquidated at the discount, a stake gives three times itself back.
        stake = (net + kept) // 2
        drain = encode_call(parse_function("drain(uint256,uint256,uint256)"), [stake, stake + net, kept])
        steps.append(Step(StepKind.DRAIN, lender, drain, net))
        if kept:
            sell = encode_call(parse_function("dump(uint256)"), [kept])
            steps.append(Step(StepKind.DUMP, dex, sell, kept - kept * 4 // 10_000))
    return tuple(steps)


async def _deploy(anvil: Anvil, sender: str, name: str, types: list[str], arguments: list[Argument]) -> str:
    mined = await anvil.send(sender, None, load_artifact(name).bytecode + encode_arguments(name, types, arguments))
    if not mined.is_success:
        raise AnvilError(f"deployment of {name} reverted")
    return mined.contract


async def _call(anvil: Anvil, sender: str, to: str, signature: str, *arguments: Argument) -> None:
    mined = await anvil.send(sender, to, encode_call(parse_function(signature), arguments))
    if not mined.is_success:
        raise AnvilError(f"{signature} reverted")


async def _balance(anvil: Anvil, token: str, holder: str) -> int:
    data = "0x" + encode_call(_BALANCE_OF, [holder]).hex()
    return int.from_bytes(read_data(await anvil.call("eth_call", {"to": token, "data": data}, "latest"), 32))
