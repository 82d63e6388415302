"""What hypothesis draws from: canonical values, signals, and bytes that are nearly right."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from protocol_kit import ASSET, NOW_MS, VAULT, make_signal
from tocsin_protocol.body import MAX_LIFETIME_MS
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.model import Detector, Evidence, Loss, Reference, Signal, Subject
from tocsin_protocol.taxonomy import Category, Cause, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp

# The same examples on every machine, and no judgement by the clock.
FIXED = settings(
    deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow], database=None
)

uints = st.integers(0, MAX_UINT)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values = st.recursive(
    st.one_of(uints, st.booleans(), st.binary(max_size=40), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
labels = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
slugs = st.from_regex(r"[a-z0-9][-.a-z0-9]{0,20}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32)
subjects = st.one_of(
    st.builds(Subject, st.sampled_from(Role), st.just(SubjectKind.ACCOUNT), st.just(VAULT)),
    st.builds(Subject, st.sampled_from(Role), st.just(SubjectKind.ASSET), st.just(ASSET)),
    st.builds(Subject, st.sampled_from(Role), st.just(SubjectKind.LINEAGE), slugs),
)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Signals with every field drawn."""
    issued = draw(st.integers(0, NOW_MS))
    return make_signal(
        category=draw(st.sampled_from(Category)),
        stage=draw(st.sampled_from(Stage)),
        severity=draw(st.sampled_from(Severity)),
        confidence=draw(st.integers(0, 100)),
        credibility=draw(st.integers(1, 6)),
        detected_ms=draw(uints),
        issued_ms=issued,
        expires_ms=issued + draw(st.integers(1, MAX_LIFETIME_MS)),
        incident=draw(st.one_of(st.just(""), slugs)),
        subjects=tuple(sorted(draw(st.sets(subjects, min_size=1, max_size=5)))),
        evidence=tuple(draw(st.lists(evidence, max_size=3))),
        detector=draw(st.one_of(st.none(), st.builds(Detector, slugs, slugs, digests, slugs))),
        loss=Loss(draw(uints), draw(uints), draw(uints)),
        tier=draw(st.integers(0, 4)),
        tlp=draw(st.sampled_from(Tlp)),
        references=tuple(draw(st.lists(st.builds(Reference, st.sampled_from(Relation), digests), max_size=3))),
        cause=draw(st.one_of(st.none(), st.sampled_from(Cause))),
        drill=draw(st.booleans()),
        text=draw(st.one_of(st.just(""), labels)),
    )


evidence = st.builds(
    Evidence, st.sampled_from(EvidenceKind), st.just("eip155:1"), uints, labels, st.one_of(st.just(""), labels)
)


@st.composite
def nearly(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with a few of them changed, left out or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 2)):
            case 0 if data:
                data[place] ^= draw(st.integers(1, 255))
            case 1:
                del data[place : place + draw(st.integers(1, 8))]
            case _:
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


def garbage_or(good: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=200), nearly(good))
