"""The payment terminal of a simulated station, over the control API: there, without power, away from its bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.simulated_station import ONE_EVSE, Simulated

STATION = ONE_EVSE + '\n[terminal]\ndriver = "terminal_payter"\nsync_every_s = 0.1\n'


def state(picture: dict[str, Any]) -> str:
    return str(picture["terminals"][0]["state"])


async def test_the_terminal_of_a_station(tmp_path: Path) -> None:
    async with Simulated(tmp_path, STATION) as s:
        seen = await s.until(lambda p: state(p) == "enabled")
        assert seen["ledger"] == {"holds": [], "captures": [], "voids": []}
        assert seen["terminals"] == [
            {"evse": 0, "state": "enabled", "screen": ["Welcome"], "language": "", "qr": "", "online": True},
        ]
        for wrong in ({"pan_last4": "12345"}, {"pan_last4": "12a4"}, {"behaviour": "melt"}, {"amount": 1}):
            await s.post("/terminal/card", wrong, 400)
        for body in ({}, {"action": "explode"}):
            await s.post("/terminal", body, 400)
        await s.post("/terminal/card", {"evse": 2}, 404)
        await s.post(
            "/terminal/card", {"pan_last4": "1234", "behaviour": "approve", "evse": 1}
        )  # no session waits for it
        await s.post("/terminal", {"action": "offline"})
        await s.until(lambda p: p["terminals"][0]["online"] is False)
        await s.post("/terminal", {"action": "power_cycle"})
        await s.until(lambda p: state(p) == "off")
        await s.until(lambda p: state(p) == "enabled" and p["terminals"][0]["online"] is False)
        await s.post("/terminal", {"action": "online"})
        await s.until(lambda p: p["terminals"][0]["online"])
        await s.post("/evses/1/fault", {"fault": "TerminalSilent", "active": True})
        await s.until(lambda p: state(p) == "off" and p["evses"][0]["reported"]["error"] == "ReaderFailure")
        await s.post("/terminal", {"action": "power_cycle"}, 409)
        await s.post("/evses/1/fault", {"fault": "TerminalSilent", "active": False})
        await s.until(lambda p: state(p) == "enabled" and p["evses"][0]["reported"]["error"] == "NoError")
        await s.post("/agent", {"action": "kill"})
        await s.until(lambda p: state(p) == "enabled" and p["agent"]["up"])


async def test_one_at_an_outlet(tmp_path: Path) -> None:
    second = '[[evse]]\nnumber = 2\n[evse.terminal]\ndriver = "terminal_payter"\n'
    two = ONE_EVSE.replace("[simulation]", second + "[simulation]")
    async with Simulated(tmp_path, two) as s:
        seen = await s.until(lambda p: state(p) == "enabled")
        assert [t["evse"] for t in seen["terminals"]] == [2]
        await s.post("/terminal/card", {"evse": 1}, 404)
        await s.post("/terminal/card", {"evse": 2})
