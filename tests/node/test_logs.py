"""Logs: their form, their level, and that no secret gets into them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from tocsin_node.keystore import generate_secrets
from tocsin_node.logs import configure_logs, redact


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_have_time_level_and_fields() -> None:
    stream = io.StringIO()
    configure_logs("info", as_json=True, stream=stream)
    structlog.get_logger("x").info("signal admitted", publisher=b"\x01\x02", count=3)
    line = json.loads(stream.getvalue())
    assert line["event"] == "signal admitted"
    assert (line["level"], line["publisher"], line["count"]) == ("info", "0x0102", 3)
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_left_out() -> None:
    stream = io.StringIO()
    configure_logs("warning", stream=stream)
    structlog.get_logger().info("unimportant")
    structlog.get_logger().warning("important")
    assert "unimportant" not in stream.getvalue()
    assert "important" in stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_do_not_get_into_logs(as_json: bool) -> None:
    stream = io.StringIO()
    configure_logs("debug", as_json=as_json, stream=stream)
    keys = generate_secrets()
    structlog.get_logger().info("start", keys=keys, transport_seed=keys.transport, nested={"passphrase": "hunter22222"})
    try:
        raise ValueError("no")
    except ValueError:
        structlog.get_logger().exception("failed", root_secret=keys.guardian)
    text = stream.getvalue()
    for secret in (keys.publisher, keys.transport, keys.guardian, keys.log):
        assert secret.hex() not in text
        assert repr(secret) not in text
    assert "hunter22222" not in text
    assert "ValueError" in text


def test_libraries_write_in_the_same_form() -> None:
    stream = io.StringIO()
    configure_logs("info", as_json=True, stream=stream)
    logging.getLogger("some.library").warning("odd %s", "thing")
    logging.getLogger("httpx").info("chatter")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "odd thing"


def test_long_bytes_are_cut_and_file_names_stay() -> None:
    shown = redact(None, "info", {"body": bytes(1000), "passphrase_file": "/etc/x", "list": [b"\xab", {"secret": 1}]})
    assert shown["body"].endswith("… (1000)")
    assert len(shown["body"]) < 200
    assert shown["passphrase_file"] == "/etc/x"
    assert shown["list"] == ["0xab", {"secret": "[redacted]"}]
