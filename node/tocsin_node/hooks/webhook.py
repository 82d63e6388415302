"""A signed request to a service of the operator's own.

Standard Webhooks, symmetric v1 signatures: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event

from tocsin_node.clock import now_ms as read_clock
from tocsin_node.errors import ConfigError
from tocsin_node.outbound import post_json
from tocsin_node.private_files import read_private_file

from .hook import Journal, Occasion
from .message_config import WebhookHookConfig

SECRET_PREFIX = "whsec_"  # noqa: S105 - the spelling of the standard, not a secret
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
MAX_ANSWER_BYTES = 64 * 1024
"""Read, so that the connection can be kept, and dropped; a longer answer closes it."""
_GONE = 410


def read_secret(path: Path) -> bytes:
    """Return the shared secret of a 0600 file that holds `whsec_` and base64; raises ConfigError."""
    text = read_private_file(path).decode("ascii", errors="replace").strip()
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(path, "", "whsec_ and base64 is wanted") from exc
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        wanted = f"a secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes is wanted, not {len(secret)}"
        raise ConfigError(path, "", wanted)
    return secret


def sign_webhook(secret: bytes, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the `webhook-signature` header."""
    signed = f"{webhook_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


class WebhookHook:
    """Posts the intent until a 2xx says that it arrived; every try has one id, so the receiver can tell."""

    def __init__(
        self,
        config: WebhookHookConfig,
        secret: bytes,
        client: httpx.AsyncClient,
        now_ms: Callable[[], int] = read_clock,
    ) -> None:
        self._config = config
        self._secret = secret
        self._client = client
        self._now_ms = now_ms

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self._config.name

    @property
    def target(self) -> str:
        """What the receiver is asked to contain."""
        return self._config.target

    def payload(self, occasion: Occasion) -> bytes:
        """Return the JSON body: type, timestamp and data, as the standard recommends."""
        body = {
            "type": "tocsin.containment",
            "timestamp": datetime.fromtimestamp(occasion.decided_ms / 1_000, UTC).isoformat(),
            "data": {
                "hook": self.name,
                "target": self.target,
                "incident": occasion.incident_id.hex(),
                "decision": occasion.decision_id.hex(),
                "category": occasion.category,
                "severity": occasion.severity,
                "subjects": list(occasion.subjects),
                "summary": occasion.summary,
            },
        }
        return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()

    def claim(self, action: Action) -> None:
        """Reserve nothing: a webhook holds nothing but its id."""

    async def run(self, action: Action, journal: Journal) -> Action:
        """Post until confirmed, or until the tries or the time are used up; tries of earlier runs count."""
        reason = "not answered before a restart" if action.attempts else ""
        delay_ms = self._config.retry_min_ms
        while not action.is_settled:
            if self._now_ms() > action.deadline_ms:
                return await self._give_up(action, journal, reason)
            if action.attempts >= self._config.max_attempts:
                reason = f"{reason}; given up after {action.attempts} tries"
                return await journal.record(action.action_id, Event.FAIL, {"reason": reason})
            # Durable first: a try that was begun counts, whatever became of it.
            action = await journal.record(action.action_id, Event.SEND, {})
            if action.is_settled:
                break
            status, reason = await self._post(action)
            if status is not None and 200 <= status < 300:
                return await journal.record(action.action_id, Event.CONFIRM, {"reason": reason})
            if status == _GONE:
                return await journal.record(action.action_id, Event.FAIL, {"reason": reason})
            if action.attempts < self._config.max_attempts:
                await trio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, self._config.retry_max_ms)
        return action

    async def _give_up(self, action: Action, journal: Journal, reason: str) -> Action:
        if action.is_unsigned:
            return await journal.record(action.action_id, Event.LAPSE, {"reason": "too old to be sent"})
        reason = f"{reason or 'not confirmed'}; too old to be sent again"
        return await journal.record(action.action_id, Event.FAIL, {"reason": reason})

    async def _post(self, action: Action) -> tuple[int | None, str]:
        """Return the status, None without one, and what to say of it."""
        webhook_id = action.action_id.hex()
        timestamp_s = self._now_ms() // 1_000
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign_webhook(self._secret, webhook_id, timestamp_s, action.payload),
        }
        client, url, longest = self._client, self._config.url, MAX_ANSWER_BYTES
        try:
            with trio.fail_after(self._config.timeout_ms / 1_000):
                status, _ = await post_json(client, url, action.payload, max_bytes=longest, headers=headers)
        except trio.TooSlowError:
            return None, f"no answer within {self._config.timeout_ms} ms"
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return None, f"no answer: {type(exc).__name__}"
        return status, f"answered {status}"
