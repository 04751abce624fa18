"""How a driver package presents itself: one ``Driver`` object under the entry-point group ``chargy_agent.drivers``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from agent.frozen import frozen
from agent.kinds import EvseId

S = TypeVar("S")


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
    facts: dict[str, Any]
    """Facts of the station file that a device may need: ``number``, ``hotline``, ``max_a``, ``phases``,
    ``kind`` ("AC" or "DC"), ``power_w`` (the most it gives; None: not said), ``outlet`` ("socket" or "tethered"),
    ``timezone``, ``language``, ``state_dir`` (a path, for secrets of its own)."""


@frozen
class Driver(Generic[S]):
    """``role`` is the port it yields (evse, meter, reader, display); ``settings`` a frozen dataclass whose fields are
    the keys of the device's table in the station file; ``open(settings, where)`` an async context manager that yields
    the port and closes it in every case. ``check(settings, where)`` returns complaints without touching hardware.
    ``address(settings, where)``: two devices with equal addresses are the same one; without it, those of
    equal keys. ``fitting``: "module:NAME" of an ``agent.ports.verify.Fitting``, imported by ``verify`` alone."""

    name: str
    role: str
    settings: type[S]
    open: Callable[[S, Where], AbstractAsyncContextManager[Any]]
    check: Callable[[S, Where], list[str]] = lambda settings, where: []
    address: Callable[[S, Where], tuple[Any, ...]] | None = None
    fitting: str = ""
