"""What is shipped for systemd: judged by systemd's own tools where they are, and by its text everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "chargy-agent.service"
EXPOSURE_AT_MOST = 20  # tenths: 2.0 of 10, "OK" in the words of systemd-analyze

REQUIRED = {
    "Type": "notify",
    "NotifyAccess": "main",
    "WatchdogSec": "30",
    "Restart": "always",
    "ExecStart": "/opt/chargy-agent/venv/bin/chargy-agent run /etc/chargy-agent/station.toml",
    "User": "chargy-agent",
    "StateDirectory": "chargy-agent",
    "RuntimeDirectory": "chargy-agent",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "DevicePolicy": "closed",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
}


def directives(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def tool(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return subprocess.run([name, *map(str, words)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("name", "value"), REQUIRED.items())
def test_the_unit_says_what_the_agent_relies_on(name: str, value: str) -> None:
    assert directives(UNIT.read_text("utf-8")).get(name) == [value]


def test_the_unit_never_gives_up_and_leaves_time_to_stop() -> None:
    unit = directives(UNIT.read_text("utf-8"))
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert int(unit["TimeoutStopSec"][0]) >= 30
    assert "ProcSubset" not in unit, "the boot id (/proc/sys/kernel/random/boot_id) would be hidden"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # The binary is not installed here and verify wants one that exists.
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8"), flags=re.MULTILINE))
    judged = tool("systemd-analyze", "verify", "--man=no", copy)
    ours = [line for line in judged.stderr.splitlines() if UNIT.name in line]
    if "RestartSteps" in judged.stderr:
        pytest.skip("this systemd is older than 254 and ignores RestartSteps")
    assert (judged.returncode, ours) == (0, [])


def test_the_unit_is_hardly_exposed() -> None:
    judged = tool(
        "systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_AT_MOST}", UNIT
    )
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-analyze cannot judge a file offline")
    assert judged.returncode == 0, judged.stdout.splitlines()[-1:] or judged.stderr


def test_udev_accepts_the_rules() -> None:
    judged = tool("udevadm", "verify", "--resolve-names=never", SYSTEMD / "70-chargy-agent.rules")
    if "Unknown command verb" in judged.stderr + judged.stdout:
        pytest.skip("this udevadm cannot verify")
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_sysusers_makes_the_user_and_its_groups() -> None:
    judged = tool("systemd-sysusers", "--dry-run", "--root=/nonexistent-root", SYSTEMD / "chargy-agent.sysusers.conf")
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-sysusers has no dry run")
    assert "Creating user 'chargy-agent'" in judged.stdout + judged.stderr


def test_unit_and_sysusers_name_the_same_groups() -> None:
    wanted = set(directives(UNIT.read_text("utf-8"))["SupplementaryGroups"][0].split())
    given = re.findall(r"^m chargy-agent (\w+)$", (SYSTEMD / "chargy-agent.sysusers.conf").read_text(), re.MULTILINE)
    assert wanted == set(given)
