"""`tocsin demo`: the incident of March 2023 on this machine, once disarmed and once armed."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tocsin_protocol.recovery.stages import Stage

from ..errors import NodeError
from .base import EXIT_CODES, output_option
from .output import Output, short_hex

if TYPE_CHECKING:
    from ..demo.incident import Moment, RunResult

_MILLION_MICRO_USD = 10**12


@click.command(epilog=EXIT_CODES)
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave the nodes' files there to look at."
)
@output_option
def demo(keep: Path | None, out: Output) -> None:
    """Four nodes, one chain, a lender drained over several transactions, and a liar: first disarmed, then armed.

    Then the lender is opened again in stages, each approved by two of its three operators. Needs anvil (`make set-up`
    installs it). Takes a minute and a half; nothing leaves this machine.
    """
    import trio

    from ..demo.anvil import AnvilError
    from ..logs import configure_logs

    configure_logs("warning")
    try:
        if keep is not None:
            disarmed, armed = trio.run(_run_both, keep, out)
        else:
            with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as directory:
                disarmed, armed = trio.run(_run_both, Path(directory), out)
    except AnvilError as exc:
        raise NodeError(str(exc)) from exc
    _show(out, disarmed, armed)
    if keep is not None and not out.as_json:
        incident = next((short_hex(m.incident) for m in armed.timeline if "PAUSE MINED" in m.what), "INCIDENT")
        home = keep / "armed" / "lender"
        out.say(f"Look closer: tocsin explain {incident} --home {home}")
        out.say(f"Its post-mortem: tocsin report {incident} --home {home} --public --tlp amber")
    if set(armed.paused) != {"lender", "dex"} or armed.lost_micro_usd >= disarmed.lost_micro_usd:
        raise NodeError("the demo did not end as it should: nothing was saved")
    if armed.reopened[-1:] != (Stage.NORMAL,) or not armed.is_open_again:
        raise NodeError("the demo did not end as it should: the lender was not opened again")


async def _run_both(directory: Path, out: Output) -> tuple[RunResult, RunResult]:
    from ..demo.incident import run_incident

    results: list[RunResult] = []
    for name, armed in (("disarmed", False), ("armed", True)):
        out.say((f"Run {len(results) + 1} of 2: levers {name}", "bold"))
        results.append(
            await run_incident(directory / name, armed=armed, tell=lambda text: out.say(("  " + text, "dim")))
        )
    return results[0], results[1]


def _show(out: Output, disarmed: RunResult, armed: RunResult) -> None:
    from ..demo.cast import UNTOUCHED
    from ..demo.incident import ATTACKER
    from ..demo.reopening import AWAY, OPERATORS, WANTED

    if out.as_json:
        out.emit({"disarmed": _as_json(disarmed), "armed": _as_json(armed), "saved_micro_usd": _saved(disarmed, armed)})
        return
    first_ms = next(moment.at_ms for moment in armed.timeline if moment.who == ATTACKER)
    rows = [
        (_clock(m), f"{(m.at_ms - first_ms) / 1000:+.2f} s", short_hex(m.incident), m.who, m.what)
        for m in armed.timeline
    ]
    out.table(
        "What happened, levers armed; seconds since the attacker's first transaction",
        ("UTC", "after", "incident", "who", "what"),
        rows,
    )
    out.table(
        "What it cost",
        ("", "lender", "pool", "together"),
        [
            ("levers disarmed", *_money_row(disarmed)),
            ("levers armed", *_money_row(armed)),
        ],
    )
    saved = _saved(disarmed, armed)
    share = 100 * saved / disarmed.lost_micro_usd
    paused = [(m.who, (m.at_ms - first_ms) / 1000) for m in armed.timeline if "PAUSE MINED" in m.what]
    out.say(("Saved: ", "bold"), (f"{_money(saved)}", "bold green"), f" ({share:.0f} % of what was lost without).")
    if paused:
        when = " and ".join(f"{who} after {seconds:.2f} s" for who, seconds in paused)
        out.say(
            f"Paused, from the attacker's first transaction: {when}; {armed.steps_failed} of his {armed.steps_sent}"
            f" transactions were blocked.{' The lie paused nobody.' if UNTOUCHED not in armed.paused else ''}"
        )
    if armed.reopened:
        out.say(
            ("Reopened: ", "bold"),
            f"the lender, {' → '.join(armed.reopened)}; each step approved by {WANTED} of {len(OPERATORS)} operators,"
            f" while {AWAY}'s machine was off, and made by its owner. The node itself opened nothing.",
        )
    out.say("What was lost before a pause took hold stays lost: no reactive system saves the first victim.")


def _as_json(run: RunResult) -> dict[str, Any]:
    return {
        "armed": run.armed,
        "transactions": run.steps_sent,
        "transactions_failed": run.steps_failed,
        "lender_lost_micro_usd": run.lender_lost_micro_usd,
        "dex_lost_micro_usd": run.dex_lost_micro_usd,
        "paused": list(run.paused),
        "reopened": list(run.reopened),
        "open_again": run.is_open_again,
        "timeline": [
            {"at_ms": m.at_ms, "who": m.who, "what": m.what, "incident": m.incident.hex()} for m in run.timeline
        ],
    }


def _saved(disarmed: RunResult, armed: RunResult) -> int:
    return disarmed.lost_micro_usd - armed.lost_micro_usd


def _money_row(run: RunResult) -> tuple[str, str, str]:
    return _money(run.lender_lost_micro_usd), _money(run.dex_lost_micro_usd), _money(run.lost_micro_usd)


def _money(micro_usd: int) -> str:
    return f"{micro_usd / _MILLION_MICRO_USD:,.2f} M USD"


def _clock(moment: Moment) -> str:
    return datetime.fromtimestamp(moment.at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
