"""HTTP POST on the port of the WebSocket server. Its library reads only requests without a body."""

from __future__ import annotations

import re

from websockets.asyncio.server import ServerConnection

HEAD_MAX, BODY_MAX = 16_384, 65_536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?=\r\n)", re.IGNORECASE)


class PostConnection(ServerConnection):
    """``posted``: the body of a POST, None for any other request. The library gets the same request as a GET without
    a body."""

    posted: bytes | None = None
    _begun: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._begun is None:
            super().data_received(data)
            return
        self._begun += data
        if len(self._begun) < len(b"POST ") and b"POST ".startswith(self._begun):
            return
        if not self._begun.startswith(b"POST "):
            self._hand_over(self._begun)
            return
        head, end, body = self._begun.partition(b"\r\n\r\n")
        found = _LENGTH.search(head + b"\r\n")
        length = int(found[1]) if found else 0
        if len(head) > HEAD_MAX or length > BODY_MAX:
            self.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
        elif end and len(body) >= length:
            self.posted = body[:length]
            plain = _LENGTH.sub(b"", head + b"\r\n")
            self._hand_over(b"GET " + plain.removeprefix(b"POST ") + b"\r\n")

    def _hand_over(self, request: bytes) -> None:
        self._begun = None
        super().data_received(request)
