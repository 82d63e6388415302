"""Structured logs on stderr: JSON for machines, lines for people, and never a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .keystore import NodeSecrets

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
MAX_SHOWN_BYTES = 64
MAX_DEPTH = 4
REDACTED = "[redacted]"

# Whatever stands under these names is not shown, whatever it is.
_SECRET_WORDS = ("passphrase", "password", "secret", "seed", "private", "authorization", "token")
_OTHERS = ("httpx", "httpcore", "libp2p", "web3", "uvicorn.access", "asyncio", "multipart")


def configure_logs(level: str = "info", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send the logs of this process, those of libraries included, to stderr (or `stream`)."""
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: Processor
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        # plain tracebacks: the pretty ones show local variables, keys among them
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for name in _OTHERS:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace secrets, and show other bytes as hex: a structlog processor."""
    return {name: _shown(name, value, MAX_DEPTH) for name, value in event.items()}


def _shown(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, NodeSecrets) or _is_secret_name(name):
        return REDACTED
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return f"0x{data.hex()}" if len(data) <= MAX_SHOWN_BYTES else f"0x{data[:MAX_SHOWN_BYTES].hex()}… ({len(data)})"
    if depth and isinstance(value, Mapping):
        return {str(key): _shown(str(key), item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_shown("", item, depth - 1) for item in value]
    return value


def _is_secret_name(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS) and not lowered.endswith(("_file", "_path", "_seconds"))
