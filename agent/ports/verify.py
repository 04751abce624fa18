"""The vocabulary of ``chargy-agent verify``, of its checks, and of what a driver says to it about its device.

A check is a function. It gets a ``DeviceUnderTest``: one device of the station with everything that can be done to it
from here. It returns a line on what it saw, or raises ``AssertionError`` (what, where, what to do), a ``DeviceError``,
or ``Skipped``. Checks come by the entry-point group ``chargy_agent.checks``: ``CHECKS``, a tuple of ``Check``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import EvseId
from agent.ports.driver import Where

T = TypeVar("T")


class Skipped(Exception):
    """The check cannot run here. ``str()`` gives the reason and what is needed."""


class Action(StrEnum):
    """What an operator does, a person or a robot. Each is a state to reach: if it is reached, nothing is done.

    ``CAR_ASKS``: a vehicle, or a test box, is on the cable and asks for energy as soon as some is offered.
    """

    CAR_AWAY = "car_away"
    CAR_ASKS = "car_asks"
    CARD = "card"
    BANK_CARD = "bank_card"
    BUTTON = "button"
    MAINS_OFF = "mains_off"
    MAINS_ON = "mains_on"


class FaultMode(StrEnum):
    """What the bus shim does with the replies of the device.

    Pass them; drop them; close the line; send other octets; send the first half only; send them too late.
    """

    PASS = "pass"
    SILENT = "silent"
    CUT = "cut"
    NOISE = "noise"
    SHORT = "short"
    LATE = "late"


@frozen
class Wire:
    """Address of the device: ``kind`` "tcp" (``host``, ``port``) or "serial" (``device`` and line parameters)."""

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
    """Return the wire by the usual keys: ``device`` (``baud``, ``parity``) or ``host`` and ``port``, by ``line``."""
    device, host = getattr(settings, "device", ""), getattr(settings, "host", "")
    line = getattr(settings, "line", "")
    if device and line in ("", "rtu"):
        baud, parity = getattr(settings, "baud", 0) or 9600, getattr(settings, "parity", "") or "N"
        return Wire("serial", device=device, baud=baud, parity=parity)
    port = getattr(settings, "port", 0)
    return Wire("tcp", host=host, port=port) if host and port and line != "rtu" else None


def move_to_wire(settings: Any, wire: Wire) -> Any:
    """Return the settings with the device at another address. A pseudo terminal has no parity."""
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
    """A proxy between a driver and its device."""

    async def set_fault_mode(self, mood: FaultMode) -> None:
        """Change what happens to replies from now on. ``PASS`` opens the line again after a ``CUT``."""
        ...


class DeviceUnderTest(Protocol):
    """One device. Whatever it opens is a context manager. On every way out the device's state is restored, above all
    release is withdrawn."""

    name: str
    evse: EvseId
    settings: Any
    where: Where
    samples: int
    """Number of measurements for a 95th percentile."""
    reads: int
    """Number of reads of the memory check; 0 skips it."""
    patience_s: float
    """How long an operator may take."""

    def open_port(self) -> AbstractAsyncContextManager[Any]:
        """Open the port."""
        ...

    def open_through_proxy(self) -> AbstractAsyncContextManager[tuple[Any, FaultProxy]]:
        """Open the port through a fault proxy. Yields both. Raises ``Skipped`` if the driver's line takes none."""
        ...

    def vehicle_charging(self) -> AbstractAsyncContextManager[None]:
        """Let a vehicle charge at this EVSE. Raises ``Skipped`` without a board, an operator or consent."""
        ...

    async def request_action(self, action: Action, what: str = "") -> None:
        """Ask for an action and return. Its effect is seen at the port within ``patience_s``. Raises ``Skipped``."""
        ...

    async def reference_value(self, key: str, question: str) -> str:
        """Return an independent value: from the meter's display, the number on the card. Raises ``Skipped``."""
        ...

    async def expect_observation(self, what: str, expected: str, question: str) -> None:
        """Ask for an observation. Raises ``AssertionError`` if it differs, ``Skipped`` if it cannot be made."""
        ...

    def require_consent(self) -> None:
        """Raise ``Skipped`` unless the technician has allowed release."""
        ...

    async def finish_uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Finish work that must not stay half done. Ctrl-C and the time-out of the check wait for it."""
        ...

    def panel_image(self) -> bytes:
        """Return the picture on the display as PNG. Raises ``Skipped``."""
        ...

    def show_progress(self, text: str) -> None:
        """Show progress."""
        ...

    def record_figure(self, name: str, value: float | str) -> None:
        """Record a figure for the report. The unit is part of the name."""
        ...


@frozen
class Check:
    """A check of all devices with this ``role`` (``Driver.role``)."""

    role: str
    name: str
    run: Callable[[DeviceUnderTest], Awaitable[str]]
