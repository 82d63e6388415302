"""The specs and the code say the same: rules line by line, constants value by value."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from tocsin_protocol.approval.judging import Refusal
from tocsin_protocol.approval.request import Purpose
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.belief.priors import half_life_ms, prior_of
from tocsin_protocol.belief.terms import Answer
from tocsin_protocol.containment.drawing import redraw
from tocsin_protocol.containment.ledger import LedgerStanding
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.decision.basis import Part
from tocsin_protocol.decision.tiers import NEEDS, Condition
from tocsin_protocol.exposure.manifest import LINK_SUBJECTS, AmountSource, HoldingKind, TokenKind
from tocsin_protocol.exposure.shock import SIMILAR_HIT, STAGE_SHOCK, Odds
from tocsin_protocol.freshness import freshness_bound_ms
from tocsin_protocol.ladder import Lever
from tocsin_protocol.postmortem.entries import AnyEntry
from tocsin_protocol.rates import CRITICAL_RATES, STANDARD_RATES, Rate
from tocsin_protocol.recovery.plan import EndKind, ProposalKind
from tocsin_protocol.recovery.policy import DEFAULT_DWELL_MS
from tocsin_protocol.recovery.stages import LIMIT_PERCENT, OPENS, TRANSITIONS
from tocsin_protocol.recovery.stages import Event as RecoveryEvent
from tocsin_protocol.recovery.stages import Stage as RecoveryStage
from tocsin_protocol.recovery.track import Note
from tocsin_protocol.risk.model import DEFAULT_MODEL, Model
from tocsin_protocol.risk.states import LEGAL, RiskState
from tocsin_protocol.roster_model import RateClass
from tocsin_protocol.taxonomy import (
    TAXONOMY_VERSION,
    Category,
    EvidenceKind,
    Relation,
    Role,
    Severity,
    Stage,
    SubjectKind,
    Tlp,
)

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
PAGES = (
    *("encoding", "signal", "roster", "gossip", "sync", "incidents", "belief", "evidence", "exposure", "decision"),
    *("containment", "approval", "recovery", "self-protection", "drills", "audit-log", "replay", "report", "stix"),
    "risk",
)
# Where the rules of a page stand in the code, in the page's order.
RULES = {
    "signal": ("protocol/tocsin_protocol/feed.py", "protocol/tocsin_protocol/freshness.py"),
    "roster": ("protocol/tocsin_protocol/roster.py",),
    "gossip": (
        "protocol/tocsin_protocol/topics.py",
        "node/tocsin_node/mesh/gossip.py",
        "protocol/tocsin_protocol/admission.py",
        "node/tocsin_node/mesh/judge.py",
        "node/tocsin_node/mesh/upkeep.py",
    ),
    "incidents": ("protocol/tocsin_protocol/correlation.py",),
    "belief": tuple(
        f"protocol/tocsin_protocol/{name}.py"
        for name in (
            "adjudication",
            "belief/outcomes",
            "belief/reputation",
            "belief/independence",
            "belief/statements",
            "belief/priors",
            "belief/belief",
            "belief/silence",
        )
    ),
    "evidence": tuple(f"protocol/tocsin_protocol/evidence/{name}.py" for name in ("relevance", "answers", "weighing")),
    "decision": tuple(
        f"protocol/tocsin_protocol/decision/{name}.py" for name in ("budget", "judge", "decide", "policy")
    ),
    "exposure": (
        "protocol/tocsin_protocol/exposure/manifest_encoding.py",
        "protocol/tocsin_protocol/exposure/manifest_signing.py",
        "protocol/tocsin_protocol/exposure/graph_building.py",
        "protocol/tocsin_protocol/exposure/contagion.py",
        "protocol/tocsin_protocol/exposure/shock.py",
        "protocol/tocsin_protocol/exposure/routes.py",
        "protocol/tocsin_protocol/exposure/local_loss.py",
        "node/tocsin_node/amounts.py",
        "node/tocsin_node/relay/amounts.py",
        "protocol/tocsin_protocol/ladder.py",
    ),
    "approval": tuple(
        f"protocol/tocsin_protocol/approval/{name}.py" for name in ("request", "files", "policy", "judging")
    ),
    "recovery": tuple(
        f"protocol/tocsin_protocol/recovery/{name}.py"
        for name in ("policy", "steps", "track", "order", "plan", "claims")
    ),
    "containment": (
        "protocol/tocsin_protocol/containment/life_cycle.py",
        "protocol/tocsin_protocol/containment/action.py",
        "node/tocsin_node/store/actions.py",
        "node/tocsin_node/relay/expiry.py",
        "node/tocsin_node/relay/ledger_desk.py",
        "protocol/tocsin_protocol/containment/ledger.py",
        "node/tocsin_node/store/ledger.py",
        "node/tocsin_node/store/ledger_doubt.py",
        "node/tocsin_node/relay/ledger.py",
        "node/tocsin_node/relay/acting.py",
    ),
    "sending": (
        *(
            f"node/tocsin_node/chain/{name}.py"
            for name in (
                "key_lock",
                "quotes",
                "preflight",
                "spending",
                "sender",
                "client",
                "broadcasts",
                "fees",
                "receipts",
                "finality",
            )
        ),
        "node/tocsin_node/hooks/pursuit.py",
    ),
    "self-protection": (
        "protocol/tocsin_protocol/disarm.py",
        "node/tocsin_node/relay/brake.py",
        "node/tocsin_node/store/standstills.py",
        "node/tocsin_node/relay/self_watch.py",
        "node/tocsin_node/never_touch.py",
        "node/tocsin_node/store/guardian_counts.py",
        "node/tocsin_node/relay/doubles.py",
        "node/tocsin_node/relay/about_us.py",
        "node/tocsin_node/relay/doctor.py",
        "node/tocsin_node/watchdog.py",
    ),
    "drills": (
        "node/tocsin_node/hooks/drilling.py",
        "node/tocsin_node/relay/drills.py",
        "node/tocsin_node/store/drills.py",
        "protocol/tocsin_protocol/drill.py",
    ),
    "audit-log": (
        "protocol/tocsin_protocol/audit.py",
        *(f"protocol/tocsin_protocol/log/{name}.py" for name in ("tree", "proofs", "tiles", "note", "checkpoint")),
        "node/tocsin_node/store/record.py",
        "node/tocsin_node/record/checking.py",
        "node/tocsin_node/record/export.py",
        "node/tocsin_node/store/log_files.py",
        *(f"protocol/tocsin_protocol/log/{name}.py" for name in ("trust", "bundle", "case", "split_view", "witness")),
        *(f"protocol/tocsin_protocol/log/{name}.py" for name in ("members", "watch", "hearing")),
        "protocol/tocsin_protocol/proof.py",
        "node/tocsin_node/store/witnessing.py",
        "node/tocsin_node/store/shown_heads.py",
        "node/tocsin_node/relay/witnessing.py",
        "node/tocsin_node/store/anchors.py",
        "node/tocsin_node/relay/anchoring.py",
        "protocol/tocsin_protocol/log/anchor.py",
        "node/tocsin_node/record/anchors.py",
        "node/tocsin_node/chain/anchor_blocks.py",
    ),
    "replay": (
        "node/tocsin_node/store/basis.py",
        "node/tocsin_node/replay/ground.py",
        "node/tocsin_node/replay/taking.py",
        "node/tocsin_node/cli/log_replay.py",
    ),
    "retention": (
        "node/tocsin_node/store/pruning.py",
        "node/tocsin_node/record/exported.py",
        "node/tocsin_node/store/copies.py",
        "node/tocsin_node/relay/log_desk.py",
        "node/tocsin_node/backups.py",
    ),
    "report": (
        "protocol/tocsin_protocol/postmortem/report.py",
        "node/tocsin_node/report/reading.py",
        "node/tocsin_node/report/files.py",
        "node/tocsin_node/report/page.py",
        "protocol/tocsin_protocol/postmortem/proofs.py",
        "protocol/tocsin_protocol/postmortem/signing.py",
    ),
    "api": tuple(
        f"node/tocsin_node/api/{name}.py"
        for name in (
            "markings",
            "access",
            "rates",
            "paging",
            "queries",
            "index",
            "context",
            "sight",
            *(
                f"routes/{topic}"
                for topic in ("signals", "publishers", "actions", "exposure", "risk", "record", "desk", "health")
            ),
            "live/events",
            "live/listeners",
            "routes/live",
            "live/outward",
            "live/delivering",
            "protocol",
            "bounds",
            "app",
            "server",
            "web/sessions",
            "web/pages",
        )
    ),
    "client": tuple(
        f"node/tocsin_client/{name}.py"
        for name in ("key", "state", "trust", "sse", "following", "transport", "log", "session")
    ),
    "stix": (
        *(
            f"protocol/tocsin_protocol/stix/{name}.py"
            for name in ("naming", "marking", "common", "statements", "incidents", "reading", "drafting", "alerts")
        ),
        *(f"node/tocsin_node/api/taxii/{name}.py" for name in ("__main__", "projecting", "objects", "keeping", "wire")),
        *(f"node/tocsin_node/api/taxii/{name}.py" for name in ("routes", "inbox")),
        "node/tocsin_node/api/suggestions.py",
        *(f"node/tocsin_node/api/taxii/{name}.py" for name in ("importing", "pulling")),
    ),
    "risk": (
        *(f"protocol/tocsin_protocol/risk/{n}.py" for n in ("states", "report", "aggregate", "model", "upkeep")),
        "node/tocsin_node/store/risk_sight.py",
        "node/tocsin_node/store/risk.py",
        "node/tocsin_node/relay/risk.py",
        *(f"node/tocsin_node/{name}.py" for name in ("risk_gather", "risk_push", "risk_carry")),
    ),
    "encoding": (),
    "sync": (),
}
# Other pages speak about these, or they are no part of what nodes agree on.
ELSEWHERE = {"outflow"}
TAG = (
    r"\[(?:REJECT|IGNORE|DROP|FORWARD|FEED|FRESH|ROSTER|INCIDENT|BELIEF|EVIDENCE|EXPOSURE|LADDER|DECIDE|ARM|ACT|LEDGER"
    r"|APPROVE|RECOVER|CLAIM|SEND|CARE|DRILL|LOG|REPLAY|KEEP|REPORT|API|CLIENT|STIX|TAXII|RISK)\]"
)


def page(name: str) -> str:
    return (SPECS / f"{name}.md").read_text()


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    rows = text.split(f"| {heading} |", 1)[1].split("\n")[2:]
    body = rows[: next(n for n, row in enumerate(rows) if not row.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body]


def modules_of(text: str) -> list[ModuleType]:
    names = re.findall(r"`([\w.]+)`", text.split("\nModules: ", 1)[1].split("\n", 1)[0])
    return [importlib.import_module(f"tocsin_protocol.{name}") for name in names]


def own_constants(module: ModuleType) -> dict[str, Any]:
    """Public UPPER_CASE names that the module itself assigns."""
    source = Path(str(module.__file__)).read_text()
    return {
        name: getattr(module, name) for name in re.findall(r"^([A-Z][A-Z0-9_]+)\b[^=\n]*=(?!=)", source, re.MULTILINE)
    }


def shown(value: Any) -> str:
    """How a table writes a value."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, frozenset):
        return ", ".join(f"`{item}`" for item in sorted(value))
    if isinstance(value, Rate):
        return f"{value.per_second} per second, burst {value.burst}"
    return str(value)


