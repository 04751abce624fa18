"""The vocabulary of ``chargy-agent verify``, of its checks, and of what a driver says to it about its device.

A check is a function. It gets a ``DeviceUnderTest``: one device of the station with everything that can be done to it
from here. It returns a line on what it saw, or raises ``AssertionError`` (what, where, what to do), a ``DeviceError``,
or ``Skipped``. Checks come by the entry-point group ``chargy_agent.checks``: ``CHECKS``, a tuple of ``Check``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from agent.model.fastclass import frozen
from agent.model.types import EvseId
from agent.ports.driver import Where

T = TypeVar("T")


class Skipped(Exception):
    """The check cannot be made here; ``str()`` is the reason and what it would take."""


class Action(StrEnum):
    """What a hand does: a person's, or a robot's. Each is a level: who finds it so does nothing. ``CAR_ASKS``: a
    vehicle (or a test box in its stead) on the cable that asks for energy as soon as it is offered any."""

    CAR_AWAY = "car_away"
    CAR_ASKS = "car_asks"
    CARD = "card"
    BANK_CARD = "bank_card"
    BUTTON = "button"
    MAINS_OFF = "mains_off"
    MAINS_ON = "mains_on"


class FaultMode(StrEnum):
    """What the bus shim does with replies of the device: hand them on; swallow them; no line at all; other octets
    instead; the first half only; too late."""

    PASS = "pass"
    SILENT = "silent"
    CUT = "cut"
    NOISE = "noise"
    SHORT = "short"
    LATE = "late"


@frozen
class Wire:
    """Where the device is: ``kind`` "tcp" (``host``, ``port``) or "serial" (``device`` and how it is spoken to)."""

    kind: str
    host: str = ""
    port: int = 0
    device: str = ""
    baud: int = 9600
    parity: str = "N"
    stopbits: int = 1

    @property
    def name(self) -> str:
        return self.device if self.kind == "serial" else f"{self.host}:{self.port}"


def wire_of_settings(settings: Any, where: Where) -> Wire | None:
    """By the customary keys: ``device`` (with ``baud``, ``parity``) or ``host`` and ``port``; ``line`` says which."""
    device, host = getattr(settings, "device", ""), getattr(settings, "host", "")
    line = getattr(settings, "line", "")
    if device and line in ("", "rtu"):
        baud, parity = getattr(settings, "baud", 0) or 9600, getattr(settings, "parity", "") or "N"
        return Wire("serial", device=device, baud=baud, parity=parity)
    port = getattr(settings, "port", 0)
    return Wire("tcp", host=host, port=port) if host and port and line != "rtu" else None


def move_to_wire(settings: Any, wire: Wire) -> Any:
    """The settings with the device at another place. A pseudo terminal knows no parity."""
    from dataclasses import replace

    if wire.kind == "tcp":
        return replace(settings, host=wire.host, port=wire.port)
    more = {"parity": "N"} if hasattr(settings, "parity") else {}
    return replace(settings, device=wire.device, **more)


@frozen
class VerifyKit:
    """What ``verify`` has to know of a driver beyond its port; ``Driver.verify_kit`` names it as "module:NAME".
    ``wire`` and ``moved``: where the bus shim goes between. ``panel``: what a display shows now, as PNG.
    ``on_hardware``: what no simulation proves, as sentences for the checklist of the person at the real device."""

    on_hardware: tuple[str, ...] = ()
    wire: Callable[[Any, Where], Wire | None] = wire_of_settings
    moved: Callable[[Any, Wire], Any] = move_to_wire
    panel: Callable[[Any], bytes] | None = None


class FaultProxy(Protocol):
    """A proxy between driver and device."""

    async def set_fault_mode(self, mood: FaultMode) -> None:
        """From now on. ``PASS`` brings the line back after a ``CUT``."""
        ...


class DeviceUnderTest(Protocol):
    """One device. Everything that it gives and that holds something is a context manager, and what was given to the
    device (release above all) is taken back on every way out."""

    name: str
    evse: EvseId
    settings: Any
    where: Where
    samples: int
    """How often something is measured whose 95th percentile is told."""
    reads: int
    """Of the memory check; 0 leaves it out."""
    patience_s: float
    """How long a hand may take."""

    def open_port(self) -> AbstractAsyncContextManager[Any]:
        """The opened port."""
        ...

    def open_through_proxy(self) -> AbstractAsyncContextManager[tuple[Any, FaultProxy]]:
        """The port, opened through the shim, and the shim. Raises ``Skipped``: this driver's line takes none."""
        ...

    def vehicle_charging(self) -> AbstractAsyncContextManager[None]:
        """A vehicle draws energy through this EVSE's board. Raises ``Skipped`` without a board, a hand or consent."""
        ...

    async def request_action(self, deed: Action, what: str = "") -> None:
        """Ask for a deed and return; what comes of it is seen at the port within ``patience_s``. Raises ``Skipped``."""
        ...

    async def reference_value(self, key: str, question: str) -> str:
        """What somebody else measures or reads: the meter's own display, the number on the card. Raises ``Skipped``."""
        ...

    async def expect_observation(self, what: str, expected: str, question: str) -> None:
        """Somebody looks at it. Raises ``AssertionError`` when it is otherwise, ``Skipped`` when nobody can."""
        ...

    def require_consent(self) -> None:
        """Raises ``Skipped`` unless the technician has said yes to release."""
        ...

    async def finish_uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """What must not stay half done: Ctrl-C and the check's own patience wait for it."""
        ...

    def panel_image(self) -> bytes:
        """What the display shows, as PNG. Raises ``Skipped``."""
        ...

    def show_progress(self, text: str) -> None:
        """Progress."""
        ...

    def record_figure(self, name: str, value: float | str) -> None:
        """For the report; units in the name."""
        ...


@frozen
class Check:
    """``role`` is the port's (``Driver.role``)."""

    role: str
    name: str
    run: Callable[[DeviceUnderTest], Awaitable[str]]
