"""Monitors of variables (OCPP 2.0.1 N02 to N08): set, replaced, cleared, kept; events by threshold, change and period;
levels, bases, transactions, a backend that is away, a restart. The numbers are those of the requirements."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from agent.domain.bearers import BearerConfig
from agent.domain.events import (
    BearerReported,
    BoardOpened,
    CablePlugged,
    CableRemoved,
    ClockTrusted,
    Event,
    FaultCleared,
    FaultRaised,
    LinkChanged,
    MeterRead,
    RequestReceived,
    SituationChanged,
    StopRequested,
    StopWanted,
    StoreFailed,
    TrafficCounted,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.messages import FaultNoted, StopReason, TriggerReason
from agent.domain.monitoring.monitor_table import PERIOD_MOST_S
from agent.domain.monitoring.monitoring_messages import (
    ClearMonitors,
    ListMonitors,
    MonitorAnswer,
    MonitorWish,
    SetBase,
    SetLevel,
    SetMonitors,
    VariableEvent,
    VariableEvents,
)
from agent.domain.monitoring.monitors import (
    EventTrigger,
    Monitor,
    MonitoredVariable,
    MonitoringBase,
    MonitorKind,
    MonitorOrigin,
    Part,
)
from agent.domain.monitoring.variable_monitoring import EVENTS_KEPT, EVENTS_PER_MESSAGE, STATE_SAVED_S
from agent.domain.monitoring.watched_values import VALUES
from agent.domain.orders import Order, Persist, Response, Send
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import MonitoringRequest, SetVariablesRequest
from agent.domain.timers import TimerKind
from agent.domain.traffic import DataPlan
from agent.domain.variables import VARIABLES
from agent.model.bearer import BearerKind, BearerState, BearerStatus
from agent.model.fastclass import replace
from agent.model.traffic import TrafficCount
from agent.model.types import Fault
from tests.domain.playbook import EMPTY, LINK, T0_S, UTC0_S, Playbook, charging, wh
from tests.support.reading_purposes import SAMPLED

UPPER, LOWER, DELTA = MonitorKind.UPPER_THRESHOLD, MonitorKind.LOWER_THRESHOLD, MonitorKind.DELTA
PERIODIC, CLOCK = MonitorKind.PERIODIC, MonitorKind.PERIODIC_CLOCK_ALIGNED
POWER = MonitoredVariable(Part.EVSE, "power_w", 1)
STATUS = MonitoredVariable(Part.EVSE, "status", 1)
STATION_POWER = MonitoredVariable(Part.STATION, "power_w")
HEARTBEAT = MonitoredVariable(Part.STATION, "heartbeat_interval_s")
PASSWORD = MonitoredVariable(Part.STATION, "authorization_key")
NUMBERS = itertools.count(1)


def sent_events(orders: Iterable[Order]) -> list[tuple[str, VariableEvents]]:
    """To which link which events were sent."""
    sends = [o for o in orders if isinstance(o, Send)]
    return [(o.link, o.message) for o in sends if isinstance(o.message, VariableEvents)]


class Play(Playbook):
    """What is claimed here is what the backend learns of monitors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"resume_within_s": 600.0, **options})
        self.seen = len(self.log)

    def _nothing_left(self, where: str) -> None:
        self.unclaimed.clear()

    def ask(self, ask: Any, link: str = LINK) -> Response:
        orders = self.feed(RequestReceived(link, f"q{next(NUMBERS)}", MonitoringRequest(ask)))
        return next(o for o in orders if isinstance(o, Response))

    def set(self, *wishes: MonitorWish, link: str = LINK) -> list[MonitorAnswer]:
        return list(self.ask(SetMonitors(wishes), link).data["answers"])

    def accepted(self, *wishes: MonitorWish, link: str = LINK) -> list[int]:
        answers = self.set(*wishes, link=link)
        assert [a.status for a in answers] == ["Accepted"] * len(wishes)
        return [a.id for a in answers if a.id is not None]

    def listed(self, link: str = LINK) -> dict[int, Monitor]:
        return {m.id: m for m in self.ask(ListMonitors(), link).data["monitors"]}

    def events(self, link: str = LINK) -> list[VariableEvent]:
        """Those that were sent since the last look."""
        orders, self.seen = self.log[self.seen :], len(self.log)
        return [e for to, message in sent_events(orders) if to == link for e in message.events]

    def said(self, link: str = LINK) -> list[tuple[str, str, bool]]:
        return [(e.trigger.value, e.text, e.cleared) for e in self.events(link)]

    def all(self, events: Iterable[Event]) -> Play:
        for event in events:
            self.feed(event)
        return self

    def power(self, watts: float, energy_wh: int = 1100) -> Play:
        return self.all([MeterRead(1, SAMPLED, wh(energy_wh, watts))])

    def again(self, **more: Any) -> Play:
        self.restart(**{"state": EMPTY, **more})
        return self


