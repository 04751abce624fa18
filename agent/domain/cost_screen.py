"""What the screen says of the price: the words of the backend and the amounts, as values of a ``Screen``."""

from __future__ import annotations

from typing import TypeAlias

from agent.domain.csms_cost import Cost, IdlePrice, Price, in_language
from agent.domain.evse import Evse, Site
from agent.model.types import MessageContent, Moment

Values: TypeAlias = dict[str, str | int | float | bool | None]


def tariff(site: Site) -> str:
    """The price for whoever comes, in the language of the screen; without the display of cost the station file's."""
    settings = site.settings
    if not settings.flag("cost_display"):
        return site.price_line
    names = ("tariff_fallback",) if site.backend_online else ("tariff_fallback_offline", "tariff_fallback")
    found = (settings.text(n) for name in names for n in (f"{name}_{site.language}", name) if n in settings)
    return next((text for text in found if text), site.price_line)


def agreed(site: Site, message: tuple[MessageContent, ...]) -> Values:
    """The price for the driver who is here, before energy flows."""
    if not site.settings.flag("cost_display"):
        return {}
    return {"price_line": in_language(message, site.language) or tariff(site)}


def running(site: Site, evse: Evse, energy_wh: int, now: Moment) -> Values:
    """The price and what it has come to so far. ``energy_wh``: the register."""
    account = evse.account
    if account is None or not site.settings.flag("cost_display"):
        return {}
    values = agreed(site, account.message)
    cost = account.cost
    if cost is None:
        return values
    values |= amount(site, cost, energy_wh, now) | _prices(cost.price or Price(), "")
    if cost.next is not None:
        values["next_at_utc_s"] = cost.next.at_utc_s
        values |= _prices(cost.next.price, "next_")
    return values


def not_told(site: Site) -> Values:
    """Off line at the end: nobody says what it costs."""
    text = "" if site.backend_online else site.settings.text("cost_fallback")
    return {"cost_final": True, "cost_text": text} if text else {}


def amount(site: Site, cost: Cost, energy_wh: int, now: Moment) -> Values:
    """Amounts are millionths of ``currency``; ``cost_text`` and ``qr_url`` come with the final one."""
    values: Values = {
        "cost_micro": cost.at(energy_wh, now.utc_s),
        "cost_decimals": site.settings.number("cost_decimals"),
        "currency": site.settings.text("currency"),
        "cost_final": cost.final,
        "cost_estimated": cost.estimated,
    }
    if cost.final:
        return values | {"cost_text": in_language(cost.texts, site.language), "qr_url": cost.qr}
    if cost.idle_price is not None and cost.idle_price.hour_micro:
        values |= _idle(cost, cost.idle_price, now)
    return values


def _idle(cost: Cost, price: IdlePrice, now: Moment) -> Values:
    """``idle_in_s``: when the place begins to cost; while energy flows, how long after that."""
    grace_s = 60 * price.grace_min
    passed_s = now.utc_s - cost.utc_s if cost.idle and now.utc_s is not None and cost.utc_s is not None else 0.0
    return {"idle": cost.idle, "idle_hour_micro": price.hour_micro, "idle_in_s": max(0, round(grace_s - passed_s))}


def _prices(price: Price, what: str) -> Values:
    parts = (("kwh", price.kwh_micro), ("hour", price.hour_micro))
    return {f"{what}{part}_micro": micro for part, micro in parts if micro}
