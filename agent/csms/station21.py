"""One connected OCPP 2.1 station, seen from the test central system: what differs from 2.0.1."""

from __future__ import annotations

from typing import Any

from ocpp.v21 import call, call_result  # type: ignore[import-untyped]

from agent.csms import station201
from agent.csms.payment_words import PaymentWords21
from agent.csms.station201 import Station201
from agent.csms.station_commands import counts_requests, on

COMMANDS = station201.COMMANDS | {
    "AFRRSignal", "AdjustPeriodicEventStream", "ChangeTransactionTariff", "ClearDERControl", "ClearTariffs",
    "GetDERControl", "GetPeriodicEventStream", "GetTariffs", "NotifyAllowedEnergyTransfer", "NotifyWebPaymentStarted",
    "RequestBatterySwap", "SetDERControl", "SetDefaultTariff", "UpdateDynamicSchedule", "UsePriorityCharging",
}  # fmt: skip


@counts_requests("NotifySettlement")
class Station21(Station201):
    """Answers the requests of a station."""

    payment_words = PaymentWords21

    _call, _call_result, _ocpp_version = call, call_result, "2.1"
    version, calls, results, commands = "2.1", call, call_result, COMMANDS
    has_messages_without_answer = True

    @on("TransactionEvent")
    def transaction_event(
        self, event_type: str, seq_no: int, transaction_info: dict[str, Any], call_unique_id: str, **event: Any
    ) -> Any:
        answer = super().transaction_event(
            event_type=event_type,
            seq_no=seq_no,
            transaction_info=transaction_info,
            call_unique_id=call_unique_id,
            **event,
        )
        said = self.desk.payment_answer(transaction_info["transaction_id"], event_type) if self.desk else {}
        return call_result.TransactionEvent(id_token_info=answer.id_token_info, **said)
