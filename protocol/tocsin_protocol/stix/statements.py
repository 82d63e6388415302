"""A signal as STIX objects: what it says, who saw it, and what he thinks of another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import Signal
from ..taxonomy import Relation, Role, Stage
from .common import (
    HOSTILE_ROLES,
    KILL_CHAIN,
    Object,
    Statement,
    head,
    identity_object,
    observable_of,
    property_extension,
    relationship,
    transaction_references,
    wallet_object,
    wallet_value,
)
from .naming import stix_id, stix_time

MAX_NAME_CHARS = 120
_INDICATOR_TYPES = {
    Stage.FUNDING: "anomalous-activity",
    Stage.PREPARATION: "anomalous-activity",
    Stage.EXPLOITATION: "malicious-activity",
    Stage.LAUNDERING: "malicious-activity",
}


def is_exported(signal: Signal) -> bool:
    """Whether a signal is told to others as STIX at all."""
    # [STIX] A drill is never exported.
    return not signal.drill and signal.category != "meta.drill"


def carrier_id(statement: Statement) -> str:
    """The object that stands for a signal: its indicator, or its note where it names no hostile address."""
    return _indicator_id(statement) if hostile_wallets(statement.signal) else _note_id(statement)


def hostile_wallets(signal: Signal) -> list[str]:
    """The addresses that a signal names as attacker or tool."""
    values = (wallet_value(subject) for subject in signal.subjects if subject.role in HOSTILE_ROLES)
    return sorted({value for value in values if value is not None})


def export_statement(statement: Statement, referred: Mapping[bytes, Statement]) -> list[Object]:
    """The objects of one signal in one circle, each after those that it names.

    `referred` are the signals it refers to that the circle holds.
    """
    signal = statement.signal
    # [STIX] What is told of a signal bears the signal's own marking.
    objects = [
        identity_object(statement.network, statement.member or statement.publisher.hex(), statement.organisation)
    ]
    objects += _observables(signal)
    wallets = hostile_wallets(signal)
    if wallets:
        objects.append(_indicator(statement, wallets))
        objects += _bonds(statement, wallets)
    if signal.text or not wallets:
        objects.append(_note(statement))
    objects += _links(statement)
    objects += _sightings(statement, referred)
    objects += _opinions(statement, referred)
    objects += _revocations(statement, referred)
    return objects


def revoke_statement(statement: Statement, at_ms: int) -> Object:
    """What stands for a signal, as a version of `at_ms` that says that it holds no more."""
    wallets = hostile_wallets(statement.signal)
    carrier = _indicator(statement, wallets) if wallets else _note(statement)
    return carrier | {"modified": stix_time(max(at_ms, statement.signal.issued_ms + 1)), "revoked": True}


def title_of(signal: Signal) -> str:
    """A line that names what a signal is about."""
    threatened = [s.value for s in signal.subjects if s.role in (Role.VICTIM, Role.AT_RISK)]
    return f"{signal.category}: {(threatened or [signal.subjects[0].value])[0]}"[:MAX_NAME_CHARS]


def signal_fields(statement: Statement) -> Object:
    """A signal as it stands in our extension."""
    signal = statement.signal
    detector = signal.detector
    return {
        "network": statement.network.hex(),
        "publisher": "0x" + statement.publisher.hex(),
        "lane": statement.lane,
        "sequence": statement.sequence,
        "digest": "0x" + statement.digest.hex(),
        "category": signal.category.value,
        "cause": signal.cause and signal.cause.value,
        "stage": signal.stage.value,
        "severity": signal.severity.value,
        "credibility": signal.credibility,
        "expires": stix_time(signal.expires_ms),
        "tier": signal.tier,
        "loss": {
            "observed_micro_usd": signal.loss.observed_micro_usd,
            "rate_micro_usd_per_hour": signal.loss.rate_micro_usd_per_hour,
            "at_risk_micro_usd": signal.loss.at_risk_micro_usd,
        },
        "subjects": [{"role": s.role.value, "kind": s.kind.value, "value": s.value} for s in signal.subjects],
        "evidence": [
            {"kind": e.kind.value, "chain": e.chain, "block": e.block, "reference": e.reference, "detail": e.detail}
            for e in signal.evidence
        ],
        "references": [{"relation": r.relation.value, "digest": "0x" + r.digest.hex()} for r in signal.references],
        "detector": None if detector is None else f"{detector.vendor}/{detector.name}",
    }


def _indicator_id(statement: Statement) -> str:
    return stix_id("indicator", statement.digest.hex())


def _note_id(statement: Statement) -> str:
    # [STIX] What leans on an object of one circle has an id that is made of that object's as well.
    about = () if hostile_wallets(statement.signal) else (statement.incident,)
    return stix_id("note", statement.digest.hex(), *about)


def _own(kind: str, object_id: str, statement: Statement) -> Object:
    return head(kind, object_id, statement.issued, by=statement.identity, tlp=statement.signal.tlp)


def _observables(signal: Signal) -> Iterable[Object]:
    found = (observable_of(subject, signal.tlp) for subject in signal.subjects)
    return {item["id"]: item for item in found if item is not None}.values()


def _indicator(statement: Statement, wallets: list[str]) -> Object:
    """[cryptocurrency-wallet:value = '0x…'], valid for as long as the signal."""
    signal = statement.signal
    # [STIX] A signal that names hostile addresses is an indicator over them, by its member, valid until it expires.
    made = _own("indicator", _indicator_id(statement), statement) | {
        "name": title_of(signal),
        "indicator_types": [_INDICATOR_TYPES[signal.stage]],
        "pattern": " OR ".join(f"[cryptocurrency-wallet:value = '{_quoted(value)}']" for value in wallets),
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": statement.issued,
        "valid_until": stix_time(signal.expires_ms),
        "kill_chain_phases": [{"kill_chain_name": KILL_CHAIN, "phase_name": signal.stage.value}],
        "confidence": signal.confidence,
        "labels": [signal.category.value, f"severity-{signal.severity.value}"],
        "extensions": property_extension(signal_fields(statement)),
    }
    if made["valid_until"] <= made["valid_from"]:  # past the last year that STIX can tell
        del made["valid_until"]
    if signal.text:
        made["description"] = signal.text
    return _with_references(made, signal)


def _bonds(statement: Statement, wallets: list[str]) -> list[Object]:
    tlp, by = statement.signal.tlp, statement.identity
    source = _indicator_id(statement)
    return [
        relationship(source, "based-on", wallet_object(value, tlp)["id"], statement.issued, by=by, tlp=tlp)
        for value in wallets
    ]


def _note(statement: Statement) -> Object:
    signal = statement.signal
    # [STIX] What a signal says in words is a note by its member; one without words or hostile address says its terms.
    made = _own("note", _note_id(statement), statement) | {
        "abstract": title_of(signal),
        "content": signal.text or f"{signal.severity} {signal.category} in stage {signal.stage}",
        "object_refs": [_indicator_id(statement) if hostile_wallets(signal) else statement.incident],
        "confidence": signal.confidence,
        "labels": [signal.category.value, f"severity-{signal.severity.value}"],
    }
    if not hostile_wallets(signal):
        made["extensions"] = property_extension(signal_fields(statement))
    return _with_references(made, signal)


def _links(statement: Statement) -> list[Object]:
    """The incident with what is named in it, by the part that it plays."""
    signal, by, tlp = statement.signal, statement.identity, statement.signal.tlp
    incident = statement.incident
    links = []
    for subject in signal.subjects:
        observable = observable_of(subject, tlp)
        if observable is not None:
            target, words = observable["id"], subject.role.value
            links.append(relationship(incident, "related-to", target, statement.issued, by=by, tlp=tlp, words=words))
    if hostile_wallets(signal):
        source = _indicator_id(statement)
        links.append(relationship(source, "related-to", incident, statement.issued, by=by, tlp=tlp))
    return list({link["id"]: link for link in links}.values())


def _sightings(statement: Statement, referred: Mapping[bytes, Statement]) -> list[Object]:
    """Who saw what the indicators name: its own, or those of the signals that it corroborates."""
    corroborated = _indicated(statement, Relation.CORROBORATES, referred)
    own = [statement] if hostile_wallets(statement.signal) and not corroborated else []
    # [STIX] A member who reports or corroborates an indicator has sighted it, at the time when he noticed.
    return [_sighting(statement, _indicator_id(other)) for other in [*corroborated, *own]]


def _sighting(statement: Statement, indicator: str) -> Object:
    seen = stix_time(statement.signal.detected_ms)
    return _own("sighting", stix_id("sighting", statement.digest.hex(), indicator), statement) | {
        "sighting_of_ref": indicator,
        "where_sighted_refs": [statement.identity],
        "first_seen": seen,
        "last_seen": seen,
        "count": 1,
        "confidence": statement.signal.confidence,
    }


def _opinions(statement: Statement, referred: Mapping[bytes, Statement]) -> list[Object]:
    # [STIX] A signal that disputes or corroborates another is its member's opinion of what stands for that signal.
    words = {Relation.DISPUTES: "disagree", Relation.CORROBORATES: "agree"}
    opinions = []
    for reference in statement.signal.references:
        other, word = referred.get(reference.digest), words.get(reference.relation)
        if other is not None and word is not None:
            target = carrier_id(other)
            made = _own("opinion", stix_id("opinion", statement.digest.hex(), target, word), statement)
            made |= {"opinion": word, "object_refs": [target]}
            opinions.append(made | {"explanation": statement.signal.text} if statement.signal.text else made)
    return list({made["id"]: made for made in opinions}.values())


def _revocations(statement: Statement, referred: Mapping[bytes, Statement]) -> list[Object]:
    revoked = []
    for reference in statement.signal.references:
        other = referred.get(reference.digest)
        # [STIX] What its own publisher takes back is revoked, by a later version of what stands for it.
        if other is None or reference.relation is not Relation.RETRACTS or other.publisher != statement.publisher:
            continue
        revoked.append(revoke_statement(other, statement.signal.issued_ms))
    return revoked


def _indicated(statement: Statement, relation: Relation, referred: Mapping[bytes, Statement]) -> list[Statement]:
    named = [referred.get(r.digest) for r in statement.signal.references if r.relation is relation]
    found = {other.digest: other for other in named if other is not None and hostile_wallets(other.signal)}
    return list(found.values())


def _with_references(made: Object, signal: Signal) -> Object:
    references = transaction_references(signal)
    return made | {"external_references": references} if references else made


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
