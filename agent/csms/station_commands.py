"""The common base of connected stations of every OCPP version, beside the ``ocpp`` package's charge-point class.

Commands have wire form. The module is imported when a station connects: the package costs more than everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast

from ocpp.charge_point import (  # type: ignore[import-untyped]
    camel_to_snake_case,
    remove_nones,
    serialize_as_dict,
    snake_to_camel_case,
)
from ocpp.exceptions import OCPPError  # type: ignore[import-untyped]
from ocpp.messages import Call, CallResult, validate_payload  # type: ignore[import-untyped]
from ocpp.routing import on as ocpp_on  # type: ignore[import-untyped]

from agent.csms.accepted_tokens import TokenTable
from agent.csms.payment_words import PaymentWords
from agent.csms.station_records import Ledger, TransactionId

if TYPE_CHECKING:
    from agent.csms.payment_page import PayDesk

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

ENERGY = "Energy.Active.Import.Register"
TO_WH = {None: 1, "Wh": 1, "kWh": 1000}


class Wire(Protocol):
    """The connection that the package needs."""

    async def recv(self) -> str: ...
    async def send(self, text: str) -> None: ...


def on(action: str) -> Callable[[F], F]:
    """The package's ``@on`` with types."""
    return cast(Callable[[F], F], ocpp_on(action))


class ConnectedStation:
    """A base class beside the package's class of one version. Handlers run in its receive loop, so none may wait."""

    version: ClassVar[str]
    schema_version: ClassVar[str] = ""
    """The version whose schemas the package uses for it; "": the same."""
    calls: ClassVar[ModuleType]
    """The package's requests of this version."""
    results: ClassVar[ModuleType]
    """The package's responses of this version."""
    commands: ClassVar[frozenset[str]]
    """Actions that a central system sends."""
    payment_words: ClassVar[type[PaymentWords] | None] = None
    """The words in which the payment page speaks to a station of this version. None: it sets up no codes there."""
    desk: PayDesk | None = None
    """The payment page, if there is one."""
    has_messages_without_answer: ClassVar[bool] = False
    """SEND and CALLRESULTERROR exist in this version."""
    id: str

    def __init__(
        self, station: str, wire: Wire, ledger: Ledger, tokens: TokenTable, interval_s: int, timeout_s: float
    ) -> None:
        super().__init__(station, wire, response_timeout=timeout_s, logger=_package_logger())  # type: ignore[call-arg]
        self.ledger, self.tokens, self.interval_s = ledger, tokens, interval_s

    # --- requests that every version has ---------------------------------------------------------------------------

    @on("BootNotification")
    def boot_notification(self, **payload: Any) -> Any:
        self.ledger.record_boot(self.id, as_wire(payload))
        return self.results.BootNotification(current_time=utc_now_text(), interval=self.interval_s, status="Accepted")

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return self.results.Heartbeat(current_time=utc_now_text())

    @on("DataTransfer")
    def data_transfer(self, vendor_id: str, **_: Any) -> Any:
        return self.results.DataTransfer(status="Accepted")

    @on("SignCertificate")
    def sign_certificate(self, **_: Any) -> Any:
        return self.results.SignCertificate(status="Rejected")

    def book_registers(self, action: str, transaction_id: TransactionId | None, book: Callable[[], object]) -> None:
        """Record energy registers. One that is no number is a violation of the schema."""
        try:
            book()
        except (ValueError, OverflowError, LookupError) as e:
            text = f"{action}: energy register is no number: {e}"
            self.ledger.record_violation(self.id, "schema", text, transaction_id)

    # --- commands --------------------------------------------------------------------------------------------------

    async def send_command(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to the station and return its answer in wire form.

        A CALLERROR is returned as ``{"error": code, ...}``. Raises ``ValueError`` for a wrong action or payload,
        ``TimeoutError``.
        """
        if action not in self.commands:
            raise ValueError(f"action {action!r} is not one that a central system sends in OCPP {self.version}")
        try:
            ready = getattr(self.calls, action)(**camel_to_snake_case(payload))
            await validate_payload(Call("0", action, payload), self.schema_version or self.version)
        except (TypeError, OCPPError) as e:
            raise ValueError(f"payload of {action}: {_error_cause(e)}") from e
        try:
            answer = await self.call(ready, suppress=False)  # type: ignore[attr-defined]
        except OCPPError as e:
            if isinstance(e.details.get("ocpp_message"), CallResult):  # the answer violates the schema
                self.ledger.record_violation(self.id, "schema", f"answer to {action}: {_error_cause(e)}")
            return {"error": getattr(e, "code", "InternalError"), "description": _error_cause(e)}
        return as_wire(remove_nones(serialize_as_dict(answer)))


def counts_requests(*actions: str) -> Callable[[C], C]:
    """Make a class answer these requests with an empty payload. They are counted, no more."""

    def add_handlers(station_class: C) -> C:
        for action in actions:
            handler = _counting_handler(action)
            setattr(station_class, handler.__name__, handler)
        return station_class

    return add_handlers


def _counting_handler(action: str) -> Callable[..., Any]:
    def answer_empty(self: ConnectedStation, **_: Any) -> Any:
        return getattr(self.results, action)()

    answer_empty.__name__ = f"note_{action}"  # the package finds its routes by the names of functions
    return on(action)(answer_empty)


def billed_values(meter_value: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the instant and the value of the lifetime import register of every sample.

    A missing measurand means this register (OCPP 1.6 7.43, OCPP 2.0.1 SampledValueType). Per-phase registers are not
    billed.
    """
    for sample in meter_value:
        for value in sample["sampled_value"]:
            is_register = value.get("measurand", ENERGY) == ENERGY and "phase" not in value
            if is_register and value.get("format") != "SignedData":
                yield sample["timestamp"], value


def as_wire(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with the keys of the wire."""
    return cast(dict[str, Any], snake_to_camel_case(payload))


def utc_now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error_cause(error: Exception) -> str:
    """Return the cause of an error in one line. The package stores it in ``details["cause"]``."""
    details = getattr(error, "details", None)
    cause = details.get("cause") if isinstance(details, dict) else None
    return str(cause or getattr(error, "description", "") or error)


def _package_logger() -> logging.Logger:
    """Return the logger for the package. Violations are filtered out: the ledger has them. Bugs of handlers stay."""
    logger = logging.getLogger("central.ocpp")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(_not_the_stations_fault)
    return logger


def _not_the_stations_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, OCPPError)
