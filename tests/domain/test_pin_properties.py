"""Random histories of two modems with the PIN of a fleet: a PIN that has cost a SIM a try is not used on it again.

The SIMs and what the agent knows of them are apart: a kill, an answer that is lost, or a count that the modem does not
report takes from the one, never from the other. No person takes part.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.bearers import BearerConfig
from agent.domain.events import BearerReported, SimUnlockEnded
from agent.domain.orders import ConfigureBearer, UnlockSim
from agent.domain.pin_attempts import ALL_TRIES, LAST_TRY, MOST_USES
from agent.model.bearer import ApnAccess, BearerKind, BearerState, BearerStatus, SimState
from agent.model.fastclass import replace
from tests.domain.playbook import Playbook

FLEET, OTHER, THIRD = "fleet", "other", "third"
FIRST, SECOND = "bearer[0]", "bearer[1]"
BEARERS = tuple(BearerConfig(name, BearerKind.GPRS, pin_mark=FLEET) for name in (FIRST, SECOND))


@dataclass
class Sim:
    """``pin``: the mark of the right one; ``counts``: whether its modem ever reports the tries."""

    pin: str
    counts: bool
    tries: int = ALL_TRIES
    is_locked: bool = True
    refused: bool = False
    """Its driver has seen a refusal, and presents nothing until it gets another PIN."""
    costs: Counter[str] = field(default_factory=Counter)
    uses: Counter[str] = field(default_factory=Counter)
    """By the PIN, since the agent has last seen it unlocked."""

    def state(self) -> SimState:
        if not self.is_locked:
            return SimState.READY
        if not self.tries:
            return SimState.PUK_REQUIRED
        return SimState.PIN_REFUSED if self.refused else SimState.PIN_REQUIRED

    def take_pin(self, pin: str) -> bool:
        if pin == self.pin:
            self.is_locked, self.tries = False, ALL_TRIES
            return True
        self.tries -= 1
        self.costs[pin] += 1
        return False


class Station:
    def __init__(self, pins: tuple[str, str], counts: tuple[bool, bool], confirmed: str) -> None:
        self.sims = {name: Sim(pin, known) for name, pin, known in zip((FIRST, SECOND), pins, counts, strict=True)}
        self.queues: dict[str, deque[str]] = {name: deque() for name in self.sims}
        self.is_vouched = bool(confirmed)
        self.play = Playbook(bearers=tuple(replace(config, pin_confirmed=confirmed) for config in BEARERS))
        self.profiles: dict[str, str] = {}

    def feed(self, event: Any) -> None:
        self.play.feed(event)
        self.take_orders()

    def take_orders(self) -> None:
        """Queue what was ordered, as the supervisor does: one order to unlock at a time."""
        orders = [o for o in self.play.unclaimed if isinstance(o, UnlockSim | ConfigureBearer)]
        self.play.skip()
        for order in orders:
            if isinstance(order, ConfigureBearer):
                self.sims[order.bearer].refused = False
            elif self.queues[order.bearer]:
                self.feed(SimUnlockEnded(order.bearer, is_presented=False))
            else:
                self.queues[order.bearer].append(self.play.site.bearers[order.bearer].pin_mark)

    def report(self, name: str, is_counted: bool) -> None:
        sim = self.sims[name]
        if not sim.is_locked:
            sim.refused = False
            sim.uses.clear()
        tries = sim.tries if is_counted and sim.counts else None
        self.feed(BearerReported(name, BearerStatus(BearerState.DOWN, sim=sim.state(), pin_tries=tries)))

    def present(self, name: str, outcome: str, is_counted: bool) -> None:
        """Carry out the order that waits."""
        if not self.queues[name]:
            return
        sim, pin = self.sims[name], self.queues[name].popleft()
        if sim.state() is not SimState.PIN_REQUIRED:
            self.report(name, is_counted)
            self.feed(SimUnlockEnded(name, is_presented=False))
            return
        sim.uses[pin] += 1
        is_right = outcome not in ("lost", "killed before") and sim.take_pin(pin)
        if outcome.startswith("killed"):
            self.kill()
            return
        sim.refused = outcome == "answered" and not is_right
        self.report(name, is_counted)
        self.feed(SimUnlockEnded(name, is_presented=True))

    def kill(self) -> None:
        for name, queue in self.queues.items():
            queue.clear()
            self.sims[name].refused = False
        self.play.restart()
        for name, pin in self.profiles.items():
            self.use_profile(name, pin)
        self.take_orders()

    def use_profile(self, name: str, pin: str) -> None:
        self.profiles[name] = pin
        self.play.site.bearers[name].access = ApnAccess("apn", pin="0000", pin_mark=pin)

    def follow(self, action: str, name: str, detail: str, is_counted: bool) -> None:
        match action:
            case "report":
                self.report(name, is_counted)
            case "present":
                self.present(name, detail, is_counted)
            case "profile":
                self.use_profile(name, detail)
                self.sims[name].refused = False
                self.report(name, is_counted)
            case "modem reset":
                self.sims[name].is_locked = True
                self.report(name, is_counted)
            case "kill":
                self.kill()
            case "wait":
                self.play.wait(float(detail))
                self.take_orders()

    def judge(self) -> None:
        for name, sim in self.sims.items():
            assert all(count <= 1 for count in sim.costs.values()), (name, sim.costs)
            assert sim.tries >= LAST_TRY or (self.is_vouched and not sim.counts), name
            most = MOST_USES if sim.counts else 1
            assert all(count <= most for count in sim.uses.values()), (name, sim.uses)


NAMES = st.sampled_from((FIRST, SECOND))
OUTCOMES = st.sampled_from(("answered", "silent", "lost", "killed before", "killed after"))
STEPS = st.one_of(
    st.tuples(st.just("report"), NAMES, st.just(""), st.booleans()),
    st.tuples(st.just("present"), NAMES, OUTCOMES, st.booleans()),
    st.tuples(st.just("present"), NAMES, OUTCOMES, st.just(True)),
    st.tuples(st.just("modem reset"), NAMES, st.just(""), st.booleans()),
    st.tuples(st.just("profile"), NAMES, st.sampled_from((FLEET, OTHER, THIRD)), st.booleans()),
    st.tuples(st.just("kill"), NAMES, st.just(""), st.just(True)),
    st.tuples(st.just("wait"), NAMES, st.sampled_from(("61", "601")), st.just(True)),
)
UNKNOWN_TRIES = [
    ("report", FIRST, "", False), ("present", FIRST, "silent", False),
    ("report", SECOND, "", True), ("wait", FIRST, "61", True), ("present", FIRST, "silent", False),
]  # fmt: skip
"""The SIM of one modem has not answered, and the other modem is ready all the time."""
UNLOCKED_BY_ANOTHER = [
    ("wait", FIRST, "61", True), ("present", FIRST, "answered", True), ("profile", FIRST, OTHER, True),
    ("present", FIRST, "killed after", True), ("modem reset", FIRST, "", True), ("kill", FIRST, "", True),
    ("profile", FIRST, FLEET, True), ("present", FIRST, "answered", True),
]  # fmt: skip
"""A SIM has refused a PIN. The PIN of a profile unlocks it, and the agent does not see that it has its tries again."""


@settings(max_examples=150, deadline=None)
@given(
    pins=st.tuples(*[st.sampled_from((FLEET, OTHER, THIRD))] * 2),
    counts=st.tuples(st.booleans(), st.booleans()),
    confirmed=st.sampled_from(("", "today")),
    steps=st.lists(STEPS, min_size=5, max_size=40),
)
@example(
    pins=(OTHER, FLEET),
    counts=(False, True),
    confirmed="",
    steps=[("present", SECOND, "answered", True), *UNKNOWN_TRIES],
)
@example(
    pins=(OTHER, FLEET),
    counts=(True, True),
    confirmed="",
    steps=[("present", SECOND, "answered", True), *UNLOCKED_BY_ANOTHER],
)
def test_a_pin_that_has_cost_a_try_is_not_used_on_that_sim_again(
    pins: tuple[str, str], counts: tuple[bool, bool], confirmed: str, steps: list[tuple[str, str, str, bool]]
) -> None:
    station = Station(pins, counts, confirmed)
    for name in (SECOND, FIRST):
        station.report(name, is_counted=True)
    for action, name, detail, is_counted in steps:
        station.follow(action, name, detail, is_counted)
        station.judge()
