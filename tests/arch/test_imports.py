"""Imports are the start-up time: what the command line and the driver packages may not pull in by themselves."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.model.lazy_import import UNUSED_BY_STATION
from tests.bench.backend import open_backend
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "pymodbus", "nfc", "PIL", "qrcode", "aiohttp", "serial", "jsonschema", "cryptography", "ocpp.v16", "ocpp.v201",
    "ocpp.v21",
)  # fmt: skip
PACKAGES = sorted(p.parent.name for p in (ROOT / "drivers").glob("*/__init__.py") if p.parent.name != "testkit")
LATER = (
    *HEAVY, "argparse", "difflib", "decimal", "http.client", "http.server", "email", "drivers", "agent.csms",
    "agent.desk", "agent.fleet",
    "agent.services.devices.configured", "agent.ocpp.v201", "agent.ocpp.v21", "agent.ocpp.dialects.device_model_v2x",
    "websockets.asyncio", *UNUSED_BY_STATION, "shutil", "tempfile", "agent.services.store.recovery",
    "agent.services.store.undelivered", "agent.domain.display_messages", "agent.domain.blocks.display_messages",
    "agent.domain.blocks.monitoring", "agent.domain.monitoring", "agent.domain.blocks.customer_information",
    "agent.domain.blocks.firmware", "agent.domain.firmware_job", "agent.domain.running_firmware",
    "agent.domain.master_pass", "agent.domain.register_snapshots", "agent.services.keys.key_files",
    "agent.services.devices.updater", "agent.ports.updater", "agent.assembly.doctor", "agent.services.devices.board",
    "agent.services.devices.release", "agent.services.files", "agent.ocpp.transport.ocpp_j.handshake_problems",
    "agent.domain.blocks.web_payment_estimate",
    "agent.ocpp.v12", "agent.ocpp.v15", "agent.ocpp.transport.ocpp_s", "agent.ocpp.wire.soap_body", "defusedxml", "xml",
)  # fmt: skip
"""Nothing of this helps to say BootNotification in OCPP 1.6. A name stands for what is in it, too."""
CLI_ONLY = ("websockets", "sqlite3", "asyncio", "ssl")
"""Dear too, but the agent itself needs them: only the command line, which must answer --help at once, does without."""


STATION = """
[station]
state_dir = "state"
[backend]
url = "ws://127.0.0.1:{port}"
versions = ["1.6"]
[[evse]]
number = 1
board = {{ driver = "evse_modbus", map = "charx_sec", host = "127.0.0.1", port = 1 }}
[[reader]]
driver = "reader_serial"
device = "/nowhere"
"""


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after ``statement``."""
    code = (
        f"import sys, json; before = set(sys.modules); {statement}; print(json.dumps(list(set(sys.modules) - before)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=stretched(60)
    )
    assert child.returncode == 0, child.stderr
    return set(json.loads(child.stdout.splitlines()[-1]))


def test_the_command_line_costs_nothing() -> None:
    loaded = loaded_by("import agent.cli")
    assert sorted(loaded & {*HEAVY, *CLI_ONLY}) == []
    assert sorted(m for m in loaded if m.startswith("drivers")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_driver_package_costs_nothing_until_it_is_opened(package: str) -> None:
    assert sorted(loaded_by(f"import drivers.{package}") & set(HEAVY)) == []


@pytest.mark.parametrize(
    "module", ["agent.station_file.settings", "agent.csms.central_system", "agent.csms.operator_console"]
)
def test_what_runs_before_a_station_is_known_stays_light(module: str) -> None:
    assert sorted(loaded_by(f"import {module}") & {*HEAVY, "websockets"}) == []


def test_a_heavy_import_is_found() -> None:
    assert "jsonschema" in loaded_by("import ocpp.messages")


@pytest.mark.parametrize("command", ["", "run", "check", "csms", "simulate"])
def test_every_command_explains_itself(command: str) -> None:
    argv = [sys.executable, "-m", "agent", *([command] if command else []), "--help"]
    child = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60))
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("usage: chargy-agent")


RUN = """
import sys
from agent.model.lazy_import import UNUSED_BY_STATION, load_later
load_later(*UNUSED_BY_STATION)
from agent.assembly import station
station.HEAD_START_S = 3600.0
from agent.cli import main
sys.exit(main())
"""
"""The agent, whose devices wait for the answer of the backend however long a busy machine takes for it."""


