"""When the register of a running session is stored (decision 54): a loss of power ends it with that one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.domain.events import MeterFailed, MeterRead
from agent.domain.messages import MeterSampled
from agent.domain.orders import Persist, ReadMeter, Send
from agent.domain.reading_purposes import ReadingPurpose
from agent.domain.timers import Timer, TimerKind
from agent.model.board import EvseTraits
from tests.domain.playbook import T0_S, Playbook, charging, kept, sent_message, wh
from tests.support.reading_purposes import LIVE, SAMPLED

INTERVAL_S, LIVE_S, LIVE_LATENCY_S = 300.0, 2.0, 0.1
SNAPSHOT = Timer(TimerKind.REGISTER_SNAPSHOT, 1)


def charging_station(sample_interval_s: int) -> Playbook:
    """A session at a board that counts the seconds since the plug: its register is stored as the setting says."""
    play = Playbook(settings={"sample_interval_s": sample_interval_s}, traits=EvseTraits(counts_plugged=True))
    return charging(play)


def until(play: Playbook, at_s: float) -> Playbook:
    """So many seconds after the start."""
    return play.wait(T0_S + at_s - play.t_s).skip()


def stored_count(play: Playbook) -> int:
    return sum(isinstance(o, Persist) and o.kind == "session" for o in play.log)


def test_a_register_that_is_due_is_stored_with_the_next_reading() -> None:
    """It is new then, and what is stored after it may wait as long."""
    play = charging_station(0)
    count = stored_count(play)
    until(play, INTERVAL_S - 0.1) >> MeterRead(1, LIVE, wh(1001))
    assert stored_count(until(play, INTERVAL_S + 0.5)) == count
    assert play >> MeterRead(1, LIVE, wh(1002)) << kept("session", last_wh=1002)
    assert play.timers[SNAPSHOT] == play.t_s + INTERVAL_S


def test_without_a_reading_the_register_is_stored_all_the_same() -> None:
    play = charging_station(0)
    count = stored_count(play)
    until(play, INTERVAL_S - 0.1) >> MeterRead(1, LIVE, wh(1001))
    assert stored_count(until(play, INTERVAL_S + LIVE_S - 0.1)) == count
    assert stored_count(until(play, INTERVAL_S + LIVE_S + 0.1)) == count + 1
    assert play.store["session"]["s1"]["last_wh"] == 1001


@pytest.mark.parametrize("fails", [True, False])
def test_a_register_that_is_due_waits_for_the_sample_that_is_being_read(fails: bool) -> None:
    """Both are one commit. It waits no longer than for a reading of the screen."""
    play = charging_station(int(INTERVAL_S))
    count = stored_count(play)
    until(play, INTERVAL_S + 0.1) >> MeterRead(1, LIVE, wh(1001))
    assert stored_count(play) == count
    if fails:
        until((play >> MeterFailed(1, SAMPLED)).skip(), INTERVAL_S + LIVE_S + 0.1)
        assert stored_count(play) == count + 1
    else:
        assert play >> MeterRead(1, SAMPLED, wh(1002)) << sent_message(MeterSampled) << kept("session", last_wh=1002)
        assert stored_count(play) == count + 1


def test_a_register_that_is_due_soon_goes_with_a_sample() -> None:
    play = charging_station(900)
    until(play, 200)
    assert play >> MeterRead(1, SAMPLED, wh(1001)) << sent_message(MeterSampled) << kept("session", last_wh=1001)
    assert play.timers[SNAPSHOT] == play.t_s + INTERVAL_S


def test_a_register_that_is_new_is_not_stored_with_a_sample() -> None:
    play = charging_station(900)
    assert play >> MeterRead(1, SAMPLED, wh(1001)) << sent_message(MeterSampled)
    until(play, 100)
    assert play >> MeterRead(1, SAMPLED, wh(1002)) << sent_message(MeterSampled)


def test_a_sample_that_is_not_sent_stores_nothing() -> None:
    play = until(charging_station(900), 200)
    count = stored_count(play)
    play.site.settings.put_value("sampled_measurands", ())
    assert play >> MeterRead(1, SAMPLED, wh(1903))
    assert stored_count(play) == count


def readings_of(play: Playbook, seconds: int, latency_s: float | None) -> Iterator[None]:
    """Answer the live readings of this time soon, and the samples after ``latency_s``, never where it is None."""
    answers: list[tuple[float, ReadingPurpose]] = []
    began_s, seen = play.t_s, len(play.log)
    while play.t_s < began_s + seconds:
        answers += [
            (play.t_s + (LIVE_LATENCY_S if o.purpose == LIVE else latency_s or INTERVAL_S), o.purpose)
            for o in play.log[seen:]
            if isinstance(o, ReadMeter) and (o.purpose == LIVE or latency_s is not None)
        ]
        answers.sort(key=lambda answer: answer[0])
        seen = len(play.log)
        next_s = min([*play.timers.values(), *(at_s for at_s, _ in answers[:1])])
        play.wait(max(0.0, next_s - play.t_s)).skip()
        yield
        if answers and answers[0][0] <= play.t_s:
            play.feed(MeterRead(1, answers.pop(0)[1], wh(register_at(play))))
            play.skip()


def register_at(play: Playbook) -> int:
    """A tenth of a second is a watt-hour: the register shows when it was read."""
    return 1000 + round((play.t_s - T0_S) * 10)


@pytest.mark.parametrize("sample_interval_s", [0, 60, 240, 300, 900, 1000])
@pytest.mark.parametrize("latency_s", [0.1, 0.7, 1.9, 5.3, None])
def test_the_register_on_disk_is_never_older_than_its_interval_and_a_live_reading(
    sample_interval_s: int, latency_s: float | None
) -> None:
    play = charging_station(sample_interval_s)
    before = stored_count(play)
    for _ in readings_of(play, 3600, latency_s):
        read_s = T0_S + (play.store["session"]["s1"]["last_wh"] - 1000) / 10
        assert play.t_s - read_s <= INTERVAL_S + LIVE_S + 0.11
    assert stored_count(play) - before <= 16


def test_an_hour_with_four_samples_has_eight_registers_in_commits_of_their_own() -> None:
    play = charging_station(900)
    before = len(play.sent_messages), stored_count(play)
    for _ in readings_of(play, 3602, 0.2):
        pass
    assert (len(play.sent_messages) - before[0], stored_count(play) - before[1]) == (4, 12)
    samples = [n for n, o in enumerate(play.log) if isinstance(o, Send) and isinstance(o.message, MeterSampled)]
    assert all(isinstance(play.log[n + 1], Persist) for n in samples), "one of them has a commit of its own"
