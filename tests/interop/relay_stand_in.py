"""What the relay answers to sync requests, in memory: heads and ranges of the feeds it was given."""

from __future__ import annotations

from collections.abc import Iterable

import trio
from mesh_kit import NETWORK_ID, Running
from tocsin_node.meshlink import Admitted, Answered, Ask, Asked, Reply
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.signing import Domain
from tocsin_protocol.sync import (
    MAX_RANGE_BYTES,
    MAX_RANGE_ENVELOPES,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    RangeRequest,
    Request,
    decode_heads,
    decode_items,
    decode_request,
    encode_heads,
    encode_items,
    encode_request,
)


class RelayStandIn:
    """Feeds by (publisher, lane), and both ends of sync over one mesh process's link."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._feeds: dict[tuple[bytes, int], dict[int, Envelope]] = {}
        self._asks = 0
        self.served: list[Request] = []

    def hold(self, envelopes: Iterable[Envelope]) -> None:
        """Keep envelopes, own or fetched."""
        for envelope in envelopes:
            self._feeds.setdefault((envelope.publisher, envelope.lane), {})[envelope.sequence] = envelope

    def sequences(self, publisher: bytes, lane: int = 1) -> list[int]:
        """What is held of a feed."""
        return sorted(self._feeds.get((publisher, lane), {}))

    async def run(self) -> None:
        """Answer the peers' requests and keep what gossip brings."""
        taken = 0
        while True:
            messages = self._running.messages[taken:]
            taken += len(messages)
            for message in messages:
                if isinstance(message, Asked):
                    await self._running.link.send(Reply(message.request_id, self._answer(message.request)))
                elif isinstance(message, Admitted):
                    self.hold(decode_envelope(Domain(NETWORK_ID), item) for item in message.envelopes)
            if taken == len(self._running.messages):
                await self._running.arrived.wait()

    def _answer(self, data: bytes) -> bytes:
        request = decode_request(data)
        self.served.append(request)
        if isinstance(request, HeadsRequest):
            heads = (max(feed.values(), key=lambda e: e.sequence) for feed in self._feeds.values())
            return encode_heads(
                HeadsResponse(0, 0, tuple(FeedHead(e.publisher, e.lane, e.sequence, e.digest) for e in heads))
            )
        if isinstance(request, RangeRequest):
            feed, items, size = self._feeds.get((request.publisher, request.lane), {}), [], 0
            for sequence in sorted(s for s in feed if request.first <= s <= request.last):
                size += len(feed[sequence].encoded)
                if size > MAX_RANGE_BYTES or len(items) == MAX_RANGE_ENVELOPES:
                    break
                items.append(feed[sequence].encoded)
            return encode_items(ItemsResponse(tuple(items)))
        return encode_items(ItemsResponse(()))

    async def ask(self, peer_id: str, request: Request) -> bytes:
        """Send a request to a peer through the mesh process."""
        self._asks += 1
        number = self._asks
        await self._running.link.send(Ask(number, peer_id, encode_request(request)))

        def answered() -> Answered | None:
            return next((m for m in self._running.messages if isinstance(m, Answered) and m.request_id == number), None)

        answer = await self._running.wait_for(answered)
        assert answer is not None
        assert answer.error == ""
        return answer.response

    async def fetch(self, peer_id: str, publisher: bytes, lane: int = 1) -> list[Envelope]:
        """Ask a peer for its heads and for all of one feed, in bounded ranges; returned unverified."""
        heads = {(h.publisher, h.lane): h.sequence for h in decode_heads(await self.ask(peer_id, HeadsRequest())).heads}
        fetched: list[Envelope] = []
        with trio.fail_after(60):
            while len(fetched) < heads[publisher, lane]:
                wanted = RangeRequest(publisher, lane, len(fetched) + 1, heads[publisher, lane])
                items = decode_items(await self.ask(peer_id, wanted), MAX_RANGE_ENVELOPES).items
                fetched += [decode_envelope(Domain(NETWORK_ID), item) for item in items]
        return fetched
