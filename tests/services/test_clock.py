"""Stamps and UTC: nothing before its time, nothing in 1970, no steps on hearsay."""

from agent.kinds import Stamp
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
    again = Clock({"1": clock.boot.record()}, boot_id="a", boottime=watch)
    assert again.now() == clock.now()


def test_an_event_of_an_unknown_boot_lies_between_what_is_known():
    watch = Watch()
    first = Clock({}, boot_id="a", boottime=watch)
    first.heard_utc(UTC, 0.0)
    boots = {"1": first.boot.record()}
    second = Clock(boots, boot_id="b", boottime=watch)  # never hears the time
    lost = Stamp(second.boot.number, 50.0)
    boots["2"] = second.boot.record()
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
    other = Clock({"1": clock.boot.record()}, rate=10.0, boot_id="a", boottime=Watch())
    assert other.boot.number == 2
