"""One connected OCPP 2.0.1 station, seen from the test central system: the ``ocpp`` package's charge-point class."""

from __future__ import annotations

from typing import Any

from ocpp.v201 import ChargePoint, call, call_result  # type: ignore[import-untyped]
from ocpp.v201.enums import AuthorizationStatusEnumType  # type: ignore[import-untyped]

from agent.csms.station_commands import TO_WH, ConnectedStation, as_wire, billed_values, counts_requests, on

COMMANDS = frozenset({
    "CancelReservation", "CertificateSigned", "ChangeAvailability", "ClearCache", "ClearChargingProfile",
    "ClearDisplayMessage", "ClearVariableMonitoring", "CostUpdated", "CustomerInformation", "DataTransfer",
    "DeleteCertificate", "GetBaseReport", "GetChargingProfiles", "GetCompositeSchedule", "GetDisplayMessages",
    "GetInstalledCertificateIds", "GetLocalListVersion", "GetLog", "GetMonitoringReport", "GetReport",
    "GetTransactionStatus", "GetVariables", "InstallCertificate", "PublishFirmware", "RequestStartTransaction",
    "RequestStopTransaction", "ReserveNow", "Reset", "SendLocalList", "SetChargingProfile", "SetDisplayMessage",
    "SetMonitoringBase", "SetMonitoringLevel", "SetNetworkProfile", "SetVariableMonitoring", "SetVariables",
    "TriggerMessage", "UnlockConnector", "UnpublishFirmware", "UpdateFirmware",
})  # fmt: skip
STATUSES = {str(s.value) for s in AuthorizationStatusEnumType}


@counts_requests(
    "ClearedChargingLimit", "FirmwareStatusNotification", "LogStatusNotification", "NotifyChargingLimit",
    "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEvent", "NotifyMonitoringReport",
    "PublishFirmwareStatusNotification", "ReportChargingProfiles", "ReservationStatusUpdate",
    "SecurityEventNotification",
)  # fmt: skip
class Station201(ConnectedStation, ChargePoint):  # type: ignore[misc]
    """Answers the requests of a station."""

    version, calls, results, commands = "2.0.1", call, call_result, COMMANDS

    @on("Authorize")
    def authorize(self, id_token: dict[str, Any], **_: Any) -> Any:
        return call_result.Authorize(id_token_info=self._id_token_info(id_token))

    @on("TransactionEvent")
    def transaction_event(
        self, event_type: str, seq_no: int, transaction_info: dict[str, Any], call_unique_id: str, **event: Any
    ) -> Any:
        number, token = transaction_info["transaction_id"], event.get("id_token")
        if self.ledger.check_sequence(self.id, number, seq_no):
            self.book_registers(
                "TransactionEvent",
                number,
                lambda: self._book_transaction_event(event_type, number, transaction_info, call_unique_id, event),
            )
            self.ledger.record_sequence(number, seq_no)
        return call_result.TransactionEvent(id_token_info=self._id_token_info(token) if token else None)

    def _book_transaction_event(
        self, kind: str, number: str, info: dict[str, Any], message_id: str, event: dict[str, Any]
    ) -> None:
        """Record a TransactionEvent in the ledger. A start without an EVSE is recorded for EVSE 0 (OCPP 2.0.1, E01)."""
        evse, token = (event.get("evse") or {}).get("id", 0), (event.get("id_token") or {}).get("id_token", "")
        registers = _energy_registers(event.get("meter_value") or [])
        if kind == "Started":
            first_wh = registers[0][2] if registers else None
            self.ledger.record_start(self.id, message_id, evse, token, first_wh, event["timestamp"], given=number)
            registers = registers[1:]
        elif token:
            self.ledger.record_id_tag(number, token)
        if kind == "Ended":  # it may repeat earlier samples
            last = [wh for context, _, wh in registers if context == "Transaction.End"] or [r[2] for r in registers]
            reason = info.get("stopped_reason")
            self.ledger.record_stop(self.id, number, last[-1] if last else None, event["timestamp"], reason)
        elif registers or kind != "Started":
            where = self.ledger.transactions.get(number)
            self.ledger.record_meter_values(
                self.id, where.connector if where else evse, number, [(at, wh) for _, at, wh in registers]
            )

    @on("MeterValues")
    def meter_values(self, evse_id: int, meter_value: list[dict[str, Any]], **_: Any) -> Any:
        self.book_registers(
            "MeterValues",
            None,
            lambda: self.ledger.record_meter_values(
                self.id, evse_id, None, [(at, wh) for _, at, wh in _energy_registers(meter_value)]
            ),
        )
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, evse_id: int, connector_id: int, connector_status: str, **rest: Any) -> Any:
        payload = {"status": connector_status, "connectorId": connector_id, **as_wire(rest)}
        self.ledger.record_status(self.id, evse_id, payload)
        return call_result.StatusNotification()

    @on("NotifyReport")
    def notify_report(self, request_id: int, seq_no: int, report_data: Any = None, **_: Any) -> Any:
        self.ledger.record_report(self.id, request_id, seq_no, [as_wire(e) for e in report_data or []])
        return call_result.NotifyReport()

    @on("NotifyEVChargingNeeds")
    def charging_needs(self, **_: Any) -> Any:
        return call_result.NotifyEVChargingNeeds(status="Rejected")

    def _id_token_info(self, id_token: dict[str, Any]) -> dict[str, Any]:
        verdict = self.tokens.authorize_token(id_token["id_token"])
        info: dict[str, Any] = {"status": str(verdict.status) if verdict.status in STATUSES else "Invalid"}
        return info | {"group_id_token": {"id_token": verdict.group, "type": "Central"}} if verdict.group else info


def _energy_registers(meter_value: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Return context, instant and Wh of the billed register of every sample."""
    found = []
    for at, value in billed_values(meter_value):
        unit = value.get("unit_of_measure") or {}
        wh = value["value"] * TO_WH[unit.get("unit")] * 10 ** unit.get("multiplier", 0)
        found.append((value.get("context", "Sample.Periodic"), at, round(wh)))
    return found
