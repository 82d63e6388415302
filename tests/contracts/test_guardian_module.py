"""The guardian module on real Safes: what it does, and that it refuses everything else. Docstrings name the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_kit import START_S, Contract, Refusal, call_raw, deploy, go_to, send_raw, time_of
from module_kit import (
    DAY_S,
    MARKET,
    OTHER_MARKET,
    Direction,
    Scope,
    Verdict,
    Ward,
    address_word,
    freeze_scope,
    open_ward,
    pause_scope,
    rate_scope,
    selector,
    supply_cap_scope,
    word,
)
from safe_kit import DELEGATECALL, MAINNET, call_data
from tocsin_node.chain.abi import decode_result, encode_call, parse_function
from tocsin_node.demo.anvil import Anvil

ZERO = "0x" + "00" * 20


@pytest.fixture
async def ward(anvil: Anvil) -> Ward:
    """A Safe 1.5.0 with the module, and one guardian who has three calls an hour."""
    ward = await open_ward(anvil)
    await ward.grant(ward.guardian)
    return ward


async def refused_by_safe(ward: Ward, name: str, *arguments: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await ward.safe.must(ward.module, name, *arguments)
    sent = await ward.safe.exec(ward.module.address, ward.module.data(name, *arguments))
    assert not sent.is_success
    return caught.value


@pytest.mark.parametrize("version", MAINNET)
async def test_a_guardian_pauses_freezes_lowers_and_raises_through_the_safe(anvil: Anvil, version: str) -> None:
    ward = await open_ward(anvil, version)
    await ward.grant(ward.guardian, calls=9)
    await ward.execute(ward.guardian, await ward.allow(pause_scope(ward.pausable)))
    assert await ward.pausable.call("paused")
    await ward.execute(ward.guardian, await ward.allow(freeze_scope(ward.market)), MARKET, word(1))
    assert await ward.market.call("isFrozen", MARKET)
    assert not await ward.market.call("isFrozen", OTHER_MARKET)
    await ward.execute(ward.guardian, await ward.allow(supply_cap_scope(ward.market, 100)), MARKET, word(400))
    assert await ward.market.call("supplyCap", MARKET) == 400
    await ward.execute(ward.guardian, await ward.allow(rate_scope(ward.market, 2_000)), OTHER_MARKET, word(2_000))
    assert await ward.market.call("rate", OTHER_MARKET) == 2_000


async def test_an_oracle_switches_to_its_fallback_and_freezes(ward: Ward) -> None:
    oracle = await deploy(ward.anvil, "OracleTarget", ward.stranger, ward.safe.address, 2_000, 1_990)
    switch = await ward.allow(Scope(oracle.address, "switchToFallback()", "isFallback()", 1))
    freeze = await ward.allow(Scope(oracle.address, "freeze()", "isFrozen()", 1))
    await ward.execute(ward.guardian, switch)
    await ward.execute(ward.guardian, freeze)
    assert await oracle.call("price") == 1_990


async def test_a_pending_timelock_operation_is_cancelled_and_a_target_closed_by_its_manager(ward: Ward) -> None:
    proposer = ward.stranger
    lock = await deploy(ward.anvil, "TestTimelock", DAY_S, [proposer, ward.safe.address], [ZERO], ZERO)
    call = (ward.pausable.address, 0, ward.pausable.data("unpause"), bytes(32), bytes(32))
    await lock.must(proposer, "schedule", *call, DAY_S)
    operation = await lock.call("hashOperation", *call)
    cancel = await ward.allow(Scope(lock.address, "cancel(bytes32)", "getOperationState(bytes32)", 0))
    await ward.execute(ward.guardian, cancel, operation)
    assert not await lock.call("isOperationPending", operation)

    manager = await deploy(ward.anvil, "TestAccessManager", ward.safe.address)
    managed = await deploy(ward.anvil, "ManagedTarget", manager.address)
    pins = ((0, address_word(managed.address)), (1, word(1)))
    close = Scope(manager.address, "setTargetClosed(address,bool)", "isTargetClosed(address)", 1, pins=pins)
    await ward.execute(ward.guardian, await ward.allow(close), *(value for _, value in pins))
    with pytest.raises(Refusal, match="AccessManagedUnauthorized"):
        await managed.call("work", sender=ward.safe.address)


async def test_the_second_word_of_an_answer_may_be_what_counts(ward: Ward) -> None:
    scope = Scope(
        ward.market.address, "setBorrowCap(bytes32,uint256)", "caps(bytes32)", 50,
        direction=Direction.LOWER, moved=1, word=1,
    )  # fmt: skip
    borrow = await ward.allow(scope)
    assert await ward.refused(ward.guardian, borrow, MARKET, word(600)) is Verdict.NOT_TIGHTER, "600 < supply cap"
    await ward.execute(ward.guardian, borrow, MARKET, word(499))


async def test_leverage_is_lowered_and_an_order_type_closed(ward: Ward) -> None:
    market = ward.market
    await market.must(ward.anvil.accounts[0], "setMaxLeverage", MARKET, 50_000)
    leverage = await ward.allow(
        Scope(
            market.address,
            "setMaxLeverage(bytes32,uint256)",
            "maxLeverage(bytes32)",
            10_000,
            direction=Direction.LOWER,
            moved=1,
        )
    )
    await ward.execute(ward.guardian, leverage, MARKET, word(20_000))
    assert await market.call("maxLeverage", MARKET) == 20_000
    getter = "isOrderTypeClosed(bytes32,uint8)"
    pins = ((2, word(1)),)
    close = Scope(market.address, "setOrderTypeClosed(bytes32,uint8,bool)", getter, 1, pins=pins)
    await ward.execute(ward.guardian, await ward.allow(close), MARKET, word(3), word(1))
    assert await market.call("isOrderTypeClosed", MARKET, 3)
    assert not await market.call("isOrderTypeClosed", MARKET, 2)


async def test_only_the_safe_configures(ward: Ward) -> None:
    """[MODULE] Only the Safe grants, revokes, allows and disallows, and it does so at once."""
    scope = pause_scope(ward.pausable)
    allowed = await ward.allow(scope)
    until = await time_of(ward.anvil) + DAY_S
    for caller in (ward.guardian, ward.stranger, ward.module.address):
        await ward.anvil.call("anvil_impersonateAccount", caller)
        await ward.anvil.fund(caller, 10**18)
        for name, arguments in (
            ("grant", (caller, until, 60, 9)),
            ("revoke", (ward.guardian,)),
            ("allow", (scope.to_abi(),)),
            ("disallow", (allowed,)),
        ):
            assert (await ward.module.refusal(caller, name, *arguments)).name == "NotSafe", (caller, name)
    await ward.safe.must(ward.module, "revoke", ward.guardian)
    assert await ward.refused(ward.guardian, allowed) is Verdict.NO_GRANT
    await ward.grant(ward.guardian)
    await ward.safe.must(ward.module, "disallow", allowed)
    assert await ward.refused(ward.guardian, allowed) is Verdict.NO_SCOPE
    assert (await refused_by_safe(ward, "revoke", ward.stranger)).name == "NoSuchGrant"
    assert (await refused_by_safe(ward, "disallow", allowed)).name == "NoSuchScope"
    assert await ward.allow(scope) != allowed, "an id is not used again"


@pytest.mark.parametrize(
    ("key", "guardian", "seconds", "window_s", "calls"),
    [
        ("guardian", ZERO, DAY_S, 60, 1),
        ("validUntil", None, -1, 60, 1),
        ("validUntil", None, 367 * DAY_S, 60, 1),
        ("windowSeconds", None, DAY_S, 0, 1),
        ("calls", None, DAY_S, 60, 0),
    ],
)
async def test_a_grant_without_end_or_budget_is_refused(
    ward: Ward, key: str, guardian: str | None, seconds: int, window_s: int, calls: int
) -> None:
    """[MODULE] A grant ends within MAX_GRANT_SECONDS and has a budget."""
    until = await time_of(ward.anvil) + seconds
    refusal = await refused_by_safe(ward, "grant", guardian or ward.other, until, window_s, calls)
    assert (refusal.name, refusal.values) == ("BadGrant", (key,))


async def test_the_safe_and_the_module_and_an_empty_account_are_no_targets(ward: Ward) -> None:
    """[MODULE] A scope's target is a contract, and neither the Safe nor this module."""
    for target in (ward.safe.address, ward.module.address, ward.stranger, ZERO):
        scope = replace(pause_scope(ward.pausable), target=target, source=ward.pausable.address)
        refusal = await refused_by_safe(ward, "allow", scope.to_abi())
        assert (refusal.name, refusal.values) == ("BadScope", ("target",)), target


