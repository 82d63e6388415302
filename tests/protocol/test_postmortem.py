"""A report commits to all its entries; whoever is shown a part can be shown to have been shown just that."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, Feed
from report_kit import (
    acted,
    asked,
    changed,
    check,
    decided,
    earned,
    found,
    header,
    heard,
    incident,
    journal,
    said,
    salts,
    stepped_back,
)
from tocsin_protocol.decision.counterfactual import Change
from tocsin_protocol.errors import DecodeError, ProtocolError, SignatureError
from tocsin_protocol.evidence.answers import Answer
from tocsin_protocol.postmortem.entries import Answered, AnyEntry
from tocsin_protocol.postmortem.lessons import INTERNAL, LATE_MS, MAX_LESSONS, lessons_of
from tocsin_protocol.postmortem.report import (
    CommitmentError,
    Report,
    build_report,
    decode_report,
    encode_report,
    redact_report,
    strictest,
    verify_redaction,
)
from tocsin_protocol.postmortem.signing import ReportRoot, sign_root, verify_root
from tocsin_protocol.postmortem.words import money_text, span_text
from tocsin_protocol.taxonomy import Tlp


def whole() -> Report:
    entries = incident()
    return build_report(entries, salts(len(entries)))


def document(report: Report) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(encode_report(report))
    return loaded


@pytest.mark.parametrize("allowed", Tlp)
def test_a_report_is_read_as_it_was_written_and_is_a_part_of_the_whole(allowed: Tlp) -> None:
    full = whole()
    public = redact_report(full, allowed)
    assert decode_report(encode_report(public)) == public
    verify_redaction(public, full)
    assert public.root == full.root
    order = list(Tlp)
    assert all(order.index(entry.tlp) <= order.index(allowed) for entry in public.entries)
    assert len(public.entries) + public.withheld == len(full.leaves)


def test_what_is_withheld_is_nowhere_in_the_file() -> None:
    entries = [*incident(), said(2, text="Only for you: it is the treasurer's key.", tlp=Tlp.RED)]
    text = encode_report(redact_report(build_report(entries, salts(len(entries))), Tlp.AMBER_STRICT)).decode()
    assert "treasurer" not in text
    assert "pause-vault" in text


def test_equal_entries_with_other_salts_have_other_hashes() -> None:
    report = build_report([header(), said(), said()], salts(3))
    assert report.leaves[1].hash != report.leaves[2].hash


def test_the_header_is_shown_whatever_its_label() -> None:
    report = build_report([header(tlp=Tlp.RED)], salts(1))
    assert redact_report(report, Tlp.CLEAR) == report


@given(st.data())
def test_any_other_byte_breaks_the_report_or_changes_nothing(data: st.DataObject) -> None:
    report = redact_report(whole(), Tlp.AMBER)
    encoded = bytearray(encode_report(report))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    with suppress(ProtocolError):
        assert decode_report(bytes(encoded)) == report


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(format="tocsin/report/2"), "format"),
        (lambda d: d.update(note="by the way"), "unknown field"),
        (lambda d: d["leaves"][1].update(note="by the way"), "unknown field"),
        (lambda d: d["leaves"][1]["entry"].update(note="by the way"), "unknown field"),
        (lambda d: d["leaves"][1]["entry"].update(section="rumour"), "rumour"),
        (lambda d: d["leaves"][1]["entry"].update(tlp="white"), "white"),
        (lambda d: d["leaves"][1]["entry"].update(digest="AB" * 32), "entry.digest"),
        (lambda d: d["leaves"][1]["entry"].update(received_ms=-1), "received_ms"),
        (lambda d: d["leaves"][1]["entry"].update(received_ms=1.0), "whole number"),
        (lambda d: d["leaves"][4]["entry"]["steps"][0].update(reason=""), "without a value"),
        (lambda d: d["leaves"][1].update(salt="00"), "leaf 1 salt"),
        (lambda d: d["leaves"][1].update(hash="00" * 32), "a hash beside its entry"),
        (lambda d: d["leaves"][1].pop("entry"), "a salt without an entry"),
        (lambda d: d.update(root="00" * 31), "root"),
    ],
)
def test_a_report_in_another_form_is_refused_by_what_is_wrong(
    change: Callable[[dict[str, Any]], object], says: str
) -> None:
    wrong = document(whole())
    change(wrong)
    with pytest.raises(DecodeError, match=says):
        decode_report(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["leaves"][1]["entry"].update(member="delta"),
        lambda d: d["leaves"][1].update(salt="00" * 32),
        lambda d: d["leaves"].pop(),
        lambda d: d["leaves"].append(d["leaves"][-1]),
        lambda d: d["leaves"].insert(1, d["leaves"].pop(2)),
        lambda d: d["leaves"].__setitem__(1, {"hash": "00" * 32}),
        lambda d: d.update(root="00" * 32),
    ],
)
def test_a_report_that_was_changed_does_not_give_its_root(change: Callable[[dict[str, Any]], object]) -> None:
    wrong = document(whole())
    change(wrong)
    with pytest.raises(CommitmentError, match="root"):
        decode_report(json.dumps(wrong).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": NaN}', b"1" * 5000])
def test_garbage_raises_only_our_own_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_report(data)


def test_a_key_that_stands_twice_is_refused() -> None:
    text = encode_report(whole()).replace(b'"member": "brook"', b'"member": "brook", "member": "delta"')
    with pytest.raises(DecodeError, match="twice"):
        decode_report(text)


@pytest.mark.parametrize("entries", [[], [said()], [said(), header()], [header(), header()]])
def test_a_report_begins_with_its_only_header(entries: list[AnyEntry]) -> None:
    with pytest.raises(DecodeError, match="header"):
        build_report(entries, salts(len(entries)))


def test_an_entry_out_of_bounds_is_never_put_under_a_root() -> None:
    with pytest.raises(DecodeError, match="made_ms"):
        build_report([header(made_ms=-1)], salts(1))


def test_reports_of_two_runs_are_not_parts_of_each_other() -> None:
    entries = incident()
    other = build_report(entries, salts(len(entries))[::-1])
    with pytest.raises(CommitmentError, match="roots differ"):
        verify_redaction(redact_report(whole(), Tlp.CLEAR), other)


def test_a_public_report_is_not_the_whole_one() -> None:
    public = redact_report(whole(), Tlp.CLEAR)
    with pytest.raises(CommitmentError, match="withholds"):
        verify_redaction(public, public)


def test_labels_rise_from_clear_to_red() -> None:
    assert strictest([Tlp.GREEN, Tlp.AMBER_STRICT, Tlp.AMBER]) is Tlp.AMBER_STRICT
    assert strictest([]) is Tlp.CLEAR
    assert strictest([Tlp.RED, INTERNAL]) is Tlp.RED


def lesson(entries: list[AnyEntry], kind: str) -> Any:
    return next((lesson for lesson in lessons_of(entries) if lesson.kind == kind), None)


def test_what_was_lost_before_containment_is_the_largest_loss_heard_by_then() -> None:
    entries = [header(), said(lost=5), said(2, after_ms=20, lost=9), acted(), said(3, after_ms=90, lost=100)]
    assert "$9 had been reported" in lesson(entries, "lost-before").fact
    assert "No lever came into effect" in lesson(entries[:3], "lost-before").fact
    assert lesson([header(), said(), acted()], "lost-before") is None


def test_a_lever_that_was_used_later_is_told_with_what_it_waited_for() -> None:
    entries = [
        header(),
        said(),
        decided(would_with=(Change.GROUP.value,)),
        decided(2, after_ms=900),
        acted(decided_ms=900),
    ]
    told = lesson(entries, "lever-kept")
    assert "In decision 1, pause-vault would have been used with one more independent group" in told.fact
    assert "used 890 ms later" in told.fact
    assert told.question == "Who else watches this, and would have told us?"


def test_of_a_lever_that_was_never_used_the_least_that_was_missing_is_told() -> None:
    both = (Change.GROUP.value, Change.ARMED.value)
    entries = [header(), said(), decided(would_with=both), decided(2, would_with=(Change.ARMED.value,))]
    told = lesson(entries, "lever-kept")
    assert told.fact == "In decision 2, pause-vault would have been used with the lever armed."
    assert told.question == "Was it disarmed on purpose?"
    assert lesson(entries, "nothing-done").fact.endswith("Freeze with pause-vault.")
    assert lesson([header(), said(), decided(), acted()], "lever-kept") is None


def test_what_our_endpoints_could_not_say_is_told_apart() -> None:
    entries = [
        header(),
        said(),
        check(Answer.UNKNOWN, "disagreement", 1),
        check(Answer.UNKNOWN, "unavailable", 2),
        check(Answer.CONTRADICTED, number=3),
    ]
    assert "disagreed about 1 claim on eip155:1" in lesson(entries, "endpoints-disagreed").fact
    assert lesson(entries, "evidence-unknown").fact == "1 claim could not be checked: unavailable."
    assert "contradicted 1 claim" in lesson(entries, "evidence-contradicted").fact
    answered = [*entries, check(number=1), check(number=2), check(number=3)]
    for kind in ("endpoints-disagreed", "evidence-unknown", "evidence-contradicted"):
        assert lesson(answered, kind) is None, "the last answer counts"


def test_who_spoke_late_is_told_and_who_did_not_is_not() -> None:
    entries = [header(), said(), acted(), said(2, member="cedar", after_ms=40), said(3, member="delta", after_ms=60)]
    late = [item for item in lessons_of(entries) if item.kind == "member-late"]
    assert [item.fact for item in late] == [
        "The first word of delta came 60 ms after the first of anybody, when a lever was in effect already."
    ]
    entries = [header(), said(), said(2, member="cedar", after_ms=LATE_MS + 1)]
    assert "1 min 00 s after" in lesson(entries, "member-late").fact
    assert lesson([header(), said(), said(2, member="cedar", after_ms=LATE_MS)], "member-late") is None


def test_a_drill_teaches_nothing_about_members() -> None:
    assert lesson([header(), said(), said(2, member="cedar", after_ms=LATE_MS + 1, drill=True)], "member-late") is None


def test_how_long_people_took_and_who_approved() -> None:
    answer = Answered(operator=f"{1:040x}", name="ana", at_ms=asked().asked_ms + 4000)
    granted = asked(state="granted", closed_ms=asked().asked_ms + 5000, answers=(answer,))
    told = lesson([header(), said(), granted, asked()], "people-took")
    assert told.fact == (
        "The operators were asked 2 times; an answer took 5.00 s; 1 had no answer when this was made."
        " Approvals given: ana 1."
    )
    assert told.tlp is INTERNAL


def test_what_failed_what_stepped_back_and_what_took_long_is_told() -> None:
    assert "refused: the simulation" in lesson([header(), acted(effective_ms=None), journal()], "action-failed").fact
    assert "vault stood at exit-only again: stepped-back" in lesson([header(), stepped_back()], "stepped-back").fact
    slow = [header(), said(), acted(decided_ms=5000, effective_ms=5100), heard()]
    assert "took 5.00 s from the first signal" in lesson(slow, "decided-late").fact
    assert lesson([header(), said(), acted(), heard()], "decided-late") is None


def test_an_incident_that_nobody_judged_asks_to_be() -> None:
    assert lesson([header(), said()], "not-adjudicated").tlp is Tlp.CLEAR
    judged = [header(), said(), found(), earned()]
    assert lesson(judged, "not-adjudicated") is None
    assert "said nothing or took it back: cedar" in lesson(judged, "missed").fact


def test_a_signal_that_could_never_act_is_told_with_why() -> None:
    assert (
        lesson([header(), said(standing="stale")], "not-counted").fact == "1 signal could never act (stale), of brook."
    )


def test_a_lesson_stands_under_the_label_of_what_it_tells() -> None:
    entries = [header(), said(tlp=Tlp.RED, lost=1), said(2, member="cedar", after_ms=LATE_MS + 1, tlp=Tlp.CLEAR)]
    assert lesson(entries, "lost-before").tlp is Tlp.RED
    assert lesson(entries, "member-late").tlp is Tlp.RED
    assert lesson([header(), changed(decided(), tlp=Tlp.RED)], "nothing-done").tlp is Tlp.RED


def test_lessons_are_bounded() -> None:
    late = [said(n, member=f"m{n}", after_ms=LATE_MS + n) for n in range(2, MAX_LESSONS + 10)]
    assert len(lessons_of([header(), said(), *late])) == MAX_LESSONS


def test_money_and_spans_are_told_as_people_do() -> None:
    assert [money_text(usd * 1_000_000) for usd in (950, 12_400, 27_400_000)] == ["$950", "$12.4k", "$27.40M"]
    spans = (87, 1190, 250_000, 7_500_000, 4 * 3_600_000 + 3 * 86_400_000, -5)
    assert [span_text(ms) for ms in spans] == ["87 ms", "1.19 s", "4 min 10 s", "2 h 05 min", "3 d 4 h", "-5 ms"]


def test_a_root_is_signed_and_read_again() -> None:
    feed = Feed("alba")
    told = ReportRoot(bytes(32), whole().root, len(whole().leaves), NOW_MS)
    body, signature = sign_root(feed.secret, told)
    assert verify_root(feed.key, body, signature) == told
    with pytest.raises(SignatureError):
        verify_root(Feed("brook").key, body, signature)
    with pytest.raises(SignatureError):
        verify_root(feed.key, body[:-1] + bytes([body[-1] ^ 1]), signature)
    with pytest.raises(DecodeError):
        verify_root(feed.key, body, signature[:-1])
