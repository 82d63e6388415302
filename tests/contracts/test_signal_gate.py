"""The signal gate: what k of n attesters can do, and that nothing else closes anything. Docstrings name the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_kit import START_S, Refusal, deploy, go_to, time_of
from gate_kit import ATTESTER_KEYS, HALT_S, INCIDENT, SCOPE, GateBench, Level, open_gate
from safe_kit import address_of_secret
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.signing import keccak256, sign_digest

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
async def bench(anvil: Anvil) -> GateBench:
    return await open_gate(anvil)


async def test_three_of_five_halt_a_protocol_which_is_restricted_afterwards(bench: GateBench) -> None:
    """[LEVEL] A halt lapses by itself to RESTRICTED, and time never leads to NORMAL."""
    await bench.target.must(bench.stranger, "deposit")
    await bench.attest(await bench.new(), bench.keys[1:4])
    assert await bench.level() is Level.HALTED
    assert (await bench.target.refusal(bench.stranger, "withdraw")).values == (Level.HALTED,)
    ends = await bench.gate.call("haltedUntil", SCOPE)
    await go_to(bench.anvil, ends - START_S - 5)
    assert await bench.level() is Level.HALTED
    await go_to(bench.anvil, ends - START_S)
    assert await bench.level() is Level.RESTRICTED
    await bench.target.must(bench.stranger, "withdraw")
    assert (await bench.target.refusal(bench.stranger, "deposit")).name == "ClosedBySignals"
    await go_to(bench.anvil, ends - START_S + 10 * 365 * 86_400)
    assert await bench.level() is Level.RESTRICTED
    await bench.gate.must(bench.owner, "arm", SCOPE, HALT_S)
    await bench.target.must(bench.stranger, "deposit")


async def test_a_level_is_reached_once_until_the_owner_arms_again(bench: GateBench) -> None:
    """[LEVEL] A level is only raised, and each is reached once until the owner resets."""
    await bench.attest(await bench.new(Level.RESTRICTED), bench.keys[:3])
    again = await bench.new(Level.RESTRICTED, incident=keccak256(b"another"))
    assert (await bench.refused(again, bench.sign(again, bench.keys[:3]))).name == "NotAbove"
    await bench.attest(await bench.new(Level.HALTED), bench.keys[:3])
    await go_to(bench.anvil, await bench.gate.call("haltedUntil", SCOPE) - START_S)
    for level in (Level.RESTRICTED, Level.HALTED):
        fresh = await bench.new(level, incident=keccak256(b"fresh"))
        assert (await bench.refused(fresh, bench.sign(fresh, bench.keys))).name == "NotAbove"
    await bench.gate.must(bench.owner, "arm", SCOPE, HALT_S)
    await bench.attest(await bench.new(Level.HALTED, epoch=2), bench.keys[2:5])


async def test_arming_is_the_owners_and_ends_what_was_attested(bench: GateBench) -> None:
    """[GATE] Only the owner arms, disarms and opens; each makes what was attested before worthless."""
    for name, arguments in (("arm", (SCOPE, HALT_S)), ("disarm", (SCOPE,)), ("setAttesters", ([bench.stranger], 1))):
        refusal = await bench.gate.refusal(bench.stranger, name, *arguments)
        assert refusal.name == "OwnableUnauthorizedAccount", name
    for seconds in (0, 7 * 86_400 + 1):
        assert (await bench.gate.refusal(bench.owner, "arm", SCOPE, seconds)).name == "BadHalt"
    attestation = await bench.new()
    signatures = bench.sign(attestation, bench.keys[:3])
    await bench.gate.must(bench.stranger, "attest", *attestation.arguments(signatures))
    await bench.gate.must(bench.owner, "arm", SCOPE, HALT_S)
    assert await bench.level() is Level.NORMAL
    assert (await bench.refused(attestation, signatures)).name in {"NotAttester", "NotAscending"}
    assert await bench.gate.call("armOf", SCOPE) == (2, HALT_S)


async def test_a_disarmed_scope_is_open_whoever_signs(bench: GateBench) -> None:
    """[GATE] A scope that is not armed is not closed."""
    await bench.attest(await bench.new(), bench.keys[:3])
    await bench.gate.must(bench.owner, "disarm", SCOPE)
    assert await bench.level() is Level.NORMAL
    for scope, epoch in ((SCOPE, 2), (keccak256(b"never armed"), 0)):
        attestation = replace(await bench.new(epoch=epoch), scope=scope)
        assert (await bench.refused(attestation, bench.sign(attestation, bench.keys))).name == "NotArmed"


@pytest.mark.parametrize("level", [0, 3, 255])
async def test_no_attestation_opens(bench: GateBench, level: int) -> None:
    """[GATE] An attestation restricts or halts; no other level can be attested."""
    await bench.attest(await bench.new(Level.RESTRICTED), bench.keys[:3])
    attestation = await bench.new(level)
    assert (await bench.refused(attestation, bench.sign(attestation, bench.keys))).name == "BadLevel"
    assert await bench.level() is Level.RESTRICTED


async def test_an_attestation_from_tomorrow_or_yesterday_or_for_too_long_is_refused(bench: GateBench) -> None:
    """[GATE] It counts from `issued` to `expires`, which are at most MAX_ATTESTATION_SECONDS apart."""
    made = await bench.new()
    for issued, expires in (
        (made.issued + 3_000, made.issued + 3_600),
        (made.issued - 600, made.issued - 1),
        (made.issued - 10, made.issued + 3_591),
        (made.issued + 10, made.issued - 10),
        (made.issued, 2**64 - 1),
    ):
        attestation = replace(made, issued=issued, expires=expires)
        assert (await bench.refused(attestation, bench.sign(attestation, bench.keys))).name == "NotInTime"
    longest = replace(made, issued=made.issued - 10, expires=made.issued + 3_590)
    await bench.attest(longest, bench.keys[:3])


async def test_a_signature_for_something_else_is_worthless_here(bench: GateBench) -> None:
    """[GATE] A signature is for one chain, gate, scope, epoch, incident, level and time."""
    made = await bench.new()
    assert await bench.gate.call("digest", SCOPE, INCIDENT, 2, made.issued, made.expires) == made.digest(
        bench.gate.address
    )
    twin = await deploy(bench.anvil, "TocsinSignalGate", bench.owner, [address_of_secret(key) for key in bench.keys], 3)
    digests = [
        made.digest(twin.address),
        made.digest(bench.gate.address, chain_id=1),
        *(
            replace(made, **{field: value}).digest(bench.gate.address)
            for field, value in (
                ("scope", keccak256(b"another")),
                ("epoch", 2),
                ("incident", keccak256(b"another")),
                ("level", 1),
                ("issued", made.issued - 1),
                ("expires", made.expires + 1),
            )
        ),
    ]
    for digest in digests:
        signatures = b"".join(sign_digest(key, digest) for key in bench.keys)
        assert (await bench.refused(made, signatures)).name in {"NotAttester", "NotAscending"}
    assert await bench.level() is Level.NORMAL


async def test_too_few_and_torn_signatures_are_refused(bench: GateBench) -> None:
    """[GATE] Whole signatures, and no fewer than the threshold in force."""
    made = await bench.new()
    three = bench.sign(made, bench.keys[:3])
    for signatures in (b"", three[:64], three[:128], three[:-1], three + b"\0", three[1:]):
        assert (await bench.refused(made, signatures)).name == "BadSignatures"
    addresses = await bench.gate.call("attesters")
    await bench.gate.must(bench.owner, "setAttesters", addresses, 4)
    assert (await bench.refused(made, three)).name == "BadSignatures"
    await bench.gate.must(bench.owner, "setAttesters", addresses, 2)
    await bench.attest(made, bench.keys[:3])  # more than enough is enough


async def test_a_signature_has_one_spelling(bench: GateBench) -> None:
    """[GATE] Compact signatures with a low s: no signature has a second spelling."""
    made = await bench.new()
    good = bench.sign(made, bench.keys[:3])
    r, vs = good[:32], int.from_bytes(good[32:64])
    parity, s = vs >> 255, vs & (2**255 - 1)
    high_s = (ORDER - s).to_bytes(32)
    assert high_s[0] >> 7, "a high s needs the bit that holds the parity"
    spellings = {
        "the other parity": r + ((1 - parity) << 255 | s).to_bytes(32),
        "high s": r + high_s,
        "high s, just fitting": r + (ORDER // 2 + 1).to_bytes(32),
        "s 0": r + bytes(32),
        "r 0": bytes(32) + good[32:64],
        "r of the order": ORDER.to_bytes(32) + good[32:64],
    }
    for name, first in spellings.items():
        refusal = await bench.refused(made, first + good[64:])
        assert refusal.name in {"ECDSAInvalidSignature", "ECDSAInvalidSignatureS", "NotAttester", "NotAscending"}, name
    digest = made.digest(bench.gate.address)
    loose = sign_digest(bench.keys[0], digest) + bytes((27,))
    refused = await bench.refused(made, loose + bench.sign(made, bench.keys[1:3]))
    assert refused.name == "BadSignatures", "65 bytes are no compact signature"
    await bench.gate.must(bench.stranger, "attest", *made.arguments(good))


async def test_nobody_counts_twice(bench: GateBench) -> None:
    """[GATE] Signers ascend by address: none counts twice."""
    made = await bench.new()
    one, two, three = bench.keys[:3]
    for keys in ((one, one, one), (one, one, two), (one, two, two), (three, two, one), (one, three, two)):
        assert (await bench.refused(made, bench.sign(made, keys))).name == "NotAscending"


async def test_a_removed_attester_and_a_stranger_do_not_count(bench: GateBench) -> None:
    """[GATE] Each of them is an attester now."""
    made = await bench.new()
    strangers = sorted((*bench.keys[:2], ATTESTER_KEYS[20]), key=address_of_secret)
    assert (await bench.refused(made, bench.sign(made, strangers))).name == "NotAttester"
    signatures = bench.sign(made, bench.keys[:3])
    kept = [address_of_secret(key) for key in bench.keys[1:]]
    await bench.gate.must(bench.owner, "setAttesters", kept, 3)
    assert (await bench.refused(made, signatures)).values == (0, address_of_secret(bench.keys[0]))
    assert await bench.gate.call("isAttester", kept[0])
    await bench.attest(made, bench.keys[1:4])


async def test_a_set_that_cannot_work_is_refused(bench: GateBench) -> None:
    """[GATE] There are 1 to MAX_ATTESTERS attesters by ascending address, and the threshold is one they can reach."""
    every = [address_of_secret(key) for key in ATTESTER_KEYS]
    for attesters, threshold, reason in (
        (every[:33], 3, "more than MAX_ATTESTERS"),
        (every[:3], 4, "threshold"),
        (every[:3], 0, "threshold"),
        ([], 0, "threshold"),
        ([every[0], every[0]], 1, "not ascending"),
        ([every[1], every[0]], 1, "not ascending"),
        (["0x" + "00" * 20, every[0]], 1, "not ascending"),
    ):
        refusal = await bench.gate.refusal(bench.owner, "setAttesters", attesters, threshold)
        assert (refusal.name, refusal.values) == ("BadAttesters", (reason,))
        with pytest.raises(Refusal, match="BadAttesters"):
            await deploy(bench.anvil, "TocsinSignalGate", bench.owner, attesters, threshold)
    await bench.gate.must(bench.owner, "setAttesters", every[:32], 32)
    await bench.attest(await bench.new(), ATTESTER_KEYS[:32])
    assert await time_of(bench.anvil) < await bench.gate.call("haltedUntil", SCOPE)


async def test_a_minority_that_lies_reaches_nothing(bench: GateBench) -> None:
    made = await bench.new()
    liars = bench.keys[:2]
    for keys in (liars, (*liars, liars[1]), (liars[0], liars[0], *liars)):
        with pytest.raises(Refusal):
            await bench.attest(made, keys)
    outsiders = ATTESTER_KEYS[10:12]
    with pytest.raises(Refusal, match="NotAttester"):
        await bench.attest(made, sorted((*liars, *outsiders), key=address_of_secret))
    assert await bench.level() is Level.NORMAL
