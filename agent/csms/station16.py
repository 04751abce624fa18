"""One connected OCPP 1.6 station, seen from the test central system: the ``ocpp`` package's own charge-point class."""

from __future__ import annotations

from typing import Any, ClassVar

from ocpp.v16 import ChargePoint, call, call_result  # type: ignore[import-untyped]

from agent.csms.payment_words import PaymentWords, PaymentWords16
from agent.csms.station_commands import TO_WH, ConnectedStation, as_wire, billed_values, counts_requests, on

STATUS_16 = {"Accepted", "Blocked", "Expired", "ConcurrentTx"}
"""AuthorizationStatus of 1.6 has these and Invalid. Invalid stands for every other status of 2.x."""

COMMANDS = frozenset({
    "CancelReservation", "CertificateSigned", "ChangeAvailability", "ChangeConfiguration", "ClearCache",
    "ClearChargingProfile", "DataTransfer", "DeleteCertificate", "ExtendedTriggerMessage", "GetCompositeSchedule",
    "GetConfiguration", "GetDiagnostics", "GetInstalledCertificateIds", "GetLocalListVersion", "GetLog",
    "InstallCertificate", "RemoteStartTransaction", "RemoteStopTransaction", "ReserveNow", "Reset", "SendLocalList",
    "SetChargingProfile", "SignedUpdateFirmware", "TriggerMessage", "UnlockConnector", "UpdateFirmware",
})  # fmt: skip


@counts_requests(
    "DiagnosticsStatusNotification", "FirmwareStatusNotification", "LogStatusNotification",
    "SecurityEventNotification", "SignedFirmwareStatusNotification",
)  # fmt: skip
class Station16(ConnectedStation, ChargePoint):  # type: ignore[misc]
    """Answers the requests of a station."""

    version, calls, results, commands = "1.6", call, call_result, COMMANDS
    payment_words: ClassVar[type[PaymentWords] | None] = PaymentWords16

    @on("Authorize")
    def authorize(self, id_tag: str) -> Any:
        return call_result.Authorize(id_tag_info=self._id_tag_info(id_tag))

    @on("StartTransaction")
    def start_transaction(
        self, connector_id: int, id_tag: str, meter_start: int, timestamp: str, call_unique_id: str, **_: Any
    ) -> Any:
        transaction_id = self.ledger.record_start(self.id, call_unique_id, connector_id, id_tag, meter_start, timestamp)
        return call_result.StartTransaction(transaction_id=transaction_id, id_tag_info=self._id_tag_info(id_tag))

    @on("StopTransaction")
    def stop_transaction(
        self, transaction_id: int, meter_stop: int, timestamp: str, id_tag: str | None = None,
        reason: str | None = None, transaction_data: list[dict[str, Any]] | None = None, **_: Any,
    ) -> Any:  # fmt: skip
        self.ledger.record_stop(self.id, transaction_id, meter_stop, timestamp, reason)
        return call_result.StopTransaction(id_tag_info=self._id_tag_info(id_tag) if id_tag else None)

    @on("MeterValues")
    def meter_values(
        self, connector_id: int, meter_value: list[dict[str, Any]], transaction_id: int | None = None, **_: Any
    ) -> Any:
        self.book_registers(
            "MeterValues",
            transaction_id,
            lambda: self.ledger.record_meter_values(
                self.id, connector_id, transaction_id, _energy_registers(meter_value)
            ),
        )
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, connector_id: int, error_code: str, status: str, **rest: Any) -> Any:
        payload = {"status": status, "errorCode": error_code, **as_wire(rest)}
        self.ledger.record_status(self.id, connector_id, payload)
        return call_result.StatusNotification()

    def _id_tag_info(self, id_tag: str) -> dict[str, str]:
        verdict = self.tokens.authorize_token(id_tag)
        info = {"status": str(verdict.status) if verdict.status in STATUS_16 else "Invalid"}
        return info | {"parent_id_tag": verdict.group} if verdict.group else info


def _energy_registers(meter_value: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return instant and Wh of the billed register of every sample."""
    return [(at, int(float(v["value"]) * TO_WH[v.get("unit")])) for at, v in billed_values(meter_value)]