def wish(variable: MonitoredVariable | None, kind: MonitorKind, value: float, severity: int = 3, **more: Any) -> Any:
    return MonitorWish(variable, kind, value, severity, **more)


def plugged(play: Play) -> Play:
    return play.all([CablePlugged(1), VehicleConnected(1)])


def unplugged(play: Play) -> Play:
    return play.all([VehicleLeft(1), CableRemoved(1)])


# --- what it costs a station without monitors ------------------------------------------------------------------------


def test_a_station_without_monitors_loads_nothing_and_watches_nothing() -> None:
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("agent.domain.monitoring.")}
    try:
        play = Play()
        charging(play)
        play.power(3000.0)
        assert not [name for name in sys.modules if name.startswith("agent.domain.monitoring.")]
        assert play.blocks._watchers == []
        assert [t for t in play.timers if t.kind is TimerKind.MONITOR_PERIOD] == []
    finally:
        sys.modules.update(loaded)


def test_the_last_monitor_that_is_cleared_ends_the_watch() -> None:
    play = Play()
    (number,) = play.accepted(wish(POWER, UPPER, 2000.0))
    assert len(play.blocks._watchers) == 1
    play.ask(ClearMonitors((number,)))
    assert play.blocks._watchers == []


def test_no_value_has_the_name_of_a_setting() -> None:
    assert VALUES.keys() & VARIABLES.keys() == set()


# --- setting (N04) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (wish(POWER, UPPER, 2000.0), "Accepted"),
        (wish(POWER, UPPER, 0.0), "Accepted"),
        (wish(POWER, LOWER, 22080.0), "Accepted"),  # 32 A, 3 phases, 230 V
        (wish(POWER, LOWER, 22080.1), "Rejected"),  # N04.FR.06
        (wish(POWER, UPPER, -1.0), "Rejected"),
        (wish(POWER, UPPER, float("nan")), "Rejected"),
        (wish(POWER, DELTA, -0.1), "Rejected"),  # N04.FR.14
        (wish(STATUS, DELTA, -1.0), "Rejected"),
        (wish(STATUS, DELTA, 0.0), "Accepted"),
        (wish(STATUS, UPPER, 1.0), "UnsupportedMonitorType"),  # N04.FR.05
        (wish(STATUS, PERIODIC, 0.5), "Rejected"),
        (wish(STATUS, PERIODIC, PERIOD_MOST_S), "Accepted"),
        (wish(STATUS, PERIODIC, 1e300), "Rejected"),
        (wish(STATUS, CLOCK, PERIOD_MOST_S + 1.0), "Rejected"),
        (wish(STATUS, CLOCK, 900.0), "Accepted"),
        (wish(HEARTBEAT, UPPER, 86400.0), "Accepted"),
        (wish(HEARTBEAT, UPPER, 86401.0), "Rejected"),
        (wish(PASSWORD, DELTA, 1.0), "Accepted"),
        (wish(PASSWORD, LOWER, 1.0), "UnsupportedMonitorType"),
        (wish(None, DELTA, 1.0), "UnsupportedMonitorType"),
        (wish(None, DELTA, 1.0, unknown="UnknownComponent"), "UnknownComponent"),  # N04.FR.03
        (wish(None, DELTA, 1.0, unknown="UnknownVariable"), "UnknownVariable"),  # N04.FR.04
        (wish(POWER, UPPER, 2000.0, -1), "Rejected"),
        (wish(POWER, UPPER, 2000.0, 10), "Rejected"),
        (wish(POWER, UPPER, 2000.0, id=4711), "Rejected"),  # N04.FR.13
        (wish(None, UPPER, 2000.0, id=4711, unknown="UnknownComponent"), "Rejected"),
    ],
)
def test_what_may_be_set(wanted: MonitorWish, status: str) -> None:
    play = Play()
    (answer,) = play.set(wanted)
    assert (answer.status, answer.id is not None) == (status, status == "Accepted")
    assert len(play.store.get("monitor", {})) == (status == "Accepted")


def test_each_wish_is_answered_by_itself_and_in_order() -> None:
    play = Play()
    answers = play.set(wish(POWER, UPPER, 2000.0), wish(POWER, DELTA, -1.0), wish(POWER, LOWER, 100.0))
    assert [(a.status, a.id) for a in answers] == [("Accepted", 1000), ("Rejected", None), ("Accepted", 1001)]


