"""What the backend may do from afar (OCPP 1.6 5.2, 5.11-5.14, 5.17, 5.18). A remote start carries a bare idTag: it is
taken for the same token that the driver's card would bring, so that the card may end what the app has begun."""

from __future__ import annotations

from typing import Any

from agent.domain.orders import Reply
from agent.domain.requests import AskAvailability, AskReset, AskStart, AskStop, AskTrigger, AskUnlock, Trigger
from agent.model.fastclass import replace
from agent.model.types import Token
from agent.ocpp.dialects.dialect import Desk, In, Payload, Refused
from agent.ocpp.v16 import smart_charging
from agent.ocpp.wire.rpc import Code
from agent.ocpp.wire.text import is_plain

REJECTED = {"status": "Rejected"}


def _one_of(*words: str, otherwise: str = "Rejected") -> Any:
    """The neutral status is the word of 1.6 too, where 1.6 has it."""

    def answer(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
        if reply.status == "NotImplemented" and "NotImplemented" not in words:
            raise Refused(Code.NOT_SUPPORTED, "not offered by this station")
        return {"status": reply.status if reply.status in words else otherwise}

    return answer


def _availability(payload: Payload, desk: Desk) -> AskAvailability:
    return AskAvailability(int(payload["connectorId"]), payload["type"] == "Operative")


def _start(payload: Payload, desk: Desk) -> AskStart | dict[str, Any]:
    """A profile of another purpose is an error; a right one is ignored, as 5.11 asks, by a station without
    SmartCharging. Its transaction is the one that it starts, whatever number it names."""
    if desk.boot == "Pending":  # 4.2: neither start nor stop
        return dict(REJECTED)
    wanted = payload.get("chargingProfile")
    if wanted is not None and wanted["chargingProfilePurpose"] != "TxProfile":
        return dict(REJECTED)
    offered = smart_charging.PROFILE in desk.settings.items_of("feature_profiles")
    profile = replace(smart_charging.profile(wanted, desk), session="") if wanted is not None and offered else None
    connector = payload.get("connectorId")
    if connector is not None and connector < 1:
        return dict(REJECTED)
    if not payload["idTag"]:
        return dict(REJECTED)
    if not is_plain(payload["idTag"]):
        raise Refused(Code.PROPERTY, "idTag: control characters")
    return AskStart(None if connector is None else int(connector), Token(payload["idTag"]), profile=profile)


def _stop(payload: Payload, desk: Desk) -> AskStop | dict[str, Any]:
    if desk.boot == "Pending":
        return dict(REJECTED)
    return AskStop(desk.outbox.session_of(desk.link, str(int(payload["transactionId"]))) or "")


def _reset(payload: Payload, desk: Desk) -> AskReset:
    return AskReset(hard=payload["type"] == "Hard")


def _unlock(payload: Payload, desk: Desk) -> AskUnlock:
    return AskUnlock(int(payload["connectorId"]), stop_first=True)


def _unlocked(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    if reply.status in ("UnknownConnector", "NotImplemented"):
        return {"status": "NotSupported"}
    return {"status": reply.status if reply.status in ("Unlocked", "NotSupported") else "UnlockFailed"}


_TRIGGERS = {
    "BootNotification": Trigger.BOOT,
    "DiagnosticsStatusNotification": Trigger.LOG_STATUS,
    "FirmwareStatusNotification": Trigger.FIRMWARE_STATUS,
    "Heartbeat": Trigger.HEARTBEAT,
    "MeterValues": Trigger.METER_VALUES,
    "StatusNotification": Trigger.STATUS,
}


def _trigger(payload: Payload, desk: Desk) -> AskTrigger:
    connector = payload.get("connectorId")
    return AskTrigger(_TRIGGERS[payload["requestedMessage"]], None if connector is None else int(connector))


ROWS = (
    In("ChangeAvailability", _availability, _one_of("Accepted", "Rejected", "Scheduled")),
    In("RemoteStartTransaction", _start, _one_of("Accepted", "Rejected")),
    In("RemoteStopTransaction", _stop, _one_of("Accepted", "Rejected")),
    In("Reset", _reset, _one_of("Accepted", "Rejected")),
    In("UnlockConnector", _unlock, _unlocked),
    In("TriggerMessage", _trigger, _one_of("Accepted", "Rejected", "NotImplemented")),
)
