"""`tocsin oracle …`: the risk reports that this node signs, and carrying them to the contract."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, NodeError
from .base import EXIT_CODES, EXIT_INTERRUPTED, home_option, open_config, open_store, output_option
from .oracle_view import show_aggregate, show_reports
from .output import Output, count_text

if TYPE_CHECKING:
    from tocsin_protocol.risk.aggregate import Aggregate, Quorum
    from tocsin_protocol.risk.report import SignedReport

    from ..chain.config import ChainConfig
    from ..config import NodeConfig
    from ..risk_carry import Carried, Carrier, Rows
    from ..risk_config import RiskFeed
    from ..risk_gather import Gathered

MAX_SHOWN = 1_000
_FILE = click.Path(path_type=Path, dir_okay=False)
# A report lives for a minute and is renewed after half of that.
MAX_EVERY_SECONDS = 30
_FILES = click.option("--file", "files", multiple=True, type=_FILE, help="Reports as `oracle show --json` prints them.")
_FEEDS = click.option("--from", "urls", multiple=True, help="A feed to ask, beside those of [[risk.feed]].")


@click.group(epilog=EXIT_CODES)
def oracle() -> None:
    """Show and check risk reports, and carry them to the oracle contract."""


@oracle.command()
@home_option
@output_option
def show(home: Path, out: Output) -> None:
    """Show this node's latest report about each subject; JSON: one object a line."""
    from tocsin_protocol.risk.report import OracleDomain, open_report

    from ..clock import now_ms
    from ..risk_view import risk_report_view

    with open_store(open_config(home)) as reader:
        rows = reader.risk_reports(MAX_SHOWN)
    found = [(oracle_id, subject, open_report(OracleDomain(oracle_id), data)) for oracle_id, subject, data in rows]
    if out.as_json:
        for oracle_id, subject, one in found:
            out.emit(risk_report_view(one, oracle_id, subject))
        return
    if not found:
        out.say("No reports: name an oracle and subjects in [risk] of node.toml.")
        return
    show_reports(out, [(subject, one) for _, subject, one in found], now_ms())


@oracle.command()
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--from", "urls", multiple=True, help="A feed to ask, such as https://feed.example.org:9480.")
@click.option(
    "--key-file",
    "key_files",
    multiple=True,
    type=_FILE,
    help="Your key of it, mode 0600; one for each --from.",
)
@click.option("--oracle", "oracle_id", required=True, help="The contract they are for, such as eip155:1:0x….")
@click.option("--signer", "signers", multiple=True, help="Whose word counts, as 0x and hex; with --threshold.")
@click.option("--threshold", type=click.IntRange(1), help="How many of them have to agree.")
@output_option
def verify(
    files: tuple[Path, ...],
    urls: tuple[str, ...],
    key_files: tuple[Path, ...],
    oracle_id: str,
    signers: tuple[str, ...],
    threshold: int | None,
    out: Output,
) -> None:
    """Check the reports of feeds, or in FILES (`oracle show --json`), and say what they come to; needs no node.

    Fails where one is not right, where two of one signer contradict each other, or where a feed does not answer.
    """
    import trio
    from tocsin_protocol.risk.report import OracleDomain

    from ..clock import now_ms
    from ..risk_gather import gather

    if bool(signers) != (threshold is not None):
        raise click.UsageError("--signer and --threshold go together")
    if not files and not urls:
        raise click.UsageError("give FILES, or feeds with --from")
    if len(key_files) not in (0, len(urls)):
        raise click.UsageError("give one --key-file for each --from, in the same order")
    domain = OracleDomain(oracle_id)
    found = trio.run(gather, domain, (), _readable(_feeds(urls, key_files)), files)
    liars = _tell_gathered(out, found)
    if not out.as_json:
        show_reports(out, [(None, one) for one in found.reports], now_ms())
    if threshold is not None:
        for subject, whole in _aggregates(found.reports, _quorum(signers, threshold), now_ms()):
            show_aggregate(out, subject, whole)
    elif out.as_json:
        from ..risk_view import risk_report_view

        for one in found.reports:
            out.emit(risk_report_view(one, oracle_id, None))
    if found.faults or liars:
        raise NodeError("not all of these reports are right: see above")


