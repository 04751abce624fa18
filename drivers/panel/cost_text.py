"""What the screen shows of the price. Amounts come as millionths of a currency's unit
(``agent/domain/cost_screen.py``)."""

from __future__ import annotations

from typing import Any

from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel import tariff_text
from drivers.panel.texts import Texts, wall_time


def _amount_text(screen: Screen, texts: Texts, name: str, exact: bool = False) -> str:
    """Return an amount of the screen, empty if it is not there."""
    v = screen.values
    micro, decimals = v.get(name), v.get("cost_decimals")
    if not isinstance(micro, int) or isinstance(micro, bool):
        return ""
    return texts.format_money(micro, decimals if isinstance(decimals, int) else 2, str(v.get("currency") or ""), exact)


def price_slots(screen: Screen, texts: Texts, facts: StationFacts) -> dict[str, Any]:
    """Return the tariff in rows with what else there is to know of it, or ``price_line``, the price in one sentence."""
    rows = tariff_text.price_rows(screen.values, texts)
    if not rows:
        return {"price": str(screen.values.get("price_line") or ""), "prices": (), "price_notes": ()}
    notes = tariff_text.price_notes(screen.values, texts, facts.timezone or "UTC", screen.name is ScreenName.IDLE)
    return {"price": "", "prices": rows, "price_notes": tuple(filter(None, notes))}


def bill_slots(screen: Screen, texts: Texts) -> dict[str, Any]:
    """Return what each price has come to, in rows; none where the total shows it."""
    rows = tariff_text.bill_rows(screen.values, texts)
    notes = (tariff_text.bill_note(screen.values, texts),) if rows else ()
    return {"prices": rows if len(rows) > 1 else (), "price_notes": notes}


def cost_figure(screen: Screen, texts: Texts) -> tuple[str, str] | None:
    """Return label and amount of the cost, None if there is none."""
    amount = _amount_text(screen, texts, "cost_micro")
    label = texts("labels.total" if screen.values.get("cost_final") else "labels.cost")
    return (label, f"≈ {amount}" if screen.values.get("cost_estimated") else amount) if amount else None


def limit_amount(screen: Screen, texts: Texts) -> str:
    """Return the most that the driver has chosen to pay, in the currency of the tariff; empty if there is none."""
    micro = screen.values.get("limit_cost_micro")
    if not isinstance(micro, int) or isinstance(micro, bool):
        return ""
    return texts.format_money(micro, 2, str(screen.values.get("tariff_currency") or "EUR"), False)


def price_line(screen: Screen, texts: Texts, facts: StationFacts) -> str:
    """Return what matters most of the price now, in this order: the place costs, or soon will; another price is near;
    the price."""
    v = screen.values
    if v.get("idle"):
        return _idle_fee_text(screen, texts)
    if v.get("next_at_utc_s") is not None and (then := _unit_prices(screen, texts, "next_")):
        at = wall_time(_number_or_zero(v["next_at_utc_s"]), v.get("utc_offset_min"), facts.timezone or "UTC")
        return texts("labels.price_next", time=f"{at:%H:%M}" if at else "--:--", price=then)
    if v.get("price_lines"):
        return ""  # the rows show it
    return _unit_prices(screen, texts, "") or str(v.get("price_line") or "")


def receipt_slots(screen: Screen, texts: Texts) -> dict[str, str]:
    """Return what is shown of the receipt after the end: a ``line``, or its code (``qr``)."""
    v = screen.values
    if not v.get("cost_final"):
        return {"line": _idle_fee_text(screen, texts) if v.get("idle") else "", "qr": ""}
    qr = str(v.get("qr_url") or "")
    return {"qr": qr, "line": "" if qr else str(v.get("cost_text") or "")}


def _idle_fee_text(screen: Screen, texts: Texts) -> str:
    price, in_s = (
        _amount_text(screen, texts, "idle_hour_micro", exact=True),
        _number_or_zero(screen.values.get("idle_in_s")),
    )
    if not price:
        return ""
    minutes = -(-int(in_s) // 60)
    return texts("labels.idle_soon" if minutes else "labels.idle_now", price=price, minutes=minutes)


def _unit_prices(screen: Screen, texts: Texts, what: str) -> str:
    parts = ((f"{what}kwh_micro", "kWh"), (f"{what}hour_micro", "h"))
    return " + ".join(
        f"{amount}/{unit}" for name, unit in parts if (amount := _amount_text(screen, texts, name, exact=True))
    )


def _number_or_zero(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
