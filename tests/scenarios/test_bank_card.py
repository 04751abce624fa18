"""A driver with a bank card, from the terminal to the bank's books: what is charged is what the meter says."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.domain.repeated_card import BEGUN_S
from tests.support.busy_machine import deadline
from tests.support.simulated_station import ONE_EVSE, Simulated

STATION = (
    ONE_EVSE.replace(
        "sample_interval_s = 5",
        "sample_interval_s = 5\npayment_authorize_first = false\npayment_connect_timeout_s = 3000",
    )
    + """
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1

[payment]
amount_cents = 5000
prefix = "PY"

[payment.receipts]
seller = "Energy SA"
address = ["1, rue du Test", "L-1000 Luxembourg"]
vat_number = "LU12345678"

[tariff]
kwh = 0.50
"""
)
ROOT = Path(__file__).resolve().parents[2]
CAR = {"ready": True, "car": {"phases": 3, "max_a": 32}}


async def said(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode()


def waits(picture: dict[str, Any]) -> bool:
    return bool(picture["terminals"][0]["state"] == "wait_card")


async def charged(s: Simulated, wh: int) -> dict[str, Any]:
    return await s.until(lambda p: (p["evses"][0]["session"] or {}).get("energy_wh", 0) > wh, 60)


async def test_what_is_charged_is_what_the_meter_says(tmp_path: Path) -> None:
    async with Simulated(tmp_path, STATION, speed=60) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await s.post("/terminal/card", {"behaviour": "insufficient_funds"})
        await s.until(lambda p: p["terminals"][0]["screen"] == ["Declined"])
        await s.until(waits)
        await s.post("/terminal/card", {"pan_last4": "1234", "behaviour": "approve"})
        await s.until(lambda p: p["ledger"]["holds"] == [{"terminal_session": 1, "cents": 5000}])
        await s.post("/evses/1/plug", CAR)
        running = await charged(s, 500)
        assert running["evses"][0]["session"]["token"].startswith("PY")
        await asyncio.sleep(BEGUN_S)  # not the moment after the begin
        await s.until(waits)
        await s.post("/terminal/card", {"pan_last4": "1234"})  # the same card ends it
        over = await s.until(lambda p: p["ledger"]["captures"] and not p["ledger"]["holds"], 60)
        wh = over["evses"][0]["meter_wh"] - first
        (capture,) = over["ledger"]["captures"]
        assert capture["cents"] == pytest.approx(wh * 0.05, abs=0.51)
        assert over["ledger"]["voids"] == []
        listed = ""
        async with deadline(60):  # the bank knows before the agent has its answer
            while not listed.rstrip().endswith("Committed"):
                listed = await said("payments", "list", str(tmp_path / "world" / "derived.toml"))
        assert f"{capture['cents'] / 100:.2f}" in listed


async def test_killed_and_without_power_it_is_charged_once(tmp_path: Path) -> None:
    async with Simulated(tmp_path, STATION, speed=60) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await s.post("/terminal/card")
        await s.until(lambda p: p["ledger"]["holds"])
        await s.post("/evses/1/plug", CAR)
        await charged(s, 300)
        await s.post("/agent", {"action": "kill"})
        await s.until(lambda p: p["agent"]["restarts"] == 1 and p["agent"]["up"])
        await s.post("/evses/1/fault", {"fault": "TerminalSilent", "active": True})
        await s.until(lambda p: p["terminals"][0]["state"] == "off")
        await s.post("/evses/1/unplug", {"side": "ev"})
        await s.until(lambda p: not p["evses"][0]["contactor"] and p["evses"][0]["session"] is None, 60)
        assert (await s.picture())["ledger"]["captures"] == []
        await s.post("/agent", {"action": "kill"})
        await s.until(lambda p: p["agent"]["restarts"] == 2 and p["agent"]["up"])
        await s.post("/evses/1/fault", {"fault": "TerminalSilent", "active": False})
        over = await s.until(lambda p: p["ledger"]["captures"], 60)
        wh = over["evses"][0]["meter_wh"] - first
        assert [c["cents"] for c in over["ledger"]["captures"]] == [pytest.approx(wh * 0.05, abs=0.51)]
        assert over["ledger"]["holds"] == over["ledger"]["voids"] == []
        await look_at_receipt(str(tmp_path / "world" / "derived.toml"), over["ledger"]["captures"][0]["cents"], wh)


async def look_at_receipt(station: str, booked_cents: int, wh: int) -> None:
    """The receipt and the export say what the bank has booked, and the energy of the meter."""
    row: dict[str, Any] = {}
    async with deadline(60):  # the bank knows before the agent has its answer
        while row.get("state") != "Committed":
            (row,) = json.loads(await said("payments", "export", station, "--format", "json"))["payments"]
    receipt = json.loads(await said("payments", "receipt", station, row["reference"]))
    assert receipt["cents"] == booked_cents == round(float(row["charged"]) * 100)
    assert receipt["energy_wh"] == wh == int(row["energy_wh"])
    assert receipt["number"] == row["receipt"]
    assert receipt["number"].endswith("-000001"), "the first one, whatever was killed"
    assert receipt["acquirer"]["reference"] == row["host_reference"] == "HTR00000001"


BUTTONS = '[buttons]\ndriver = "buttons_evdev"\nkeys = { outlet-1 = 2, outlet-2 = 3 }\n'
TWO = STATION.replace("[simulation]", f"[[evse]]\nnumber = 2\n{BUTTONS}[simulation]", 1)


async def test_two_cars_wait_and_the_button_says_which_one_the_card_pays_for(tmp_path: Path) -> None:
    """Nothing is held without an answer; the second driver's card is for what is left."""
    async with Simulated(tmp_path, TWO, speed=10) as s:
        await s.until(lambda p: waits(p) and p["buttons"] == ["outlet-1", "outlet-2"])
        for n in (1, 2):
            await s.post(f"/evses/{n}/plug", CAR)
            await s.until(lambda p, n=n: p["evses"][n - 1]["reported"]["status"] == "Preparing")
        await s.post("/terminal/card", {"pan_last4": "1111"})
        asked = await s.until(lambda p: [e["screen"] for e in p["evses"]] == ["choose_outlet"] * 2)
        assert asked["ledger"]["holds"] == []
        await s.post("/buttons/outlet-1")
        begun = await s.until(lambda p: p["evses"][0]["session"] and p["evses"][0]["power_w"] > 0)
        assert len(begun["ledger"]["holds"]) == 1
        assert begun["evses"][1]["session"] is None
        await s.until(waits)
        await s.post("/terminal/card", {"pan_last4": "1111"})  # held too long
        await s.until(lambda p: p["evses"][0]["screen"] == "refused")
        assert (await s.picture())["evses"][0]["session"]
        await s.until(waits)
        await s.post("/terminal/card", {"pan_last4": "2222"})
        both = await s.until(lambda p: all(e["session"] for e in p["evses"]))
        assert len(both["ledger"]["holds"]) == 2
        await asyncio.sleep(BEGUN_S)
        await s.until(lambda p: all(e["session"]["energy_wh"] > 50 for e in p["evses"]))
        for n, last4 in ((1, "1111"), (2, "2222")):
            await s.until(waits)
            await s.post("/terminal/card", {"pan_last4": last4})
            await s.until(lambda p, n=n: p["evses"][n - 1]["session"] is None)
        over = await s.until(lambda p: len(p["ledger"]["captures"]) == 2 and not p["ledger"]["holds"])
        assert over["ledger"]["voids"] == []


async def test_a_badge_at_the_terminal_starts_and_stops(tmp_path: Path) -> None:
    """The terminal reads the badge while it waits for a bank card, and by itself while the badge's session runs."""
    badges = 'driver = "terminal_payter"\nbadges = true\nbadge_holdoff_ms = 0\n'
    station = STATION.replace('driver = "terminal_payter"\n', badges)
    async with Simulated(tmp_path, station, speed=60) as s:
        await s.post("/evses/1/plug", CAR)
        await s.until(waits)
        await s.post("/terminal/badge", {"uid": "04A1B2C3D4E5F6"})
        running = await charged(s, 300)
        assert running["evses"][0]["session"]["token"] == "04A1B2C3D4E5F6"
        await s.until(lambda p: p["terminals"][0]["screen"] == ["Present card"])  # no amount: it waits for badges alone
        await s.post("/terminal/badge", {"uid": "04A1B2C3D4E5F6"})
        over = await s.until(lambda p: p["evses"][0]["session"] is None, 60)
        assert over["ledger"] == {"holds": [], "captures": [], "voids": []}
