"""TransactionEvent (OCPP 2.0.1 E01-E15, J02): started, updated, ended, and the meter values in between. The transaction
is named by the session's own id. What this version cannot say: that a transaction went on after a restart (TxResumed,
2.1) - a changed charging state tells it."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TransactionHeard
from agent.domain.messages import (
    ChargingState,
    ConnectorUnplugged,
    MeterSampled,
    Sample,
    TransactionAuthorised,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.model.fastclass import replace
from agent.model.types import Reading, ReadingContext, Stamp
from agent.ocpp.dialects.dialect import Desk, Heard, Mute, Out, Payload, nothing, status_alone
from agent.ocpp.dialects.reservation_ids import number
from agent.ocpp.v201.cost import for_session, for_token
from agent.ocpp.v201.identifiers import evse, id_token, verdict
from agent.ocpp.v201.metering import loose, meter_values, signed
from agent.ocpp.wire.timestamps import rfc3339
from agent.ports.store import Put

ENERGY = "Energy.Active.Import.Register"
_OF_CONTEXT = {
    ReadingContext.CLOCK: "MeterValueClock",
    ReadingContext.TRIGGER: "Trigger",
}


def trigger(reason: TriggerReason) -> str:
    return "ChargingStateChanged" if reason is TriggerReason.TX_RESUMED else reason.value


def _event(kind: str, session: str, at: Stamp, why: str, offline: bool, desk: Desk) -> dict[str, Any]:
    event: dict[str, Any] = {
        "eventType": kind,
        "timestamp": rfc3339(desk.clock.utc_s(at)),
        "triggerReason": why,
        "seqNo": desk.number,
        "transactionInfo": {"transactionId": session},
    }
    if offline:
        event["offline"] = True
    return event


def _edge(context: ReadingContext, reading: Reading | None, at: Stamp, meter_wh: int, measurands: Any) -> Sample:
    """First or last value of a transaction: the billed register always, the rest as configured."""
    known = replace(reading, energy_wh=meter_wh) if reading else Reading(at, meter_wh)
    return Sample(context, known, tuple(dict.fromkeys((ENERGY, *measurands))))


def _remote(event: dict[str, Any], remote_id: str) -> None:
    if remote_id.isascii() and remote_id.lstrip("-").isdigit():
        event["transactionInfo"]["remoteStartId"] = int(remote_id)


def _reserved(event: dict[str, Any], reservation: str, desk: Desk) -> None:
    """With the first event of the right for which something was kept (E03.FR.04)."""
    known = number(reservation, desk)
    if known is not None:
        event["reservationId"] = known


def _start(message: TransactionStarted, desk: Desk) -> dict[str, Any]:
    event = _event("Started", message.session, message.at, trigger(message.trigger), message.offline, desk)
    event["transactionInfo"]["chargingState"] = message.charging.value
    _remote(event, message.remote_id)
    _reserved(event, message.reservation, desk)
    if message.token is not None:
        event["idToken"] = id_token(message.token)
    if message.evse:  # otherwise EVSE and values follow (J02.FR.21)
        event["evse"] = evse(message.evse)
        event["meterValue"] = meter_values((_begin(message, message.at, desk), *message.samples), desk)
    return event


def _begin(message: TransactionStarted | TransactionAuthorised, at: Stamp, desk: Desk) -> Sample:
    wanted = desk.settings.items_of("start_measurands")
    return _edge(ReadingContext.BEGIN, message.reading, at, message.meter_wh, wanted)


def _authorised(message: TransactionAuthorised, desk: Desk) -> dict[str, Any]:
    """The token is told once; when the EVSE becomes known later, the begin values come with it."""
    event = _event("Updated", message.session, message.at, trigger(message.trigger), message.offline, desk)
    event["transactionInfo"]["chargingState"] = message.charging.value
    _remote(event, message.remote_id)
    event["evse"] = evse(message.evse)
    if message.placed:
        event["meterValue"] = meter_values((_begin(message, message.at, desk),), desk)
    else:
        event["idToken"] = id_token(message.token)
        _reserved(event, message.reservation, desk)
    return event


def _update(message: TransactionUpdated, desk: Desk) -> dict[str, Any]:
    event = _event("Updated", message.session, message.at, trigger(message.trigger), message.offline, desk)
    event["transactionInfo"]["chargingState"] = message.charging.value
    if message.evse:
        event["evse"] = evse(message.evse)
    if message.token is not None:
        event["idToken"] = id_token(message.token)
    return event


def _meter(message: MeterSampled, desk: Desk) -> dict[str, Any]:
    """Told even if nothing of it could be measured: its place in the transaction is taken."""
    first = message.samples[0]
    why = _OF_CONTEXT.get(first.context, "MeterValuePeriodic")
    event = _event("Updated", message.session, message.at or first.reading.at, why, message.offline, desk)
    if message.charging is not None:
        event["transactionInfo"]["chargingState"] = message.charging.value
    event["evse"] = evse(message.evse)
    values = meter_values(message.samples, desk)
    if values:
        event["meterValue"] = values
    return event


def _end(message: TransactionEnded, desk: Desk) -> dict[str, Any]:
    event = _event("Ended", message.session, message.at, trigger(message.trigger), message.offline, desk)
    plugged = message.plugged
    if plugged is None:
        plugged = message.trigger is not TriggerReason.EV_COMMUNICATION_LOST
    state = ChargingState.EV_CONNECTED if plugged else ChargingState.IDLE
    event["transactionInfo"] |= {"chargingState": state.value, "stoppedReason": message.reason.value}
    if message.token is not None and message.trigger is TriggerReason.STOP_AUTHORIZED:  # told once
        event["idToken"] = id_token(message.token)
    if not message.evse:
        return event
    event["evse"] = evse(message.evse)
    wanted = desk.settings.items_of("stop_sampled_measurands")
    end = _edge(ReadingContext.END, message.reading, message.at, message.meter_wh, wanted)
    event["meterValue"] = meter_values((*message.samples, end), desk)
    if message.signed is not None:  # of the billed register, which is the first value of the last sample
        event["meterValue"][-1]["sampledValue"][0] |= signed(message.signed, desk)
    return event


def _heard(message: Any, payload: Payload, desk: Desk) -> Heard:
    info, token = payload.get("idTokenInfo"), getattr(message, "token", None)
    brought = list(for_session(message.session, isinstance(message, TransactionEnded), payload, desk))
    if info is not None and token is not None:
        brought += for_token(token, info, desk)
    if info is None and not isinstance(message, TransactionStarted):
        return Heard(tuple(brought))
    event = TransactionHeard(desk.link, message.session, message.session, verdict(info) if info else None)
    known = Put("transaction", f"{desk.link}/{message.session}", {"id": message.session})
    return Heard((event, *brought), (known,) if isinstance(message, TransactionStarted) else ())


def _malformed(message: Any, payload: Payload, desk: Desk) -> Heard:
    """An answer is no refusal: the backend has the event. What can be read of it is the status of the token."""
    verdict = status_alone(payload.get("idTokenInfo"))
    heard = _heard(message, {}, desk)
    if verdict is None:
        return heard
    return replace(heard, events=(TransactionHeard(desk.link, message.session, message.session, verdict),))


_LOOSE = Out(MeterSampled, "MeterValues", loose, nothing)

ROWS = (
    Out(TransactionStarted, "TransactionEvent", _start, _heard, malformed=_malformed),
    Out(TransactionAuthorised, "TransactionEvent", _authorised, _heard, malformed=_malformed),
    Out(TransactionUpdated, "TransactionEvent", _update, _heard, malformed=_malformed),
    Out(TransactionEnded, "TransactionEvent", _end, _heard, malformed=_malformed),
    Out(
        MeterSampled,
        "TransactionEvent",
        _meter,
        _heard,
        unless=lambda m: not m.session or m.late,
        other=_LOOSE,
        malformed=_malformed,
    ),
    Mute(ConnectorUnplugged, "TransactionEvent and StatusNotification tell it"),
)