async def test_a_scope_whose_positions_are_not_there_is_refused(ward: Ward) -> None:
    """[MODULE] A scope says how its effect is read, and every position it names is there."""
    good = supply_cap_scope(ward.market, 100)
    for key, bad in (
        ("reading.source", replace(good, source=ward.stranger)),
        ("reading.arguments", replace(good, getter="supplyCap(bytes32,bytes32,bytes32)")),
        ("arguments", replace(good, function=f"f({','.join(['uint256'] * 17)})")),
        ("moved", replace(good, moved=2)),
        ("pins.position", replace(good, pins=((2, MARKET),))),
        ("pins.position", replace(good, pins=((0, MARKET), (0, OTHER_MARKET)))),
        ("pins.position", replace(good, pins=((1, word(1)), (0, MARKET)))),
    ):
        refusal = await refused_by_safe(ward, "allow", bad.to_abi())
        assert (refusal.name, refusal.values) == ("BadScope", (key,))
    assert (await ward.module.call("scopeOf", await ward.allow(good)))[0] == ward.market.address
    assert (await refused_by_safe(ward, "scopeOf", 99)).name == "NoSuchScope"


async def test_a_repeat_of_what_is_in_effect_is_free_and_does_nothing(ward: Ward) -> None:
    """[MODULE] What is in effect already is not called again and costs nothing of the budget."""
    await ward.grant(ward.other)
    pause = await ward.allow(pause_scope(ward.pausable))
    cap = await ward.allow(supply_cap_scope(ward.market, 100))
    await ward.execute(ward.guardian, pause)
    for guardian in (ward.guardian, ward.other):
        for _ in range(5):
            assert (await ward.probe(guardian, pause))[0] is Verdict.IN_EFFECT
            sent = await ward.module.must(guardian, "execute", pause, [])
            assert sent.events == ("AlreadyInEffect",)
            sent = await ward.module.must(guardian, "execute", cap, [MARKET, word(1_000)])
            assert sent.events == ("AlreadyInEffect",)
    assert (await ward.probe(ward.guardian, pause))[1] == 2
    assert (await ward.probe(ward.other, pause))[1] == 3
    await ward.safe.must(ward.pausable, "unpause")
    await ward.execute(ward.guardian, pause)
    assert (await ward.probe(ward.guardian, pause))[1] == 1, "to do again what the owners undid is no repeat"


