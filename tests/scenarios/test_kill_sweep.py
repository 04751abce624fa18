"""kill -9 of the agent at every step of a session: no transaction lost, doubled, or with a register running backwards;
settings, availability, cache and queue are there afterwards.

Steps are every OCPP message of a session (before its answer left and after; ``make test``: one of both), and the
moments after each thing a person does. The world lives on, as it does in a street: the car stays on the cable, the
meter counts.
"""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.busy_machine import deadline
from tests.support.simulated_station import CAMPAIGN, ONE_EVSE, Simulated
from tests.support.strict_csms import StrictCsms

CARD = "04A1B2C3D4E5F6"
SEED = 20261125
LOOK_S = 0.1
WAIT_S, LONGER_S = 1.0, 6.0
"""So long a person waits at most for what a card does; after some taps in vain longer. On a loaded machine the
simulated card can be too slow for RATS; then the reader looks for it by sensing, which waits for 1 s on this wire, and
takes taps in every second for one card that lies there: such a one counts once."""

STEPS = {
    "1.6": (
        ("StatusNotification", "Preparing"),
        ("Authorize", ""),
        ("StartTransaction", ""),
        ("StatusNotification", "Charging"),
        ("MeterValues", ""),
        ("StopTransaction", ""),
        ("StatusNotification", "Finishing"),
        ("StatusNotification", "Available"),
    ),
    "2.0.1": (
        ("StatusNotification", "Occupied"),
        ("Authorize", ""),
        ("TransactionEvent", "Started"),
        ("TransactionEvent", "ChargingStateChanged"),
        ("TransactionEvent", "MeterValuePeriodic"),
        ("TransactionEvent", "Ended"),
        ("StatusNotification", "Available"),
    ),
}
FREE, RUNNING = ("idle", "finished"), ("charging", "paused")
DEEDS = ["plug", "tap", "tap_again", "unplug"]


def words(action: str, payload: dict[str, Any]) -> list[str]:
    """What distinguishes one message of an action from another."""
    if action == "StatusNotification":
        return [payload.get("status") or payload["connectorStatus"]]
    return [payload["eventType"], payload["triggerReason"]] if action == "TransactionEvent" else [""]


@dataclass
class Trap:
    """Kills once, when its step comes. ``sprung``: it is dead."""

    station: Simulated
    step: tuple[str, ...]
    delay_s: float = 0.0
    sprung: bool = False
    springs: bool = False

    async def message(self, moment: str, action: str, payload: dict[str, Any]) -> None:
        if self.step in [(moment, action, word) for word in words(action, payload)]:
            await self.spring()

    async def deed(self, name: str) -> None:
        if self.step == ("deed", name):
            await asyncio.sleep(self.delay_s)
            await self.spring()

    async def spring(self) -> None:
        if not self.springs:
            self.springs = True
            try:
                await self.station.post("/agent", {"action": "kill"})
            finally:  # the connection whose answer this may be ends with the agent
                self.sprung = True


