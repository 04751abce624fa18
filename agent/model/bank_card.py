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


@frozen
class AcquirerRecord:
    """What the acquirer has said of an approval, as far as the terminal passes it on: ``reference``, its number of the
    transaction; ``response``, its code of the answer; ``data``, its own words with the authorization code (comma
    separated). "": not said. It holds no whole card number."""

    reference: str = ""
    response: str = ""
    data: str = ""

    def to_record(self) -> dict[str, str]:
        """Return what is stored: only what was said."""
        found = {"reference": self.reference, "response": self.response, "data": self.data}
        return {name: text for name, text in found.items() if text}

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> AcquirerRecord:
        """Read back what ``to_record`` made."""
        return cls(*(str(stored.get(name, "")) for name in ("reference", "response", "data")))


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
