"""What a backend orders of files and keys may fail in any way: the job has failed, the station goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.domain.certificate_orders import (
    ChainTaken,
    DeleteRoot,
    InstallRoot,
    KeepCertificates,
    ListRoots,
    MakeRequest,
    RequestMade,
    RootDeleted,
    RootInstalled,
    RootsListed,
    TakeChain,
)
from agent.domain.certificates import CertificateUse, HashData
from agent.domain.events import (
    CardPresented,
    Event,
    FirmwareBooted,
    FirmwareChecked,
    FirmwareCommitted,
    FirmwareFetched,
    FirmwareInstalled,
    InstallOutcome,
    LogSent,
    SignerJudged,
    TariffFileFetched,
)
from agent.domain.orders import (
    CheckFirmware,
    CommitFirmware,
    DropFirmware,
    FetchFirmware,
    FetchTariffFile,
    InstallFirmware,
    JudgeSigner,
    Order,
    SendLog,
)
from agent.model.types import Token
from agent.ports import Unreachable
from agent.ports.updater import Running
from agent.services.clock import Clock
from agent.services.devices.updater import UpdaterSupervisor
from agent.services.files.orders import FileOrders
from agent.services.keys.key_store import KeyStore
from agent.services.keys.orders import KeyOrders
from agent.services.logs.buffer import LogRing
from agent.services.logs.masking import LogMask
from agent.services.sinks.sinks import Sinks
from agent.station_file.settings import SinkTable
from tests.support.busy_machine import deadline
from tests.support.file_servers import web_server

DEADLINE_S = 30.0


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@contextlib.contextmanager
def beside(work: Callable[[int], object]) -> Iterator[None]:
    """``work`` again and again in another thread; what it raises is raised here."""
    over, failed = threading.Event(), []

    def run() -> None:
        count = 0
        try:
            while not over.is_set():
                work(count)
                count += 1
        except Exception as e:  # noqa: BLE001 - raised below
            failed.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failed == []


def line(n: int) -> logging.LogRecord:
    return logging.LogRecord("a", logging.WARNING, "", 0, f"line {n}", None, None)


# --- read here, written by another thread -----------------------------------------------------------------------------


def test_the_log_is_read_while_another_thread_writes_it(busy_threads: None) -> None:
    clock = Clock({}, boot_id="a")
    clock.heard_utc(1_800_000_000.0, 0.0)
    ring = LogRing(clock, lines=300)
    with beside(lambda n: ring.handle(line(n))):
        for _ in range(50):
            numbers = [int(text.rsplit(" ", 1)[1]) for text in ring.text_between(None, None).splitlines()]
            assert numbers == sorted(numbers)


def test_a_line_of_another_thread_is_masked_while_tokens_are_learnt(busy_threads: None) -> None:
    mask = LogMask()
    with beside(lambda n: mask.filter(line(n))):
        for n in range(3000):
            mask.before_event(CardPresented(1, Token(f"CARD-{n:08d}")))
            mask.learn_secret(f"secret-{n:08d}")


async def test_an_alert_of_another_thread_reaches_its_sink(tmp_path: Path) -> None:
    """A thread that sets an ``asyncio.Event`` wakes no sleeping loop, and meets its waiters half changed."""
    sinks = Sinks((SinkTable("file", path=tmp_path / "alerts"),), "station", Clock({}))
    task = asyncio.create_task(sinks.run())
    while not sinks.sinks[0].up:
        await asyncio.sleep(0.001)
    asyncio.get_running_loop().set_debug(True)  # what only the loop's own thread may do is an error elsewhere
    try:
        await asyncio.to_thread(sinks.handle, line(1))
        async with deadline(DEADLINE_S):
            while not (tmp_path / "alerts").exists():
                await asyncio.sleep(0.001)
    finally:
        asyncio.get_running_loop().set_debug(False)
        task.cancel()


# --- files ------------------------------------------------------------------------------------------------------------


class Station:
    """Begins jobs as a station does: what a task raises ends the group."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self.begin: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = group.create_task

    async def answer(self) -> Event:
        async with deadline(DEADLINE_S):
            return await self.heard.get()


@contextlib.asynccontextmanager
async def station() -> AsyncIterator[Station]:
    async with asyncio.TaskGroup() as group:
        yield Station(group)


def broken(*args: Any, **named: Any) -> Any:
    raise RuntimeError("ftp://user:geheim@host/x is what it was about")


