"""The boot is rejected once: silence until the interval is over, another boot, then states and heartbeats."""

import asyncio
from typing import Any

from tests.conformance.ocpp16.play import Play
from tests.support.station_rig import SPEED

WAIT_S, BEAT_S = 20, 15


async def test_silence_while_rejected(s: Play) -> None:
    boots: list[float] = []

    async def hook(moment: str, action: str, payload: dict[str, Any]) -> None:
        if action == "BootNotification" and moment == "before":
            boots.append(asyncio.get_running_loop().time())
        if action == "BootNotification" and moment == "after":
            s.csms.boot, s.csms.interval_s = "Accepted", BEAT_S

    s.csms.boot, s.csms.interval_s, s.csms.hook = "Rejected", WAIT_S, hook
    await s.kill()
    await s.plug()  # not even this is reported now
    await s.heard(lambda: len(boots) == 2)
    assert boots[1] - boots[0] >= 0.9 * WAIT_S / SPEED
    await s.status_reported("Preparing")
    await s.heard(lambda: len(s.payloads("Heartbeat")) >= 2)
    actions = [action for action, _ in s.calls()]
    assert actions[:2] == ["BootNotification", "BootNotification"]
    reported = {p["connectorId"] for p in s.payloads("StatusNotification")}
    assert reported == {0, 1, 2}
    assert actions.index("StatusNotification") < actions.index("Heartbeat")
