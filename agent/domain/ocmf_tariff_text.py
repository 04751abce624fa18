"""Put a tariff into the words of a signed record (TT of OCMF): ASCII of no language, in the order of the regulation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.tariff import Rates, Tariff

_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def ocmf_tariff_text(tariff: Tariff) -> str:
    """Return a text such as ``0.59 EUR/kWh, 0.15 EUR/min parked after 10 min, VAT 17% incl.``.

    It contains no "|", which separates the sections of a record.
    """
    said = ", ".join(_tariff_parts(tariff)).encode("ascii", "replace").decode()
    return " ".join(said.replace("|", "/").split())


def _tariff_parts(tariff: Tariff) -> Iterator[str]:
    money = tariff.currency
    yield from _rate_parts(tariff, tariff)
    if tariff.session:
        yield f"{_decimal_text(tariff.session)} {money} once"
    if tariff.other:
        yield f"{_decimal_text(tariff.other)} {money} {tariff.other_name}"
    for window in tariff.windows:
        days = "".join(_DAYS[d] for d in window.days)
        if rates := " ".join(_rate_parts(window.rates, tariff)):  # without one the usual rates hold
            yield f"{days} {_clock_text(window.from_min)}-{_clock_text(window.to_min)}: {rates}"
    if tariff.min_cents is not None:
        yield f"at least {_decimal_text(Decimal(tariff.min_cents) / 100)} {money}"
    if tariff.max_cents is not None:
        yield f"at most {_decimal_text(Decimal(tariff.max_cents) / 100)} {money}"
    if tariff.vat_percent is not None:
        yield f"VAT {_decimal_text(tariff.vat_percent, 0)}% incl."


def _rate_parts(rates: Rates | Tariff, tariff: Tariff) -> Iterator[str]:
    if rates.kwh is not None:
        yield f"{_decimal_text(rates.kwh)} {tariff.currency}/kWh"
    if rates.minute is not None:
        yield f"{_decimal_text(rates.minute)} {tariff.currency}/min"
    if rates.occupancy is not None:
        after = f" after {tariff.grace_min} min" if tariff.grace_min else ""
        begin = " from the start on" if tariff.from_grant else ""
        yield f"{_decimal_text(rates.occupancy)} {tariff.currency}/min parked{after}{begin}"


def _decimal_text(amount: Decimal, places: int = 2) -> str:
    """Return the amount with all its decimals, and with ``places`` of them at least."""
    exact = amount.normalize()
    exponent = exact.as_tuple().exponent
    return f"{exact:.{max(places, -exponent if isinstance(exponent, int) else 0)}f}"


def _clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
