"""Words of bank cards and the terminals that read them; the lowest room, beside ``kinds``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum


@frozen
class BankCard:
    """A bank card as far as it may be known: ``mark`` is a keyed hash of the terminal's own word
    for it (the same card has the same mark at this station, it cannot be reversed), ``last4`` and
    ``brand`` are for receipts."""

    mark: str = field(repr=False)
    last4: str = ""
    brand: str = ""

    def is_another(self, read: BankCard) -> bool:
        """Return whether it is surely another card; without a mark that is not known."""
        return bool(self.mark and read.mark) and self.mark != read.mark


_ACQUIRER_NAMES = ("reference", "response", "data", "receipt")
"""Of the fields of ``AcquirerRecord``, in their order."""


@frozen
class AcquirerRecord:
    """What the acquirer has said of an approval, as far as the terminal passes it on: ``reference``, its number of the
    transaction; ``response``, its code of the answer; ``data``, its own words with the authorization code (comma
    separated); ``receipt``, the terminal's own receipt as lines of text. "": not said. It holds no whole card
    number."""

    reference: str = ""
    response: str = ""
    data: str = ""
    receipt: str = ""

    def completed_by(self, other: AcquirerRecord) -> AcquirerRecord:
        """Return this record, and of ``other`` what it does not say itself."""
        pairs = zip(self._said_words(), other._said_words(), strict=True)
        return AcquirerRecord(*(own or others for own, others in pairs))

    def _said_words(self) -> tuple[str, str, str, str]:
        return (self.reference, self.response, self.data, self.receipt)

    def to_record(self) -> dict[str, str]:
        """Return what is stored: only what was said."""
        return {name: text for name, text in zip(_ACQUIRER_NAMES, self._said_words(), strict=True) if text}

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> AcquirerRecord:
        """Read back what ``to_record`` made."""
        return cls(*(str(stored.get(name, "")) for name in _ACQUIRER_NAMES))


@frozen
class TerminalIdentity:
    """A payment terminal: "" for what it does not say."""

    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""


class Settlement(StrEnum):
    """What became of a commit or a void, as the terminal says it."""

    DONE = "done"
    CLOSED = "closed"
    """The terminal knows no such open reservation: it was settled before, and it is not known how."""
    REFUSED = "refused"
    """It said no and the reservation stands: try again later."""
