"""What the screen says of the price: the words of the backend and the amounts, as values of a ``Screen``."""

from __future__ import annotations

from typing import TypeAlias

from agent.domain.csms_cost import Cost, IdlePrice, Price, text_in_language
from agent.domain.evse import EvseRecord, StationState
from agent.model.types import MessageContent, Moment

Values: TypeAlias = dict[str, str | int | float | bool | None]


def tariff_line(site: StationState) -> str:
    """Return the price for the next driver, in the language of the screen. Without the display of
    cost it is the station file's."""
    settings = site.settings
    if not settings.bool_value("cost_display"):
        return site.config.price_line
    names = ("tariff_fallback",) if site.backend_online else ("tariff_fallback_offline", "tariff_fallback")
    found = (settings.text_value(n) for name in names for n in (f"{name}_{site.language}", name) if n in settings)
    return next((text for text in found if text), site.config.price_line)


def agreed_price_values(site: StationState, message: tuple[MessageContent, ...]) -> Values:
    """Return the price for the driver who is here, before energy flows."""
    if not site.settings.bool_value("cost_display"):
        return {}
    return {"price_line": text_in_language(message, site.language) or tariff_line(site)}


def running_cost_values(site: StationState, evse: EvseRecord, energy_wh: int, now: Moment) -> Values:
    """Return the price and the cost so far. ``energy_wh``: the register."""
    account = evse.pricing.account
    if account is None or not site.settings.bool_value("cost_display"):
        return {}
    values = agreed_price_values(site, account.message)
    cost = account.cost
    if cost is None:
        return values
    values |= cost_values(site, cost, energy_wh, now) | _price_values(cost.price or Price(), "")
    if cost.next is not None:
        values["next_at_utc_s"] = cost.next.at_utc_s
        values |= _price_values(cost.next.price, "next_")
    return values


def unknown_cost_values(site: StationState) -> Values:
    """Return the text for a session that ends off line, while the backend cannot report the cost."""
    text = "" if site.backend_online else site.settings.text_value("cost_fallback")
    return {"cost_final": True, "cost_text": text} if text else {}


def cost_values(site: StationState, cost: Cost, energy_wh: int, now: Moment) -> Values:
    """Return the cost as screen values. Amounts are millionths of ``currency``; ``cost_text`` and
    ``qr_url`` come with the final one."""
    values: Values = {
        "cost_micro": cost.cost_at_register(energy_wh, now.utc_s),
        "cost_decimals": site.settings.int_value("cost_decimals"),
        "currency": site.settings.text_value("currency"),
        "cost_final": cost.final,
        "cost_estimated": cost.estimated,
    }
    if cost.final:
        return values | {"cost_text": text_in_language(cost.texts, site.language), "qr_url": cost.qr}
    if cost.idle_price is not None and cost.idle_price.hour_micro:
        values |= _idle_fee_values(cost, cost.idle_price, now)
    return values


def _idle_fee_values(cost: Cost, price: IdlePrice, now: Moment) -> Values:
    """Return the idle fee as screen values. ``idle_in_s``: when the place begins to cost; while
    energy flows, how long after that."""
    grace_s = 60 * price.grace_min
    passed_s = now.utc_s - cost.utc_s if cost.idle and now.utc_s is not None and cost.utc_s is not None else 0.0
    return {"idle": cost.idle, "idle_hour_micro": price.hour_micro, "idle_in_s": max(0, round(grace_s - passed_s))}


def _price_values(price: Price, what: str) -> Values:
    parts = (("kwh", price.kwh_micro), ("hour", price.hour_micro))
    return {f"{what}{part}_micro": micro for part, micro in parts if micro}
