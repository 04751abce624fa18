"""The tariff in words: rows in the order in which Regulation (EU) 2023/1804, article 5(4), wants them read, and notes.
Amounts come as millionths of ``tariff_currency`` (``agent/domain/tariff_screen.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from drivers.panel.texts import Texts, wall_time

Values: TypeAlias = Mapping[str, Any]

PER = {"kwh": "/kWh", "minute": "/min", "occupancy": "/min", "session": "", "other": ""}
"""The order of the law: per kWh, per minute (charging, then the place), per session, other."""
_ADJUSTED = ("minimum", "maximum")


def price_rows(values: Values, texts: Texts) -> tuple[tuple[str, str], ...]:
    """Return name and amount of each price."""
    prices = ((kind, _amount_text(values, f"tariff_{kind}", texts, exact=True), per) for kind, per in PER.items())
    return tuple((_price_name(kind, values, texts), amount + per) for kind, amount, per in prices if amount)


def bill_rows(values: Values, texts: Texts) -> tuple[tuple[str, str], ...]:
    """Return name and amount of what each price has come to after the end."""
    parts = ((kind, _amount_text(values, f"bill_{kind}", texts, "currency")) for kind in (*PER, *_ADJUSTED))
    return tuple((_price_name(kind, values, texts, "billed"), amount) for kind, amount in parts if amount)


def bill_note(values: Values, texts: Texts) -> str:
    """Return the note on the VAT in what is due."""
    vat = _amount_text(values, "bill_vat", texts, "currency")
    rate = _vat_rate_text(values, texts, "billed")
    return texts("price.vat_of", rate=rate, amount=vat) if vat else texts("price.vat_unknown")


def next_charge_lines(values: Values, texts: Texts, timezone: str) -> tuple[str, ...]:
    """Return the price of the next charge beside the bill of the last one, in sentences; none if it is not for sale.
    Each of them names what its prices are for, since they may take turns with the bill."""
    rows = [texts("labels.next_charge", price=f"{name} {amount}") for name, amount in price_rows(values, texts)]
    notes = price_notes(values, texts, timezone, payer_unknown=True) if rows else ()
    return (*rows, *filter(None, notes))


def price_notes(values: Values, texts: Texts, timezone: str, payer_unknown: bool) -> tuple[str, ...]:
    """Return the notes on the tariff; some may be empty. ``payer_unknown``: it is not known who will pay."""
    rate = _vat_rate_text(values, texts)
    terms = texts("price.vat", rate=rate) if rate else texts("price.vat_unknown")
    bounds = (("tariff_minimum", "least"), ("tariff_maximum", "most"))
    return (
        f"{texts('price.no_contract')}, {terms}" if payer_unknown else terms,
        _occupancy_text(values, texts),
        _next_price_text(values, texts, timezone),
        ", ".join(
            texts(f"price.{word}", amount=a) for name, word in bounds if (a := _amount_text(values, name, texts))
        ),
        hold_text(values, texts),
    )


def hold_text(values: Values, texts: Texts) -> str:
    """Return what a bank holds for a card, and up to how much that is raised; empty if it is not."""
    most = _amount_text(values, "hold_most", texts)
    return texts("price.held", amount=_amount_text(values, "hold", texts), most=most) if most else ""


def _occupancy_text(values: Values, texts: Texts) -> str:
    """Return when the place costs: after how many minutes, and whether a vehicle that never charges pays too."""
    if not values.get("tariff_occupancy_micro"):
        return ""
    grace_min, from_grant = values.get("tariff_grace_min"), values.get("tariff_from_grant")
    if not grace_min:
        return texts("price.from_grant") if from_grant else ""
    return texts("price.grace_from_grant" if from_grant else "price.grace", minutes=grace_min)


def _next_price_text(values: Values, texts: Texts, timezone: str) -> str:
    """Return which price changes next, and when."""
    at_utc_s = values.get("tariff_next_at_utc_s")
    prices = ", ".join(_next_prices(values, texts))
    if not prices or not isinstance(at_utc_s, int | float):
        return ""
    at = wall_time(at_utc_s, values.get("utc_offset_min"), timezone)
    return texts("labels.price_next", time=f"{at:%H:%M}" if at else "--:--", price=prices)


def _next_prices(values: Values, texts: Texts) -> Iterator[str]:
    for kind, per in PER.items():
        if amount := _amount_text(values, f"tariff_next_{kind}", texts, exact=True):
            yield f"{amount}{per}" if kind == "kwh" else f"{texts(f'price.{kind}')} {amount}{per}"


def _price_name(kind: str, values: Values, texts: Texts, of: str = "tariff") -> str:
    return str(values.get(f"{of}_other_name") or "") if kind == "other" else texts(f"price.{kind}")


def _amount_text(
    values: Values, name: str, texts: Texts, currency: str = "tariff_currency", exact: bool = False
) -> str:
    """Format an amount; empty if there is none."""
    micro = values.get(f"{name}_micro")
    if not isinstance(micro, int) or isinstance(micro, bool):
        return ""
    return texts.format_money(micro, 2, str(values.get(currency) or ""), exact)


def _vat_rate_text(values: Values, texts: Texts, of: str = "tariff") -> str:
    return str(values.get(f"{of}_vat_percent") or "").replace(".", texts("decimal") or ".")
