"""Define what a meter that signs by itself is given (``ports/meter.py``)."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.types import Stamp

TARIFF_MOST = 250
"""The most characters of OCMF's tariff text (TT)."""


def tariff_text(price: str, name: str, most: int = TARIFF_MOST) -> str:
    """Return OCMF's TT: the price, and then the name of the transaction, which is never cut."""
    return f"{price[: most - len(name) - 2]}; {name}" if price and name else price[:most] or name


def named_in(text: str) -> str:
    """Return the name of the transaction in such a text."""
    return text.rpartition(" ")[2]


@frozen
class Signing:
    """A transaction that begins or ends with a reading, in the words of OCMF, for a meter that signs it."""

    id: str
    """The station's own name of the transaction, 36 characters at most."""
    ends: bool
    point: str
    """Station and EVSE."""
    holder: str
    id_type: str
    level: str
    flags: tuple[str, ...]
    asked: Stamp
    utc_s: float | None = None
    """The time at ``asked``. None: it is not known, and the clock of the meter is not set."""
    owed: str = ""
    """An earlier transaction whose record is still wanted."""
    price: str = ""
    """The price that was agreed with the driver, "" if the station does not know it."""
    assigned: bool = True
    """False: charging needs no authorization."""

    def __repr__(self) -> str:
        return f"Signing({self.id!r}, ends={self.ends}, owed={self.owed!r})"  # a card's number ends in no log
