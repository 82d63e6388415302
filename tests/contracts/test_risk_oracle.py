"""The risk oracle and its feeds: what reports are taken, and what several of them come to. Docstrings name the rule."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from contract_kit import START_S, Refusal, deploy, go_to, time_of
from oracle_kit import (
    INCIDENT,
    MILLION_USD,
    SIGNER_KEYS,
    SUBJECT,
    OracleBench,
    arguments_of,
    later,
    make_report,
    open_oracle,
    words_of,
)
from safe_kit import address_of_secret
from tocsin_node.demo.anvil import Anvil
from tocsin_node.risk_push import find_stories
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.ids import NO_DIGEST, account_of
from tocsin_protocol.risk.aggregate import Aggregate, Quorum, aggregate
from tocsin_protocol.risk.report import (
    MAX_AHEAD_MS,
    MAX_LIFETIME_MS,
    MAX_MULTIPLIER_BPS,
    OracleDomain,
    SignedReport,
    open_report,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import LEGAL, RiskState
from tocsin_protocol.signing import keccak256, sign_digest

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
OTHER = keccak256(b"incident 2")
# Each takes some tenths of a second.
HISTORIES = 30


@pytest.fixture
async def bench(anvil: Anvil) -> OracleBench:
    return await open_oracle(anvil)


async def test_two_of_three_say_how_a_subject_stands_and_one_liar_changes_nothing(bench: OracleBench) -> None:
    """
    [ORACLE] The state is the worst that as many signers as the threshold report, or worse.
    [ORACLE] What is recovering or worse has no capacity, whatever the median.
    """
    confirmed = await bench.report(state=RiskState.CONFIRMED)
    await bench.all_say(confirmed, confirmed, make_report(confirmed.observed, capacity_bps=10_000))
    assert await bench.state() is RiskState.CONFIRMED
    assert (await bench.status())[3] == 0
    assert (await bench.losses())[0] == INCIDENT
    over = later(confirmed, state=RiskState.RESOLVED, capacity_bps=9_000, posterior_ppm=0)
    await bench.all_say(over, over, later(confirmed))
    assert await bench.state() is RiskState.RESOLVED
    assert (await bench.status())[3] == 9_000


async def test_one_alone_closes_nothing(bench: OracleBench) -> None:
    quiet = await bench.report()
    await bench.all_say(quiet, quiet, await bench.report(state=RiskState.CONFIRMED, multiplier_bps=10**9))
    assert (await bench.status())[:5] == (RiskState.NONE, 100, 10_000, 9_000, 3)


async def test_numbers_are_medians_of_which_the_more_cautious_counts(bench: OracleBench) -> None:
    """[ORACLE] Every other number is the median; of two in the middle the lower capacity, else the higher number."""
    quiet = await bench.report()
    values = ((4_000, 20_000, 10), (6_000, 30_000, 20), (10_000, 10_000, 90))
    reports = [
        replace(
            quiet, capacity_bps=c, multiplier_bps=m, tvl_at_risk=t * MILLION_USD, loss_p50=0, loss_p90=0, loss_p99=0
        )
        for c, m, t in values
    ]
    await bench.submit(*(bench.say(key, report) for key, report in zip(bench.keys[:2], reports[:2], strict=True)))
    assert (await bench.status())[2:4] == (30_000, 4_000)
    assert (await bench.losses())[1] == 20 * MILLION_USD
    await bench.submit(bench.say(bench.keys[2], reports[2]))
    assert (await bench.status())[2:4] == (20_000, 6_000)
    assert (await bench.losses())[1] == 20 * MILLION_USD


async def test_too_few_fresh_reports_are_unknown_and_never_open(bench: OracleBench) -> None:
    """
    [ORACLE] With fewer fresh reports than the threshold the state is UNKNOWN, capacity 0, the multiplier the highest.
    [ORACLE] What a signer said counts while he is one, and while it is fresh.
    [RISKFEED] Where the state is UNKNOWN, the capacity is 0 as of time 0, and there is no multiplier.
    """
    unknown = (RiskState.UNKNOWN, 0, MAX_MULTIPLIER_BPS, 0)
    assert (await bench.status())[:5] == (*unknown, 0)
    quiet = await bench.report()
    await bench.submit(bench.say(bench.keys[0], quiet))
    assert (await bench.status())[:5] == (*unknown, 1)
    assert await bench.losses() == (NO_DIGEST, 0, 0, 0, 0, 0, 0, 0)
    await bench.submit(bench.say(bench.keys[1], quiet))
    assert await bench.state() is RiskState.NONE
    await go_to(bench.anvil, quiet.expires // 1_000 - 1 - START_S)
    assert await bench.state() is RiskState.NONE
    await go_to(bench.anvil, quiet.expires // 1_000 - START_S)
    assert (await bench.status())[:5] == (*unknown, 0)
    assert await bench.capacity.call("latestRoundData") == (0, 0, 0, 0, 0)
    with pytest.raises(Refusal, match="NoDataPresent"):
        await bench.multiplier.call("latestRoundData")


async def test_a_removed_signer_counts_no_more(bench: OracleBench) -> None:
    quiet = await bench.report()
    await bench.all_say(quiet, quiet)
    kept = [address_of_secret(key) for key in bench.keys[1:]]
    await bench.oracle.must(bench.owner, "setSigners", kept, 2)
    assert await bench.state() is RiskState.UNKNOWN
    assert (await bench.refused(bench.say(bench.keys[0], later(quiet)))).name == "NotSigner"
    assert (await bench.oracle.refusal(bench.stranger, "setSigners", kept, 1)).name == "OwnableUnauthorizedAccount"


async def test_a_feed_has_the_shape_of_an_aggregator(bench: OracleBench) -> None:
    """
    [RISKFEED] A round is the highest epoch that as many reports as the threshold reach, its time that of the oldest.
    [RISKFEED] Of earlier rounds there is no data.
    """
    old = await bench.report()
    await bench.anvil.mine()
    new = replace(old, observed=old.observed + 1_000, epoch=old.epoch + 1_000, multiplier_bps=15_000)
    await bench.all_say(old, new, new)
    for feed, answer in ((bench.capacity, 9_000), (bench.multiplier, 15_000)):
        found = (new.epoch, answer, old.observed // 1_000, old.observed // 1_000, new.epoch)
        assert await feed.call("latestRoundData") == found
        assert await feed.call("getRoundData", new.epoch) == found
        assert await feed.call("decimals") == 4
        assert "Tocsin" in await feed.call("description")
        for wanted in (0, old.epoch, new.epoch + 1):
            with pytest.raises(Refusal, match="NoDataPresent"):
                await feed.call("getRoundData", wanted)


async def test_a_report_is_for_one_chain_one_contract_and_every_field(bench: OracleBench) -> None:
    """[ORACLE] A signature is for one chain and one contract, and for every field."""
    report = await bench.report(state=RiskState.CONFIRMED)
    assert await bench.oracle.call("digestOf", words_of(report)) == bench.domain.digest(report)
    twin = await deploy(bench.anvil, "RiskOracle", bench.owner, [address_of_secret(key) for key in bench.keys], 2)
    for account in (account_of(bench.anvil.chain, twin.address), account_of("eip155:1", bench.oracle.address)):
        stray = sign_report(OracleDomain(account), bench.keys[0], report, b"")
        assert (await bench.refused(stray)).name == "NotSigner"
    signed = bench.say(bench.keys[0], report)
    changes: dict[str, Any] = {
        "subject": OTHER, "incident": OTHER, "state": RiskState.CONTAINED, "category": OTHER, "severity": 3,
        "previous": OTHER, "evidence_root": OTHER, "model_hash": OTHER,
        "posterior_ppm": report.posterior_ppm - 1, "multiplier_bps": 10_001, "capacity_bps": 1, "hazard_rate": 1,
        **{name: getattr(report, name) + 1 for name in ("tvl_at_risk", "loss_observed", "loss_p50", "loss_p90",
           "loss_p99", "drain_rate", "epoch", "observed", "expires")},
    }  # fmt: skip
    names = [name for name in report.__slots__]
    assert set(changes) == set(names)
    for name, value in changes.items():
        words = list(words_of(report))
        words[names.index(name)] = int(value) if isinstance(value, int) else value
        refusal = await bench.oracle.refusal(bench.stranger, "submit", [tuple(words)], signed.signature)
        assert refusal.name == "NotSigner", name
    await bench.submit(signed)


async def test_torn_and_missing_signatures_are_refused(bench: OracleBench) -> None:
    """[ORACLE] Each report comes with one whole signature."""
    report = await bench.report()
    one, two = (bench.say(key, report) for key in bench.keys[:2])
    words = [words_of(report)] * 2
    for signatures in (b"", one.signature, (one.signature + two.signature)[:-1], one.signature + two.signature + b"\0"):
        refusal = await bench.oracle.refusal(bench.stranger, "submit", words, signatures)
        assert refusal.name == "BadSignatures"


async def test_a_signature_has_one_spelling(bench: OracleBench) -> None:
    """[ORACLE] Compact signatures with a low s: no signature has a second spelling."""
    signed = bench.say(bench.keys[0], await bench.report())
    r, vs = signed.signature[:32], int.from_bytes(signed.signature[32:])
    parity, s = vs >> 255, vs & (2**255 - 1)
    for spelling in (
        r + ((1 - parity) << 255 | s).to_bytes(32),
        r + (ORDER - s).to_bytes(32),
        r + bytes(32),
        bytes(32) + signed.signature[32:],
    ):
        refusal = await bench.refused(replace(signed, signature=spelling))
        assert refusal.name in {"ECDSAInvalidSignature", "ECDSAInvalidSignatureS", "NotSigner"}


async def test_signers_ascend(bench: OracleBench) -> None:
    """[ORACLE] Signers ascend by address: none counts twice."""
    report = await bench.report()
    one, two = (bench.say(key, report) for key in bench.keys[:2])
    for order in ((two, one), (one, one), (one, two, two)):
        assert (await bench.refused(*order)).name == "NotAscending"


async def test_strangers_are_refused(bench: OracleBench) -> None:
    """[ORACLE] Each of them is a signer now, and never told two stories."""
    assert (await bench.refused(bench.say(SIGNER_KEYS[20], await bench.report()))).name == "NotSigner"


async def test_two_stories_exclude_their_signer_for_good(bench: OracleBench) -> None:
    """[ORACLE] Two different reports of one signer, subject and epoch exclude him for good."""
    quiet, loud = await bench.report(), await bench.report(state=RiskState.CONFIRMED)
    loud = replace(loud, epoch=quiet.epoch)
    await bench.all_say(quiet, quiet, quiet)
    liar = bench.keys[0]
    one, other = bench.say(liar, quiet), bench.say(liar, loud)
    elsewhere = bench.say(liar, replace(loud, subject=OTHER))
    honest = bench.say(bench.keys[1], loud)
    for pair in ((one, one), (one, bench.say(liar, later(loud))), (one, elsewhere), (one, honest)):
        shown = (*(words_of(p.report) for p in pair), b"".join(p.signature for p in pair))
        assert (await bench.oracle.refusal(bench.stranger, "showEquivocation", *shown)).name == "NoEquivocation"
    outsiders = [bench.say(SIGNER_KEYS[9], report) for report in (quiet, loud)]
    shown = (*(words_of(p.report) for p in outsiders), b"".join(p.signature for p in outsiders))
    assert (await bench.oracle.refusal(bench.stranger, "showEquivocation", *shown)).name == "NoEquivocation"
    shown = (words_of(quiet), words_of(loud), one.signature + other.signature)
    sent = await bench.oracle.must(bench.stranger, "showEquivocation", *shown)
    assert "Equivocated" in sent.events
    assert (await bench.status())[4] == 2
    assert (await bench.refused(bench.say(liar, later(quiet)))).name == "Equivocator"
    await bench.oracle.must(bench.owner, "setSigners", [address_of_secret(key) for key in bench.keys], 2)
    assert (await bench.refused(bench.say(liar, later(quiet)))).name == "Equivocator"


async def test_a_report_out_of_its_time_is_refused(bench: OracleBench) -> None:
    """
    [ORACLE] A report is taken from MAX_AHEAD_MS before it was observed until it expires, MAX_LIFETIME_MS on at most.
    """
    now_ms = 1_000 * await time_of(bench.anvil)
    base = list(words_of(make_report(now_ms)))
    at = make_report(now_ms).__slots__.index("observed")

    async def refusal(observed: int, expires: int) -> str:
        words = tuple([*base[:at], observed, expires, *base[at + 2 :]])
        digest = await bench.oracle.call("digestOf", words)
        return (await bench.oracle.refusal(bench.stranger, "submit", [words], sign_digest(bench.keys[0], digest))).name

    ahead = now_ms + MAX_AHEAD_MS + 3_600_000
    for observed, expires in (
        (ahead, ahead + 1),
        (now_ms - MAX_LIFETIME_MS, now_ms),
        (now_ms, now_ms),
        (now_ms + 10_000, now_ms + 9_999),
        (now_ms, now_ms + MAX_LIFETIME_MS + 1),
        (now_ms, 2**64 - 1),
        (0, 2**64 - 1),
    ):
        assert await refusal(observed, expires) == "NotInTime", (observed, expires)


async def test_a_report_that_is_not_newer_changes_nothing(bench: OracleBench) -> None:
    """[ORACLE] Epochs of a signer rise from report to report about a subject: one that is not newer changes nothing."""
    new = await bench.report(state=RiskState.CONFIRMED)
    await bench.all_say(new, new)
    for epoch in (new.epoch, new.epoch - 1, 1):
        stale = replace(await bench.report(), epoch=epoch)
        sent = await bench.submit(*(bench.say(key, stale) for key in bench.keys[:2]))
        assert "Reported" not in sent.events
        assert await bench.state() is RiskState.CONFIRMED
    other = replace(await bench.report(), subject=OTHER, epoch=1)
    assert "Reported" in (await bench.submit(bench.say(bench.keys[0], other))).events


async def test_every_move_of_the_table_is_taken_and_no_other(bench: OracleBench) -> None:
    """[ORACLE] Nothing leads back to NONE, and in one incident nothing that was more back to SUSPECTED."""
    key, signer = bench.keys[0], address_of_secret(bench.keys[0])
    epoch = 0
    states = [state for state in RiskState if state is not RiskState.UNKNOWN]
    for before in states:
        for after in states:
            for incident in (INCIDENT, OTHER):
                subject = keccak256(f"{before} {after} {incident.hex()}".encode())
                first = replace(await bench.report(state=before), subject=subject, epoch=epoch + 1)
                second = replace(await bench.report(state=after), subject=subject, epoch=epoch + 2)
                if after is not RiskState.NONE:
                    second = replace(second, incident=incident)
                epoch += 2
                await bench.submit(bench.say(key, first))
                same = first.incident == second.incident
                legal = after in LEGAL[before] if same else after is not RiskState.NONE
                if legal:
                    await bench.submit(bench.say(key, second))
                else:
                    assert (await bench.refused(bench.say(key, second))).name == "IllegalMove"
                held = await bench.oracle.call("heldOf", subject, signer)
                assert held[:2] == ((second.epoch, after) if legal else (first.epoch, before))


async def test_numbers_that_cannot_be_are_refused(bench: OracleBench) -> None:
    """
    [ORACLE] Losses rise from the median over the 90th to the 99th percentile, up to the value at risk.
    [ORACLE] Shares are at most the whole, a multiplier is at least 1, and from RECOVERING on there is no capacity.
    [ORACLE] No report says UNKNOWN; NONE names no incident, every other state names one.
    """
    loud = await bench.report(state=RiskState.CONFIRMED)
    names = list(loud.__slots__)
    for changes, reason in (
        ({"loss_p50": loud.loss_p90 + 1}, "losses"),
        ({"loss_p90": loud.loss_p99 + 1}, "losses"),
        ({"loss_p99": loud.tvl_at_risk + 1}, "losses"),
        ({"loss_observed": loud.tvl_at_risk + 1}, "lossObserved"),
        ({"posterior_ppm": 1_000_001}, "posteriorPpm"),
        ({"multiplier_bps": 9_999}, "multiplierBps"),
        ({"multiplier_bps": MAX_MULTIPLIER_BPS + 1}, "multiplierBps"),
        ({"capacity_bps": 1}, "capacityBps"),
        ({"state": 3, "capacity_bps": 10_001}, "capacityBps"),
        ({"state": 7}, "state"),
        ({"incident": NO_DIGEST}, "incident"),
        ({"state": 0}, "incident"),
    ):
        words = list(words_of(loud))
        for name, value in changes.items():
            words[names.index(name)] = value
        digest = await bench.oracle.call("digestOf", tuple(words))
        signature = sign_digest(bench.keys[0], digest)
        refusal = await bench.oracle.refusal(bench.stranger, "submit", [tuple(words)], signature)
        assert (refusal.name, refusal.values) == ("BadReport", (0, reason))


async def test_the_incident_is_the_one_that_most_name(anvil: Anvil) -> None:
    """[ORACLE] The incident is that which most of those name, of as many the lowest id."""
    bench = await open_oracle(anvil, 5, 2)
    loud = await bench.report(state=RiskState.CONFIRMED)
    low, high = sorted((INCIDENT, OTHER))
    await bench.all_say(replace(loud, incident=high), replace(loud, incident=low))
    assert (await bench.losses())[0] == low
    await bench.submit(bench.say(bench.keys[2], replace(loud, incident=high)))
    assert (await bench.losses())[0] == high


async def test_a_set_that_cannot_work_is_refused(bench: OracleBench) -> None:
    """[ORACLE] There are 1 to MAX_SIGNERS signers by ascending address, and the threshold is one they can reach."""
    every = [address_of_secret(key) for key in SIGNER_KEYS]
    for signers, threshold, reason in (
        (every[:33], 3, "more than MAX_SIGNERS"),
        (every[:3], 4, "threshold"),
        (every[:3], 0, "threshold"),
        ([], 0, "threshold"),
        ([every[0], every[0]], 1, "not ascending"),
        (["0x" + "00" * 20, every[0]], 1, "not ascending"),
    ):
        refusal = await bench.oracle.refusal(bench.owner, "setSigners", signers, threshold)
        assert (refusal.name, refusal.values) == ("BadSigners", (reason,))


def _say_anything(chance: Random) -> dict[str, Any]:
    """One report of somebody, for some oracle: a right one, though he may lie, come too late or tell two stories."""
    state = chance.choice([state for state in RiskState if state is not RiskState.UNKNOWN])
    tvl = chance.randrange(10**18)
    p50, p90, p99 = sorted(chance.randint(0, tvl) for _ in range(3))
    return {
        "age_ms": chance.choice((-20_000, 0, 0, 20_000, -MAX_AHEAD_MS - 3_600_000, MAX_LIFETIME_MS)),
        # the last one is no signer
        "signer": chance.randrange(6),
        "domain": chance.choices(("own", "chain", "contract"), (8, 1, 1))[0],
        "about": chance.choices((0, 1), (4, 1))[0],
        "epoch": chance.randint(1, 20),
        "state": state,
        "posterior_ppm": chance.randint(0, 1_000_000),
        "multiplier_bps": chance.randint(10_000, MAX_MULTIPLIER_BPS),
        "capacity_bps": 0 if state >= RiskState.RECOVERING else chance.randint(0, 10_000),
        "tvl_at_risk": tvl,
        "loss_observed": chance.randint(0, tvl),
        "loss_p50": p50,
        "loss_p90": p90,
        "loss_p99": p99,
        "drain_rate": chance.randrange(10**18),
        "hazard_rate": chance.randint(0, 365_000_000),
        **({} if state is RiskState.NONE else {"incident": chance.choice((INCIDENT, OTHER))}),
    }


def _sign(bench: OracleBench, number: int, now_ms: int, said: dict[str, Any]) -> SignedReport:
    """A report as whoever gathers it reads it: signed for another oracle, it is some stranger's."""
    changes = {name: value for name, value in said.items() if name not in ("age_ms", "signer", "domain", "about")}
    observed = now_ms - said["age_ms"]
    report = replace(
        make_report(now_ms, **changes), subject=subject_hash(f"{SUBJECT} {number} {said['about']}"),
        observed=observed, expires=observed + MAX_LIFETIME_MS,
    )  # fmt: skip
    accounts = {
        "own": bench.domain.account,
        "chain": account_of("eip155:1", bench.oracle.address),
        "contract": account_of(bench.anvil.chain, bench.capacity.address),
    }
    secret = SIGNER_KEYS[said["signer"]]
    signed = sign_report(OracleDomain(accounts[said["domain"]]), secret, report, b"")
    return open_report(bench.domain, signed.encoded)


