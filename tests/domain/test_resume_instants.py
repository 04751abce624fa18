"""What flows until a session is over is on its bill, whenever it is ended: also at an instant at which the board's last
picture is older than its contactor. A walk over random instants of a crash, a resume and an end."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from agent.domain.events import CardPresented, FaultRaised
from agent.domain.messages import TransactionEnded
from agent.domain.requests import RemoteStopRequest, UnlockConnectorRequest
from agent.model.types import Fault
from tests.domain.rig import GOOD, Config, Rig

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
WALKS = 20_000 if FULL else 300
POLL_S = 0.5
WH_PER_S = 1000
"""So much that the register shows a millisecond."""


class PollingRig(Rig):
    """Boards whose pictures are up to half a second old, as those of drivers are."""

    def __init__(self, config: Config) -> None:
        self.polled_s = 0.0
        super().__init__(config)

    def _say(self, n: int) -> bool:
        return self.t_s == self.polled_s and super()._say(n)

    def pass_time(self, seconds: float) -> None:
        end_s = self.t_s + seconds
        while (next_s := max(self.t_s, self.polled_s + POLL_S)) <= end_s:
            super().pass_time(next_s - self.t_s)
            self.polled_s = self.t_s
            self.look()
        super().pass_time(end_s - self.t_s)

    def _flow(self, until_s: float) -> None:
        flowing = [o for o in self.outlets.values() if o.contactor]
        drawn_wh = round((until_s - self.t_s) * WH_PER_S) if until_s > self.t_s else 0
        before = {id(o): o.register_wh for o in flowing}
        super()._flow(until_s)
        for outlet in flowing:
            outlet.register_wh = before[id(outlet)] + drawn_wh


def ends(draw: random.Random, tethered: bool) -> Callable[[PollingRig], None]:
    def card(rig: PollingRig) -> None:
        rig.post(CardPresented(1, GOOD))

    def remote(rig: PollingRig) -> None:
        session = rig.site.evses[1].session
        rig.ask(RemoteStopRequest(session.id if session else ""))

    def unlock(rig: PollingRig) -> None:
        rig.ask(UnlockConnectorRequest(1, True))

    def fault(rig: PollingRig) -> None:
        rig.post(FaultRaised(1, Fault.DOOR_OPEN))

    return draw.choice((card, remote, fault) if tethered else (card, remote, fault, unlock))


def answered(rig: PollingRig, draw: random.Random) -> None:
    """Devices and the backend take their time."""
    for _ in range(40):
        rig.answer(0, True)
        rig.pass_time(draw.choice((0.0, 0.001, 0.03, 0.2)))


def walk(seed: str) -> None:
    draw = random.Random(seed)
    rig = PollingRig(Config(counts=draw.random() < 0.5, tethered=draw.random() < 0.5))
    rig.open_board(1)
    rig.link(True)
    outlet = rig.outlets[1]
    rig.pass_time(3.0)
    outlet.car, outlet.cable, outlet.ready, outlet.since_s = 1, not rig.config.tethered, True, rig.t_s
    rig.pass_time(draw.uniform(0.5, 2.0))
    rig.post(CardPresented(1, GOOD))
    for _ in range(draw.randint(1, 3)):
        answered(rig, draw)
        rig.pass_time(draw.uniform(0.0, 3.0))
        if draw.random() < 0.8:
            rig.down()
            rig.pass_time(draw.uniform(0.6, 50.0))
            rig.start()
            rig.link(True)
            rig.pass_time(draw.uniform(0.0, 1.0))
            rig.open_board(1)
        rig.pass_time(draw.choice((0.0, 0.001, draw.uniform(0.0, 1.5))))
    session = rig.site.evses[1].session
    if session is not None and session.stop is None:
        ends(draw, rig.config.tethered)(rig)
    answered(rig, draw)
    rig.pass_time(30.0)
    answered(rig, draw)
    rig.check_books()
    assert not rig.open_sessions
    assert any(isinstance(m, TransactionEnded) for _, m in rig.sent_messages)
    rig.check_everything_billed()


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_what_flows_until_the_end_is_billed_at_every_instant(record_property: Callable[[str, Any], None]) -> None:
    for n in range(WALKS):
        try:
            walk(f"{SEED}:{n}")
        except AssertionError as e:
            pytest.fail(f"walk {SEED}:{n}: {e}", pytrace=False)
    record_property("walks", WALKS)
