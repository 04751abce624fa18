"""Firmware of the back office through the real agent into the real RAUC: each bundle ends right, in states and words.

Where the machine cannot run RAUC, these tests skip and name the Debian packages.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tomllib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.busy_machine import deadline
from tests.support.file_servers import WebServer, web_server
from tests.support.firmware_signers import Maker
from tests.support.rauc_board import BOARD, SLOT_BYTES, TRIES, RaucBoard, why_no_rauc
from tests.support.station_rig import Street, station_text, street
from tests.support.station_rig_v201 import CARD, Street201, street201

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(why_no_rauc()), reason=why_no_rauc()),
]
SEED, FULL = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128")), os.environ.get("CHARGY_CAMPAIGN") == "full"
NOW = "2026-01-01T00:00:00Z"
KINDS = ("FirmwareStatusNotification", "SignedFirmwareStatusNotification")
FETCHED = ["Downloading", "Downloaded", "SignatureVerified"]
BOOTED = [*FETCHED, "Installing", "InstallRebooting"]


class Update:
    """A request for an update, and what the station reports of it. 2.0.1, or the signed one of 1.6."""

    numbers = iter(range(100, 10_000))

    def __init__(self, s: Street, board: RaucBoard, web: WebServer) -> None:
        self.s, self.board, self.web = s, board, web
        self.signed = isinstance(s, Street201)
        self.number = 0

    async def request(self, content: bytes, plain: bool = False) -> None:
        self.number = next(self.numbers)
        self.web.files[f"/{self.number}.raucb"] = content
        location, maker = f"http://127.0.0.1:{self.web.port}/{self.number}.raucb", self.board.maker
        if plain:
            assert await self.s.csms.ask("UpdateFirmware", {"location": location, "retrieveDate": NOW}) == {}
            return
        firmware = {
            "location": location, "retrieveDateTime": NOW,
            "signingCertificate": maker.certificate, "signature": maker.sign(content),
        }  # fmt: skip
        action = "UpdateFirmware" if self.signed else "SignedUpdateFirmware"
        answer = await self.s.csms.ask(action, {"requestId": self.number, "firmware": firmware})
        assert answer["status"] == "Accepted"

    @property
    def statuses(self) -> list[str]:
        kind = KINDS[not self.signed]
        return [p["status"] for p in self.s.payloads(kind) if p.get("requestId") == self.number]

    @property
    def plain_statuses(self) -> list[str]:
        return [p["status"] for p in self.s.payloads("FirmwareStatusNotification")]

    async def reached(self, status: str, timeout_s: float = 60.0) -> None:
        try:
            await self.s.heard(lambda: status in self.statuses, timeout_s)
        except AssertionError as e:
            e.add_note(f"statuses of request {self.number}: {self.statuses}; all: {self.all_statuses}")
            e.add_note(f"security events: {self.events}; updater: {await self.updater()}")
            raise

    @property
    def all_statuses(self) -> list[tuple[Any, str]]:
        said = [p for kind in KINDS for p in self.s.payloads(kind)]
        return [(p.get("requestId"), p["status"]) for p in said]

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(p["type"], p.get("techInfo", "")) for p in self.s.payloads("SecurityEventNotification")]

    async def event(self, kind: str, words: str = "") -> None:
        await self.s.heard(lambda: any(k == kind and words in w for k, w in self.events))

    async def updater(self) -> dict[str, Any]:
        """What the status socket shows of the updater."""
        derived = tomllib.loads((self.s.station.folder / "world" / "derived.toml").read_text("utf-8"))
        reader, writer = await asyncio.open_unix_connection(derived["station"]["status_socket"], limit=1 << 24)
        try:
            async with deadline(30):
                while (line := json.loads(await reader.readline()))["type"] != "picture":
                    pass
        finally:
            writer.close()
        return dict(next(d for d in line["devices"] if d["name"] == "updater"))


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def board() -> AsyncIterator[RaucBoard]:
    async with RaucBoard() as board:
        yield board


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory, board: RaucBoard) -> AsyncIterator[Street201]:
    folder = tmp_path_factory.mktemp("rauc")
    trusted = f'manufacturer_ca = "{board.maker.trust(folder)}"'
    async with street201(folder, backend_more=trusted, simulation=board.toml) as street:
        yield street


@pytest_asyncio.fixture(loop_scope="module")
async def update(station: Street201, board: RaucBoard, web: WebServer) -> AsyncIterator[Update]:
    station.begin()
    yield Update(station, board, web)
    await station.end()


def other(slot: str) -> str:
    return "B" if slot == "A" else "A"


async def refused(update: Update, content: bytes, status: str) -> None:
    """It ends with this status; the station serves again, and boots what it booted."""
    board, running = update.board, update.board.booted
    before = board.content(other(running)) if status == "InstallVerificationFailed" else b""
    await update.request(content)
    await update.reached(status)
    assert update.statuses == [*FETCHED, "Installing", status]
    await update.s.status_reported("Available")
    assert (board.booted, board.primary) == (running, running)
    if before:
        assert board.content(other(running)) == before, "nothing was written"


async def test_a_wrongly_signed_bundle(update: Update) -> None:
    """The back office signed it, and the board's own keyring does not know its maker."""
    await refused(update, await update.board.bundle("9.0", signer=Maker("Stranger")), "InstallVerificationFailed")
    await update.event("InvalidFirmwareSignature", "of the updater's file")
    assert "signature verification failed" in update.s.station.said()


