"""Audits from the command line and from this process, with real sockets: simulated, continued, foreign, proxied."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from agent.cli import _build_parser
from agent.commands.audit.command import parse_request
from agent.commands.audit.plans import open_plan, plan_folder, plan_path, shipped_plans
from agent.commands.audit.sessions import AuditRequest, run_audit
from agent.commands.scenario.terminal import Terminal
from agent.csms.central_system import Options, open_central
from agent.scenario.target import CannotCarryOut
from tests.audit.printed_pages import page_texts, squeezed
from tests.support.busy_machine import busy_factor, stretched
from tests.support.certificate_authorities import Authority, tls
from tests.support.command_terminal import CommandTerminal
from tests.support.doctor_far_ends import tls_front
from tests.support.foreign_charge_point import actuator_command, foreign_charge_point
from tests.support.simulated_station import CAMPAIGN, ONE_EVSE, SMALL_PANEL, Simulated, held_port

PLAN = """
title = "A plan of this test"
edition = "1"
versions = ["1.6"]
station = "ac"
variables = { card = "04A1B2C3" }

[[sections]]
id = "identity"
title = "Identity"
[[sections.obligations]]
id = "boot"
title = "The station names itself"
judge = "boot_identity"
[[sections.obligations]]
id = "seal"
title = "The seal is whole"
ask = "Is the seal whole?"
fact = "seal"
matches = "S-[0-9]+"
simulated = "S-1"
[[sections.obligations]]
id = "label"
title = "The label is there"
ask = "Is the label there?"
advice = "Put the label on."
simulated = "no"
[[sections.obligations]]
id = "elsewhere"
title = "What only another station has"
scenario = "bank_card_dc"
[[sections.obligations]]
id = "kit"
title = "The kit"
judge = "kit_identity"
needs = ["kit"]

