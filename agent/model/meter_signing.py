"""What a meter that signs by itself is given (``ports/meter.py``)."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.types import Stamp

TARIFF_MOST = 250
"""Characters of OCMF's tariff text (TT)."""


def tariff_text(price: str, name: str, most: int = TARIFF_MOST) -> str:
    """OCMF's TT: the price, and then the name of the transaction, which is never cut."""
    return f"{price[: most - len(name) - 2]}; {name}" if price and name else price[:most] or name


def named_in(text: str) -> str:
    """The name of the transaction in such a text."""
    return text.rpartition(" ")[2]


@frozen
class Signing:
    """What a meter that signs is given of a transaction that begins or ends with a reading, in the
    words of OCMF.

    ``id``: the station's own name of it (36 characters at most); ``point``: station and EVSE;
    ``owed``: an earlier one whose record is still wanted. ``price``: what was agreed with the
    driver, "" if the station does not know it; ``assigned`` False: charging needs no authorization.
    ``utc_s``: the time at ``asked``; None: unknown, the meter's clock is left alone."""

    id: str
    ends: bool
    point: str
    holder: str
    id_type: str
    level: str
    flags: tuple[str, ...]
    asked: Stamp
    utc_s: float | None = None
    owed: str = ""
    price: str = ""
    assigned: bool = True

    def __repr__(self) -> str:
        return f"Signing({self.id!r}, ends={self.ends}, owed={self.owed!r})"  # a card's number ends in no log
