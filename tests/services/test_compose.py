"""The start of a station on a store that is full, damaged or holds one bad record; where its socket lies."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.assembly import boot_record
from agent.assembly.files import security_log
from agent.assembly.station import Options, Station, status_socket_path
from agent.domain.certificate_orders import ListRoots
from agent.domain.certificates import CertificateUse
from agent.domain.events import LinkChanged, TimeCame
from agent.domain.messages import MeterSampled, Sample, StopReason, TransactionEnded, TriggerReason
from agent.domain.orders import Order, Persist, Send, SendLog
from agent.domain.timers import Timer, TimerKind
from agent.model.types import Fault, Reading, ReadingContext, Stamp
from agent.ports.store import Put, StoreError
from agent.services import clock
from agent.services.clock import BUILT_UTC_S
from agent.services.files import orders as file_orders
from agent.services.store.store import Store
from agent.station_file.settings import parse_station_file
from tests.support.busy_machine import deadline, stretched

UTC = BUILT_UTC_S + 1e6


def station_file(folder: Path, **keys):
    raw = {"station": {"state_dir": "state", "store_max_mb": 1, **keys}, "evse": [{"number": 1}]}
    return parse_station_file(raw, folder / "station.toml")


@contextlib.asynccontextmanager
async def running(folder: Path, **keys) -> AsyncIterator[Station]:
    file = station_file(folder, status_socket=str(folder / "s"), **keys)
    store = await Store.open(file.station.state_dir / "agent.db", file.station.store_max_mb)
    try:
        station = Station(file, Options(), store, await store.read_facts())
        task = asyncio.create_task(station.run())
        await until(lambda: station.ready or task.done())
        assert not task.done(), task.exception()
        yield station
        station._request_exit(0)
        assert await asyncio.wait_for(task, stretched(20)) == 0
    finally:
        await store.close()


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with deadline(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


async def fill(path: Path) -> None:
    store = await Store.open(path, 1)
    for size in (50, 1):
        with pytest.raises(StoreError):
            for n in range(20_000):
                end = TransactionEnded(
                    f"s{n}", 1, None, Stamp(1, 9.0), 1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED
                )
                await store.commit([], [("chargy", end)] * size)
    with pytest.raises(StoreError):
        await store.commit([Put("boot", str(n), {"id": "x" * 60}) for n in range(100)])
    with pytest.raises(StoreError):
        for n in range(1000):
            await store.commit([Put("filling", str(n), {"id": "x" * 60})])
    await store.close()


async def test_a_full_store_starts_and_is_reported_and_recovers(tmp_path: Path):
    await fill(tmp_path / "state" / "agent.db")
    async with running(tmp_path) as station:
        await until(lambda: not station.site.store_ok)
        rows = await station.store.oldest_rows("chargy", 400)
        for row in rows:
            await station.store.remove_delivered(row)
        station.engine._retry_save()
        await until(lambda: station.site.store_ok)
        assert str(station.clock.boot.number) in (await station.store.read_facts())["boot"]


async def test_a_damaged_store_is_said_and_blocks_nothing(tmp_path: Path, caplog):
    path = tmp_path / "state" / "agent.db"
    path.parent.mkdir()
    path.write_bytes(b"this was never a database, " * 400)
    async with running(tmp_path) as station:
        assert station.status_snapshot()["store"] == {
            "set_aside": str(station.store.set_aside),
            "ailing": None,
            "lost": None,
        }
        assert station.store.set_aside is not None
        assert station.site.store_ok
        assert all(Fault.STORE_FAILED not in e.faults for e in station.site.evses.values())
        assert Fault.STORE_FAILED not in getattr(station.site, "faults", ())
    assert any(r.levelname == "ERROR" and "set aside" in r.message for r in caplog.records)


async def test_a_store_that_has_lost_its_content_is_in_the_status(tmp_path: Path, caplog):
    async with running(tmp_path):
        pass
    (tmp_path / "state" / "agent.db").write_bytes(b"")
    async with running(tmp_path) as station:
        said = station.status_snapshot()["store"]["lost"]
        assert "check the disk" in said
    assert any(r.levelname == "ERROR" and "check the disk" in r.message for r in caplog.records)


async def test_a_sound_store_has_nothing_to_say(tmp_path: Path):
    async with running(tmp_path) as station:
        assert station.status_snapshot()["store"] == {"set_aside": None, "ailing": None, "lost": None}


async def test_the_security_log_goes_on_over_starts(tmp_path: Path):
    for starts in (1, 2):
        async with running(tmp_path) as station:
            log = security_log(station.site, station.clock)
            assert [e["kind"] for e in log] == ["StartupOfTheDevice"] * starts
            assert all(set(e) == {"utc_s", "kind", "info", "link"} for e in log)


@pytest.mark.parametrize("body", ["'{garb'", "'{\"id\":7}'", "'{}'", "CAST(x'ff' AS TEXT)"])
async def test_an_unreadable_boot_is_set_aside(tmp_path: Path, body: str):
    path = tmp_path / "state" / "agent.db"
    store = await Store.open(path)
    await store.commit([Put("boot", "4", {"id": "x"})])
    await store.close()
    db = sqlite3.connect(path)
    db.execute(f"UPDATE facts SET body={body} WHERE kind='boot'")
    db.commit()
    db.close()
    for _ in (1, 2):
        async with running(tmp_path) as station:
            assert station.clock.boot.number == 5
            facts = await station.store.read_facts()
            assert set(facts["boot"]) == {"5"}
            assert set(facts["poisoned"]) == {"boot/4"}


async def last_utc_s(station: Station) -> float:
    boot = (await station.store.read_facts())["boot"][str(station.clock.boot.number)]
    return float(boot["last_utc_s"])


async def test_the_latest_time_of_a_boot_is_kept_now_and_then_and_at_the_end(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(boot_record, "SEEN_S", 0.05)
    async with running(tmp_path) as station:
        station.clock.heard_utc(UTC, 0.0)
        await until(lambda: station.clock.boot.last_utc_s is not None)
        await station.events.wait_until_handled()
        async with deadline(30):
            while await last_utc_s(station) < UTC + 0.2:
                await asyncio.sleep(0.02)
        monkeypatch.setattr(boot_record, "SEEN_S", 1000.0)
        await asyncio.sleep(0.1)
        before = station.clock.now().utc_s
    store = await Store.open(tmp_path / "state" / "agent.db")
    assert before <= (await store.read_facts())["boot"]["1"]["last_utc_s"]
    await store.close()


async def test_the_latest_time_of_a_boot_goes_with_another_commit_when_it_is_old(tmp_path: Path, monkeypatch):
    """An idle station writes by itself every other day: a write each quarter of an hour wore the flash."""
    async with running(tmp_path) as station:
        station.clock.heard_utc(UTC, 0.0)
        await until(lambda: station.clock.boot.last_utc_s is not None)
        await station.events.wait_until_handled()
        known_s = await last_utc_s(station)
        await asyncio.sleep(0.1)
        await store_setting(station, "en")
        assert await last_utc_s(station) == known_s, "it is young"
        monkeypatch.setattr(boot_record, "BESIDE_S", 0.1)
        await store_setting(station, "de")
        assert await last_utc_s(station) >= known_s + 0.1


async def store_setting(station: Station, language: str) -> None:
    station.events.remember_fact("setting", "language", {"text": language})
    station.events.post_event(TimeCame(Timer(TimerKind.STORE_RETRY)))
    await station.events.wait_until_handled()


@contextlib.asynccontextmanager
async def begun_boot(folder: Path, monkeypatch, name: str, uptime_s: float) -> AsyncIterator[Station]:
    """A station in the boot ``name`` whose records are stored. Its end is a loss of power: nothing more is stored."""
    monkeypatch.setattr(clock, "kernel_boot_id", lambda: name)
    raw = {"station": {"state_dir": "state"}, "evse": [{"number": 1}], "backend": {"url": "ws://127.0.0.1:9/"}}
    file = parse_station_file(raw, folder / "station.toml")
    store = await Store.open(file.station.state_dir / "agent.db")
    try:
        station = Station(file, Options(), store, await store.read_facts())
        let_time_come(station, uptime_s)
        await station._boot_record.store_boot(store)
        yield station
    finally:
        await store.close()


def let_time_come(station: Station, uptime_s: float) -> None:
    station.clock._boottime = lambda: uptime_s


async def save_order(station: Station, *orders: Order) -> Stamp:
    assert await station.engine._save_records(orders)
    return station.clock.now().stamp


async def test_no_record_of_a_session_is_put_before_an_older_one_of_it(tmp_path: Path, monkeypatch):
    """The end was put before its samples, and even before its start, if the boot after a loss of power heard no
    backend: what was known of the boot before was up to six hours old."""
    reading = Sample(ReadingContext.PERIODIC, Reading(Stamp(1, 9.0), 1), ("Energy.Active.Import.Register",))
    async with begun_boot(tmp_path, monkeypatch, "a", 100.0) as station:
        station.clock.heard_utc(UTC, 0.0)
        stamps = [await save_order(station, Persist("setting", "language", {"text": "en"}))]
        let_time_come(station, 100.0 + 5 * 3600)
        stamps += [await save_order(station, Send("chargy", MeterSampled("s1", 1, (reading,))))]
    async with begun_boot(tmp_path, monkeypatch, "b", 40.0) as station:
        let_time_come(station, 40.0 + 3 * 3600)
        stamps += [await save_order(station, Persist("tx", "s1", {"stop": "its stamp"}))]
    async with begun_boot(tmp_path, monkeypatch, "c", 40.0) as station:
        stamps += [await save_order(station, Persist("session", "s1", {"stop": "its stamp"}))]
    async with begun_boot(tmp_path, monkeypatch, "d", 40.0) as station:
        station.clock.heard_utc(UTC + 12 * 3600, 0.0)
        times_s = [station.clock.utc_s(stamp) for stamp in stamps]
        assert times_s == sorted(times_s)
        assert times_s[1] == UTC + 5 * 3600
        assert times_s[3] < UTC + 12 * 3600


async def test_a_process_that_is_killed_now_and_then_records_that_its_boot_lives(tmp_path: Path, monkeypatch):
    """Its start put off the record of the present time, and wrote the old one."""
    for hours in (0, 5, 10):
        async with begun_boot(tmp_path, monkeypatch, "a", 100.0 + hours * 3600) as station:
            if not hours:
                station.clock.heard_utc(UTC, 0.0)
                await save_order(station)
            assert await last_utc_s(station) == UTC + hours * 3600


async def test_the_version_of_a_link_is_stored_when_it_comes_up_and_is_another_one(tmp_path: Path, monkeypatch):
    """It waited for the next commit, and a link that was down by then was left out."""
    for known in (False, True):
        async with begun_boot(tmp_path, monkeypatch, "a", 100.0) as station:
            name = station.file.backends[0].name
            version = station.links[name].ocpp_version
            station._prepare_for_event(LinkChanged(name, True))
            assert [p.key for p in station.events._facts if p.kind == "spoken"] == [name] * (not known)
            await save_order(station)
            assert (await station.store.read_facts())["spoken"][name] == {"version": version}


def test_the_socket_lies_where_the_group_can_reach_it(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    file = station_file(tmp_path)
    assert status_socket_path(file) == tmp_path / "state" / "status.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/run:{tmp_path}/other")
    assert status_socket_path(file) == tmp_path / "run" / "status.sock"
    file = station_file(tmp_path, status_socket="mine")
    assert status_socket_path(file) == tmp_path / "mine"


@pytest.mark.parametrize(
    "order", [SendLog("j", "http://127.0.0.1:1/", name="x"), ListRoots("j", tuple(CertificateUse))]
)
async def test_what_was_not_expected_of_a_file_or_a_key_does_not_end_the_process(
    tmp_path: Path, order, caplog, monkeypatch
):
    def broken(*_):
        raise RuntimeError("a defect")

    async with running(tmp_path) as station:
        monkeypatch.setattr(file_orders, "_pack_parts", broken)
        station.keys.pki.installed_roots = broken
        station.dispatch.dispatch_order(order)
        await until(lambda: "not done: RuntimeError" in caplog.text)
        await station.events.wait_until_handled()