async def test_nothing_of_the_safes_ether_moves_and_its_code_is_not_lent(ward: Ward) -> None:
    """[MODULE] The Safe calls with no value and never delegates."""
    await ward.anvil.fund(ward.safe.address, 10**18)
    pause = await ward.allow(pause_scope(ward.pausable))
    owner_word = "0x3"  # the Safe's list of owners; a delegated `pause()` would have written the Safe's own storage
    before = await ward.anvil.call("eth_getStorageAt", ward.safe.address, owner_word, "latest")
    await ward.execute(ward.guardian, pause)
    assert await ward.pausable.call("paused"), "the target's storage was written"
    assert await ward.anvil.call("eth_getStorageAt", ward.safe.address, owner_word, "latest") == before
    assert int(await ward.anvil.call("eth_getBalance", ward.safe.address, "latest"), 16) == 10**18
    paid = {"from": ward.guardian, "to": ward.module.address, "value": "0x1",
            "data": "0x" + ward.module.data("execute", pause, []).hex(), "gas": "0x100000"}  # fmt: skip
    sent = await ward.anvil.call("eth_sendTransaction", paid)
    await go_to(ward.anvil, DAY_S)
    assert (await ward.anvil.wait_receipt(sent))["status"] == "0x0", "the module takes no ether"


