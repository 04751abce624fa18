"""Contactless cards in a reader's field, over the datagrams of nfcpy's ``udp`` reader.

One datagram is one frame without checksum: ``106A 26``; ``RFOFF`` is the field going off. ISO/IEC 14443-3 type A
(anticollision) and 14443-4 (blocks); commands of a MIFARE DESFire EV1, native and wrapped, for the chip inside.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from drivers.sim.desfire_card import Chip

KINDS = ("desfire_ev1", "random_uid", "classic")
_ATS = bytes.fromhex("067577810280")
_CASCADE_TAG = 0x88
_SEL = (0x93, 0x95, 0x97)
_WRAPPED = 0x90
_NOT_FOUND = b"\x6a\x82"


@dataclass
class Card:
    """A contactless card. It keeps no state without power.

    ``chip`` is the chip inside, by default a DESFire as it comes from the factory.
    """

    uid: bytes
    kind: str = "desfire_ev1"
    rng: random.Random = field(default_factory=random.Random)
    chip: Chip | None = None
    _selected: int = field(default=0, init=False)
    """Cascade levels passed since the last request."""
    _blocks: bool = field(default=False, init=False)
    """Activated by RATS: from here on it exchanges blocks."""
    _left: bool = field(default=False, init=False)
    """Selected, then requested again without RATS: the reader uses the identifier alone."""
    _number: int = field(default=1, init=False)
    _last: bytes = field(default=b"", init=False)
    _chained: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        if self.chip is None:
            self.chip = Chip(self.uid.ljust(7, b"\0")[:7], hidden=self.kind == "random_uid", rng=self.rng)
        self.power_off()

    @property
    def speaks_iso_dep(self) -> bool:
        return self.kind != "classic"

    @property
    def cascade_levels(self) -> list[bytes]:
        """The answer of each cascade level: four bytes and their check byte."""
        rest, levels = self.uid, []
        while len(rest) > 4:
            levels.append(bytes((_CASCADE_TAG,)) + rest[:3])
            rest = rest[3:]
        return [part + bytes((reduce(xor, part),)) for part in (*levels, rest)]

    @property
    def is_identified(self) -> bool:
        """The reader has read enough to identify the card."""
        return self._blocks or self._left or (not self.speaks_iso_dep and self._is_selected)

    @property
    def _is_selected(self) -> bool:
        """The reader has read the whole identifier."""
        return 0 < self._selected == len(self.cascade_levels)

    def power_off(self) -> None:
        """Lose power. A card with a random identifier has another one each time (AN10927)."""
        self._reset_protocol()
        if self.kind == "random_uid":
            self.uid = b"\x08" + self.rng.randbytes(3)

    def _reset_protocol(self) -> None:
        self._left = self._left or (self._is_selected and not self._blocks)
        self._selected, self._blocks, self._number = 0, False, 1
        self._last, self._chained = b"", b""
        if self.chip is not None:
            self.chip.power_off()

    def answer_frame(self, frame: bytes) -> bytes | None:
        if frame in (b"\x26", b"\x52"):
            self._reset_protocol()
            return self._encode_atqa()
        if not self._blocks:
            return self._answer_anticollision(frame)
        return self._answer_block(frame)

    def _encode_atqa(self) -> bytes:
        first = 0x44 if len(self.uid) > 4 else 0x04
        return bytes((first, 0x03 if self.speaks_iso_dep else 0x00))

    def _answer_anticollision(self, frame: bytes) -> bytes | None:
        if self._is_selected:
            return self._answer_rats(frame)
        levels = self.cascade_levels
        level = levels[self._selected]
        code = _SEL[self._selected]
        if frame == bytes((code, 0x20)):
            return level
        if frame == bytes((code, 0x70)) + level:
            self._selected += 1
            last = self._selected == len(levels)
            return bytes(((0x20 if self.speaks_iso_dep else 0x08) if last else 0x24 if self.speaks_iso_dep else 0x04,))
        return None

    def _answer_rats(self, frame: bytes) -> bytes | None:
        if frame[:1] != b"\xe0" or len(frame) != 2 or not self.speaks_iso_dep:
            return None
        self._blocks = True
        return _ATS

    def _answer_block(self, frame: bytes) -> bytes | None:
        if not frame:
            return None
        control = frame[0]
        if control & 0xEE == 0x02:  # I-block without CID and NAD, perhaps chained
            return self._answer_i_block(control, frame[1:])
        if control & 0xFE == 0xB2:  # R(NAK): a presence check, or a request to repeat the last block
            again = control & 1 == self._number and self._last
            return self._last if again else bytes((0xA2 | self._number,))
        if control == 0xC2:  # S(DESELECT)
            self._reset_protocol()
            return b"\xc2"
        return None

    def _answer_i_block(self, control: int, data: bytes) -> bytes:
        self._number ^= 1
        self._chained += data
        if control & 0x10:
            self._last = bytes((0xA2 | self._number,))
            return self._last
        command, self._chained = self._chained, b""
        self._last = bytes((0x02 | self._number,)) + self._run_command(command)
        return self._last

    def _run_command(self, command: bytes) -> bytes:
        assert self.chip is not None
        if command[:1] == bytes((_WRAPPED,)) and len(command) >= 5:
            status, data = self.chip.answer_command(command[1:2] + command[5:-1])
            return data + bytes((0x91, status))
        if command[:1] == b"\x00":
            return _NOT_FOUND
        status, data = self.chip.answer_command(command)
        return bytes((status,)) + data


def parse_card_uid(uid: str, kind: str) -> bytes:
    """Return the bytes of a UID. Raises ``ValueError`` if no card can have it."""
    try:
        value = bytes.fromhex(uid) if isinstance(uid, str) else b""
    except ValueError:
        value = b""
    if kind != "random_uid" and len(value) not in (4, 7):
        raise ValueError("uid: must be 4 or 7 bytes in hexadecimal, for example 04A1B2C3D4E5F6")
    return value
