"""Which scopes wait for which: what hangs on another opens no further than that (specs/recovery.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from ..exposure.components import find_components
from ..exposure.manifest import CODE_LINKS, Manifest, SubjectId
from ..taxonomy import SubjectKind

HangsOn = Mapping[str, frozenset[str]]
"""For each holding of ours the holdings of ours that it hangs on."""


def hangs_on(manifest: Manifest) -> HangsOn:
    """Who hangs on whom among the holdings of one manifest."""
    names = frozenset(holding.name for holding in manifest.holdings)
    owners: dict[str, set[str]] = defaultdict(set)
    for holding in manifest.holdings:
        for subject in holding.subjects:
            owners[subject.key].add(holding.name)
    for token in manifest.tokens:
        owners[SubjectId(SubjectKind.ASSET, token.asset).key] |= {token.holding} if token.holding else names
    found: dict[str, set[str]] = {name: set() for name in names}
    for dependency in manifest.dependencies:
        # [RECOVER] A holding hangs on another whose subject or token it names as a dependency; shared code counts not.
        if dependency.link in CODE_LINKS:
            continue
        for name in (dependency.holding,) if dependency.holding else names:
            found[name] |= owners[dependency.subject.key] - {name}
    return {name: frozenset(others) for name, others in found.items()}


def waits_for(
    scopes: Collection[str], hanging: HangsOn, together: Iterable[frozenset[str]] = ()
) -> dict[str, frozenset[str]]:
    """For each scope, in an order of opening, those of the others that it waits for; `together` open as one."""
    names = sorted({*scopes, *hanging, *(name for others in hanging.values() for name in others)})
    at = {name: place for place, name in enumerate(names)}
    downstream: list[set[int]] = [set() for _ in names]
    for name, others in hanging.items():
        for other in others:
            downstream[at[other]].add(at[name])
    for group in together:
        members = sorted(at[name] for name in group if name in at)
        for one, following in zip(members, members[1:] + members[:1], strict=True):
            downstream[one].add(following)
    upstream: dict[int, set[int]] = defaultdict(set)
    waiting: dict[str, frozenset[str]] = {}
    for circle in find_components([sorted(following) for following in downstream]):
        # [RECOVER] Those that hang on each other in a circle, or are held by one lever, do not wait for each other.
        before = set().union(*(upstream[place] for place in circle))
        for place in circle:
            if names[place] in scopes:
                waiting[names[place]] = frozenset(names[other] for other in before if names[other] in scopes)
            for following in downstream[place]:
                upstream[following] |= before | set(circle)
    return waiting
