"""Charge points, DC or AC, that EVerest runs: by the MQTT topics of its public API (version 1).

Facts: everest-core 2026-05, ``modules/API``. Unproven on hardware.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model import secret_file
from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.evse import EvsePort
from drivers.evse_everest.settings import EverestSettings

WIDEST_BEAT_S = 4.0


def list_complaints(settings: EverestSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not settings.host:
        wrong.append('host: is missing, for example host = "127.0.0.1" (EVerest\'s MQTT broker)')
    if problem := secret_file.secret_text_problem(settings.password_file):
        wrong.append(f"password_file: {problem}")
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