[[sections]]
id = "vehicle"
title = "Vehicle"
[[sections.obligations]]
id = "first"
title = "A session"
scenario = "card_first"
[[sections.obligations]]
id = "second"
title = "Another one"
scenario = "cable_first"
[[sections.obligations]]
id = "books"
title = "The books"
judge = "energy_books"
[[sections.obligations]]
id = "meter"
title = "The meter"
judge = "energy_meter"
needs = ["meter"]
"""


def audit_command(*words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "agent", "audit", *words]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=stretched(240))
    return done.returncode, done.stdout


def simulation_options(out: Path) -> list[str]:
    return ["--simulate", "--speed", f"{max(1.0, 20.0 / busy_factor()):g}", "--out", str(out)]


def obligations_of(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for section in record["sections"] for one in section["obligations"]}


def record_in(out: Path) -> tuple[Path, dict[str, Any]]:
    (folder,) = out.glob("AUDIT-*")
    return folder, json.loads((folder / "audit.json").read_text("utf-8"))


def test_a_plan_is_carried_out_on_a_simulated_station(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    code, said = audit_command("--plan", str(plan), *simulation_options(tmp_path / "out"))
    assert code == 1, said
    folder, record = record_in(tmp_path / "out")
    found = obligations_of(record)
    assert {i: o["verdict"] for i, o in found.items()} == {
        "identity.boot": "PASS", "identity.seal": "PASS", "identity.label": "FAIL",
        "identity.elsewhere": "NOT APPLICABLE", "identity.kit": "PASS", "vehicle.first": "PASS",
        "vehicle.second": "PASS", "vehicle.books": "PASS", "vehicle.meter": "PASS",
    }, said  # fmt: skip
    assert folder.name.startswith("AUDIT-LU-AUDIT-AC-")
    assert (record["format"], record["verdict"], record["target"], record["ocpp"]) == (1, "FAIL", "simulated", "1.6")
    assert record["counts"]["PASS"] == 7
    assert [f["obligation"] for f in record["findings"]] == ["identity.label"]
    assert record["findings"][0]["action"] == "Put the label on."
    facts = {row["key"]: (row["value"], row["source"]) for row in record["station"]}
    assert facts["seal"] == ("S-1", "simulated answer")
    assert facts["serial"] == ("SN-0001", "BootNotification")
    assert facts["meter_class"] == ("B", "station file")
    judge_the_evidence(folder, record, found)
    pages = "".join(page_texts((folder / "report.pdf").read_bytes()))
    assert [i for i in found if squeezed(i) not in pages] == []
    code, said = audit_command("verify", str(folder))
    assert code == 3, said
    assert "none is missing, none was added" in said, "the files are right; without a signature nothing is proven"


def judge_the_evidence(folder: Path, record: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text("utf-8").splitlines()]
    assert [row["seq"] for row in trace] == list(range(len(trace)))
    first, last = found["vehicle.first"]["frames"]
    started = [row for row in trace[first : last + 1] if '"StartTransaction"' in row["frame"]]
    assert [row["sender"] for row in started] == ["station"]
    assert len(record["charge_curves"]) == 2
    assert any(row["action"] == "BootNotification" and row["count"] >= 1 for row in record["latency"])
    assert len(record["sequence"]) <= len(trace)
    assert record["pictures"], "of the display"
    assert all((folder / p["path"]).read_bytes().startswith(b"\x89PNG") for p in record["pictures"])
    cases = ElementTree.parse(folder / "junit.xml").getroot().findall("testsuite/testcase")
    assert len(cases) == len(found)
    assert [c.get("name") for c in cases if c.find("failure") is not None] == ["identity.label The label is there"]
    billed_wh = sum(c["points"][-1]["energy_wh"] for c in record["charge_curves"])
    assert f"{billed_wh:.0f} Wh" in found["vehicle.books"]["says"]


def test_an_audit_that_was_killed_is_continued(tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(PLAN)
    argv = [sys.executable, "-m", "agent", "audit", "--plan", str(plan), *simulation_options(out)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + stretched(120)
        while not has_passed(out, "vehicle.first"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    assert children, "the simulated station"
    _, left = psutil.wait_procs(children, timeout=stretched(30))
    assert left == [], "the simulated station ends with the audit, however that ends"
    folder, before = record_in(out)
    assert before["complete"] is False
    assert obligations_of(before)["vehicle.books"]["says"] == "not exercised yet"
    frames_before = len((folder / "trace.jsonl").read_text("utf-8").splitlines())
    code, said = audit_command("--resume", str(folder))
    assert code == 1, said
    after = json.loads((folder / "audit.json").read_text("utf-8"))
    kept, found = obligations_of(before)["vehicle.first"], obligations_of(after)
    assert found["vehicle.first"] == kept, "what has passed is not exercised again"
    assert (after["complete"], after["id"], after["began"]) == (True, before["id"], before["began"])
    assert {i for i, o in found.items() if o["verdict"] != "PASS"} == {"identity.label", "identity.elsewhere"}, said
    assert found["vehicle.second"]["frames"][0] >= frames_before or obligations_of(before)["vehicle.second"]["frames"]
    trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text("utf-8").splitlines()]
    assert [row["seq"] for row in trace] == list(range(len(trace)))
    assert len(after["charge_curves"]) >= 2, "a transaction has a number of its own after the restart"


def test_what_is_continued_is_what_was_begun(tmp_path: Path) -> None:
    station, kit = plan_folder() / "stations" / "dc.toml", plan_folder() / "kits" / "dc" / "kit.toml"
    folder = tmp_path / "AUDIT-1"
    folder.mkdir()
    begun = {"plan_file": str(plan_path("chargy-dc")), "station_file": str(station), "kit_file": str(kit)}
    record = {"format": 1, "began": "2026-11-28T10:00:00+00:00", "target": "simulated", "speed": 7.0, "request": begun,
              "sections": [], "id": "1"}  # fmt: skip
    (folder / "audit.json").write_text(json.dumps(record))
    request = parse_request(_build_parser(["audit"]).parse_args(["audit", "run", "--resume", str(folder)]))
    assert (request.simulate, request.speed, request.station, request.kit_path) == (True, 7.0, station, kit)
    assert request.plan.id == "chargy-dc"
    assert request.kit is not None
    assert request.kit.charge_point_id == "LU-AUDIT-DC"


@pytest.mark.campaign
@pytest.mark.parametrize("name", [path.stem for path in shipped_plans()] if CAMPAIGN else ["chargy-ac-remote"])
def test_a_good_station_passes_a_whole_plan(tmp_path: Path, name: str, record_property: Any) -> None:
    code, said = audit_command("--plan", name, *simulation_options(tmp_path))
    _, record = record_in(tmp_path)
    wrong = {i: o["says"] for i, o in obligations_of(record).items() if o["verdict"] not in ("PASS", "NOT APPLICABLE")}
    assert (code, wrong) == (0, {}), said
    assert record["findings"] == []
    record_property("obligations", sum(record["counts"].values()))
    record_property("took_s", record["took_s"])


def has_passed(out: Path, name: str) -> bool:
    for path in out.glob("AUDIT-*/audit.json"):
        return bool(obligations_of(json.loads(path.read_text("utf-8")))[name]["verdict"] == "PASS")
    return False


@pytest.mark.parametrize(("words", "said"), [
    ((), "say which plan"),
    (("--plan", "chargy-ac"), "say either --simulate, or --listen"),
    (("--plan", "chargy-xx", "--simulate"), "no plan of this name; known: chargy-ac"),
    (("--plan", "chargy-ac", "--simulate", "--only", "identiti"), "no such obligation; did you mean identity?"),
    (("--plan", "chargy-ac", "--listen", "9000", "--proxy", "http://x"), "must begin with ws:// or wss://"),
    (("--plan", "chargy-ac", "--proxy", "ws://x", "--simulate"), "--proxy: needs --listen"),
    (("--plan", "chargy-ac", "--simulate", "--without", "wings"), "--without wings: known:"),
    (("--resume", "/nowhere"), "cannot be read"),
    (("check", "chargy-ac", "/nowhere.toml"), "there is no such file"),
], ids=lambda w: " ".join(w)[:40] if isinstance(w, tuple) else "")  # fmt: skip
def test_wrong_words_are_refused(words: tuple[str, ...], said: str) -> None:
    code, text = audit_command(*words)
    assert code == 2, text
    assert said in text


def test_the_plans_are_listed_and_checked() -> None:
    code, text = audit_command("plans")
    assert code == 0
    names = ["chargy-ac", "chargy-ac-remote", "chargy-dc", "generic-ocpp16", "generic-ocpp201"]
    assert [line.split()[0] for line in text.splitlines()] == names
    assert audit_command("check", *names)[0] == 0


# --- a person at a real station --------------------------------------------------------------------------------------


async def test_a_technician_is_led_through_an_audit_of_a_real_station(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace('scenario = "cable_first"', 'ask = "Is it warm?"'))
    text = ONE_EVSE.replace(SMALL_PANEL, "")  # or the person is asked what the display shows
    (tmp_path / "station.toml").write_text(text)
    with held_port() as port:
        words = ("--plan", str(tmp_path / "plan.toml"), "--listen", f"127.0.0.1:{port}", "--out", str(tmp_path / "out"))
        async with CommandTerminal("audit", str(tmp_path / "station.toml"), *words) as terminal:
            await terminal.find_text("waiting for CP-1 at ws://127.0.0.1")
            async with Simulated(tmp_path, text, f"ws://127.0.0.1:{port}") as simulated:
                await answer_and_act(terminal, simulated)
                assert await terminal.end_code() == 3, terminal.said
    folder, record = record_in(tmp_path / "out")
    found = obligations_of(record)
    assert {i: o["verdict"] for i, o in found.items()} == {
        "identity.boot": "PASS", "identity.seal": "PASS", "identity.label": "PASS",
        "identity.elsewhere": "NOT APPLICABLE", "identity.kit": "NOT APPLICABLE", "vehicle.first": "PASS",
        "vehicle.second": "PARTIAL", "vehicle.books": "PASS", "vehicle.meter": "NOT APPLICABLE",
    }, terminal.said  # fmt: skip
    assert found["vehicle.second"]["says"] == "the person at the station could not say it"
    assert (record["target"], record["speed"]) == ("station", 1.0)
    assert {row["key"]: row["source"] for row in record["station"]}["seal"] == "asked"
    assert f"recording in {folder}" in terminal.said
    assert re.search(r"\[#+\.+\] \d+/\d+ \d+:\d\d left", terminal.said), "the bar shows the time left"


async def answer_and_act(terminal: CommandTerminal, simulated: Simulated) -> None:
    """Do what the terminal asks for, and answer its questions."""
    await terminal.find_text("Is the seal whole")
    terminal.write_line("S-7")
    await terminal.find_text("Is the label there")
    terminal.write_line("yes")
    await terminal.find_text("please hold the card 04A1B2C3")
    await simulated.post("/cards/tap", {"token": "04A1B2C3", "evse": 1})
    await terminal.find_text("please plug the cable")
    await simulated.post("/evses/1/plug")
    await terminal.find_text("please hold the card 04A1B2C3")
    await simulated.post("/cards/tap", {"token": "04A1B2C3", "evse": 1})
    await terminal.find_text("please pull the cable")
    await simulated.until_evse(lambda e: not e["locked"])
    await simulated.post("/evses/1/unplug", {"side": "station"})
    await terminal.find_text("Is it warm")
    terminal.write_line("s")


# --- stations that are not ours --------------------------------------------------------------------------------------


OBLIGATIONS = (
    "identity.boot_identity", "ladder", "vehicle.card_first", "vehicle.cable_first", "vehicle.remote",
    "vehicle.token_letters", "vehicle.status_awake", "commands.configuration_round_trip", "bearer.clock_offset",
    "energy.books", "energy.meter",
)  # fmt: skip


async def audit_foreign_point(
    tmp_path: Path, mistakes: tuple[str, ...] = (), only: tuple[str, ...] = OBLIGATIONS
) -> dict[str, Any]:
    """The plan for OCPP 1.6, as far as a small charge point on the ``ocpp`` package goes."""
    with held_port() as port, tempfile.TemporaryDirectory(dir="/tmp") as short:
        path = Path(short) / "deeds"
        request = AuditRequest(
            open_plan(plan_path("generic-ocpp16")), tmp_path, port=port, actuator=actuator_command(path),
            with_person=False, lacks={"display": "it has none"}, only=only,
        )  # fmt: skip
        async with foreign_charge_point(f"ws://127.0.0.1:{port}", path, mistakes, "1.6"):
            _, record = await asyncio.wait_for(run_audit(request, Terminal()), stretched(240))
        return record


async def test_a_charge_point_of_the_ocpp_package_gets_a_right_report(tmp_path: Path) -> None:
    record = await audit_foreign_point(tmp_path)
    found = obligations_of(record)
    chosen = {i: o["verdict"] for i, o in found.items() if o["says"] != "not exercised yet"}
    assert chosen == {
        "identity.boot_identity": "FAIL", "bearer.clock_offset": "PASS", "ladder.boot": "PASS",
        "ladder.messages_understood": "PASS", "ladder.requests_answered": "PASS", "ladder.status_words": "PASS",
        "commands.configuration_round_trip": "PASS", "vehicle.card_first": "PASS", "vehicle.cable_first": "PASS",
        "vehicle.remote": "PASS", "vehicle.status_awake": "PASS", "vehicle.token_letters": "PASS",
        "energy.books": "PASS", "energy.meter": "NOT APPLICABLE", "ladder.message_ids": "PASS",
        "ladder.answers_fit": "PASS", "ladder.words_known": "PASS",
    }  # fmt: skip
    assert found["identity.boot_identity"]["says"] == "BootNotification does not say: Serial number, Firmware"
    assert record["target"] == "foreign"
    facts = {row["key"]: row["value"] for row in record["station"]}
    assert (facts["id"], facts["vendor"], facts["model"], facts["ocpp"]) == ("FOREIGN-1", "Point 1", "Foreign", "1.6")
    assert not [f for f in record["findings"] if f["verdict"] == "FAIL" and f["obligation"] != "identity.boot_identity"]


@pytest.mark.parametrize(("mistake", "obligation"), [
    ("lower_case_token", "vehicle.token_letters"), ("energy_off_2_percent", "energy.books"),
])  # fmt: skip
async def test_a_mistake_of_a_charge_point_is_found(tmp_path: Path, mistake: str, obligation: str) -> None:
    record = await audit_foreign_point(tmp_path, (mistake,))
    assert obligations_of(record)[obligation]["verdict"] == "FAIL"
    assert obligation in [f["obligation"] for f in record["findings"]]


PICTURE_PLAN = """
title = "Questions"
edition = "1"
[[sections]]
id = "one"
title = "One"
[[sections.obligations]]
id = "sticker"
title = "The sticker is there"
ask = "Where is the photograph of the sticker?"
picture = true
[[sections.obligations]]
id = "place"
title = "The place is known"
ask = "Where is the station?"
fact = "place"
[[sections.obligations]]
id = "lamp"
title = "The lamp is red"
ask = "Which colour has the lamp?"
expect = "red"
"""


@pytest.mark.parametrize(("answers", "verdicts", "says"), [
    ({"one.sticker": "PNG", "Where is the station?": "Mersch", "one.lamp": "Red"}, "PASS PASS PASS",
     "photograph p.png"),
    ({"one.sticker": "no", "one.place": " ", "one.lamp": "green"}, "FAIL FAIL FAIL",
     "there is no photograph: the answer is no"),
    ({"one.sticker": "/nowhere.png"}, "FAIL PARTIAL PARTIAL", "there is no photograph: no file /nowhere.png"),
    ({"one.sticker": "TEXT"}, "ERROR PARTIAL PARTIAL", "p.txt: must be a PNG or JPEG of at most 20 MB"),
], ids=["good", "bad", "absent", "text"])  # fmt: skip
async def test_prepared_answers_are_judged_and_photographs_are_kept(
    tmp_path: Path, answers: dict[str, str], verdicts: str, says: str
) -> None:
    (tmp_path / "plan.toml").write_text(PICTURE_PLAN)
    files = {"PNG": tmp_path / "p.png", "TEXT": tmp_path / "p.txt"}
    for file in files.values():
        file.write_bytes(b"\x89PNG")
    given = {key: str(files.get(value, value)) for key, value in answers.items()}
    with held_port() as port, tempfile.TemporaryDirectory(dir="/tmp") as short:
        request = AuditRequest(
            open_plan(tmp_path / "plan.toml"),
            tmp_path / "out",
            port=port,
            with_person=False,
            answers=given,
        )
        async with foreign_charge_point(f"ws://127.0.0.1:{port}", Path(short) / "deeds", (), "1.6"):
            folder, record = await asyncio.wait_for(run_audit(request, Terminal()), stretched(120))
    found = obligations_of(record)
    assert " ".join(o["verdict"] for o in found.values()) == verdicts
    assert found["one.sticker"]["says"] == says
    if verdicts == "PASS PASS PASS":
        assert found["one.sticker"]["pictures"] == ["pictures/one-sticker.png"]
        assert (folder / "pictures/one-sticker.png").read_bytes() == b"\x89PNG"
        assert [(r["key"], r["value"], r["source"]) for r in record["station"] if r["key"] == "place"] == [
            ("place", "Mersch", "asked")
        ]


async def test_what_a_station_does_not_offer_is_not_owed(tmp_path: Path) -> None:
    only = ("commands.reservation", "commands.local_list", "commands.charging_profile", "vehicle.two_outlets")
    record = await audit_foreign_point(tmp_path, ("core_only",), only)
    found = obligations_of(record)
    assert {found[i]["verdict"] for i in only} == {"NOT APPLICABLE"}
    assert found[only[0]]["says"] == "needs reservation: SupportedFeatureProfiles is 'Core, FirmwareManagement'"
    assert found[only[3]]["says"] == "needs two_outlets: it has reported one outlet"
    assert {r["key"]: r["value"] for r in record["station"]}["offers"] == "firmware"


async def test_a_station_that_does_not_come_is_said(tmp_path: Path) -> None:
    request = AuditRequest(open_plan(plan_path("generic-ocpp16")), tmp_path, connect_within_s=0.2, with_person=False)
    with pytest.raises(CannotCarryOut, match="a station is not connected"):
        await run_audit(request, Terminal())
    assert os.listdir(tmp_path) == []


# --- beside the real backend -----------------------------------------------------------------------------------------

SENDER = """
import json, sys, urllib.request
action, payload, station = sys.argv[1:]
body = json.dumps({{"station": station, "action": action, "payload": json.loads(payload)}}).encode()
request = urllib.request.Request("http://127.0.0.1:{port}/command", body, {{"Content-Type": "application/json"}})
urllib.request.urlopen(request, timeout=20).read()
"""


@asynccontextmanager
async def backend_with_passwords() -> Any:
    async with open_central(
        Options(port=0, passwords={"FOREIGN-1": "secret-1"}, accept_all=True, quiet=True)
    ) as central:
        yield central


async def test_both_sides_are_recorded_beside_the_real_backend(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace('scenario = "cable_first"', 'scenario = "remote_start_and_stop"'))
    options = Options(port=0, accept_all=True, quiet=True)
    async with open_central(options) as central:
        script = tmp_path / "send.py"
        script.write_text(SENDER.format(port=central.port))
        with held_port() as port, tempfile.TemporaryDirectory(dir="/tmp") as short:
            path = Path(short) / "deeds"
            request = AuditRequest(
                open_plan(tmp_path / "plan.toml"), tmp_path / "out", port=port,
                proxy_url=f"ws://127.0.0.1:{central.port}", actuator=actuator_command(path), with_person=False,
                backend_command=f"{sys.executable} {script}", answers={"identity.label": "yes"},
                lacks={"display": "it has none"},
            )  # fmt: skip
            async with foreign_charge_point(f"ws://127.0.0.1:{port}", path, (), "1.6"):
                folder, record = await asyncio.wait_for(run_audit(request, Terminal()), stretched(240))
        found = obligations_of(record)
        assert {i: o["verdict"] for i, o in found.items()} == {
            "identity.boot": "FAIL", "identity.seal": "PARTIAL", "identity.label": "PASS",
            "identity.elsewhere": "PARTIAL", "identity.kit": "NOT APPLICABLE", "vehicle.first": "PASS",
            "vehicle.second": "PASS", "vehicle.books": "PASS", "vehicle.meter": "NOT APPLICABLE",
        }  # fmt: skip
        assert record["target"] == "proxy"
        assert len(central.ledger.transactions) == 2, "the backend has got both sessions"
        billed = sum(t.energy_wh or 0 for t in central.ledger.transactions.values())
        assert f"{billed} Wh" in found["vehicle.books"]["says"]
    senders = {json.loads(line)["sender"] for line in (folder / "trace.jsonl").read_text("utf-8").splitlines()}
    assert senders == {"station", "backend"}
    kinds = [json.loads(line).get("kind") for line in (folder / "records.jsonl").read_text("utf-8").splitlines()]
    assert "connected" in kinds


async def test_a_refusal_of_the_real_backend_reaches_the_station(tmp_path: Path) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    from agent.commands.audit.proxy import RecordingProxy
    from agent.scenario.frames import FrameLog

    seen: list[tuple[str, dict[str, Any]]] = []
    async with backend_with_passwords() as central:
        proxy = RecordingProxy(
            f"ws://127.0.0.1:{central.port}", FrameLog(), lambda kind, **data: seen.append((kind, data))
        )
        async with proxy.open_proxy("127.0.0.1", 0):
            url = f"ws://127.0.0.1:{proxy.listening_port}/FOREIGN-1"
            protocols: Any = ["ocpp1.6"]
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, subprotocols=protocols, proxy=None)
            assert refused.value.response.status_code == 401
            with_login = url.replace("ws://", "ws://FOREIGN-1:secret-1@")
            async with connect(with_login, subprotocols=protocols, proxy=None) as connection:
                assert connection.subprotocol == "ocpp1.6"
                await connection.send('[2,"1","Heartbeat",{}]')
                assert "currentTime" in await connection.recv()
            assert [f.action for f in proxy.frames.frames] == ["Heartbeat", "Heartbeat"]
        async with proxy.open_proxy("127.0.0.1", 0):
            pass
    assert seen == [("refused", {"station": "FOREIGN-1", "status": 401})]


async def test_a_backend_behind_tls_is_trusted_by_its_own_root_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with open_central(Options(port=0, accept_all=True, quiet=True)) as central:
        with tls_front(central.port, tls(authority.server())) as tls_port:
            url = f"wss://localhost:{tls_port}"
            assert await heartbeat_over_proxy(url, authority.root) == ("answered", [])
            assert await heartbeat_over_proxy(url, None) == ("502", ["backend_unreachable"])


async def heartbeat_over_proxy(backend_url: str, trusted: Path | None) -> tuple[str, list[str]]:
    """What becomes of a Heartbeat through the proxy, and what the proxy has recorded."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    from agent.commands.audit.proxy import RecordingProxy
    from agent.scenario.frames import FrameLog

    seen: list[str] = []
    proxy = RecordingProxy(backend_url, FrameLog(), lambda kind, **_: seen.append(kind), trusted=trusted)
    protocols: Any = ["ocpp1.6"]
    async with proxy.open_proxy("127.0.0.1", 0):
        try:
            url = f"ws://127.0.0.1:{proxy.listening_port}/CP-1"
            async with connect(url, subprotocols=protocols, proxy=None) as connection:
                await connection.send('[2,"1","Heartbeat",{}]')
                assert "currentTime" in await connection.recv()
                return "answered", seen
        except InvalidStatus as e:
            return str(e.response.status_code), seen
