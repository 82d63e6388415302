"""Checked claims on disk: what is worth asking, what is kept, and what it makes of a decision."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from protocol_kit import NOW_MS, VAULT, Feed, make_signal
from store_kit import arm, audit_kinds, file, make_rules
from tocsin_node.store.decisions import decide_incident
from tocsin_node.store.evidence_checks import MAX_ASKED, insert_checks, unchecked_predicates
from tocsin_node.store.rules import Rules
from tocsin_node.store.sightings import load_sightings
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.evidence.answers import Answer, Checked, Doubt
from tocsin_protocol.evidence.predicates import Predicate, TxIncluded
from tocsin_protocol.model import Evidence, Signal, Subject
from tocsin_protocol.taxonomy import EvidenceKind, Role, SubjectKind

ELSEWHERE = "eip155:1:0x" + "6b" * 20
TX = "0x" + "c3" * 32


def claiming(account: str = VAULT, *subjects: str) -> Signal:
    named = {Subject(Role.VICTIM, SubjectKind.ACCOUNT, value) for value in (VAULT, *subjects)}
    evidence = Evidence(EvidenceKind.TRANSACTION, "eip155:1", 7, TX, account)
    return make_signal(subjects=tuple(sorted(named)), evidence=(evidence,))


def asked(database: sqlite3.Connection, rules: Rules, incident: bytes) -> list[Predicate]:
    sightings = load_sightings(database, rules.roster, rules.exposure.subjects, incident, NOW_MS)
    return unchecked_predicates(database, rules, sightings)


def freezing() -> Rules:
    rules = make_rules()
    levers = tuple(replace(lever, tier=Tier.FREEZE) for lever in rules.policy.levers)
    return replace(rules, policy=replace(rules.policy, levers=levers))


def test_a_claim_about_us_is_asked_until_it_is_answered(database: sqlite3.Connection) -> None:
    rules = freezing()
    (decided,) = file(database, [Feed("brook").seal(claiming())], rules=rules).decided
    claim = TxIncluded("eip155:1", 7, TX, "", VAULT)
    assert asked(database, rules, decided.incident) == [claim]
    insert_checks(database, [Checked(claim, Answer.UNKNOWN, Doubt.NOT_REACHED, False, ())], NOW_MS)
    assert asked(database, rules, decided.incident) == [claim]
    insert_checks(database, [Checked(claim, Answer.CONFIRMED, None, False, ())], NOW_MS)
    assert asked(database, rules, decided.incident) == []
    # not to know now does not undo what was known
    insert_checks(database, [Checked(claim, Answer.UNKNOWN, Doubt.UNAVAILABLE, False, ())], NOW_MS)
    assert asked(database, rules, decided.incident) == []
    assert audit_kinds(database).count("evidence") == 2


def test_a_true_claim_about_somebody_else_is_not_asked(database: sqlite3.Connection) -> None:
    rules = freezing()
    (decided,) = file(database, [Feed("brook").seal(claiming(ELSEWHERE, ELSEWHERE))], rules=rules).decided
    assert asked(database, rules, decided.incident) == []


def test_a_confirmed_claim_makes_the_decision_that_waited_for_it(database: sqlite3.Connection) -> None:
    rules = freezing()
    arm(database)
    file(database, [Feed("brook").seal(claiming())], rules=rules)
    (waiting,) = file(database, [Feed("cedar").seal()], rules=rules).decided
    assert waiting.actions == ()
    claim = TxIncluded("eip155:1", 7, TX, "", VAULT)
    insert_checks(database, [Checked(claim, Answer.CONFIRMED, None, False, ())], NOW_MS)
    decided = decide_incident(database, rules, waiting.incident, NOW_MS)
    assert decided is not None
    assert len(decided.actions) == 1
    assert "evidence confirmed on our own endpoints" in decided.sentence


def test_a_contradicted_claim_takes_its_publishers_voice(database: sqlite3.Connection) -> None:
    rules = make_rules()
    arm(database)
    (first,) = file(database, [Feed("brook").seal(claiming())], rules=rules).decided
    claim = TxIncluded("eip155:1", 7, TX, "", VAULT)
    insert_checks(database, [Checked(claim, Answer.CONTRADICTED, None, False, ())], NOW_MS)
    filed = file(database, [Feed("cedar").seal()], rules=rules)
    assert [action for decided in filed.decided for action in decided.actions] == []
    assert decide_incident(database, rules, first.incident, NOW_MS) is None


def test_a_flood_of_claims_is_not_in_the_way_of_another_publishers(database: sqlite3.Connection) -> None:
    rules, liar, honest = freezing(), Feed("brook"), Feed("cedar")
    claims = [f"0x{n:064x}" for n in range(200)]
    flood = [
        make_signal(
            subjects=(Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT),),
            evidence=tuple(Evidence(EvidenceKind.TRANSACTION, "eip155:1", 7, tx, VAULT) for tx in claims[n : n + 20]),
            incident=f"n{n}",
        )
        for n in range(0, 200, 20)
    ]
    (decided,) = file(database, [liar.seal(signal) for signal in flood], rules=rules).decided
    file(database, [honest.seal(claiming())], rules=rules)
    found = asked(database, rules, decided.incident)
    assert len(found) == MAX_ASKED
    assert TxIncluded("eip155:1", 7, TX, "", VAULT) in found[:2]
