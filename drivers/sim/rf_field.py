"""The RF field of one contactless reader: which card is held to it, and for how long."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import cast

from drivers.sim.card import Card

_WAITS_S = 1.0
"""How long nfcpy's ``udp`` reader waits for the answer to a request."""
_BETWEEN_S = 0.25
"""Time between taking one card away and holding the next one to the reader."""
_PATIENT_S = 10.0
"""How much longer a card is held to a reader that is at work and has not yet identified it, and is kept away from one
that has not yet seen that the one before is gone. An attempt takes a second on this wire if the machine is busy."""
_AGAIN_S = 0.02
_SENS_REQ = b"\x26"


class RfField(asyncio.DatagramProtocol):
    """The field. Cards come one after the other; the next one waits until the one before was taken away."""

    def __init__(self) -> None:
        self.port = 0
        self.card: Card | None = None
        self._waiting: deque[tuple[Card, float]] = deque()
        self._pending: tuple[tuple[str, int], float] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._known = False
        """The reader has identified the card that is held to it."""
        self._seen_empty = True
        """The reader has looked for a card since the last one was taken away."""
        self._heard_s = 0.0

    async def start(self) -> None:
        sock = _bind_unnamed_port()
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=sock)

    def close(self) -> None:
        self.discard_cards()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def present_card(self, card: Card, hold_s: float) -> None:
        self._waiting.append((card, hold_s))
        if self._timer is None:
            self._present_next()

    def discard_cards(self) -> None:
        """Take all cards away."""
        self._waiting.clear()
        self.card = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _present_next(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        self.card, hold_s = self._waiting.popleft()
        self._known = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(hold_s, self._take_card_away, loop.time() + hold_s + _PATIENT_S)
        if self._pending and loop.time() - self._pending[1] < _WAITS_S:
            self._answer_frame(self._pending[0], _SENS_REQ)

    def _take_card_away(self, last_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._is_read(last_s) and not self._known:
            self._timer = loop.call_later(_AGAIN_S, self._take_card_away, last_s)
            return
        self.card = None
        self._seen_empty = False
        self._timer = loop.call_later(_BETWEEN_S, self._keep_empty, loop.time() + _BETWEEN_S + _PATIENT_S)

    def _keep_empty(self, last_s: float) -> None:
        """Wait until the reader has seen that there is no card: to it the next one would be the one before."""
        if self._is_read(last_s) and not self._seen_empty:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._keep_empty, last_s)
        else:
            self._present_next()

    def _is_read(self, last_s: float) -> bool:
        """Return whether a reader is at work, until ``last_s``."""
        now_s = asyncio.get_running_loop().time()
        return now_s < last_s and now_s - self._heard_s < _WAITS_S + _BETWEEN_S

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        if data.startswith(b"RFOFF"):
            if self.card is not None:
                self.card.power_off()
            return
        technology, _, digits = data.partition(b" ")
        try:
            frame = bytes.fromhex(digits.decode("ascii"))
        except (UnicodeDecodeError, ValueError):
            return
        if technology == b"106A" and frame:
            self._answer_frame(addr, frame)

    def error_received(self, exc: Exception) -> None:
        """Ignore that the reader closed its socket before our answer came: it does so each time it goes mute."""

    def _answer_frame(self, addr: tuple[str, int], frame: bytes) -> None:
        self._pending = None
        if self.card is None:
            if frame == _SENS_REQ:
                self._seen_empty = True
                self._pending = (addr, asyncio.get_running_loop().time())
            return
        answer = self.card.answer_frame(frame)
        self._known |= self.card.is_identified
        if answer is not None and self._transport is not None:
            self._transport.sendto(b"106A " + answer.hex().encode(), addr)


def _bind_unnamed_port() -> socket.socket:
    """Bind a port without a name in /etc/services: nfcpy looks its port up by name and fails if there is one."""
    for _ in range(100):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        if not _port_has_service_name(sock.getsockname()[1]):
            return sock
        sock.close()
    raise OSError("no free UDP port without a name in /etc/services")


def _port_has_service_name(port: int) -> bool:
    for protocol in ("tcp", "udp"):
        try:
            socket.getservbyport(port, protocol)
            return True
        except OSError:
            continue
    return False
