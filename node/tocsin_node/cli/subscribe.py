"""`tocsin subscribe`: follow a feed as it happens, and believe only what is signed. It needs no node."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .base import EXIT_CODES, EXIT_INTERRUPTED, BadFile, Failure, Unreachable, output_option
from .output import Output, short_address, short_hex, time_text

if TYPE_CHECKING:
    from tocsin_protocol.log.trust import TrustPolicy

    from tocsin_client import ClientError, FeedClient, LiveEvent, LogRolledBack, NotVerified
    from tocsin_client.asking import LiveFilters

LOOK_SECONDS = 60.0
_FILE = click.Path(path_type=Path, dir_okay=False)
_SEVERITIES = click.Choice(("low", "medium", "high", "critical"))


@click.command(epilog=EXIT_CODES + " 130 interrupted.")
@click.argument("url")
@click.option("--genesis", help="The hash of the network's first roster, from somebody you trust.")
@click.option(
    "--roster",
    "rosters",
    multiple=True,
    type=_FILE,
    help="That roster and each after it, where your key does not show them: it does to members and the operator.",
)
@click.option("--unverified", is_flag=True, help="Take the feed's word for who is a member, instead of --genesis.")
@click.option("--key-file", type=_FILE, help="Your key of the feed, mode 0600; else TOCSIN_FEED_KEY, else no key.")
@click.option(
    "--log-policy", type=_FILE, help="Whose heads of the log count (C2SP tlog-policy); else the roster's key."
)
@click.option("--resume", type=_FILE, help="A file that remembers: where to go on, and what the log showed.")
@click.option("--after", type=click.IntRange(0), help="Begin behind this sequence; else where --resume ends, else now.")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind, such as signal or action.")
@click.option("--subject", help="Only signals about this subject, such as a CAIP-10 account.")
@click.option("--category", help="Only signals of this category or family, such as asset.")
@click.option("--severity", type=_SEVERITIES, help="Only signals as severe or worse.")
@click.option("--count", type=click.IntRange(1), help="End after so many events; else never.")
@output_option
def subscribe(
    url: str,
    genesis: str | None,
    rosters: tuple[Path, ...],
    unverified: bool,
    key_file: Path | None,
    log_policy: Path | None,
    resume: Path | None,
    after: int | None,
    kinds: tuple[str, ...],
    subject: str | None,
    category: str | None,
    severity: str | None,
    count: int | None,
    out: Output,
) -> None:
    """Follow the feed at URL, live: one line for each event, and one for each signal that does not verify.

    Signals are checked against rosters that go back to --genesis, and the log against what it showed before. What is
    not verified is refused, and told; the exit code is then 1. A lost connection is taken up where it ended.
    """
    if (genesis is None) != unverified:
        raise click.UsageError("give one of --genesis and --unverified")
    if rosters and unverified:
        raise click.UsageError("--roster goes with --genesis")
    filters: LiveFilters = {}
    if kinds:
        filters["kind"] = kinds
    if subject is not None:
        filters["subject"] = subject
    if category is not None:
        filters["category"] = category
    if severity is not None:
        filters["severity"] = severity
    with _failures(out, resume), _open(url, genesis, rosters, key_file, log_policy, resume, out) as client:
        follower = _Follower(client, out, has_log=log_policy is not None or not unverified)
        follower.run(after, filters, count)
    if follower.refused:
        click.get_current_context().exit(1)


class _Follower:
    """One run: what comes is told, and the log is looked at now and then."""

    def __init__(self, client: FeedClient, out: Output, *, has_log: bool) -> None:
        self._client = client
        self._out = out
        self._has_log = has_log
        self._looked_at = -LOOK_SECONDS
        self._is_well = True
        self.refused = 0

    def run(self, after: int | None, filters: LiveFilters, count: int | None) -> None:
        """Until so many events have come, or for ever."""
        from tocsin_client import Unreachable

        # a feed that is not there at the start is an error; later it is waited for
        self._look()
        told = 0
        live = self._client.live(after=after, quiet=True, refused=self._refuse, away=self._wait, **filters)
        with closing(live) as events:
            for event in events:
                if event.kind != "quiet":
                    self._tell(event)
                    told += 1
                if told == count:
                    self._client.keep(event)
                    return
                # a feed that is away ends its stream as well, and is then waited for
                with suppress(Unreachable):
                    self._look()

    def _look(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        if self._has_log:
            self._look_at_log()
        self._look_at_node()

    def _look_at_node(self) -> None:
        from tocsin_client import Problem

        try:
            is_well = self._client.is_healthy()
        except Problem:
            # what stands for good refuses the stream as well
            return
        if is_well != self._is_well:
            self._is_well = is_well
            well = "well again" if is_well else "not well: that nothing comes need not mean that nothing happens"
            self._out.warn(f"the node behind this feed is {well}")

    def _look_at_log(self) -> None:
        from tocsin_client import Problem

        try:
            head = self._client.head().checkpoint
        except Problem as exc:
            if not exc.is_passing:
                raise
            self._out.warn(f"the log is not checked now: {_flat(str(exc))}")
            return
        if self._out.as_json:
            self._out.emit({"kind": "head", "origin": head.origin, "size": head.size, "root": head.root.hex()})

    def _refuse(self, error: NotVerified) -> None:
        self.refused += 1
        if self._out.as_json:
            self._out.emit({"kind": "refused", "why": str(error)})
        else:
            self._out.say(("Refused. ", "bold red"), _flat(str(error)))

    def _wait(self, error: ClientError, pause: float) -> None:
        self._out.warn(f"{_flat(str(error))}; asked again in {pause:.0f} s")

    def _tell(self, event: LiveEvent) -> None:
        if self._out.as_json:
            self._out.emit(event_view(event))
        else:
            parts = (part if isinstance(part, tuple) else (part, "") for part in _line(event))
            self._out.say(*((_flat(text), style) for text, style in parts))


def _flat(text: str) -> str:
    """On one line: what a feed says may not look like a line of ours."""
    return "\N{REPLACEMENT CHARACTER}".join(text.splitlines())


def event_view(event: LiveEvent) -> dict[str, Any]:
    """An event as a JSON object: of a signal what was signed, and whether its signer is pinned."""
    import msgspec

    from ..signal_json import signal_to_json

    view: dict[str, Any] = {
        "sequence": event.sequence,
        "at_ms": event.at_ms,
        "kind": event.kind,
        "about": event.about,
    }
    if (signal := event.signal) is not None:
        view["signal"] = {
            "digest": signal.digest,
            "publisher": "0x" + signal.envelope.publisher.hex(),
            "member": signal.member,
            "pinned": signal.is_pinned,
            "standing": signal.standing,
            "incident": signal.incident,
            "signal": None if signal.body is None else signal_to_json(signal.body),
            "encoded": signal.envelope.encoded.hex(),
        }
    for name in ("incident", "action"):
        if (shown := getattr(event, name)) is not None:
            view[name] = msgspec.to_builtins(shown)
    return view | (event.more or {})


def _line(event: LiveEvent) -> list[str | tuple[str, str]]:
    head = f"{time_text(event.at_ms)}  {event.sequence}  {event.kind}  "
    if (signal := event.signal) is not None:
        if signal.body is None:
            return [head, (f"{short_hex(event.about)} of {signal.member}: not to be read", "dim")]
        body = signal.body
        subjects = " ".join(short_address(subject.value) for subject in body.subjects[:3])
        drill = "drill " if body.drill else ""
        word = "" if signal.is_pinned else " (unverified)"
        style = {"critical": "bold red", "high": "red", "medium": "yellow"}.get(body.severity.value, "dim")
        text = f"  {body.text.splitlines()[0]}" if body.text.strip() else ""
        return [
            head,
            (f"{drill}{body.severity.value} {body.category.value}", style),
            f"  {body.stage.value}  {body.confidence} %  {signal.member}{word}  {subjects}  {short_hex(signal.digest)}",
            text,
        ]
    if (incident := event.incident) is not None:
        names = ", ".join(incident.members)
        return [head, f"{short_hex(incident.id)}  {incident.severity}  {incident.signals} signals of {names}"]
    if (action := event.action) is not None:
        return [
            head,
            f"{short_hex(action.id)}  {action.hook}  {short_address(action.target)}  ",
            (action.state, "bold"),
        ]
    return [head, short_hex(event.about)]


@contextmanager
def _open(
    url: str,
    genesis: str | None,
    rosters: tuple[Path, ...],
    key_file: Path | None,
    log_policy: Path | None,
    resume: Path | None,
    out: Output,
) -> Iterator[FeedClient]:
    from tocsin_client import ClientError, FeedClient, FeedKey, Pin

    try:
        key = FeedKey.from_environment() if key_file is None else FeedKey.from_file(key_file)
        pin = None if genesis is None else Pin.of(genesis, rosters)
        client = FeedClient(url, pin, key=key, log=_log_policy(log_policy), state=resume)
    except ClientError as exc:
        raise BadFile("config", str(exc), as_json=out.as_json) from exc
    with client:
        yield client


def _log_policy(path: Path | None) -> TrustPolicy | None:
    from tocsin_protocol.log.trust import MAX_TRUST_BYTES, decode_trust

    from .log_trust import read_file

    return None if path is None else decode_trust(read_file(path, MAX_TRUST_BYTES))


@contextmanager
def _failures(out: Output, resume: Path | None) -> Iterator[None]:
    from tocsin_client import ClientError, LogRolledBack, LogSplit, NotVerified, Problem
    from tocsin_client import Unreachable as FeedUnreachable

    try:
        yield
    except KeyboardInterrupt:
        click.get_current_context().exit(EXIT_INTERRUPTED)
    except FeedUnreachable as exc:
        raise Unreachable("unreachable", str(exc), as_json=out.as_json) from exc
    except LogRolledBack as exc:
        code = "log-split" if isinstance(exc, LogSplit) else "log-rolled-back"
        raise Failure(code, str(exc) + _keep_evidence(exc, resume), as_json=out.as_json) from exc
    except ClientError as exc:
        code = {NotVerified: "not-verified", Problem: "refused"}.get(type(exc), "failed")
        raise Failure(code, str(exc), as_json=out.as_json) from exc


def _keep_evidence(error: LogRolledBack, resume: Path | None) -> str:
    """Both heads beside the file that remembers: whoever judges the log needs them."""
    from ..private_files import replace_file

    if resume is None:
        return ""
    path = resume.with_name(resume.name + ".evidence")
    replace_file(path, error.seen + b"\n" + error.shown)
    return f"; both heads are in {path}"