async def test_a_bundle_for_another_board(update: Update) -> None:
    await refused(update, await update.board.bundle("9.0", board="kettle"), "InstallVerificationFailed")
    assert f"the bundle is for 'kettle', this board is '{BOARD}'" in update.s.station.said()
    assert "InvalidFirmwareSignature" not in [kind for kind, _ in update.events]


async def test_a_truncated_bundle(update: Update) -> None:
    content = await update.board.bundle("9.0")
    await refused(update, content[: len(content) // 2], "InstallVerificationFailed")
    assert "Invalid bundle format" in update.s.station.said()


async def test_what_is_no_bundle(update: Update) -> None:
    await refused(update, b"a holiday picture" * 1000, "InstallVerificationFailed")


async def test_a_bundle_that_does_not_fit_its_slot(update: Update) -> None:
    await refused(update, await update.board.bundle("9.0", size=SLOT_BYTES), "InstallationFailed")
    assert "RAUC did not install the bundle" in update.s.station.said()


async def test_a_good_bundle_is_marked_good_when_the_backend_has_accepted_its_boot(update: Update) -> None:
    s, board = update.s, update.board
    assert isinstance(s, Street201)
    new, running = other(board.booted), board.booted
    marks = len(board.marks(new))
    pending = {"currentTime": NOW, "interval": 1, "status": "Pending"}
    s.csms.instead["BootNotification"] = lambda id_: json.dumps([3, id_, pending])
    await update.request(await board.bundle("2.0"))
    await s.heard(lambda: s.payloads("BootNotification"))
    await s.heard(lambda: len(s.payloads("BootNotification")) >= 3)  # it asks again and again
    boot = s.payloads("BootNotification")[0]
    assert (boot["reason"], boot["chargingStation"]["firmwareVersion"]) == ("FirmwareUpdate", "2.0")
    assert board.booted == new
    assert board.loader["left"][new] == TRIES - 1, "a try, so far"
    assert "good" not in board.marks(new)[marks:]
    assert "Installed" not in update.statuses
    s.csms.instead.clear()
    await update.reached("Installed")
    assert update.statuses == [*BOOTED, "Installed"]
    await update.event("FirmwareUpdated", "2.0")
    await s.station.until(lambda p: board.loader["left"][new] == TRIES)
    assert board.marks(new)[-1] == "good"
    assert (await update.updater())["version"] == "2.0"
    assert (board.primary, running) == (new, other(new))


async def test_a_system_that_does_not_start_falls_back_and_is_reported(update: Update) -> None:
    s, board, running = update.s, update.board, update.board.booted
    version = (await update.updater()).get("version")
    await update.request(await board.bundle("6.6", broken=True))
    await update.reached("InstallationFailed")
    assert update.statuses == [*BOOTED, "InstallationFailed"]
    await update.event("ResetOrReboot", "fell back")
    assert board.booted == running
    await s.station.until(lambda p: board.loader["left"][running] == TRIES)  # the old one is marked good again
    assert (await update.updater()).get("version") == version
    await s.status_reported("Available")


async def test_a_boot_that_the_loader_does_not_keep_is_not_reported_as_installed(update: Update) -> None:
    """The backend accepts the boot, and the boot loader refuses the mark. Three boots later the old system runs."""
    board, running = update.board, update.board.booted
    board.refuse("set-state-good")  # until the old system runs: a mark would be tried again at any moment
    try:
        await update.request(await board.bundle("6.7"))
        await update.s.heard(lambda: update.s.payloads("BootNotification"))
        await update.s.heard(lambda: "Failed marking slot" in update.s.station.said() or "Installed" in update.statuses)
        for _ in range(TRIES):
            await die(update, with_board=True)
        await update.reached("InstallationFailed")
    finally:
        board.refuse()
    assert update.statuses == [*BOOTED, "InstallationFailed"]
    await update.event("ResetOrReboot", "fell back")
    assert board.booted == running
    await update.s.status_reported("Available")
    await die(update, with_board=True)  # now it is marked good, and has all of its tries again
    await update.s.station.until(lambda p: board.loader["left"][running] == TRIES)


async def test_a_session_that_runs_is_not_touched(update: Update) -> None:
    """Not a byte is written while a driver charges and is billed for it."""
    s, board = update.s, update.board
    assert isinstance(s, Street201)
    new = other(board.booted)
    before = board.content(new)
    await s.session(CARD)
    await update.request(await board.bundle("2.1"))
    await update.reached("InstallScheduled")
    assert board.content(new) == before
    assert "Installing" not in update.statuses
    await s.tap(CARD)
    await s.ended()
    await update.reached("Installed")
    assert update.statuses == [*FETCHED, "InstallScheduled", *BOOTED[3:], "Installed"]
    assert board.booted == new


async def test_an_agent_that_is_killed_finds_the_running_installation_again(update: Update) -> None:
    s, board = update.s, update.board
    new, writes = other(board.booted), board.said().count("writing data to device")
    (board.folder / "hold").touch()
    await update.request(await board.bundle("2.2"))
    await s.heard(lambda: (board.folder / "held").exists())
    assert (await update.updater())["progress_percent"] > 0
    await s.kill()
    await s.heard(lambda: "an installation is running already" in s.station.said())
    (board.folder / "hold").unlink()
    await update.reached("Installed")
    assert update.statuses == [*BOOTED, "Installed"]
    assert board.booted == new
    assert board.said().count("writing data to device") - writes == 1, "once, not twice"


async def test_rauc_that_is_killed_in_the_middle(update: Update) -> None:
    s, board, running = update.s, update.board, update.board.booted
    (board.folder / "hold").touch()
    await update.request(await board.bundle("2.3"))
    await s.heard(lambda: (board.folder / "held").exists())
    await board.kill_rauc()
    (board.folder / "hold").unlink()
    await board.start_rauc()
    await update.reached("InstallationFailed")
    assert board.primary == running
    await s.status_reported("Available")


@pytest.mark.parametrize("status", [*BOOTED, "boot"])
async def test_an_agent_that_is_killed_at_any_step_ends_right(update: Update, status: str) -> None:
    """``boot``: when the new system has connected for the first time."""
    s, board, new, version = update.s, update.board, other(update.board.booted), f"3.{len(status)}"
    await update.request(await board.bundle(version))
    if status == "boot":
        await s.heard(lambda: s.payloads("BootNotification"))
    else:
        await update.reached(status)
    await s.kill()
    await ended_well(update, new, version)


@pytest.mark.campaign
@pytest.mark.timeout(0 if FULL else 900)
async def test_the_end_is_right_whenever_something_dies(update: Update, record_property: Any) -> None:
    """Twice in each update the agent is killed, or the whole board loses its mains, at any instant."""
    chance, updates = random.Random(SEED), 100 if FULL else 3
    deaths = {"agent": 0, "mains": 0}
    for number in range(updates):
        update.s.begin()
        new, version = other(update.board.booted), f"7.{number}"
        await update.request(await update.board.bundle(version))
        for _ in range(2):
            await asyncio.sleep(chance.uniform(0, 1.5))
            victim = chance.choice(sorted(deaths))
            deaths[victim] += 1
            await die(update, with_board=victim == "mains")
        await ended_well(update, new, version)
    for victim, count in deaths.items():
        record_property(f"deaths of {victim}", count)
    record_property("updates", updates)


async def die(update: Update, with_board: bool) -> None:
    """SIGKILL, unless the agent is just between two lives; the next one is there. ``with_board``: all of the board."""
    s = update.s
    least = (await s.station.picture())["agent"]["restarts"]

    async def kill_agent() -> None:
        nonlocal least
        async with s.station.http.post("/api/v1/agent", json={"action": "kill"}) as answer:
            assert answer.status in (202, 409)
            least += answer.status == 202

    await (update.board.lose_power(kill_agent) if with_board else kill_agent())
    await s.station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] >= least)
    await s.station.healthy()


