"""MIFARE DESFire EV1: commands, authentication and secure messaging over a callable that exchanges one APDU.

Pure but for the random numbers of an authentication: no reader, no clock, no file. What goes wrong is one of three:
the card went away, the card refused, or the card cannot prove its answer. No text of an error holds a key, a random
number or a byte of a card's file.
"""

from __future__ import annotations


class CardError(Exception):
    """``str()`` is for a technician."""


class Gone(CardError):
    """No (whole) answer: taken away, or an exchange that took too long. Raised by the exchange itself."""


class Refusal(CardError):
    """The card answered with an error status."""

    def __init__(self, command: int, status: int) -> None:
        meaning = STATUSES.get(status, "unknown status")
        super().__init__(f"command {command:02X}: the card answers {status:02X} ({meaning})")
        self.status = status


class NotGenuine(CardError):
    """An answer without the proof that belongs to it: wrong check sum, random number, length or form."""


OK, MORE = 0x00, 0xAF
AUTHENTICATION_ERROR = 0xAE
STATUSES = {
    0x0E: "out of memory",
    0x1C: "illegal command",
    0x1E: "integrity error",
    0x40: "no such key",
    0x7E: "length error",
    0x9D: "permission denied",
    0x9E: "parameter error",
    0xA0: "no such application",
    0xA1: "application integrity error",
    AUTHENTICATION_ERROR: "authentication error",
    0xBE: "beyond the end of the file",
    0xC1: "card integrity error",
    0xCA: "previous command was not completed",
    0xCD: "card is disabled",
    0xEE: "memory error",
    0xF0: "no such file",
    0xF1: "file integrity error",
}
