"""What a card is worth as a token, and when the same card counts again. Pure: no reader, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.model.types import Token, TokenType
from agent.ports.reader import Tap
from drivers.reader_nfc.settings import ISO14443A, NfcSettings

ISO_DEP = 0x20
"""Bit of SEL_RES (SAK): the card supports ISO/IEC 14443-4."""

RANDOM = "random_uid"
UNREADABLE = "unreadable"
NOT_GENUINE = "not_genuine"


@dataclass(frozen=True, slots=True)
class Card:
    """Answer of a type A card to anticollision: ``uid`` complete, byte 0 first, cascade tags removed; empty if the
    card has none (NFC Forum type 1)."""

    uid: bytes
    sak: int

    @property
    def speaks_iso_dep(self) -> bool:
        return bool(self.sak & ISO_DEP)

    @property
    def has_random_uid(self) -> bool:
        """First byte 08 is a random UID by ISO/IEC 14443-3; DESFire EV1 silicon sends 80 instead."""
        return len(self.uid) == 4 and (self.uid[0] == 0x08 or (self.uid[0] == 0x80 and self.speaks_iso_dep))


def tap_of(card: Card, settings: NfcSettings) -> Tap:
    """Convert a card to a tap. A UID that identifies no card (a random one) never becomes a token."""
    if card.has_random_uid:
        return Tap(None, RANDOM)
    if len(card.uid) not in (4, 7, 10) or not any(card.uid):
        return Tap(None, UNREADABLE)
    if settings.accept != ISO14443A and not card.speaks_iso_dep:
        return Tap(None, UNREADABLE)
    return Tap(Token(format_number(card.uid, settings), TokenType.ISO14443))


def format_number(number: bytes, settings: NfcSettings) -> str:
    """Format a card number in hex, in the order and letter case that the network wants."""
    value = (number[::-1] if settings.uid_order == "reversed" else number).hex()
    return value.upper() if settings.uid_case == "upper" else value


class Debounce:
    """The same card counts again once ``holdoff_s`` have passed since its reported presence ended; another card
    counts at once. A presence that was not reported does not prolong the wait: repeated taps succeed in the end.
    Cards that are no token (a phone shows a new random UID each time) share one memory per reason."""

    def __init__(self, holdoff_s: float) -> None:
        self._holdoff_s = holdoff_s
        self._last_s: dict[str, float] = {}
        self._ignored = ""

    @property
    def remembered_cards(self) -> Mapping[str, float]:
        return MappingProxyType(self._last_s)

    def is_new_tap(self, tap: Tap, now_s: float) -> bool:
        """Return whether a card found at ``now_s`` is a new tap."""
        self._last_s = {k: t for k, t in self._last_s.items() if now_s - t < self._holdoff_s}
        counts = _card_key(tap) not in self._last_s
        self._ignored = "" if counts else _card_key(tap)
        self.note_presence(tap, now_s)
        return counts

    def note_presence(self, tap: Tap, now_s: float) -> None:
        """Note that the card is (still) there at ``now_s``."""
        if _card_key(tap) != self._ignored:
            self._last_s[_card_key(tap)] = now_s


def _card_key(tap: Tap) -> str:
    return tap.token.value if tap.token else tap.reason
