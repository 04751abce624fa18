"""Tariffs that a backend sets (2.1 I07 to I11). TariffType says prices without tax and the tax; here a price is exact
with tax, and the one VAT rate is known. What the calculator of this station cannot compute exactly is refused: it is
never approximated. Conditions are not supported."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from agent.domain.backend_tariff import BackendTariff
from agent.domain.events import DriverTariffReceived, Event
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import (
    ChangeTransactionTariffRequest,
    ClearTariffsRequest,
    GetTariffsRequest,
    SetDefaultTariffRequest,
)
from agent.domain.tariff import DECIMALS, Tariff
from agent.domain.variables import TARIFFS
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Refused, RequestRow, Row, RowContext
from agent.ocpp.v201.identifiers import decode_id_token_info, session_of
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import format_rfc3339, parse_timestamp

PRICES = {"energy": "priceKwh", "chargingTime": "priceMinute", "idleTime": "priceMinute", "fixedFee": "priceFixed"}
RESERVATION = ("reservationTime", "reservationFixed")
MAX_ELEMENTS = len(PRICES)
VAT = "VAT"
MOST = 10**5
"""Of a price, in the currency's unit."""


class UnusableTariff(Exception):
    """The station cannot compute by this tariff: the status that says so, and why."""

    def __init__(self, status: str, reason: str = "", info: str = "") -> None:
        super().__init__(info or status)
        self.status, self.reason, self.info = status, reason, info

    def answer(self) -> LocalAnswer:
        info = {"statusInfo": {"reasonCode": self.reason, "additionalInfo": self.info}} if self.reason else {}
        return LocalAnswer({"status": self.status, **info})


def decode_tariff(given: Payload, currency: str) -> BackendTariff:
    """Decode TariffType. Raises ``UnusableTariff``. A field that is absent has no price."""
    elements = [given[name] for name in (*PRICES, *RESERVATION) if name in given]
    if any("conditions" in price for element in elements for price in element["prices"]):
        raise UnusableTariff("ConditionNotSupported")
    if sum(len(element["prices"]) for element in elements) > MAX_ELEMENTS:
        raise UnusableTariff("TooManyElements")
    if given["currency"] != currency:
        raise _invalid(f"the currency of this station is {currency}")
    if any(name in given for name in RESERVATION):
        raise _invalid("a reservation costs nothing here")
    vat = _find_vat_rate(given)
    rates = {name: _rate_with_tax(given[name]["prices"], PRICES[name], vat) for name in PRICES if name in given}
    if not rates:
        raise _invalid("a tariff has a price")
    tariff = Tariff(
        kwh=rates.get("energy"),
        minute=rates.get("chargingTime"),
        occupancy=rates.get("idleTime"),
        session=rates.get("fixedFee"),
        min_cents=_bound_cents(given, "minCost", vat),
        max_cents=_bound_cents(given, "maxCost", vat),
        currency=currency,
        vat_percent=vat,
    )
    if tariff.min_cents is not None and tariff.max_cents is not None and tariff.min_cents > tariff.max_cents:
        raise _invalid("minCost is above maxCost")
    return BackendTariff(given["tariffId"], tariff, _decode_valid_from(given))


def _invalid(info: str) -> UnusableTariff:
    return UnusableTariff("Rejected", "InvalidValue", info)


def _decode_valid_from(given: Payload) -> float | None:
    if "validFrom" not in given:
        return None
    utc_s = parse_timestamp(given["validFrom"])
    if utc_s is None:
        raise _invalid("validFrom: no time")
    return utc_s


def _find_vat_rate(given: Payload) -> Decimal | None:
    """Return the one VAT rate (percent) of all prices; None: no tax is known."""
    priced = [given[name] for name in PRICES if name in given]
    lists = [element.get("taxRates", []) for element in priced]
    lists += [given[name]["taxRates"] for name in ("minCost", "maxCost") if "taxRates" in given.get(name, {})]
    found = {(tuple((tax["type"], _exact_number(tax["tax"])) for tax in taxes)) for taxes in lists}
    if len(found) > 1 or any(len(taxes) > 1 for taxes in found):
        raise _invalid("one VAT rate holds for all prices")
    taxes = next(iter(found), ())
    if not taxes:
        return None
    [(kind, percent)] = taxes
    if kind.upper() != VAT or not 0 <= percent <= 100:
        raise _invalid("the only tax here is VAT, of 0 to 100 percent")
    return percent


def _rate_with_tax(prices: list[Payload], field: str, vat: Decimal | None) -> Decimal:
    """Return the price with tax, exact. Without conditions the first one holds (I12.FR.34)."""
    rate = _exact_number(prices[0][field]) * (100 + (vat or 0)) / 100
    if not 0 <= rate < MOST:
        raise _invalid(f"{field}: is below 0 or beyond reason")
    if rate != round(rate, DECIMALS):
        raise _invalid(f"{field}: has more than {DECIMALS} decimals with its tax")
    return rate.normalize() + 0


