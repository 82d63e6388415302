"""Files around risk reports: the section of node.toml, a model's file, incidents to calibrate on, reports of others."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tocsin_node.risk_gather as risk_gather
import trio
from pydantic import ValidationError
from tocsin_node.errors import ConfigError
from tocsin_node.risk_config import RiskFeed, RiskSection
from tocsin_node.risk_gather import gather
from tocsin_node.risk_model import load_model, model_document, read_incidents
from tocsin_node.risk_view import read_risk_report, risk_report_view
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import (
    OracleDomain,
    RiskReport,
    SignedReport,
    category_bytes,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.signing import address_of_key, public_key_of
from tocsin_protocol.taxonomy import Tlp

ORACLE = "eip155:1:0x" + "0a" * 20
DOMAIN = OracleDomain(ORACLE)
SUBJECT = "eip155:1:0x" + "5a" * 20
SECRET = b"\x07" * 32


def signed(**changes: Any) -> SignedReport:
    report = RiskReport(
        subject=subject_hash(SUBJECT), incident=NO_DIGEST, state=RiskState.NONE, category=category_bytes(None),
        severity=0, posterior_ppm=0, tvl_at_risk=5, loss_observed=0, loss_p50=1, loss_p90=2, loss_p99=3, drain_rate=0,
        hazard_rate=1, multiplier_bps=10_000, capacity_bps=10_000, epoch=7, observed=7, expires=8, previous=NO_DIGEST,
        evidence_root=NO_DIGEST, model_hash=NO_DIGEST,
    )  # fmt: skip
    return sign_report(DOMAIN, SECRET, replace(report, **changes), address_of_key(public_key_of(SECRET)))


def section(**fields: Any) -> RiskSection:
    return RiskSection.model_validate_json(json.dumps(fields))


def test_what_may_count_ends_at_the_mark_of_the_operator() -> None:
    for mark, counted in (("clear", 1), ("green", 2), ("amber", 3)):
        assert [section(counts=mark).may_count(tlp) for tlp in Tlp] == [n < counted for n in range(len(Tlp))]
    assert [tlp for tlp in Tlp if section().may_count(tlp)] == [Tlp.CLEAR, Tlp.GREEN]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"counts": "red"}, "one of clear, green, amber"),
        ({"counts": "amber+strict"}, "one of clear, green, amber"),
        ({"oracle": "0x" + "0a" * 20}, "CAIP-10"),
        ({"oracle": "solana:mainnet:abc"}, "EVM chain"),
        ({"oracle": "eip155:1:0x" + "0A" * 20}, "lower-case"),
        ({"subject": [{"id": "vault"}]}, "CAIP-10"),
        ({"subject": [{"id": SUBJECT}, {"id": SUBJECT}]}, "named twice"),
        ({"subject": [{"id": SUBJECT, "tvl_usd": -1}]}, "greater than or equal"),
        ({"feed": [{"url": "ftp://example.org"}]}, "pattern"),
        ({"feed": [{"url": "https://example.org/path"}]}, "pattern"),
    ],
)
def test_a_section_that_cannot_be_says_why(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        section(**fields)


def test_what_the_example_has_as_comments_is_taken() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "node.example.toml").read_text()
    block = text.split("\n[risk]\n", 1)[1].split("\n[log]", 1)[0]
    fields = tomllib.loads("[risk]\n" + re.sub(r"(?m)^# ", "", block))["risk"]
    found = section(**fields)
    assert found.oracle is not None
    assert (len(found.subjects), len(found.feeds), found.counts) == (1, 1, "green")


def test_a_model_is_read_back_and_an_edited_one_refused(tmp_path: Path) -> None:
    path, document = tmp_path / "model.json", model_document(DEFAULT_MODEL)
    path.write_text(json.dumps(document))
    assert load_model(path) == load_model(None) == DEFAULT_MODEL
    for changes, why in (
        ({"base_hazard": 0.06}, "was the file edited"),
        ({"base_hazard": "0.05"}, "base_hazard = '0.05': a number is wanted"),
        ({"base_hazard": True}, "a number is wanted"),
        ({"tail_index": -1}, "tail index"),
        ({"version": 2}, "version: 1 is wanted"),
        ({"source": 1}, "a text is wanted"),
    ):
        path.write_text(json.dumps(document | changes))
        with pytest.raises(ConfigError, match=why):
            load_model(path)
    for text in ("", "[]", "{", "[" * 100_000, '{"version": 1}'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            load_model(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_model(tmp_path / "none.json")


def test_incidents_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "incidents.jsonl"
    lines = [
        {"date": "2024-09-03", "loss_usd": 1.5, "attacker_addresses": ["0xAB"], "anything": {}},
        {"date": "2024-09-04T10:00:00+02:00", "loss_usd": None},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    one, other = read_incidents(path)
    assert (one.loss_micro_usd, one.attackers) == (1_500_000, frozenset({"0xab"}))
    assert (other.at_ms, other.loss_micro_usd) == (1_725_436_800_000, None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "not a JSON object"),
        ('{"loss_usd": 1}', "a date such as"),
        ('{"date": 20240903}', "a date such as"),
        ('{"date": "yesterday"}', "a date such as"),
        ('{"date": "2024-09-03", "loss_usd": "1"}', "dollars"),
        ('{"date": "2024-09-03", "loss_usd": NaN}', "dollars"),
        ('{"date": "2024-09-03", "loss_usd": -1}', "dollars"),
        ('{"date": "2024-09-03", "loss_usd": true}', "dollars"),
        ('{"date": "2024-09-03", "loss_usd": 1e13}', "dollars"),
        ('{"date": "2024-09-03", "attacker_addresses": "0xab"}', "a list of addresses"),
        ('{"date": "2024-09-03", "attacker_addresses": [1]}', "a list of addresses"),
    ],
)
def test_a_line_that_is_no_incident_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "incidents.jsonl"
    path.write_text('{"date": "2024-09-03", "loss_usd": 1}\n' + line + "\n")
    with pytest.raises(ConfigError, match=why) as caught:
        read_incidents(path)
    assert "2" in str(caught.value)


def test_of_what_is_shown_only_the_signed_bytes_are_believed() -> None:
    one = signed()
    shown = risk_report_view(one, ORACLE, SUBJECT)
    assert read_risk_report(DOMAIN, json.loads(json.dumps(shown))) == one
    assert read_risk_report(DOMAIN, shown | {"state": "confirmed", "signer": "0x"}) == one
    for wrong in (None, [], {}, {"signed": 7}, {"signed": shown["signed"][:-2]}, {"signed": shown["signed"].upper()},
                  shown | {"oracle": "eip155:5:0x" + "0a" * 20}):  # fmt: skip
        with pytest.raises(ProtocolError):
            read_risk_report(DOMAIN, wrong)


def test_a_source_that_fails_is_told_of_and_in_nobodys_way(tmp_path: Path) -> None:
    one, other = signed(), signed(epoch=9, observed=9, expires=10)
    path = tmp_path / "reports.jsonl"
    path.write_text("nonsense\n\n" + json.dumps(risk_report_view(other, ORACLE, None)) + "\n")
    own = [(ORACLE, SUBJECT, one.encoded), ("eip155:5:0x" + "0a" * 20, SUBJECT, b"of another oracle")]
    found = trio.run(gather, DOMAIN, own, [RiskFeed(url="http://127.0.0.1:9")], [path, path])
    assert set(found.reports) == {one, other}
    assert found.subjects == {one.report.subject: SUBJECT}
    of_file, of_feed = found.faults
    assert of_feed.startswith("http://127.0.0.1:9: ")
    assert "report 1: a report is a JSON object" in of_file


async def _drip(stream: trio.SocketStream) -> None:
    """Answer, and never come to an end."""
    with suppress(trio.BrokenResourceError):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            await stream.send_all(b" ")
            await trio.sleep(0.01)


def _answer(head: bytes, body: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body)

    return serve


async def _open_feed(nursery: trio.Nursery, serve: Callable[[trio.SocketStream], Awaitable[None]]) -> RiskFeed:
    (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), serve, 0)
    return RiskFeed(url=f"http://127.0.0.1:{listener.socket.getsockname()[1]}")


async def test_a_feed_that_never_ends_is_waited_for_so_long_and_no_longer(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_gather, "FEED_SECONDS", 0.5)
    feed = await _open_feed(nursery, _drip)
    with trio.fail_after(60):
        found = await gather(DOMAIN, (), [feed], ())
    assert found.faults == (f"{feed.url}: has not answered in full within 0.5 s",)


async def test_feeds_that_answer_with_nonsense_are_in_nobodys_way(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_gather, "FEED_SECONDS", 60)
    shown = json.dumps({"reports": [risk_report_view(signed(), ORACLE, None)]}).encode()
    packed = gzip.compress(b" " * 50_000_000)
    answers = (
        _answer(b"content-encoding: gzip\r\n", packed),
        _answer(b"", b"[" * 500_000),
        _answer(b"", b" " * 2_000_000),
        _answer(b"", shown),
    )
    feeds = [await _open_feed(nursery, serve) for serve in answers]
    found = await gather(DOMAIN, (), feeds, ())
    assert found.reports == (signed(),)
    assert len(found.faults) == 3
    assert f"{feeds[2].url}: answers with more than {risk_gather.MAX_ANSWER_BYTES} bytes" in found.faults


def test_a_key_that_others_can_read_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    key = tmp_path / "feed.key"
    key.write_text("tocsin_key")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="0600 is wanted"):
        risk_gather.read_feed_key(RiskFeed(url="http://127.0.0.1:9", key_file=key))
