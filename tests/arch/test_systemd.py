"""What is shipped for systemd: judged by systemd's own tools where they are, and by its text everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.busy_machine import stretched

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "chargy-agent.service"
EXPOSURE_AT_MOST = 15  # tenths: 1.5 of 10, "OK" in the words of systemd-analyze

REQUIRED = {
    "ConditionPathExists": "/etc/chargy-agent/station.toml",
    "Type": "notify",
    "NotifyAccess": "main",
    "WatchdogSec": "30",
    "Restart": "always",
    "OOMPolicy": "continue",  # the kernel ends the field page first: no reason to stop the agent beside it
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
    return subprocess.run([name, *map(str, words)], capture_output=True, text=True, timeout=stretched(60))


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


# --- devices --------------------------------------------------------------------------------------------------------

SERIAL = {"char-ttyS", "char-ttyAMA", "char-ttymxc", "char-ttySTM", "char-ttyUSB", "char-ttyACM"}
NEEDS: dict[str, tuple[set[str], set[str]]] = {
    "evse_modbus": (SERIAL, {"dialout"}),
    "evse_everest": (set(), set()),
    "evse_openevse": (SERIAL, {"dialout"}),
    "meter_modbus": (SERIAL, {"dialout"}),
    "meter_rest": (set(), set()),
    "reader_nfc": (SERIAL | {"char-usb_device"}, {"dialout"}),
    "reader_serial": (SERIAL, {"dialout"}),
    "display_framebuffer": ({"char-fb"}, {"video"}),
    "display_png": (set(), set()),
    "display_spi": ({"char-spi", "char-gpiochip"}, {"spi", "gpio"}),
    "buttons_evdev": ({"char-input"}, {"input"}),
    "buzzer_evdev": ({"char-input"}, {"input"}),
    "lamp_leds": (set(), {"gpio"}),
    "power_sysfs": (set(), set()),
    "limit_modbus": (SERIAL, {"dialout"}),
    "limit_mqtt": (set(), set()),
    "updater_command": (set(), set()),
    "updater_rauc": (set(), set()),
    "lan_static": (set(), set()),
    "modem_at": (SERIAL, {"dialout"}),
    "network_manager": (set(), set()),
    "terminal_payter": (SERIAL, {"dialout"}),
}
"""Per driver: devices that the unit must let through, and groups that own them."""


def test_every_driver_gets_at_its_devices() -> None:
    unit = directives(UNIT.read_text("utf-8"))
    allowed = {value.split()[0]: value.split()[1] for value in unit["DeviceAllow"]}
    groups = set(unit["SupplementaryGroups"][0].split())
    project = tomllib.loads((SYSTEMD.parent / "pyproject.toml").read_text("utf-8"))
    drivers = project["project"]["entry-points"]["chargy_agent.drivers"]
    assert set(drivers) == set(NEEDS), "a new driver: what must the unit let through for it?"
    for devices, owners in NEEDS.values():
        assert devices <= set(allowed)
        assert owners <= groups
    assert set(allowed.values()) == {"rw"}


RULE = re.compile(r'^[A-Z]+(\{[\w./]+\})?(==|!=|=|\+=|:=)"[^"]*"$')


def test_the_rules_are_rules() -> None:
    """Where ``udevadm`` is not installed, at least this."""
    for line in (SYSTEMD / "70-chargy-agent.rules").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            parts = re.findall(r'[^,"]*"[^"]*"', line)
            assert ",".join(parts) == line
            assert all(RULE.match(part.strip()) for part in parts), line


def test_tmpfiles_makes_the_folders_for_the_agent_alone() -> None:
    judged = tool("systemd-tmpfiles", "--create", "--dry-run", SYSTEMD / "chargy-agent.tmpfiles.conf")
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-tmpfiles has no dry run")
    wrong = [
        line for line in judged.stderr.splitlines() if "Unknown user" not in line and "Failed to resolve" not in line
    ]
    assert not [line for line in wrong if "chargy-agent.tmpfiles.conf" in line], judged.stderr
    modes = re.findall(
        r"^[dz] (\S+)\s+(\d+)", (SYSTEMD / "chargy-agent.tmpfiles.conf").read_text("utf-8"), re.MULTILINE
    )
    assert all(mode[-1] == "0" for _, mode in modes), "no other user reads"


JOURNALD = {
    "Storage", "SystemMaxUse", "SystemMaxFileSize", "SystemKeepFree", "MaxRetentionSec", "SyncIntervalSec",
    "RateLimitIntervalSec", "RateLimitBurst", "ForwardToSyslog",
}  # fmt: skip
"""journald.conf(5)."""


def test_the_journal_is_bounded() -> None:
    said = directives((SYSTEMD / "journald-chargy-agent.conf").read_text("utf-8"))
    assert set(said) <= JOURNALD
    assert {"SystemMaxUse", "SystemKeepFree"} <= set(said)


# --- what operators are asked to write --------------------------------------------------------------------------------


def test_the_drop_in_of_the_manual_is_a_good_one(tmp_path: Path) -> None:
    """Passwords and keys as credentials: the text of docs/operations.md, judged with the unit."""
    manual = (SYSTEMD.parent / "docs" / "operations.md").read_text("utf-8")
    (drop_in,) = re.findall(r"```ini\n(.*?)```", manual, re.DOTALL)
    names = re.findall(r"^LoadCredential=([\w.-]+):(/\S+)$", drop_in, re.MULTILINE)
    assert len(names) >= 2
    for name, _ in names:
        assert f"/run/credentials/chargy-agent.service/{name}" in manual
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8"), flags=re.MULTILINE))
    (tmp_path / f"{UNIT.name}.d").mkdir()
    (tmp_path / f"{UNIT.name}.d" / "secrets.conf").write_text(drop_in)
    judged = tool("systemd-analyze", "verify", "--man=no", copy)
    assert "secrets.conf" not in judged.stderr, judged.stderr
