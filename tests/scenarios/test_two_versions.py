"""Whole sessions on OCPP 2.0.1, and a backend that changes its version under a running station: nothing is lost,
nothing needs a new station file."""

import functools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.csms.central_system import Central, Options, open_central
from tests.support.busy_machine import stretched
from tests.support.simulated_station import Simulated, held_port
from tests.support.station_rig import Backend, station_text
from tests.support.station_rig_v201 import CARD, Street201, street201

BOTH = 'versions = ["2.0.1", "1.6"]'


async def energy(s: Street201, more_wh: int) -> None:
    await s.until(lambda e: e["session"] and e["session"]["energy_wh"] >= more_wh)


async def test_a_whole_session_on_2_0_1(tmp_path: Path) -> None:
    """Cable first, stopped by the same card, through the command ``simulate --backend``."""
    async with street201(tmp_path, evses=1, settings="sample_interval_s = 5") as s:
        await s.session()
        picture = await s.station.picture()
        assert picture["backend"]["ocpp"] == "2.0.1"
        assert picture["evses"][0]["session"]["transaction_id"] == picture["evses"][0]["session"]["id"]
        await energy(s, 20)
        await s.tap(CARD)
        ended = await s.ended()
        await s.unplug(side="ev")
        await s.leave()
        await s.empty()
        events = s.events()
        assert [e["seqNo"] for e in events] == list(range(len(events)))
        assert len({e["transactionInfo"]["transactionId"] for e in events}) == 1
        assert ended["meterValue"][-1]["sampledValue"][0]["value"] == (await s.station.evse())["meter_wh"]
        statuses = [p["connectorStatus"] for p in s.payloads("StatusNotification") if p["evseId"] == 1]
        assert statuses == ["Available", "Occupied", "Available"]
        assert s.csms.violations == []
        assert s.csms.energy_wh == (await s.station.evse())["meter_wh"]


async def test_a_card_that_the_backend_could_not_get_is_refused_off_line_too(tmp_path: Path) -> None:
    """Over a restart: the version that was spoken last rules until there is a connection."""
    text = station_text(1, backend=BOTH, settings="offline_tx_for_unknown_id = true")
    async with Backend(speaks=("1.6",)) as csms, Simulated(tmp_path, text, csms.url, 20.0) as station:
        s = Street201(station, csms)
        await s.booted()
        await s.charge(CARD)  # what is billed takes along which version it was
        await s.tap(CARD)
        await s.until(lambda e: not e["session"])
        await s.unplug(side="ev")
        await s.leave()
        await s.off_line()
        await s.kill()
        await s.plug()
        await s.tap("TWENTY-CHARACTERS-AND-MORE")
        await s.screen("refused")
        await s.tap(CARD)
        await s.until(lambda e: e["session"])


async def test_a_backend_that_changes_its_version(tmp_path: Path) -> None:
    """A session each way that begins and ends while no backend listens; the other version brings it home."""
    text = station_text(1, backend=BOTH, settings="offline_tx_for_unknown_id = true")
    async with Backend(speaks=("1.6",)) as csms, Simulated(tmp_path, text, csms.url, 20.0) as station:
        s = Street201(station, csms)
        await s.booted()
        assert csms.version == "1.6"
        await csms.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "77"})
        for version in ("2.0.1", "1.6"):
            await s.off_line()
            s.begin()
            await s.plug()
            await s.tap(CARD)
            await energy(s, 5)
            await s.tap(CARD)
            await s.until(lambda e: not e["session"])
            csms.speaks = (version,)
            await s.on_line()
            assert csms.version == version
            assert (await station.picture())["backend"]["ocpp"] == version
            actions = [a for a, _ in s.calls()]
            assert actions[0] == "BootNotification"
            assert ("TransactionEvent" in actions) is (version == "2.0.1")
            assert ("StopTransaction" in actions) is (version == "1.6")
            await s.unplug(side="ev")
            await s.leave()
            if version == "2.0.1":
                assert await s.get("TxCtrlr.EVConnectionTimeOut") == ("Accepted", "77")
                assert await s.put("TxCtrlr.EVConnectionTimeOut", "78") == "Accepted"
        answer = await csms.ask("GetConfiguration", {"key": ["ConnectionTimeOut"]})
        assert answer["configurationKey"][0]["value"] == "78"
        assert csms.violations == []
        assert [t.stop for t in csms.transactions.values() if t.stop is None] == []
        assert len(csms.transactions) == 2
        assert csms.energy_wh == (await station.evse())["meter_wh"]
        assert all(json.loads(text)[0] in (2, 3) for _, text in csms.frames)


@asynccontextmanager
async def central(port: int, version: str, journal: Path) -> AsyncIterator[Central]:
    """The command ``csms``, as far as a station sees it."""
    options = Options(port=port, versions=(version,), journal=journal, quiet=True, answer_within_s=stretched(30))
    async with open_central(options) as central:
        yield central


@pytest.mark.parametrize(("first", "then"), [("2.0.1", "1.6"), ("1.6", "2.0.1")])
async def test_one_book_for_both_versions(tmp_path: Path, first: str, then: str) -> None:
    """Before a central system that shares no codec with us and is installed again in the middle of a session: one bill,
    and nothing in it that a station must not do."""
    journal = tmp_path / "journal.jsonl"
    text = station_text(1, backend=BOTH, settings="sample_interval_s = 5")

    def spoken(p: dict[str, Any]) -> bool:
        return bool(p["backend"]["boot"] == "Accepted" and p["backend"]["link"] == "up" and p["agent"]["queue"] == 0)

    async with AsyncExitStack() as street:
        port = street.enter_context(held_port())
        async with central(port, first, journal):
            station = Simulated(tmp_path, text, f"ws://127.0.0.1:{port}", 20.0)
            await street.enter_async_context(station)
            await station.until(spoken)
            await station.post("/evses/1/plug", {"ready": True, "car": None})
            await station.until_evse(lambda e: e["car"])
            await station.post("/cards/tap", {"token": CARD, "evse": 1})
            await station.until_evse(lambda e: e["session"] and e["session"]["energy_wh"] >= 10)
            await station.until(spoken)
        async with central(port, then, journal) as reopened:
            kind = str if then == "2.0.1" else int
            running = functools.partial(reopened.ledger.running_transactions, "CP-1")
            await station.until(lambda p: spoken(p) and [type(t.transaction_id) for t in running()] == [kind])
            (bill,) = running()
            stop = "RequestStopTransaction" if then == "2.0.1" else "RemoteStopTransaction"
            await reopened.send_command("CP-1", stop, {"transactionId": bill.transaction_id})
            await station.until_evse(lambda e: not e["session"])
            await station.until(spoken)
            assert reopened.ledger.violations == []
            assert bill.id_tag == CARD
            assert [t.energy_wh for t in reopened.ledger.transactions.values()] == [
                None,
                (await station.evse())["meter_wh"],
            ]
