"""The answering side of sync: short reads on a connection of their own, bounded in number and size."""

from __future__ import annotations

import structlog
import trio
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.sync import (
    MAX_PROOFS,
    MAX_RANGE_BYTES,
    MAX_RANGE_ENVELOPES,
    MAX_ROSTERS_PER_RESPONSE,
    GrowthRequest,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    ProofsRequest,
    RangeRequest,
    Request,
    RostersRequest,
    WitnessedRequest,
    decode_request,
    encode_heads,
    encode_items,
)

from tocsin_node.meshlink import Asked, Reply
from tocsin_node.store.reader import Reader

from .metrics import Metrics
from .supervisor import MeshSupervisor

MAX_WAITING_REQUESTS = 64
REFUSED = b""

_log = structlog.get_logger("tocsin.sync")


class ServingSync:
    """Answers peers' requests one after another; what does not fit the queue is refused at once."""

    def __init__(self, reader: Reader, supervisor: MeshSupervisor, metrics: Metrics) -> None:
        self._reader = reader
        self._supervisor = supervisor
        self._metrics = metrics
        self._send, self._receive = trio.open_memory_channel[Asked](MAX_WAITING_REQUESTS)

    def offer(self, asked: Asked) -> None:
        """Queue a request, or refuse it."""
        try:
            self._send.send_nowait(asked)
        except trio.WouldBlock:
            self._metrics.dropped.labels("sync-request-queue-full").inc()
            self._supervisor.send(Reply(asked.request_id, REFUSED))

    async def run_serving(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        task_status.started()
        async for asked in self._receive:
            try:
                response = await trio.to_thread.run_sync(answer_request, self._reader, decode_request(asked.request))
            except DecodeError:
                self._metrics.dropped.labels("sync-request-malformed").inc()
                response = REFUSED
            except Exception:  # noqa: BLE001 - a request that we cannot answer must not end the relay
                _log.exception("sync request failed", peer=asked.peer_id)
                self._metrics.dropped.labels("sync-request-fault").inc()
                response = REFUSED
            self._supervisor.send(Reply(asked.request_id, response))


def answer_request(reader: Reader, request: Request) -> bytes:
    """The response to one request, from the database as it is now."""
    match request:
        case HeadsRequest():
            heads = (FeedHead(f.publisher, f.lane, f.head, f.head_digest) for f in reader.feeds())
            return encode_heads(HeadsResponse(reader.epoch(), len(reader.equivocators()), tuple(heads)))
        case RangeRequest(publisher, lane, first, last):
            items = reader.feed_range(publisher, lane, first, last, most=MAX_RANGE_ENVELOPES, max_bytes=MAX_RANGE_BYTES)
        case RostersRequest(first_epoch):
            items = reader.rosters(first_epoch, MAX_ROSTERS_PER_RESPONSE)
        case ProofsRequest(skip):
            items = reader.proofs(skip, MAX_PROOFS)
        case GrowthRequest(old):
            items = reader.log_growth(old)
        case WitnessedRequest(publisher):
            items = reader.witnessed(publisher)
    return encode_items(ItemsResponse(tuple(items)))
