"""Connected stations over SOAP, seen from the test central system: stations of 1.6 whose messages ``soap_port.py`` has
translated, without the requests that their version does not know."""

from __future__ import annotations

from typing import Any

from ocpp.routing import on as ocpp_on  # type: ignore[import-untyped]

from agent.csms.station16 import COMMANDS as COMMANDS_OF_16
from agent.csms.station16 import Station16

SECURITY_EXTENSION = frozenset({
    "CertificateSigned", "DeleteCertificate", "ExtendedTriggerMessage", "GetInstalledCertificateIds", "GetLog",
    "InstallCertificate", "SignedUpdateFirmware",
})  # fmt: skip
"""Requests that exist over a WebSocket only."""
SINCE_16 = frozenset({"ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile", "TriggerMessage"})
SINCE_15 = frozenset({
    "CancelReservation", "DataTransfer", "GetConfiguration", "GetLocalListVersion", "ReserveNow", "SendLocalList",
})  # fmt: skip


class Station16S(Station16):
    """Answers the requests of a station of OCPP 1.6."""

    commands, payment_words = COMMANDS_OF_16 - SECURITY_EXTENSION, None


class Station15(Station16S):
    """Answers the requests of a station of OCPP 1.5."""

    version, schema_version, commands = "1.5", "1.6", Station16S.commands - SINCE_16

    @ocpp_on("StatusNotification", skip_schema_validation=True)  # type: ignore[untyped-decorator]
    def status_notification(self, connector_id: int, error_code: str, status: str, **rest: Any) -> Any:
        """Record a status. The schema of 1.6, which the package has, does not know ``Occupied``."""
        return Station16.status_notification(self, connector_id, error_code, status, **rest)


class Station12(Station15):
    """Answers the requests of a station of OCPP 1.2."""

    version, commands = "1.2", Station15.commands - SINCE_15
