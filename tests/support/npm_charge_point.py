"""A charge point that is not ours, from npm: the simulator ``em-ocpp-chargepoint-simulator``, with a script that puts a
connector and a vehicle in front of it (``npm_charge_point.js``)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "em-ocpp-chargepoint-simulator"
VERSION = "0.0.4"
FOLDER = ROOT / ".venv" / "npm"
SCRIPT = Path(__file__).with_suffix(".js")
INSTALL_S = 120
SENDER = """
import json, sys, urllib.error, urllib.request
kind, values = sys.argv[1:]
body = json.dumps({"kind": kind, "values": json.loads(values)}).encode()
request = urllib.request.Request("http://127.0.0.1:PORT/", body, {"Content-Type": "application/json"})
try:
    urllib.request.urlopen(request, timeout=20).read()
except urllib.error.HTTPError:
    sys.exit(3)
"""


def install_simulator() -> str:
    """Install the simulator, without running any script of a package. Returns why that is impossible, or ""."""
    if (FOLDER / "node_modules" / PACKAGE / "package.json").exists():
        return ""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    argv = ["npm", "install", "--prefix", str(FOLDER), "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run([*argv, f"{PACKAGE}@{VERSION}"], capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"npm has not installed {PACKAGE} within {INSTALL_S} s"
    return f"npm cannot install {PACKAGE}: {done.stderr.strip()[-200:]}" if done.returncode else ""


def write_actuator(folder: Path, deeds_port: int) -> str:
    """Write the command that passes a deed on. Returns it."""
    path = folder / "deed.py"
    path.write_text(SENDER.replace("PORT", str(deeds_port)))
    return f"{sys.executable} -S {path}"


@asynccontextmanager
async def npm_charge_point(backend_url: str, deeds_port: int) -> AsyncIterator[None]:
    """The charge point, connected to a backend. It connects once."""
    environment = {**os.environ, "BACKEND_URL": backend_url, "DEEDS_PORT": str(deeds_port), "DEBUG": ""}
    main = FOLDER / "node_modules" / PACKAGE / "build" / "src" / "main.js"
    process = await asyncio.create_subprocess_exec(
        "node", str(main), SCRIPT.name, cwd=SCRIPT.parent, env=environment, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
