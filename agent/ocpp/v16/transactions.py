"""StartTransaction and StopTransaction (OCPP 1.6 4.8, 4.10). The backend numbers the transaction: the id is known only
after the answer, so StopTransaction is encoded when it leaves. A changed charging state is told as connector status."""

from __future__ import annotations

from typing import Any

from agent.domain.events import TransactionHeard
from agent.domain.messages import (
    StopReason,
    TransactionAuthorised,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.ocpp.dialects.dialect import Desk, Heard, Mute, Out, Payload, status_alone
from agent.ocpp.dialects.reservation_ids import number
from agent.ocpp.v16.authorization import verdict
from agent.ocpp.v16.identifiers import ID_TAG_MAX, VERSION, id_tag, transaction_id
from agent.ocpp.v16.metering import meter_values, signed_values
from agent.ocpp.wire.timestamps import rfc3339
from agent.ports.store import Put


def _start(message: TransactionStarted | TransactionAuthorised, desk: Desk) -> dict[str, Any] | None:
    """Told when it is known who charges where, with the register of the transaction's begin (decision 9)."""
    if message.token is None or message.evse == 0:
        return None
    reserved = number(message.reservation, desk)
    return {
        "connectorId": message.evse,
        "idTag": id_tag(message.token),
        "meterStart": message.meter_wh,
        "timestamp": rfc3339(desk.clock.utc_s(message.at)),
        **({} if reserved is None else {"reservationId": reserved}),
    }


def _started(message: TransactionStarted | TransactionAuthorised, payload: Payload, desk: Desk) -> Heard:
    known = str(int(payload["transactionId"]))
    event = TransactionHeard(desk.link, message.session, known, verdict(payload["idTagInfo"]))
    return Heard((event,), (Put("transaction", f"{desk.link}/{message.session}", {"id": known}),))


def _malformed_start(message: TransactionStarted | TransactionAuthorised, payload: Payload, desk: Desk) -> Heard | None:
    """The transaction is there if it has a number: a repetition would make another one."""
    known = payload.get("transactionId")
    if type(known) is not int:
        return None
    verdict = status_alone(payload.get("idTagInfo"))
    event = TransactionHeard(desk.link, message.session, str(known), verdict)
    return Heard((event,), (Put("transaction", f"{desk.link}/{message.session}", {"id": str(known)}),))


_REASONS: dict[StopReason, str] = {
    StopReason.DEAUTHORIZED: "DeAuthorized",
    StopReason.EMERGENCY_STOP: "EmergencyStop",
    StopReason.EV_DISCONNECTED: "EVDisconnected",
    StopReason.LOCAL: "Local",
    StopReason.MASTER_PASS: "Local",
    StopReason.POWER_LOSS: "PowerLoss",
    StopReason.REBOOT: "Reboot",
    StopReason.REMOTE: "Remote",
}


def reason(message: TransactionEnded) -> str:
    """1.6 words the trigger (reset, unlock) as a reason; faults are Other."""
    if message.reason is StopReason.IMMEDIATE_RESET:
        return "HardReset" if message.note == "hard" else "SoftReset"
    if message.trigger is TriggerReason.UNLOCK_COMMAND:
        return "UnlockCommand"
    return _REASONS.get(message.reason, "Other")


def _stop(message: TransactionEnded, desk: Desk) -> dict[str, Any] | None:
    if not message.authorised:  # nobody ever had the right: the backend knows nothing of it
        return None
    payload: dict[str, Any] = {
        "transactionId": transaction_id(message.session, desk),
        "meterStop": message.meter_wh,
        "timestamp": rfc3339(desk.clock.utc_s(message.at)),
        "reason": reason(message),
    }
    if message.token is not None and 0 < len(message.token.value) <= ID_TAG_MAX:  # who stopped it need not be said
        payload["idTag"] = id_tag(message.token)
    data = [*meter_values(message.samples, desk), *signed_values(message, desk)]
    if data:
        payload["transactionData"] = data
    return payload


def _stopped(message: TransactionEnded, payload: Payload, desk: Desk) -> Heard:
    info = payload.get("idTagInfo")
    known = desk.outbox.transaction_id(desk.link, message.session, VERSION) or ""
    return Heard((TransactionHeard(desk.link, message.session, known, verdict(info) if info else None),))


def _malformed_stop(message: TransactionEnded, payload: Payload, desk: Desk) -> Heard:
    """An answer is no refusal: the backend has the end."""
    known = desk.outbox.transaction_id(desk.link, message.session, VERSION) or ""
    return Heard((TransactionHeard(desk.link, message.session, known, status_alone(payload.get("idTagInfo"))),))


ROWS = (
    Out(TransactionStarted, "StartTransaction", _start, _started, malformed=_malformed_start),
    Out(TransactionAuthorised, "StartTransaction", _start, _started, malformed=_malformed_start),
    Out(TransactionEnded, "StopTransaction", _stop, _stopped, malformed=_malformed_stop),
    Mute(TransactionUpdated, "1.6 tells the charging state as StatusNotification of the connector"),
)
