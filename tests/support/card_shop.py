"""A station in this process that sells to bank cards, whose terminal does not answer, with a store that has something
in it already."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.assembly.station import Options, Station
from agent.ports.store import Put
from agent.services.store.store import Store
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import stretched

TEXT = """
[station]
id = "CHY42"
state_dir = "state"
status_socket = "{socket}"
[[evse]]
number = 1
[tariff]
kwh = 0.49
vat_percent = 17
[terminal]
driver = "terminal_payter"
host = "127.0.0.1"
port = 9
[payment]
amount_cents = 5000
prefix = "PY"
[payment.receipts]
seller = "Energy SA"
address = ["1, rue du Test", "L-1000 Luxembourg"]
vat_number = "LU12345678"
port = {port}
"""


def write_station_file(folder: Path, port: int = 0) -> Path:
    """``port``: of the page of the receipts."""
    path = folder / "station.toml"
    path.write_text(TEXT.format(socket=folder / "s", port=port), "utf-8")
    (folder / "state").mkdir(exist_ok=True)
    return path


async def put_into_store(folder: Path, puts: Sequence[Put]) -> None:
    store = await Store.open(folder / "state" / "agent.db")
    await store.commit(puts)
    await store.close()


@contextlib.asynccontextmanager
async def running_shop(path: Path) -> AsyncIterator[Station]:
    """The station of this file, once it is ready."""
    file = load_station_file(path)
    store = await Store.open(file.station.state_dir / "agent.db")
    station = Station(file, Options(), store, await store.read_facts())
    work = asyncio.create_task(station.run())
    try:
        async with asyncio.timeout(stretched(60)):
            while not (station.ready or work.done()):
                await asyncio.sleep(0.02)
        yield station
    finally:
        station._request_exit(0)
        await work
        await store.close()
