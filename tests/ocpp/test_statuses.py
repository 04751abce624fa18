"""The queue of statuses, the back-off and times: pure, no socket."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.messages import ChargingState, ConnectorStatus, StatusChanged
from agent.model.types import Stamp
from agent.ocpp.outbound.status_queue import KEPT_MAX, StatusQueue
from agent.ocpp.transport.backoff import RETRY_MAX_S, Backoff, growing_pause_s
from agent.ocpp.v16.status import project_status
from agent.ocpp.wire.timestamps import NoTime, format_rfc3339, parse_timestamp

STATES = list(ChargingState)


def changed(evse: int, charging: ChargingState, **more: Any) -> StatusChanged:
    return StatusChanged(evse, Stamp(1, 0.0), ConnectorStatus.OCCUPIED, charging, **more)


def add(queue: StatusQueue, message: StatusChanged, now_s: float = 0.0, settle_s: float = 0.0, **more: Any) -> None:
    queue.add_status(message, project_status(message), now_s, settle_s, more.get("barrier", 0), more.get("live", True))


def drain(queue: StatusQueue, now_s: float = 1e9, settled: int = 2**62) -> list[tuple[int, str]]:
    found = []
    while waiting := queue.take_due(now_s, settled):
        found.append((waiting.evse, waiting.projection.status))
    return found


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STATES), st.integers(0, 4)), max_size=30))
def test_order_per_evse_and_nothing_twice(steps: list[tuple[int, ChargingState, int]]) -> None:
    queue = StatusQueue()
    wanted: dict[int, list[str]] = {}
    for evse, charging, barrier in steps:
        message = changed(evse, charging)
        add(queue, message, barrier=barrier)
        word = project_status(message).status
        if wanted.setdefault(evse, [])[-1:] != [word]:
            wanted[evse].append(word)
    found: list[tuple[int, str]] = []
    for settled in range(5):
        found += drain(queue, settled=settled)
    for evse, words in wanted.items():
        assert [w for e, w in found if e == evse] == words


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STATES)), min_size=1, max_size=30))
def test_offline_only_the_newest_is_kept(steps: list[tuple[int, ChargingState]]) -> None:
    queue = StatusQueue()
    for evse, charging in steps:
        add(queue, changed(evse, charging), live=False)
    assert dict(drain(queue)) == {evse: project_status(changed(evse, c)).status for evse, c in steps}
    assert drain(queue) == []


def test_forced_is_reported_again_and_survives_merging() -> None:
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    assert drain(queue) == [(1, "Charging")]
    add(queue, changed(1, ChargingState.CHARGING))
    assert drain(queue) == []
    add(queue, changed(1, ChargingState.CHARGING, forced=True), live=False)
    add(queue, changed(1, ChargingState.CHARGING), live=False)
    assert drain(queue) == [(1, "Charging")]


def test_minimum_duration() -> None:
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    drain(queue)
    add(queue, changed(1, ChargingState.SUSPENDED_EV), 10.0, 5.0)
    assert queue.next_due_s(10.0) == 15.0
    add(queue, changed(1, ChargingState.CHARGING), 12.0, 5.0)  # back again before it lasted: nothing to send
    assert drain(queue, 100.0) == []
    add(queue, changed(1, ChargingState.SUSPENDED_EV), 20.0, 5.0)
    assert drain(queue, 24.9) == []
    assert drain(queue, 25.0) == [(1, "SuspendedEV")]


def test_a_returned_one_goes_again_unless_a_newer_one_waits() -> None:
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    first = queue.take_due(0.0, 0)
    assert first is not None
    queue.requeue_failed(first)
    assert drain(queue) == [(1, "Charging")]
    queue.requeue_failed(first)
    taken = queue.take_due(0.0, 0)
    assert taken is not None
    add(queue, changed(1, ChargingState.SUSPENDED_EV))
    queue.requeue_failed(taken)
    assert drain(queue) == [(1, "SuspendedEV")]


def test_a_returned_one_waits_and_gives_way_to_a_newer_one() -> None:
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    first = queue.take_due(0.0, 0)
    assert first is not None
    queue.requeue_failed(first, 60.0)
    assert queue.next_due_s(0.0) == 60.0
    assert drain(queue, 59.0) == []
    add(queue, changed(1, ChargingState.SUSPENDED_EV), 30.0)
    assert drain(queue, 30.0) == [(1, "SuspendedEV")]
    assert drain(queue) == []


def test_what_was_lost_on_the_way_does_not_count_as_reported() -> None:
    """In flight: Charging. A newer status comes and is taken back before it lasted; then Charging is lost."""
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    first = queue.take_due(0.0, 0)
    assert first is not None
    add(queue, changed(1, ChargingState.SUSPENDED_EV), 1.0, 5.0)
    queue.requeue_failed(first, 60.0)
    add(queue, changed(1, ChargingState.CHARGING), 2.0, 5.0)
    assert drain(queue, 100.0) == [(1, "Charging")]


def test_the_queue_is_bounded() -> None:
    queue = StatusQueue()
    for n in range(1000):
        add(queue, changed(1, STATES[n % 2]), barrier=5)
        add(queue, changed(2, ChargingState.CHARGING), barrier=5)
    assert len(queue._queue) <= KEPT_MAX
    assert drain(queue)[-1] == (1, project_status(changed(1, STATES[999 % 2])).status)


def test_another_version_has_other_words() -> None:
    queue = StatusQueue()
    add(queue, changed(1, ChargingState.CHARGING))
    drain(queue)
    queue.reproject_all(project_status)
    add(queue, changed(1, ChargingState.CHARGING))
    assert drain(queue) == [(1, "Charging")]


def test_back_off_doubles_to_a_cap_and_keeps_its_jitter() -> None:
    waits = Backoff(random.Random(1))
    seen = [waits.next_wait_s() for _ in range(50)]
    for n, wait_s in enumerate(seen[:6]):
        assert 10 * 2**n <= wait_s <= 10 * 2**n + 10
    assert all(320 <= w <= 330 for w in seen[5:])
    assert len(set(seen[5:])) == 45
    waits.reset()
    assert waits.next_wait_s() <= 20


@given(st.floats(0, 4e9))
def test_times_come_back(utc_s: float) -> None:
    assert parse_timestamp(format_rfc3339(utc_s)) == pytest.approx(utc_s, abs=0.00051)


@pytest.mark.parametrize(
    ("utc_s", "text"),
    [
        (-1.0, "1970-01-01T00:00:00.000Z"),
        (float("-inf"), "1970-01-01T00:00:00.000Z"),
        (float("inf"), "9999-12-31T23:59:59.000Z"),
        (253402300799.9996, "9999-12-31T23:59:59.000Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_that_cannot_be_written_become_the_nearest_one(utc_s: float, text: str) -> None:
    assert format_rfc3339(utc_s) == text
    assert format_rfc3339(utc_s, whole_seconds=True) == text


def test_what_is_no_time_is_said_so() -> None:
    with pytest.raises(NoTime):
        format_rfc3339(float("nan"))


@pytest.mark.parametrize("seconds", [2, 3, 5, 60, 600, 7200])
def test_retries_grow_to_a_cap(seconds: int) -> None:
    waits = [growing_pause_s(seconds, n) for n in range(1, 500)]
    assert waits == sorted(waits)
    assert waits[0] == seconds
    assert waits[-1] == max(seconds, RETRY_MAX_S)
    assert growing_pause_s(0, 5, 60.0) == 60.0


@pytest.mark.parametrize("text", ["", "soon", None, 5, "2026-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00x"])
def test_no_times(text: object) -> None:
    assert parse_timestamp(text) is None
