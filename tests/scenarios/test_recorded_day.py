"""A day of a simulated station is recorded and played again: the books are the same, and a backend that was changed
shows where. Scenarios before a backend that is not ours. A station that misbehaves, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.commands.replay.recorded_conversation import OutsideEvent, load_recording
from agent.commands.replay.replay_outcome import DifferenceKind, ReplayOutcome
from agent.commands.replay.station_player import ReplayRequest, StationPlayer
from agent.csms.central_system import Central, Options, open_central
from agent.model.types import AuthorizationStatus, Verdict
from tests.support.busy_machine import stretched
from tests.support.simulated_station import Simulated
from tests.support.station_rig import station_text
from tests.support.third_party_csms import Foreign

ALICE, BOB = "04A1B2C3", "04D4E5F6"
BILL = ("transaction_id", "connector", "id_tag", "meter_start_wh", "meter_stop_wh", "started", "stopped", "reason")
REMOTE = {"RemoteStartTransaction", "RemoteStopTransaction"}


@contextlib.asynccontextmanager
async def central_system(**options: Any) -> AsyncIterator[tuple[Central, str]]:
    """The independent central system, in this process."""
    async with open_central(Options(port=0, quiet=True, answer_within_s=stretched(30), **options)) as central:
        yield central, f"ws://127.0.0.1:{central.port}"


def bills(central: Central) -> list[dict[str, Any]]:
    return [{key: t.as_json()[key] for key in BILL} for t in central.ledger.transactions.values()]


class Outlet:
    """People at the one outlet of a simulated station."""

    def __init__(self, station: Simulated) -> None:
        self.station = station

    async def plug_in(self) -> None:
        await self.station.post("/evses/1/plug", {})
        await self.station.until_evse(lambda e: e["session_state"] != "Free")

    async def tap_card(self, token: str) -> None:
        await self.station.post("/cards/tap", {"token": token, "evse": 1})

    async def until_charged(self, wh: int = 20) -> None:
        await self.station.until_evse(lambda e: e["session"]["transaction_id"] and e["session"]["energy_wh"] >= wh)

    async def until_released(self) -> None:
        await self.station.until_evse(lambda e: not e["locked"] and e["power_w"] == 0)

    async def leave(self) -> None:
        await self.until_released()
        await self.station.post("/evses/1/unplug", {"side": "station"})
        await self.station.until_evse(lambda e: e["session_state"] == "Free")

    async def until_delivered(self) -> None:
        await self.station.until(lambda p: p["backend"]["link"] == "up" and p["agent"]["queue"] == 0)
        await self.station.until_evse(lambda e: e["reported"]["status"] == "Available")


async def live_through_day(station: Simulated, central: Central) -> None:
    """A session with a card, one that ends off line, one in which the agent is killed, one by remote."""
    outlet = Outlet(station)
    await station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await outlet.plug_in()
    await outlet.tap_card(ALICE)
    await outlet.until_charged()
    await outlet.tap_card(ALICE)
    await outlet.leave()
    await outlet.until_delivered()

    await outlet.plug_in()
    await outlet.tap_card(BOB)
    await outlet.until_charged()
    await station.post("/links/backend", {"up": False})
    await station.until(lambda p: p["backend"]["link"] != "up")
    await outlet.tap_card(BOB)
    await outlet.leave()
    await station.post("/links/backend", {"up": True})
    await outlet.until_delivered()

    await outlet.plug_in()
    await outlet.tap_card(ALICE)
    await outlet.until_charged()
    await station.until(lambda p: p["agent"]["queue"] == 0)
    before = (await station.picture())["agent"]["restarts"]
    await station.post("/agent", {"action": "kill"})
    await station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] > before)
    await station.healthy()
    await outlet.until_charged(30)
    await outlet.tap_card(ALICE)
    await outlet.leave()
    await outlet.until_delivered()

    await outlet.plug_in()
    start = {"idTag": BOB, "connectorId": 1}
    assert (await central.send_command("CP-1", "RemoteStartTransaction", start))["status"] == "Accepted"
    await outlet.until_charged()
    number = (await station.evse())["session"]["transaction_id"]
    await central.send_command("CP-1", "RemoteStopTransaction", {"transactionId": int(number)})
    await outlet.leave()
    await outlet.until_delivered()


async def play(recording: Path, url: str) -> ReplayOutcome:
    conversation = load_recording(recording)
    request = ReplayRequest(url, conversation.station_id, patience_s=stretched(30), request_wait_s=0.1)
    return await StationPlayer(conversation, request).play_conversation()


async def test_a_recorded_day_replays_to_the_same_books_and_a_changed_backend_is_seen(tmp_path: Path) -> None:
    recording = tmp_path / "day.jsonl"
    station = Simulated(tmp_path, station_text(1, settings="sample_interval_s = 30"), speed=20)
    async with central_system() as (central, url):
        station.args += ["--backend", url, "--record", str(recording)]
        async with station:
            await live_through_day(station, central)
        booked = bills(central)
    assert [(b["id_tag"], b["reason"]) for b in booked] == [
        (ALICE, "Local"), (BOB, "Local"), (ALICE, "Local"), (BOB, "Remote"),
    ]  # fmt: skip

    async with central_system() as (central, url):
        same = await play(recording, url)
        assert bills(central) == booked
    assert same.list_differences(answers_only=True) == []
    assert {d.action for d in same.list_differences()} == REMOTE, "what an operator has sent, is not sent now"
    assert {d.kind for d in same.list_differences()} == {DifferenceKind.REQUEST_MISSING}

    blocked = Verdict(AuthorizationStatus.BLOCKED)
    async with central_system(interval_s=60, tokens={BOB: blocked}, accept_all=True) as (central, url):
        changed = await play(recording, url)
    shown = {(d.action, d.path, d.present) for d in changed.list_differences(answers_only=True)}
    assert shown >= {
        ("BootNotification", "interval", 60), ("Authorize", "idTagInfo.status", "Blocked"),
        ("StartTransaction", "idTagInfo.status", "Blocked"),
    }  # fmt: skip
    assert {action for action, _, _ in shown} <= {
        "BootNotification",
        "Authorize",
        "StartTransaction",
        "StopTransaction",
    }

    events = [item.name for item in load_recording(recording).items if isinstance(item, OutsideEvent)]
    assert {"CardPresented", "BoardChanged", "LinkChanged"} <= set(events)
    assert '"password"' not in recording.read_text("utf-8")


async def test_a_station_that_misbehaves_on_request(tmp_path: Path) -> None:
    deviations = 'misbehaviour = ["lower_case_tags", "duplicate_stop"]'
    station = Simulated(tmp_path, station_text(1, simulation=deviations), speed=20)
    async with central_system() as (central, url):
        station.args += ["--backend", url]
        async with station:
            outlet = Outlet(station)
            await station.until(lambda p: p["backend"]["boot"] == "Accepted")
            await outlet.plug_in()
            await outlet.tap_card(ALICE)
            await outlet.until_charged()
            await outlet.tap_card(ALICE)
            await outlet.leave()
            await outlet.until_delivered()
        bill = next(iter(central.ledger.transactions.values()))
        assert (bill.id_tag, bill.repeats) == (ALICE.lower(), 1)
        assert central.ledger.stations["CP-1"].calls["StopTransaction"] == 2
        assert [v.kind for v in central.ledger.violations] == []
    assert "the station misbehaves: lower_case_tags, duplicate_stop" in (tmp_path / "simulate.log").read_text()


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_scenarios_before_a_backend_that_is_not_ours_give_junit_and_a_recording(
    tmp_path: Path, version: str
) -> None:
    junit, recording = tmp_path / "r.xml", tmp_path / "day.jsonl"
    async with Foreign() as foreign:
        argv = [
            sys.executable, "-m", "agent", "scenario", "run", "card_first", "availability", "--simulate",
            "--ocpp", version, "--backend", foreign.url, "--no-person", "--junit", str(junit),
            "--record", str(recording),
        ]  # fmt: skip
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        said, _ = await asyncio.wait_for(process.communicate(), stretched(300))
        assert process.returncode in (0, 3), said.decode()
        ledger = await foreign.ledger()
    assert ledger["violations"] == []
    assert len(ledger["transactions"]) == 1
    suites = {s.get("name"): s for s in ElementTree.parse(junit).getroot().findall("testsuite")}
    first, second = (suites[f"{name} (OCPP {version})"] for name in ("card_first", "availability"))
    assert (first.get("failures"), first.get("errors"), first.get("skipped")) == ("0", "0", "0")
    assert second.get("failures") == "0"
    skipped = [s.get("message") or "" for s in second.iter("skipped")]
    assert any("no person, and no --backend-command, to have the backend send ChangeAvailability" in s for s in skipped)
    async with Foreign() as foreign:
        replayed = await play(recording, foreign.url)
        again = await foreign.ledger()
    assert replayed.list_differences(answers_only=True) == []
    assert list(again["transactions"].values()) == list(ledger["transactions"].values())
