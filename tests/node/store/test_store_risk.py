"""Risk reports on disk: what a node says of a subject, when, and in which epoch."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from protocol_kit import ATTACKER, NOW_MS, VAULT, Feed, make_signal
from store_kit import OWN, file, make_rules
from tocsin_node.store.adjudications import adjudicate
from tocsin_node.store.evidence_checks import insert_checks
from tocsin_node.store.reader import Reader
from tocsin_node.store.risk import KEPT_REPORTS, Made, report_subject
from tocsin_node.store.risk_rows import read_risk_reports
from tocsin_node.store.risk_sight import Reporting, claims_about
from tocsin_node.store.rules import Rules
from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.correlation import CORRELATION_WINDOW_MS
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.evidence.grammar import encode_predicate
from tocsin_protocol.evidence.predicates import TxIncluded
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.log.tree import leaf_hash, root_of_leaves
from tocsin_protocol.model import Loss, Signal, Subject
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import OracleDomain, open_report, subject_hash
from tocsin_protocol.risk.states import CONFIRMED_PPM, RiskState, Standing
from tocsin_protocol.risk.upkeep import RENEW_MS
from tocsin_protocol.taxonomy import Category, Role, SubjectKind, Tlp

ORACLE = "eip155:31337:0x" + "0a" * 20
DOMAIN = OracleDomain(ORACLE)
OWN_FEED = Feed(OWN)
ELSEWHERE = "eip155:1:0x" + "e1" * 20
TVL_USD = 50_000_000
CLAIM = TxIncluded("eip155:1", 16_817_996, "0x" + "c3" * 32, "eip155:1/erc20:0x" + "22" * 20, ELSEWHERE)


def reporting(*, most: Tlp = Tlp.AMBER) -> Reporting:
    marks = list(Tlp)
    return Reporting(
        DOMAIN, OWN_FEED.secret, OWN_FEED.publisher, DEFAULT_MODEL,
        lambda tlp: marks.index(tlp) <= marks.index(most),
    )  # fmt: skip


def report(
    database: sqlite3.Connection, now_ms: int, *, subject: str = ELSEWHERE, rules: Rules | None = None, **more: Any
) -> Made | None:
    tvl_usd, floor = more.pop("tvl_usd", TVL_USD), more.pop("floor", (0, Standing.none()))
    return report_subject(database, rules or make_rules(), reporting(**more), subject, tvl_usd, now_ms, floor)


def must(database: sqlite3.Connection, now_ms: int, **more: Any) -> Made:
    made = report(database, now_ms, **more)
    assert made is not None
    return made


def about(subject: str = ELSEWHERE, **changes: Any) -> Signal:
    subjects = tuple(
        sorted(
            (Subject(Role.ATTACKER, SubjectKind.ACCOUNT, ATTACKER), Subject(Role.VICTIM, SubjectKind.ACCOUNT, subject))
        )
    )
    return make_signal(**{"subjects": subjects, "evidence": (), "loss": Loss(0, 0, 0)} | changes)


def tell(database: sqlite3.Connection, *names: str, now_ms: int = NOW_MS, **changes: Any) -> None:
    for name in names:
        feed = changes.get("feeds", {}).setdefault(name, Feed(name))
        file(database, [feed.seal(about(**{k: v for k, v in changes.items() if k != "feeds"}))], now_ms=now_ms)


def test_a_quiet_subject_has_a_first_report_and_then_one_twice_a_minute(database: sqlite3.Connection) -> None:
    first = must(database, NOW_MS)
    assert (first.why, first.signed.report.state, first.signed.report.previous) == ("first", RiskState.NONE, NO_DIGEST)
    assert first.signed.report.subject == subject_hash(ELSEWHERE)
    assert first.signed.report.tvl_at_risk == TVL_USD * 10**6
    assert report(database, NOW_MS + RENEW_MS - 1) is None
    second = must(database, NOW_MS + RENEW_MS)
    assert (second.why, second.signed.report.previous) == ("renewal", first.signed.digest)
    assert open_report(DOMAIN, second.signed.encoded).signer == OWN_FEED.publisher


def test_words_raise_suspicion_and_a_finding_ends_it(database: sqlite3.Connection) -> None:
    must(database, NOW_MS)
    tell(database, "brook", "cedar", loss=Loss(5 * 10**12, 10**12, 0))
    made = must(database, NOW_MS + 1)
    said = made.signed.report
    assert (made.why, said.state, said.category_text, said.severity) == ("state", RiskState.SUSPECTED, "asset.drain", 4)
    assert (said.loss_observed, said.drain_rate) == (5 * 10**12, 10**12)
    digests = sorted(row[0] for row in database.execute("SELECT digest FROM signals"))
    assert said.evidence_root == root_of_leaves(map(leaf_hash, digests))
    ruling = Adjudication(said.incident, Category.ASSET_DRAIN, Finding.FALSE, NOW_MS + 2)
    adjudicate(database, make_rules(), OWN_FEED.secret, ruling, ())
    over = must(database, NOW_MS + 3).signed.report
    assert (over.state, over.incident, over.posterior_ppm) == (RiskState.FALSE_ALARM, said.incident, 0)


def test_evidence_of_our_own_with_a_quorum_confirms_and_it_does_not_fade(database: sqlite3.Connection) -> None:
    rules = replace(make_rules(), trusted=frozenset({CLAIM.asset}))
    evidence = (encode_predicate(CLAIM),)
    tell(database, "brook", "cedar", evidence=evidence)
    assert must(database, NOW_MS, rules=rules).signed.report.state is RiskState.SUSPECTED
    assert claims_about(database, rules, reporting(), ELSEWHERE, NOW_MS) == [CLAIM]
    insert_checks(database, [Checked(CLAIM, Answer.CONFIRMED, None, False, ())], NOW_MS)
    assert claims_about(database, rules, reporting(), ELSEWHERE, NOW_MS) == []
    said = must(database, NOW_MS + 1, rules=rules).signed.report
    assert (said.state, said.capacity_bps) == (RiskState.CONFIRMED, 0)
    assert said.posterior_ppm >= CONFIRMED_PPM
    later = NOW_MS + CORRELATION_WINDOW_MS // 2
    assert must(database, later, rules=rules).signed.report.state is RiskState.CONFIRMED
    # Nobody has spoken for a day: the incident is over, and cover costs more than before it.
    ended = must(database, NOW_MS + CORRELATION_WINDOW_MS + 1, rules=rules).signed.report
    assert (ended.state, ended.incident) == (RiskState.RESOLVED, said.incident)
    assert ended.multiplier_bps > 10_000


def test_what_may_not_be_told_does_not_count(database: sqlite3.Connection) -> None:
    feeds: dict[str, Feed] = {}
    tell(database, "brook", "cedar", tlp=Tlp.RED, feeds=feeds)
    assert must(database, NOW_MS, most=Tlp.AMBER).signed.report.state is RiskState.NONE
    tell(database, "brook", "cedar", tlp=Tlp.AMBER, incident="again", feeds=feeds)
    assert report(database, NOW_MS + 1, most=Tlp.GREEN) is None
    assert must(database, NOW_MS + 2, most=Tlp.AMBER).signed.report.state is RiskState.SUSPECTED


def test_of_a_secret_incident_not_even_its_end_is_told(database: sqlite3.Connection) -> None:
    must(database, NOW_MS)
    tell(database, "brook", "cedar", tlp=Tlp.RED)
    incident = database.execute("SELECT id FROM incidents").fetchone()[0]
    for finding in Finding:
        ruling = Adjudication(incident, Category.ASSET_DRAIN, finding, NOW_MS)
        adjudicate(database, make_rules(), OWN_FEED.secret, ruling, ())
        assert report(database, NOW_MS + 1) is None


def test_what_is_about_others_changes_nothing(database: sqlite3.Connection) -> None:
    must(database, NOW_MS)
    tell(database, "brook", "cedar", subject=VAULT)
    assert report(database, NOW_MS + 1) is None


def test_our_own_subject_is_worth_what_the_manifest_says(database: sqlite3.Connection) -> None:
    said = must(database, NOW_MS, subject=VAULT, tvl_usd=None).signed.report
    assert said.tvl_at_risk == 10**12


@pytest.mark.parametrize("back_ms", [0, 1, 3_600_000])
def test_epochs_rise_though_the_clock_goes_back(database: sqlite3.Connection, back_ms: int) -> None:
    epochs = [must(database, NOW_MS).signed.report.epoch]
    tell(database, "brook", "cedar")
    epochs.append(must(database, NOW_MS + 10).signed.report.epoch)
    incident = database.execute("SELECT id FROM incidents").fetchone()[0]
    adjudicate(
        database, make_rules(), OWN_FEED.secret,
        Adjudication(incident, Category.ASSET_DRAIN, Finding.FALSE, NOW_MS), (),
    )  # fmt: skip
    epochs.append(must(database, NOW_MS + 10 - back_ms).signed.report.epoch)
    assert epochs == sorted(set(epochs))


def test_a_restored_database_uses_no_epoch_again(database: sqlite3.Connection) -> None:
    must(database, NOW_MS)
    kept = database.serialize()
    used = {must(database, NOW_MS + n * RENEW_MS).signed.report.epoch for n in range(1, 4)}
    restored = sqlite3.connect(":memory:", isolation_level=None)
    try:
        restored.deserialize(kept)
        # Time has moved on while it was restored.
        again = must(restored, NOW_MS + 4 * RENEW_MS).signed.report.epoch
        assert again > max(used)
    finally:
        restored.close()


def test_what_the_contract_holds_of_us_is_gone_on_from(database: sqlite3.Connection) -> None:
    must(database, NOW_MS)
    tell(database, "brook", "cedar")
    held = must(database, NOW_MS + 1)
    restored = NOW_MS + 2
    database.execute("DELETE FROM risk_reports")
    database.execute("DELETE FROM signals")
    # Nothing leads back to none: the contract would refuse that for ever.
    floor = (held.signed.report.epoch + 10**6, held.signed.report.standing)
    over = must(database, restored, floor=floor).signed.report
    assert (over.state, over.incident) == (RiskState.RESOLVED, floor[1].incident)
    assert over.epoch == floor[0] + 1
    # From then on our own last report is the later one.
    assert report(database, restored + 1, floor=floor) is None


def test_what_changes_is_in_the_record_and_renewals_are_not(database: sqlite3.Connection) -> None:
    made = must(database, NOW_MS)
    must(database, NOW_MS + RENEW_MS)
    rows = database.execute("SELECT kind, reference FROM audit WHERE kind = ?", (EntryKind.NODE.value,)).fetchall()
    assert rows == [(EntryKind.NODE.value, made.signed.digest)]


def test_the_last_few_hours_are_kept_and_the_latest_is_read(database: sqlite3.Connection) -> None:
    for n in range(KEPT_REPORTS + 5):
        last = must(database, NOW_MS + n * RENEW_MS)
    must(database, NOW_MS, subject=VAULT)
    assert database.execute("SELECT COUNT(*) FROM risk_reports").fetchone()[0] == KEPT_REPORTS + 1
    rows = {subject: (oracle, encoded) for oracle, subject, encoded in read_risk_reports(database, 10)}
    assert rows[ELSEWHERE] == (ORACLE, last.signed.encoded)
    assert set(rows) == {ELSEWHERE, VAULT}
    assert len(read_risk_reports(database, 1)) == 1
    assert callable(Reader.risk_reports)
