"""One connected OCPP 1.6 station, seen from the test central system: the ``ocpp`` package's own charge-point class.

Imported only when a station speaks ``ocpp1.6``: the package costs more than everything else together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast

from ocpp.charge_point import (  # type: ignore[import-untyped]
    camel_to_snake_case,
    remove_nones,
    serialize_as_dict,
    snake_to_camel_case,
)
from ocpp.exceptions import OCPPError  # type: ignore[import-untyped]
from ocpp.messages import Call, CallResult, validate_payload  # type: ignore[import-untyped]
from ocpp.routing import on as ocpp_on  # type: ignore[import-untyped]
from ocpp.v16 import ChargePoint, call, call_result  # type: ignore[import-untyped]

from agent.commissioning.ledger import Ledger
from agent.commissioning.tokens import TokenTable

F = TypeVar("F", bound=Callable[..., Any])

STATUS_16 = {"Accepted", "Blocked", "Expired", "ConcurrentTx"}
"""AuthorizationStatus of 1.6 has these and Invalid, which stands for everything else that 2.x can say."""

TO_WH = {None: 1, "Wh": 1, "kWh": 1000}


class Wire(Protocol):
    """What the package needs of a connection."""

    async def recv(self) -> str: ...
    async def send(self, text: str) -> None: ...


def on(action: str) -> Callable[[F], F]:
    """The package's ``@on``, typed."""
    return cast(Callable[[F], F], ocpp_on(action))


class Station16(ChargePoint):  # type: ignore[misc]
    """Answers what a station may ask. Handlers run in the receive loop of the package, so none of them waits."""

    def __init__(
        self, station: str, wire: Wire, ledger: Ledger, tokens: TokenTable, interval_s: int, timeout_s: float
    ) -> None:
        super().__init__(station, wire, response_timeout=timeout_s, logger=_logger())
        self.ledger, self.tokens, self.interval_s = ledger, tokens, interval_s

    async def command(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask the station; its answer in wire form. A CALLERROR comes back as ``{"error": code, ...}``.
        Raises ``ValueError`` for a wrong action or payload, ``TimeoutError``."""
        request = getattr(call, action, None)
        if not isinstance(request, type):
            raise ValueError(f"action {action!r} is not one that a central system sends in OCPP 1.6")
        try:
            ready = request(**camel_to_snake_case(payload))
            await validate_payload(Call("0", action, payload), "1.6")
        except (TypeError, OCPPError) as e:
            raise ValueError(f"payload of {action}: {_cause(e)}") from e
        try:
            answer = await self.call(ready, suppress=False)
        except OCPPError as e:
            if isinstance(e.details.get("ocpp_message"), CallResult):  # the answer itself is against the schema
                self.ledger.violate(self.id, "schema", f"answer to {action}: {_cause(e)}")
            return {"error": getattr(e, "code", "InternalError"), "description": _cause(e)}
        return cast(dict[str, Any], snake_to_camel_case(remove_nones(serialize_as_dict(answer))))

    @on("BootNotification")
    def boot(self, **payload: Any) -> Any:
        self.ledger.boot(self.id, snake_to_camel_case(payload))
        return call_result.BootNotification(current_time=_now(), interval=self.interval_s, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=_now())

    @on("Authorize")
    def authorize(self, id_tag: str) -> Any:
        return call_result.Authorize(id_tag_info=self._id_tag_info(id_tag))

    @on("StartTransaction")
    def start_transaction(
        self, connector_id: int, id_tag: str, meter_start: int, timestamp: str, call_unique_id: str, **_: Any
    ) -> Any:
        transaction_id = self.ledger.start(self.id, call_unique_id, connector_id, id_tag, meter_start, timestamp)
        return call_result.StartTransaction(transaction_id=transaction_id, id_tag_info=self._id_tag_info(id_tag))

    @on("StopTransaction")
    def stop_transaction(
        self, transaction_id: int, meter_stop: int, timestamp: str, id_tag: str | None = None,
        reason: str | None = None, transaction_data: list[dict[str, Any]] | None = None, **_: Any,
    ) -> Any:  # fmt: skip
        self.ledger.stop(self.id, transaction_id, meter_stop, timestamp, reason)
        return call_result.StopTransaction(id_tag_info=self._id_tag_info(id_tag) if id_tag else None)

    @on("MeterValues")
    def meter_values(
        self, connector_id: int, meter_value: list[dict[str, Any]], transaction_id: int | None = None, **_: Any
    ) -> Any:
        try:
            self.ledger.meter(self.id, connector_id, transaction_id, _registers(meter_value))
        except (ValueError, OverflowError, LookupError) as e:
            self.ledger.violate(self.id, "schema", f"MeterValues: energy register is no number: {e}", transaction_id)
        return call_result.MeterValues()

    @on("StatusNotification")
    def status_notification(self, connector_id: int, error_code: str, status: str, **rest: Any) -> Any:
        told = {"status": status, "errorCode": error_code, **snake_to_camel_case(rest)}
        self.ledger.status(self.id, connector_id, told)
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
        verdict = self.tokens.judge(id_tag)
        info = {"status": str(verdict.status) if verdict.status in STATUS_16 else "Invalid"}
        return info | {"parent_id_tag": verdict.group} if verdict.group else info


def _registers(meter_value: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """The lifetime import register of every sample, in Wh. A missing measurand means this very register (OCPP 1.6,
    section 7.43); per-phase registers are not billed."""
    found = []
    for sample in meter_value:
        for value in sample["sampled_value"]:
            measurand = value.get("measurand", "Energy.Active.Import.Register")
            if measurand != "Energy.Active.Import.Register" or "phase" in value or value.get("format") == "SignedData":
                continue
            found.append((sample["timestamp"], int(float(value["value"]) * TO_WH[value.get("unit")])))
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cause(error: Exception) -> str:
    """One line of what was wrong. The package keeps it in ``details["cause"]``."""
    details = getattr(error, "details", None)
    cause = details.get("cause") if isinstance(details, dict) else None
    return str(cause or getattr(error, "description", "") or error)


def _logger() -> logging.Logger:
    """The package logs each violation with its traceback; the ledger has them already, a handler's bug it has not."""
    logger = logging.getLogger("central.ocpp")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(_not_the_stations_fault)
    return logger


def _not_the_stations_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, OCPPError)
