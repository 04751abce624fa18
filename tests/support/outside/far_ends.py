"""The far ends: the devices as they answer, over the simulated outlet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from drivers.sim.evse import Evse
from drivers.sim.external_far_ends import FarEnd, Place

Answer = Callable[[Evse, list[str]], dict[str, Any]]


def meter_answer(evse: Evse, words: list[str]) -> dict[str, Any]:
    return {"wh": evse.meter_wh, "w": evse.power_mw / 1000}


def board_answer(evse: Evse, words: list[str]) -> dict[str, Any]:
    registers = evse.registers
    match words:
        case ["STATE"]:
            return {
                "pilot": evse.control_pilot_state()[0], "pwm": evse.pwm, "cable": evse.cable,
                "locked": evse.lock.locked, "contactor": evse.contactor.closed, "released": registers.release,
                "offered_a": evse.offered_current_a if registers.release else 0, "plugged_s": evse.connected_s,
            }  # fmt: skip
        case ["RELEASE", on]:
            evse.set_release(on == "1")
        case ["LIMIT", amperes]:
            evse.set_current_limit(float(amperes))
        case ["WATCHDOG", seconds]:
            registers.watchdog_s, registers.fed_s = float(seconds), 0.0
        case ["BEAT"]:
            registers.fed_s = 0.0
        case ["SERVICE", on]:
            registers.available = on == "1"
        case ["UNLOCK"] if evse.contactor.closed:
            return {"refused": "the contactor is closed"}
        case ["UNLOCK"]:
            evse.force_unlock()
            return {"locked": False}
    return {}


def json_server(answer: Answer) -> Callable[[Place], Any]:
    @asynccontextmanager
    async def serve_place(place: Place) -> AsyncIterator[Mapping[str, Any]]:
        writers = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            while line := await reader.readline():
                writer.write(json.dumps(answer(place.evse, line.decode().split())).encode() + b"\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        try:
            yield {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        finally:
            server.close()
            for writer in writers:
                writer.close()

    return serve_place


FAR_ENDS = (
    FarEnd("board", "outside_board", json_server(board_answer)),
    FarEnd("meter", "outside_meter", json_server(meter_answer)),
)
