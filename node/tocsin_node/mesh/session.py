"""Fast path, below the multiplexer: Noise messages read from a buffered socket.

The library reads every Noise message with two small reads and copies the plaintext through a BytesIO.
Here one read takes what the socket has and every whole message in it is decrypted at once.
Can go when libp2p buffers reads under Noise itself.
"""

from __future__ import annotations

import os
from typing import Any, cast

import trio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.security.base_session import BaseSession
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.secure_session import SecureSession
from multiaddr import Multiaddr

# One read from the socket: a whole 64 KiB Noise message and the head of the next.
READ_BYTES = 128 * 1024
# The most anything above asks for at once.
MAX_READ_BYTES = 1024 * 1024
# Noise carries at most 65,535 bytes a message, 16 of them the tag.
MAX_PLAINTEXT_BYTES = 65_535 - 16
MAX_NONCE = 2**64 - 1
# What ends one connection and nothing else. Busy: somebody still waits for a descriptor that was closed and given anew.
_ENDS = (OSError, ValueError, trio.ClosedResourceError, trio.BusyResourceError)


class DirectSocket:
    """The TCP socket under a raw connection, read and written without the three layers of locks between.

    One task reads and one writes, so none is needed. Every read is a checkpoint, a write only where it waits.
    """

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock
        self._was_full = False

    @staticmethod
    def under(raw: IRawConnection) -> DirectSocket | None:
        """The socket of a TCP connection; None where there is none (another transport, a test's pipe)."""
        stream = getattr(getattr(getattr(raw, "stream", None), "stream", None), "socket", None)
        return None if stream is None else DirectSocket(stream)

    async def read(self, n: int) -> bytes:
        """Return up to `n` bytes, empty at the end; raises ConnectionClosedError."""
        try:
            while True:
                if self._was_full:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._sock.fileno())
                try:
                    data = os.read(self._sock.fileno(), n)
                except BlockingIOError:
                    self._was_full = False
                    continue
                self._was_full = len(data) == n
                return data
        except _ENDS as exc:
            raise ConnectionClosedError("connection closed") from exc

    async def write(self, data: bytes) -> None:
        """Send all of `data`; raises ConnectionClosedError."""
        sent, view = 0, memoryview(data)
        try:
            while sent < len(data):
                try:
                    sent += os.write(self._sock.fileno(), view[sent:])
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._sock.fileno())
        except _ENDS as exc:
            raise ConnectionClosedError("connection closed") from exc


class BufferedSession(BaseSession):  # type: ignore[misc]
    """A Noise transport session over a buffered connection; takes over where the library's handshake ends."""

    def __init__(self, stock: SecureSession) -> None:
        super().__init__(
            local_peer=stock.local_peer,
            local_private_key=stock.local_private_key,
            remote_peer=stock.remote_peer,
            remote_permanent_pubkey=stock.remote_permanent_pubkey,
            is_initiator=stock.is_initiator,
        )
        stock_conn = cast(Any, stock.conn)
        protocol = stock_conn.noise_state.noise_protocol
        self._raw: IRawConnection = stock_conn.read_writer.read_write_closer
        self._io: Any = DirectSocket.under(self._raw) or self._raw
        self._encrypt: ChaCha20Poly1305 = protocol.cipher_state_encrypt.cipher.cipher
        self._decrypt: ChaCha20Poly1305 = protocol.cipher_state_decrypt.cipher.cipher
        self._send_nonce: int = protocol.cipher_state_encrypt.n
        self._receive_nonce: int = protocol.cipher_state_decrypt.n
        self._sealed = bytearray()
        self._plain = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Return up to `n` bytes, or all there is; at least one.

        Raises ConnectionClosedError at the end of the connection or on a message that does not verify.
        """
        if n == 0:
            return b""
        if n is not None and n > MAX_READ_BYTES:
            # The library asks for whatever length a peer claims.
            raise ConnectionClosedError(f"{n} bytes claimed")
        while not self._plain:
            chunk = await self._io.read(READ_BYTES)
            if not chunk:
                raise ConnectionClosedError("connection closed")
            self._sealed += chunk
            self._open_messages()
        if n is None or n >= len(self._plain):
            data = bytes(self._plain)
            self._plain.clear()
        else:
            data = bytes(self._plain[:n])
            del self._plain[:n]
        return data

    def _open_messages(self) -> None:
        sealed, position = self._sealed, 0
        while len(sealed) - position >= 2:
            end = position + 2 + (sealed[position] << 8 | sealed[position + 1])
            if len(sealed) < end:
                break
            nonce = b"\0\0\0\0" + self._receive_nonce.to_bytes(8, "little")
            try:
                self._plain += self._decrypt.decrypt(nonce, bytes(sealed[position + 2 : end]), b"")
            except InvalidTag as exc:
                raise ConnectionClosedError("Noise message does not verify") from exc
            self._receive_nonce += 1
            position = end
        if position:
            del sealed[:position]

    async def write(self, data: bytes) -> None:
        """Encrypt and send all of `data`, in one socket write when it fits one Noise message."""
        pieces = []
        for start in range(0, len(data), MAX_PLAINTEXT_BYTES):
            if self._send_nonce >= MAX_NONCE:
                raise ConnectionClosedError("Noise nonces are used up")
            nonce = b"\0\0\0\0" + self._send_nonce.to_bytes(8, "little")
            sealed = self._encrypt.encrypt(nonce, data[start : start + MAX_PLAINTEXT_BYTES], b"")
            self._send_nonce += 1
            pieces.append(len(sealed).to_bytes(2, "big"))
            pieces.append(sealed)
        await self._io.write(b"".join(pieces))

    async def close(self) -> None:
        await self._raw.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return cast("tuple[str, int] | None", self._raw.get_remote_address())

    def get_transport_addresses(self) -> list[Multiaddr]:
        return cast("list[Multiaddr]", self._raw.get_transport_addresses())

    def get_connection_type(self) -> ConnectionType:
        return self._raw.get_connection_type()


class BufferedNoise(NoiseTransport):  # type: ignore[misc]
    """The library's Noise handshake with our session behind it."""

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        return BufferedSession(cast(SecureSession, await super().secure_inbound(conn)))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        return BufferedSession(cast(SecureSession, await super().secure_outbound(conn, peer_id)))