@dataclass
class Driver:
    """A patient person: looks at the station and does what comes next, whatever happens to the agent. He need not
    pull at the car first: a plug that stays locked after its session is a station that is stuck. Comes again if the
    step did not come: a tap more than was needed is a right for the next one, who then asks for none."""

    station: Simulated
    csms: StrictCsms
    trap: Trap
    done: list[str] = field(default_factory=list)
    before: int = 0

    async def charge(self, timeout_s: float = 120.0) -> None:
        self.before, evse = len(self.csms.transactions), {}
        try:
            async with deadline(timeout_s):
                while True:
                    evse = await self.station.evse()
                    if evse["reported"] and await self._act(evse):
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            closed = list(self.csms.transactions.values())[self.before :]
            raise AssertionError(
                f"{self.trap}: stuck at {evse}\n{self.done}\n{closed}\n{self.station.said()}"
            ) from None

    async def _act(self, evse: dict[str, Any]) -> bool:
        closed = [t for t in list(self.csms.transactions.values())[self.before :] if t.stop is not None]
        session, screen = evse["session"], evse["screen"]
        if not closed and not evse["cable"]:
            await self._do("plug", "/evses/1/plug", {})
        elif session and session["energy_wh"] >= 20 and screen in RUNNING:
            await self._do("tap_again", "/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 0.3})
            await self._while_shown(RUNNING, WAIT_S if self.done.count("tap_again") % 3 else LONGER_S)
        elif not session and not closed and screen in FREE and evse["car"]:
            await self._do("tap", "/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 0.3})
            await self._while_shown(FREE, WAIT_S if self.done.count("tap") % 3 else LONGER_S)
        elif closed and not session and evse["cable"] and not evse["locked"]:
            await self._do("unplug", "/evses/1/unplug", {"side": "station"})
        over = bool(closed) and not evse["cable"] and evse["reported"]["status"] == "Available"
        if over and not self.trap.springs:
            await asyncio.sleep(WAIT_S)  # what has been sent is known here a moment before it has been answered
            if not self.trap.springs:
                self.before = len(self.csms.transactions)
        return over and self.trap.sprung

    async def _while_shown(self, screens: tuple[str, ...], most_s: float) -> None:
        """Until another screen is there; an agent that is gone shows none."""
        try:
            async with deadline(most_s):
                while (await self.station.evse())["screen"] in (*screens, None):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass

    async def _do(self, name: str, path: str, body: dict[str, Any]) -> None:
        self.done.append(name)
        async with self.station.http.post(f"/api/v1{path}", json=body) as answer:
            assert answer.status in (202, 409), await answer.text()
        await self.trap.deed(name)


def steps(version: str) -> list[tuple[tuple[str, ...], float]]:
    dice = random.Random(f"{SEED}-{version}")
    moments = ("before", "after")
    some = [dice.sample(moments, 2 if CAMPAIGN else 1) for _ in STEPS[version]]
    messages = [(moment, *step) for step, own in zip(STEPS[version], some, strict=True) for moment in own]
    out: list[tuple[tuple[str, ...], float]] = [(m, 0.0) for m in messages]
    for name in DEEDS:
        delays = [dice.uniform(0, 1.2) for _ in range(40 if CAMPAIGN else 1)]
        out += [(("deed", name), d) for d in delays]
    return out


TX_UPDATED = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}


async def set_interval(csms: StrictCsms) -> None:
    if csms.version == "1.6":
        await csms.ask("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "7"})
    else:
        await csms.ask("SetVariables", {"setVariableData": [{**TX_UPDATED, "attributeValue": "7"}]})


async def interval(csms: StrictCsms) -> str:
    if csms.version == "1.6":
        answer = await csms.ask("GetConfiguration", {"key": ["MeterValueSampleInterval"]})
        return str(answer["configurationKey"][0]["value"])
    answer = await csms.ask("GetVariables", {"getVariableData": [TX_UPDATED]})
    return str(answer["getVariableResult"][0]["attributeValue"])


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
async def test_every_step(tmp_path: Path, record_property: Any) -> None:
    record_property("kills", await sweep(tmp_path, "1.6"))


async def sweep(tmp_path: Path, version: str) -> int:
    """How many kills it were. The other version has a file of its own, so that another worker may take it."""
    text = ONE_EVSE.replace("[backend]", f'[backend]\nversions = ["{version}"]')
    async with StrictCsms(speaks=(version,)) as csms, Simulated(tmp_path, text, csms.url) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        await set_interval(csms)
        wanted = steps(version)
        for number, (step, delay_s) in enumerate(wanted):
            trap = Trap(station, step, delay_s)
            csms.hook = trap.message
            await Driver(station, csms, trap).charge()
            await station.until(lambda p: p["agent"]["up"] and p["agent"]["queue"] == 0)
            assert csms.violations == [], f"step {number} {step}: {csms.violations}\n{station.said()}"
            open_ = [t.id for t in csms.transactions.values() if t.stop is None]
            assert open_ == [], f"step {number} {step}: never ended: {open_}\n{station.said()}"
        csms.hook = None
        evse = await station.evse()
        assert csms.energy_wh == evse["meter_wh"], f"{csms.transactions}\n{station.said()}"
        await station.until(lambda p: p["agent"]["up"])  # the last step may have been the last deed
        assert (await station.picture())["agent"]["restarts"] == len(wanted), station.said()
        assert await interval(csms) == "7"
        return len(wanted)