def test_the_same_kind_and_severity_twice_on_one_variable_is_a_duplicate() -> None:
    """N04.FR.10, also within one request and beside a hard-wired monitor; another severity or variable is none."""
    play = Play()
    answers = play.set(wish(POWER, UPPER, 2000.0), wish(POWER, UPPER, 3000.0), wish(POWER, UPPER, 3000.0, 4))
    assert [a.status for a in answers] == ["Accepted", "Duplicate", "Accepted"]
    lock = MonitoredVariable(Part.CONNECTOR, "lock_problem", 1)
    answers = play.set(wish(lock, DELTA, 1.0, 4), wish(lock, DELTA, 1.0, 5), wish(STATION_POWER, UPPER, 2000.0))
    assert [a.status for a in answers] == ["Duplicate", "Accepted", "Accepted"]


def test_a_monitor_is_replaced_by_its_id() -> None:
    """N04.FR.12; its variable cannot be changed (N04.FR.16)."""
    play = Play()
    number, other = play.accepted(wish(POWER, UPPER, 2000.0), wish(POWER, UPPER, 2500.0, 5))
    assert play.accepted(wish(POWER, UPPER, 3000.0, 4, id=number)) == [number]
    assert (play.listed()[number].value, play.listed()[number].severity) == (3000.0, 4)
    refused = play.set(
        wish(STATION_POWER, UPPER, 3000.0, 4, id=number),
        wish(None, UPPER, 3000.0, 4, id=number, unknown="UnknownVariable"),
        wish(POWER, UPPER, 3000.0, 5, id=number),
    )
    assert [a.status for a in refused] == ["Rejected", "Rejected", "Duplicate"]
    assert (play.listed()[number].value, play.listed()[other].value) == (3000.0, 2500.0)


def test_a_hard_wired_monitor_is_neither_replaced_nor_cleared() -> None:
    """N04.FR.18, N06.FR.03."""
    play = Play()
    (hard,) = (m for m in play.listed().values() if m.origin is MonitorOrigin.HARD_WIRED)
    assert [a.status for a in play.set(wish(hard.variable, DELTA, 1.0, 2, id=hard.id))] == ["Rejected"]
    assert play.ask(ClearMonitors((hard.id, 4711))).data["answers"] == (
        MonitorAnswer("Rejected", hard.id), MonitorAnswer("NotFound", 4711)
    )  # fmt: skip
    assert play.listed() == {hard.id: hard}


def test_more_than_the_most_are_rejected() -> None:
    play = Play()
    offered = [
        wish(MonitoredVariable(Part.STATION, name), kind, 60.0, severity)
        for name in ("heartbeat_interval_s", "ping_interval_s", "network_attempts", "backoff_minimum_s")
        for kind in (DELTA, PERIODIC, CLOCK, UPPER, LOWER)
        for severity in range(10)
    ]
    assert len(play.accepted(*offered)) == 200
    (answer,) = play.set(wish(POWER, UPPER, 2000.0))
    assert (answer.status, answer.reason) == ("Rejected", "TooManyElements")
    assert play.accepted(wish(HEARTBEAT, DELTA, 5.0, 0, id=1000)) == [1000]


def test_nothing_is_accepted_that_the_store_does_not_take() -> None:
    play = Play()
    play.feed(StoreFailed("full"))
    assert [a.status for a in play.set(wish(POWER, UPPER, 2000.0))] == ["Rejected"]


def test_a_monitor_belongs_to_the_backend_that_set_it() -> None:
    play = Play(links=(LINK, "second"))
    play.feed(LinkChanged("second", True))
    (number,) = play.accepted(wish(STATUS, DELTA, 1.0), link="second")
    assert play.accepted(wish(STATUS, DELTA, 1.0)) != [number]
    assert number not in play.listed()
    assert play.listed("second").keys() == {number}
    assert play.ask(ClearMonitors((number,))).data["answers"] == (MonitorAnswer("NotFound", number),)
    assert [a.status for a in play.set(wish(STATUS, DELTA, 1.0, 8, id=number))] == ["Rejected"]
    plugged(play)
    reported_monitors = {(link, e.monitor.id) for link, message in sent_events(play.log) for e in message.events}
    assert reported_monitors == {("second", 1000), (LINK, 1001)}


@pytest.mark.parametrize("base", [MonitoringBase.FACTORY_DEFAULT, MonitoringBase.HARD_WIRED_ONLY])
def test_the_first_backend_sets_the_base_of_its_own_monitors(base: MonitoringBase) -> None:
    play = Play(links=(LINK, "second"))
    play.feed(LinkChanged("second", True))
    (number,) = play.accepted(wish(STATUS, DELTA, 1.0))
    (other,) = play.accepted(wish(STATUS, DELTA, 1.0), link="second")
    assert play.ask(SetBase(base), "second").status == "Rejected"
    assert number in play.listed()
    assert play.ask(SetBase(base)).status == "Accepted"
    assert number not in play.listed()
    assert play.again().listed("second").keys() == {other}


