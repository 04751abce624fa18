"""Price and cost over DataTransfer, vendor ``org.openchargealliance.costmsg`` (OCA application
note "OCPP & California Pricing Requirements", version 3). ``data`` is JSON in a text. A wrong
``data`` is answered with ``Rejected``, never with an error. What these messages have no words
for: a currency; one text per language without a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.csms_cost import Cost, IdlePrice, NextPrice, Price, Triggers, parse_micro_amount
from agent.domain.messages import ChargingState, ConnectorUnplugged, PricesReported
from agent.domain.requests import BackendRequest, CostUpdatedRequest, DriverMessageRequest
from agent.model import json_limits
from agent.model.types import MessageContent, Token
from agent.ocpp.dialects.common_rows import REJECTED
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Payload, RowContext, decode_empty_response
from agent.ocpp.v16.identifiers import ID_TAG_MAX, VERSION, transaction_id
from agent.ocpp.wire.text import is_plain, parse_message_content, parse_single_line
from agent.ocpp.wire.timestamps import format_rfc3339, parse_timestamp

VENDOR = "org.openchargealliance.costmsg"
URL_MAX = 512
_STATES = {
    "Available": ChargingState.IDLE,
    "Preparing": ChargingState.EV_CONNECTED,
    "Charging": ChargingState.CHARGING,
    "SuspendedEVSE": ChargingState.SUSPENDED_EVSE,
    "SuspendedEV": ChargingState.SUSPENDED_EV,
    "Finishing": ChargingState.EV_CONNECTED,
}
"""``atCPStatus``: the two statuses with an idle cable are one charging state."""


def decode_cost_message(payload: Payload, ctx: RowContext) -> BackendRequest | LocalAnswer:
    """Decode one of the three messages, or return its answer."""
    make = _MESSAGES.get(payload.get("messageId", ""))
    if make is None:
        return LocalAnswer({"status": "UnknownMessageId"})
    try:
        return make(_require_object(_parse_with_decimals(payload.get("data", ""))), ctx)
    except (ValueError, KeyError):
        return REJECTED


def _parse_with_decimals(text: str) -> Any:
    """Parse JSON with numbers as ``Decimal``: money is never a binary fraction."""
    from decimal import Decimal

    return json_limits.read_json(
        text, parse_float=Decimal, parse_constant=parse_micro_amount
    )  # ``micro`` refuses NaN and Infinity


# --- the three messages ---------------------------------------------------------------------------------------------


def _decode_set_user_price(data: Mapping[str, Any], ctx: RowContext) -> DriverMessageRequest:
    token = data["idToken"]
    if not isinstance(token, str) or not 0 < len(token) <= ID_TAG_MAX or not is_plain(token):
        raise ValueError("idToken")
    return DriverMessageRequest(Token(token), _parse_price_texts(data))


def _decode_running_cost(data: Mapping[str, Any], ctx: RowContext) -> CostUpdatedRequest:
    state, meter_wh = data.get("state", "Charging"), data.get("meterValue")
    if state not in ("Charging", "Idle"):
        raise ValueError("state")
    cost = Cost(
        _parse_cost(data, ctx),
        texts=_parse_price_texts(data),
        meter_wh=None if meter_wh is None else _require_integer(meter_wh),
        utc_s=_parse_time(data.get("timestamp")),
        idle=state == "Idle",
        price=_parse_charging_price(data.get("chargingPrice")),
        idle_price=_parse_idle_price(data.get("idlePrice")),
        next=_parse_next_price(data.get("nextPeriod")),
        triggers=_parse_triggers(data.get("triggerMeterValue")),
    )
    return CostUpdatedRequest(_find_session(data, ctx), cost)


def _decode_final_cost(data: Mapping[str, Any], ctx: RowContext) -> CostUpdatedRequest:
    qr = data.get("qrCodeText") or ""
    if not isinstance(qr, str) or len(qr) > URL_MAX or not is_plain(qr) or " " in qr:
        raise ValueError("qrCodeText")
    if qr and not qr.lower().startswith(("https://", "http://")):
        raise ValueError("qrCodeText: no address of the web")
    return CostUpdatedRequest(
        _find_session(data, ctx), Cost(_parse_cost(data, ctx), final=True, texts=_parse_price_texts(data), qr=qr)
    )


_MESSAGES: Mapping[str, Callable[[Mapping[str, Any], RowContext], BackendRequest]] = {
    "SetUserPrice": _decode_set_user_price,
    "RunningCost": _decode_running_cost,
    "FinalCost": _decode_final_cost,
}

# --- their fields; all raise ValueError -----------------------------------------------------------------------------


def _require_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _find_session(data: Mapping[str, Any], ctx: RowContext) -> str:
    return ctx.session_of(str(_require_integer(data["transactionId"]))) or ""


def _require_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no whole number")
    return value


def _parse_cost(data: Mapping[str, Any], ctx: RowContext) -> int:
    """Parse the cost. ``currency`` is no field of the note; if a backend sends it, it must be
    the displayed one."""
    if data.get("currency", ctx.settings.text_value("currency")) != ctx.settings.text_value("currency"):
        raise ValueError("another currency")
    return _parse_amount(data["cost"])


def _parse_amount(value: Any) -> int:
    if isinstance(value, str):
        raise ValueError("a text")
    return parse_micro_amount(value)


def _parse_amounts(value: Any, *names: str) -> tuple[int | None, ...]:
    given = _require_object(value)
    return tuple(None if given.get(name) is None else _parse_amount(given[name]) for name in names)


def _parse_charging_price(value: Any) -> Price | None:
    return None if value is None else Price(*_parse_amounts(value, "kWhPrice", "hourPrice", "flatFee"))


def _parse_idle_price(value: Any) -> IdlePrice | None:
    if value is None:
        return None
    grace_min = _require_integer(_require_object(value).get("graceMinutes") or 0)
    if not 0 <= grace_min <= 10_000:
        raise ValueError("graceMinutes")
    (hour_micro,) = _parse_amounts(value, "hourPrice")
    return IdlePrice(hour_micro, grace_min)


def _parse_next_price(value: Any) -> NextPrice | None:
    if value is None:
        return None
    at_utc_s = _parse_time(_require_object(value)["atTime"])
    if at_utc_s is None:
        raise ValueError("atTime")
    return NextPrice(
        at_utc_s,
        _parse_charging_price(value.get("chargingPrice")) or Price(),
        _parse_idle_price(value.get("idlePrice")),
    )


def _parse_triggers(value: Any) -> Triggers | None:
    if value is None:
        return None
    energy_micro, power_micro = _parse_amounts(value, "atEnergykWh", "atPowerkW")
    given = value.get("atCPStatus") or ()
    statuses = [given] if isinstance(given, str) else given
    if not isinstance(statuses, list | tuple) or not all(isinstance(s, str) and s in _STATES for s in statuses):
        raise ValueError("atCPStatus")
    return Triggers(
        _parse_time(value.get("atTime")),
        None if energy_micro is None else energy_micro // 1000,
        None if power_micro is None else power_micro / 1000,
        tuple(dict.fromkeys(_STATES[s] for s in statuses)),
    )


def _parse_time(value: Any) -> float | None:
    utc_s = parse_timestamp(value)
    if value is not None and utc_s is None:
        raise ValueError("no time")
    return utc_s


def _parse_price_texts(data: Mapping[str, Any]) -> tuple[MessageContent, ...]:
    """Return ``priceText`` without a language, then those of ``priceTextExtra``."""
    extra = data.get("priceTextExtra") or []
    if not isinstance(extra, list) or len(extra) > 50:
        raise ValueError("priceTextExtra")
    plain = data.get("priceText")
    first = () if plain is None else (MessageContent(parse_single_line(plain)),)
    return (*first, *(parse_message_content(_require_object(e)) for e in extra))


# --- what the station sends -----------------------------------------------------------------------------------------


def encode_connector_unplugged(
    message: ConnectorUnplugged, ctx: RowContext, version: str = VERSION
) -> dict[str, Any] | None:
    """Encode the message ConnectorUnplugged of the note."""
    known = ctx.outbox.transaction_id(ctx.link, message.session, version)
    if known is None and not ctx.outbox.transaction_record(ctx.link, message.session):
        return None  # all of it was sent in another version
    data = {
        "transactionId": transaction_id(message.session, ctx, version),
        "timestamp": format_rfc3339(ctx.clock.utc_s(message.at)),
    }
    return {"vendorId": VENDOR, "messageId": "ConnectorUnplugged", "data": json.dumps(data, separators=(",", ":"))}


def _encode_prices(message: PricesReported, ctx: RowContext) -> dict[str, Any]:
    return {"vendorId": "chargy", "messageId": "AdhocTariffInForce", "data": message.prices}


ROWS = (
    MessageRow(ConnectorUnplugged, "DataTransfer", encode_connector_unplugged, decode_empty_response),
    MessageRow(PricesReported, "DataTransfer", _encode_prices, decode_empty_response),
)
"""The status of the answer does not matter: a backend that does not know the message loses
nothing."""