@pytest.mark.parametrize("name", RULES)
def test_rules_are_those_of_the_code_in_its_order(name: str) -> None:
    in_spec = re.findall(rf"^- ({TAG} .+)$", page(name), re.MULTILINE)
    in_code: list[str] = []
    for path in RULES[name]:
        in_code += re.findall(rf"^ *# ({TAG} .+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert in_spec == in_code
    assert len(set(in_code)) == len(in_code)


def test_no_rule_stands_in_another_file() -> None:
    known = {ROOT / path for paths in RULES.values() for path in paths}
    for folder in ("protocol", "node"):
        for path in (ROOT / folder).rglob("*.py"):
            if path not in known:
                assert not re.search(rf"# {TAG}", path.read_text()), path


@pytest.mark.parametrize("name", PAGES)
def test_constants_are_those_of_the_code(name: str) -> None:
    text = page(name)
    rows = {row[0]: row[1] for row in table(text, "constant")}
    constants = {key: value for module in modules_of(text) for key, value in own_constants(module).items()}
    assert set(rows) == set(constants)
    for constant, value in constants.items():
        if isinstance(value, dict | Odds | Lever | Model):
            assert rows[constant].startswith("see the "), constant
        else:
            assert rows[constant] == shown(value), constant


def test_every_public_constant_is_in_a_table() -> None:
    listed = {module.__name__ for name in PAGES for module in modules_of(page(name))}
    for path in sorted((ROOT / "protocol/tocsin_protocol").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "protocol").with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        if path.stem not in ELSEWHERE and own_constants(module):
            assert module.__name__ in listed, path.stem


def test_categories_and_their_bounds_are_the_enumeration() -> None:
    assert f"\nVersion {TAXONOMY_VERSION} of the list." in page("signal")
    rows = table(page("signal"), "category")
    assert [row[0] for row in rows] == [f"`{category}`" for category in Category]
    assert [int(row[1]) for row in rows] == [freshness_bound_ms(category) for category in Category]


def test_priors_and_half_lives_are_those_of_the_code() -> None:
    rows = table(page("belief"), "category")
    assert rows == [[f"`{kind}`", str(prior_of(kind)), str(half_life_ms(kind))] for kind in Category]


def test_every_reason_for_not_counting_is_named() -> None:
    for answer in Answer:
        assert answer is Answer.COUNTED or f"`{answer}`" in page("belief"), answer


def test_what_a_tier_needs_is_the_table_of_the_code() -> None:
    rows = [[str(int(tier)), tier.name.lower(), " ".join(f"`{c}`" for c in Condition if c in needs)]
            for tier, alternatives in NEEDS.items() for needs in alternatives]  # fmt: skip
    listed = [[row[0], row[1], " ".join(sorted(row[2].split()))] for row in table(page("decision"), "tier")]
    assert listed == [[tier, name, " ".join(sorted(needs.split()))] for tier, name, needs in rows]
    assert [row[0] for row in table(page("decision"), "condition")] == [f"`{condition}`" for condition in Condition]


def test_rates_are_those_of_the_code() -> None:
    rows = [
        ["STANDARD" if rates is STANDARD_RATES else "CRITICAL", f"`{kind}`", rate.per_second, rate.burst]
        for rates in (STANDARD_RATES, CRITICAL_RATES)
        for kind, rate in rates.items()
    ]
    assert [[*row[:2], int(row[2]), int(row[3])] for row in table(page("gossip"), "lane")] == rows
    assert set(STANDARD_RATES) == set(CRITICAL_RATES) == set(RateClass)


@pytest.mark.parametrize("kind", [EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp])
def test_words_are_those_of_the_code(kind: Any) -> None:
    text = page("signal")
    for word in kind:
        assert f"`{word}`" in text


def test_every_refusal_of_an_approval_is_in_its_table_and_order() -> None:
    assert [row[0] for row in table(page("approval"), "refusal")] == [f"`{refusal}`" for refusal in Refusal]
    for purpose in Purpose:
        assert f"`{purpose}`" in page("approval")


def test_stages_are_the_table_of_the_code() -> None:
    rows = [
        [
            f"`{stage}`",
            " ".join(f"`{op}`" for op in OPENS[stage]),
            str(LIMIT_PERCENT[stage]),
            str(DEFAULT_DWELL_MS[stage]),
        ]
        for stage in RecoveryStage
    ]
    assert table(page("recovery"), "stage") == rows


def test_the_diagram_of_recovery_is_drawn_from_the_table() -> None:
    drawn = page("recovery").split("```mermaid\nstateDiagram-v2\n", 1)[1].split("```", 1)[0]
    moves = [
        f"    {before.name} --> {after.name}: {event}\n"
        for (before, event), after in TRANSITIONS.items()
        if before is not after
    ]
    assert drawn == "".join(moves)


def test_words_of_recovery_are_those_of_the_code() -> None:
    text = page("recovery")
    assert [row[0] for row in table(text, "event")] == [f"`{event}`" for event in RecoveryEvent]
    assert {row[0] for row in table(text, "note")} == {f"`{note}`" for note in Note}
    for word in (*EndKind, *ProposalKind):
        assert f"`{word}`" in text


def test_states_of_risk_and_their_moves_are_the_table_of_the_code() -> None:
    rows = [[row[0], row[1], row[3]] for row in table(page("risk"), "number")]
    assert rows == [
        [
            str(int(state)),
            f"`{state.word}`",
            " ".join(f"`{after.word}`" for after in sorted(LEGAL.get(state, ())) if after is not state),
        ]
        for state in RiskState
    ]


def test_the_default_model_is_that_of_the_code() -> None:
    rows = {row[0]: row[1] for row in table(page("risk"), "number of the model")}
    model, severity = DEFAULT_MODEL, DEFAULT_MODEL.severity
    for name, value in rows.items():
        assert value == str(getattr(severity if hasattr(severity, name) else model, name)), name
    assert len(rows) == 9


def test_entries_of_a_report_are_the_types_of_the_code() -> None:
    rows = {row[0]: row[2] for row in table(page("report"), "section")}
    types = {f"`{kind.__struct_config__.tag}`": kind for kind in get_args(AnyEntry)}
    assert rows == {
        name: " ".join(f"`{field}`" for field in kind.__struct_fields__ if field != "tlp")
        for name, kind in types.items()
    }


def test_audit_entries_are_the_enumeration() -> None:
    assert [row[0] for row in table(page("audit-log"), "kind")] == [f"`{kind}`" for kind in EntryKind]
    assert [row[0] for row in table(page("replay"), "part")] == [f"`{part}`" for part in Part]


def test_the_life_cycle_is_drawn_from_the_table() -> None:
    text = page("containment")
    assert redraw(text) == text, "run `python specs/draw.py`"
    assert [row[0] for row in table(text, "where")] == [f"`{state}`" for state in State]
    assert [row[0] for row in table(text, "event")] == [f"`{event}`" for event in Event]
    assert [row[0] for row in table(text, "standing")] == [f"`{standing}`" for standing in LedgerStanding]


def test_a_page_without_a_drawn_part_is_not_drawn_on() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        redraw(page("decision"))


def test_links_and_odds_are_those_of_the_code() -> None:
    text = page("exposure")
    kinds = {row[0]: {kind.strip(" `") for kind in row[1].split(",")} for row in table(text, "link")}
    assert kinds == {f"`{link}`": set(allowed) for link, allowed in LINK_SUBJECTS.items()}
    for heading, odds in (("stage", STAGE_SHOCK), ("code", SIMILAR_HIT)):
        assert [(row[0], float(row[1])) for row in table(text, heading)] == [(f"`{k}`", v) for k, v in odds.items()]
    for word in (*HoldingKind, *TokenKind, *AmountSource):
        assert f"`{word}`" in text


def test_every_reason_is_named() -> None:
    from tocsin_protocol.admission import Reason

    text = page("gossip")
    for reason in Reason:
        assert f"`{reason}`" in text, reason


def test_links_lead_somewhere() -> None:
    for path in SPECS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
