"""Price and cost over DataTransfer, vendor ``org.openchargealliance.costmsg`` (OCA application note "OCPP & California
Pricing Requirements", version 3). ``data`` is JSON in a text; what is wrong with it is answered ``Rejected``, never
with an error. What this cannot say: a currency; one text per language without a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.csms_cost import Cost, IdlePrice, NextPrice, Price, Triggers, micro
from agent.domain.messages import ChargingState, ConnectorUnplugged
from agent.domain.requests import Ask, AskCost, AskMessage
from agent.model import json_limits
from agent.model.types import MessageContent, Token
from agent.ocpp.dialects.dialect import Desk, Out, Payload, nothing
from agent.ocpp.v16.identifiers import ID_TAG_MAX, VERSION, transaction_id
from agent.ocpp.wire.text import content, is_plain, line
from agent.ocpp.wire.timestamps import parse, rfc3339

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


def asked(payload: Payload, desk: Desk) -> Ask | dict[str, Any]:
    """What one of the three messages asks, or its answer."""
    make = _MESSAGES.get(payload.get("messageId", ""))
    if make is None:
        return {"status": "UnknownMessageId"}
    try:
        return make(_object(_parsed(payload.get("data", ""))), desk)
    except (ValueError, KeyError):
        return {"status": "Rejected"}


def _parsed(text: str) -> Any:
    """Numbers with a point become ``Decimal``: money is never a binary fraction."""
    from decimal import Decimal

    return json_limits.read(text, parse_float=Decimal, parse_constant=micro)  # which has no word for NaN or Infinity


# --- the three messages ---------------------------------------------------------------------------------------------


def _user_price(data: Mapping[str, Any], desk: Desk) -> AskMessage:
    token = data["idToken"]
    if not isinstance(token, str) or not 0 < len(token) <= ID_TAG_MAX or not is_plain(token):
        raise ValueError("idToken")
    return AskMessage(Token(token), _texts(data))


def _running(data: Mapping[str, Any], desk: Desk) -> AskCost:
    state, meter_wh = data.get("state", "Charging"), data.get("meterValue")
    if state not in ("Charging", "Idle"):
        raise ValueError("state")
    cost = Cost(
        _cost(data, desk),
        texts=_texts(data),
        meter_wh=None if meter_wh is None else _whole(meter_wh),
        utc_s=_time(data.get("timestamp")),
        idle=state == "Idle",
        price=_price(data.get("chargingPrice")),
        idle_price=_idle_price(data.get("idlePrice")),
        next=_next(data.get("nextPeriod")),
        triggers=_triggers(data.get("triggerMeterValue")),
    )
    return AskCost(_session(data, desk), cost)


def _final(data: Mapping[str, Any], desk: Desk) -> AskCost:
    qr = data.get("qrCodeText") or ""
    if not isinstance(qr, str) or len(qr) > URL_MAX or not is_plain(qr) or " " in qr:
        raise ValueError("qrCodeText")
    if qr and not qr.lower().startswith(("https://", "http://")):
        raise ValueError("qrCodeText: no address of the web")
    return AskCost(_session(data, desk), Cost(_cost(data, desk), final=True, texts=_texts(data), qr=qr))


_MESSAGES: Mapping[str, Callable[[Mapping[str, Any], Desk], Ask]] = {
    "SetUserPrice": _user_price,
    "RunningCost": _running,
    "FinalCost": _final,
}

# --- their fields; all raise ValueError -----------------------------------------------------------------------------


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _session(data: Mapping[str, Any], desk: Desk) -> str:
    return desk.outbox.session_of(desk.link, str(_whole(data["transactionId"]))) or ""


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no whole number")
    return value


def _cost(data: Mapping[str, Any], desk: Desk) -> int:
    """``currency`` is no field of the note; where a backend sends it, it has to be the one that is shown."""
    if data.get("currency", desk.settings.text("currency")) != desk.settings.text("currency"):
        raise ValueError("another currency")
    return _amount(data["cost"])


def _amount(value: Any) -> int:
    if isinstance(value, str):
        raise ValueError("a text")
    return micro(value)


def _amounts(value: Any, *names: str) -> tuple[int | None, ...]:
    given = _object(value)
    return tuple(None if given.get(name) is None else _amount(given[name]) for name in names)


def _price(value: Any) -> Price | None:
    return None if value is None else Price(*_amounts(value, "kWhPrice", "hourPrice", "flatFee"))


def _idle_price(value: Any) -> IdlePrice | None:
    if value is None:
        return None
    grace_min = _whole(_object(value).get("graceMinutes") or 0)
    if not 0 <= grace_min <= 10_000:
        raise ValueError("graceMinutes")
    (hour_micro,) = _amounts(value, "hourPrice")
    return IdlePrice(hour_micro, grace_min)


def _next(value: Any) -> NextPrice | None:
    if value is None:
        return None
    at_utc_s = _time(_object(value)["atTime"])
    if at_utc_s is None:
        raise ValueError("atTime")
    return NextPrice(at_utc_s, _price(value.get("chargingPrice")) or Price(), _idle_price(value.get("idlePrice")))


def _triggers(value: Any) -> Triggers | None:
    if value is None:
        return None
    energy_micro, power_micro = _amounts(value, "atEnergykWh", "atPowerkW")
    given = value.get("atCPStatus") or ()
    statuses = [given] if isinstance(given, str) else given
    if not isinstance(statuses, list | tuple) or not all(isinstance(s, str) and s in _STATES for s in statuses):
        raise ValueError("atCPStatus")
    return Triggers(
        _time(value.get("atTime")),
        None if energy_micro is None else energy_micro // 1000,
        None if power_micro is None else power_micro / 1000,
        tuple(dict.fromkeys(_STATES[s] for s in statuses)),
    )


def _time(value: Any) -> float | None:
    utc_s = parse(value)
    if value is not None and utc_s is None:
        raise ValueError("no time")
    return utc_s


def _texts(data: Mapping[str, Any]) -> tuple[MessageContent, ...]:
    """``priceText`` in no language, then those of ``priceTextExtra``."""
    extra = data.get("priceTextExtra") or []
    if not isinstance(extra, list) or len(extra) > 50:
        raise ValueError("priceTextExtra")
    plain = data.get("priceText")
    first = () if plain is None else (MessageContent(line(plain)),)
    return (*first, *(content(_object(e)) for e in extra))


# --- what the station says ------------------------------------------------------------------------------------------


def _unplugged(message: ConnectorUnplugged, desk: Desk) -> dict[str, Any] | None:
    known = desk.outbox.transaction_id(desk.link, message.session, VERSION)
    if known is None and not desk.outbox.transaction(desk.link, message.session):
        return None  # all of it was told in another version
    data = {
        "transactionId": transaction_id(message.session, desk),
        "timestamp": rfc3339(desk.clock.utc_s(message.at)),
    }
    return {"vendorId": VENDOR, "messageId": "ConnectorUnplugged", "data": json.dumps(data, separators=(",", ":"))}


ROWS = (Out(ConnectorUnplugged, "DataTransfer", _unplugged, nothing),)
"""Whatever word it is answered with: a backend that does not know it loses nothing."""
