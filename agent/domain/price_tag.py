"""What a screen says of the tariff, as values of a ``Screen``. Amounts are millionths of ``tariff_currency``, VAT
included; what has no price is not there. In which order they are read is the display's to keep: per kWh, per minute
(charging, then occupancy), per session, other (Regulation (EU) 2023/1804, 5(4))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.evse import Evse, Site
from agent.domain.localtime import local
from agent.domain.pricing import Values
from agent.kinds import Moment

if TYPE_CHECKING:
    from decimal import Decimal

    from agent.domain.tariff import Rates, Tariff
    from agent.domain.usage import Plan

_WEEK_MS = 7 * 24 * 3600 * 1000


def offered(site: Site, evse: Evse, now: Moment) -> Values:
    """The price for whoever comes without a contract; nothing where nothing is sold."""
    tariff = evse.offer.price(site.settings) if evse.offer is not None else None
    return tag(site, tariff, now) if tariff is not None and not site.free_vending else {}


def tag(site: Site, tariff: Tariff, now: Moment) -> Values:
    """All that a session at this tariff may cost. Prices by the time of day: those of now, and from
    ``tariff_next_at_utc_s`` on the ``tariff_next_...`` ones; nothing while nobody knows what time it is."""
    rates, values = tariff.rates(), _once(tariff)
    if not tariff.windows:
        return values | _rated("tariff_", rates[0], tariff)
    if now.utc_s is None:
        return {}
    plan = tariff.usage(local(site.settings, now.utc_s, site.zone)).plan
    at_ms = round(now.utc_s * 1000)
    here = rates[plan.window(at_ms)]
    values |= _rated("tariff_", here, tariff)
    turn_ms = _turn(plan, rates, at_ms)
    if turn_ms is not None:
        values |= {"tariff_next_at_utc_s": turn_ms // 1000}
        values |= _rated("tariff_next_", rates[plan.window(turn_ms)], tariff, unlike=here)
    return values


def _turn(plan: Plan, rates: tuple[Rates, ...], at_ms: int) -> int | None:
    """When something costs something else; None: not within a week."""
    here, turn_ms = rates[plan.window(at_ms)], plan.until(at_ms)
    while turn_ms < at_ms + _WEEK_MS:
        if rates[plan.window(turn_ms)] != here:
            return turn_ms
        turn_ms = plan.until(turn_ms)
    return None


def _once(tariff: Tariff) -> Values:
    amounts = {"session": tariff.session, "other": tariff.other}
    values: Values = {"tariff_currency": tariff.currency}
    values |= {f"tariff_{name}_micro": _micro(amount) for name, amount in amounts.items() if amount}
    if tariff.other:
        values["tariff_other_name"] = tariff.other_name
    bounds = {"minimum": tariff.min_cents, "maximum": tariff.max_cents}
    values |= {f"tariff_{name}_micro": cents * 10**4 for name, cents in bounds.items() if cents}
    if tariff.vat_percent is not None:
        values["tariff_vat_percent"] = f"{tariff.vat_percent.normalize():f}"
    return values


def _rated(what: str, rates: Rates, tariff: Tariff, unlike: Rates | None = None) -> Values:
    """``unlike``: only what is another price there. Energy that is given away is said, too."""
    values: Values = {}
    for name in ("kwh", "minute", "occupancy"):
        amount = getattr(rates, name)
        said = amount is not None and (amount or name == "kwh") if unlike is None else amount != getattr(unlike, name)
        if said:
            values[f"{what}{name}_micro"] = _micro(amount)
    if f"{what}occupancy_micro" in values and tariff.grace_min:
        values[f"{what}grace_min"] = tariff.grace_min
    return values


def _micro(amount: Decimal | None) -> int:
    return int(amount.scaleb(6)) if amount is not None else 0