async def test_a_call_without_its_effect_is_undone(ward: Ward) -> None:
    """[MODULE] A call that does not bring about its effect is undone, and costs nothing of the budget."""
    faulty = await deploy(ward.anvil, "FaultyTarget")
    pause = await ward.allow(pause_scope(faulty))
    for mode, name, values in (
        (1, "the lever is stuck", ()),
        (2, "TooHot", (451,)),
        (3, "no reason", ()),
        (4, "Panic", (1,)),
        (6, "NoEffect", (0, 1)),
    ):
        await faulty.must(ward.stranger, "setMode", mode)
        refusal = await ward.module.refusal(ward.guardian, "execute", pause, [])
        assert (refusal.name, refusal.values) == (name, values), mode
    assert await ward.probe(ward.guardian, pause) == (Verdict.ALLOWED, 3, 0, (await ward.probe(ward.guardian, 0))[3])
    await faulty.must(ward.stranger, "setMode", 5)  # burns all gas, so nothing is left to say why
    assert not (await ward.module.send(ward.guardian, "execute", pause, [])).is_success
    await faulty.must(ward.stranger, "setMode", 0)
    await ward.execute(ward.guardian, pause)


async def test_a_forgotten_pin_does_not_open(ward: Ward) -> None:
    loose = await ward.allow(replace(freeze_scope(ward.market), pins=()))
    refusal = await ward.module.refusal(ward.guardian, "execute", loose, [MARKET, word(0)])
    assert (refusal.name, refusal.values) == ("NoEffect", (0, 1))
    await ward.execute(ward.guardian, loose, MARKET, word(1))
    assert (await ward.probe(ward.guardian, loose, MARKET, word(0)))[0] is Verdict.IN_EFFECT
    assert (await ward.module.must(ward.guardian, "execute", loose, [MARKET, word(0)])).events == ("AlreadyInEffect",)
    assert await ward.market.call("isFrozen", MARKET)


async def test_a_stranger_and_a_guardian_whose_time_is_over_are_refused(ward: Ward) -> None:
    """[MODULE] Only a guardian whose grant has not ended acts."""
    pause = await ward.allow(pause_scope(ward.pausable))
    assert await ward.refused(ward.stranger, pause) is Verdict.NO_GRANT
    assert await ward.refused(ward.safe.anvil.accounts[0], pause) is Verdict.NO_GRANT
    end = (await ward.probe(ward.guardian, pause))[3]
    await go_to(ward.anvil, end - START_S)
    assert await ward.refused(ward.guardian, pause) is Verdict.EXPIRED
    await ward.grant(ward.guardian)
    await ward.execute(ward.guardian, pause)


async def test_another_function_and_another_target_are_refused(ward: Ward) -> None:
    """[MODULE] Only a function of a target that the Safe allowed is called."""
    pause = await ward.allow(pause_scope(ward.pausable))
    twin = await deploy(ward.anvil, "PausableTarget", ward.safe.address, ward.safe.address)
    assert await ward.refused(ward.guardian, pause + 1) is Verdict.NO_SCOPE
    assert await ward.refused(ward.guardian, 0) is Verdict.NO_SCOPE
    assert await ward.refused(ward.guardian, 2**256 - 1) is Verdict.NO_SCOPE
    await ward.execute(ward.guardian, pause)
    assert not await twin.call("paused")
    # neither the guardian nor the module reaches the Safe by another way
    for caller in (ward.guardian, ward.stranger):
        direct = call_data(
            "execTransactionFromModule(address,uint256,bytes,uint8)",
            *(ward.pausable.address, 0, ward.pausable.data("unpause"), 0),
        )
        assert not (await send_raw(ward.anvil, caller, ward.safe.address, direct)).is_success
    assert await ward.pausable.call("paused")


async def test_missing_further_and_unpinned_arguments_are_refused(ward: Ward) -> None:
    """[MODULE] Arguments are whole words, as many as the scope says, and each pinned one has its value."""
    freeze = await ward.allow(freeze_scope(ward.market))
    pause = await ward.allow(pause_scope(ward.pausable))
    for arguments in (
        (),
        (MARKET,),
        (MARKET, word(1), word(0)),
        (OTHER_MARKET, word(1)),
        (MARKET, word(0)),
        (MARKET, word(2)),
        (MARKET[:31] + b"\0", word(1)),
    ):
        assert await ward.refused(ward.guardian, freeze, *arguments) is Verdict.WRONG_ARGUMENTS, arguments
    assert await ward.refused(ward.guardian, pause, word(0)) is Verdict.WRONG_ARGUMENTS
    # Bytes beyond the call's own end reach nobody: the target gets the selector and the words.
    data = ward.module.data("execute", pause, []) + selector("unpause()") + bytes(64)
    assert (await send_raw(ward.anvil, ward.guardian, ward.module.address, data)).is_success
    assert await ward.pausable.call("paused")
    # Calldata that ends early, is shorter than a selector, or claims more words than it has, does not decode.
    whole = ward.module.data("execute", freeze, [MARKET, word(1)])
    huge = whole[:68] + word(2**255) + whole[100:]
    for broken in (b"", whole[:3], whole[:4], whole[:-1], whole[:-32], huge):
        assert not (await send_raw(ward.anvil, ward.guardian, ward.module.address, broken)).is_success
    assert not await ward.market.call("isFrozen", MARKET)


