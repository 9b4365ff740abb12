"""TLS as bytes in, bytes out: whoever has the socket reads it himself."""

import asyncio
import socket
import ssl
from typing import Final

PIECE_BYTES: Final = 65_536


class Tls:
    """TLS over memory buffers, so that the socket is read (and stamped) by us."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=host)

    async def handshake(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        while True:
            try:
                self._object.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, self._out.read())
                data = await loop.sock_recv(sock, PIECE_BYTES)
                self._in.write(data) if data else self._in.write_eof()
        await loop.sock_sendall(sock, self._out.read())

    def encrypt(self, data: bytes) -> bytes:
        self._object.write(data)
        return self._out.read()

    def decrypt(self, data: bytes) -> bytes:
        """All plaintext that `data` completes (b"" if none yet)."""
        self._in.write(data) if data else self._in.write_eof()
        plain = bytearray()
        try:
            while piece := self._object.read(PIECE_BYTES):
                plain += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            # No more whole records for now, or the peer said goodbye: the caller sees the end.
            return bytes(plain)
        return bytes(plain)
