"""What the terminal keeps of a session for its host: its receipt, and the record of the transaction.

The maker's public pages name the requests and not the layout of the answers. These are one reading of them: the receipt
as lines of text, the record as data objects.
"""

from __future__ import annotations

from typing import Any

from drivers.sim.apollo.blocks import encode_data_objects


def approval_objects(number: int) -> list[tuple[str, bytes]]:
    """Return what the acquirer says of a session."""
    return [("DFCA02", b"00"), ("DFCA03", f"HTR{number:08}".encode()), ("DFAA01", f"SIM,{number:06}".encode())]


def receipt_text(number: int, session: dict[str, Any]) -> bytes:
    """Return the terminal's receipt. The number of the card is whole: a host must not keep it."""
    cents = session["cents"]
    lines = ("SIM ACQUIRER", "VISA CONTACTLESS", "4111 1111 1111 1111", f"AUTH {number:06}",
             f"HELD EUR {cents // 100}.{cents % 100:02}")  # fmt: skip
    return "\r\n".join(lines).encode()


def transaction_record(number: int) -> bytes:
    return encode_data_objects([*approval_objects(number), ("DFF006", b"\x01")])


def connection_texts(online: bool) -> bytes:
    """Return what the terminal says of its own uplink."""
    return b"ethernet\x00192.0.2.7\0" + (b"online" if online else b"offline") + b"\0"
