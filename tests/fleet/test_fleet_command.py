"""``chargy-agent fleet`` as a process: report, exit code, mistakes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.fleet.bare_backend import BareBackend, open_bare_backend
from tests.support.busy_machine import deadline

ROOT = Path(__file__).resolve().parents[2]
PROFILE = """
about = "lively"
duration_s = 150
rate = 60
[visits]
per_hour = 120
stay_s = [20, 60]
energy_kwh = [1, 5]
"""


async def run_command(*argv: str, folder: Path) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "fleet", *argv, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with deadline(180):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


def write_profile(folder: Path, text: str = PROFILE) -> str:
    path = folder / "lively.toml"
    path.write_text(text)
    return str(path)


def backend_arguments(backend: BareBackend) -> tuple[str, str]:
    return "--backend", f"ws://127.0.0.1:{backend.port}/ocpp"


async def test_a_run_writes_both_reports_and_passes(tmp_path: Path) -> None:
    page, figures = tmp_path / "report.html", tmp_path / "report.json"
    async with open_bare_backend() as backend:
        code, out, err = await run_command(
            "5", *backend_arguments(backend), "--profile", write_profile(tmp_path), "--html", str(page),
            "--json", str(figures), "--max-errors", "0", "--max-p99-ms", "60000", folder=tmp_path,
        )  # fmt: skip
    assert code == 0, out + err
    assert out.splitlines()[-1] == "PASSED"
    report = json.loads(figures.read_text())
    assert report["books"]["agree"]
    assert report["books"]["transactions"] == backend.calls["StopTransaction"] > 0
    assert report["calls"]["BootNotification"]["count"] == 5
    assert {row["station"] for row in report["balances"]} == set(backend.accounts)
    text = page.read_text("utf-8")
    assert not re.search(r"(src|href)=|@import|url\(", text), "the page loads nothing"
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "BootNotification" in text
    assert "PASSED" in text


async def test_a_threshold_is_an_exit_code(tmp_path: Path) -> None:
    async with open_bare_backend() as backend:
        code, out, _ = await run_command(
            "2", *backend_arguments(backend), "--profile", write_profile(tmp_path), "--max-p99-ms", "0.001", "--quiet",
            folder=tmp_path,
        )  # fmt: skip
    assert code == 1
    assert "FAILED" in out.splitlines()[-1]


async def test_an_interrupt_ends_the_profile_in_order(tmp_path: Path) -> None:
    async with open_bare_backend() as backend:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "fleet", "3", *backend_arguments(backend), "--profile",
            write_profile(tmp_path, PROFILE.replace("duration_s = 150", "duration_s = 600000")), "--json", "-",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with deadline(180):
                while not backend.calls["StartTransaction"]:
                    await asyncio.sleep(0.02)
                child.send_signal(signal.SIGINT)
                out, err = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    assert child.returncode == 0, err.decode()
    report = json.loads(out)
    assert report["books"]["agree"]
    assert backend.calls["StartTransaction"] == backend.calls["StopTransaction"]


async def test_mistakes_are_named_with_their_place(tmp_path: Path) -> None:
    wrong = write_profile(tmp_path, PROFILE.replace("per_hour", "per_our"))
    code, _, err = await run_command("5", "--backend", "ws://127.0.0.1:1", "--profile", wrong, folder=tmp_path)
    assert code == 2
    assert "lively.toml:6:1: visits.per_our: unknown key (did you mean 'per_hour'?)" in err
    code, _, err = await run_command("5", "--backend", "http://127.0.0.1:1", folder=tmp_path)
    assert code == 2
    assert "must begin with ws:// or wss://" in err
    code, _, err = await run_command("5", "--backend", "ws://127.0.0.1:1", "--profile", "rush_our", folder=tmp_path)
    assert code == 2
    assert "did you mean 'rush_hour'" in err
    code, _, err = await run_command("5", "--backend", "ws://127.0.0.1:1", "--ocpp", "1.7", folder=tmp_path)
    assert code == 2
    assert "OCPP 1.7 is not supported" in err


async def test_the_shipped_profiles_are_listed(tmp_path: Path) -> None:
    code, out, _ = await run_command("--list", folder=tmp_path)
    assert code == 0
    names = {line.split()[0] for line in out.splitlines()}
    assert names == {path.stem for path in (ROOT / "config" / "fleets").glob("*.toml")}
    assert {"rush_hour", "highway", "depot", "reconnect_storm", "offline_hour"} <= names