# --- thresholds and changes (N07) ------------------------------------------------------------------------------------


def test_a_threshold_alerts_and_is_cleared_with_the_transaction_it_was_about() -> None:
    play = Play()
    (number,) = play.accepted(wish(POWER, UPPER, 2000.0))
    charging(play)
    play.power(2000.0)
    assert play.events() == []  # N07.FR.16: exceeding, not on the threshold
    play.power(2000.4, 1101)
    (event,) = play.events()
    assert (event.trigger, event.text, event.cleared) == (EventTrigger.ALERTING, "2000.4", False)
    assert (event.monitor.id, event.origin, event.transaction) == (number, MonitorOrigin.CUSTOM, play.session().id)
    play.power(5000.0, 1102).power(1999.0, 1103)
    (event,) = play.events()
    assert (event.text, event.cleared, event.transaction) == ("1999", True, play.session().id)


def test_a_lower_threshold_alerts_at_the_end_of_the_session_it_belongs_to() -> None:
    play = Play()
    play.accepted(wish(POWER, UPPER, 2000.0))
    charging(play)
    play.power(3000.0)
    session = play.session().id
    play.accepted(wish(POWER, LOWER, 100.0))
    assert play.said() == [("Alerting", "3000", False)]
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1200, 0.0)))
    events = play.events()
    assert [(e.text, e.cleared, e.transaction) for e in events] == [("0", True, session), ("0", False, session)]


def test_a_new_threshold_is_compared_with_the_present_value_at_once() -> None:
    """N07.FR.11, and a first one likewise."""
    play = Play()
    charging(play)
    play.power(3000.0)
    (number,) = play.accepted(wish(POWER, UPPER, 2500.0))
    assert play.said() == [("Alerting", "3000", False)]
    play.accepted(wish(POWER, UPPER, 2800.0, id=number))
    assert play.said() == []
    play.accepted(wish(POWER, UPPER, 4000.0, id=number))
    assert play.said() == [("Alerting", "3000", True)]
    play.accepted(wish(POWER, UPPER, 2999.0, id=number))
    assert play.said() == [("Alerting", "3000", False)]


def test_a_monitor_that_is_cleared_reports_nothing_more() -> None:
    """N07.FR.12: no event reports that its alert is over."""
    play = Play()
    charging(play)
    play.power(3000.0)
    (number,) = play.accepted(wish(POWER, UPPER, 2500.0))
    play.events()
    assert play.ask(ClearMonitors((number,))).data["answers"] == (MonitorAnswer("Accepted", number),)
    play.power(0.0, 1200).power(4000.0, 1300)
    assert play.events() == []
    assert play.store["monitor"] == {}


def test_a_change_of_a_setting_is_reported_when_it_is_large_enough() -> None:
    """N07.FR.18, as the official case N_61 does it: by 1 no event, by 2 one."""
    play = Play()
    (number,) = play.accepted(wish(HEARTBEAT, DELTA, 1.0))
    for text, said in (("901", []), ("902", [("Delta", "902", False)]), ("900", [("Delta", "900", False)])):
        play.feed(RequestReceived(LINK, text, SetVariablesRequest({"heartbeat_interval_s": text})))
        assert play.said() == said
    assert number == 1000


def test_a_secret_is_compared_and_never_shown() -> None:
    """N07.FR.10: the value is empty; neither the store nor an event has it."""
    play = Play()
    (number,) = play.accepted(wish(PASSWORD, DELTA, 1.0))
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"authorization_key": "plain:correct horse"})))
    assert play.said() == [("Delta", "", False)]
    play.wait(2 * STATE_SAVED_S).feed(ClockTrusted())
    assert "horse" not in repr(play.store["monitor"])
    assert play.store["monitor"][str(number)]["reference"] is None


def test_every_change_of_the_status_is_reported() -> None:
    """N07.FR.19, of EVSE, connector and station by themselves."""
    play = Play()
    play.accepted(
        wish(STATUS, DELTA, 1.0),
        wish(MonitoredVariable(Part.CONNECTOR, "status", 1), DELTA, 1.0),
        wish(MonitoredVariable(Part.STATION, "status"), DELTA, 1.0),
    )
    plugged(play)
    assert {(e.monitor.variable.part, e.text) for e in play.events()} == {
        (Part.EVSE, "Occupied"), (Part.CONNECTOR, "Occupied")
    }  # fmt: skip
    unplugged(play)
    assert [e.text for e in play.events()] == ["Available"] * 2
    play.feed(StoreFailed("full"))
    assert {(e.monitor.variable.part, e.text) for e in play.events()} == {
        (Part.EVSE, "Faulted"), (Part.CONNECTOR, "Faulted"), (Part.STATION, "Faulted")
    }  # fmt: skip


