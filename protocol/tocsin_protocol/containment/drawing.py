"""The life-cycle as the specification shows it: drawn from the table, so that neither can drift from the other."""

from __future__ import annotations

from .life_cycle import FINAL, TRANSITIONS, State

_FIRST_LINE = "<!-- drawn from the table in containment/life_cycle.py by specs/draw.py -->"
_LAST_LINE = "<!-- end of what is drawn -->"


def draw_life_cycle() -> str:
    """Return the table of transitions and the diagram, in Markdown with mermaid."""
    rows = [f"| `{state}` | {_ways_out(state)} |" for state in State]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(event.value)
    lines = [
        *(f"    {_node(state)}: {state.value.replace('-', ' ')}" for state in State if "-" in state.value),
        "    [*] --> planned",
        *(f"    {_node(before)} --> {_node(after)}: {', '.join(events)}" for (before, after), events in arrows.items()),
        *(f"    {_node(state)} --> [*]" for state in State if state in FINAL),
    ]
    table = ["| state | event → state after it |", "|---|---|", *rows]
    diagram = ["```mermaid", "stateDiagram-v2", *lines, "```"]
    return "\n".join([_FIRST_LINE, "", *table, "", *diagram, "", _LAST_LINE])


def redraw(page: str) -> str:
    """Return a page of the specification with its drawn part drawn anew; raises ValueError where it has none."""
    before, first, rest = page.partition(_FIRST_LINE)
    _, last, after = rest.partition(_LAST_LINE)
    if not first or not last:
        raise ValueError(f"the page lacks the lines {_FIRST_LINE!r} and {_LAST_LINE!r}")
    return before + draw_life_cycle() + after


def _ways_out(state: State) -> str:
    ways = [f"`{event}` → `{after}`" for (before, event), after in TRANSITIONS.items() if before is state]
    return ", ".join(ways) or "nothing leaves it"


def _node(state: State) -> str:
    return state.value.replace("-", "_")
