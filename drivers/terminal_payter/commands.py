"""Words of PSP: headers, states, results, reasons. The code space is one per direction."""

from __future__ import annotations

from enum import IntEnum


class To(IntEnum):
    DISABLE = 0x11
    ENABLE = 0x12
    PROTOCOL = 0x13
    SETUP = 0x23
    SYNCHRONIZE = 0x24
    GET_STATUS = 0x26
    REQUEST_IDS = 0x27
    VOID = 0x33
    START = 0x34
    COMMIT = 0x35
    AUTH = 0x36
    CANCEL = 0x37
    UPDATE = 0x42


class From(IntEnum):
    RESULT = 0x00
    """And the answer to Get Status: only the request distinguishes them."""
    SYNCHRONIZE = 0x24
    IDS = 0x27
    APPROVED = 0x31
    DECLINED = 0x32
    CANCELLED = 0x33
    CARD_READ = 0x34
    PARTIAL = 0x35
    TRANSACTION = 0x38
    BADGE_READ = 0x40
    """Proprietary Card Read: a card that is no bank card."""
    UPDATED = 0x43


class State(IntEnum):
    OFFLINE = 0x01
    ONLINE = 0x02
    DISABLED = 0x04
    ENABLED = 0x08
    WAIT_CARD = 0x10
    WAIT_AUTH = 0x20


UNPREPARED = (State.OFFLINE, State.ONLINE, State.DISABLED)
"""It has lost the settings of the start."""

PROTOCOL_VERSION = 3
OPTION_EVENTS, OPTION_DOL, OPTION_EXTENDED, OPTION_DETAILS, OPTION_DECLINED_DOL = 0x01, 0x02, 0x04, 0x08, 0x10

VOID_ON_TIMEOUT = 0x01
"""What becomes of a session that was not settled. 0x00 would charge the whole amount held; it is never sent."""

APPROVED_WHOLE, APPROVED_PART = 0x00, 0x01
"""Of Update Session Result; anything else is a refusal."""

OK = -1
"""Of a result; otherwise its detail, 0 without one."""
BAD_CHECKSUM, WRONG_STATE, NO_TRANSACTION, DUPLICATE, NOT_FOUND, NOT_READY = 0x04, 0x05, 0x0A, 0x0B, 0x0C, 0x11
RESULTS = {
    0x02: "it does not know this command",
    0x03: "the message is not as it wants it",
    0x04: "the checksum was wrong",
    0x05: "not in this state",
    0x06: "unknown card",
    0x07: "the transaction was cancelled",
    0x08: "no such screen",
    0x09: "internal error",
    0x0A: "no transaction is running",
    0x0B: "the session exists already",
    0x0C: "no such session",
    0x0D: "its configuration does not allow this",
    0x0E: "its payment application is not ready for this",
    0x0F: "overflow",
    0x10: "access denied",
    0x11: "not ready",
}
REASONS = {
    0x00: "not set",
    0x01: "card read failure",
    0x02: "card read timeout",
    0x03: "host error",
    0x04: "invalid merchant",
    0x05: "refer to issuer",
    0x06: "invalid account",
    0x07: "PIN failure",
    0x08: "host timeout",
    0x09: "insufficient funds",
    0x0A: "withdrawal limit",
    0x0B: "withdrawal frequency",
    0x0C: "transaction database unreachable",
    0xFF: "other",
}

BANK_NOT_REACHED = (0x03, 0x08, 0x0C)
"""Reasons of Session Declined that say nothing of the card."""

# Tags of card data
CARD_HASH, MASKED_PAN, BRAND_NAME = "DFAA70", "DFCA0B", "DFCA0A"
HOST_REFERENCE, HOST_RESPONSE, ACQUIRER_DATA = "DFCA03", "DFCA02", "DFAA01"
EMV_ONLY = 0x02
"""Of the supported payment methods (0x00: all)."""
ALL_CARDS, ALL_BUT_EMV = 0x00, 0xFF & ~EMV_ONLY
