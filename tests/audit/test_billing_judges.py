"""Faults of transactions, written by hand in OCPP 1.6 and 2.0.1: each is found, with what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.audit.verdicts import AuditVerdict
from tests.support.audit_script import AuditScript, Station16, Station201


def lost_stop() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.status(1, "Available")
    return s


def lost_stop_before_another_start() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.start()
    s.stop()
    return s


def lost_end_of_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    s.charge(300)
    s.status(1, "Available")
    return s


def doubled_stop() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.stop()
    s.station("StopTransaction", s.frames[-6].payload)
    return s


def two_different_stops() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.stop()
    s.reconnect()
    s.wh += 80
    s.stop()
    return s


def doubled_end_of_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    s.charge(300)
    s.stop()
    s.station("TransactionEvent", s.frames[-4].payload)
    return s


def doubled_start() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    start = next(f for f in s.frames if f.action == "StartTransaction")
    s.station("StartTransaction", start.payload, {"transactionId": 999})
    s.charge(300)
    s.stop()
    return s


def stop_before_start() -> AuditScript:
    s = Station16()
    s.boot()
    s.number = 102
    s.station("StopTransaction", s.stop_payload())
    s.number = 101
    s.start()
    return s


def stop_without_id() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.number = -1
    s.station("StopTransaction", s.stop_payload())
    return s


def stop_of_nothing() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.number = 4711
    s.station("StopTransaction", s.stop_payload())
    return s


def end_of_201_without_begin() -> AuditScript:
    s = Station201()
    s.boot()
    s.transaction = "unknown"
    s.stop()
    return s


def lost_message_of_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.start()
    s.charge(120)
    s.seq_no += 1
    s.stop()
    return s


def wrong_reason_after_remote_stop() -> AuditScript:
    s = Station16()
    s.boot()
    number = s.start()
    s.charge(300)
    s.backend("RemoteStopTransaction", {"transactionId": number})
    s.stop(reason="Other")
    return s


def wrong_reason_after_reset() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    s.backend("Reset", {"type": "Soft"})
    s.stop(reason="Local")
    return s


def wrong_reason_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    number = s.start()
    s.charge(300)
    s.backend("RequestStopTransaction", {"transactionId": number})
    s.stop(reason="Other")
    return s


def offline_transaction_lost() -> AuditScript:
    s = Station16()
    s.boot()
    s.session()
    s.wh += 800
    s.session()
    return s


def offline_transaction_lost_in_201() -> AuditScript:
    s = Station201()
    s.boot()
    s.session()
    s.wh += 800
    s.session()
    return s


def end_before_begin() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.clock_s -= 3600
    s.stop()
    return s


def reading_of_another_day() -> AuditScript:
    s = Station16()
    s.boot()
    s.start()
    s.charge(120)
    s.clock_s -= 90_000
    s.sample()
    s.clock_s += 90_000
    s.charge(60)
    s.stop()
    return s


FAULTS: tuple[tuple[str, Callable[[], AuditScript], str, str], ...] = (
    ("every_start_has_stop", lost_stop, "transaction 101 of outlet 1 was never ended, although outlet 1 is available",
     "lost end"),
    ("every_start_has_stop", lost_stop_before_another_start, "outlet 1 has begun another one", "lost end"),
    ("every_start_has_stop", lost_end_of_201, "transaction tx-1 of outlet 1 was never ended", "lost end"),
    ("stop_sent_once", doubled_stop, "the end of transaction 101 came again, after it was answered", "queue"),
    ("stop_sent_once", two_different_stops, "came again, and says something else", "queue"),
    ("stop_sent_once", doubled_end_of_201, "the end of transaction tx-1 came again", "queue"),
    ("start_sent_once", doubled_start, "the start of transaction came again", "queue"),
    ("start_before_stop", stop_before_start, "its end came before its start", "in order"),
    ("start_before_stop", stop_without_id, "its end came with the id -1", "in order"),
    ("start_before_stop", stop_of_nothing, "its end came, but the station never started it", "in order"),
    ("start_before_stop", end_of_201_without_begin, "its end came, but the station never started it", "in order"),
    ("message_numbers", lost_message_of_201, "the message with number 4 never came", "queue"),
    ("stop_reasons", wrong_reason_after_remote_stop, "the reason Other, expected Remote", "words of OCPP"),
    ("stop_reasons", wrong_reason_after_reset, "the reason Local, expected SoftReset", "words of OCPP"),
    ("stop_reasons", wrong_reason_in_201, "the reason Other, expected Remote", "words of OCPP"),
    ("energy_without_transaction", offline_transaction_lost, "begins 800 Wh above the end of", "never sent"),
    ("energy_without_transaction", offline_transaction_lost_in_201, "begins 800 Wh above", "never sent"),
    ("transaction_times", end_before_begin, "s before it began", "one clock"),
    ("transaction_times", reading_of_another_day, "has a reading of a time at which it did not run", "one clock"),
)  # fmt: skip


@pytest.mark.parametrize(("judge", "station", "says", "advice"), FAULTS, ids=[f[1].__name__ for f in FAULTS])
def test_a_fault_is_found(judge: str, station: Callable[[], AuditScript], says: str, advice: str) -> None:
    result = station().judge(judge)
    assert result.verdict is AuditVerdict.FAIL
    assert says in result.says
    assert advice in result.advice
    assert result.advice_to == "subcontractor"
    assert result.evidence, "the frames that show it"


def test_a_transaction_that_still_runs_is_not_blamed() -> None:
    s = Station16()
    s.boot()
    s.start()
    s.charge(300)
    assert s.judge("every_start_has_stop").verdict is AuditVerdict.PARTIAL


def test_a_transaction_that_began_before_the_audit_is_not_blamed() -> None:
    s = Station16()
    s.status(1, "Charging")
    s.stop()
    assert s.judge("start_before_stop").verdict is AuditVerdict.PARTIAL


def test_a_start_whose_answer_was_lost_is_one_transaction() -> None:
    s = Station16()
    s.boot()
    s.status(1, "Preparing")
    payload = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": 5000, "timestamp": s.stamp()}
    s.unanswered("StartTransaction", payload)
    s.reconnect()
    s.number = 101
    s.station("StartTransaction", payload, {"transactionId": 101})
    s.charge(120)
    s.stop()
    assert s.judge("every_start_has_stop").verdict is AuditVerdict.PASS
    assert s.judge("start_sent_once").verdict is AuditVerdict.PASS


@pytest.mark.parametrize("reason", ["HardReset", "Reboot", "PowerLoss"])
def test_after_a_hard_reset_some_reasons_are_right(reason: str) -> None:
    s = Station16()
    s.boot()
    s.start()
    s.charge(120)
    s.backend("Reset", {"type": "Hard"})
    s.stop(reason=reason)
    assert s.judge("stop_reasons").verdict is AuditVerdict.PASS
