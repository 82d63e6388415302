"""Looking at a subject as if it were ours: its incidents, judged by what of them may be told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from tocsin_protocol.adjudication import Finding
from tocsin_protocol.correlation import Incident, is_open
from tocsin_protocol.decision.judge import Judgement, Sighting, weigh_incident
from tocsin_protocol.decision.tiers import FREEZE_GROUPS, GROUPS_BESIDE_OWN
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.exposure.manifest import Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.ids import NO_DIGEST, address_of, chain_of
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.risk.model import Model
from tocsin_protocol.risk.report import OracleDomain
from tocsin_protocol.risk.states import PPM, Seen
from tocsin_protocol.taxonomy import SubjectKind, Tlp

from ..exposure import Exposure, make_exposure
from .evidence_checks import load_exhibits, unchecked_predicates
from .rules import Rules
from .sightings import load_sightings
from .tracks import read_tracks

# Of the incidents about a subject, the latest. More than there are families, of each of which one is open at a time: a
# member that opens some in each hides none.
MAX_INCIDENTS_SEEN = 32


@dataclass(frozen=True, slots=True)
class Reporting:
    """For whom reports are made, and with what: `may_count` says which marks of foreign signals may be used."""

    domain: OracleDomain
    secret: bytes
    signer: bytes
    model: Model
    may_count: Callable[[Tlp], bool]


@dataclass(frozen=True, slots=True)
class Looked:
    """One incident with the judgement that led to how it is seen."""

    seen: Seen
    judgement: Judgement


def look_at(
    connection: sqlite3.Connection, rules: Rules, reporting: Reporting, subject: str, reported: bytes, now_ms: int
) -> list[Looked]:
    """The incidents about a subject as they are seen now; `reported` is the one in the last report."""
    looked = (
        _look(connection, rules, reporting, subject, incident, reported, now_ms)
        for incident in _incidents_about(connection, subject, reported)
    )
    return [one for one in looked if one is not None]


def claims_about(
    connection: sqlite3.Connection, rules: Rules, reporting: Reporting, subject: str, now_ms: int
) -> list[Predicate]:
    """The claims about a subject that our own endpoints have not answered yet: others' subjects are nobody's business
    but a reporter's."""
    found: dict[Predicate, None] = {}
    view = _view(rules, subject)
    for incident in _incidents_about(connection, subject, NO_DIGEST):
        if is_open(incident, now_ms):
            heard = _hear(connection, view, reporting, incident.id, now_ms)
            found |= dict.fromkeys(unchecked_predicates(connection, view, heard))
    return list(found)


def _incidents_about(connection: sqlite3.Connection, subject: str, reported: bytes) -> list[Incident]:
    # A token is its contract, whichever of the two a signal names.
    token = f"{chain_of(subject)}/erc20:{address_of(subject)}"
    rows = connection.execute(
        "SELECT DISTINCT i.id, i.family, i.first_ms, i.last_ms FROM incident_subjects s JOIN incidents i"
        " ON i.id = s.incident WHERE s.subject IN (?, ?) ORDER BY i.id = ? DESC, i.last_ms DESC LIMIT ?",
        (subject, token, reported, MAX_INCIDENTS_SEEN),
    )
    return [Incident(*row) for row in rows]


def _look(
    connection: sqlite3.Connection,
    rules: Rules,
    reporting: Reporting,
    subject: str,
    incident: Incident,
    reported: bytes,
    now_ms: int,
) -> Looked | None:
    """An incident judged as if the subject were ours: no lever, and what may not be told is not heard."""
    view = _view(rules, subject)
    heard = _hear(connection, view, reporting, incident.id, now_ms)
    stage = _stage_of(connection, rules.exposure, subject, incident.id)
    # [RISK] Of an incident of which nothing may be told nothing is told, unless our own levers held the subject for it.
    if not heard and stage is None and incident.id != reported:
        return None
    judgement = weigh_incident(view.world, incident.id, heard, load_exhibits(connection, view, heard), {}, (), now_ms)
    return Looked(
        Seen(
            incident=incident.id,
            first_ms=incident.first_ms,
            belief_ppm=round(judgement.belief.probability * PPM),
            is_evidenced=_is_evidenced(judgement),
            is_open=is_open(incident, now_ms),
            finding=_finding_of(connection, incident.id),
            stage=stage,
        ),
        judgement,
    )


def _view(rules: Rules, subject: str) -> Rules:
    """The rules as if the subject were ours, and we had no lever."""
    return replace(rules, exposure=_as_if_ours(subject), policy=replace(rules.policy, levers=(), limits=()))


def _hear(
    connection: sqlite3.Connection, view: Rules, reporting: Reporting, incident: bytes, now_ms: int
) -> list[Sighting]:
    own = view.world.own
    # [RISK] Of foreign signals those count whose marks the operator lets count; red and amber+strict never do.
    return [
        one
        for one in load_sightings(connection, view.roster, view.exposure.watched, incident, now_ms)
        if one.publisher in own or reporting.may_count(one.signal.tlp)
    ]


def _is_evidenced(judgement: Judgement) -> bool:
    # [RISK] Evidence counts with the quorum for a freeze: FREEZE_GROUPS, or our own detector and one group beside it.
    belief, weighing = judgement.belief, judgement.evidence
    has_own = judgement.situation.own_detector and belief.groups_beside_own >= GROUPS_BESIDE_OWN
    return weighing.is_local and not weighing.is_vetoed and (belief.groups >= FREEZE_GROUPS or has_own)


def _finding_of(connection: sqlite3.Connection, incident: bytes) -> Finding | None:
    row = connection.execute("SELECT body FROM adjudications WHERE incident = ?", (incident,)).fetchone()
    return Finding(decode_canonical(row[0], max_bytes=len(row[0]))[2]) if row else None


def _stage_of(connection: sqlite3.Connection, own: Exposure, subject: str, incident: bytes) -> Stage | None:
    """How far a subject of ours is open again, by the scope of it that is least."""
    ours = {h.name for h in own.own.holdings if any(one.value == subject for one in h.subjects)}
    if not ours:
        return None
    stages = [
        row.track.stage
        for scope, row in read_tracks(connection).items()
        if scope in ours and row.track.incident == incident
    ]
    return min(stages, key=lambda stage: stage.rank, default=None)


@lru_cache(maxsize=64)
def _as_if_ours(subject: str) -> Exposure:
    holding = Holding("assessed", HoldingKind.MARKET, (SubjectId(SubjectKind.ACCOUNT, subject),), None)
    return make_exposure(Manifest("assessed", (holding,), (), ()))
