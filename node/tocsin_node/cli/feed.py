"""`tocsin feed …`: who may read what, and who is sent it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import NodeError
from .base import EXIT_CODES, home_option, open_config, output_option
from .output import Output, time_text

if TYPE_CHECKING:
    from ..store.writer import Connection

DEFAULT_DAYS = 365
MAX_DAYS = 3_650
_DAY_MS = 24 * 3_600 * 1_000
_SECRET_BYTES = 32
_SCOPES = click.Choice(("member", "insurer", "operator"))
_KEY_SCOPES = click.Choice((*_SCOPES.choices, "sender"))
_SEVERITIES = click.Choice(("low", "medium", "high", "critical"))
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(epilog=EXIT_CODES)
def feed() -> None:
    """Say who may read the feed, and who is sent what happens.

    A member sees signals up to TLP:AMBER, an insurer up to TLP:GREEN with exposure and drills, the operator everything.
    A sender sees nothing: what he hands in, over TAXII or a monitor's webhook, waits for `tocsin suggestions`.
    """


@feed.group()
def key() -> None:
    """Keys: each of one holder, with a scope and an end."""


@key.command(name="add")
@click.option("--scope", type=_KEY_SCOPES, required=True, help="Who it is for.")
@click.option("--label", required=True, help="Whose it is, for the list.")
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=DEFAULT_DAYS, show_default=True, help="Until it ends."
)
@click.option("--out", "path", type=_FILE, help="A new file for it, which only you can read. Without, it is printed.")
@home_option
@output_option
def add_key(scope: str, label: str, days: int, path: Path | None, home: Path, out: Output) -> None:
    """Make a key. It is shown this once: the node keeps no copy."""
    from ..api.keys import Scope, create_key
    from ..clock import now_ms
    from ..private_files import write_new_file

    if path is not None and path.exists():
        raise NodeError(f"{path}: exists already and is never overwritten")
    with _database(home) as database:
        now = now_ms()
        try:
            text = create_key(database, Scope(scope), label, now, now + days * _DAY_MS)
        except ValueError as exc:
            raise click.UsageError(str(exc)) from exc
    if path is not None:
        write_new_file(path, text.encode() + b"\n")
    shown = {"id": text.split("_")[1], "scope": scope, "expires_ms": now + days * _DAY_MS}
    if out.as_json:
        out.emit(shown | ({"file": str(path)} if path is not None else {"key": text}))
    elif path is not None:
        out.say(("Written. ", "bold green"), f"Key {shown['id']} of scope {scope} is in {path}.")
    else:
        click.echo(text)


@key.command(name="list")
@home_option
@output_option
def list_of_keys(home: Path, out: Output) -> None:
    """List the keys, without what they open with."""
    from ..api.keys import list_keys
    from ..clock import now_ms

    with _database(home) as database:
        keys = list_keys(database)
    now = now_ms()
    rows = [
        {
            "id": key.id,
            "scope": key.scope.value,
            "label": key.label,
            "created_ms": key.created_ms,
            "expires_ms": key.expires_ms,
            "state": "valid" if key.is_valid(now) else "revoked" if key.revoked_ms is not None else "expired",
        }
        for key in keys
    ]
    if out.as_json:
        out.emit({"keys": rows})
        return
    cells = [
        (str(r["id"]), str(r["scope"]), str(r["label"]), str(r["state"]), time_text(int(str(r["expires_ms"])))[:10])
        for r in rows
    ]
    out.table("Keys", ("id", "scope", "label", "state", "ends (UTC)"), cells)


@key.command(name="revoke")
@click.argument("key_id")
@home_option
@output_option
def revoke(key_id: str, home: Path, out: Output) -> None:
    """Let a key open nothing any more; who listens with it is cut off within seconds."""
    from ..api.keys import revoke_key
    from ..clock import now_ms

    with _database(home) as database:
        if not revoke_key(database, key_id, now_ms()):
            raise NodeError(f"no key has the id {key_id!r}: see `tocsin feed key list`")
    if out.as_json:
        out.emit({"id": key_id, "state": "revoked"})
    else:
        out.say(("Revoked. ", "bold green"), f"Key {key_id} opens nothing any more.")


@feed.group()
def hook() -> None:
    """Webhooks: receivers that are sent events as they happen."""


@hook.command(name="add")
@click.argument("url")
@click.option("--label", required=True, help="Whose it is, for the list.")
@click.option("--scope", type=_SCOPES, required=True, help="What its receiver may see.")
@click.option("--kind", multiple=True, help="Only entries of this kind, such as signal; several are possible.")
@click.option("--subject", help="Only signals about this subject.")
@click.option("--category", help="Only signals of this category or family.")
@click.option(
    "--severity", type=click.Choice(("low", "medium", "high", "critical")), help="Only such signals, or worse."
)
@click.option("--after", type=click.IntRange(0), help="Begin behind this sequence. Without: from now on.")
@click.option(
    "--out", "path", type=_FILE, required=True, help="A new file for the secret that its receiver checks with."
)
@home_option
@output_option
def add_hook(
    url: str,
    label: str,
    scope: str,
    kind: tuple[str, ...],
    subject: str | None,
    category: str | None,
    severity: str | None,
    after: int | None,
    path: Path,
    home: Path,
    out: Output,
) -> None:
    """Send events to URL, signed as Standard Webhooks say, each a CloudEvent."""
    from tocsin_protocol.audit import EntryKind
    from tocsin_protocol.taxonomy import Severity

    from ..api.keys import Scope
    from ..api.live.events import LiveFilter
    from ..api.problems import Problem
    from ..api.queries import categories_of
    from ..api.subscriptions import add_webhook
    from ..clock import now_ms
    from ..private_files import write_new_file
    from ..store.reader import Reader
    from ..webhook_signing import SECRET_PREFIX

    secret = secrets.token_bytes(_SECRET_BYTES)
    if path.exists():
        raise NodeError(f"{path}: exists already and is never overwritten")
    with _database(home) as database, Reader(open_config(home).node.data_dir) as reader:
        try:
            wanted = LiveFilter(
                frozenset(EntryKind(name) for name in kind),
                subject,
                categories_of(category),
                None if severity is None else Severity(severity),
            )
            cursor = reader.audit_head() if after is None else after
            hook_id = add_webhook(database, url, label, Scope(scope), wanted, secret, now_ms(), cursor)
        except (ValueError, Problem) as exc:
            raise click.UsageError(str(exc)) from exc
    write_new_file(path, f"{SECRET_PREFIX}{base64.b64encode(secret).decode()}\n".encode())
    if out.as_json:
        out.emit({"id": hook_id, "file": str(path)})
    else:
        out.say(("Added. ", "bold green"), f"Webhook {hook_id}; its receiver's secret is in {path}.")


@hook.command(name="list")
@home_option
@output_option
def list_of_hooks(home: Path, out: Output) -> None:
    """List the webhooks, how far each is, and how many events it refused."""
    from ..api.subscriptions import dead_letters, list_webhooks

    with _database(home) as database:
        rows = [
            {
                "id": webhook.id,
                "url": webhook.url,
                "label": webhook.label,
                "scope": webhook.scope.value,
                "state": webhook.state.value,
                "reason": webhook.reason,
                "cursor": webhook.cursor,
                "refused": len(dead_letters(database, webhook.id)),
            }
            for webhook in list_webhooks(database)
        ]
    if out.as_json:
        out.emit({"webhooks": rows})
        return
    columns = ("id", "url", "label", "scope", "state", "cursor", "refused", "reason")
    out.table("Webhooks", columns, [[str(row[column]) for column in columns] for row in rows])


@hook.command()
@click.argument("hook_id")
@home_option
@output_option
def remove(hook_id: str, home: Path, out: Output) -> None:
    """Send nothing more to a receiver."""
    from ..api.subscriptions import remove_webhook

    with _database(home) as database:
        if not remove_webhook(database, hook_id):
            raise _no_hook(hook_id)
    _tell(out, {"id": hook_id, "state": "removed"}, "Removed. ", f"Webhook {hook_id} is sent nothing more.")


@hook.command()
@click.argument("hook_id")
@click.option("--after", type=click.IntRange(0), help="Send again what came behind this sequence.")
@home_option
@output_option
def resume(hook_id: str, after: int | None, home: Path, out: Output) -> None:
    """Go on sending, from where it was suspended, or again from earlier on."""
    from ..api.subscriptions import resume_webhook

    with _database(home) as database:
        if not resume_webhook(database, hook_id, after):
            raise _no_hook(hook_id)
    _tell(out, {"id": hook_id, "state": "active"}, "Resumed. ", f"Webhook {hook_id} is sent what it has not got.")


@hook.command()
@click.argument("hook_id")
@click.option("--again", is_flag=True, help="Send all of it once more.")
@home_option
@output_option
def dead(hook_id: str, again: bool, home: Path, out: Output) -> None:
    """List the events that a receiver refused, and why."""
    from ..api.subscriptions import dead_letters, retry_dead

    with _database(home) as database:
        letters = dead_letters(database, hook_id)
        if again:
            retry_dead(database, hook_id)
    if out.as_json:
        rows = [{"sequence": x.sequence, "at_ms": x.at_ms, "reason": x.reason} for x in letters]
        out.emit({"refused": rows, "again": again})
        return
    cells = [(str(x.sequence), time_text(x.at_ms), x.reason) for x in letters]
    out.table("Refused", ("sequence", "at (UTC)", "reason"), cells)
    if again:
        out.say("All of it is sent once more.")


def _tell(out: Output, document: dict[str, str], head: str, rest: str) -> None:
    if out.as_json:
        out.emit(document)
    else:
        out.say((head, "bold green"), rest)


def _no_hook(hook_id: str) -> NodeError:
    return NodeError(f"no webhook has the id {hook_id!r}: see `tocsin feed hook list`")


@contextmanager
def _database(home: Path) -> Iterator[Connection]:
    from ..api.feed_db import open_feed_db

    with closing(open_feed_db(open_config(home).node.data_dir)) as database:
        yield database
