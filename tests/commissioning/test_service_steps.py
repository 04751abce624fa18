"""The steps to the backend on the service screen: what is known without a test, and what a technician reads on the
panel of a station whose backend is planted with a fault."""

from __future__ import annotations

import asyncio
import io
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from agent import __version__
from agent.assembly.doctor.findings import CODES, RUNGS, Verdict, make_finding, worst_verdict
from agent.assembly.doctor.known_rungs import HTTP_CODES, connection_findings, device_findings
from agent.assembly.doctor.service_examiner import summarize_findings
from agent.assembly.shared_terminal import shared_terminal_rows
from agent.model.types import Screen, ScreenName
from agent.ocpp.transport.connect_problems import ProblemCode
from agent.ports.driver import StationFacts
from agent.station_file.settings import Backend
from drivers.panel.canvas import Canvas
from drivers.panel.page import page_of_screen
from drivers.panel.page_parts import faces_of_page
from drivers.panel.texts import load_texts
from tests.commissioning.doctor_faults import FAULTS, Plot
from tests.domain.playbook import make_site
from tests.support import doctor_far_ends as far
from tests.support.busy_machine import deadline
from tests.support.certificate_authorities import Authority
from tests.support.simulated_station import Simulated

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("fr", "de", "en", "lb")
PLAIN = Backend(url="ws://host/", charge_point_id="CP-1")
SECURE = Backend(url="wss://host/", charge_point_id="CP-1")


def steps_of(backend: Backend, code: ProblemCode, error: str = "it failed", **more: Any) -> dict[str, Verdict]:
    problem = {"code": str(code), "status": 0, "location": ""}
    row = {"url": backend.url, "connected": False, "error": error, "boot": None, "ocpp": "1.6", "problem": problem}
    return {f.rung: f.verdict for f in connection_findings({**row, **more}, backend) if f.code != "tls_not_used"}


GOOD, WRONG, OPEN = Verdict.GOOD, Verdict.WRONG, Verdict.NOT_JUDGED
FAR = {"dns": GOOD, "tcp": GOOD, "tls": GOOD, "http": WRONG, "boot": OPEN}
"""Of an attempt that HTTP has ended."""
BEFORE = {
    ProblemCode.NAME: {"dns": WRONG, "tcp": OPEN, "tls": OPEN, "http": OPEN, "boot": OPEN},
    ProblemCode.REFUSED: {"dns": GOOD, "tcp": WRONG, "tls": OPEN, "http": OPEN, "boot": OPEN},
    ProblemCode.UNREACHABLE: {"dns": GOOD, "tcp": WRONG, "tls": OPEN, "http": OPEN, "boot": OPEN},
    ProblemCode.CERTIFICATE: {"dns": GOOD, "tcp": GOOD, "tls": WRONG, "http": OPEN, "boot": OPEN},
    ProblemCode.TLS: {"dns": GOOD, "tcp": GOOD, "tls": WRONG, "http": OPEN, "boot": OPEN},
    ProblemCode.CLOSED: {**FAR, "tls": OPEN},
    ProblemCode.SILENT: {**FAR, "dns": OPEN, "tcp": OPEN, "tls": OPEN},
    ProblemCode.OTHER: {**FAR, "dns": OPEN, "tcp": OPEN, "tls": OPEN},
    ProblemCode.EARLIER: {**FAR, "dns": OPEN, "tcp": OPEN, "tls": OPEN, "http": OPEN},
}


@pytest.mark.parametrize("code", list(ProblemCode))
def test_no_step_is_called_good_that_the_attempt_has_not_shown(code: ProblemCode) -> None:
    assert steps_of(SECURE, code) == BEFORE.get(code, FAR)


def test_a_connection_has_passed_all_steps_whatever_failed_before_it() -> None:
    steps = steps_of(SECURE, ProblemCode.NAME, error="", connected=True, boot="Accepted")
    assert steps == dict.fromkeys(("dns", "tcp", "tls", "http", "boot"), GOOD)
    assert steps_of(PLAIN, ProblemCode.NAME, connected=True, boot="Rejected")["boot"] is WRONG


OVER_SOAP = Backend(url="http://host/", charge_point_id="CP-1", versions=("1.5",))
PAGE = {"why": "HTTP 503, an error page", "status": 503, "is_fault": False}


@pytest.mark.parametrize(
    ("known", "soap", "boot"),
    [
        ({"connected": True, "boot": "Accepted", "error": ""}, "soap_good_agent", GOOD),
        ({"unprocessed": PAGE, "boot": "Accepted"}, "soap_server_error", OPEN),
        ({"connected": True, "boot": None, "error": "", "refusal": "IdentityMismatch"}, "soap_identity", OPEN),
        ({"error": ""}, "soap_waits", OPEN),
        ({}, "soap_failed", OPEN),
    ],
    ids=["answered", "page", "fault", "before", "failed"],
)
def test_an_exchange_over_soap_is_judged_by_what_the_agent_has_seen(
    known: dict[str, Any], soap: str, boot: Verdict
) -> None:
    problem = {"code": str(ProblemCode.OTHER), "status": 0, "location": ""}
    row = {"url": OVER_SOAP.url, "connected": False, "error": "it failed", "boot": None, "ocpp": "1.5"}
    findings = {f.rung: f for f in connection_findings({**row, "problem": problem, **known}, OVER_SOAP)}
    assert findings["soap"].code == soap
    assert findings["boot"].verdict is boot
    assert "http" not in findings


