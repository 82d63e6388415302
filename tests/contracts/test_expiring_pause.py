"""The pause that ends by itself. Docstrings name the rule."""

from __future__ import annotations

import pytest
from contract_kit import START_S, Contract, deploy, go_to
from tocsin_node.demo.anvil import Anvil

NORMAL, RESTRICTED, HALTED = 0, 1, 2
WEEK_S = 7 * 86_400


@pytest.fixture
async def target(anvil: Anvil) -> Contract:
    """Owned by the first account, with the second as guardian."""
    return await deploy(anvil, "ExpiringTarget", anvil.accounts[0], anvil.accounts[1])


async def test_a_pause_ends_by_itself_in_restricted(target: Contract) -> None:
    """[LEVEL] A halt lapses by itself to RESTRICTED, and time never leads to NORMAL."""
    owner, guardian, user = target.anvil.accounts[:3]
    await target.must(user, "deposit")
    await target.must(guardian, "pauseFor", 600)
    assert await target.call("paused")
    for name in ("deposit", "withdraw"):
        refusal = await target.refusal(user, name)
        assert (refusal.name, refusal.values) == ("Closed", (HALTED,))
    await go_to(target.anvil, await target.call("haltedUntil") - START_S)
    assert (await target.call("level"), await target.call("paused")) == (RESTRICTED, False)
    await target.must(user, "withdraw")
    assert (await target.refusal(user, "deposit")).values == (RESTRICTED,)
    await go_to(target.anvil, 20 * 365 * 86_400)
    assert await target.call("level") == RESTRICTED
    await target.must(owner, "reset")
    await target.must(user, "deposit")


async def test_a_guardian_pauses_once(target: Contract) -> None:
    """[LEVEL] A level is only raised, and each is reached once until the owner resets."""
    owner, guardian = target.anvil.accounts[:2]
    await target.must(guardian, "restrict")
    assert (await target.refusal(guardian, "restrict")).name == "NotAbove"
    await target.must(guardian, "pauseFor", 600)
    assert (await target.refusal(guardian, "pauseFor", 600)).name == "NotAbove"
    await go_to(target.anvil, await target.call("haltedUntil") - START_S)
    assert (await target.refusal(guardian, "pauseFor", 600)).name == "NotAbove", "nor when it is over"
    await target.must(owner, "reset")
    await target.must(owner, "pauseFor", 600)


async def test_nobody_else_pauses(target: Contract) -> None:
    """[PAUSE] The guardian and the owner raise the level; nobody else does."""
    user = target.anvil.accounts[2]
    assert (await target.refusal(user, "pauseFor", 600)).name == "NotGuardian"
    assert (await target.refusal(user, "restrict")).name == "NotGuardian"
    assert await target.call("level") == NORMAL


async def test_a_pause_without_end_is_refused(target: Contract) -> None:
    """[PAUSE] A pause lasts 1 to MAX_PAUSE_SECONDS seconds."""
    for seconds in (0, WEEK_S + 1, 2**32 - 1):
        refusal = await target.refusal(target.anvil.accounts[1], "pauseFor", seconds)
        assert (refusal.name, refusal.values) == ("BadPause", (seconds, WEEK_S))
    await target.must(target.anvil.accounts[1], "pauseFor", WEEK_S)


async def test_a_guardian_does_not_reopen(target: Contract) -> None:
    """[PAUSE] Only the owner reopens and names the guardian."""
    owner, guardian, user = target.anvil.accounts[:3]
    await target.must(guardian, "pauseFor", 600)
    for caller in (guardian, user):
        for name, arguments in (("reset", ()), ("setGuardian", (user,)), ("transferOwnership", (user,))):
            assert (await target.refusal(caller, name, *arguments)).name == "OwnableUnauthorizedAccount"
    assert await target.call("paused")
    await target.must(owner, "setGuardian", user)
    await target.must(owner, "reset")
    assert (await target.refusal(guardian, "restrict")).name == "NotGuardian", "the old one is out at once"
    await target.must(user, "restrict")
