"""Charge points, DC or AC, that EVerest runs: by the MQTT topics of its public API (version 1).

Facts: everest-core 2026-05, ``modules/API``. Unproven on hardware.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from agent.model import secret_file
from agent.model.key_rules import Between, HostName, OneLine, Seconds, TcpPort, Text, settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort

WIDEST_BEAT_S = 4.0


ModuleName: TypeAlias = Annotated[str, Text(100, 1, "[^/+#]+", "the name of an EVerest module, without / + #")]


@dataclass(frozen=True, slots=True)
class EverestSettings:
    """``host``, ``port``: EVerest's broker; ``prefix``: its ``EV_MQTT_EXTERNAL_PREFIX``. The names of the API modules
    of this EVSE, as EVerest's configuration calls them; ``{evse}`` becomes its number. ``evse``: how EVerest's own
    authorisation numbers it (0: as the station does); ``connector``: to unlock. ``timeout_s``: of one request.
    ``confirm_s``: how long EVerest may take to enforce a limit. ``silent_s``: so long without a heartbeat, and EVerest
    is away. ``stop_s``: how long an orderly stop may take. ``least_w``: a DC limit below this is raised to it, since a
    vehicle takes no limit of 0 W as a pause; ``pausable``: this charger really pauses in its loop on command, and does
    that instead."""

    host: HostName
    port: TcpPort = 1883
    username: OneLine = ""
    password_file: Path | None = None
    prefix: Annotated[str, Text(200, form="[^+#]*", like="the begin of a topic, without + #")] = ""
    manager: ModuleName = "evse_manager_{evse}"
    provider: ModuleName = "token_provider_{evse}"
    validator: ModuleName = "token_validator_{evse}"
    limits: ModuleName = "limits_{evse}"
    errors: ModuleName = "errors_{evse}"
    evse: Annotated[int, Between(0, 10_000)] = 0
    connector: Annotated[int, Between(1, 10_000)] = 1
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 2.0
    confirm_s: Seconds = 5.0
    silent_s: Annotated[float, Between(0.01, 600, "seconds")] = 3.0
    stop_s: Annotated[float, Between(0.01, 600, "seconds")] = 25.0
    least_w: Annotated[float, Between(1, 1_000_000, "watts")] = 1500.0
    pausable: bool = False

    @property
    def watchdog_s(self) -> float:
        """EVerest's communication check."""
        return 5.0


def list_complaints(settings: EverestSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not settings.host:
        wrong.append('host: is missing, for example host = "127.0.0.1" (EVerest\'s MQTT broker)')
    if said := secret_file.secret_text_problem(settings.password_file):
        wrong.append(f"password_file: {said}")
    return wrong


def _everest_address(settings: EverestSettings, where: Where) -> tuple[object, ...]:
    return (settings.host, settings.port, settings.prefix, settings.manager.replace("{evse}", str(where.evse)))


@asynccontextmanager
async def open_board(settings: EverestSettings, where: Where) -> AsyncIterator[EvsePort]:
    """Open the EVSE with release withdrawn: stop a transaction that EVerest still runs, in order, and wait for it.
    Raises ``Unreachable``, ``Garbled``, ``Broken`` (settings, a package that is missing)."""
    from drivers.evse_everest.board import EverestBoard

    if wrong := list_complaints(settings):
        raise Broken(f"board of EVSE {where.evse}: " + "; ".join(wrong))
    board = EverestBoard(settings, where)
    try:
        await board.start_board()
        yield board
    finally:
        await board.stop_board()


DRIVER = Driver(
    "evse_everest", "evse", EverestSettings, open_board, list_complaints, _everest_address,
    verify_kit="drivers.evse_everest.verify_kit:VERIFY_KIT", needs=("aiomqtt",), extra="chargy-agent[mqtt]",
)  # fmt: skip
