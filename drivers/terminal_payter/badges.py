"""Badges that are held to the terminal: from what it says of a card that is no bank card to a tap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.model.types import Token, TokenType
from agent.ports.reader import Tap
from drivers.terminal_payter.commands import MASKED_PAN
from drivers.terminal_payter.tlv import parse_tlv

if TYPE_CHECKING:
    from drivers.terminal_payter.settings import PayterSettings

PHONE = "phone_at_terminal"
"""A random UID. A reader refuses a telephone with words that are wrong at a terminal, where it pays."""
UNREADABLE = "unreadable"
_UID_SIZES = (4, 7, 10)
"""Of a UID, in bytes (ISO/IEC 14443-3). A hash is longer."""
CARD_NUMBER_TAGS = ("5A", "57", "9F6B", MASKED_PAN)
"""The number of a bank card (EMV: PAN, track 2), whole or masked: it is no badge, and must be in no record."""
_RANDOM = 0x08
"""First byte of a UID of four bytes that is another one each time (ISO/IEC 14443-3)."""
_READING_S = 5.0
"""From a badge to the screen that answers it, and from the next request to the badge that is read again."""


def tap_of_badge(data: bytes, settings: PayterSettings) -> Tap:
    """Return the tap of a card by its tags: the first of ``badge_tags`` that can be a UID. A random one is no token."""
    fields = parse_tlv(data)
    uids = (fields.get(tag, b"") for tag in split_tags(settings.badge_tags))
    uid = next((u for u in uids if len(u) in _UID_SIZES and any(u)), None)
    if uid is None:
        return Tap(None, UNREADABLE)
    if len(uid) == _UID_SIZES[0] and uid[0] == _RANDOM:
        return Tap(None, PHONE)
    text = (uid[::-1] if settings.uid_order == "reversed" else uid).hex()
    return Tap(Token(text.upper() if settings.uid_case == "upper" else text, TokenType.ISO14443))


def split_tags(tags: str) -> Iterator[str]:
    """Yield the tags of a list of BER-TLV tags in hexadecimal, in capitals."""
    raw, at = bytes.fromhex(tags), 0
    while at < len(raw):
        end = at + 1
        if raw[at] & 0x1F == 0x1F:
            while end < len(raw) and raw[end] & 0x80:
                end += 1
            end += 1
        yield raw[at:end].hex().upper()
        at = end


def badge_hold_off_s(settings: PayterSettings, rest_s: float) -> float:
    """Return for how long a badge that is read again is the same presence. While a result is on the screen none is
    read: one that stays there is read next behind it. ``rest_s``: before each reading."""
    wanted_s = settings.badge_holdoff_ms / 1000
    if wanted_s == 0 or settings.screen_hold_s == 0:
        return wanted_s
    return max(wanted_s, settings.screen_hold_s + rest_s + _READING_S)


class BadgeHoldOff:
    """A badge that is held there is read with each new request for a card: it counts again ``holdoff_s`` after it was
    read last."""

    def __init__(self, holdoff_s: float) -> None:
        self._holdoff_s = holdoff_s
        self._last, self._last_s = "", 0.0

    def is_new_tap(self, tap: Tap, now_s: float) -> bool:
        """Return whether this is another presence of a badge."""
        key = tap.token.value if tap.token is not None else tap.reason
        is_new = key != self._last or now_s - self._last_s >= self._holdoff_s
        self._last, self._last_s = key, now_s
        return is_new
