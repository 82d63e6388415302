"""The mapping to STIX: what judges of others say of it, and what it never does."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import stix2
import stix2validator
import stix_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from protocol_kit import ATTACKER, NETWORK_ID, NOW_MS, VAULT, make_signal
from strategies_kit import signals
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.model import Subject
from tocsin_protocol.stix.alerts import MAX_ALERTS, forta_drafts, monitor_draft
from tocsin_protocol.stix.common import PROPERTY_EXTENSION, wallet_object
from tocsin_protocol.stix.drafting import draft_of
from tocsin_protocol.stix.incidents import MAX_LISTED, grow_incident, incident_id
from tocsin_protocol.stix.marking import TLP_MARKINGS, Circle, marking_objects, tlp_of
from tocsin_protocol.stix.naming import checksum_address, stix_time, time_of
from tocsin_protocol.stix.reading import MAX_OBJECTS, check_depth, check_envelope, check_object, object_tlp, version_of
from tocsin_protocol.stix.statements import carrier_id, export_statement, is_exported
from tocsin_protocol.taxonomy import Category, Role, Severity, Stage, SubjectKind, Tlp

# uuid-check asks for random ids; ours are the same on every node. 202: wallets are no type that STIX itself lists.
OPTIONS = stix2validator.ValidationOptions(version="2.1", disabled=["uuid-check", "relationship-types"])


def faults_of(value: kit.Object) -> list[str]:
    """What stix2-validator finds, warnings included."""
    result = stix2validator.validate_instance(value, OPTIONS)
    return [str(error) for error in result.errors] + [str(warning) for warning in result.warnings]


def kinds(objects: list[kit.Object]) -> list[str]:
    return [item["type"] for item in objects]


@pytest.mark.parametrize("value", kit.everything(), ids=lambda value: value["id"][:40])
def test_every_kind_of_object_passes_the_validator_without_a_warning(value: kit.Object) -> None:
    assert faults_of(value) == []


def test_stix2_parses_every_object_and_writes_it_back_the_same() -> None:
    for value in kit.everything():
        text = json.dumps(value)
        parsed = stix2.parse(json.loads(text), allow_custom=True)
        written = parsed if isinstance(parsed, dict) else json.loads(parsed.serialize())
        # it writes some whole seconds without digits behind them
        told = json.loads(json.dumps({key: written[key] for key in value}).replace(".000Z", "Z"))
        assert told == json.loads(text.replace(".000Z", "Z"))


def test_the_patterns_parse_and_name_the_wallets() -> None:
    (indicator,) = [o for o in export_statement(kit.DRAINED, {}) if o["type"] == "indicator"]
    assert stix2.pattern_visitor.create_pattern_object(indicator["pattern"], version="2.1")
    assert checksum_address(ATTACKER.rsplit(":", 1)[1]) in indicator["pattern"]


@given(signals())
def test_whatever_a_signal_says_the_validator_passes_it(signal: Any) -> None:
    said = kit.statement("any", signal)
    objects = [
        *export_statement(said, kit.referred_by(said)),
        grow_incident(None, Circle.RED, said, kit.AUTHOR, NOW_MS),
    ]
    for value in objects:
        assert check_object(value) is value
    # the validator takes its time: one object of each kind
    for value in {value["type"]: value for value in objects}.values():
        assert [fault for fault in faults_of(value) if "SHOULD" not in fault] == []


def test_ids_are_the_same_on_every_node_and_each_object_stands_after_those_it_names() -> None:
    assert kit.everything() == kit.everything()
    seen: set[str] = {o["id"] for o in marking_objects(Circle.RED)}
    incident = grow_incident(None, Circle.AMBER, kit.DRAINED, kit.AUTHOR, NOW_MS)
    for value in [incident | {"created_by_ref": ""}, *export_statement(kit.DRAINED, {})]:
        refs = [v for key, v in value.items() if key.endswith("_ref") and v]
        refs += [ref for key, listed in value.items() if key.endswith("_refs") for ref in listed]
        assert set(refs) <= seen | {value["id"]}, value
        seen.add(value["id"])


def test_one_version_of_an_object_has_one_content() -> None:
    told: dict[tuple[str, str | None], kit.Object] = {}
    for said in (*kit.STATEMENTS, *kit.STATEMENTS):
        for value in export_statement(said, kit.referred_by(said)):
            if value["type"] in ("relationship", "cryptocurrency-wallet", "software"):
                continue  # the first that tells of it stands
            assert told.setdefault((value["id"], version_of(value)), value) == value


def test_all_of_a_signal_bears_its_marking() -> None:
    for tlp in Tlp:
        said = kit.statement("marked", make_signal(tlp=tlp))
        for value in export_statement(said, {}):
            if value["type"] != "identity":
                assert value["object_marking_refs"] == [TLP_MARKINGS[tlp]], value["type"]


def test_circles_hold_one_another_and_fail_closed() -> None:
    held = {circle: [tlp for tlp in Tlp if circle.holds(tlp)] for circle in Circle}
    assert held[Circle.CLEAR] == [Tlp.CLEAR]
    assert held[Circle.GREEN] == [Tlp.CLEAR, Tlp.GREEN]
    assert held[Circle.AMBER] == [Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER]
    assert held[Circle.RED] == list(Tlp)
    assert tlp_of([TLP_MARKINGS[Tlp.CLEAR], "marking-definition--of-somebody"], Tlp.CLEAR) is Tlp.RED
    assert tlp_of([], Tlp.AMBER) is Tlp.AMBER


def test_a_wallet_has_the_id_that_other_platforms_give_it() -> None:
    # uuid5 over {"value":"0x…"} in the namespace of STIX 2.1: worked out by stix2 for a type with the same property
    url = stix2.v21.URL(value="0xA7a7A7a7A7a7a7a7A7A7A7a7a7A7A7A7A7A7a7a7")
    wallet = wallet_object("0xA7a7A7a7A7a7a7a7A7A7A7a7a7A7A7A7A7A7a7a7", Tlp.CLEAR)
    assert wallet["id"].split("--")[1] == url.id.split("--")[1]


def test_an_address_of_eip55_is_that_of_the_eip() -> None:
    for address in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ):
        assert checksum_address(address.lower()) == address


def test_a_drill_is_not_exported() -> None:
    assert not is_exported(make_signal(drill=True))
    assert not is_exported(make_signal(category=Category.META_DRILL))
    assert is_exported(make_signal())


def test_a_quote_in_an_address_stays_in_its_place() -> None:
    # no address has one, but a pattern is built from text of strangers
    from tocsin_protocol.stix.statements import _quoted

    assert _quoted("a' OR '\\") == "a\\' OR \\'\\\\"


def test_nobody_revokes_what_another_said() -> None:
    stranger = kit.statement("stranger", kit.RETRACTING.signal, "delta")
    assert not [o for o in export_statement(stranger, kit.referred_by(stranger)) if o.get("revoked")]
    own = [o for o in export_statement(kit.RETRACTING, kit.referred_by(kit.RETRACTING)) if o.get("revoked")]
    assert [o["id"] for o in own] == [carrier_id(kit.DRAINED)]
    assert own[0]["modified"] > own[0]["created"]


def test_a_signal_that_the_circle_does_not_hold_is_not_spoken_of() -> None:
    objects = export_statement(kit.CORROBORATING, {})
    assert "opinion" not in kinds(objects)
    assert carrier_id(kit.DRAINED) not in json.dumps(objects)


def test_an_incident_tells_the_worst_and_stays_bounded() -> None:
    incident = grow_incident(None, Circle.AMBER, kit.DISPUTING, kit.AUTHOR, NOW_MS)
    for place in range(MAX_LISTED + 5):
        subjects = (Subject(Role.VICTIM, SubjectKind.ACCOUNT, f"eip155:1:0x{place:040x}"),)
        said = kit.statement(f"more {place}", make_signal(subjects=subjects), f"member-{place}")
        incident = grow_incident(incident, Circle.AMBER, said, kit.AUTHOR, NOW_MS)
    told = incident["extensions"][PROPERTY_EXTENSION]
    assert (told["severity"], told["signals"]) == (Severity.CRITICAL, MAX_LISTED + 6)
    assert len(told["subjects"]) == len(told["members"]) == MAX_LISTED
    assert told["incident"] == "0x" + kit.DISPUTING.digest.hex()
    assert time_of("modified", incident["modified"]) == NOW_MS + MAX_LISTED + 5
    assert faults_of(incident) == []


def test_an_incident_has_another_id_in_each_circle() -> None:
    assert len({incident_id(circle, kit.FIRST) for circle in Circle}) == len(Circle)


def test_times_are_read_as_written_and_the_end_of_time_is_bounded() -> None:
    for at_ms in (0, 1, NOW_MS, 253_402_300_799_999):
        assert time_of("time", stix_time(at_ms)) == at_ms
    assert stix_time(2**53 - 1) == "9999-12-31T23:59:59.999Z"
    assert time_of("time", "2026-01-01T00:00:00.123999Z") % 1000 == 123
    for wrong in ("", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00z", 7, None):
        with pytest.raises(DecodeError, match="time"):
            time_of("time", wrong)


def test_far_times_leave_no_indicator_that_ends_before_it_begins() -> None:
    late = 2**53 - 10_000_000
    said = kit.statement("late", make_signal(issued_ms=late, expires_ms=late + 1000, detected_ms=late))
    for value in export_statement(said, {}):
        assert faults_of(value) == []


# ----------------------------------------------------------------------------------------------------------------- #


@pytest.mark.parametrize(
    ("name", "why", "value", "names"), kit.invalid_objects(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_object_with_a_fault_is_refused_by_its_name(name: str, why: str, value: Any, names: str) -> None:
    with pytest.raises(DecodeError, match=names):
        check_object(value)


@pytest.mark.parametrize("value", [None, 7, "x", [], [{}], {"objects": None}, {"objects": []}, {"type": "indicator"}])
def test_what_is_no_envelope_is_refused(value: Any) -> None:
    with pytest.raises(DecodeError):
        check_envelope(value)


def test_an_envelope_is_bounded() -> None:
    assert len(check_envelope({"objects": [1] * MAX_OBJECTS})) == MAX_OBJECTS
    with pytest.raises(DecodeError, match="objects"):
        check_envelope({"objects": [1] * (MAX_OBJECTS + 1)})
    assert check_envelope({"type": "bundle", "id": "bundle--1", "objects": [1]}) == [1]


def test_depth_is_counted_without_recursion() -> None:
    check_depth(kit.nested(16))
    with pytest.raises(DecodeError, match="nested"):
        check_depth(kit.nested(100_000))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from([*kit.foreign_indicator(), "labels", "confidence", "extensions", "revoked"]), json_values
    )
)
def test_garbage_in_an_object_raises_only_our_own_error(changes: dict[str, Any]) -> None:
    with contextlib.suppress(DecodeError):
        draft_of(check_object(kit.foreign_indicator() | changes))


@given(st.dictionaries(st.sampled_from(list(kit.FORTA["alerts"][0])), json_values))
def test_garbage_in_an_alert_raises_only_our_own_error(changes: dict[str, Any]) -> None:
    with contextlib.suppress(DecodeError):
        forta_drafts(kit.FORTA["alerts"][0] | changes)


@given(st.dictionaries(st.sampled_from(list(kit.MONITOR["EVM"])), json_values), json_values)
def test_garbage_in_a_match_raises_only_our_own_error(changes: dict[str, Any], whole: Any) -> None:
    for value in ({"EVM": kit.MONITOR["EVM"] | changes}, whole, {"EVM": whole}, {"monitor_match": whole}):
        with contextlib.suppress(DecodeError):
            monitor_draft(value)


def test_a_part_that_is_marked_marks_the_whole() -> None:
    red = {"marking_ref": TLP_MARKINGS[Tlp.RED], "selectors": ["description"]}
    assert object_tlp(kit.foreign_indicator(granular_markings=[red]), Tlp.CLEAR) is Tlp.RED
    assert object_tlp(kit.foreign_indicator(granular_markings="?"), Tlp.CLEAR) is Tlp.RED
    assert (
        object_tlp(kit.foreign_indicator(granular_markings=[{"lang": "en", "selectors": ["name"]}]), Tlp.CLEAR)
        is Tlp.CLEAR
    )


def test_a_draft_of_our_own_object_says_the_same_again() -> None:
    (indicator,) = [o for o in export_statement(kit.DRAINED, {}) if o["type"] == "indicator"]
    draft = draft_of(check_object(indicator))
    assert draft is not None
    assert draft.document["category"] == "asset.drain"
    assert [s["value"] for s in draft.document["subjects"]] == [s.value for s in kit.DRAINED.signal.subjects]
    assert "publisher" not in draft.document
    assert draft.notes == ()


def test_an_alert_names_attackers_only_where_it_labels_them() -> None:
    (draft,) = forta_drafts(kit.FORTA)
    roles = {s["role"]: s["value"] for s in draft.document["subjects"]}
    assert roles == {
        "attacker": "eip155:8453:" + ATTACKER.rsplit(":", 1)[1],
        "related": "eip155:8453:" + VAULT.rsplit(":", 1)[1],
    }
    assert "\x1b" not in draft.document["text"]
    assert draft.document["evidence"][0]["block"] == 17


def test_a_match_names_its_contracts_as_at_risk() -> None:
    draft = monitor_draft({"monitor_match": kit.MONITOR, "args": []})
    assert {s["role"] for s in draft.document["subjects"]} == {"at-risk", "related"}
    assert draft.document["subjects"][0]["value"].startswith("eip155:1:")
    unknown = {"EVM": kit.MONITOR["EVM"] | {"network_slug": "local_anvil"}}
    with pytest.raises(DecodeError, match="network_slug"):
        monitor_draft(unknown)
    named = {"EVM": unknown["EVM"] | {"transaction": kit.MONITOR["EVM"]["transaction"] | {"chainId": "0x7a69"}}}
    assert monitor_draft(named).document["subjects"][0]["value"].startswith("eip155:31337:")


def test_alerts_are_bounded() -> None:
    with pytest.raises(DecodeError, match="alerts"):
        forta_drafts({"alerts": kit.FORTA["alerts"] * (MAX_ALERTS + 1)})


def test_stages_all_have_a_word_that_the_validator_knows() -> None:
    for stage in Stage:
        said = kit.statement(stage, structs.replace(kit.DRAINED.signal, stage=stage))
        (indicator,) = [o for o in export_statement(said, {}) if o["type"] == "indicator"]
        assert faults_of(indicator) == []
        assert said.network == NETWORK_ID