async def modules_of_a_run(folder: Path) -> tuple[list[str], list[str]]:
    """What a real agent imports (``-X importtime`` writes a line for each) before it is connected, and after that."""
    async with open_backend() as backend:
        file = folder / "station.toml"
        file.write_text(STATION.format(port=backend.port))
        argv = (sys.executable, "-X", "importtime", "-c", RUN, "run", str(file))
        child = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        assert child.stderr
        try:
            await backend.wait_heard("BootNotification")
            said = b""
            while b"drivers.reader_serial" not in said:
                said += (more := await asyncio.wait_for(child.stderr.read(65536), stretched(30)))
                assert more, said.decode()[-500:]
        finally:
            child.terminate()
            await child.communicate()
    before, _, after = said.decode().partition("connected to ws://")
    return [line.split()[-1] for line in before.splitlines()], [line.split()[-1] for line in after.splitlines()]


async def test_before_the_first_frame_only_what_it_needs(tmp_path: Path) -> None:
    before, after = await modules_of_a_run(tmp_path)
    late = {m for m in before if any(m == name or m.startswith(name + ".") for name in LATER)}
    assert late == set(), "import it where it is used, or after the first frame (start-up time is measured)"
    assert "agent.ocpp.v16.boot" in before  # the package itself is imported by name, which is not written
    assert [m for m in after if m.startswith("drivers.reader_serial")]


def test_what_is_loaded_later_is_all_there_when_it_is_wanted() -> None:
    """``importlib.metadata`` is empty until the first use, however it is imported."""
    ask = (
        "from agent.ocpp.transport.ocpp_j import dialer; dialer.preload_library(); "
        "import sys; assert 'email' not in sys.modules; "
    )
    for use in (
        "from importlib.metadata import entry_points as e; assert e(group='chargy_agent.drivers')",
        "import importlib.metadata; assert importlib.metadata.version('websockets')",
        "import importlib.metadata._meta; assert 'email' in sys.modules",
        "from importlib import metadata; assert metadata.version('websockets'); assert metadata.__path__",
    ):
        assert "email" in loaded_by(ask + use)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("ast", "import inspect; assert 'reverse=False' in str(inspect.signature(sorted))"),
        ("locale", "import subprocess; assert subprocess.run(['true'], text=True, capture_output=True).stdout == ''"),
        ("textwrap", "import textwrap; assert textwrap.dedent(' x') == 'x'"),
        ("tokenize", "import inspect, json; assert 'def' in inspect.getsource(json.loads)"),
        ("PIL.ExifTags", "from PIL import ExifTags; assert ExifTags.Base.Make == 271"),
    ],
)
def test_the_standard_library_gets_what_was_left_out(name: str, use: str) -> None:
    ask = "from agent.model.lazy_import import UNUSED_BY_STATION, load_later; load_later(*UNUSED_BY_STATION); "
    import_all = "import asyncio, dataclasses, inspect, logging, subprocess, traceback, PIL.Image; "
    source = f"sys.modules[{name!r}].__dict__.get('__file__')"
    loaded_by(f"{ask}{import_all}import sys; assert {source} is None")
    loaded_by(f"{ask}{import_all}{use}")


def decorated_by_dataclasses(path: Path) -> list[str]:
    classes = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ClassDef)]
    return [c.name for c in classes if any(ast.unparse(d).startswith("dataclass") for d in c.decorator_list)]


def test_the_agent_makes_its_classes_cheaply() -> None:
    rooms = [p for p in (ROOT / "agent").rglob("*.py") if "csms" not in p.parts]
    dear = {f"{p.relative_to(ROOT)}: {name}" for p in rooms for name in decorated_by_dataclasses(p)}
    assert dear == set(), "use @frozen or @mutable of agent/model/fastclass.py (decision 7)"


def test_the_agent_makes_its_enumerations_cheaply() -> None:
    imports = [
        (p, n) for p in (ROOT / "agent").rglob("*.py") for n in ast.walk(ast.parse(p.read_text("utf-8")))
        if isinstance(n, ast.ImportFrom) and n.module == "enum"
    ]  # fmt: skip
    dear = {str(p.relative_to(ROOT)) for p, n in imports if "StrEnum" in {a.name for a in n.names}}
    assert dear == {"agent/model/string_enum.py"}, "use StrEnum of agent/model/string_enum.py (decision 7)"


def test_the_agent_replaces_its_records_cheaply() -> None:
    rooms = [p for room in ("domain", "ocpp", "services") for p in (ROOT / "agent" / room).rglob("*.py")]
    imports = [
        (p, n) for p in rooms for n in ast.walk(ast.parse(p.read_text("utf-8"))) if isinstance(n, ast.ImportFrom)
    ]
    dear = {p.name for p, n in imports if n.module == "dataclasses" and "replace" in {a.name for a in n.names}}
    assert dear == set(), "use replace of agent/model/fastclass.py (decision 7)"
