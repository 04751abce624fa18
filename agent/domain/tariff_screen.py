"""What a screen says of the tariff, as values of a ``Screen``. Amounts are millionths of ``tariff_currency``, VAT
included; what has no price is not there. In which order they are read is the display's to keep: per kWh, per minute
(charging, then occupancy), per session, other (Regulation (EU) 2023/1804, 5(4))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.cost_screen import Values, agreed_price_values, running_cost_values
from agent.domain.driver_cost import DriverBill
from agent.domain.evse import EvseRecord, StationState
from agent.domain.local_time import local_offset
from agent.model.types import MessageContent, Moment

if TYPE_CHECKING:
    from decimal import Decimal

    from agent.domain.backend_tariff import BackendTariff
    from agent.domain.session_usage import TariffPlan
    from agent.domain.tariff import Rates, Tariff

_WEEK_MS = 7 * 24 * 3600 * 1000
_DAY_S = 24 * 3600


def adhoc_tariff_values(site: StationState, evse: EvseRecord, now: Moment) -> Values:
    """Return the price for the next driver without a contract; nothing where nothing is sold."""
    tariff = site.presented_tariff(evse)
    if tariff is None or site.config.free_vending:
        return {}
    values = {**tariff_values(site, tariff, now), **_hold_values(site, evse)}
    schedule = site.adhoc_tariffs.get(evse.number)
    coming = schedule.next_tariff if schedule is not None else None
    return values if coming is None else _with_next_tariff(site, values, tariff, coming, now)


def _hold_values(site: StationState, evse: EvseRecord) -> Values:
    """Return what a bank will hold for a card, and up to how much; nothing where that is not raised."""
    terms = site.config.payment_terms
    if terms is None or not terms.raise_cents or not any(evse.number in served for served in terms.terminals.values()):
        return {}
    from agent.domain.payment_amount import amount_to_hold_cents, most_to_hold_cents

    most_cents = most_to_hold_cents(site.settings, terms)
    hold_cents = amount_to_hold_cents(site.settings, terms)
    return {"hold_micro": hold_cents * 10**4, "hold_most_micro": most_cents * 10**4} if most_cents else {}


def _with_next_tariff(site: StationState, values: Values, tariff: Tariff, coming: BackendTariff, now: Moment) -> Values:
    """Return the values with the tariff that is coming, if that is the next change of price and comes within a day."""
    begin_s = coming.valid_from_utc_s
    change_s = values.get("tariff_next_at_utc_s")
    if now.utc_s is None or begin_s is None or not now.utc_s <= begin_s <= now.utc_s + _DAY_S:
        return values
    if isinstance(change_s, int) and change_s < begin_s:
        return values
    values = {name: value for name, value in values.items() if not name.startswith("tariff_next_")}
    present, later = _rates_at(site, tariff, now.utc_s), _rates_at(site, coming.tariff, begin_s)
    values |= {"tariff_next_at_utc_s": int(begin_s)}
    values |= _rate_values("tariff_next_", later, coming.tariff, unlike=present)
    once = ((name, getattr(tariff, name), getattr(coming.tariff, name)) for name in ("session", "other"))
    return values | {
        f"tariff_next_{name}_micro": _micro_amount(new) for name, old, new in once if (old or 0) != (new or 0)
    }


def _rates_at(site: StationState, tariff: Tariff, utc_s: float) -> Rates:
    if not tariff.windows:
        return tariff.rates_by_window()[0]
    plan = tariff.start_usage(local_offset(site.settings, utc_s, site.collaborators.local_offset)).plan
    return tariff.rates_by_window()[plan.window_at(round(utc_s * 1000))]


def agreed_tariff_values(
    site: StationState, evse: EvseRecord, message: tuple[MessageContent, ...], now: Moment
) -> Values:
    """Return the price for the driver who is here, before energy flows: the tariff of a driver who
    pays here, for others what the backend reports."""
    tariff = evse.authorization.tariff if evse.authorization is not None else None
    return agreed_price_values(site, message) if tariff is None else tariff_values(site, tariff, now)


def session_cost_values(site: StationState, evse: EvseRecord, register_wh: int, now: Moment) -> Values:
    """Return the price and the cost so far: of a driver who pays here by the bill, of others by the
    backend."""
    bill = bill_of_session(evse, evse.session.id) if evse.session is not None else None
    return bill_values(site, bill, now) if bill is not None else running_cost_values(site, evse, register_wh, now)


def bill_of_session(evse: EvseRecord, session: str) -> DriverBill | None:
    """Return the bill of a bank card, or what a session comes to by the tariff of the backend; or the station's
    estimate, as long as the backend reports no cost."""
    account = evse.pricing.account
    has_backend_cost = account is not None and account.session == session and account.cost is not None
    bills = (evse.pricing.bill, evse.pricing.priced, None if has_backend_cost else evse.pricing.estimate)
    return next((b for b in bills if b is not None and b.session == session), None)


def bill_values(site: StationState, bill: DriverBill, now: Moment) -> Values:
    """Return the very amount that is settled; in the end with its parts (``bill_...``) and the VAT
    in it (``billed_...``: what the tariff says of them), before that with the prices (``tariff_...``)."""
    values: Values = {
        "cost_micro": bill.cents * 10**4,
        "cost_decimals": 2,
        "currency": bill.currency,
        "cost_final": bill.final,
        "cost_estimated": bill.estimated,
    }
    if not bill.final:
        return values | (tariff_values(site, bill.tariff, now) if bill.tariff is not None else {})
    values |= {"cost_text": "", "qr_url": bill.receipt}
    values |= {f"bill_{kind}_micro": cents * 10**4 for kind, cents in bill.parts}
    if bill.tariff is not None and bill.tariff.vat_percent is not None:
        vat_micro = bill.tariff.vat_cents(bill.cents) * 10**4
        values |= {"bill_vat_micro": vat_micro, "billed_vat_percent": _percent_text(bill.tariff.vat_percent)}
    if bill.tariff is not None and bill.tariff.other:
        values["billed_other_name"] = bill.tariff.other_name
    return values


def tariff_values(site: StationState, tariff: Tariff, now: Moment) -> Values:
    """Return all that a session at this tariff may cost. Prices by the time of day: those of now,
    and from ``tariff_next_at_utc_s`` on the ``tariff_next_...`` ones; nothing while the time is
    unknown."""
    rates, values = tariff.rates_by_window(), _once_values(tariff)
    if not tariff.windows:
        return values | _rate_values("tariff_", rates[0], tariff)
    if now.utc_s is None:
        return {}
    plan = tariff.start_usage(local_offset(site.settings, now.utc_s, site.collaborators.local_offset)).plan
    at_ms = round(now.utc_s * 1000)
    here = rates[plan.window_at(at_ms)]
    values |= _rate_values("tariff_", here, tariff)
    turn_ms = _next_price_change(plan, rates, at_ms)
    if turn_ms is not None:
        values |= {"tariff_next_at_utc_s": turn_ms // 1000}
        values |= _rate_values("tariff_next_", rates[plan.window_at(turn_ms)], tariff, unlike=here)
    return values


def _next_price_change(plan: TariffPlan, rates: tuple[Rates, ...], at_ms: int) -> int | None:
    """Return when a price changes next; None: not within a week."""
    here, turn_ms = rates[plan.window_at(at_ms)], plan.next_edge_ms(at_ms)
    while turn_ms < at_ms + _WEEK_MS:
        if rates[plan.window_at(turn_ms)] != here:
            return turn_ms
        turn_ms = plan.next_edge_ms(turn_ms)
    return None


def _once_values(tariff: Tariff) -> Values:
    amounts = {"session": tariff.session, "other": tariff.other}
    values: Values = {"tariff_currency": tariff.currency}
    values |= {f"tariff_{name}_micro": _micro_amount(amount) for name, amount in amounts.items() if amount}
    if tariff.other:
        values["tariff_other_name"] = tariff.other_name
    bounds = {"minimum": tariff.min_cents, "maximum": tariff.max_cents}
    values |= {f"tariff_{name}_micro": cents * 10**4 for name, cents in bounds.items() if cents}
    if tariff.vat_percent is not None:
        values["tariff_vat_percent"] = _percent_text(tariff.vat_percent)
    return values


def _rate_values(what: str, rates: Rates, tariff: Tariff, unlike: Rates | None = None) -> Values:
    """``unlike``: only what is another price there. Energy that is given away is said, too."""
    values: Values = {}
    for name in ("kwh", "minute", "occupancy"):
        amount = getattr(rates, name)
        said = amount is not None and (amount or name == "kwh") if unlike is None else amount != getattr(unlike, name)
        if said:
            values[f"{what}{name}_micro"] = _micro_amount(amount)
    if f"{what}occupancy_micro" in values and tariff.grace_min:
        values[f"{what}grace_min"] = tariff.grace_min
    if f"{what}occupancy_micro" in values and tariff.from_grant:
        values[f"{what}from_grant"] = True
    return values


def _micro_amount(amount: Decimal | None) -> int:
    return int(amount.scaleb(6)) if amount is not None else 0


def _percent_text(rate: Decimal) -> str:
    return f"{rate.normalize():f}"
