"""How much one holder of a key, or one address, may ask: token buckets in a bounded table."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from .keys import Scope
from .problems import Problem

MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class FeedRate:
    """Requests: so many a second in the long run, and so many at once."""

    per_second: float
    burst: int


PUBLIC_RATE = FeedRate(20, 100)
KEY_RATE = FeedRate(100, 500)
OPERATOR_RATE = FeedRate(500, 2_000)
# What is handed in is checked object by object.
SENDER_RATE = FeedRate(5, 50)

_KEY_RATES = {Scope.OPERATOR: OPERATOR_RATE, Scope.SENDER: SENDER_RATE}
# Whoever has one IPv6 address has all 2^64 of its network.
IPV6_PREFIX_BITS = 64

Buckets = OrderedDict[str, tuple[float, float]]


class RateLimits:
    """The buckets of all who ask; who has not asked for longest is forgotten first, and then has a full one again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Two tables: however many addresses there are, they push out no key.
        self._by_address: Buckets = OrderedDict()
        self._by_key: Buckets = OrderedDict()

    def take_public(self, address: str) -> None:
        """Count a request without a key; raises Problem 429."""
        self._take(self._by_address, network_of(address), PUBLIC_RATE)

    def take_key(self, key_id: str, scope: Scope) -> None:
        """Count a request with a key; raises Problem 429."""
        self._take(self._by_key, key_id, _KEY_RATES.get(scope, KEY_RATE))

    def _take(self, buckets: Buckets, who: str, rate: FeedRate) -> None:
        # [API] Who asks faster than his rate gets a 429 that says when to come again; nobody else is slowed by him.
        now = self._clock()
        tokens, since = buckets.pop(who, (float(rate.burst), now))
        tokens = min(rate.burst, tokens + (now - since) * rate.per_second)
        buckets[who] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(buckets) > MAX_BUCKETS:
            buckets.popitem(last=False)
        if tokens < 1:
            wait = math.ceil((1 - tokens) / rate.per_second)
            text = f"more than {rate.per_second:g} requests a second after a burst of {rate.burst}"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers={"retry-after": str(wait)})


def network_of(address: str) -> str:
    """What an address is counted as."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(int(parsed) >> IPV6_PREFIX_BITS)
    return str(parsed)
