"""The entries of a report are what the database holds, each under the label of what it draws on."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from incident_kit import REASON, SECOND_WORDS, Scene
from msgspec import structs
from protocol_kit import NOW_MS, Feed
from store_kit import HOOK, OWN
from tocsin_node.report import reading
from tocsin_node.report.files import make_report
from tocsin_node.report.reading import read_entries
from tocsin_node.report.sections import proofs_html
from tocsin_node.report.stages import stages_of
from tocsin_node.store import record_reader
from tocsin_node.store.database import StoreError
from tocsin_node.store.record_reader import RecordReader
from tocsin_protocol.audit import EntryKind, encode_entry
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.envelope import seal_envelope
from tocsin_protocol.errors import ProofError, SignatureError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.log.note import Algorithm, verifier_key
from tocsin_protocol.log.tiles import MAX_ENTRY_BYTES
from tocsin_protocol.log.tree import leaf_hash
from tocsin_protocol.model import Subject
from tocsin_protocol.postmortem.entries import (
    About,
    Acted,
    AnyEntry,
    Believed,
    Check,
    Decided,
    Earned,
    Found,
    Head,
    Header,
    Journal,
    Lesson,
    Proof,
    Said,
)
from tocsin_protocol.postmortem.proofs import verify_proofs
from tocsin_protocol.postmortem.report import Report, decode_report, encode_report, redact_report
from tocsin_protocol.taxonomy import Role, SubjectKind, Tlp

T = TypeVar("T", bound=AnyEntry)


def of(entries: list[AnyEntry], kind: type[T]) -> list[T]:
    return [entry for entry in entries if isinstance(entry, kind)]


def test_a_report_tells_the_whole_way_and_can_be_read_again(scene: Scene) -> None:
    scene.happen()
    scene.judge()
    entries = scene.entries()
    (header,), (about,), (action,) = of(entries, Header), of(entries, About), of(entries, Acted)
    assert (header.member, header.incident) == (OWN, scene.incident.hex())
    assert about.first_ms == NOW_MS
    assert [said.member for said in of(entries, Said)] == ["brook", "cedar"]
    assert [check.disagrees for check in of(entries, Check)] == [True]
    assert (action.hook, action.state) == (HOOK, "effective")
    assert [found.finding for found in of(entries, Found)] == ["confirmed"]
    assert {(e.member, e.verdict.value) for e in of(entries, Earned)} == {
        ("brook", "hit"),
        ("cedar", "hit"),
        ("delta", "miss"),
    }
    assert len(of(entries, Believed)) == len(of(entries, Decided)) == 2
    assert {lesson.kind for lesson in of(entries, Lesson)} >= {"lost-before", "lever-kept", "endpoints-disagreed"}
    report = make_report(entries)
    assert decode_report(encode_report(report)) == report


def test_stages_go_from_the_first_detector_to_the_effect(scene: Scene) -> None:
    scene.happen()
    (stages,) = stages_of(scene.entries())
    first_ms = stages.known[0][1]
    assert [(stage, at_ms - first_ms) for stage, at_ms in stages.known] == [
        ("detected", 0), ("issued", 400), ("arrived", 500), ("decided", 1000), ("broadcast", 1020), ("effective", 1040),
    ]  # fmt: skip
    assert stages.total_ms == 1040


def test_what_is_hidden_from_the_public_is_nowhere_in_what_it_gets(scene: Scene) -> None:
    scene.happen(second=Tlp.RED)
    full = make_report(scene.entries())
    for allowed in (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT):
        text = encode_report(redact_report(full, allowed)).decode()
        assert SECOND_WORDS not in text
        assert "cedar" not in text
        assert "28000000000000" not in text
    assert REASON not in encode_report(redact_report(full, Tlp.AMBER)).decode()
    assert HOOK in encode_report(redact_report(full, Tlp.CLEAR)).decode()


def test_a_decision_stands_under_the_label_of_all_that_had_come_by_then(scene: Scene) -> None:
    scene.happen(first=Tlp.CLEAR, second=Tlp.RED)
    entries = scene.entries()
    assert [believed.tlp for believed in of(entries, Believed)] == [Tlp.CLEAR, Tlp.RED]
    assert [decided.tlp for decided in of(entries, Decided)] == [Tlp.AMBER_STRICT, Tlp.RED]
    assert of(entries, About)[0].tlp is Tlp.RED


def test_a_word_in_another_incident_about_the_same_counts_for_the_label(scene: Scene) -> None:
    scene.say("delta", NOW_MS - 9_000, tlp=Tlp.RED, category="governance.takeover", incident="other")
    scene.incident = b""
    scene.happen()
    assert {believed.tlp for believed in of(scene.entries(), Believed)} == {Tlp.RED}


def test_our_own_word_counts_for_the_label_from_when_it_was_written(scene: Scene) -> None:
    scene.feeds[OWN] = Feed(OWN)
    scene.happen(second=Tlp.CLEAR)
    scene.say(OWN, NOW_MS + 90, tlp=Tlp.RED)
    assert {believed.tlp for believed in of(scene.entries(), Believed)} == {Tlp.RED}


def test_a_lever_that_never_took_effect_is_told_to_nobody_else(scene: Scene) -> None:
    scene.happen()
    scene.connection.execute("DELETE FROM action_events")
    (action,) = of(scene.entries(), Acted)
    assert (action.state, action.tlp) == ("planned", Tlp.AMBER_STRICT)
    assert of(scene.entries(), Journal)[0].tlp is Tlp.AMBER_STRICT


def test_each_audit_entry_about_it_is_proven_under_the_head_of_the_log(scene: Scene) -> None:
    scene.happen()
    scene.judge()
    key = scene.log()
    with RecordReader(scene.data_dir) as reader:
        logged = {entry.sequence: entry for entry in reader.all_audit()}
    proofs = of(scene.entries(), Proof)
    kinds = {"incident", "signal", "evidence", "decision", "action", "outcome", "adjudication"}
    assert {proof.kind for proof in proofs} == kinds
    for proof in proofs:
        entry = logged[proof.sequence]
        assert proof.digest == leaf_hash(encode_entry(entry.at_ms, entry.kind, entry.reference, entry.detail)).hex()
    assert {proof.tlp for proof in proofs} == {Tlp.AMBER_STRICT}
    report = make_report(scene.entries())
    assert verify_proofs(report, [key])[1] == len(proofs)
    assert verify_proofs(redact_report(report, Tlp.AMBER), [key])[1] == 0


def test_no_hash_without_salt_and_no_signature_tells_the_public_what_is_withheld(scene: Scene) -> None:
    scene.happen()
    scene.judge()
    scene.log()
    text = encode_report(redact_report(make_report(scene.entries()), Tlp.GREEN)).decode()
    with RecordReader(scene.data_dir) as reader:
        for entry in reader.all_audit():
            leaf = leaf_hash(encode_entry(entry.at_ms, entry.kind, entry.reference, entry.detail))
            assert leaf.hex() not in text, entry.kind
            if entry.kind is EntryKind.ADJUDICATION:
                signature = decode_canonical(entry.detail, max_bytes=MAX_ENTRY_BYTES)["signature"]
                assert signature.hex() not in text


@pytest.mark.parametrize("allowed", Tlp)
def test_the_place_of_what_is_withheld_tells_nothing(scene: Scene, allowed: Tlp) -> None:
    scene.happen(first=Tlp.RED, second=Tlp.CLEAR)
    leaves = redact_report(make_report(scene.entries()), allowed).leaves
    shown = [leaf.entry is not None for leaf in leaves]
    assert shown == sorted(shown, reverse=True)


def test_a_report_whose_proofs_do_not_hold_is_refused(scene: Scene) -> None:
    scene.happen()
    key = scene.log()
    entries = scene.entries()
    (head,) = of(entries, Head)
    proof = next(proof for proof in of(entries, Proof) if len(proof.path) > 1)

    def changed(old: AnyEntry, new: AnyEntry | None) -> Report:
        kept = (new if entry is old else entry for entry in entries)
        return make_report([entry for entry in kept if entry is not None])

    for wrong in (
        structs.replace(proof, path=proof.path[1:]),
        structs.replace(proof, digest="ab" * 32),
        structs.replace(proof, sequence=proof.sequence + 1),
    ):
        with pytest.raises(ProofError, match="entry "):
            verify_proofs(changed(proof, wrong), [key])
    with pytest.raises(ProofError, match="0 heads"):
        verify_proofs(changed(head, None), [key])
    with pytest.raises(SignatureError):
        verify_proofs(make_report(entries), [verifier_key(bytes(32), key.name, Algorithm.ED25519)])
    header = of(entries, Header)[0]
    with pytest.raises(ProofError, match="the report is of"):
        verify_proofs(changed(header, structs.replace(header, publisher="ab" * 20)), [key])


def test_a_database_without_a_head_is_told_of_without_proofs(scene: Scene) -> None:
    scene.happen()
    entries = scene.entries()
    assert of(entries, Head) == []
    assert {proof.path for proof in of(entries, Proof)} == {()}
    assert "has no signed head of its log" in proofs_html(make_report(entries))


def test_another_incident_is_left_out(scene: Scene) -> None:
    elsewhere = (Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + "77" * 20),)
    scene.say("delta", NOW_MS, subjects=elsewhere, incident="elsewhere")
    scene.incident = b""
    scene.happen()
    assert {said.member for said in of(scene.entries(), Said)} == {"brook", "cedar"}


def test_a_body_that_cannot_be_read_is_red_and_has_no_statement(scene: Scene) -> None:
    scene.happen()
    scene.connection.execute("UPDATE signals SET encoded = ? WHERE id = 2", (_unreadable(scene),))
    unreadable = of(scene.entries(), Said)[1]
    assert (unreadable.statement, unreadable.tlp) == (None, Tlp.RED)


def _unreadable(scene: Scene) -> Any:
    cedar = scene.feeds["cedar"]
    return seal_envelope(cedar.domain, cedar.secret, cedar.publisher, 1, 1, NO_DIGEST, b"\xc0").encoded


def test_a_disarmed_lever_is_told_with_what_it_lacked(scene: Scene) -> None:
    scene.happen(is_armed=False)
    facts = [lesson.fact for lesson in of(scene.entries(), Lesson)]
    assert any("would have been used with the lever armed" in fact for fact in facts)
    assert any(fact.startswith("No lever was used") for fact in facts)


@pytest.mark.parametrize(
    ("prefix", "says"), [("12", "at least 4"), ("dead00", "no incident has"), ("wxyz", "no incident")]
)
def test_an_incident_that_is_not_there_is_named(scene: Scene, prefix: str, says: str) -> None:
    scene.happen()
    scene.incident = b""
    with RecordReader(scene.data_dir) as reader, pytest.raises(StoreError, match=says):
        read_entries(reader, prefix, NOW_MS)


def test_two_incidents_that_begin_alike_are_not_guessed_between(scene: Scene) -> None:
    scene.happen()
    twin = scene.incident[:4] + bytes(28)
    scene.connection.execute("INSERT INTO incidents VALUES (?, 'asset', '', 0, 0)", (twin,))
    with RecordReader(scene.data_dir) as reader, pytest.raises(StoreError, match="several incidents have"):
        read_entries(reader, scene.incident.hex()[:8], NOW_MS)


def test_an_incident_without_a_signal_has_nothing_to_tell(scene: Scene) -> None:
    scene.connection.execute("INSERT INTO incidents VALUES (?, 'asset', '', 0, 0)", (b"\x01" * 32,))
    scene.incident = b"\x01" * 32
    with pytest.raises(StoreError, match="no signal of it is published yet"):
        scene.entries()


def test_what_there_is_more_of_than_a_report_holds_is_said_and_taken_for_red(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (reading, record_reader):
        monkeypatch.setattr(module, "MAX_SIGNALS", 1)
    scene.happen(first=Tlp.CLEAR, second=Tlp.CLEAR)
    entries = scene.entries()
    assert len(of(entries, Said)) == 1
    assert {believed.tlp for believed in of(entries, Believed)} == {Tlp.RED}
    assert "Of this incident only the first 1 signals stand in this report." in [e.fact for e in of(entries, Lesson)]


def test_a_report_is_of_one_moment_whatever_is_written_meanwhile(scene: Scene) -> None:
    scene.happen()
    with RecordReader(scene.data_dir) as reader:
        before = read_entries(reader, scene.incident.hex(), NOW_MS)
        scene.say("delta", NOW_MS + 900)
        assert read_entries(reader, scene.incident.hex(), NOW_MS) == before
    assert len(scene.entries()) > len(before)


def test_what_was_pruned_of_it_is_said(scene: Scene) -> None:
    scene.happen()
    scene.log()
    scene.connection.execute("UPDATE log_pruned SET entries = 256")
    assert [lesson.kind for lesson in of(scene.entries(), Lesson) if lesson.kind == "pruned"] == []
    scene.connection.execute("DELETE FROM audit WHERE sequence <= 5")
    (lesson,) = (lesson for lesson in of(scene.entries(), Lesson) if lesson.kind == "pruned")
    assert (lesson.fact[:21], lesson.tlp) == ("The first 256 entries", Tlp.AMBER_STRICT)