def test_the_fault_that_causes_an_event_is_named() -> None:
    """N07.FR.05: ``cause`` is the number of the fault's own event; numbers are never given twice."""
    play = Play()
    problem = MonitoredVariable(Part.EVSE, "problem", 1)
    play.accepted(wish(problem, DELTA, 1.0))
    play.feed(FaultRaised(1, Fault.EMERGENCY_STOP))
    (noted,) = (o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, FaultNoted))
    (event,) = play.events()
    assert (event.text, event.cause) == ("true", noted.number)
    assert event.number != noted.number
    play.feed(FaultCleared(1, Fault.EMERGENCY_STOP))
    (event,) = play.events()
    assert (event.text, event.cause) == ("false", None)


@pytest.mark.parametrize("name", ["queued_messages", "list_entries", "profile_count", "energy_wh", "store_problem"])
def test_values_of_the_station_can_be_read(name: str) -> None:
    part = (Part.EVSE, 1) if name == "energy_wh" else (Part.STATION, 0)
    play = Play(count_queued_messages=lambda: 7)
    charging(play)
    play.accepted(wish(MonitoredVariable(part[0], name, part[1]), PERIODIC, 10.0))
    play.wait(10.0)
    shown = {"queued_messages": "7", "energy_wh": "1000", "store_problem": "false"}.get(name, "0")
    assert play.said() == [("Periodic", shown, False)]


def test_a_bearer_is_watched_by_its_name_in_ocpp() -> None:
    """Signal, use and state of a modem; one that this station does not have has no value."""
    modem = BearerStatus(BearerState.UP, interface="ppp0", address="10.9.0.7", signal_dbm=-85)
    configs = (BearerConfig("bearer[0]", BearerKind.LAN), BearerConfig("bearer[1]", BearerKind.GPRS))
    play = Play(bearers=configs)
    names = ("signal_dbm", LOWER, -100.0), ("link_state", DELTA, 1.0), ("link_problem", DELTA, 1.0)
    play.accepted(
        *(wish(MonitoredVariable(Part.STATION, name, 0, "Wireless0"), kind, value) for name, kind, value in names),
        wish(MonitoredVariable(Part.STATION, "signal_dbm", 0, "Wireless1"), DELTA, 0.0),
    )
    (answer,) = play.set(wish(MonitoredVariable(Part.STATION, "signal_dbm", 0, "Wireless0"), UPPER, 1.0))
    assert answer.status == "Rejected"
    play.feed(BearerReported("bearer[1]", modem))
    play.events()
    play.feed(BearerReported("bearer[1]", replace(modem, signal_dbm=-101)))
    play.feed(BearerReported("bearer[1]", replace(modem, signal_dbm=-95, state=BearerState.DOWN)))
    assert [(e.monitor.variable.name, e.text, e.cleared) for e in play.events()] == [
        ("signal_dbm", "-101", False), ("signal_dbm", "-95", True), ("link_state", "down", False),
        ("link_problem", "true", False),
    ]  # fmt: skip


def test_a_monitor_of_transactions_rests_between_them() -> None:
    play = Play()
    play.accepted(wish(POWER, LOWER, 100.0, transaction=True), wish(STATION_POWER, UPPER, 2000.0, transaction=True))
    play.feed(ClockTrusted())
    assert play.events() == []
    charging(play)
    play.power(50.0).power(3000.0, 1101)
    assert [(e.monitor.variable.part, e.text, e.cleared) for e in play.events()] == [
        (Part.EVSE, "50", False), (Part.EVSE, "3000", True), (Part.STATION, "3000", False)
    ]  # fmt: skip


# --- severities and levels (N05) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", [-1, 10])
def test_a_level_out_of_range_is_rejected(severity: int) -> None:
    play = Play()
    assert play.ask(SetLevel(severity)).status == "Rejected"
    assert play.site.settings.int_value("monitoring_level") == 9


def test_no_event_above_the_level_is_sent() -> None:
    """N05.FR.03, N07.FR.15; what changed meanwhile is reported when the level is raised again."""
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0, 8), wish(MonitoredVariable(Part.CONNECTOR, "status", 1), DELTA, 1.0, 7))
    assert play.ask(SetLevel(7)).status == "Accepted"
    plugged(play)
    assert [e.monitor.severity for e in play.events()] == [7]
    play.again()
    assert play.site.settings.int_value("monitoring_level") == 7
    assert [(e.monitor.severity, e.text) for e in play.events()] == [(7, "Available")]
    play.ask(SetLevel(9))
    plugged(play)
    assert sorted(e.monitor.severity for e in play.events()) == [7, 8]


