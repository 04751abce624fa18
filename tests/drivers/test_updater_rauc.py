"""``updater_rauc`` against the real RAUC of Debian: what it installs and refuses, and which boot counts as good."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.domain.events import Event, FirmwareBooted, FirmwareInstalled, InstallOutcome
from agent.domain.orders import InstallFirmware
from agent.ports import Broken, Refused, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.ports.updater import Running, Untrusted, UpdaterPort
from agent.services.devices.updater import UpdaterSupervisor
from drivers.updater_rauc import DRIVER, RECORD_NAME
from drivers.updater_rauc.settings import RaucSettings
from tests.support.busy_machine import deadline, stretched
from tests.support.firmware_signers import Maker
from tests.support.rauc_board import SLOT_BYTES, TRIES, RaucBoard, why_no_rauc

SYSTEMD = Path(__file__).parents[2] / "systemd"
pytestmark = pytest.mark.skipif(bool(why_no_rauc()), reason=why_no_rauc())


@pytest_asyncio.fixture
async def board() -> AsyncIterator[RaucBoard]:
    async with RaucBoard() as board:
        yield board


class Desk:
    """Opens the driver as the agent does, with a state folder that both systems share."""

    def __init__(self, board: RaucBoard, state: Path) -> None:
        self.board, self.state = board, state

    def open(self, **settings: Any) -> AbstractAsyncContextManager[UpdaterPort]:
        table = {k: tuple(v) if isinstance(v, list) else v for k, v in self.board.table.items() if k != "driver"}
        where = Where(0, "updater", lambda: (1, 0.0), (), StationFacts(state_dir=self.state))
        return DRIVER.open(RaucSettings(**{**table, **settings}), where)

    async def file(self, content: bytes) -> Path:
        path = self.state / "firmware"
        path.write_bytes(content)
        return path

    async def running(self) -> Running:
        async with self.open() as port:
            return await port.running()


@pytest.fixture
def desk(board: RaucBoard, tmp_path: Path) -> Desk:
    return Desk(board, tmp_path)


async def test_a_good_bundle_is_installed_booted_and_marked_good_only_when_committed(
    board: RaucBoard, desk: Desk
) -> None:
    async with desk.open() as port:
        assert await port.running() == Running()  # what came with the board needs no acceptance
        assert await port.install(await desk.file(await board.bundle("2.0"))) is True
        await port.reboot()
    assert (board.booted, board.loader["left"]["B"]) == ("B", TRIES - 1)
    assert b"system 2.0" in board.content("B")[:64]
    async with desk.open() as port:
        assert await port.running() == Running(pending=True, version="2.0")
        assert "good" not in board.marks("B")
        await port.commit()
        assert await port.running() == Running(version="2.0")
    assert board.marks("B")[-1] == "good"
    assert board.loader["left"]["B"] == TRIES


async def test_each_later_boot_of_an_accepted_system_is_marked_good_once(board: RaucBoard, desk: Desk) -> None:
    """The boot loader counts each boot as a try: without this a station falls back after three cold starts off line."""
    for _ in range(TRIES + 1):
        await desk.running()
        before = len(board.marks("A"))
        assert board.loader["left"]["A"] == TRIES
        await desk.running()  # another start of the agent in the same boot wears no flash
        assert len(board.marks("A")) == before
        await board.boot()
        assert (board.booted, board.loader["left"]["A"]) == ("A", TRIES - 1)


async def test_a_system_that_does_not_start_is_noticed_as_fallen_back(board: RaucBoard, desk: Desk) -> None:
    async with desk.open() as port:
        await port.running()
        await port.install(await desk.file(await board.bundle("2.0", broken=True)))
        await port.reboot()
    assert board.booted == "A"
    assert await desk.running() == Running(fell_back=True)
    assert board.loader["left"]["A"] == TRIES
    async with desk.open() as port:  # and the next one is installed as any other
        await port.install(await desk.file(await board.bundle("2.1")))
        await port.reboot()
    assert await desk.running() == Running(pending=True, version="2.1")


async def test_a_system_that_is_never_accepted_falls_back_when_its_tries_are_used_up(
    board: RaucBoard, desk: Desk
) -> None:
    async with desk.open() as port:
        await port.running()
        await port.install(await desk.file(await board.bundle("2.0")))
    for _ in range(TRIES):
        await board.boot()
        assert await desk.running() == Running(pending=True, version="2.0")
    await board.boot()
    assert board.booted == "A"
    assert await desk.running() == Running(fell_back=True)


async def test_bundles_that_are_refused(board: RaucBoard, desk: Desk) -> None:
    good = await board.bundle("2.0")
    cases = [
        (await board.bundle("2.0", signer=Maker("Stranger")), Untrusted, "signature verification failed"),
        (await board.bundle("2.0", board="another"), Refused, "is for 'another', this board is 'chargy-test'"),
        (good[:-1000], Refused, "Invalid bundle"),
        (good[: len(good) // 2], Refused, "Invalid bundle"),
        (b"a holiday picture" * 100, Refused, "Invalid bundle"),
        (b"", Refused, "Invalid bundle"),
        (good[:5000] + b"\xff" + good[5001:], Untrusted, "signature verification failed"),
    ]
    async with desk.open() as port:
        await port.running()
        for content, error, words in cases:
            with pytest.raises(error, match=words) as raised:
                await port.install(await desk.file(content))
            assert type(raised.value) is error
        with pytest.raises(Broken, match="No such file"):
            await port.install(desk.state / "absent")
        assert await port.running() == Running()
    assert board.primary == "A"
    assert board.content("B") == bytes(SLOT_BYTES), "nothing was written"


async def test_a_bundle_that_does_not_fit_its_slot(board: RaucBoard, desk: Desk) -> None:
    async with desk.open() as port:
        await port.running()
        with pytest.raises(Broken, match="RAUC did not install the bundle"):
            await port.install(await desk.file(await board.bundle("2.0", size=SLOT_BYTES)))
        assert await port.running() == Running()
    assert board.primary == "A"


async def installing(board: RaucBoard, desk: Desk, port: UpdaterPort, content: bytes) -> asyncio.Task[bool]:
    """An installation that waits where RAUC has begun it."""
    (board.folder / "hold").touch()
    task = asyncio.create_task(port.install(await desk.file(content)))
    async with deadline(30):
        while not (board.folder / "held").exists():
            await asyncio.sleep(0.02)
    return task


async def test_an_agent_that_starts_again_finds_the_running_installation(
    board: RaucBoard, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with desk.open() as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        task.cancel()
        await asyncio.wait((task,))
    async with desk.open() as port:
        again = asyncio.create_task(port.install(desk.state / "firmware"))
        async with deadline(30):
            while "an installation is running already" not in caplog.text:
                await asyncio.sleep(0.02)
        (board.folder / "hold").unlink()
        assert await again is True
    assert board.said().count("finished") == 1, "it was not written a second time"
    await board.boot()
    assert await desk.running() == Running(pending=True, version="2.0")


async def test_progress_is_known_while_it_runs(board: RaucBoard, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with desk.open() as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        async with deadline(30):
            while not getattr(port, "progress_percent"):  # noqa: B009 - an attribute that a port may have
                await asyncio.sleep(0.02)
        (board.folder / "hold").unlink()
        assert await task is True
        assert getattr(port, "progress_percent") is None  # noqa: B009
    shown = [int(r.args[0]) for r in caplog.records if r.msg == "updater: %d %%: %s"]  # type: ignore[index, arg-type]
    assert shown == sorted(shown)
    assert shown[-1] == 100


async def test_rauc_that_ends_in_the_middle_is_a_failed_installation(board: RaucBoard, desk: Desk) -> None:
    async with desk.open(answer_s=stretched(1.5)) as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        await board.kill_rauc()
        with pytest.raises(Broken, match="ended in the middle"):
            await task
        with pytest.raises(Unreachable, match=r"rauc is not running"):
            await port.running()
        (board.folder / "hold").unlink()
        await board.start_rauc()
        assert await port.running() == Running()
        assert await port.install(desk.state / "firmware") is True


async def test_signals_of_others_end_nothing(board: RaucBoard, desk: Desk) -> None:
    """A message bus delivers a signal of any process to any other."""
    board.folder.chmod(0o755)
    async with desk.open() as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        forged = ("--type=signal", "/", "de.pengutronix.rauc.Installer.Completed", "int32:1")
        for number in range(12):  # one of these is the driver
            await board.send(f":1.{number}", *forged, user="nobody")
        await asyncio.sleep(0.1)
        assert not task.done()
        (board.folder / "hold").unlink()
        assert await task is True


async def test_rauc_that_ends_when_all_is_written_has_installed_it(board: RaucBoard, desk: Desk) -> None:
    """Its last signal was lost. What comes next is asked of the one that is started in its place."""
    async with desk.open() as port:
        await port.running()
        (board.folder / "hold-end").touch()
        task = asyncio.create_task(port.install(await desk.file(await board.bundle("2.0"))))
        async with deadline(30):
            while not (board.folder / "held-end").exists():
                await asyncio.sleep(0.02)
        await board.kill_rauc()
        (board.folder / "hold-end").unlink()
        await board.start_rauc()
        assert await task is True
    await board.boot()
    assert await desk.running() == Running(pending=True, version="2.0")


async def test_an_installation_without_any_progress_is_given_up(board: RaucBoard, desk: Desk) -> None:
    async with desk.open(install_s=1.0, answer_s=stretched(1.5)) as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        with pytest.raises(Broken, match="has made no progress for 1 s"):
            await task
        (board.folder / "hold").unlink()


async def test_an_installation_that_goes_on_is_waited_for(board: RaucBoard, desk: Desk) -> None:
    """RAUC would switch the systems after the report that the installation has failed."""
    limit_s = stretched(3.0)
    async with desk.open(install_s=limit_s, answer_s=stretched(1.0)) as port:
        await port.running()
        task = await installing(board, desk, port, await board.bundle("2.0"))
        (board.folder / "hold-end").touch()
        await asyncio.sleep(0.8 * limit_s)
        (board.folder / "hold").unlink()
        await asyncio.sleep(0.8 * limit_s)  # in all it takes longer than the limit, each half of it does not
        (board.folder / "hold-end").unlink()
        assert await task is True
    await board.boot()
    assert await desk.running() == Running(pending=True, version="2.0")


@pytest.mark.parametrize("trouble", ["RAUC cannot be asked", "the disk is full"])
async def test_what_fails_when_rauc_has_switched_already_is_no_failed_installation(
    board: RaucBoard, desk: Desk, trouble: str
) -> None:
    async with desk.open() as port:  # an earlier one has not come up: this is noted still
        await port.running()
        await port.install(await desk.file(await board.bundle("1.9", broken=True)))
        await port.reboot()
    assert await desk.running() == Running(fell_back=True)
    async with desk.open() as port:
        (board.folder / "hold-end").touch()
        task = asyncio.create_task(port.install(await desk.file(await board.bundle("2.0"))))
        async with deadline(30):
            while not (board.folder / "held-end").exists():
                await asyncio.sleep(0.02)
        if trouble == "the disk is full":
            (desk.state / f"{RECORD_NAME}.new").mkdir()  # what is in the way of the record's new text
        else:
            board.refuse("get-primary")
        (board.folder / "hold-end").unlink()
        assert await task is True
    assert board.primary == "B"
    board.refuse()
    await board.boot()
    assert await desk.running() == Running(pending=True, version="2.0")


async def test_a_file_that_runs_and_was_accepted_is_not_written_again(board: RaucBoard, desk: Desk) -> None:
    """The agent ended between the commit and the end of its job."""
    async with desk.open() as port:
        await port.install(await desk.file(await board.bundle("2.0")))
        await port.reboot()
    before = board.content("A")
    async with desk.open() as port:
        with pytest.raises(Broken, match="was not accepted yet"):
            await port.install(desk.state / "firmware")
        await port.commit()
        assert await port.install(desk.state / "firmware") is False
    assert (board.content("A"), board.primary, board.said().count("finished")) == (before, "B", 1)


async def test_a_boot_loader_that_refuses_the_mark_leaves_the_system_pending(board: RaucBoard, desk: Desk) -> None:
    async with desk.open() as port:
        await port.install(await desk.file(await board.bundle("2.0")))
        await port.reboot()
    board.refuse("set-state-good")
    async with desk.open() as port:
        with pytest.raises(Broken):
            await port.commit()
        assert await port.running() == Running(pending=True, version="2.0")
    board.refuse()
    for _ in range(TRIES):
        await board.boot()
    assert board.booted == "A"
    assert await desk.running() == Running(fell_back=True)


async def test_what_another_hand_installed_has_to_be_accepted_too(board: RaucBoard, desk: Desk) -> None:
    await desk.running()
    async with Desk(board, board.folder).open() as port:  # a tool with a memory of its own
        await port.install(await desk.file(await board.bundle("2.0")))
    await board.boot()
    assert await desk.running() == Running(pending=True, version="2.0")
    assert "good" not in board.marks("B")
    before = board.content("A")
    async with desk.open() as port:
        with pytest.raises(Broken, match="was not accepted yet"):  # the only system to fall back to
            await port.install(await desk.file(await board.bundle("2.1")))
        assert (board.content("A"), board.primary) == (before, "B")
        await port.commit()
        assert await port.install(desk.state / "firmware") is True


async def test_a_record_that_is_damaged_makes_a_boot_be_accepted_again(board: RaucBoard, desk: Desk) -> None:
    async with desk.open() as port:
        await port.install(await desk.file(await board.bundle("2.0")))
        await port.reboot()
        with pytest.raises(Unreachable, match="is lost"):
            await port.commit()
    async with desk.open() as port:
        await port.commit()
        assert await port.running() == Running(version="2.0")
    (desk.state / RECORD_NAME).write_text('{"accepted": ')
    assert await desk.running() == Running(pending=True, version="2.0")


async def test_with_our_policy_only_the_agent_and_root_may_call_rauc(tmp_path: Path) -> None:
    shipped = (SYSTEMD / "dbus-rauc-chargy-agent.conf").read_text("utf-8")
    policy = tmp_path / "policy.conf"
    policy.write_text(shipped.replace("chargy-agent", "games"))  # a user that this machine has
    async with RaucBoard(policy) as board:
        board.folder.chmod(0o755)
        call = ("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer.GetPrimary")
        assert "rootfs.0" in await board.send(*call)
        assert "rootfs.0" in await board.send(*call, user="games")
        assert "AccessDenied" in await board.send(*call, user="nobody")
    async with RaucBoard() as board:  # what it keeps out
        board.folder.chmod(0o755)
        assert "rootfs.0" in await board.send(*call, user="nobody")


async def test_the_configuration_of_the_manual_is_one(board: RaucBoard, tmp_path: Path) -> None:
    manual = (SYSTEMD.parent / "docs" / "operations.md").read_text("utf-8")
    [text] = re.findall(r"```\n(# /etc/rauc/system\.conf\n.*?)```", manual, re.DOTALL)
    text = text.replace("/etc/rauc/keyring.pem", str(board.folder / "keyring.pem"))
    conf, bundle = tmp_path / "system.conf", tmp_path / "good.raucb"
    bundle.write_bytes(await board.bundle("2.0"))
    for formats, answer in (("verity", "'plain' not allowed"), ("plain", "Version: ")):
        conf.write_text(text.replace("bundle-formats=verity", f"bundle-formats={formats}"))
        words = ("rauc", f"--conf={conf}", "info", str(bundle))
        reading = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        found, _ = await reading.communicate()
        assert answer in found.decode(), found.decode()


async def test_without_a_bus_and_without_rauc(tmp_path: Path) -> None:
    where = Where(0, "updater", lambda: (1, 0.0), (), StationFacts(state_dir=tmp_path))
    with pytest.raises(Unreachable, match="cannot be reached"):
        async with DRIVER.open(RaucSettings(bus=f"unix:path={tmp_path}/none"), where):
            pass


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    where = Where(0, "updater", lambda: (1, 0.0), (), StationFacts(state_dir=tmp_path))
    assert DRIVER.check is not None
    assert DRIVER.check(RaucSettings(reboot=("true",)), where) == []
    for settings, words in (
        (RaucSettings(bus="system", reboot=("true",)), "bus: must be an address such as"),
        (RaucSettings(reboot=()), "reboot: a command is needed"),
        (RaucSettings(reboot=("/none",)), "reboot: /none is not there"),
        (RaucSettings(reboot=("true",), install_s=0.0), "install_s: must be"),
    ):
        [complaint] = DRIVER.check(settings, where)
        assert complaint.startswith(words), complaint


async def test_an_update_finds_its_way_after_the_message_bus_was_restarted(board: RaucBoard, desk: Desk) -> None:
    """The driver's connection ended while it was idle. Every update after that failed."""
    heard: asyncio.Queue[Event] = asyncio.Queue()
    image = await desk.file(await board.bundle("2.0"))
    keeper = UpdaterSupervisor("updater", desk.open, heard.put_nowait, image, asyncio.Event())
    task = asyncio.create_task(keeper.run())
    try:
        async with deadline(60):
            assert await heard.get() == FirmwareBooted(False, False, "")
            await board.boot()
            keeper.accept_order(InstallFirmware("i"))
            assert await heard.get() == FirmwareBooted(False, False, "")
            assert await heard.get() == FirmwareInstalled("i", InstallOutcome.REBOOT)
    finally:
        keeper.prepare_to_stop()
        task.cancel()
        await asyncio.wait((task,))
    assert board.primary == "B"
