"""Charge points, DC or AC, that EVerest runs: by the MQTT topics of its public API (version 1).

Facts: everest-core 2026-05, ``modules/API``. Unproven on hardware.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import secret_file
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort

WIDEST_BEAT_S = 4.0


@dataclass(frozen=True, slots=True)
class EverestSettings:
    """``host``, ``port``: EVerest's broker; ``prefix``: its ``EV_MQTT_EXTERNAL_PREFIX``. The names of the API modules
    of this EVSE, as EVerest's configuration calls them; ``{evse}`` becomes its number. ``evse``: how EVerest's own
    authorisation numbers it (0: as the station does); ``connector``: to unlock. ``timeout_s``: of one request.
    ``confirm_s``: how long EVerest may take to enforce a limit. ``silent_s``: so long without a heartbeat, and EVerest
    is away. ``stop_s``: how long an orderly stop may take. ``least_w``: a DC limit below this is raised to it, since a
    vehicle takes no limit of 0 W as a pause; ``pausable``: this charger really pauses in its loop when told, and does
    that instead."""

    host: str
    port: int = 1883
    username: str = ""
    password_file: Path | None = None
    prefix: str = ""
    manager: str = "evse_manager_{evse}"
    provider: str = "token_provider_{evse}"
    validator: str = "token_validator_{evse}"
    limits: str = "limits_{evse}"
    errors: str = "errors_{evse}"
    evse: int = 0
    connector: int = 1
    timeout_s: float = 2.0
    confirm_s: float = 5.0
    silent_s: float = 3.0
    stop_s: float = 25.0
    least_w: float = 1500.0
    pausable: bool = False

    @property
    def watchdog_s(self) -> float:
        """EVerest's communication check."""
        return 5.0


def complaints(settings: EverestSettings, where: Where | None = None) -> list[str]:
    """What is wrong with the settings, one line each, without touching a device."""
    wrong = []
    if not settings.host:
        wrong.append('host: is missing, for example host = "127.0.0.1" (EVerest\'s MQTT broker)')
    if not 0 < settings.port < 65536:
        wrong.append(f"port: must be 1 to 65535, is {settings.port}")
    names = (settings.manager, settings.provider, settings.validator, settings.limits, settings.errors)
    if any(not n or any(c in n for c in "/+#") for n in names):
        wrong.append("manager, provider, validator, limits, errors: must be names of EVerest modules, without / + #")
    if any(c in settings.prefix for c in "+#\0"):
        wrong.append(f"prefix: must be the begin of a topic, without + #, is {settings.prefix!r}")
    if min(settings.timeout_s, settings.confirm_s, settings.silent_s, settings.stop_s, settings.least_w) <= 0:
        wrong.append("timeout_s, confirm_s, silent_s, stop_s, least_w: must be above 0")
    if said := secret_file.text_trouble(settings.password_file):
        wrong.append(f"password_file: {said}")
    return wrong


def _address(settings: EverestSettings, where: Where) -> tuple[object, ...]:
    return (settings.host, settings.port, settings.prefix, settings.manager.replace("{evse}", str(where.evse)))


@asynccontextmanager
async def open_board(settings: EverestSettings, where: Where) -> AsyncIterator[EvsePort]:
    """Comes up with release withdrawn: a transaction that EVerest still runs is stopped, in order, and waited for.
    Raises ``Unreachable``, ``Garbled``, ``Broken`` (settings, a package that is missing)."""
    from drivers.evse_everest.board import Everest

    if wrong := complaints(settings):
        raise Broken(f"board of EVSE {where.evse}: " + "; ".join(wrong))
    board = Everest(settings, where)
    try:
        await board.begin()
        yield board
    finally:
        await board.end()


DRIVER = Driver(
    "evse_everest", "evse", EverestSettings, open_board, complaints, _address,
    fitting="drivers.evse_everest.fitting:FITTING",
)  # fmt: skip
