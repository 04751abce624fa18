"""TransactionEvent in 2.1 (E01-E16). What differs from 2.0.1: the tokens, words for what went on after a restart
(TxResumed) and for a limit, the limit itself, and the cost that the station computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from agent.domain.events import Event, LimitReceived
from agent.domain.messages import (
    MeterSampled,
    TransactionAuthorized,
    TransactionCost,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from agent.model.types import Stamp, TransactionLimit
from agent.ocpp.dialects.device_model_v2x import Name
from agent.ocpp.dialects.dialect import Payload, Row, RowContext
from agent.ocpp.dialects.settlement import format_amount
from agent.ocpp.v21.derivation import derive_message_row
from agent.ocpp.v21.identifiers import replace_id_token
from agent.ocpp.v21.payments import add_payment_details
from agent.ocpp.v201.transactions import update_reason
from agent.ocpp.wire.timestamps import format_rfc3339

LIMITS = "maxCost,maxEnergy,maxTime"
VARIABLES = (
    Name("TxCtrlr", "SupportedLimits", value=lambda f, n: LIMITS, kind="MemberList", choices=LIMITS, constant=True),
)
MOST = 10**9
"""A greater limit is none."""
COST_FIELDS: Mapping[str, str] = {
    "kwh": "energy", "minute": "chargingTime", "occupancy": "idleTime", "session": "fixed", "other": "fixed",
}  # fmt: skip
"""Where a part of the bill belongs in TotalCostType."""
COST_KINDS: Mapping[str, str] = {"minimum": "MinCost", "maximum": "MaxCost"}


def encode_transaction_limit(limit: TransactionLimit) -> dict[str, Any]:
    """Encode TransactionLimitType."""
    fields = {
        "maxCost": None if limit.cost_cents is None else format_amount(limit.cost_cents),
        "maxEnergy": limit.energy_wh,
        "maxTime": limit.time_s,
    }
    return {name: value for name, value in fields.items() if value is not None}


def encode_cost_details(cost: TransactionCost, ctx: RowContext) -> dict[str, Any]:
    """Encode CostDetailsType. The parts add up to the total, with VAT and without (I12.FR.17)."""
    kinds = [COST_KINDS[kind] for kind, _ in cost.parts if kind in COST_KINDS]
    rates = {"taxRates": [{"type": "VAT", "tax": float(cost.vat_percent)}]} if cost.vat_percent else {}
    prices, sum_cents = {}, 0
    for name, cents in _sums_by_field(cost).items():
        before, sum_cents = _encode_price(sum_cents, cost), sum_cents + cents
        prices[name] = {k: round(v - before[k], 2) for k, v in _encode_price(sum_cents, cost).items()} | rates
    return {
        **({"chargingPeriods": [*_encode_periods(cost, ctx)]} if cost.tariff_id else {}),
        "totalCost": {
            "currency": cost.currency,
            "typeOfCost": kinds[-1] if kinds else "NormalCost",
            **prices,
            "total": _encode_price(cost.cents, cost),
        },
        "totalUsage": {
            "energy": cost.energy_wh / 1000,
            "chargingTime": cost.charging_s,
            "idleTime": cost.idle_s,
        },
    }


def _encode_periods(cost: TransactionCost, ctx: RowContext) -> Iterator[dict[str, Any]]:
    """Yield ChargingPeriodType: one for each tariff of the transaction, because none that is taken here has conditions
    (I12.FR.04)."""
    last = (
        cost.tariff_id,
        cost.begun or Stamp(0, 0.0),
        cost.energy_wh - sum(p[2] for p in cost.periods),
        cost.charging_s - sum(p[3] for p in cost.periods),
        cost.idle_s - sum(p[4] for p in cost.periods),
    )
    for tariff_id, begun, energy_wh, charging_s, idle_s in (*cost.periods, last):
        volumes = {"Energy": energy_wh / 1000, "ChargingTime": charging_s, "IdleTIme": idle_s}
        yield {
            "tariffId": tariff_id,
            "startPeriod": format_rfc3339(ctx.clock.utc_s(begun)),
            "dimensions": [{"type": name, "volume": volume} for name, volume in volumes.items()],
        }


def _sums_by_field(cost: TransactionCost) -> dict[str, int]:
    """Return the cents of each field. A least price is a fixed one (I12.FR.38); what a highest price takes off is taken
    off the last parts (I12.FR.39)."""
    sums: dict[str, int] = {}
    for kind, cents in cost.parts:
        if kind in COST_FIELDS:
            sums[COST_FIELDS[kind]] = sums.get(COST_FIELDS[kind], 0) + cents
    if any(kind == "minimum" for kind, _ in cost.parts):
        return {"fixed": cost.cents}
    over = sum(sums.values()) - cost.cents
    for name in reversed(sums):
        taken = min(over, sums[name])
        sums[name], over = sums[name] - taken, over - taken
    return sums


def _encode_price(cents: int, cost: TransactionCost) -> dict[str, float]:
    """Encode an amount with VAT, and without where the rate is known (I12.FR.12)."""
    price = {"inclTax": format_amount(cents)}
    if cost.vat_percent:
        rate = Decimal(cost.vat_percent)
        vat_cents = (cents * rate / (100 + rate)).to_integral_value(ROUND_HALF_UP)
        price["exclTax"] = format_amount(cents - int(vat_cents))
    return price


def _add_event_words(message: Any, event: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    return replace_id_token(message, {**event, "triggerReason": message.trigger.value}, ctx)


def _add_payment_words(
    message: TransactionStarted | TransactionAuthorized, event: dict[str, Any], ctx: RowContext
) -> dict[str, Any]:
    """Add what a bank holds as the limit of the transaction (C18.FR.06), beside the token that is sent once."""
    event = add_payment_details(_add_event_words(message, event, ctx), message.payment)
    if message.payment is None or "idToken" not in event:
        return event
    return _with_limit(event, TransactionLimit(cost_cents=message.payment.held_cents))


def _add_update_words(message: TransactionUpdated, event: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    why = {"triggerReason": event["triggerReason"]} if update_reason(message) else {}
    event = {**_with_tariff(_add_event_words(message, event, ctx), message.tariff_id), **why}
    return event if message.limit is None else _with_limit(event, message.limit)


def _add_end_words(message: TransactionEnded, event: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    event = _with_tariff(_add_event_words(message, event, ctx), message.tariff_id)
    return event if message.cost is None else {**event, "costDetails": encode_cost_details(message.cost, ctx)}


def _with_tariff(event: dict[str, Any], tariff_id: str) -> dict[str, Any]:
    if not tariff_id:
        return event
    return {**event, "transactionInfo": {**event["transactionInfo"], "tariffId": tariff_id}}


def _with_limit(event: dict[str, Any], limit: TransactionLimit) -> dict[str, Any]:
    info = {**event["transactionInfo"], "transactionLimit": encode_transaction_limit(limit)}
    return {**event, "transactionInfo": info}


def _hear_limit(message: Any, payload: Payload, ctx: RowContext) -> tuple[Event, ...]:
    """Decode the limit of an answer, as far as it is one that is kept here (E16.FR.03)."""
    given = payload.get("transactionLimit") or {}
    limit = TransactionLimit(
        _floor_number(given.get("maxCost"), 100),
        _floor_number(given.get("maxEnergy")),
        _floor_number(given.get("maxTime")),
    )
    return () if limit == TransactionLimit() else (LimitReceived(ctx.link, message.session, limit),)


def _floor_number(value: Any, factor: int = 1) -> int | None:
    """Return the number in whole units, never above the limit; None if it is absent or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if abs(value) > MOST:
        return MOST if value > 0 else 0
    return int(Decimal(repr(value)) * factor // 1)


ROWS: tuple[Row, ...] = (
    derive_message_row(TransactionStarted, _add_payment_words, _hear_limit),
    derive_message_row(TransactionAuthorized, _add_payment_words, _hear_limit),
    derive_message_row(TransactionUpdated, _add_update_words, _hear_limit),
    derive_message_row(MeterSampled, hear_more=_hear_limit),
    derive_message_row(TransactionEnded, _add_end_words),
)