async def test_a_target_that_lost_its_code_is_not_called(ward: Ward) -> None:
    """[MODULE] Where no code is, nothing is called."""
    mirror = await deploy(ward.anvil, "FaultyTarget")
    pause = await ward.allow(replace(pause_scope(ward.pausable), source=mirror.address))
    await ward.anvil.call("anvil_setCode", ward.pausable.address, "0x")
    assert await ward.refused(ward.guardian, pause) is Verdict.NO_CODE


async def test_an_effect_that_cannot_be_read_bars_the_call(ward: Ward) -> None:
    """[MODULE] What cannot be read is not acted on."""
    faulty = await deploy(ward.anvil, "FaultyTarget")
    pause = await ward.allow(pause_scope(faulty))
    late = await ward.allow(replace(pause_scope(faulty), word=1))
    for mode in (7, 8):
        await faulty.must(ward.stranger, "setMode", mode)
        assert await ward.refused(ward.guardian, pause) is Verdict.UNREADABLE
    await faulty.must(ward.stranger, "setMode", 0)
    assert await ward.refused(ward.guardian, late) is Verdict.UNREADABLE, "the answer has one word"
    await ward.execute(ward.guardian, pause)


async def test_a_cap_only_falls_and_a_rate_only_rises(ward: Ward) -> None:
    """[MODULE] What may be lowered only falls, down to the bound; what may be raised only rises, up to it."""
    await ward.grant(ward.guardian, calls=99)
    cap = await ward.allow(supply_cap_scope(ward.market, 100))
    rate = await ward.allow(rate_scope(ward.market, 2_000))
    for value in (1_001, 2**256 - 1, 99, 0):  # 0 would be no cap
        assert await ward.refused(ward.guardian, cap, MARKET, word(value)) is Verdict.NOT_TIGHTER, value
    await ward.execute(ward.guardian, cap, MARKET, word(400))
    assert await ward.refused(ward.guardian, cap, MARKET, word(401)) is Verdict.NOT_TIGHTER
    await ward.execute(ward.guardian, cap, MARKET, word(100))
    for value in (299, 0, 2_001, 2**256 - 1):
        assert await ward.refused(ward.guardian, rate, MARKET, word(value)) is Verdict.NOT_TIGHTER, value
    await ward.execute(ward.guardian, rate, MARKET, word(2_000))
    assert await ward.refused(ward.guardian, rate, MARKET, word(300)) is Verdict.NOT_TIGHTER


async def test_one_guardian_exhausts_only_his_own_budget(ward: Ward) -> None:
    """[MODULE] A guardian makes at most his calls in a window, and nobody else's calls count."""
    await ward.grant(ward.other, calls=1, window_s=600)
    pause = await ward.allow(pause_scope(ward.pausable))
    for left in (2, 1, 0):
        await ward.execute(ward.guardian, pause)
        assert (await ward.probe(ward.guardian, pause))[1] == left
        await ward.safe.must(ward.pausable, "unpause")
    assert await ward.refused(ward.guardian, pause) is Verdict.NO_BUDGET
    window_ends = (await ward.probe(ward.guardian, pause))[2]
    await ward.execute(ward.other, pause)
    await ward.safe.must(ward.pausable, "unpause")
    assert await ward.refused(ward.other, pause) is Verdict.NO_BUDGET
    await go_to(ward.anvil, window_ends - START_S)
    assert (await ward.probe(ward.guardian, pause))[1:3] == (3, 0)
    await ward.execute(ward.guardian, pause)


