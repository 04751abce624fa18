"""A station that reaches its backend over a simulated modem: BootNotification, faults of the modem and of the SIM, and
what ``chargy-agent bearers`` shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.cli import main
from tests.support import modem_process
from tests.support.busy_machine import deadline, stretched
from tests.support.modem_process import SimulatedModem
from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Backend, Street, station_text

NO_KEYS: Mapping[str, str] = {}
ICCID, IMSI = "89352010000000000176", "270991234567890"


def bearer_table(modem: SimulatedModem, deed: str, **keys: str) -> str:
    table = {
        "driver": "modem_at", "kind": "gprs", "device": str(modem.line), "interface": "lo", "apn": "chargy.m2m",
        "answer_s": round(stretched(1), 1), **keys,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(["[[bearer]]", *lines, f"pppd = {json.dumps(list(modem.pppd(deed)))}", ""])


@asynccontextmanager
async def modem_street(
    folder: Path, version: str = "1.6", pin: str = "", deed: str = "time.sleep(3600)", keys: Mapping[str, str] = NO_KEYS
) -> AsyncIterator[tuple[Street, SimulatedModem]]:
    async with modem_process.running(folder, *(("--pin", pin) if pin else ())) as modem:
        text = station_text(backend=f'versions = ["{version}"]') + bearer_table(modem, deed, **keys)
        async with Backend(speaks=(version,)) as csms, Simulated(folder, text, csms.url, SPEED) as station:
            s = Street(station, csms)
            await s.booted()
            yield s, modem


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_the_numbers_of_the_sim_are_in_the_first_boot_notification(tmp_path: Path, version: str) -> None:
    async with modem_street(tmp_path, version, pin="0042", keys={"pin": "0042", "iccid": ICCID}) as (s, _):
        boot = s.payloads("BootNotification")[0]
        modem = boot if version == "1.6" else boot["chargingStation"]["modem"]
        assert (modem["iccid"], modem["imsi"]) == (ICCID, IMSI)
        assert s.csms.violations == []


async def test_a_wrong_pin_is_tried_once_whatever_happens_to_the_agent(tmp_path: Path) -> None:
    async with modem_street(tmp_path, pin="0042", keys={"pin": "1234"}) as (s, modem):
        await s.heard(lambda: any("SimUnusable" in str(p) for p in s.payloads("StatusNotification")))
        for _ in range(2):
            s.begin()
            await s.kill()
            await s.heard(lambda: any("SimUnusable" in str(p) for p in s.payloads("StatusNotification")))
        assert (await modem.do("state"))["pins_tried"] == 1
        code, said = await bearers(s)
        assert code == 1
        assert "SIM PIN required" in said
        assert await s.charge("CARD") > 0, "a session needs no modem"


async def test_a_connection_that_breaks_is_shown_and_dialled_again(tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    deed = f"while not os.path.exists({str(cut)!r}): time.sleep(0.05)\nsys.exit(16)"
    async with modem_street(tmp_path, deed=deed) as (s, _):
        async with deadline(60):
            while "carries the links" not in (await bearers(s))[1]:
                await asyncio.sleep(0.2)
        code, said = await bearers(s)
        assert code == 0
        assert "* bearer[0]  gprs  up, interface lo, address 127.0.0.1, SIM ready (ICCID …0176)" in said
        cut.touch()
        async with deadline(60):
            while "the modem has hung up" not in (await bearers(s))[1]:
                await asyncio.sleep(0.2)
        cut.unlink()
        async with deadline(60):
            while (await bearers(s))[0] != 0:
                await asyncio.sleep(0.2)


async def bearers(s: Street) -> tuple[int | None, str]:
    """``chargy-agent bearers`` for this station: exit code and what it printed."""
    return await s.command("bearers", "--verbose")


def test_without_an_agent_the_devices_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "station.toml"
    outlet = "[[evse]]\nnumber = 1\n"
    file.write_text(outlet)
    assert main(["bearers", str(file)]) == 0
    assert "no [[bearer]]: the routes of the kernel decide" in capsys.readouterr().out
    lan = '[[bearer]]\ndriver = "lan_static"\nkind = "lan"\ninterface = "absent0"\n'
    wifi = '[[bearer]]\ndriver = "lan_static"\nkind = "wifi"\ninterface = "lo"\n'
    file.write_text(outlet + lan + wifi)
    assert main(["bearers", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("  bearer[0]  lan   absent: this machine has no interface 'absent0'; it has: ")
    assert said[1:] == [
        "* bearer[1]  wifi  up, interface lo, address 127.0.0.1",
        "* would carry the links; the agent is not running",
    ]
    file.write_text(outlet + lan)
    assert main(["bearers", str(file)]) == 1
    assert "none is up; the agent is not running" in capsys.readouterr().out
    file.write_text(outlet + lan.replace("lan_static", "lan_statik"))
    assert main(["bearers", str(file)]) == 2
