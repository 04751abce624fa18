"""Checks of a bearer. None of them brings it up, resets it or uses a PIN."""

from __future__ import annotations

import re

from agent.model.bearer import BearerState, BearerStatus, SimState
from agent.ports.verify import Check, DeviceUnderTest, Skipped


async def check_bearer_state(bench: DeviceUnderTest) -> str:
    """The device answers, and what it reports fits together."""
    async with bench.open_port() as port:
        status: BearerStatus = await port.read_status()
    assert status.state is not BearerState.ABSENT, f"{bench.name}: it is not there: {status.reason}"
    assert status.interface or status.sim is not SimState.NOT_USED, f"{bench.name}: it does not answer: {status.reason}"
    if status.is_up:
        assert status.interface, f"{bench.name}: it is up without an interface"
        assert status.address, f"{bench.name}: it is up without an address"
    else:
        assert status.reason, f"{bench.name}: it is down, and does not report why"
    return f"{status.state} {status.interface} {status.address}{status.reason}".strip()


async def check_bearer_sim(bench: DeviceUnderTest) -> str:
    """The SIM answers with its two numbers, which BootNotification reports."""
    async with bench.open_port() as port:
        status: BearerStatus = await port.read_status()
    if status.sim is SimState.NOT_USED:
        raise Skipped("it has no SIM")
    assert status.sim is SimState.READY, f"{bench.name}: the SIM cannot be used: {status.sim}"
    assert re.fullmatch("[0-9]{18,20}", status.iccid), f"{bench.name}: the ICCID is no number of a SIM"
    assert re.fullmatch("[0-9]{6,15}", status.imsi), f"{bench.name}: the IMSI is no number of a subscriber"
    return f"ICCID …{status.iccid[-4:]}, IMSI …{status.imsi[-4:]}"


CHECKS = (
    Check("bearer", "state", check_bearer_state),
    Check("bearer", "sim", check_bearer_sim),
)