async def test_a_module_that_is_not_enabled_says_so(ward: Ward) -> None:
    pause = await ward.allow(pause_scope(ward.pausable))
    sentinel = "0x" + "00" * 19 + "01"
    disable = call_data("disableModule(address,address)", sentinel, ward.module.address)
    assert (await ward.safe.exec(ward.safe.address, disable)).is_success
    assert (await ward.probe(ward.guardian, pause))[0] is Verdict.MODULE_DISABLED
    assert (await ward.module.refusal(ward.guardian, "execute", pause, [])).name == "GS104"


async def test_a_target_that_calls_back_gains_nothing(ward: Ward) -> None:
    evil: Contract = await deploy(ward.anvil, "ReentrantTarget")
    pause = await ward.allow(pause_scope(evil))
    other = await ward.allow(pause_scope(ward.pausable))
    # A stranger's contract that calls back is a stranger.
    await evil.must(ward.stranger, "setCall", ward.module.address, ward.module.data("execute", other, []))
    await ward.execute(ward.guardian, pause)
    assert await evil.call("successes") == 0
    assert not await ward.pausable.call("paused")
    # A target that is a guardian itself, and calls back for itself, pays for each call.
    await ward.grant(evil.address, calls=2)
    await evil.must(ward.stranger, "unpause")
    await evil.must(ward.stranger, "setCall", ward.module.address, ward.module.data("execute", pause, []))
    await evil.must(ward.stranger, "run")
    assert await evil.call("paused")
    assert (await ward.probe(evil.address, pause))[1] <= 1
    assert (await ward.probe(ward.guardian, pause))[1] == 2, "it paid of its own budget"
    # Nor can a target make the Safe configure the module.
    await evil.must(ward.stranger, "unpause")
    grant = ward.module.data("grant", ward.stranger, await time_of(ward.anvil) + DAY_S, 60, 9)
    await evil.must(ward.stranger, "setCall", ward.module.address, grant)
    await ward.execute(ward.guardian, pause)
    assert (await ward.probe(ward.stranger, pause))[0] is Verdict.NO_GRANT


async def test_a_module_guard_may_refuse_and_a_transaction_guard_does_not_see_modules(anvil: Anvil) -> None:
    guard = await deploy(anvil, "RefusingGuard")
    for version, setter, is_refused in (("1.4.1", "setGuard", False), ("1.5.0", "setModuleGuard", True)):
        ward = await open_ward(anvil, version)
        await ward.grant(ward.guardian)
        pause = await ward.allow(pause_scope(ward.pausable))
        assert (await ward.safe.exec(ward.safe.address, call_data(f"{setter}(address)", guard.address))).is_success
        if is_refused:
            assert (await ward.module.refusal(ward.guardian, "execute", pause, [])).name == "guarded"
        else:
            await ward.execute(ward.guardian, pause)


async def test_a_safe_that_delegates_to_the_module_configures_nothing(ward: Ward) -> None:
    until = await time_of(ward.anvil) + DAY_S
    for data in (
        ward.module.data("grant", ward.stranger, until, 60, 9),
        ward.module.data("allow", pause_scope(ward.pausable).to_abi()),
        ward.module.data("execute", 1, []),
    ):
        assert not (await ward.safe.exec(ward.module.address, data, operation=DELEGATECALL)).is_success
    assert (await ward.probe(ward.stranger, 1))[0] is Verdict.NO_GRANT
    assert await ward.module.call("scopeCount") == 0


async def test_the_nodes_own_encoder_writes_the_call(ward: Ward) -> None:
    freeze = await ward.allow(freeze_scope(ward.market))
    words = ["0x" + value.hex() for value in (MARKET, word(1))]
    calldata = encode_call(parse_function("execute(uint256,bytes32[])"), [freeze, words])
    assert calldata == ward.module.data("execute", freeze, [MARKET, word(1)])
    probe = parse_function("probe(address,uint256,bytes32[])(uint8,uint16,uint64,uint64)")
    answer = await call_raw(ward.anvil, ward.module.address, encode_call(probe, [ward.guardian, freeze, words]))
    assert decode_result(probe, answer)[:2] == (Verdict.ALLOWED, 3)


async def test_a_module_belongs_to_a_contract(anvil: Anvil) -> None:
    with pytest.raises(Refusal, match="BadSafe"):
        await deploy(anvil, "TocsinGuardianModule", anvil.accounts[5])
