"""The card (PICC) as a thing that is asked: GetVersion, SelectApplication, authentication, GetCardUID, ReadData."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from drivers.reader_nfc.desfire import MORE, OK, NotGenuine, Refusal
from drivers.reader_nfc.desfire.authentication import Random, authenticate_card
from drivers.reader_nfc.desfire.ciphers import Key
from drivers.reader_nfc.desfire.sessions import Session, Unauthenticated

PLAIN, MACED, ENCIPHERED = 0, 1, 3
"""Communication settings of a file (low bits of its second settings byte)."""
_FREE = 0xE
_UID_BYTES = 7
_LARGEST = 8192 + 64
"""No file, with all that secures it, is larger on an 8 KiB card."""


@dataclass(frozen=True, slots=True)
class CardVersion:
    """Answer to GetVersion. ``uid`` is zero on a card that hides its own."""

    vendor: int
    kind: int
    hardware: tuple[int, int]
    storage: int
    software: tuple[int, int]
    uid: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> CardVersion:
        if len(data) != 28:
            raise NotGenuine("the version has the wrong length")
        hardware, software = data[:7], data[7:14]
        return cls(
            hardware[0], hardware[1], (hardware[3], hardware[4]), hardware[5], (software[3], software[4]), data[14:21]
        )

    @property
    def is_desfire(self) -> bool:
        """True for a card of NXP and of this family, on any carrier."""
        return self.vendor == 0x04 and self.kind & 0x0F == 1

    @property
    def is_ev1_4k(self) -> bool:
        """Storage 18: 2 to the power of 12 bytes exactly."""
        return self.is_desfire and self.hardware[0] == 1 and self.storage == 0x18


@dataclass(frozen=True, slots=True)
class FileSettings:
    """``rights``: key numbers to read, write, read and write, change; E is free access, F none."""

    kind: int
    communication: int
    rights: tuple[int, int, int, int]

    @classmethod
    def from_bytes(cls, data: bytes) -> FileSettings:
        if len(data) < 4:
            raise NotGenuine("the settings of a file have the wrong length")
        bits = int.from_bytes(data[2:4], "little")
        return cls(data[0], data[1] & 3, (bits >> 12, bits >> 8 & 15, bits >> 4 & 15, bits & 15))

    def read_communication(self, key_number: int) -> int:
        """Return how the holder of this key reads the file: free access is plain whatever the file's settings are."""
        may = (self.rights[0], self.rights[2])
        free = _FREE in may and key_number not in may
        return PLAIN if free or self.communication not in (MACED, ENCIPHERED) else self.communication


class Picc:
    """``exchange`` sends one APDU and returns its answer, or raises ``Gone``. All raise ``CardError``."""

    def __init__(self, exchange: Callable[[bytes], bytes], random: Random = secrets.token_bytes) -> None:
        self._exchange = exchange
        self._random = random
        self._session: Session = Unauthenticated()

    def get_version(self) -> CardVersion:
        return CardVersion.from_bytes(self._session.check_plain(self._send_command(b"\x60")))

    def select_application(self, application: int) -> None:
        """Select an application. ``application``: three bytes as a number; over the air the lowest comes first."""
        self._session = Unauthenticated()
        self._send_command(b"\x5a" + application.to_bytes(3, "little"))

    def authenticate_key(self, scheme: str, key: Key, number: int) -> None:
        self._session = Unauthenticated()
        self._session = authenticate_card(self._exchange_frame, scheme, key, number, self._random)

    def get_card_uid(self) -> bytes:
        """Return the card's true UID, which a random one hides. Needs an authentication."""
        return self._session.decipher_data(self._send_command(b"\x51"), _UID_BYTES)

    def get_file_settings(self, file: int) -> FileSettings:
        return FileSettings.from_bytes(self._session.check_plain(self._send_command(bytes((0xF5, file)))))

    def read_data(self, file: int, offset: int, length: int, communication: int) -> bytes:
        """Read from a file. ``length`` 0: to the end of the file."""
        data = self._send_command(bytes((0xBD, file)) + offset.to_bytes(3, "little") + length.to_bytes(3, "little"))
        if communication == ENCIPHERED:
            plain = self._session.decipher_data(data, length)
        else:
            plain = self._session.check_maced(data) if communication == MACED else self._session.check_plain(data)
        if length and len(plain) != length:
            raise NotGenuine("the file has another length than was asked for")
        return plain

    # --- frames ------------------------------------------------------------------------------------------------------

    def _send_command(self, command: bytes) -> bytes:
        """Send a command and return the whole answer. Continuations are not part of what is signed."""
        self._session.note_command(command)
        status, data = self._exchange_frame(command)
        whole = data
        while status == MORE:
            status, data = self._exchange_frame(bytes((MORE,)))
            whole += data
            if not data or len(whole) > _LARGEST:
                raise NotGenuine("the card goes on without an end")
        if status != OK:
            self._session = Unauthenticated()  # any error ends an authentication
            raise Refusal(command[0], status)
        return whole

    def _exchange_frame(self, command: bytes) -> tuple[int, bytes]:
        """Send one native command in an APDU of ISO/IEC 7816-4."""
        body = bytes((len(command) - 1,)) + command[1:] if len(command) > 1 else b""
        answer = self._exchange(b"\x90" + command[:1] + b"\0\0" + body + b"\0")
        if len(answer) < 2 or answer[-2] != 0x91:
            raise NotGenuine("no DESFire: it does not answer native commands")
        return answer[-1], answer[:-2]
