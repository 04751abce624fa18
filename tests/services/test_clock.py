"""Stamps and UTC: nothing before its time, nothing in 1970, no steps on hearsay."""

import pytest

from agent.model.types import Stamp
from agent.services.clock import BUILT_UTC_S, Clock

UTC = BUILT_UTC_S + 1e6


class Watch:
    def __init__(self, t=100.0):
        self.t = t

    def __call__(self):
        return self.t


def test_an_event_before_the_first_answer_gets_its_exact_time_later():
    watch = Watch()
    clock = Clock({}, boot_id="a", boottime=watch)
    early = clock.now()
    assert early.utc_s is None
    watch.t = 130.0
    clock.heard_utc(UTC, 0.0)
    assert clock.utc_s(early.stamp) == UTC - 30.0
    assert clock.now().utc_s == UTC


def test_a_restart_in_the_same_boot_keeps_time_and_number():
    watch = Watch()
    clock = Clock({}, boot_id="a", boottime=watch)
    clock.heard_utc(UTC, 0.0)
    again = Clock({"1": clock.boot.to_record()}, boot_id="a", boottime=watch)
    assert again.now() == clock.now()


def test_an_event_of_an_unknown_boot_lies_between_what_is_known():
    watch = Watch()
    first = Clock({}, boot_id="a", boottime=watch)
    first.heard_utc(UTC, 0.0)
    boots = {"1": first.boot.to_record()}
    second = Clock(boots, boot_id="b", boottime=watch)  # never hears the time
    lost = Stamp(second.boot.number, 50.0)
    boots["2"] = second.boot.to_record()
    watch.t = 10.0
    third = Clock(boots, boot_id="c", boottime=watch)
    third.heard_utc(UTC + 3600, 0.0)
    assert UTC <= third.utc_s(lost) <= UTC + 3600
    assert third.utc_s(lost) == UTC + 50.0


def test_never_before_the_program_was_built():
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(0.0, 0.0)
    assert clock.now().utc_s is None
    assert clock.utc_s(Stamp(1, 5.0)) >= BUILT_UTC_S


def test_one_odd_answer_moves_nothing_three_do():
    watch = Watch()
    clock = Clock({}, boot_id="a", boottime=watch)
    clock.heard_utc(UTC, 0.0)
    clock.heard_utc(UTC + 3600, 0.0)
    clock.heard_utc(UTC, 0.0)
    clock.heard_utc(UTC + 3600, 0.0)
    clock.heard_utc(UTC + 3600, 0.0)
    assert clock.now().utc_s == UTC
    clock.heard_utc(UTC + 3600, 0.0)
    assert clock.now().utc_s == UTC + 3600


def test_half_the_round_trip_is_added_and_slow_answers_are_not_believed():
    watch = Watch()
    clock = Clock({}, boot_id="a", boottime=watch)
    clock.heard_utc(UTC, 2.0)
    assert clock.now().utc_s == UTC + 1.0
    for _ in range(5):
        clock.heard_utc(UTC + 60, 30.0)
    assert clock.now().utc_s == UTC + 1.0


def test_a_hurried_clock_takes_the_time_once():
    watch = Watch(10.0)
    clock = Clock({}, rate=10.0, boot_id="a", boottime=watch)
    clock.heard_utc(UTC, 0.0)
    watch.t = 20.0
    assert clock.now().utc_s == UTC + 100.0
    for _ in range(5):
        clock.heard_utc(UTC + 10.0, 0.0)
    assert clock.now().utc_s == UTC + 100.0


def test_another_rate_is_another_boot():
    clock = Clock({}, rate=1.0, boot_id="a", boottime=Watch())
    other = Clock({"1": clock.boot.to_record()}, rate=10.0, boot_id="a", boottime=Watch())
    assert other.boot.number == 2


def test_a_stop_never_comes_before_its_start_though_its_boot_never_learnt_the_time():
    watch = Watch(10.0)
    first = Clock({}, boot_id="a", boottime=watch)
    first.heard_utc(UTC, 0.0)
    watch.t += 30 * 86400
    start = first.now().stamp
    boots = {"1": first.mark_boot_alive().to_record()}
    watch.t = 120.0
    second = Clock(boots, boot_id="b", boottime=watch)
    stop = second.now().stamp
    boots["2"] = second.boot.to_record()
    watch.t = 20.0
    third = Clock(boots, boot_id="c", boottime=watch)
    third.heard_utc(UTC + 31 * 86400, 0.0)
    assert third.utc_s(start) == UTC + 30 * 86400
    assert third.utc_s(start) < third.utc_s(stop) <= UTC + 31 * 86400


