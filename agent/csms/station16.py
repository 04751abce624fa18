"""One connected OCPP 1.6 station, seen from the test central system: the ``ocpp`` package's own charge-point class."""

from __future__ import annotations

from typing import Any

from ocpp.v16 import ChargePoint, call, call_result  # type: ignore[import-untyped]

from agent.csms.station_commands import ENERGY, TO_WH, ConnectedStation, as_wire, on, utc_now_text

STATUS_16 = {"Accepted", "Blocked", "Expired", "ConcurrentTx"}
"""AuthorizationStatus of 1.6 has these and Invalid. Invalid stands for every other status of 2.x."""

COMMANDS = frozenset({
    "CancelReservation", "CertificateSigned", "ChangeAvailability", "ChangeConfiguration", "ClearCache",
    "ClearChargingProfile", "DataTransfer", "DeleteCertificate", "ExtendedTriggerMessage", "GetCompositeSchedule",
    "GetConfiguration", "GetDiagnostics", "GetInstalledCertificateIds", "GetLocalListVersion", "GetLog",
    "InstallCertificate", "RemoteStartTransaction", "RemoteStopTransaction", "ReserveNow", "Reset", "SendLocalList",
    "SetChargingProfile", "SignedUpdateFirmware", "TriggerMessage", "UnlockConnector", "UpdateFirmware",
})  # fmt: skip


class Station16(ConnectedStation, ChargePoint):  # type: ignore[misc]
    """Answers the requests of a station."""

    version, calls, commands, takes_payment_codes = "1.6", call, COMMANDS, True

    @on("BootNotification")
    def boot_notification(self, **payload: Any) -> Any:
        self.ledger.record_boot(self.id, as_wire(payload))
        return call_result.BootNotification(current_time=utc_now_text(), interval=self.interval_s, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=utc_now_text())

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
        try:
            self.ledger.record_meter_values(self.id, connector_id, transaction_id, _energy_registers(meter_value))
        except (ValueError, OverflowError, LookupError) as e:
            self.ledger.record_violation(
                self.id, "schema", f"MeterValues: energy register is no number: {e}", transaction_id
            )
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, connector_id: int, error_code: str, status: str, **rest: Any) -> Any:
        told = {"status": status, "errorCode": error_code, **as_wire(rest)}
        self.ledger.record_status(self.id, connector_id, told)
        return call_result.StatusNotification()

    @on("DataTransfer")
    def data_transfer(self, vendor_id: str, **_: Any) -> Any:
        return call_result.DataTransfer(status="Accepted")

    @on("FirmwareStatusNotification")
    def firmware_status(self, **_: Any) -> Any:
        return call_result.FirmwareStatusNotification()

    @on("DiagnosticsStatusNotification")
    def diagnostics_status(self, **_: Any) -> Any:
        return call_result.DiagnosticsStatusNotification()

    @on("SignedFirmwareStatusNotification")
    def signed_firmware_status(self, **_: Any) -> Any:
        return call_result.SignedFirmwareStatusNotification()

    @on("LogStatusNotification")
    def log_status(self, **_: Any) -> Any:
        return call_result.LogStatusNotification()

    @on("SecurityEventNotification")
    def security_event(self, **_: Any) -> Any:
        return call_result.SecurityEventNotification()

    @on("SignCertificate")
    def sign_certificate(self, **_: Any) -> Any:
        return call_result.SignCertificate(status="Rejected")

    def _id_tag_info(self, id_tag: str) -> dict[str, str]:
        verdict = self.tokens.authorize_token(id_tag)
        info = {"status": str(verdict.status) if verdict.status in STATUS_16 else "Invalid"}
        return info | {"parent_id_tag": verdict.group} if verdict.group else info


def _energy_registers(meter_value: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the lifetime import register of every sample, in Wh.

    A missing measurand means this register (OCPP 1.6, section 7.43). Per-phase registers are not billed.
    """
    found = []
    for sample in meter_value:
        for value in sample["sampled_value"]:
            measurand = value.get("measurand", ENERGY)
            if measurand != ENERGY or "phase" in value or value.get("format") == "SignedData":
                continue
            found.append((sample["timestamp"], int(float(value["value"]) * TO_WH[value.get("unit")])))
    return found