def test_before_the_first_attempt_nothing_is_known() -> None:
    steps = steps_of(SECURE, ProblemCode.OTHER, error="")
    assert steps == dict.fromkeys(("dns", "tcp", "tls", "http", "boot"), OPEN)


def test_a_step_has_its_worst_verdict_and_what_is_not_there_is_left_out() -> None:
    findings = [
        make_finding("device_good", "reader"), make_finding("device_reported", "meter"), make_finding("sim_none"),
        make_finding("bearer_up"), make_finding("bearer_spare_down", "gprs"), make_finding("clock_unknown"),
        make_finding("disk_good"),
    ]  # fmt: skip
    examined = summarize_findings(findings)
    assert (examined.good, examined.not_judged) == (("disk",), ("clock",))
    assert examined.wrong == ("devices", "bearer")
    assert (examined.problem, examined.problem_step, examined.subject) == ("device_reported", "devices", "meter")
    assert summarize_findings([make_finding("disk_low")]).problem == "disk_low"
    assert worst_verdict([make_finding("budget_soft"), make_finding("clock_unknown")]) is Verdict.WARNING


def test_a_terminal_whose_bank_was_not_reached_is_a_warning_until_one_answers() -> None:
    identity = {"vendor": "Payter", "model": "APOLLO", "serial": "A1", "firmware": "2"}
    row = {"name": "terminal", "error": "", "identity": identity, "uplink": "ethernet, online", "bank": "silent"}
    about = "Payter APOLLO, serial A1, firmware 2, uplink ethernet, online"
    [finding] = device_findings([row])
    assert (finding.code, finding.verdict) == ("terminal_bank_silent", Verdict.WARNING)
    assert finding.values == {"about": about}
    assert summarize_findings([finding]).problem == "terminal_bank_silent"
    [finding] = device_findings([{**row, "bank": "answers"}])
    assert (finding.code, finding.values) == ("device_identified", {"about": about})
    [finding] = device_findings([{**row, "error": "no answer"}])
    assert finding.code == "device_reported", "first it has to answer itself"


def test_a_station_that_shares_the_terminal_is_connected_or_not() -> None:
    site = make_site(payment_terms=None, satellites={"east": (2,), "gone from the file": ()})
    site.satellites_online.add("east")
    [finding] = device_findings(shared_terminal_rows(site))
    assert (finding.code, finding.subject, finding.verdict) == ("station_connected", "satellite east", Verdict.GOOD)
    site.satellites_online.clear()
    [finding] = device_findings(shared_terminal_rows(site))
    assert (finding.code, finding.verdict) == ("station_away", Verdict.WARNING)
    [row] = shared_terminal_rows(make_site(is_satellite=True))
    assert (row["name"], row["open"], row["error"]) == ("payment master", False, "not connected")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "Foreign Root")


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_problem_and_each_step_has_its_words(language: str) -> None:
    """What the screen can show is what the two modules name: every code is written there."""
    table = tomllib.loads((ROOT / f"config/texts/{language}.toml").read_text("utf-8"))["service"]
    folder = ROOT / "agent/assembly/doctor"
    named = set(
        re.findall(
            r'"(\w+)"',
            "".join(
                (folder / f"{m}.py").read_text("utf-8") for m in ("known_rungs", "service_examiner", "soap_findings")
            ),
        )
    )
    shown = {c for c, (_, verdict) in CODES.items() if verdict in (Verdict.WRONG, Verdict.WARNING) and c in named}
    assert set(table["problems"]) == shown - {"dial_refused"}  # the agent dials; only the doctor reports a refused call
    assert shown > {c for c in HTTP_CODES.values() if c != "http_earlier"}
    assert set(table["steps"]) >= {CODES[c][0] for c in shown}
    assert set(table["steps"]) <= set(RUNGS)


# --- on the panel ----------------------------------------------------------------------------------------------------