async def _hand_in(bench: OracleBench, signed: list[SignedReport]) -> None:
    """Each by itself, in the order of their epochs and some twice; what is refused is refused."""
    for one in sorted([*signed, *signed[::3]], key=lambda one: one.report.epoch):
        with suppress(Refusal):
            await bench.submit(one)


async def test_the_contract_comes_to_what_the_node_does_whatever_it_is_told(anvil: Anvil) -> None:
    seen: Counter[RiskState] = Counter()
    chance = Random(14)
    for number in range(HISTORIES):
        said = [_say_anything(chance) for _ in range(chance.randrange(20))]
        # who equivocates is excluded for good: each history has an oracle of its own
        bench = await open_oracle(anvil, 5, 2)
        quorum = Quorum(frozenset(bytes.fromhex(address_of_secret(key)[2:]) for key in bench.keys), 2)
        now_ms = 1_000 * await time_of(anvil)
        signed = [_sign(bench, number, now_ms, one) for one in said]
        await _hand_in(bench, signed)
        for one, other in find_stories(signed, quorum.signers):
            words = (words_of(one.report), words_of(other.report))
            await bench.oracle.must(bench.stranger, "showEquivocation", *words, one.signature + other.signature)
        for about in range(2):
            subject = subject_hash(f"{SUBJECT} {number} {about}")
            mine = aggregate(signed, quorum, subject, 1_000 * await time_of(anvil))
            seen[mine.state] += 1
            await _compare(bench, subject, mine)
    # that both found nothing each time would prove nothing
    assert len(seen) >= 6, seen


