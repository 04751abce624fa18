"""What is inside PSP's frames, both ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.bank_card import TerminalIdentity
from agent.model.fastclass import frozen
from drivers.terminal_payter import commands
from drivers.terminal_payter.frames import LONGEST_PLAIN, Frame

_U32 = 0xFFFF_FFFF
LONGEST_TEXT = 63
_SHOWN_BYTES, _SHOWN_TEXT = 40, 200
"""Of what is shown as it is said."""
LONGEST_CARD_MESSAGE = 127
CARD_MESSAGE_ROOM = LONGEST_PLAIN - 2 - (4 + 4 + 1 + 4 + LONGEST_TEXT + 1 + 1 + 1)
"""Bytes for tags and card message in the longest plain frame of Start Session."""
UI_INFO = "info"
"""Type of the screen that shows a title, a subtitle and a QR code."""


@frozen
class Status:
    state: commands.State
    running: bool


def uint32_bytes(value: int) -> bytes:
    """Encode a number in four bytes. Raises ``ValueError`` for one that they cannot hold."""
    if not 0 <= value <= _U32:
        raise ValueError(f"{value} does not fit four bytes")
    return value.to_bytes(4, "big")


def protocol_payload(options: int) -> bytes:
    return bytes([commands.PROTOCOL_VERSION]) + uint32_bytes(options)


def setup_payload(timeout_s: int) -> bytes:
    """Build the Setup message. A session not settled within ``timeout_s`` is voided."""
    return uint32_bytes(timeout_s) + bytes([commands.VOID_ON_TIMEOUT])


def start_payload(amount: int, number: int, tags: bytes = b"", extras: bytes = b"") -> bytes:
    """Build the message that starts an offer. ``amount`` is in minor units. ``extras``: see ``apollo_extras``; they
    need ``tags`` before them."""
    if not tags and not extras:
        return uint32_bytes(amount) + uint32_bytes(number)
    return uint32_bytes(amount) + uint32_bytes(number) + bytes([len(tags)]) + tags + extras


def apollo_extras(methods: int, reference: str, card_message: str = "") -> bytes:
    """Build the fields that only an Apollo knows: payment methods, no logo, amount shown, no QR address, reference.
    Behind a second reference that is not set follows what newer firmware shows below its request for a card."""
    extras = bytes([methods]) + b"\0\0\0" + text_field(reference, LONGEST_TEXT)
    return extras + b"\0" + text_field(card_message, LONGEST_CARD_MESSAGE) if card_message else extras


def read_card_payload(number: int, tags: bytes, methods: int) -> bytes:
    """Build the message that reads a card without a payment (Read Card)."""
    return uint32_bytes(number) + bytes([len(tags)]) + tags + bytes([methods])


def ui_request_payload(kind: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Build the message that shows a screen: its type, then each key and its value, each with a NUL at its end."""
    return b"".join(text_field(text, _U32) for text in (kind, *(part for field in fields for part in field)))


def text_field(value: str, longest: int) -> bytes:
    """Encode a text with its NUL at the end. A NUL inside would end it early."""
    return value.replace("\0", "").encode("utf-8")[:longest].decode("utf-8", "ignore").encode("utf-8") + b"\0"


def is_result(frame: Frame) -> bool:
    """Return whether the frame is a result. A status that came late is none. (The one of OFFLINE passes for a refusal
    without detail: its state is looked at then.)"""
    return frame.payload[:1] in (b"\0", b"\1")


def parse_result(payload: bytes) -> int:
    """Return ``commands.OK``, or the detail of a refusal (0: none was given)."""
    if payload[:1] == b"\0":
        return commands.OK
    return payload[1] if len(payload) > 1 else 0


def parse_status(payload: bytes) -> Status | None:
    """Parse a status; None for what can be none: a late result."""
    if len(payload) < 2 or payload[1] > 1:
        return None
    try:
        return Status(commands.State(payload[0]), payload[1] == 1)
    except ValueError:
        return None


@frozen
class HoldUpdate:
    """``held``: what is held now, in minor units; None: the bank refuses."""

    session: int
    held: int | None
    reason: int = 0


def parse_update(payload: bytes) -> HoldUpdate | None:
    """Parse an Update Session Result: outcome, session, amount, change, reason; None for what can be none."""
    if len(payload) < 9:
        return None
    is_approved = payload[0] in (commands.APPROVED_WHOLE, commands.APPROVED_PART)
    reason = payload[13] if len(payload) > 13 else 0
    return HoldUpdate(
        int.from_bytes(payload[1:5], "big"), int.from_bytes(payload[5:9], "big") if is_approved else None, reason
    )


def parse_identity(payload: bytes) -> TerminalIdentity:
    serial, model, platform, *applications = [*(t.decode("utf-8", "replace") for t in payload.split(b"\0")), "", "", ""]
    firmware = " ".join(t for t in (platform, *applications) if t)
    return TerminalIdentity("Payter", model[:50], serial[:50], firmware[:100])


def parse_words(payload: bytes) -> str:
    """Return what an answer says whose layout is not public: its texts, one after the other; the bytes in hexadecimal
    if they are no texts."""
    text = plain_text(payload)
    if text is None:
        return payload[:_SHOWN_BYTES].hex(" ")
    return ", ".join(part for part in (p.strip() for p in text.replace("\0", "\n").splitlines()) if part)[:_SHOWN_TEXT]


def plain_text(payload: bytes) -> str | None:
    """Return the payload as text, lines and NULs as they are; None: it is none."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\0\r\n\t" for c in text) else None


def card_data(frame: Frame, at: int) -> bytes:
    """Return the card data behind a length of one byte, two in the extended format; nothing if none is there."""
    wide = 2 if frame.extended else 1
    length = int.from_bytes(frame.payload[at : at + wide], "big")
    return frame.payload[at + wide : at + wide + length]
