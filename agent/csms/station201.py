"""One connected OCPP 2.0.1 station, seen from the test central system: the ``ocpp`` package's charge-point class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocpp.v201 import ChargePoint, call, call_result  # type: ignore[import-untyped]
from ocpp.v201.enums import AuthorizationStatusEnumType  # type: ignore[import-untyped]

from agent.csms.station_commands import ENERGY, TO_WH, Speaking, as_wire, now, on

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
NOTED = (
    "ClearedChargingLimit", "FirmwareStatusNotification", "LogStatusNotification", "NotifyChargingLimit",
    "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEvent", "NotifyMonitoringReport",
    "PublishFirmwareStatusNotification", "ReportChargingProfiles", "ReservationStatusUpdate",
    "SecurityEventNotification",
)  # fmt: skip
"""Answered with an empty payload, and no more than counted."""
STATUSES = {str(s.value) for s in AuthorizationStatusEnumType}


class Station201(Speaking, ChargePoint):  # type: ignore[misc]
    """Answers what a station may ask."""

    version, calls, commands = "2.0.1", call, COMMANDS

    @on("BootNotification")
    def boot(self, **payload: Any) -> Any:
        self.ledger.boot(self.id, as_wire(payload))
        return call_result.BootNotification(current_time=now(), interval=self.interval_s, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=now())

    @on("Authorize")
    def authorize(self, id_token: dict[str, Any], **_: Any) -> Any:
        return call_result.Authorize(id_token_info=self._id_token_info(id_token))

    @on("TransactionEvent")
    def transaction_event(
        self, event_type: str, seq_no: int, transaction_info: dict[str, Any], call_unique_id: str, **event: Any
    ) -> Any:
        number, token = transaction_info["transaction_id"], event.get("id_token")
        if self.ledger.number(self.id, number, seq_no):
            try:
                self._book(event_type, number, transaction_info, call_unique_id, event)
            except (ValueError, OverflowError, LookupError) as e:
                self.ledger.violate(self.id, "schema", f"TransactionEvent: energy register is no number: {e}", number)
            self.ledger.numbered(number, seq_no)
        return call_result.TransactionEvent(id_token_info=self._id_token_info(token) if token else None)

    def _book(self, kind: str, number: str, info: dict[str, Any], message_id: str, event: dict[str, Any]) -> None:
        """A start without an EVSE is one of EVSE 0; that has no name of its own either (OCPP 2.0.1, E01)."""
        evse, token = (event.get("evse") or {}).get("id", 0), (event.get("id_token") or {}).get("id_token", "")
        registers = _registers(event.get("meter_value") or [])
        if kind == "Started":
            first_wh = registers[0][2] if registers else None
            self.ledger.start(self.id, message_id, evse, token, first_wh, event["timestamp"], given=number)
            registers = registers[1:]
        elif token:
            self.ledger.identify(number, token)
        if kind == "Ended":  # it may repeat the samples before it
            last = [wh for context, _, wh in registers if context == "Transaction.End"] or [r[2] for r in registers]
            reason = info.get("stopped_reason")
            self.ledger.stop(self.id, number, last[-1] if last else None, event["timestamp"], reason)
        elif registers or kind != "Started":
            where = self.ledger.transactions.get(number)
            self.ledger.meter(
                self.id, where.connector if where else evse, number, [(at, wh) for _, at, wh in registers]
            )

    @on("MeterValues")
    def meter_values(self, evse_id: int, meter_value: list[dict[str, Any]], **_: Any) -> Any:
        try:
            self.ledger.meter(self.id, evse_id, None, [(at, wh) for _, at, wh in _registers(meter_value)])
        except (ValueError, OverflowError, LookupError) as e:
            self.ledger.violate(self.id, "schema", f"MeterValues: energy register is no number: {e}")
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, evse_id: int, connector_id: int, connector_status: str, **rest: Any) -> Any:
        told = {"status": connector_status, "connectorId": connector_id, **as_wire(rest)}
        self.ledger.status(self.id, evse_id, told)
        return call_result.StatusNotification()

    @on("NotifyReport")
    def notify_report(self, request_id: int, seq_no: int, report_data: Any = None, **_: Any) -> Any:
        self.ledger.report(self.id, request_id, seq_no, [as_wire(e) for e in report_data or []])
        return call_result.NotifyReport()

    @on("DataTransfer")
    def data_transfer(self, vendor_id: str, **_: Any) -> Any:
        return call_result.DataTransfer(status="Accepted")

    @on("SignCertificate")
    def sign_certificate(self, **_: Any) -> Any:
        return call_result.SignCertificate(status="Rejected")

    @on("NotifyEVChargingNeeds")
    def charging_needs(self, **_: Any) -> Any:
        return call_result.NotifyEVChargingNeeds(status="Rejected")

    def _id_token_info(self, id_token: dict[str, Any]) -> dict[str, Any]:
        verdict = self.tokens.judge(id_token["id_token"])
        info: dict[str, Any] = {"status": str(verdict.status) if verdict.status in STATUSES else "Invalid"}
        return info | {"group_id_token": {"id_token": verdict.group, "type": "Central"}} if verdict.group else info


def _noted(action: str) -> Callable[..., Any]:
    def note(self: Station201, **_: Any) -> Any:
        return getattr(call_result, action)()

    note.__name__ = f"note_{action}"  # the package finds its routes by the names of functions
    return on(action)(note)


for _note in map(_noted, NOTED):
    setattr(Station201, _note.__name__, _note)


def _registers(meter_value: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Context, instant and Wh of the lifetime import register in every sample. A missing measurand means this very
    register (OCPP 2.0.1, SampledValueType); per-phase registers are not billed."""
    found = []
    for sample in meter_value:
        for value in sample["sampled_value"]:
            if value.get("measurand", ENERGY) != ENERGY or "phase" in value:
                continue
            unit = value.get("unit_of_measure") or {}
            wh = value["value"] * TO_WH[unit.get("unit")] * 10 ** unit.get("multiplier", 0)
            found.append((value.get("context", "Sample.Periodic"), sample["timestamp"], round(wh)))
    return found