async def _compare(bench: OracleBench, subject: bytes, mine: Aggregate) -> None:
    status = tuple(await bench.oracle.call("statusOf", subject))
    assert status[:4] == (mine.state, mine.posterior_ppm, mine.multiplier_bps, mine.capacity_bps)
    assert status[7] == mine.until_ms // 100 * 100
    losses = tuple(await bench.oracle.call("lossesOf", subject))
    assert losses == (
        *(mine.incident, mine.tvl_at_risk, mine.loss_observed, mine.loss_p50, mine.loss_p90, mine.loss_p99),
        *(mine.drain_rate, mine.hazard_rate),
    )
    assert losses[3] <= losses[4] <= losses[5] <= losses[1]
    assert losses[2] <= losses[1]
    if status[0] == RiskState.UNKNOWN:
        assert status[2:4] == (MAX_MULTIPLIER_BPS, 0)
    else:
        assert status[4] == len(mine.counted)
    if status[0] >= RiskState.RECOVERING:
        assert status[3] == 0
    # The consumers read the same.
    assert (await bench.capacity.call("latestRoundData"))[1] == (await bench.status())[3]


async def test_a_liar_cannot_move_a_round_out_of_reach(bench: OracleBench) -> None:
    """A consumer that wants rounds to rise would never take another after the highest that there is."""
    quiet = await bench.report()
    await bench.all_say(quiet, quiet, replace(quiet, epoch=MAX_UINT))
    assert (await bench.capacity.call("latestRoundData"))[0] == quiet.epoch
    await bench.submit(*(bench.say(key, later(quiet)) for key in bench.keys[:2]))
    assert (await bench.capacity.call("latestRoundData"))[0] == quiet.epoch + 1


def test_what_is_submitted_is_what_nodes_keep() -> None:
    assert arguments_of([])[1] == b""
