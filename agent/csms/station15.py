"""One connected OCPP 1.5 station, seen from the test central system: a station of 1.6 whose messages came over SOAP
(``soap_port.py``), with five statuses and without the requests that 1.5 does not know."""

from __future__ import annotations

from typing import Any

from ocpp.routing import on as ocpp_on  # type: ignore[import-untyped]

from agent.csms.station16 import Station16

COMMANDS = frozenset({
    "CancelReservation", "ChangeAvailability", "ChangeConfiguration", "ClearCache", "DataTransfer", "GetConfiguration",
    "GetDiagnostics", "GetLocalListVersion", "RemoteStartTransaction", "RemoteStopTransaction", "ReserveNow", "Reset",
    "SendLocalList", "UnlockConnector", "UpdateFirmware",
})  # fmt: skip


class Station15(Station16):
    """Answers the requests of a station."""

    version, schema_version, commands, payment_words = "1.5", "1.6", COMMANDS, None

    @ocpp_on("StatusNotification", skip_schema_validation=True)  # type: ignore[untyped-decorator]
    def status_notification(self, connector_id: int, error_code: str, status: str, **rest: Any) -> Any:
        """Record a status. The schema of 1.6, which the package has, does not know ``Occupied``."""
        return Station16.status_notification(self, connector_id, error_code, status, **rest)
