"""``chargy-agent probe``: a page of evidence of real drivers at far ends."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.domain.probe_findings import MeterObservation, Verdict, board_findings, meter_findings, worst_verdict
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Fault, MeterIdentity, MeterPolicy, Reading, Stamp
from agent.services.store.store import Store
from drivers.sim.world import World
from tests.drivers.modbus_far_ends import Bank, TcpLine
from tests.drivers.sim_stations import station
from tests.support.busy_machine import stretched

FILE = """
[station]
id = "CP-1"
state_dir = "state"
[[evse]]
number = 1
[evse.meter]
driver = "meter_modbus"
map = "eastron_sdm630"
line = "tcp"
host = "127.0.0.1"
port = {port}
timeout_s = {timeout_s}
{more}
"""


class Meter:
    """A far end in a thread of its own: the command has the main one."""

    def __init__(self) -> None:
        self.bank = Bank()
        self.bank.floats(1, 0, 230.0, 231.0, 229.0, 10.0, 10.0, 10.0, 2300.0, 2300.0, 2300.0)
        self.bank.floats(1, 52, 6900.0)
        self.bank.floats(1, 70, 50.0, 1234.567, 0.0)
        self.bank.put(1, 64512, 0x0001, 0x2345)
        self.bank.put(1, 64514, 0x70)
        self.port = 0
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        async with TcpLine(self.bank) as line:
            self.port = line.port
            self._ready.set()
            await self._end.wait()
            await line.drop()
        await asyncio.sleep(0.01)

    def __enter__(self) -> Meter:
        self._thread.start()
        assert self._ready.wait(stretched(5))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(stretched(5))
        self._loop.close()


@pytest.fixture
def meter() -> Iterator[Meter]:
    with Meter() as meter:
        yield meter


def written(folder: Path, meter: Meter, more: str = "", timeout_s: float = 5.0) -> str:
    path = folder / "station.toml"
    path.write_text(FILE.format(port=meter.port, more=more, timeout_s=timeout_s))
    return str(path)


DECLARED = 'class = "B"\nmid_year = 2024\nserial = "74565"'


def test_a_page_for_people_and_one_for_machines(
    tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str]
) -> None:
    page_file = tmp_path / "page.json"
    file = written(tmp_path, meter, DECLARED)
    assert main(["probe", file, "--seconds", "0.001", "--json", str(page_file)]) == 3
    said = capsys.readouterr()
    assert "proven    class      class B is declared, this model is sold in B" in said.out
    assert "MID marking M24 is declared" in said.out
    assert "nothing failed" in said.out
    assert "1234567 Wh" in said.err, "progress"
    page = json.loads(page_file.read_text())
    [device] = page["devices"]
    assert (page["verdict"], device["name"], device["identity"]["serial"]) == ("unproven", "evse[1].meter", "74565")
    verdicts = {f["what"]: f["verdict"] for f in device["findings"]}
    unproven = {what for what, verdict in verdicts.items() if verdict == "unproven"}
    assert unproven == {"place", "map", "reset", "energy"}
    assert "failed" not in verdicts.values()


def test_the_same_on_standard_output(tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", written(tmp_path, meter), "--seconds", "0", "--json", "-"]) == 3
    page = json.loads(capsys.readouterr().out)
    verdicts = {f["what"]: f["verdict"] for f in page["devices"][0]["findings"]}
    assert verdicts["class"] == verdicts["marking"] == verdicts["freshness"] == "unproven"


@pytest.mark.parametrize(
    ("more", "what", "says"),
    [
        ('class = "A"', "class", "class A is declared"),
        ('class = "B"\nserial = "9"', "answers", "expected '9'"),
    ],
)
def test_what_must_not_bill_fails(
    tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str], more: str, what: str, says: str
) -> None:
    assert main(["probe", written(tmp_path, meter, more), "--seconds", "0"]) == 1
    [line] = [x for x in capsys.readouterr().out.splitlines() if x.strip().startswith("failed")]
    assert what in line
    assert says in line


def test_a_silent_meter_fails_with_its_reason(tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    meter.bank.deaf = {1}
    assert main(["probe", written(tmp_path, meter, timeout_s=0.1), "--seconds", "0"]) == 1
    assert "no answer" in capsys.readouterr().out


def test_what_cannot_be_done_says_why(tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, meter)
    assert main(["probe", file, "--only", "evse[2].meter"]) == 2
    assert "there are: evse[1].meter" in capsys.readouterr().err
    empty = tmp_path / "empty.toml"
    empty.write_text("[[evse]]\nnumber = 1\n")
    assert main(["probe", str(empty)]) == 2
    assert "names no device to look at" in capsys.readouterr().err


def test_a_running_agent_is_not_disturbed(tmp_path: Path, meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    store = asyncio.run(Store.open(tmp_path / "state" / "agent.db"))
    assert main(["probe", written(tmp_path, meter), "--seconds", "0"]) == 2
    assert "stop the agent" in capsys.readouterr().err
    assert meter.bank.asked == []
    asyncio.run(store.close())
    assert main(["probe", written(tmp_path, meter), "--seconds", "0"]) == 3


# --- the rules ------------------------------------------------------------------------------------------------------

SDM = MeterIdentity("Eastron", "SDM630", "4711", "1.2", 1.0, ("B",))
GOOD = MeterPolicy("B", 2024)


def looked(
    *readings: Reading, meter: MeterIdentity = SDM, policy: MeterPolicy = GOOD, **more: object
) -> MeterObservation:
    return MeterObservation(meter, policy, readings, readings[-1] if readings else None, SDM, **more)  # type: ignore[arg-type]


def at(t_s: float, energy_wh: int, power_w: float = 6900.0, volt: float = 230.0, ampere: float = 10.0) -> Reading:
    return Reading(Stamp(1, t_s), energy_wh, power_w, (volt,) * 3, (ampere,) * 3, frequency_hz=50.0)


UNDER_LOAD = [at(2.0 * n, 1000 + round(6900 * 2 * n / 3600)) for n in range(31)]


def test_under_load_everything_can_be_proven() -> None:
    findings = meter_findings(looked(*UNDER_LOAD))
    assert [f.what for f in findings if f.verdict is not Verdict.PROVEN] == []
    assert worst_verdict(findings) is Verdict.PROVEN


@pytest.mark.parametrize(
    ("seen", "what", "verdict"),
    [
        (looked(at(0, 1000), at(0, 1000)), "freshness", Verdict.FAILED),
        (looked(at(0, 1000), at(1, 999)), "monotonic", Verdict.FAILED),
        (looked(at(0, 1000), at(1, 900_000)), "monotonic", Verdict.FAILED),
        (looked(at(0, 1000, volt=400)), "grid", Verdict.FAILED),
        (looked(at(0, 1000, power_w=-6900)), "power", Verdict.FAILED),
        (looked(at(0, 1000, power_w=69_000)), "power", Verdict.FAILED),
        (looked(at(0, 1000, power_w=0, ampere=0)), "power", Verdict.UNPROVEN),
        (looked(*[at(r.at.t_s, 1000) for r in UNDER_LOAD]), "energy", Verdict.FAILED),
        (looked(*UNDER_LOAD[:2]), "energy", Verdict.UNPROVEN),
        (looked(at(0, 1), meter=MeterIdentity("E", "S", "4712", classes=("B",))), "place", Verdict.FAILED),
        (looked(at(0, 1), meter=MeterIdentity("E", "S", register_step_wh=1000)), "step", Verdict.FAILED),
        (looked(at(0, 1), meter=MeterIdentity("E", "S", register_step_wh=100)), "step", Verdict.UNPROVEN),
        (looked(at(0, 1), meter=MeterIdentity("E", "S", mid=False)), "marking", Verdict.FAILED),
        (looked(at(0, 1), policy=MeterPolicy("B")), "marking", Verdict.UNPROVEN),
        (looked(at(0, 1), policy=MeterPolicy("B", certificate="CE-1"), dc=True), "marking", Verdict.PROVEN),
        (looked(at(0, 1), policy=MeterPolicy("A")), "class", Verdict.FAILED),
        (looked(), "bill", Verdict.FAILED),
        (looked(at(0, 1), meter=MeterIdentity("E", "S", reset="command 60004")), "reset", Verdict.UNPROVEN),
    ],
)
def test_each_rule_can_fail(seen: MeterObservation, what: str, verdict: Verdict) -> None:
    [finding] = [f for f in meter_findings(seen) if f.what == what]
    assert finding.verdict is verdict, finding.says


def test_a_board_is_seen_without_release() -> None:
    idle = EvseState(Pilot.A, released=False, contactor=False)
    assert worst_verdict(board_findings(EvseTraits(counts_plugged=True), [idle])) is Verdict.PROVEN
    closed = EvseState(Pilot.C, released=False, contactor=True)
    assert worst_verdict(board_findings(EvseTraits(counts_plugged=True), [closed])) is Verdict.FAILED
    broken = EvseState(Pilot.A, faults=frozenset({Fault.GROUND_FAILURE}))
    assert worst_verdict(board_findings(EvseTraits(), [broken])) is Verdict.FAILED
    assert (
        worst_verdict(board_findings(EvseTraits(fallback_stop=False, counts_plugged=True), [idle])) is Verdict.UNPROVEN
    )
    assert worst_verdict(board_findings(EvseTraits(), [])) is Verdict.FAILED


async def test_a_whole_station_with_board_and_meter(tmp_path: Path) -> None:
    """The simulated station's own wires; nothing is released, the contactor stays open."""
    (tmp_path / "state").mkdir()
    async with World.open(station(tmp_path), status_socket=tmp_path / "s.sock") as world:
        file = tmp_path / "derived.toml"
        file.write_text(world.derived_station_file())
        world.plug_in_vehicle(1)
        probe = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "probe", str(file), "--seconds", "0.2", "--json", "-",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(probe.communicate(), stretched(30))
        assert probe.returncode == 3, err.decode()
        assert world.evse_picture(1)["contactor"] is False
    page = json.loads(out)["devices"]
    devices = {d["role"]: d for d in page}
    assert devices["meter"]["identity"]["serial"] == "21060001"
    board = {f["what"]: f["verdict"] for f in devices["board"]["findings"]}
    assert board == {
        "state": "proven", "faults": "proven", "release": "proven", "watchdog": "proven", "resume": "proven",
    }  # fmt: skip
    assert "evse[1].board: pilot B" in err.decode()
    others = {d["name"]: [(f["what"], f["verdict"], f["says"]) for f in d["findings"]] for d in page}
    assert others["evse[1].display"] == [("answers", "proven", "800x480 pixels, 16 bits each")]
    assert others["buttons"] == [("answers", "proven", "keys: language, outlet-1, service, stop")]
    [reader] = others["reader[0]"]
    assert reader[:2] == ("answers", "proven")
    assert "nfcpy" in reader[2] or "UDP" in reader[2], reader
