"""The common base of connected stations of every OCPP version, beside the ``ocpp`` package's charge-point class.

Commands have wire form. The module is imported when a station connects: the package costs more than everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, ClassVar, Protocol, TypeVar, cast

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
from agent.csms.station_records import Ledger

F = TypeVar("F", bound=Callable[..., Any])

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
    calls: ClassVar[ModuleType]
    """The package's requests of this version."""
    commands: ClassVar[frozenset[str]]
    """Actions that a central system sends."""
    takes_payment_codes: ClassVar[bool] = False
    """The payment page can set up its codes at a station of this version."""
    id: str

    def __init__(
        self, station: str, wire: Wire, ledger: Ledger, tokens: TokenTable, interval_s: int, timeout_s: float
    ) -> None:
        super().__init__(station, wire, response_timeout=timeout_s, logger=_package_logger())  # type: ignore[call-arg]
        self.ledger, self.tokens, self.interval_s = ledger, tokens, interval_s

    async def send_command(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to the station and return its answer in wire form.

        A CALLERROR is returned as ``{"error": code, ...}``. Raises ``ValueError`` for a wrong action or payload,
        ``TimeoutError``.
        """
        if action not in self.commands:
            raise ValueError(f"action {action!r} is not one that a central system sends in OCPP {self.version}")
        try:
            ready = getattr(self.calls, action)(**camel_to_snake_case(payload))
            await validate_payload(Call("0", action, payload), self.version)
        except (TypeError, OCPPError) as e:
            raise ValueError(f"payload of {action}: {_error_cause(e)}") from e
        try:
            answer = await self.call(ready, suppress=False)  # type: ignore[attr-defined]
        except OCPPError as e:
            if isinstance(e.details.get("ocpp_message"), CallResult):  # the answer violates the schema
                self.ledger.record_violation(self.id, "schema", f"answer to {action}: {_error_cause(e)}")
            return {"error": getattr(e, "code", "InternalError"), "description": _error_cause(e)}
        return as_wire(remove_nones(serialize_as_dict(answer)))


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
