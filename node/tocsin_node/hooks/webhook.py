"""A signed request to a service of the operator's own."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event

from tocsin_node.clock import now_ms as read_clock
from tocsin_node.outbound import post_json
from tocsin_node.webhook_signing import sign_webhook

from .hook import Answer, Check, Journal, Occasion, Proposal
from .message_config import WebhookHookConfig
from .messages import content_type_of, write_message
from .rights import describe_end, probe_right
from .tries import NOT_KNOWN, Bounds, Tried, run_tries

MAX_ANSWER_BYTES = 64 * 1024
"""Read, so that the connection can be kept, and dropped; a longer answer closes it."""
_GONE = 410
_SERVER_ERROR = 500


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

    @property
    def ends_after_minutes(self) -> int | None:
        """After how many minutes the receiver ends the effect by itself."""
        return self._config.ends_after_minutes

    def payload(self, occasion: Occasion) -> bytes:
        """Return the JSON body."""
        return write_message(self._config, occasion)

    def undo(self, action: Action) -> Proposal | None:
        """Return what the operator wrote down."""
        return Proposal(self._config.undo) if self._config.undo else None

    async def read_effect(self, action: Action) -> bool | None:
        """Say nothing: a receiver is not asked what he did."""
        return None

    async def probe(self) -> tuple[Check, ...]:
        """Whether the receiver's port takes a connection; nothing is posted."""
        parts = urlsplit(self._config.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        where = f"{parts.hostname}, port {port}"
        try:
            with trio.fail_after(self._config.timeout_ms / 1_000):
                stream = await trio.open_tcp_stream(parts.hostname or "", port)
                await stream.aclose()
            receiver = Check("receiver", Answer.OK, f"{where} takes connections")
        except (OSError, trio.TooSlowError):
            receiver = Check("receiver", Answer.NOT_OK, f"{where} takes no connection")
        return (*probe_right(self._config, self._now_ms()), receiver)

    def claim(self, action: Action) -> None:
        """Reserve nothing: a webhook holds nothing but its id."""

    async def run(self, action: Action, journal: Journal) -> Action:
        """Post until confirmed, or until the tries or the time are used up; tries of earlier runs count."""
        ended = describe_end(self._config, self._now_ms()) if action.is_unsigned else None
        if ended is not None:
            return await journal.record(action.action_id, Event.REFUSE, {"reason": ended})
        bounds = Bounds(self._config.max_attempts, self._config.retry_min_ms, self._config.retry_max_ms)
        return await run_tries(action, journal, bounds, self._post, self._now_ms)

    async def _post(self, action: Action) -> Tried:
        """Post it once."""
        webhook_id = action.action_id.hex()
        timestamp_s = self._now_ms() // 1_000
        headers = {
            "content-type": content_type_of(self._config),
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign_webhook(self._secret, webhook_id, timestamp_s, action.payload),
        }
        client, url, longest = self._client, self._config.url, MAX_ANSWER_BYTES
        try:
            with trio.fail_after(self._config.timeout_ms / 1_000):
                status, _ = await post_json(client, url, action.payload, max_bytes=longest, headers=headers)
        except trio.TooSlowError:
            return Tried(False, True, f"no answer within {self._config.timeout_ms} ms; {NOT_KNOWN}", is_unsure=True)
        except (httpx.ConnectError, httpx.InvalidURL) as exc:
            return Tried(False, True, f"not sent: {type(exc).__name__}")
        except httpx.HTTPError as exc:
            return Tried(False, True, f"no answer: {type(exc).__name__}; {NOT_KNOWN}", is_unsure=True)
        # [HOOK] A receiver that answers 5xx may have done it: a proxy before it says so when it was only slow.
        if status >= _SERVER_ERROR:
            return Tried(False, True, f"answered {status}; {NOT_KNOWN}", is_unsure=True)
        return Tried(200 <= status < 300, status != _GONE, f"answered {status}")