def test_the_level_restricts_the_hard_wired_monitor_of_the_lock_and_no_other_fault() -> None:
    play = Play()
    play.ask(SetLevel(3))
    for fault in (Fault.LOCK_FAILURE, Fault.DOOR_OPEN):
        play.feed(FaultRaised(1, fault))
    noted = [o.message.fault for o in play.log if isinstance(o, Send) and isinstance(o.message, FaultNoted)]
    assert noted == [Fault.DOOR_OPEN]


def test_a_level_that_is_lowered_clears_no_fault() -> None:
    """The lock fault is there all the time: the backend must not read that it is gone."""
    play = Play()

    def noted() -> list[tuple[Fault, bool]]:
        return [
            (o.message.fault, o.message.present)
            for o in play.log
            if isinstance(o, Send) and isinstance(o.message, FaultNoted)
        ]

    play.feed(FaultRaised(1, Fault.LOCK_FAILURE))
    play.ask(SetLevel(3))
    play.feed(SituationChanged(1))
    assert noted() == [(Fault.LOCK_FAILURE, True)]
    play.ask(SetLevel(9))
    play.feed(SituationChanged(1))
    assert noted() == [(Fault.LOCK_FAILURE, True)]
    play.feed(FaultCleared(1, Fault.LOCK_FAILURE))
    assert noted()[1:] == [(Fault.LOCK_FAILURE, False)]


def test_a_level_that_is_raised_brings_the_fault_that_is_there() -> None:
    play = Play()
    play.ask(SetLevel(3))
    play.feed(FaultRaised(1, Fault.LOCK_FAILURE))
    play.ask(SetLevel(9))
    play.feed(SituationChanged(1))
    noted = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, FaultNoted)]
    assert [(n.fault, n.present) for n in noted] == [(Fault.LOCK_FAILURE, True)]


def test_monitoring_can_be_switched_off() -> None:
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0), wish(STATUS, PERIODIC, 10.0))
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"monitoring_enabled": "false"})))
    plugged(play).wait(30.0)
    assert play.events() == []
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"monitoring_enabled": "true"})))
    assert play.said() == [("Delta", "Occupied", False)]


# --- bases (N03) -----------------------------------------------------------------------------------------------------


def origins(play: Play) -> list[MonitorOrigin]:
    return [m.origin for m in play.listed().values()]


def test_the_bases() -> None:
    """N03.FR.03 to N03.FR.05, N04.FR.15; each outlives a restart."""
    hard, factory, custom = MonitorOrigin.HARD_WIRED, MonitorOrigin.PRECONFIGURED, MonitorOrigin.CUSTOM
    play = Play()
    play.accepted(wish(POWER, UPPER, 2000.0))
    assert origins(play) == [hard, custom]
    assert play.ask(SetBase(MonitoringBase.ALL)).status == "Accepted"
    assert origins(play) == [hard, factory, custom]
    (number,) = (m.id for m in play.listed().values() if m.origin is factory)
    play.accepted(wish(STATUS, DELTA, 1.0, 7, id=number))
    play.ask(SetBase(MonitoringBase.ALL))
    assert origins(play.again()) == [hard, custom, custom]
    assert play.listed()[number].severity == 7
    play.ask(SetBase(MonitoringBase.FACTORY_DEFAULT))
    assert origins(play.again()) == [hard, factory]
    assert play.listed()[number].severity == 6
    play.ask(ClearMonitors((number,)))
    assert origins(play.again()) == [hard]
    play.ask(SetBase(MonitoringBase.ALL))
    assert origins(play.again()) == [hard, factory]
    play.accepted(wish(POWER, UPPER, 2000.0))
    play.ask(SetBase(MonitoringBase.HARD_WIRED_ONLY))
    assert origins(play.again()) == [hard]
    assert play.store.get("monitor", {}) == {}


def test_a_preconfigured_monitor_reports_the_status() -> None:
    play = Play()
    play.ask(SetBase(MonitoringBase.FACTORY_DEFAULT))
    plugged(play)
    (event,) = play.events()
    assert (event.origin, event.text, event.monitor.severity) == (MonitorOrigin.PRECONFIGURED, "Occupied", 6)


# --- periodic notices (N08) ------------------------------------------------------------------------------------------


def test_a_periodic_monitor_reports_at_its_interval_from_when_it_was_set() -> None:
    play = Play()
    play.wait(7.0)
    play.accepted(wish(STATUS, PERIODIC, 60.0))
    play.wait(185.0)
    assert [(e.trigger.value, e.text, e.at.t_s - T0_S) for e in play.events()] == [
        ("Periodic", "Available", 67.0 + 60.0 * n) for n in range(3)
    ]


