"""Settings of ``drivers.reader_nfc``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, OneOf, Text
from drivers.reader_nfc.secure_settings import SecureSettings

ISO14443A, EV1_4K = "iso14443a", "desfire_ev1_4k"


@dataclass(frozen=True, slots=True)
class NfcSettings:
    """``path``: see the package. ``mode``: ``uid`` (the card's serial number is the token) or ``secure`` (a DESFire
    proves that it knows its key; table ``secure``, see ``SecureSettings``). ``uid_order``: ``normal``
    (byte 0 first) or ``reversed``; ``uid_case``: ``upper`` or ``lower``. ``poll_ms``: pause between two looks for a
    card; ``presence_ms``: pause between two questions to a card in the field; ``removal_misses``: unanswered questions
    in a row that mean it was taken away; ``same_card_holdoff_ms``: time after which the same card counts again.
    ``accept``: ``iso14443a``, ``desfire_only`` (cards with ISO/IEC 14443-4), or ``desfire_ev1_4k`` (what says so of
    itself, with the same UID; in ``uid`` mode no proof)."""

    path: Annotated[str, Text(300)]
    mode: Annotated[str, OneOf(("uid", "secure"))] = "uid"
    uid_order: Annotated[str, OneOf(("normal", "reversed"))] = "normal"
    uid_case: Annotated[str, OneOf(("upper", "lower"))] = "upper"
    poll_ms: Annotated[int, Between(0, 5000, "ms")] = 120
    presence_ms: Annotated[int, Between(10, 2000, "ms")] = 100
    removal_misses: Annotated[int, Between(1, 20)] = 2
    same_card_holdoff_ms: Annotated[int, Between(0, 60_000, "ms")] = 1500
    accept: Annotated[str, OneOf((ISO14443A, "desfire_only", EV1_4K))] = ISO14443A
    secure: SecureSettings | None = None
