"""`tocsin risk …`: the model behind the reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base import EXIT_CODES, output_option
from .output import Output, money_text

if TYPE_CHECKING:
    from tocsin_protocol.risk.calibration import Calibration
    from tocsin_protocol.risk.model import Model

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(epilog=EXIT_CODES)
def risk() -> None:
    """Calibrate and show the model behind risk reports."""


@risk.command()
@click.argument("incidents", type=_FILE)
@click.option(
    "--protocols", required=True, type=click.IntRange(1), help="How many protocols these happened to or might have."
)
@click.option("--out", "out_file", type=_FILE, help="Write the model to this new file, for [risk] model in node.toml.")
@output_option
def calibrate(incidents: Path, protocols: int, out_file: Path | None, out: Output) -> None:
    """Fit the model to INCIDENTS: JSON objects, one a line, with date, loss_usd and attacker_addresses.

    A list of incidents knows nothing of protocols that were never hit: the hazard is as good as --protocols is.
    """
    import json

    from tocsin_protocol.risk.calibration import calibrate as fit

    from ..private_files import write_new_file
    from ..risk_model import model_document, read_incidents

    found = fit(read_incidents(incidents), protocols)
    document = model_document(found.model)
    if out_file is not None:
        write_new_file(out_file, json.dumps(document, indent=2).encode() + b"\n", mode=0o644)
    if out.as_json:
        numbers = {name: getattr(found, name) for name in found.__slots__ if name != "model"}
        out.emit({"model": document, **numbers})
        return
    _tell(out, found)
    _show(out, found.model)
    if out_file is not None:
        out.say(f"Written to {out_file}.")


@risk.command()
@click.argument("model", required=False, type=_FILE)
@output_option
def model(model: Path | None, out: Output) -> None:
    """Show a MODEL file, or without one the defaults."""
    from ..risk_model import load_model, model_document

    found = load_model(model)
    if out.as_json:
        out.emit(model_document(found))
    else:
        _show(out, found)


def _tell(out: Output, found: Calibration) -> None:
    out.say(
        f"{found.incidents} incidents in {found.years:.1f} years, {found.unpriced} of them without a loss in dollars; "
        f"the largest {money_text(found.largest_micro_usd)}."
    )
    out.say(
        f"Hazard: {found.model.base_hazard:.4f} a year for each of {found.protocols} protocols "
        f"(95 %: {found.hazard_low:.4f} to {found.hazard_high:.4f}, if that number is right)."
    )
    out.say(
        f"Tail: index {found.model.severity.tail_index:.2f} from the {found.tail_points} largest losses "
        f"(95 %: {found.tail_low:.2f} to {found.tail_high:.2f}); below 1 a mean says nothing."
    )
    days = "" if found.again_days is None else f", half of them within {found.again_days:.0f} days"
    out.say(f"Again: {found.again} incidents by an attacker seen before{days}.")
    out.say("Not fitted, since no such list has them: time to containment, and what is lost in spite of it.")


def _show(out: Output, found: Model) -> None:
    from ..risk_model import model_document

    document = model_document(found)
    out.table("", ("number", "value"), [(name, str(value)) for name, value in document.items()])
    chances = ((0.5, "half"), (0.1, "one in ten"), (0.01, "one in a hundred"))
    for chance, words in chances:
        loss = money_text(round(found.severity.quantile(chance)))
        out.say(f"  {words} of the incidents would cost more than {loss}, uncapped")