@oracle.command(epilog=EXIT_CODES + " 130 interrupted.")
@_FILES
@_FEEDS
@click.option("--key", "key_file", type=_FILE, help="The keystore of the account that pays (an operator's keystore).")
@click.option("--passphrase-file", type=_FILE, help="A 0600 file with its passphrase.")
@click.option("--passphrase-credential", help="Or the name of the systemd credential with it.")
@click.option("--calldata", is_flag=True, help="Print the transactions, and send nothing.")
@click.option(
    "--every",
    type=click.IntRange(1, MAX_EVERY_SECONDS),
    help="Do it again so many seconds later, until interrupted; 15 keep what is on the chain fresh.",
)
@home_option
@output_option
def push(
    files: tuple[Path, ...],
    urls: tuple[str, ...],
    key_file: Path | None,
    passphrase_file: Path | None,
    passphrase_credential: str | None,
    calldata: bool,
    every: int | None,
    home: Path,
    out: Output,
) -> None:
    """Gather the signers' reports and submit those that are new to the contract, one transaction for each subject.

    Anyone may do that. Two stories of one signer are shown to the contract, which excludes him. The account that pays
    is never the guardian's: nothing may stand in the way of a pause. Of a subject which is not this node's nothing is
    sent unless as many speak of it as have to agree.
    """
    import trio

    config = open_config(home)
    oracle_id, chain = _oracle_of(config)
    if every is not None and calldata:
        raise click.UsageError("--every sends, and --calldata sends nothing: give one of them")
    key = None if calldata else _open_key(key_file, passphrase_file, passphrase_credential)
    carrier = _carrier(config, oracle_id, chain, key, urls, files)
    if every is not None:
        _push_for_ever(config, carrier, every, out)
        return
    done = trio.run(carrier.carry)
    for fault in done.faults:
        out.warn(fault)
    for one in done.carried:
        show_aggregate(out, one.subject, one.whole)
        _tell_push(out, oracle_id, one, calldata=calldata)
    if faults := [one.fault for one in done.carried if one.fault]:
        raise NodeError("not all that is new was submitted: " + "; ".join(faults))


def _push_for_ever(config: NodeConfig, carrier: Carrier, every: int, out: Output) -> None:
    import trio

    from ..logs import configure_logs
    from ..risk_carry import run_rounds

    configure_logs(config.log.level, as_json=config.log.as_json or out.as_json)
    try:
        trio.run(run_rounds, carrier, float(every))
    except KeyboardInterrupt:
        click.get_current_context().exit(EXIT_INTERRUPTED)


def _tell_push(out: Output, oracle_id: str, one: Carried, *, calldata: bool) -> None:
    from tocsin_protocol.ids import address_of
    from tocsin_protocol.risk.calldata import submit_calldata

    if not one.chosen:
        if out.as_json:
            out.emit({"pushed": 0})
        out.say("  Nothing in it is new to the contract.")
    for sent in one.pushed:
        count, transaction = len(sent.reports), "0x" + sent.transaction.hex()
        if out.as_json:
            out.emit({"pushed": count, "transaction": transaction, "block": sent.block})
        out.say(f"  {count_text(count, 'report')} in transaction {transaction}, block {sent.block}")
    if one.chosen and calldata:
        call = {"to": address_of(oracle_id), "data": "0x" + submit_calldata(one.chosen).hex()}
        if out.as_json:
            out.emit(call)
        out.say(f"  to {call['to']}\n  data {call['data']}")


