"""Many stations in one process, of what a fleet is compared with: they know one behaviour and nothing else.

  python -m tests.bench.peer_stations floor|websockets|ocpp --url ws://127.0.0.1:PORT --stations N --interval S

``floor`` writes its own frames, ``websockets`` uses that library with JSON, ``ocpp`` the package of this name besides.
Each station boots, reports its statuses, authorizes a card, starts a transaction, and sends nine sampled values every
``--interval`` seconds; an interval of 0 sends none and starts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tests.bench.frames import Client

NOW = "2026-11-29T10:00:00.000Z"
TAG = "04A2B3C4D5E680"
Call: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[Any]]


def sample_of(value: str, measurand: str, unit: str, phase: str = "") -> dict[str, str]:
    sample = {"value": value, "context": "Sample.Periodic", "format": "Raw", "measurand": measurand, "unit": unit}
    return {**sample, "location": "Outlet", **({"phase": phase} if phase else {})}


SAMPLES = [
    sample_of("1234567", "Energy.Active.Import.Register", "Wh"),
    sample_of("11040", "Power.Active.Import", "W"),
    *(sample_of("15.9", "Current.Import", "A", phase) for phase in ("L1", "L2", "L3")),
    *(sample_of("230.4", "Voltage", "V", phase) for phase in ("L1-N", "L2-N", "L3-N")),
    sample_of("16.0", "Current.Offered", "A"),
]


async def behave(call: Call, interval_s: float) -> None:
    await call("BootNotification", {"chargePointVendor": "Chargy", "chargePointModel": "Bench"})
    for connector in (0, 1):
        status = {"connectorId": connector, "errorCode": "NoError", "status": "Available", "timestamp": NOW}
        await call("StatusNotification", status)
    if not interval_s:
        return
    await call("Authorize", {"idTag": TAG})
    begin = {"connectorId": 1, "idTag": TAG, "meterStart": 1, "timestamp": NOW}
    number = (await call("StartTransaction", begin))["transactionId"]
    loop = asyncio.get_running_loop()
    due_s = loop.time() + random.random() * interval_s  # fixed instants: a pause after each answer would make a burst
    values = {"connectorId": 1, "transactionId": number, "meterValue": [{"timestamp": NOW, "sampledValue": SAMPLES}]}
    while True:
        await asyncio.sleep(due_s - loop.time())
        await call("MeterValues", values)
        due_s = max(due_s + interval_s, loop.time())


def frame_of(id_: str, action: str, payload: dict[str, Any]) -> str:
    return json.dumps([2, id_, action, payload], separators=(",", ":"))


async def open_floor(url: str) -> Call:
    at, loop, ids = urlsplit(url), asyncio.get_running_loop(), itertools.count(1)
    waiting: dict[str, asyncio.Future[Any]] = {}

    def take_text(text: str) -> None:
        frame = json.loads(text)
        waiting.pop(frame[1]).set_result(frame[2])

    def make_client() -> Client:
        return Client(at.netloc, at.path, take_text)

    _, client = await loop.create_connection(make_client, str(at.hostname), at.port)
    await client.opened

    async def call(action: str, payload: dict[str, Any]) -> Any:
        id_ = str(next(ids))
        answer = waiting[id_] = loop.create_future()
        client.send(frame_of(id_, action, payload))
        return await answer

    return call


async def open_websockets(url: str) -> Call:
    from websockets.asyncio.client import connect

    plain: Any = {"subprotocols": ["ocpp1.6"], "compression": None, "ping_interval": None, "proxy": None}
    socket, ids = await connect(url, **plain), itertools.count(1)

    async def call(action: str, payload: dict[str, Any]) -> Any:
        await socket.send(frame_of(str(next(ids)), action, payload))
        return json.loads(await socket.recv())[2]

    return call


async def open_package(url: str) -> Call:
    import ocpp.messages
    from ocpp.charge_point import camel_to_snake_case
    from ocpp.v16 import ChargePoint
    from ocpp.v16 import call as calls
    from websockets.asyncio.client import connect

    ocpp.messages.ASYNC_VALIDATION = False  # in threads, as it is by default, it takes longer
    plain: Any = {"subprotocols": ["ocpp1.6"], "compression": None, "ping_interval": None, "proxy": None}
    station = ChargePoint(url.rpartition("/")[2], await connect(url, **plain))
    TASKS.append(asyncio.ensure_future(station.start()))

    async def call(action: str, payload: dict[str, Any]) -> Any:
        answer = await station.call(getattr(calls, action)(**camel_to_snake_case(payload)))
        return {"transactionId": getattr(answer, "transaction_id", None)}

    return call


TASKS: list[asyncio.Future[None]] = []
OPENINGS: dict[str, Callable[[str], Awaitable[Call]]] = {
    "floor": open_floor,
    "websockets": open_websockets,
    "ocpp": open_package,
}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=OPENINGS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--stations", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True)
    options = parser.parse_args()

    async def run_station(number: int) -> None:
        call = await OPENINGS[options.kind](f"{options.url}/{options.kind.upper()}-{number:05d}")
        await behave(call, options.interval)
        await asyncio.Event().wait()

    from agent.fleet.process_limits import allow_open_files

    allow_open_files(options.stations + 200)
    await asyncio.gather(*map(run_station, range(options.stations)))


if __name__ == "__main__":
    asyncio.run(main())