def test_a_clock_aligned_monitor_reports_at_the_marks_of_the_clock() -> None:
    """N08.FR.07: every 900 s is at 0, 15, 30 and 45 minutes after the hour."""
    play = Play()
    play.wait(100.0)
    play.accepted(wish(STATUS, CLOCK, 900.0))
    play.wait(2000.0)
    assert [(e.at.t_s - T0_S) % 900 for e in play.events()] == [0.0, 0.0]
    assert UTC0_S % 900 == 0
    play.clock_off_s = 450.0
    play.feed(ClockTrusted())
    play.wait(900.0)
    assert [(e.at.t_s - T0_S + 450.0) % 900 for e in play.events()] == [0.0]


def test_a_clock_that_is_not_known_yet_postpones_them() -> None:
    play = Play()
    play.trusted = False
    play.accepted(wish(STATUS, CLOCK, 60.0))
    play.wait(200.0)
    assert play.events() == []
    play.trusted = True
    play.feed(ClockTrusted())
    play.wait(60.0)
    assert len(play.events()) == 1


def test_a_periodic_monitor_that_is_cleared_has_no_timer_left() -> None:
    play = Play()
    numbers = play.accepted(wish(STATUS, PERIODIC, 60.0), wish(POWER, CLOCK, 60.0))
    play.ask(ClearMonitors((numbers[0],)))
    play.ask(SetBase(MonitoringBase.HARD_WIRED_ONLY))
    assert [t for t in play.timers if t.kind is TimerKind.MONITOR_PERIOD] == []


def test_a_periodic_monitor_goes_on_after_a_restart() -> None:
    play = Play()
    play.accepted(wish(STATUS, PERIODIC, 60.0))
    play.again().wait(60.0)
    assert play.said() == [("Periodic", "Available", False)]


# --- a backend that is away (N07.FR.04, N08.FR.03) -------------------------------------------------------------------


def off_line(play: Play) -> Play:
    return play.all([LinkChanged(LINK, False)])


def on_line(play: Play) -> Play:
    return play.all([LinkChanged(LINK, True)])


def test_what_is_grave_waits_for_the_backend_and_comes_in_order() -> None:
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0, 3), wish(STATUS, PERIODIC, 60.0, 3))
    off_line(play)
    plugged(play).wait(61.0)
    unplugged(play)
    assert play.events() == []
    on_line(play)
    assert play.said() == [("Delta", "Occupied", False), ("Periodic", "Occupied", False), ("Delta", "Available", False)]
    on_line(play)
    assert play.events() == []


def test_what_is_less_grave_is_judged_when_the_backend_is_back() -> None:
    """N07, remark: the backend learns how things are then, and nothing of what came and went."""
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0, 4), wish(STATUS, PERIODIC, 60.0, 4))
    off_line(play)
    unplugged(plugged(play)).wait(90.0)
    on_line(play)
    assert play.events() == []
    off_line(play)
    plugged(play)
    on_line(play)
    assert play.said() == [("Delta", "Occupied", False)]


def test_of_many_events_the_newest_are_kept_and_travel_in_bunches() -> None:
    play = Play()
    play.accepted(wish(HEARTBEAT, DELTA, 0.0, 0))
    off_line(play)
    for n in range(EVENTS_KEPT + 30):
        play.feed(RequestReceived("", "q", SetVariablesRequest({"heartbeat_interval_s": str(1000 + n)})))
    on_line(play)
    sent = [message for _, message in sent_events(play.log)]
    assert [len(m.events) for m in sent] == [EVENTS_PER_MESSAGE] * (EVENTS_KEPT // EVENTS_PER_MESSAGE)
    assert [e.text for m in sent for e in m.events] == [str(1030 + n) for n in range(EVENTS_KEPT)]


def test_what_waits_outlives_the_orderly_end_of_the_process() -> None:
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0, 3))
    off_line(play)
    plugged(play)
    play.feed(StopRequested())
    play.again(online=False, state=None)
    assert play.store["monitor_events"] == {}
    on_line(play)
    (event,) = play.events()
    assert (event.text, event.monitor.id, event.origin) == ("Occupied", 1000, MonitorOrigin.CUSTOM)


def test_a_record_of_events_that_cannot_be_read_is_forgotten() -> None:
    play = Play(store={"monitor_events": {LINK: {"events": [{"monitor": 7}]}, "gone": {"events": []}}})
    assert play.store["monitor_events"] == {}