def _bound_cents(given: Payload, name: str, vat: Decimal | None) -> int | None:
    """Return what a session costs at least or at most, with tax."""
    bound = given.get(name)
    if bound is None:
        return None
    if "inclTax" in bound:
        amount = _exact_number(bound["inclTax"])
    elif "exclTax" in bound:
        amount = _exact_number(bound["exclTax"]) * (100 + (vat or 0)) / 100
    else:
        raise _invalid(f"{name}: has no amount")
    cents = amount * 100
    if cents != int(cents) or not 0 <= amount < MOST:
        raise _invalid(f"{name}: must be a whole number of cents with its tax, 0 or more")
    return int(cents)


def _exact_number(value: Any) -> Decimal:
    """Return the number as it is written. Raises ``UnusableTariff``."""
    number = Decimal(repr(value)) if isinstance(value, int | float) and not isinstance(value, bool) else Decimal("NaN")
    if not number.is_finite() or abs(number) >= MOST:
        raise _invalid("a number is beyond reason")
    return number


def hear_driver_tariff(order: AuthorizeToken, payload: Payload, ctx: RowContext) -> tuple[Event, ...]:
    """Decode the tariff that comes with an authorization (I08). Its validFrom is ignored (I08.FR.10). One that cannot
    be computed here leaves the cost to the backend (HandleFailedTariff: CentralCost)."""
    verdict = decode_id_token_info(payload["idTokenInfo"])
    if TARIFFS not in ctx.settings.fitted or verdict is None or not verdict.is_accepted:
        return ()
    given = payload.get("tariff")
    if given is None:
        return (DriverTariffReceived(ctx.link, order.token, is_given=False),)
    try:
        tariff = decode_tariff(
            {k: v for k, v in given.items() if k != "validFrom"}, ctx.settings.text_value("currency")
        )
    except UnusableTariff:
        return (DriverTariffReceived(ctx.link, order.token),)
    return (DriverTariffReceived(ctx.link, order.token, tariff),)


def _refuse_without_tariffs(ctx: RowContext) -> None:
    if TARIFFS not in ctx.settings.fitted:
        raise Refused(Code.NOT_SUPPORTED, "this station shows no cost, or its price is in its station file")


def _decode_set_tariff(payload: Payload, ctx: RowContext) -> SetDefaultTariffRequest | LocalAnswer:
    _refuse_without_tariffs(ctx)
    try:
        tariff = decode_tariff(payload["tariff"], ctx.settings.text_value("currency"))
    except UnusableTariff as e:
        return e.answer()
    return SetDefaultTariffRequest(int(payload["evseId"]), tariff)


def _decode_get_tariffs(payload: Payload, ctx: RowContext) -> GetTariffsRequest:
    _refuse_without_tariffs(ctx)
    return GetTariffsRequest(int(payload["evseId"]))


def _decode_clear_tariffs(payload: Payload, ctx: RowContext) -> ClearTariffsRequest:
    _refuse_without_tariffs(ctx)
    return ClearTariffsRequest(tuple(payload.get("tariffIds", ())), int(payload.get("evseId", 0)))


def _decode_change_tariff(payload: Payload, ctx: RowContext) -> ChangeTransactionTariffRequest | LocalAnswer:
    """Decode the request. Its currency is compared with that of the transaction. Its validFrom is ignored: it counts
    from now on (I11.FR.08)."""
    _refuse_without_tariffs(ctx)
    given = {name: value for name, value in payload["tariff"].items() if name != "validFrom"}
    try:
        tariff = decode_tariff(given, given["currency"])
    except UnusableTariff as e:
        return e.answer()
    return ChangeTransactionTariffRequest(session_of(payload["transactionId"], ctx), tariff)


def _answer_status(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    reason = str(reply.data.get("reason", ""))
    return {"status": reply.status} | ({"statusInfo": {"reasonCode": reason}} if reason else {})


def _answer_get_tariffs(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    answer = _answer_status(reply, payload, ctx)
    tariffs = [dict(_assignment_fields(tariff)) for tariff in reply.data.get("tariffs", ())]
    return answer | ({"tariffAssignments": tariffs} if tariffs else {})


def _assignment_fields(tariff: Payload) -> Iterator[tuple[str, Any]]:
    """Yield the fields of TariffAssignmentType."""
    yield "tariffId", tariff["id"]
    yield "tariffKind", "DriverTariff" if "tokens" in tariff else "DefaultTariff"
    if tariff.get("valid_from_utc_s") is not None:
        yield "validFrom", format_rfc3339(tariff["valid_from_utc_s"])
    if tariff["evses"]:
        yield "evseIds", list(tariff["evses"])
    if "tokens" in tariff:
        yield "idTokens", list(tariff["tokens"])


def _answer_clear_tariffs(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    results = [({"tariffId": id_} if id_ else {}) | {"status": status} for id_, status in reply.data["results"]]
    return {"clearTariffsResult": results}


ROWS: tuple[Row, ...] = (
    RequestRow("SetDefaultTariff", _decode_set_tariff, _answer_status),
    RequestRow("GetTariffs", _decode_get_tariffs, _answer_get_tariffs),
    RequestRow("ClearTariffs", _decode_clear_tariffs, _answer_clear_tariffs),
    RequestRow("ChangeTransactionTariff", _decode_change_tariff, _answer_status),
)