def test_time_goes_on_through_two_boots_that_never_learn_it():
    watch = Watch(10.0)
    boots: dict = {}
    stamps = []
    for name in "abc":
        watch.t = 10.0
        clock = Clock(boots, boot_id=name, boottime=watch)
        if name == "a":
            clock.heard_utc(UTC, 0.0)
        watch.t += 86400
        stamps.append(clock.now().stamp)
        boots[str(clock.boot.number)] = clock.mark_boot_alive().to_record()
    said = [clock.utc_s(s) for s in stamps]
    assert said == sorted(said)
    assert said[2] >= UTC + 2 * 86400


def test_three_answers_must_agree_with_each_other():
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(UTC, 0.0)
    for odd in (3600, -7200, 86400, 5, 900):
        clock.heard_utc(UTC + odd, 0.0)
    assert clock.now().utc_s == UTC
    for jitter in (0.0, 1.0, 0.5):
        clock.heard_utc(UTC + 7000 + jitter, 0.0)
    assert abs(clock.now().utc_s - UTC - 7000) <= 1.0


def test_a_time_beyond_this_programs_life_is_refused():
    clock = Clock({}, boot_id="a", boottime=Watch())
    for utc_s in (253_402_300_799.0, BUILT_UTC_S + 21 * 366 * 86400, float("nan"), float("inf")):
        clock.heard_utc(utc_s, 0.1)
        assert clock.now().utc_s is None
    clock.heard_utc(BUILT_UTC_S + 15 * 366 * 86400, 0.0)
    assert clock.now().utc_s is not None


@pytest.mark.parametrize("offset", [253_402_300_000.0, float("nan"), float("inf"), -1e300, "yesterday", True, [1]])
def test_a_stored_offset_that_cannot_be_is_ignored(offset):
    clock = Clock({"1": {"id": "ax1", "offset_s": offset, "last_utc_s": offset}}, boot_id="a", boottime=Watch())
    assert clock.now().utc_s is None
    assert clock.boot.number == 1
    clock.heard_utc(UTC, 0.0)
    assert clock.utc_s(Stamp(1, 100.0)) == UTC


def test_an_unreadable_boot_is_named_and_its_number_never_used_again():
    boots = {"x": {"id": "b"}, "1": {"id": "ax1", "offset_s": UTC, "last_utc_s": UTC}, "2": {"offset_s": 5.0}, "3": 7}
    clock = Clock(boots, boot_id="c", boottime=Watch(), above=8)
    assert set(clock.unreadable) == {"x", "2", "3"}
    assert clock.boot.number == 9
    assert clock.utc_s(Stamp(2, 50.0)) == UTC + 50.0


def test_a_preliminary_time_gives_way_to_the_first_backend_at_once():
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(UTC + 3600, 0.0, is_preliminary=True)
    assert clock.now().utc_s == UTC + 3600
    clock.heard_utc(UTC + 7200, 0.0, is_preliminary=True)
    assert clock.now().utc_s == UTC + 3600, "better than nothing, no better than another one"
    clock.heard_utc(UTC, 0.0)
    assert clock.now().utc_s == UTC
    for _ in range(5):
        clock.heard_utc(UTC + 3600, 0.0, is_preliminary=True)
    clock.heard_utc(UTC + 60, 0.0)
    assert clock.now().utc_s == UTC, "from now on three answers"


def test_a_preliminary_time_that_the_first_backend_confirms_stays():
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(UTC, 0.0, is_preliminary=True)
    clock.heard_utc(UTC + 1.0, 0.0)
    clock.heard_utc(UTC + 60.0, 0.0)
    assert clock.now().utc_s == UTC


def test_a_preliminary_time_gives_way_to_a_first_backend_that_answers_slowly():
    """As over GPRS: half of the round trip is the most that its time is off."""
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(UTC + 3600, 0.0, is_preliminary=True)
    clock.heard_utc(UTC, 8.0)
    assert clock.now().utc_s == UTC + 4.0


def test_a_preliminary_time_outlives_the_agent_as_such():
    stored = {}
    clock = Clock({}, boot_id="a", boottime=Watch(), changed=lambda boot: stored.update({"1": boot.to_record()}))
    clock.heard_utc(UTC + 3600, 0.0, is_preliminary=True)
    for record in (stored["1"], clock.mark_boot_alive().to_record()):
        again = Clock({"1": record}, boot_id="a", boottime=Watch())
        again.heard_utc(UTC, 0.0)
        assert again.now().utc_s == UTC
        assert "is_preliminary" not in again.boot.to_record()


def test_an_answer_that_came_much_too_late_says_no_time():
    clock = Clock({}, boot_id="a", boottime=Watch())
    clock.heard_utc(UTC, 121.0, is_preliminary=True)
    assert clock.now().utc_s is None
    clock.heard_utc(UTC, 120.0, is_preliminary=True)
    assert clock.now().utc_s == UTC + 60.0