@pytest.mark.parametrize("where", ["id", "severity", "boot"])
def test_a_record_of_events_with_a_number_beyond_all_is_forgotten(where: str) -> None:
    """JSON reads 1e400 as infinity, which is no integer."""
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0, 3))
    off_line(play)
    plugged(play)
    play.feed(StopRequested())
    (kept,) = play.store["monitor_events"][LINK]["events"]
    if where == "boot":
        kept["at"] = [float("inf"), 1.0]
    else:
        kept["monitor"] = {**kept["monitor"], where: float("inf")}
    play.again(online=False, state=None)
    assert play.store["monitor_events"] == {}
    on_line(play)
    assert play.events() == []


def test_behind_the_hard_limit_of_the_data_plan_no_event_is_sent() -> None:
    plan = DataPlan(frozenset({"default"}), None, 1000)
    play = Play(data_plan=plan)
    play.accepted(wish(STATUS, DELTA, 1.0, 0), wish(STATUS, PERIODIC, 60.0, 0))
    play.feed(TrafficCounted((TrafficCount("default", "Heartbeat", 1, 900, 900, 0),)))
    plugged(play).wait(61.0)
    assert play.events() == []


# --- over a restart (N07.FR.13, N07.FR.14) ---------------------------------------------------------------------------


def test_monitors_outlive_a_restart_with_their_ids() -> None:
    play = Play()
    numbers = play.accepted(wish(POWER, UPPER, 2000.0), wish(STATUS, DELTA, 1.0, 5, transaction=True))
    before = play.listed()
    assert play.again().listed() == before
    assert play.accepted(wish(POWER, LOWER, 100.0)) == [max(numbers) + 1]


def test_an_alert_is_cleared_by_the_next_process() -> None:
    play = Play()
    play.accepted(wish(POWER, UPPER, 2000.0))
    charging(play)
    play.power(3000.0)
    session = play.session().id
    play.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED))
    assert play.said() == [("Alerting", "3000", False)]
    play.again(state=None)
    assert play.events() == [], "the board was not seen: nothing is known"
    play.feed(BoardOpened(1, EMPTY, play.traits))
    play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), wh(1200, 0.0)))
    (event,) = play.events()
    assert (event.text, event.cleared, event.transaction) == ("0", True, session)


def test_what_is_not_known_yet_is_no_change() -> None:
    play = Play()
    play.accepted(wish(STATUS, DELTA, 1.0), wish(MonitoredVariable(Part.STATION, "problem"), DELTA, 1.0))
    play.again(state=None)
    assert play.events() == []
    play.feed(BoardOpened(1, EMPTY, play.traits))
    assert play.events() == []


def test_a_value_that_chatters_does_not_wear_the_flash() -> None:
    """Each state is stored once a minute at most; the rest when the process ends."""
    play = Play()
    (number,) = play.accepted(wish(POWER, UPPER, 2000.0))
    charging(play)
    begin = len(play.log)
    for n in range(50):
        play.power(3000.0 if n % 2 == 0 else 10.0, 1100 + n).wait(1.0)
    writes = [o for o in play.log[begin:] if isinstance(o, Persist) and o.kind == "monitor"]
    assert len(writes) == 1
    play.power(3000.0, 1200)
    play.feed(StopRequested())
    assert play.store["monitor"][str(number)]["exceeded"] is True


@pytest.mark.parametrize(
    ("record", "poisoned"),
    [
        ({"part": "evse"}, True),
        ("moon", True),
        ("number", True),
        ("nan", True),
        ("endless", True),
        ("gone", False),
        ("other", False),
    ],
)
def test_a_record_that_is_of_no_use_is_set_aside(record: Any, poisoned: bool) -> None:
    """What was of a part or a backend that the station file does not have any more is forgotten (N04, remark)."""
    play = Play()
    (number,) = play.accepted(wish(POWER, UPPER, 2000.0))
    good = play.store["monitor"][str(number)]
    bad = {
        "moon": {**good, "part": "moon"},
        "number": {**good, "value": "much"},
        "nan": {**good, "value": float("nan")},
        "endless": {**good, "severity": float("inf")},
        "gone": {**good, "evse": 9},
        "other": {**good, "link": "elsewhere"},
    }.get(record, record) if isinstance(record, str) else record  # fmt: skip
    play = Play(store={"monitor": {str(number): bad, "1001": good}})
    assert play.store["monitor"].keys() == {"1001"}
    assert bool(play.store.get("poisoned")) is poisoned
    assert {m.id for m in play.listed().values() if m.origin is MonitorOrigin.CUSTOM} == {1001}


def test_the_lamp_is_watched_as_well() -> None:
    play = Play()
    play.accepted(wish(MonitoredVariable(Part.EVSE, "lamp", 1), DELTA, 1.0))
    play.feed(FaultRaised(1, Fault.EMERGENCY_STOP))
    assert play.said() == [("Delta", "red", False)]
