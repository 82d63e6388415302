"""Posting to addresses that others chose: what they may be, and that nothing else is reached by them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

POST_SECONDS = 15.0
# Read, so that the connection ends well; what a receiver says is not looked at.
MAX_ANSWER_BYTES = 64 * 1024
MAX_CONNECTIONS = 64

# All of IPv6 that is given out for the world; of that, networks whose addresses hold one of IPv4.
_UNICAST = IPv6Network("2000::/3")
_WRAPPED = tuple(map(IPv6Network, ("2002::/16", "2001::/32")))

Address = IPv4Address | IPv6Address


class NotAllowed(Exception):
    """An address that is not posted to; the message says why."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Networks that may be posted to although they are not public, and without TLS."""

    networks: tuple[str, ...] = ()

    def check(self, scheme: str, address: Address) -> None:
        """Raises NotAllowed."""
        inside = any(address in ip_network(network) for network in self.networks)
        # [API] A webhook goes to public addresses over TLS, and to others only within the networks that are configured.
        if inside:
            return
        if not _is_public(address):
            raise NotAllowed(f"{address} is no public address, nor in a network of feed.webhook_networks")
        if scheme != "https":
            raise NotAllowed("without TLS only the networks of feed.webhook_networks are reached")


def open_client() -> httpx.AsyncClient:
    """A client that takes nothing from the environment, follows nobody and keeps nobody's cookies."""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0)
    # [API] A webhook follows no redirect.
    return httpx.AsyncClient(timeout=POST_SECONDS, trust_env=False, follow_redirects=False, limits=limits)


async def post(client: httpx.AsyncClient, reach: Reach, url: str, body: bytes, headers: dict[str, str]) -> int:
    """Post once and return the status; raises NotAllowed, OSError, TimeoutError or httpx.HTTPError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    async with asyncio.timeout(POST_SECONDS):
        addresses = await _resolve(host, port)
        for address in addresses:
            reach.check(parts.scheme, address)
        # to the very address that was checked: asked again, the name might answer with another
        target = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
        pinned = httpx.URL(url).copy_with(host=target.strip("[]"))
        request = client.build_request(
            "POST",
            pinned,
            content=body,
            headers={**headers, "host": parts.netloc, "accept-encoding": "identity"},
            extensions={"sni_hostname": host},
        )
        response = await client.send(request, stream=True)
        try:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    break
        finally:
            await response.aclose()
    return response.status_code


async def _resolve(host: str, port: int) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        # else an IPv4 address is inside, and might be any, or it is of this site
        if address not in _UNICAST or any(address in network for network in _WRAPPED):
            return False
    return address.is_global and not address.is_multicast