STATION = """
[station]
id = "CP-1"
state_dir = "state"
languages = ["{language}"]
[backend]
reconnect_s = 0.2
{backend}
[display]
driver = "display_framebuffer"
{panel}
[buttons]
driver = "buttons_evdev"
[[evse]]
number = 1
[simulation]
port = 0
state_dir = "world"
"""
PANELS: dict[str, tuple[str, tuple[int, int, int]]] = {
    "wide": ("width = 800\nheight = 480", (800, 480, 16)),
    "small": ("width = 320\nheight = 240\nturn_s = 0.5", (320, 240, 16)),
    "small upright": ("width = 240\nheight = 320\nturn_s = 0.5", (240, 320, 16)),
    "upright": ("width = 480\nheight = 800", (480, 800, 16)),
    "tiny": ('width = 128\nheight = 64\nformat = "MONO"\nturn_s = 0.5', (128, 64, 1)),
}
RGB565_STEP = 8
HAND = "disk devices"
FAULTY: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "closed at once": (
        "wide", "fr", "Vérifiez url.",
        {"steps_good": f"{HAND} dns tcp", "steps_wrong": "http", "steps_not_judged": "boot clock",
         "problem": "http_closed"},
    ),
    "unknown root": (
        "small", "de", "Uhr und ca prüfen.",
        {"steps_good": f"{HAND} dns tcp", "steps_wrong": "tls", "steps_not_judged": "http boot clock",
         "problem": "tls_certificate_wrong"},
    ),
    "401": (
        "tiny", "en", "Check the password.",
        {"steps_good": f"{HAND} dns tcp", "steps_wrong": "http", "steps_not_judged": "boot clock",
         "problem": "http_unauthorized"},
    ),
    "403": (
        "upright", "lb", "Bedreiwer froen.",
        {"steps_good": f"{HAND} dns tcp", "steps_wrong": "http", "steps_not_judged": "boot clock",
         "problem": "http_forbidden"},
    ),
    "404": (
        "small upright", "fr", "Vérifiez url et charge_point_id.",
        {"steps_good": f"{HAND} dns tcp", "steps_wrong": "http", "steps_not_judged": "boot clock",
         "problem": "http_not_found"},
    ),
}  # fmt: skip


SILENT_METER = {
    "steps_good": "disk dns tcp http boot",
    "steps_wrong": "devices",
    "steps_not_judged": "clock",
    "problem": "device_reported",
    "problem_step": "devices",
    "problem_subject": "evse[1].meter",
}


def expected_faces(values: dict[str, Any], language: str, panel: tuple[int, int, int]) -> list[Canvas]:
    common = {"program": __version__, "evse": 1, "evses": 1, "problem_step": values["steps_wrong"]}
    shown = Screen(ScreenName.SERVICE, language, "", {**common, **values})
    page = page_of_screen(shown, load_texts(language, (ROOT / "config",)), StationFacts())
    return [face() for face in faces_of_page(page, panel[:2], panel[2])]


def is_on_panel(face: Canvas, panel: Image.Image) -> bool:
    """Whether each text of this face stands on the panel, pixel by pixel; 16 bits per pixel take away little."""
    for text in face.placed:
        drawn, seen = face.image.crop(text.ink).convert("RGB"), panel.crop(text.ink).convert("RGB")
        bands = ImageChops.difference(drawn, seen).split()
        if text.kind == "text" and any(band.point(lambda n: n > RGB565_STEP and 255).getbbox() for band in bands):
            return False
    return True


async def read_panel(s: Simulated, faces: list[Canvas]) -> None:
    """Look at the panel until each of these faces was on it. They take turns."""
    missing = list(faces)
    async with deadline(60):
        while missing:
            async with s.http.get("/api/v1/display/1.png") as answer:
                panel = Image.open(io.BytesIO(await answer.read()))
            missing = [face for face in missing if not is_on_panel(face, panel)]
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("fault", FAULTY)
async def test_a_technician_reads_the_step_that_fails_on_the_panel(
    fault: str, tmp_path: Path, ours: Authority, foreign: Authority
) -> None:
    panel, language, advice, values = FAULTY[fault]
    keys, size = PANELS[panel]
    plot = Plot(tmp_path, ours, foreign)
    async with FAULTS[fault].plant(plot):
        ca = "".join(f"{name} = {value}\n" for name, value in plot.backend.items())
        text = STATION.format(language=language, backend=ca, panel=keys)
        async with Simulated(tmp_path, text, plot.url) as s:
            await s.until(lambda p: p["backend"]["error"])
            await s.post("/buttons/service")
            faces = expected_faces({"link_up": False, **values}, language, size)
            assert advice in " ".join(p.what for face in faces for p in face.placed)
            await read_panel(s, faces)


async def test_the_steps_follow_what_happens_while_the_screen_is_shown(tmp_path: Path) -> None:
    keys, size = PANELS["wide"]
    async with far.backend() as (port, _):
        text = STATION.format(language="en", backend="", panel=keys)
        async with Simulated(tmp_path, text, f"ws://127.0.0.1:{port}") as s:
            await s.until(lambda p: p["backend"]["boot"] == "Accepted")
            await s.post("/buttons/service")
            good = {
                "link_up": True,
                "steps_good": "disk devices dns tcp http boot",
                "steps_not_judged": "clock",
                "steps_wrong": "",
                "problem": "",
            }
            await read_panel(s, expected_faces(good, "en", size))
            await s.post("/evses/1/fault", {"fault": "MeterSilent", "active": True})
            await read_panel(s, expected_faces({"link_up": True, **SILENT_METER}, "en", size))
