"""When a monitor is triggered, against references that follow the text of OCPP 2.0.1 (N07.FR.02, N07.FR.16 to
N07.FR.19): alert and clearance take turns, a change counts from the latest notice."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.monitoring.monitors import (
    EventTrigger,
    Monitor,
    MonitoredVariable,
    MonitorFinding,
    MonitorKind,
    MonitorState,
    Part,
    WatchedValue,
    judge_monitored_value,
)

POWER = MonitoredVariable(Part.EVSE, "power_w", 1)
LIMIT = 100.0
NUMBERS = st.one_of(st.floats(0.0, 250.0, allow_nan=False), st.sampled_from((LIMIT, LIMIT - 0.001, LIMIT + 0.001, 0.0)))
ALERT, CLEARED = MonitorFinding(EventTrigger.ALERTING), MonitorFinding(EventTrigger.ALERTING, cleared=True)


def findings(kind: MonitorKind, value: float, seen: list[WatchedValue]) -> list[MonitorFinding | None]:
    monitor, state = Monitor(1000, POWER, kind, value, 5), MonitorState()
    return [judge_monitored_value(monitor, state, one) for one in seen]


def is_beyond(kind: MonitorKind, number: float) -> bool:
    return number > LIMIT if kind is MonitorKind.UPPER_THRESHOLD else number < LIMIT


@settings(max_examples=300, deadline=None)
@given(st.sampled_from((MonitorKind.UPPER_THRESHOLD, MonitorKind.LOWER_THRESHOLD)), st.lists(NUMBERS, max_size=30))
def test_a_threshold_alerts_once_and_is_cleared_once(kind: MonitorKind, seen: list[float]) -> None:
    found = findings(kind, LIMIT, list(seen))
    sides = [False, *(is_beyond(kind, number) for number in seen)]
    for (before, after), finding in zip(pairwise(sides), found, strict=True):
        assert finding == (None if before is after else ALERT if after else CLEARED)
    said = [f for f in found if f is not None]
    assert said == [CLEARED if n % 2 else ALERT for n in range(len(said))]


@settings(max_examples=300, deadline=None)
@given(st.floats(0.0, 60.0), st.lists(NUMBERS, min_size=1, max_size=30))
def test_a_change_of_a_number_counts_from_the_latest_notice(delta: float, seen: list[float]) -> None:
    found, reference = findings(MonitorKind.DELTA, delta, list(seen)), seen[0]
    assert found[0] is None, "the first value is what the monitor was set with"
    for number, finding in zip(seen[1:], found[1:], strict=True):
        has_changed = abs(number - reference) > delta
        assert (finding is not None) is has_changed
        if finding is not None:
            assert finding == MonitorFinding(EventTrigger.DELTA)
            reference = number


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.0, 1e6),
    st.one_of(
        st.lists(st.booleans(), max_size=20),
        st.lists(st.sampled_from(("Available", "Occupied", "Faulted")), max_size=20),
    ),
)
def test_every_change_of_what_is_no_number_counts(value: float, seen: list[WatchedValue]) -> None:
    found = findings(MonitorKind.DELTA, value, seen)
    changes = [False, *(a != b for a, b in pairwise(seen))][: len(seen)]
    assert [f is not None for f in found] == changes


@given(st.sampled_from((MonitorKind.PERIODIC, MonitorKind.PERIODIC_CLOCK_ALIGNED)), st.lists(NUMBERS, max_size=5))
def test_no_value_triggers_a_periodic_monitor(kind: MonitorKind, seen: list[float]) -> None:
    assert findings(kind, 60.0, list(seen)) == [None] * len(seen)


def test_an_alert_outlives_a_threshold_that_is_replaced() -> None:
    """N07.FR.11: the new threshold clears the old one, or is exceeded itself."""
    state = MonitorState()
    assert judge_monitored_value(Monitor(1, POWER, MonitorKind.UPPER_THRESHOLD, 100.0, 5), state, 150.0) == ALERT
    assert judge_monitored_value(Monitor(1, POWER, MonitorKind.UPPER_THRESHOLD, 120.0, 5), state, 150.0) is None
    assert judge_monitored_value(Monitor(1, POWER, MonitorKind.UPPER_THRESHOLD, 200.0, 5), state, 150.0) == CLEARED
    assert judge_monitored_value(Monitor(1, POWER, MonitorKind.UPPER_THRESHOLD, 149.0, 5), state, 150.0) == ALERT


def test_a_threshold_of_what_is_no_number_is_never_exceeded() -> None:
    assert findings(MonitorKind.UPPER_THRESHOLD, 0.0, ["Occupied", True]) == [None, None]
