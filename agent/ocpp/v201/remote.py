"""What the backend may do from afar (OCPP 2.0.1 B11, B12, E14, F01-F06, G03, G04)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.domain.orders import Reply
from agent.domain.requests import (
    AskAvailability,
    AskInventory,
    AskReset,
    AskStart,
    AskStop,
    AskTrigger,
    AskUnlock,
    Trigger,
)
from agent.ocpp.dialects.dialect import Desk, In, Payload, Refused
from agent.ocpp.v201 import smart_charging
from agent.ocpp.v201.identifiers import session_of, token
from agent.ocpp.wire.rpc import Code

REJECTED = {"status": "Rejected"}


def one_of(*words: str, otherwise: str = "Rejected") -> Callable[[Reply, Payload, Desk], dict[str, Any]]:
    """The neutral status is the word of 2.x too."""

    def answer(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
        if reply.status == "NotImplemented" and "NotImplemented" not in words:
            raise Refused(Code.NOT_SUPPORTED, "not offered by this station")
        return {"status": reply.status if reply.status in words else otherwise}

    return answer


def _number(payload: Payload, desk: Desk) -> int | None:
    """The EVSE that is meant: 0 the whole station, None one that is not there."""
    evse = payload.get("evse")
    if evse is None:
        return 0
    known = evse["id"] in desk.evse_numbers and evse.get("connectorId", 1) == 1
    return int(evse["id"]) if known else 0 if evse["id"] == 0 and "connectorId" not in evse else None


def _availability(payload: Payload, desk: Desk) -> AskAvailability | dict[str, Any]:
    number = _number(payload, desk)
    if number is None:
        return dict(REJECTED)
    operative, of_connector = payload["operationalStatus"] == "Operative", "connectorId" in payload.get("evse", {})
    return AskAvailability(number, operative, every=False, connector=of_connector)


def _start(payload: Payload, desk: Desk) -> AskStart | dict[str, Any]:
    """A profile of another purpose is an error (F01.FR.26); a right one is ignored by a station without smart
    charging."""
    profile = smart_charging.of_start(payload, desk)
    if desk.boot != "Accepted" or isinstance(profile, bool):
        return dict(REJECTED)
    number = payload.get("evseId")
    if number is not None and number not in desk.evse_numbers:
        return dict(REJECTED)
    named = token(payload["idToken"])
    if not named.value:
        return dict(REJECTED)
    group = (payload.get("groupIdToken") or {}).get("idToken", "")
    return AskStart(number, named, str(int(payload["remoteStartId"])), profile, group)


def _stop(payload: Payload, desk: Desk) -> AskStop | dict[str, Any]:
    return AskStop(session_of(payload["transactionId"], desk)) if desk.boot == "Accepted" else dict(REJECTED)


def _reset(payload: Payload, desk: Desk) -> AskReset | dict[str, Any]:
    number = payload.get("evseId", 0)
    if number and number not in desk.evse_numbers:
        return dict(REJECTED)
    on_idle = payload["type"] == "OnIdle"
    return AskReset(hard=not on_idle, on_idle=on_idle, evse=int(number))


def _unlock(payload: Payload, desk: Desk) -> AskUnlock | dict[str, Any]:
    if payload["evseId"] not in desk.evse_numbers or payload["connectorId"] != 1:
        return {"status": "UnknownConnector"}
    return AskUnlock(int(payload["evseId"]))


_TRIGGERS = {
    "BootNotification": Trigger.BOOT,
    "FirmwareStatusNotification": Trigger.FIRMWARE_STATUS,
    "Heartbeat": Trigger.HEARTBEAT,
    "LogStatusNotification": Trigger.LOG_STATUS,
    "MeterValues": Trigger.METER_VALUES,
    "SignChargingStationCertificate": Trigger.SIGN,
    "StatusNotification": Trigger.STATUS,
    "TransactionEvent": Trigger.TRANSACTION,
}
_OF_ANY_EVSE = (Trigger.FIRMWARE_STATUS, Trigger.LOG_STATUS, Trigger.HEARTBEAT, Trigger.SIGN)


def _trigger(payload: Payload, desk: Desk) -> AskTrigger | dict[str, Any]:
    """Certificates of ISO 15118 are not offered. A boot that was accepted is not repeated (F06.FR.17); transactions
    and values wait for one that is."""
    what = _TRIGGERS.get(payload["requestedMessage"])
    if what is None:
        return {"status": "NotImplemented"}
    ill_timed = (Trigger.BOOT,) if desk.boot == "Accepted" else (Trigger.METER_VALUES, Trigger.TRANSACTION)
    if what in ill_timed:
        return dict(REJECTED)
    number = _number(payload, desk) if what not in _OF_ANY_EVSE else 0
    if number is None:
        return dict(REJECTED)
    return AskTrigger(what, number or None, loose=what is Trigger.METER_VALUES)


def _of_transaction(payload: Payload, desk: Desk) -> AskInventory:
    return AskInventory()


async def _look(payload: Payload, desk: Desk) -> Payload:
    named = payload.get("transactionId")
    if named is None:
        return {"waiting": desk.outbox.waiting(desk.link) > 0}
    session = session_of(named, desk)
    return {"waiting": bool(session) and await desk.outbox.is_waiting(desk.link, session)}


def _waiting(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    """E14: without a transaction named, only whether anything waits."""
    waiting = {"messagesInQueue": reply.data["waiting"]}
    if payload.get("transactionId") is None:
        return waiting
    named = session_of(payload["transactionId"], desk)
    return {"ongoingIndicator": named in reply.data.get("sessions", ()), **waiting}


ROWS = (
    In("ChangeAvailability", _availability, one_of("Accepted", "Rejected", "Scheduled")),
    In("RequestStartTransaction", _start, one_of("Accepted", "Rejected")),
    In("RequestStopTransaction", _stop, one_of("Accepted", "Rejected")),
    In("Reset", _reset, one_of("Accepted", "Rejected", "Scheduled")),
    In(
        "UnlockConnector",
        _unlock,
        one_of("Unlocked", "OngoingAuthorizedTransaction", "UnknownConnector", otherwise="UnlockFailed"),
    ),
    In("TriggerMessage", _trigger, one_of("Accepted", "Rejected", "NotImplemented")),
    In("GetTransactionStatus", _of_transaction, _waiting, _look),
)
