"""The security extension of 1.6 (whitepaper "Improved security for OCPP 1.6-J"): events, certificates, and triggers of
what plain 1.6 does not know. Inside, events have the names of 2.x; four were called otherwise."""

from __future__ import annotations

from typing import Any

from agent.domain.certificates import Use
from agent.domain.messages import CertificateSigningWanted, SecurityHappened
from agent.domain.orders import Reply
from agent.domain.requests import (
    AskCertificateSigned,
    AskInstallCertificate,
    AskInstalledCertificates,
    AskTrigger,
    Trigger,
)
from agent.ocpp.dialects.certificates import DELETED, INSTALLED, SIGNED, answered, hashes, named, one_of
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, nothing
from agent.ocpp.wire.timestamps import rfc3339

EVENT_NAMES = {
    "FailedToAuthenticateAtCsms": "FailedToAuthenticateAtCentralSystem",
    "CsmsFailedToAuthenticate": "CentralSystemFailedToAuthenticate",
    "InvalidCsmsCertificate": "InvalidCentralSystemCertificate",
    "InvalidChargingStationCertificate": "InvalidChargePointCertificate",
}
"""What 1.6 calls otherwise."""
_USES = {
    "CentralSystemRootCertificate": Use.CSMS_ROOT,
    "ManufacturerRootCertificate": Use.MANUFACTURER_ROOT,
}
_TRIGGERS = {
    "BootNotification": Trigger.BOOT,
    "FirmwareStatusNotification": Trigger.FIRMWARE_STATUS,
    "Heartbeat": Trigger.HEARTBEAT,
    "LogStatusNotification": Trigger.LOG_STATUS,
    "MeterValues": Trigger.METER_VALUES,
    "SignChargePointCertificate": Trigger.SIGN,
    "StatusNotification": Trigger.STATUS,
}


def _event(message: SecurityHappened, desk: Desk) -> dict[str, Any]:
    kind = EVENT_NAMES.get(message.kind, message.kind)
    payload = {"type": kind[:50], "timestamp": rfc3339(desk.clock.utc_s(message.at))}
    return payload | ({"techInfo": message.info[:255]} if message.info else {})


def _csr(message: CertificateSigningWanted, desk: Desk) -> dict[str, Any]:
    return {"csr": message.csr}


def _signed(payload: Payload, desk: Desk) -> AskCertificateSigned:
    return AskCertificateSigned(payload["certificateChain"])


def _install(payload: Payload, desk: Desk) -> AskInstallCertificate:
    return AskInstallCertificate(_USES[payload["certificateType"]], payload["certificate"])


def _ids(payload: Payload, desk: Desk) -> AskInstalledCertificates:
    return AskInstalledCertificates((_USES[payload["certificateType"]],))


def _listed(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    roots = reply.data.get("roots", ())
    if reply.status != "Accepted" or not roots:
        return {"status": "NotFound"}
    return {"status": "Accepted", "certificateHashData": [hashes(root.hashes) for root in roots]}


def _trigger(payload: Payload, desk: Desk) -> AskTrigger:
    connector = payload.get("connectorId")
    what = _TRIGGERS[payload["requestedMessage"]]
    return AskTrigger(what, None if connector is None else int(connector), extended=True)


ROWS = (
    Out(SecurityHappened, "SecurityEventNotification", _event, nothing),
    Out(CertificateSigningWanted, "SignCertificate", _csr, answered),
    In("CertificateSigned", _signed, SIGNED),
    In("InstallCertificate", _install, INSTALLED),
    In("DeleteCertificate", named, DELETED),
    In("GetInstalledCertificateIds", _ids, _listed),
    In("ExtendedTriggerMessage", _trigger, one_of("Accepted", "NotImplemented", otherwise="Rejected")),
)
