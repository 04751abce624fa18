"""A tariff in the words of a signed record (OCMF's TT): ASCII of no language, in the order of the regulation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.tariff import Rates, Tariff

_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def tariff_words(tariff: Tariff) -> str:
    """``0.59 EUR/kWh, 0.15 EUR/min parked after 10 min, VAT 17% incl.``; without "|", which separates sections."""
    said = ", ".join(_parts(tariff)).encode("ascii", "replace").decode()
    return " ".join(said.replace("|", "/").split())


def _parts(tariff: Tariff) -> Iterator[str]:
    money = tariff.currency
    yield from _rated(tariff, tariff)
    if tariff.session:
        yield f"{_figure(tariff.session)} {money} once"
    if tariff.other:
        yield f"{_figure(tariff.other)} {money} {tariff.other_name}"
    for window in tariff.windows:
        days = "".join(_DAYS[d] for d in window.days)
        if rates := " ".join(_rated(window.rates, tariff)):  # otherwise as always
            yield f"{days} {_clock(window.from_min)}-{_clock(window.to_min)}: {rates}"
    if tariff.min_cents is not None:
        yield f"at least {_figure(Decimal(tariff.min_cents) / 100)} {money}"
    if tariff.max_cents is not None:
        yield f"at most {_figure(Decimal(tariff.max_cents) / 100)} {money}"
    if tariff.vat_percent is not None:
        yield f"VAT {_figure(tariff.vat_percent, 0)}% incl."


def _rated(rates: Rates | Tariff, tariff: Tariff) -> Iterator[str]:
    if rates.kwh is not None:
        yield f"{_figure(rates.kwh)} {tariff.currency}/kWh"
    if rates.minute is not None:
        yield f"{_figure(rates.minute)} {tariff.currency}/min"
    if rates.occupancy is not None:
        after = f" after {tariff.grace_min} min" if tariff.grace_min else ""
        yield f"{_figure(rates.occupancy)} {tariff.currency}/min parked{after}"


def _figure(amount: Decimal, places: int = 2) -> str:
    """At least so many decimals, and as many as there are."""
    exact = amount.normalize()
    exponent = exact.as_tuple().exponent
    return f"{exact:.{max(places, -exponent if isinstance(exponent, int) else 0)}f}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