async def ended_well(update: Update, new: str, version: str) -> None:
    board = update.board
    await update.reached("Installed")
    seen = [word for n, word in enumerate(update.statuses) if word not in update.statuses[:n]]
    assert seen == [word for word in [*BOOTED, "Installed"] if word in seen]
    assert update.statuses.count("Installed") == 1
    await update.s.station.until(lambda p: board.loader["left"][new] == TRIES)
    assert (board.booted, board.primary) == (new, new)
    assert f"system {version}".encode() in board.content(new)[:64]


# --- OCPP 1.6 --------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station16(tmp_path_factory: pytest.TempPathFactory, board: RaucBoard) -> AsyncIterator[Street]:
    folder = tmp_path_factory.mktemp("rauc16")
    trusted = f'versions = ["1.6"]\nmanufacturer_ca = "{board.maker.trust(folder)}"'
    async with street(folder, station_text(1, backend=trusted, simulation=board.toml)) as s:
        # what an earlier station has installed is accepted by this one first, and no update begins before
        await s.heard(lambda: list(folder.rglob("updater_rauc.json")))
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def update16(station16: Street, board: RaucBoard, web: WebServer) -> AsyncIterator[Update]:
    station16.begin()
    yield Update(station16, board, web)
    await station16.end()


async def test_signed_updates_of_ocpp_16(update16: Update) -> None:
    board, new = update16.board, other(update16.board.booted)
    await refused(update16, await board.bundle("4.0", signer=Maker("Stranger")), "InstallVerificationFailed")
    await refused(update16, await board.bundle("4.0", board="kettle"), "InstallVerificationFailed")
    content = await board.bundle("4.0")
    await refused(update16, content[:-100], "InstallVerificationFailed")
    await update16.request(content)
    await update16.reached("Installed")
    assert update16.statuses == [*BOOTED, "Installed"]
    assert update16.plain_statuses == []
    assert (board.booted, update16.s.payloads("BootNotification")[0]["firmwareVersion"]) == (new, "4.0")


async def test_plain_updates_of_ocpp_16_are_checked_by_rauc_alone(update16: Update) -> None:
    s, board, new = update16.s, update16.board, other(update16.board.booted)
    for content in (await board.bundle("5.0", signer=Maker("Stranger")), await board.bundle("5.0", board="kettle")):
        s.begin()
        await update16.request(content, plain=True)
        await s.heard(lambda: "InstallationFailed" in update16.plain_statuses)
        assert update16.plain_statuses == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    s.begin()
    await update16.request(await board.bundle("5.0"), plain=True)
    await s.heard(lambda: "Installed" in update16.plain_statuses)
    assert update16.plain_statuses == ["Downloading", "Downloaded", "Installing", "Installed"]
    assert board.booted == new
