"""A store that an earlier program wrote is read: names of classes, fields and facts in it are data.

``older_stores/`` holds stores that commit c7df3ff (schema 4) wrote before it was killed: ``c7df3ff-ac.db`` of a station
with two sockets whose backend was away (one session is open, another one waits in the queue from start to end; there
are a local list, a charging profile and a changed setting), ``c7df3ff-dc.db`` of a station with a payment terminal.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.payment_queries import answer_payments
from agent.services.store.store import Store
from tests.bench.backend import Backend, open_backend
from tests.support.simulated_station import Simulated

STORES = Path(__file__).parent / "older_stores"
STATION = """
[station]
id = "LU-CHG-0001"
state_dir = "state"
[backend]
reconnect_s = 0.2
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
port = 0
state_dir = "world"
[[simulation.evse]]
number = 1
meter_wh = 1235420
[[simulation.evse]]
number = 2
meter_wh = 7655700
"""
OPEN_TRANSACTION, OPEN_METER_WH = 1002, 7655700
QUEUED_START_WH, QUEUED_STOP_WH = 1235040, 1235420


def copy_of(name: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(STORES / f"{name}.db", folder / "agent.db"))


@pytest.mark.parametrize("name", ["c7df3ff-ac", "c7df3ff-dc"])
async def test_every_record_is_understood(tmp_path: Path, name: str) -> None:
    store = await Store.open(copy_of(name, tmp_path), 64)
    facts = await store.read_facts()
    await store.close()
    assert "poisoned" not in facts, facts["poisoned"]
    assert {"boot", "meter", "ended", "security"} <= set(facts)


async def test_the_payment_of_an_earlier_program_is_listed(tmp_path: Path) -> None:
    path = copy_of("c7df3ff-dc", tmp_path)
    store = await Store.open(path, 64)
    said = await answer_payments(store, {"do": "list", "names": None, "store": str(path.resolve())})
    await store.close()
    (payment,) = said["payments"]
    assert (payment["reference"], payment["state"], payment["held_cents"]) == ("PY09FZYEVQWGV9", "Voided", 6000)


def payloads(backend: Backend, action: str) -> list[dict[str, Any]]:
    return [payload for _, heard, payload in backend.heard if heard == action]


async def test_what_an_earlier_program_owed_is_delivered(tmp_path: Path) -> None:
    """The queued session is sent whole and once; the open one is ended with the register that the meter has now."""
    copy_of("c7df3ff-ac", tmp_path / "state")
    async with open_backend() as backend:
        url = f"ws://127.0.0.1:{backend.port}"
        async with Simulated(tmp_path, STATION, url, speed=5) as station:
            await backend.wait_heard("StopTransaction", 2, 60)
            await station.until(lambda p: p["agent"]["queue"] == 0)
            log = (tmp_path / "world" / "agent.log").read_text()
        (start,) = payloads(backend, "StartTransaction")
        assert (start["idTag"], start["connectorId"], start["meterStart"]) == ("CARD-A", 1, QUEUED_START_WH)
        stops = {p["transactionId"]: p for p in payloads(backend, "StopTransaction")}
        assert (stops[1]["meterStop"], stops[1]["reason"]) == (QUEUED_STOP_WH, "Local")
        ended = stops[OPEN_TRANSACTION]
        assert (ended["meterStop"], ended["reason"]) == (OPEN_METER_WH, "PowerLoss")
        assert {p["transactionId"] for p in payloads(backend, "MeterValues")} == {1, OPEN_TRANSACTION}
    assert "Traceback" not in log
