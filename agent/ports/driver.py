"""How a driver package presents itself: one ``Driver`` object under the entry-point group ``chargy_agent.drivers``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from agent.model.fastclass import frozen, replace
from agent.model.types import EvseId

S = TypeVar("S")


@frozen
class OutletFacts:
    """What a display of the whole station shows of one outlet."""

    kind: str
    """"AC" or "DC"."""
    outlet: str
    """"socket" or "tethered"."""


NO_OUTLETS: Mapping[EvseId, OutletFacts] = MappingProxyType({})


@frozen
class StationFacts:
    """What a device may need of the station file. ``max_a`` to ``outlet`` are of the EVSE that the device belongs to; a
    device of the whole station has 0 A, three phases, and no kind and outlet."""

    number: str = ""
    """The station's number as people know it."""
    hotline: str = ""
    timezone: str = ""
    language: str = "en"
    max_a: float = 32.0
    phases: int = 3
    kind: str = ""
    """"AC" or "DC"."""
    power_w: float | None = None
    """The most that the EVSE gives. None: the station file does not name it."""
    outlet: str = ""
    """"socket" or "tethered"."""
    outlets: Mapping[EvseId, OutletFacts] = NO_OUTLETS
    """All outlets of the station."""
    state_dir: Path | None = None
    """A folder for secrets of the device's own."""
    hold_hours: float = 0.0
    """How long a bank may have to hold an amount. 0: the station takes no payments."""

    def facts_of_outlet(self, evse: object) -> StationFacts:
        """Return the facts with kind and outlet of this EVSE, if the station has it."""
        found = self.outlets.get(evse) if isinstance(evse, int) else None
        return self if found is None else replace(self, kind=found.kind, outlet=found.outlet)


@frozen
class Where:
    """The place a device has in the station, given to ``Driver.open``.

    ``now``: stamp source (seconds of the agent's clock, boot number) for readings. ``config_dirs``: where maps
    (``meters/*.toml``, ``boards/*.toml``, ``texts/*.toml``) are looked up, the station's own folder first.
    """

    evse: EvseId
    role: str
    now: Callable[[], tuple[int, float]]
    config_dirs: tuple[Path, ...]
    facts: StationFacts = StationFacts()


@frozen
class Driver(Generic[S]):
    """``role`` is the port it yields (evse, meter, reader, display); ``settings`` a frozen dataclass whose fields are
    the keys of the device's table in the station file; ``open(settings, where)`` an async context manager that yields
    the port and closes it in every case. ``check(settings, where)`` returns complaints without touching hardware.
    ``address(settings, where)``: two devices with equal addresses are the same one; without it, those of
    equal keys. ``verify_kit``: "module:NAME" of an ``agent.ports.verify.VerifyKit``, imported by ``verify`` alone.
    ``needs``: modules without which the device cannot be opened and that not every installation has; ``extra``: what
    pip installs to bring them, for example ``chargy-agent[mqtt]``."""

    name: str
    role: str
    settings: type[S]
    open: Callable[[S, Where], AbstractAsyncContextManager[Any]]
    check: Callable[[S, Where], list[str]] = lambda settings, where: []
    address: Callable[[S, Where], tuple[Any, ...]] | None = None
    verify_kit: str = ""
    needs: tuple[str, ...] = ()
    extra: str = ""

    def missing_dependency(self) -> str:
        """Which of ``needs`` is not installed, and the command that installs it; "": nothing."""
        return missing_module(self.needs, self.extra)


def missing_module(names: tuple[str, ...], extra: str) -> str:
    """The first module that is not installed, and the command that installs it; "": all are there."""
    absent = next((n for n in names if not _is_there(n)), "")
    return absent and f"{absent} is not installed; install it: pip install '{extra}'"


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False