FILE_ORDERS: list[tuple[Order, Event | None]] = [
    (JudgeSigner("j", "no PEM"), SignerJudged("j", False)),
    (FetchFirmware("f", "http://127.0.0.1:1/x"), FirmwareFetched("f", False)),
    (CheckFirmware("c", "no PEM", ""), FirmwareChecked("c", False)),
    (DropFirmware("d"), None),
    (FetchTariffFile("t", "http://127.0.0.1:1/x"), TariffFileFetched("t", False)),
    (SendLog("s", "http://127.0.0.1:1/x", name="log.zip"), LogSent("s", "UploadFailure")),
]
FILE_WORK = (
    "agent.services.keys.firmware_signature.signer_problem", "agent.services.files.transfer.fetch_file",
    "agent.services.keys.firmware_signature.signature_problem",
    "agent.services.files.transfer.partial_file.forget_file", "agent.services.files.zip_file.pack_zip",
    "agent.services.files.transfer.send_file",
)  # fmt: skip


@pytest.mark.parametrize("work", FILE_WORK)
async def test_whatever_fails_in_a_file_job_is_a_failed_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, work: str
) -> None:
    monkeypatch.setattr(work, broken)
    async with station() as s:
        keys = tmp_path / "keys.pem"
        files = FileOrders(
            tmp_path, s.heard.put_nowait, lambda order: lambda: {"a": b""}, list, begin=s.begin, tariff_keys=keys
        )
        for order, event in FILE_ORDERS:
            files.accept_order(order)
            if event is not None:
                assert await s.answer() == event
        files.accept_order(FetchFirmware("again", "http://127.0.0.1:1/x"))  # what comes after it is done
        assert await s.answer() == FirmwareFetched("again", False)
    assert "RuntimeError" in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("where", ["taken", "made"])
async def test_an_archive_that_cannot_be_made_is_a_failed_upload(tmp_path: Path, where: str) -> None:
    async with station() as s:
        parts = broken if where == "taken" else lambda order: broken
        files = FileOrders(tmp_path, s.heard.put_nowait, parts, list, begin=s.begin)
        files.accept_order(SendLog("s", "http://127.0.0.1:1/x", name="log.zip"))
        assert await s.answer() == LogSent("s", "UploadFailure")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


async def test_an_archive_is_made_beside_the_loop(tmp_path: Path) -> None:
    """It is only finished when the loop has turned meanwhile."""
    turned = threading.Event()

    def made() -> Mapping[str, bytes]:
        assert turned.wait(DEADLINE_S), "the loop was held"
        return {"about.json": b"{}"}

    with web_server() as web:
        async with station() as s:
            files = FileOrders(tmp_path, s.heard.put_nowait, lambda order: made, list, begin=s.begin)
            files.accept_order(SendLog("s", f"http://127.0.0.1:{web.port}/log.zip", name="log.zip"))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, turned.set)
            assert await s.answer() == LogSent("s", "Uploaded")
        assert web.got[0][2].startswith(b"PK")


# --- the updater ------------------------------------------------------------------------------------------------------


class OddUpdater:
    """A driver with a defect."""

    def __init__(self) -> None:
        self.opened = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[OddUpdater]:
        self.opened += 1
        yield self

    async def running(self) -> Running:
        return Running(version="1")

    async def install(self, file: Path) -> bool:
        raise KeyError("slot")

    async def commit(self) -> None:
        raise ZeroDivisionError


async def test_an_updater_with_a_defect_fails_its_job_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.services.devices.supervisor.BROKEN_S", 0.01)
    async with station() as s:
        odd = OddUpdater()
        keeper = UpdaterSupervisor("updater", odd.open, s.heard.put_nowait, tmp_path, asyncio.Event())
        task = s.begin(keeper.run())
        assert await s.answer() == FirmwareBooted(False, False, "1")
        keeper.accept_order(InstallFirmware("i"))
        assert await s.answer() == FirmwareInstalled("i", InstallOutcome.FAILED)
        keeper.accept_order(CommitFirmware())
        assert await s.answer() == FirmwareBooted(False, False, "1")  # opened again: it was not committed
        assert odd.opened == 2
        keeper.prepare_to_stop()
        task.cancel()