def _oracle_of(config: NodeConfig) -> tuple[str, ChainConfig]:
    from tocsin_protocol.ids import chain_of

    from ..config import CONFIG_NAME

    if config.risk.oracle is None:
        raise ConfigError(CONFIG_NAME, "risk.oracle", "is wanted: the contract's id, such as eip155:1:0x…")
    for chain in config.chains:
        if chain.chain == chain_of(config.risk.oracle):
            return config.risk.oracle, chain
    wanted = f"a [[chain]] section with chain = {chain_of(config.risk.oracle)!r} is wanted"
    raise ConfigError(CONFIG_NAME, "risk.oracle", wanted, found=config.risk.oracle)


def _open_key(key_file: Path | None, passphrase_file: Path | None, passphrase_credential: str | None) -> bytes:
    from ..keystore import open_operator_keystore, read_credential, read_passphrase

    if key_file is not None and passphrase_file is not None and passphrase_credential is None:
        return open_operator_keystore(key_file, read_passphrase(passphrase_file))
    if key_file is not None and passphrase_credential is not None and passphrase_file is None:
        return open_operator_keystore(key_file, read_credential(passphrase_credential))
    raise click.UsageError("give --key and one of --passphrase-file and --passphrase-credential, or --calldata")


def _carrier(
    config: NodeConfig,
    oracle_id: str,
    chain: ChainConfig,
    key: bytes | None,
    urls: tuple[str, ...],
    files: tuple[Path, ...],
) -> Carrier:
    from ..risk_carry import Carrier

    feeds = _readable([*config.risk.feeds, *_feeds(urls, ())])

    def own() -> Rows:
        with open_store(config) as reader:
            return reader.risk_reports(MAX_SHOWN)

    return Carrier(oracle_id, chain, key, own, feeds, files)


def _feeds(urls: tuple[str, ...], key_files: tuple[Path, ...]) -> list[RiskFeed]:
    from pydantic import ValidationError

    from ..risk_config import RiskFeed

    keys = key_files or [None] * len(urls)
    try:
        return [RiskFeed(url=url, key_file=key) for url, key in zip(urls, keys, strict=True)]
    except ValidationError as exc:
        raise click.UsageError("--from wants an address such as https://feed.example.org:9480") from exc


def _readable(feeds: Iterable[RiskFeed]) -> tuple[RiskFeed, ...]:
    """These feeds; raises ConfigError where a key cannot be read, which else would look like a feed that is away."""
    from ..risk_gather import read_feed_key

    found = tuple(feeds)
    for feed in found:
        read_feed_key(feed)
    return found


def _tell_gathered(out: Output, found: Gathered) -> bool:
    """Say what is wrong with what was gathered; whether somebody told two stories."""
    from tocsin_protocol.risk.aggregate import find_equivocators

    for fault in found.faults:
        out.warn(fault)
    liars = find_equivocators(found.reports)
    for signer in sorted(liars):
        out.warn(f"0x{signer.hex()} signed two different reports of one epoch: its word counts no more")
    return bool(liars)


def _quorum(signers: Iterable[str], threshold: int) -> Quorum:
    from tocsin_protocol.risk.aggregate import Quorum

    try:
        found = frozenset(bytes.fromhex(signer.removeprefix("0x")) for signer in signers)
    except ValueError as exc:
        raise click.UsageError("--signer wants an address such as 0x…") from exc
    return Quorum(found, threshold)


def _by_subject(reports: Iterable[SignedReport], quorum: Quorum, now_ms: int) -> list[tuple[bytes, Aggregate]]:
    from tocsin_protocol.risk.aggregate import aggregate

    kept = tuple(reports)
    subjects = sorted({one.report.subject for one in kept if one.signer in quorum.signers})
    return [(subject, aggregate(kept, quorum, subject, now_ms)) for subject in subjects]


def _aggregates(reports: Iterable[SignedReport], quorum: Quorum, now_ms: int) -> list[tuple[str, Aggregate]]:
    return [("0x" + subject.hex(), whole) for subject, whole in _by_subject(reports, quorum, now_ms)]
