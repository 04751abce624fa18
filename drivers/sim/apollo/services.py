"""Requests of the host that change no state of the payment: identity, screen, language, uplink, papers."""

from __future__ import annotations

import struct

from drivers.sim.apollo.bank_records import FINE, NO_SESSION, Bank
from drivers.sim.apollo.papers import connection_texts, receipt_text, transaction_record
from drivers.sim.apollo.screens import HostScreen, UnknownScreen

UNKNOWN, NO_SUCH_SCREEN = 0x02, 0x08
IDENTITY, UI, LANGUAGE, CONNECTION, RECEIPT, RECORD = 0x27, 0x28, 0x40, 0x44, 0x45, 0x46


class HostServices:
    """``nameless``: the terminal does not say who it is."""

    def __init__(self, bank: Bank, nameless: bool) -> None:
        self._bank, self._nameless = bank, nameless
        self.language, self.serial = "", "APO0042SIM"
        self.screen = HostScreen()

    def answer_request(self, code: int, body: bytes) -> bytes | int:
        """Return the answer under the same code, or the detail of a result (0: it was done).

        Raises ``struct.error`` and ``IndexError`` for a body that does not have the form of the request.
        """
        if code == UI:
            return self._show_screen(body)
        if code == LANGUAGE:
            self.language = body.split(b"\0")[0].decode("utf-8", "replace")
            return FINE
        if code == CONNECTION:
            return connection_texts(self._bank.online)
        if code == IDENTITY:
            return UNKNOWN if self._nameless else self.serial.encode() + b"\0APOLLO\0platform 1.2\0psp 3.1\0"
        return self._find_paper(code, struct.unpack(">I", body)[0])

    def _show_screen(self, body: bytes) -> int:
        try:
            self.screen.take_request(body)
        except UnknownScreen:
            return NO_SUCH_SCREEN
        return FINE

    def _find_paper(self, code: int, number: int) -> bytes | int:
        session = self._bank.open.get(number)
        if session is None:
            return NO_SESSION
        return receipt_text(number, session) if code == RECEIPT else transaction_record(number)
