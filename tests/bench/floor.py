"""What no station agent in Python can do without, and nothing else: the floor that ``bench.py`` measures beside.

  python tests/bench/floor.py --url ws://127.0.0.1:PORT/ID [--frames own|websockets] [--tty DEVICE] [--calls N]

Imports and opens what an agent must (asyncio, ssl, json, logging, tomllib, SQLite with one durable record), sends
BootNotification, answers TriggerMessage by nine sampled values, and sends Authorize for each line of a serial line.
``--calls``: sends so many MeterValues, each when the one before is answered.
No validation, no state, no hardware.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import sqlite3
import ssl  # an agent on a public network cannot do without; imported for its cost
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PHASES = ("L1", "L2", "L3")
SAMPLED = [
    {"value": "1234567", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
    {"value": "11040", "measurand": "Power.Active.Import", "unit": "W"},
    *({"value": "15.9", "measurand": "Current.Import", "phase": p, "unit": "A"} for p in PHASES),
    *({"value": "230.4", "measurand": "Voltage", "phase": p + "-N", "unit": "V"} for p in PHASES),
    {"value": "16.0", "measurand": "Current.Offered", "unit": "A"},
]
STATION = '[station]\nvendor = "Chargy"\nmodel = "Floor"\nserial = "F-1"\n'


class Floor:
    def __init__(self, send: Callable[[str], None]) -> None:
        self._send, self._ids = send, itertools.count(1)
        self.left = 0

    def call(self, action: str, payload: dict[str, Any]) -> None:
        self._send(json.dumps([2, str(next(self._ids)), action, payload], separators=(",", ":")))

    def on_text(self, text: str) -> None:
        frame = json.loads(text)
        if frame[0] == 2 and frame[2] == "TriggerMessage":
            self._send(json.dumps([3, frame[1], {"status": "Accepted"}], separators=(",", ":")))
            self.meter_values()
        elif frame[0] == 3 and self.left:
            self.left -= 1
            self.meter_values()

    def meter_values(self) -> None:
        value = [{"timestamp": "2026-11-25T10:00:00Z", "sampledValue": SAMPLED}]
        self.call("MeterValues", {"connectorId": 1, "meterValue": value})

    def follow_line(self, device: str) -> None:
        descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

        def readable() -> None:
            for line in os.read(descriptor, 256).decode().split():
                self.call("Authorize", {"idTag": line})

        asyncio.get_running_loop().add_reader(descriptor, readable)


async def connect(url: str, frames: str, on_text: Callable[[str], None]) -> Callable[[str], None]:
    """Connected; the function that sends a text."""
    if frames == "own":
        sys.path.insert(0, str(Path(__file__).parent))
        from tests.bench.frames import Client  # type: ignore[import-not-found]

        at = urlsplit(url)
        make = lambda: Client(at.netloc, at.path, on_text)  # noqa: E731
        _, client = await asyncio.get_running_loop().create_connection(make, str(at.hostname), at.port or 80)
        await client.opened
        return client.send  # type: ignore[no-any-return]
    from websockets.asyncio.client import connect as open_socket

    socket = await open_socket(url, subprotocols=["ocpp1.6"], proxy=None, ping_interval=None, compression=None)  # type: ignore[list-item]
    out: asyncio.Queue[str] = asyncio.Queue()

    async def receive() -> None:
        async for text in socket:
            on_text(str(text))

    async def write() -> None:
        while True:
            await socket.send(await out.get())

    TASKS.extend((asyncio.ensure_future(receive()), asyncio.ensure_future(write())))
    return out.put_nowait


TASKS: list[asyncio.Future[None]] = []


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--frames", choices=("own", "websockets"), default="own")
    parser.add_argument("--tty")
    parser.add_argument("--calls", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    station = tomllib.loads(STATION)["station"]
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE fact(id INTEGER PRIMARY KEY, body TEXT)")
        db.execute("INSERT INTO fact(body) VALUES(?)", (json.dumps(station),))
        floor: Floor
        send = await connect(args.url, args.frames, lambda text: floor.on_text(text))
        floor = Floor(send)
        floor.left = args.calls
        floor.call("BootNotification", {"chargePointVendor": station["vendor"], "chargePointModel": station["model"]})
        if args.tty:
            floor.follow_line(args.tty)
        await asyncio.Event().wait()


assert ssl
asyncio.run(main())