class UpdaterNotAccepted(OddUpdater):
    """The system that it runs waits for its acceptance. ``done``: what was called, in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    async def running(self) -> Running:
        return Running(pending="commit" not in self.done, version="1")

    async def install(self, file: Path) -> bool:
        self.done.append("install")
        return True

    async def commit(self) -> None:
        self.done.append("commit")


async def test_no_updater_installs_over_the_only_accepted_system(tmp_path: Path) -> None:
    """The order was given before it was known what runs: it waited for an updater that could not be opened yet."""
    async with station() as s:
        updater = UpdaterNotAccepted()
        keeper = UpdaterSupervisor("updater", updater.open, s.heard.put_nowait, tmp_path, asyncio.Event())
        keeper.accept_order(InstallFirmware("i"))
        task = s.begin(keeper.run())
        assert await s.answer() == FirmwareBooted(True, False, "1")
        assert await s.answer() == FirmwareInstalled("i", InstallOutcome.FAILED)
        keeper.accept_order(CommitFirmware())
        assert await s.answer() == FirmwareCommitted()
        keeper.accept_order(InstallFirmware("j"))
        assert await s.answer() == FirmwareInstalled("j", InstallOutcome.REBOOT)
        assert updater.done == ["commit", "install"]
        keeper.prepare_to_stop()
        task.cancel()


class LostUpdater(OddUpdater):
    """Its connection is lost while it is idle: no call of this opening gets through any more."""

    def __init__(self, lost_openings: int) -> None:
        super().__init__()
        self.lost_openings, self.tries = lost_openings, 0

    async def install(self, file: Path) -> bool:
        self.tries += 1
        if self.opened <= self.lost_openings:
            raise Unreachable("the connection to the system bus (D-Bus) is lost")
        return True


@pytest.mark.parametrize(("lost_openings", "outcome"), [(1, InstallOutcome.REBOOT), (9, InstallOutcome.FAILED)])
async def test_an_updater_whose_connection_is_lost_is_opened_again_and_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost_openings: int, outcome: InstallOutcome
) -> None:
    """Every update after the loss failed until something else opened the updater again."""
    monkeypatch.setattr("agent.services.devices.supervisor.BACK_OFF_S", (0.01,))
    async with station() as s:
        lost = LostUpdater(lost_openings)
        keeper = UpdaterSupervisor("updater", lost.open, s.heard.put_nowait, tmp_path, asyncio.Event())
        task = s.begin(keeper.run())
        assert await s.answer() == FirmwareBooted(False, False, "1")
        keeper.accept_order(InstallFirmware("i"))
        assert await s.answer() == FirmwareBooted(False, False, "1")
        assert await s.answer() == FirmwareInstalled("i", outcome)
        assert lost.tries == 2
        if outcome is InstallOutcome.FAILED:
            assert await s.answer() == FirmwareBooted(False, False, "1"), "the next update finds it opened again"
        keeper.prepare_to_stop()
        task.cancel()


class BusyUpdater(OddUpdater):
    """One that installs something else, or does not answer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.away, self.asked = asyncio.Event(), False, 0

    async def running(self) -> Running:
        self.asked += 1
        if self.away:
            raise Unreachable("nothing answers")
        await self.idle.wait()
        return Running(version="1")

    async def install(self, file: Path) -> bool:
        return True


@contextlib.asynccontextmanager
async def busy_updater(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Any, BusyUpdater, UpdaterSupervisor]]:
    monkeypatch.setattr("agent.services.devices.updater.UPDATER_S", 0.05)
    async with station() as s:
        busy = BusyUpdater()
        keeper = UpdaterSupervisor("updater", busy.open, s.heard.put_nowait, tmp_path, asyncio.Event())
        task = s.begin(keeper.run())
        yield s, busy, keeper
        keeper.prepare_to_stop()
        task.cancel()


async def test_an_order_waits_as_long_as_an_open_updater_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with busy_updater(tmp_path, monkeypatch) as (s, busy, keeper):
        keeper.accept_order(InstallFirmware("i"))
        with pytest.raises(asyncio.QueueEmpty):
            await asyncio.sleep(0.3)  # six times as long as it would wait for one that is away
            s.heard.get_nowait()
        busy.idle.set()
        assert await s.answer() == FirmwareBooted(False, False, "1")
        assert await s.answer() == FirmwareInstalled("i", InstallOutcome.REBOOT)


async def test_an_order_does_not_wait_for_an_updater_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with busy_updater(tmp_path, monkeypatch) as (s, busy, keeper):
        busy.away = True
        keeper.accept_order(InstallFirmware("i"))
        assert await s.answer() == FirmwareInstalled("i", InstallOutcome.NO_UPDATER)
        assert busy.asked > 0
        assert "not installed: updater was not open" in caplog.text


# --- keys and certificates --------------------------------------------------------------------------------------------


class BrokenPki(KeyStore):
    make_request = take_chain = install_root = installed_roots = delete_root = keep_certificates = broken


NAMED = HashData("SHA256", "00", "00", "1")


async def test_whatever_fails_in_a_job_of_keys_is_a_failed_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    orders: list[tuple[Order, Event | None]] = [
        (MakeRequest("m", "o"), RequestMade("m", "")),
        (TakeChain("t", "PEM"), ChainTaken("t", why="it could not be looked at")),
        (InstallRoot("i", CertificateUse.CSMS_ROOT, "PEM"), RootInstalled("i", "Failed")),
        (DeleteRoot("d", NAMED), RootDeleted("d", "Failed")),
        (KeepCertificates(()), None),
        (ListRoots("l", (CertificateUse.CSMS_ROOT,)), RootsListed("l")),
    ]
    async with station() as s:
        keys = KeyOrders(BrokenPki(tmp_path), s.heard.put_nowait, "serial", s.begin)
        for order, event in orders:
            keys.accept_order(order)
            if event is not None:
                assert await s.answer() == event
        keys.close()
    assert caplog.text.count("RuntimeError") == len(orders)
    assert "geheim" not in caplog.text
