"""`tocsin publish`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..control_verbs import Verb
from ..errors import NodeError
from .base import EXIT_CODES, ask_node, home_option, open_config, output_option
from .output import Output

if TYPE_CHECKING:
    from ..config import NodeConfig

MAX_SIGNAL_FILE_BYTES = 64 * 1024

_SEVERITIES = ("low", "medium", "high", "critical")
_STAGES = ("funding", "preparation", "exploitation", "laundering")
_TLPS = ("clear", "green", "amber", "amber+strict", "red")


@click.command(epilog=EXIT_CODES)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A signal as JSON; - for stdin.",
)
@click.option("--category", help="From the taxonomy, e.g. asset.drain.")
@click.option("--severity", type=click.Choice(_SEVERITIES))
@click.option("--confidence", type=click.IntRange(0, 100), help="How sure you are, in percent.")
@click.option("--subject", multiple=True, metavar="ROLE=ID", help="e.g. victim=eip155:1:0x…; several are possible.")
@click.option("--stage", type=click.Choice(_STAGES))
@click.option(
    "--evidence", multiple=True, nargs=4, metavar="KIND CHAIN BLOCK REFERENCE", help="What others can check again."
)
@click.option("--incident", help="Your own id of the incident: a hint to others.")
@click.option("--text", help="For people.")
@click.option("--tlp", type=click.Choice(_TLPS))
@click.option("--observed-usd", type=click.IntRange(0), help="Lost so far, in whole dollars.")
@click.option("--at-risk-usd", type=click.IntRange(0), help="Still at risk, in whole dollars.")
@click.option(
    "--refers-to",
    multiple=True,
    metavar="RELATION=DIGEST",
    help="corroborates, disputes, updates, retracts or derived-from.",
)
@click.option("--lifetime-minutes", type=click.IntRange(1, 7 * 24 * 60), help="60, if not given.")
@home_option
@output_option
def publish(path: Path | None, home: Path, out: Output, **options: Any) -> None:
    """Sign and publish a signal, from a JSON file or from options (which override the file's fields)."""
    document = _read_signal(path) if path else {}
    document |= _from_options(**options)
    send_signal(open_config(home), document, out)


def _read_signal(path: Path) -> dict[str, Any]:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MAX_SIGNAL_FILE_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MAX_SIGNAL_FILE_BYTES + 1)
        if len(data) > MAX_SIGNAL_FILE_BYTES:
            raise NodeError(f"{path}: is longer than {MAX_SIGNAL_FILE_BYTES} bytes")
        document = json.loads(data)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise NodeError(f"{path}: is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise NodeError(f"{path}: a JSON object is wanted")
    return document


def _from_options(
    *,
    subject: tuple[str, ...],
    evidence: tuple[tuple[str, str, str, str], ...],
    refers_to: tuple[str, ...],
    observed_usd: int | None,
    at_risk_usd: int | None,
    lifetime_minutes: int | None,
    **plain_fields: Any,
) -> dict[str, Any]:
    """The fields that were given, as they stand in a signal's JSON."""
    from ..clock import now_ms

    document = {name: value for name, value in plain_fields.items() if value is not None}
    if subject:
        document["subjects"] = [dict(zip(("role", "value"), _pair("--subject", s), strict=True)) for s in subject]
    if refers_to:
        pairs = [_pair("--refers-to", reference) for reference in refers_to]
        document["references"] = [{"relation": relation, "digest": digest} for relation, digest in pairs]
    if evidence:
        document["evidence"] = [_evidence(*item) for item in evidence]
    if observed_usd is not None or at_risk_usd is not None:
        document["loss"] = {
            "observed_micro_usd": 1_000_000 * (observed_usd or 0),
            "at_risk_micro_usd": 1_000_000 * (at_risk_usd or 0),
        }
    if lifetime_minutes is not None:
        document["expires_ms"] = now_ms() + 60_000 * lifetime_minutes
    return document


def _pair(option: str, text: str) -> tuple[str, str]:
    left, separator, right = text.partition("=")
    if not separator or not left or not right:
        raise click.UsageError(f"{option} {text!r}: two parts with = between them are wanted")
    return left, right


def _evidence(kind: str, chain: str, block: str, reference: str) -> dict[str, Any]:
    if not (block.isascii() and block.isdecimal()):
        raise click.UsageError(f"--evidence: block {block!r} is not a number")
    return {"kind": kind, "chain": chain, "block": int(block), "reference": reference}


def send_signal(config: NodeConfig, document: dict[str, Any], out: Output) -> str | None:
    """Hand a signal to the node; returns its digest, or None while it waits for its place in the feed."""
    from ..clock import now_ms
    from ..signal_json import draft_signal

    # Checked here as well: a mistake is told at once, whether or not a node runs.
    drill = draft_signal(document, now_ms()).drill
    answer = ask_node(config, Verb.PUBLISH, signals=[document])
    sealed = answer.get("sealed", [])
    if out.as_json and not drill:
        out.emit(answer)
    elif not sealed:
        out.say(
            ("Waiting: ", "bold yellow"), "the node does not know yet where its feed ends, for no peer is in reach."
        )
        out.say("The signal counts for its own decisions already. `tocsin resume` publishes without waiting.")
    elif not out.as_json:
        _say_published(out, sealed[0], "Drill published " if drill else "Published ")
    return str(sealed[0]["digest"]) if sealed else None


def _say_published(out: Output, sealed: dict[str, Any], what: str) -> None:
    lane = "critical" if sealed.get("lane") == 0 else "standard"
    out.say(
        (what, "bold green"), (str(sealed["digest"]), "cyan"), f" as number {sealed.get('sequence')} of its lane ", lane
    )
    out.say("See what comes of it: tocsin explain ", str(sealed["digest"]))
