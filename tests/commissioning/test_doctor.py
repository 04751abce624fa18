"""The doctor: each planted fault is named on its rung by its code, a good station has no finding, a running agent is
not disturbed, and no secret is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import string
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.doctor.findings import CODES, ON_ANY_RUNG, RUNGS, Finding, Verdict, first_wrong
from agent.commands.doctor import network_rungs
from agent.commands.doctor.command import EXIT, LANGUAGES
from agent.commands.doctor.examination import BackendExamination, DoctorOptions, Examination
from agent.commands.doctor.ladder import BACKEND_LADDER, Ladder, Rung
from agent.commands.doctor.page import DoctorTexts, machine_page, overall_verdict
from agent.services.store.store import Store
from agent.station_file.settings import Backend, parse_station_file
from tests.commissioning.doctor_faults import (
    FAULTS,
    MAY_FOLLOW,
    Fault,
    Plot,
    fill_meter,
    modbus_meter,
    ours_for,
    secured,
)
from tests.support import doctor_far_ends as far
from tests.support import modem_process
from tests.support.busy_machine import deadline, stretched
from tests.support.certificate_authorities import Authority

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {language: DoctorTexts(language) for language in LANGUAGES}
SECRET = "p" + "q" * 17
RUNS = 20


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "Foreign Root")


@pytest.fixture
def plot(tmp_path: Path, ours: Authority, foreign: Authority) -> Plot:
    return Plot(tmp_path, ours, foreign)


async def examine(plot: Plot, timeout_s: float = 10.0, **options: Any) -> Ladder:
    file = plot.folder / "station.toml"
    file.write_text(plot.text(), "utf-8")
    ladder = Ladder(
        DoctorOptions(timeout_s=stretched(timeout_s), sys_folder=plot.sys_folder, **options),
        lambda finding: None,
        lambda what: None,
    )
    await ladder.climb(file)
    return ladder


def shown(findings: list[Finding]) -> str:
    return "\n".join(line for f in findings for line in TEXTS["en"].finding_lines(f))


def found_wrong(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.verdict in (Verdict.WRONG, Verdict.WARNING)]


# --- planted faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
async def test_a_planted_fault_is_named(name: str, plot: Plot) -> None:
    fault: Fault = FAULTS[name]
    async with fault.plant(plot):
        findings = (await examine(plot, 10.0 if fault.is_quick else 1.5, **fault.options)).findings
    assert CODES[fault.code][0] == fault.at
    named = next((f for f in findings if f.code == fault.code), None)
    assert named is not None, shown(findings)
    said = "\n".join(TEXTS["en"].finding_lines(named))
    assert [word for word in fault.words if word not in said] == []
    others = [f.code for f in found_wrong(findings) if f is not named]
    assert set(others) <= {fault.code, *MAY_FOLLOW.get(fault.code, ())}, shown(findings)
    if named.verdict is Verdict.WRONG:
        worst = first_wrong(findings)
        assert worst is not None
        assert worst.rung == fault.at
        assert EXIT[overall_verdict(findings)] == 1
    for language in LANGUAGES:
        assert all(TEXTS[language].finding_lines(f) for f in findings)


def test_there_are_enough_planted_faults() -> None:
    assert len(FAULTS) >= 30
    assert len({fault.code for fault in FAULTS.values()}) >= 50


async def test_what_needs_a_failed_rung_is_not_judged(plot: Plot) -> None:
    async with FAULTS["expired certificate"].plant(plot):
        findings = (await examine(plot)).findings
    after = {f.rung: f for f in findings if f.code == "not_judged_after"}
    assert set(after) == {"http", "soap", "boot", "clock", "latency", "mtu"}
    assert {f.values["needs"] for f in after.values()} == {"tls"}


@pytest.mark.parametrize("url", ["ws://host:99999", "ws://[::1", "ws://", ""])
async def test_an_address_that_is_none_is_a_finding_and_no_end(url: str, plot: Plot) -> None:
    plot.url = url
    findings = (await examine(plot)).findings
    worst = first_wrong(findings)
    assert worst is not None
    assert worst.code == ("file_wrong" if url else "backend_none")
    assert EXIT[overall_verdict(findings)] == 1


# --- a good station --------------------------------------------------------------------------------------------------


async def test_a_good_station_has_no_finding_in_twenty_runs(plot: Plot) -> None:
    async with secured(ours_for())(plot), modbus_meter(fill_meter, 1)(Plot(plot.folder, plot.ours, plot.foreign)) as _:
        plot.backend |= {"security_profile": "2", "password": f'"{SECRET}"'}
        for _ in range(RUNS):
            findings = (await examine(plot, boot=True)).findings
            assert found_wrong(findings) == [], shown(findings)
            assert EXIT[overall_verdict(findings)] == 0
            judged = {f.rung for f in findings if f.verdict is Verdict.GOOD}
            assert judged >= {*RUNGS} - {"flash"}


async def test_a_good_station_over_soap_has_no_finding(plot: Plot) -> None:
    """The version that the backend knows is found, as the link would find it."""
    seen: list[str] = []
    async with far.raw_server(far.soap_backend(seen)) as port:
        plot.url = f"http://127.0.0.1:{port}/ocpp"
        plot.backend |= {"versions": '["1.6", "1.5"]', "soap_port": "0"}
        findings = (await examine(plot, boot=True)).findings
    assert found_wrong(findings) == [], shown(findings)
    assert {"http_not_used", "soap_good", "boot_accepted", "clock_good"} <= {f.code for f in findings}
    assert next(f for f in findings if f.code == "soap_good").values == {"version": "1.5"}
    assert seen == ["?", "heartbeat", "bootNotification"]


async def test_a_backend_that_knows_none_of_the_versions_is_named(plot: Plot) -> None:
    async with far.raw_server(far.soap_backend([])) as port:
        plot.url = f"http://127.0.0.1:{port}/ocpp"
        plot.backend |= {"versions": '["1.6", "1.2"]', "soap_port": "0"}
        findings = (await examine(plot)).findings
    worst = first_wrong(findings)
    assert worst is not None
    assert (worst.code, worst.values["versions"]) == ("soap_version", "1.6, 1.2")


async def test_a_good_meter_and_modem_have_no_finding(plot: Plot) -> None:
    async with modbus_meter(fill_meter, 1)(plot), modem_process.running(plot.folder) as far_end:
        program = ", ".join(f'"{word}"' for word in far_end.pppd())
        plot.tables += (
            f'[[bearer]]\ndriver = "modem_at"\nkind = "gprs"\ndevice = "{far_end.line}"\napn = "chargy.m2m"\n'
            f'interface = "lo"\nanswer_s = {stretched(2.0):.1f}\npppd = [{program}]\n'
        )
        findings = (await examine(plot, dial=True, boot=True)).findings
        assert found_wrong(findings) == [], shown(findings)
        assert {"device_good", "sim_ready", "registered", "bearer_up", "boot_accepted"} <= {f.code for f in findings}


async def test_a_backend_behind_the_way_of_its_bearer_has_no_finding(plot: Plot) -> None:
    async with far.backend() as (port, made):
        plot.url = "ws://ocpp.example.invalid:9/ocpp"
        plot.tables = (
            f'[[bearer]]\ndriver = "lan_static"\nkind = "lan"\ninterface = "lo"\nvia = "127.0.0.1:{port}"\n'
            "[[evse]]\nnumber = 1\n"
        )
        findings = (await examine(plot, boot=True)).findings
    assert found_wrong(findings) == [], shown(findings)
    assert made.seen == ["/ocpp/CP-1", "BootNotification"]


async def test_without_dial_a_modem_is_not_dialled_and_its_way_is_not_judged(plot: Plot) -> None:
    async with FAULTS["another SIM"].plant(plot):
        findings = (await examine(plot)).findings
    codes = {f.code for f in findings}
    assert "modem_not_dialled" in codes
    assert "tcp_good" not in codes
    assert EXIT[overall_verdict(findings)] == 3
    assert "not everything could be judged" in TEXTS["en"].summary(findings)


# --- what it may not do ----------------------------------------------------------------------------------------------


async def test_a_pin_is_never_used_nor_shown(plot: Plot) -> None:
    async with modem_process.running(plot.folder, "--pin", "4711") as far_end:
        plot.url = "ws://127.0.0.1:1"
        plot.tables = (
            f'[[bearer]]\ndriver = "modem_at"\nkind = "gprs"\ndevice = "{far_end.line}"\npin = "4711"\n'
            f'pppd = ["{sys.executable}"]\nanswer_s = {stretched(2.0):.1f}\n[[evse]]\nnumber = 1\n'
        )
        ladder = await examine(plot, dial=True, boot=True)
        state = await far_end.do("state")
    assert "sim_pin_waits" in {f.code for f in ladder.findings}
    assert state["pins_tried"] == 0
    assert not any(command.startswith("D") for command in state["commands"])
    assert "4711" not in shown(ladder.findings)


@pytest.mark.parametrize("name", ["401", "redirected to another address", "wrong name"])
async def test_no_secret_is_shown(name: str, plot: Plot) -> None:
    plot.backend |= {"security_profile": "1", "password": f'"{SECRET}"'}
    async with FAULTS[name].plant(plot):
        ladder = await examine(plot)
    said = shown(ladder.findings) + json.dumps(machine_page(None, ladder, TEXTS["en"]))
    assert SECRET not in said
    assert "SECRET" not in said


@pytest.mark.parametrize("boot", [False, True])
async def test_only_the_option_registers_the_station(boot: bool, plot: Plot) -> None:
    async with far.backend() as (port, made):
        plot.url = f"ws://127.0.0.1:{port}"
        await examine(plot, boot=boot)
    assert made.seen == ["/CP-1", *(["BootNotification"] if boot else [])]


async def test_nothing_is_written_for_a_station_that_never_ran(plot: Plot) -> None:
    async with far.backend() as (port, _):
        plot.url = f"ws://127.0.0.1:{port}"
        await examine(plot, boot=True)
    assert [p.name for p in plot.folder.iterdir()] == ["station.toml"]


# --- beside an agent -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_agent(plot: Plot) -> AsyncIterator[None]:
    """The agent of this station, after its first attempt to connect."""
    file = plot.folder / "station.toml"
    plot.backend["reconnect_s"] = "3600"
    file.write_text(plot.text(), "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "run", str(file), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with deadline(60):
            while b"chargy: connected" not in (line := await process.stderr.readline()) and b"refused with" not in line:
                assert line, "the agent has ended"
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_a_running_agent_is_asked_and_not_disturbed(plot: Plot) -> None:
    async with far.backend() as (port, made):
        plot.url = f"ws://127.0.0.1:{port}"
        async with running_agent(plot):
            async with deadline(60):
                while "BootNotification" not in made.seen:
                    await asyncio.sleep(0.05)
            async with deadline(60):
                findings: list[Finding] = []
                while "boot_accepted" not in {f.code for f in findings}:
                    findings = (await examine(plot, boot=True)).findings
    assert {"agent_running", "http_good_agent", "clock_good", "latency_good", "mtu_good"} <= {f.code for f in findings}
    assert [seen for seen in made.seen if seen.startswith("/")] == ["/CP-1"]
    assert made.seen.count("BootNotification") == 1
    assert [f.code for f in found_wrong(findings) if f.rung != "devices"] == []


async def test_beside_an_agent_that_is_refused_its_own_attempt_is_judged(plot: Plot) -> None:
    upgrades: list[bytes] = []

    async def refuse(head: bytes, writer: asyncio.StreamWriter) -> None:
        upgrades.append(head)
        await far.http("401 Unauthorized")(head, writer)

    async with far.raw_server(far.upgrade(refuse)) as port:
        plot.url = f"ws://127.0.0.1:{port}"
        async with running_agent(plot):
            findings = (await examine(plot, boot=True)).findings
    worst = first_wrong(findings)
    assert worst is not None
    assert worst.code == "http_unauthorized", shown(findings)
    assert len(upgrades) == 1


async def test_beside_an_agent_its_modem_is_judged_by_what_the_agent_reports(plot: Plot) -> None:
    async with FAULTS["no SIM"].plant(plot), running_agent(plot):
        findings: list[Finding] = []
        async with deadline(60):
            while "sim_missing" not in {f.code for f in findings}:
                findings = (await examine(plot)).findings
    assert "agent_running" in {f.code for f in findings}
    worst = first_wrong(findings)
    assert worst is not None
    assert worst.code == "sim_missing"


async def test_an_agent_that_cannot_be_asked_is_not_disturbed(plot: Plot) -> None:
    async with modbus_meter(fill_meter, 1)(plot), far.backend() as (port, made):
        plot.url = f"ws://127.0.0.1:{port}"
        store = await Store.open(plot.folder / "state" / "agent.db")
        try:
            findings = (await examine(plot, boot=True)).findings
        finally:
            await store.close()
    assert "agent_hidden" in {f.code for f in findings}
    left_out = {f.rung: f.values["needs"] for f in findings if f.code == "not_judged_after"}
    assert left_out == dict.fromkeys(("devices", "sim", "registration", "bearer", "http", "soap", "boot"), "agent")
    assert "tcp_good" in {f.code for f in findings}
    assert made.seen == []


async def test_a_folder_that_this_user_may_not_enter_is_a_finding(plot: Plot) -> None:
    if os.geteuid() != 0:
        pytest.skip("another user needs root")
    async with far.backend() as (port, made):
        plot.url = f"ws://127.0.0.1:{port}"
        with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
            os.chmod(folder, 0o755)
            (Path(folder) / "state").mkdir(0o700)
            file = Path(folder) / "station.toml"
            file.write_text(plot.text(), "utf-8")
            ladder = Ladder(DoctorOptions(boot=True), lambda finding: None, lambda what: None)
            os.seteuid(65534)
            try:
                await ladder.climb(file)
            finally:
                os.seteuid(0)
    codes = {f.code for f in ladder.findings}
    assert codes & {"agent_forbidden", "store_refused"}, shown(ladder.findings)
    assert "disk_not_writable" in codes
    assert made.seen == []


# --- time and defects ------------------------------------------------------------------------------------------------


async def hang(exam: Any) -> AsyncIterator[Finding]:
    await asyncio.sleep(3600)
    yield Finding("mtu_good", "mtu", Verdict.GOOD)


async def fail(exam: Any) -> AsyncIterator[Finding]:
    raise ZeroDivisionError
    yield


@pytest.mark.parametrize(("judge", "code"), [(hang, "time_over"), (fail, "examination_failed")])
async def test_a_rung_ends_in_its_time_and_a_defect_ends_no_other(judge: Any, code: str) -> None:
    ladder = Ladder(DoctorOptions(), lambda finding: None, lambda what: None)
    async with deadline(30):
        (finding,) = await ladder._judge(Rung("mtu", judge, limit_s=0.05), None, "main")
    assert (finding.code, finding.rung, finding.subject) == (code, "mtu", "main")


async def test_a_dead_address_beside_a_good_one_is_a_warning(plot: Plot) -> None:
    async with far.backend() as (port, _):
        file = parse_station_file({"station": {"id": "CP-1"}, "evse": [{"number": 1}]}, plot.folder / "station.toml")
        async with contextlib.AsyncExitStack() as resources:
            exam = BackendExamination(Examination(file, DoctorOptions(), resources), Backend(), Backend(), port=port)
            exam.addresses = ("127.0.0.2", "127.0.0.1")
            found = [finding async for finding in network_rungs.judge_tcp(exam)]
    assert [f.code for f in found] == ["tcp_address_dead", "tcp_good"]
    assert found[0].values["place"] == f"127.0.0.2:{port}"
    assert exam.address == "127.0.0.1"


async def test_a_doctor_that_is_ended_hangs_up_the_modem(plot: Plot) -> None:
    async with modem_process.running(plot.folder) as far_end:
        program = ", ".join(f'"{word}"' for word in far_end.pppd())
        plot.url = "ws://127.0.0.1:1"
        plot.tables = (
            f'[[bearer]]\ndriver = "modem_at"\nkind = "gprs"\ndevice = "{far_end.line}"\napn = "chargy.m2m"\n'
            f'interface = "nosuch0"\nanswer_s = {stretched(2.0):.1f}\npppd = [{program}]\n[[evse]]\nnumber = 1\n'
        )
        (plot.folder / "station.toml").write_text(plot.text(), "utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "doctor", str(plot.folder / "station.toml"), "--dial",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with deadline(60):
            while not list(plot.folder.rglob("*.options.seen")):  # the stand-in of pppd runs
                await asyncio.sleep(0.05)
        process.terminate()
        async with deadline(60):
            assert await process.wait() == 130
        assert not (await far_end.do("state"))["in_data_mode"]


def test_each_rung_of_a_backend_has_a_limit() -> None:
    assert all(rung.limit_s or rung.limit_steps for rung in BACKEND_LADDER)


# --- texts -----------------------------------------------------------------------------------------------------------


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_verdict_has_its_texts_in_each_language(language: str) -> None:
    table, english = (tomllib.loads((ROOT / f"config/doctor/{x}.toml").read_text("utf-8")) for x in (language, "en"))
    verdicts = {code: verdict for code, (_, verdict) in CODES.items()} | dict(ON_ANY_RUNG)
    assert set(table["findings"]) == set(verdicts)
    assert set(table["rungs"]) == set(RUNGS)
    assert set(table["verdicts"]) == {str(v) for v in Verdict}
    assert set(table["words"]) == set(english["words"])
    for code, texts in table["findings"].items():
        assert texts["is"], code
        if verdicts[code] in (Verdict.WRONG, Verdict.WARNING):
            assert texts.get("do"), f"{code} says nothing to do"
        for key in ("is", "do"):
            assert placeholders(texts.get(key, "")) == placeholders(english["findings"][code].get(key, "")), code
            if language != "en" and len(texts.get(key, "")) > 12:
                assert texts[key] != english["findings"][code].get(key), code


# --- the command -----------------------------------------------------------------------------------------------------


async def call_doctor(plot: Plot, *argv: str) -> tuple[int, str]:
    file = plot.folder / "station.toml"
    file.write_text(plot.text(), "utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "doctor", str(file), *argv, stdout=asyncio.subprocess.PIPE
    )
    async with deadline(60):
        text, _ = await process.communicate()
    return process.returncode or 0, text.decode()


async def test_the_command_shows_text_and_json(plot: Plot) -> None:
    async with FAULTS["404"].plant(plot):
        code, text = await call_doctor(plot, "--language", "de")
        assert code == 1
        assert "FALSCH" in text
        assert "404: das Backend kennt diesen Pfad oder CP-1 nicht" in text
        assert "Fangen Sie hier an: HTTP-Upgrade [chargy]." in text
        code, text = await call_doctor(plot, "--language", "fr", "--json")
    page = json.loads(text)
    assert code == 1
    assert page["verdict"] == "wrong"
    assert page["begin_at"] == "http"
    assert [row["rung"] for row in page["rungs"]] == list(RUNGS)
    (finding,) = next(row["findings"] for row in page["rungs"] if row["rung"] == "http")
    assert finding["code"] == "http_not_found"
    assert finding["reason"].startswith("404 : le backend")


def sorted_text(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True)


async def test_each_finding_is_a_line_as_soon_as_it_is_there(plot: Plot) -> None:
    async with FAULTS["404"].plant(plot):
        code, text = await call_doctor(plot, "--language", "fr", "--json-lines")
    first, *lines, last = map(json.loads, text.splitlines())
    assert code == 1
    assert [row["rung"] for row in first["rungs"]] == list(RUNGS)
    assert {row["rung"]: row["title"] for row in first["rungs"]}["dns"] == "nom"
    found = [line["finding"] for line in lines if "finding" in line]
    by_rung = [{**finding, "rung": row["rung"]} for row in last["page"]["rungs"] for finding in row["findings"]]
    assert sorted(map(sorted_text, found)) == sorted(map(sorted_text, by_rung))
    judged = [line["judging"]["rung"] for line in lines if "judging" in line]
    assert judged.index("disk") < judged.index("http")
    http = lines.index({"judging": {"rung": "http", "title": "passage HTTP chargy"}})
    assert "http" in {line["finding"]["rung"] for line in lines[http:] if "finding" in line}
    assert "http" not in {line["finding"]["rung"] for line in lines[:http] if "finding" in line}


async def test_the_exit_code_tells_warnings_and_an_unreadable_file(plot: Plot) -> None:
    async with FAULTS["Pending"].plant(plot):
        assert (await call_doctor(plot, "--boot"))[0] == 3
    plot.tables = "[[evse"
    code, text = await call_doctor(plot, "--language", "en")
    assert code == 2
    assert "mistakes: 1; the first" in text
