"""A bank holds more for the card of a running session before what it holds is used up (OCPP 2.1 C23): in time, never
above what the driver has seen, and never captured before it is known and on disk (decisions 21 and 61)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    FaultRaised,
    LimitReceived,
    MeterRead,
    RequestReceived,
    TransactionAcknowledged,
    VehicleConnected,
)
from agent.domain.messages import StopReason, TransactionUpdated, TriggerReason
from agent.domain.orders import Persist, Response, Send, SetRelease
from agent.domain.payment import PayState
from agent.domain.requests import SetVariablesRequest
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import (
    BankCardRead,
    CancelPayment,
    CommitPayment,
    PaymentApproved,
    PaymentCancelled,
    PaymentRaised,
    PaymentSettled,
    RaisePayment,
    TerminalLost,
    TerminalOpened,
)
from agent.domain.timers import Timer, TimerKind
from agent.model.bank_card import Settlement, TerminalIdentity
from agent.model.types import AuthorizationStatus, Fault, ScreenName, TransactionLimit, Verdict
from tests.domain.playbook import LINK, Playbook, wh
from tests.domain.test_plays_payment import CARD, OPENED, EvseAt, charge, offer, paid, record, till, unplugged
from tests.support.reading_purposes import LIVE

HELD, STEP, MOST = 5000, 2000, 8000
BY_AMOUNT = {"payment_increment_threshold": "5"}
REPORTED: dict[str, Any] = {"limits_transactions": True, "settlement_links": (LINK,)}


def raising(settings: dict[str, Any] | None = None, **options: Any) -> Playbook:
    """A terminal that can raise; 0.50 for a kWh, 50.00 held, 20.00 more up to 80.00."""
    wanted = {**BY_AMOUNT, **(settings or {})}
    return till(settings=wanted, raise_cents=STEP, most_cents=MOST, **{**REPORTED, **options})


def raises(play: Playbook) -> list[RaisePayment]:
    return [o for o in play.log if isinstance(o, RaisePayment)]


def limits(play: Playbook) -> list[TransactionLimit | None]:
    sent = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, TransactionUpdated)]
    return [m.limit for m in sent if m.trigger is TriggerReason.LIMIT_SET]


def drawn(play: Playbook, kwh: float) -> Playbook:
    """The register has grown by so much since the begin."""
    play.t_s += 20.0
    play.feed(MeterRead(1, LIVE, wh(1000 + round(kwh * 1000))))
    return play.skip()


def asked(play: Playbook, kwh: float = 91.0) -> tuple[Playbook, str]:
    """45.50 are due of 50.00: the bank was asked for 70.00."""
    payment = paid(play)
    drawn(play, kwh)
    return play, payment


def test_the_hold_is_raised_before_it_is_used_up() -> None:
    """C23.FR.01: when the cost exceeds what is held less the threshold."""
    play = raising()
    payment = paid(play)
    drawn(play, 90.0)
    assert raises(play) == [], "45.00 are due: not more than 50.00 less 5.00"
    drawn(play, 90.1)
    assert raises(play) == [RaisePayment(0, payment, 7, HELD + STEP)]
    drawn(play, 91.0)
    assert len(raises(play)) == 1, "one is under way"


def test_the_new_limit_is_reported_once_it_is_on_disk() -> None:
    """C23.FR.02."""
    play, payment = asked(raising())
    play.feed(PaymentRaised(0, payment, HELD + STEP))
    assert record(play, payment)["held_cents"] == HELD + STEP
    assert limits(play) == [TransactionLimit(cost_cents=HELD + STEP)]
    wrote = [n for n, o in enumerate(play.log) if isinstance(o, Persist) and o.key == payment]
    sent = [n for n, o in enumerate(play.log) if isinstance(o, Send) and getattr(o.message, "limit", None)]
    assert max(n for n in wrote if n < sent[0]) > play.log.index(raises(play)[0])
    play.skip()
    drawn(play, 110.0)
    assert play.session().stop is None, "55.00 are due, which the first hold would not have paid"
    unplugged(play, 121_000)
    assert CommitPayment(0, payment, 7, 6000) in play.log


def test_no_more_is_held_than_the_driver_has_seen() -> None:
    play, payment = asked(raising())
    play.feed(PaymentRaised(0, payment, 7000))
    play.skip()
    assert play.screens[1].values["cost_micro"] == 45_500_000
    drawn(play, 131.0)
    assert [o.total_cents for o in raises(play)] == [7000, MOST]
    play.feed(PaymentRaised(0, payment, MOST))
    drawn(play.skip(), 158.0)
    assert len(raises(play)) == 2
    drawn(play, 160.0)
    stop = play.session().stop
    assert stop is not None
    assert (stop.reason, stop.trigger) == (StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.COST_LIMIT)


@pytest.mark.parametrize("threshold", ["", "0.00", "0.10"])
def test_at_the_latest_the_time_decides(threshold: str) -> None:
    play = raising({"payment_increment_threshold": threshold})
    paid(play)
    drawn(play, 90.0)
    assert raises(play) == [], "10 kWh are left: at 22 kW half an hour"
    drawn(play, 99.0)
    assert len(raises(play)) == 1, "1 kWh is left: less than three minutes"


@pytest.mark.parametrize(("held_cents", "captured"), [(None, 4990), (HELD, 4990), (6000, 5990), (4800, 4800)], ids=str)
def test_who_refuses_or_gives_less_is_not_asked_again(held_cents: int | None, captured: int) -> None:
    """A refused card is not tried again and again. What the bank holds now is the ceiling."""
    play, payment = asked(raising(reserve_s=0.0))
    play.feed(PaymentRaised(0, payment, held_cents))
    play.skip()
    assert len(raises(play)) == 1
    stored = record(play, payment)
    assert (stored["raise_refused"], "raising_cents" in stored) == (True, False)
    drawn(play, captured / 50)
    unplugged(play, 1000 + captured * 20)
    assert len(raises(play)) == 1
    assert CommitPayment(0, payment, 7, captured) in play.log


def test_an_answer_that_did_not_come_counts_as_nothing_held() -> None:
    """It may have happened: it is asked for the same total again, which does no harm, and not for ever."""
    play, payment = asked(raising())
    play.feed(PaymentRaised(0, payment, answered=False))
    play.skip()
    assert (record(play, payment)["held_cents"], record(play, payment)["raising_cents"]) == (HELD, 7000)
    drawn(play, 91.5)
    assert len(raises(play)) == 1
    for n in range(2, 4):
        play.t_s += 61.0
        drawn(play, 91.0 + n / 10)
        assert [o.total_cents for o in raises(play)] == [7000] * n
        play.feed(PaymentRaised(0, payment, answered=False))
        play.skip()
    play.t_s += 61.0
    drawn(play, 92.0)
    assert len(raises(play)) == 3
    assert limits(play) == []
    unplugged(play, 95_000)
    assert CommitPayment(0, payment, 7, 4700) in play.log


def test_a_late_second_answer_is_the_one_that_counts() -> None:
    play, payment = asked(raising())
    play.feed(PaymentRaised(0, payment, answered=False))
    play.skip().t_s += 61.0
    drawn(play, 92.0)
    play.feed(PaymentRaised(0, payment, 7000))
    assert limits(play) == [TransactionLimit(cost_cents=7000)]
    assert record(play, payment)["held_cents"] == 7000
    play.skip().feed(PaymentRaised(0, payment, 9999))
    assert record(play, payment)["held_cents"] == 7000, "an answer to nothing"


@pytest.mark.parametrize("answered", [False, True], ids=["before the answer is on disk", "after"])
def test_a_process_that_dies_at_a_raise_captures_no_more_than_is_held(answered: bool) -> None:
    """Killed between the raise and its record, then the session ends: the first hold pays, whatever the bank holds."""
    play, payment = asked(raising())
    assert record(play, payment)["raising_cents"] == 7000, "on disk before the terminal is asked"
    if answered:
        play.feed(PaymentRaised(0, payment, 7000))
    play.skip().restart(20, state=EvseAt(play)).skip()
    play.feed(OPENED)
    play.skip()
    drawn(play, 91.5)
    asked_again = [o.total_cents for o in raises(play)[1:]]
    assert asked_again == ([] if answered else [7000]), "the same total"
    unplugged(play, 1000 + 105_000)
    cents = 5250 if answered else 5000
    assert CommitPayment(0, payment, 7, cents) in play.log
    assert record(play, payment)["owed_cents"] == 5250
    play.skip().feed(PaymentRaised(0, payment, 7000))
    assert record(play, payment)["cents"] == cents, "decided once"
    play.skip().feed(PaymentSettled(0, payment, Settlement.DONE))
    assert record(play, payment)["state"] == PayState.COMMITTED


def test_a_terminal_that_is_away_is_not_asked() -> None:
    play = raising()
    payment = paid(play)
    play.feed(TerminalLost(0))
    drawn(play.skip(), 91.0)
    assert raises(play) == []
    play.feed(TerminalOpened(0, TerminalIdentity("Fake", "T1")))
    drawn(play.skip(), 92.0)
    assert raises(play) == [RaisePayment(0, payment, 7, 7000)]


def test_another_terminal_is_not_asked() -> None:
    play = raising()
    play.feed(TerminalOpened(0, TerminalIdentity("Fake", "T1", "1")))
    play.skip()
    payment = paid(play)
    play.feed(TerminalOpened(0, TerminalIdentity("Fake", "T1", "2")))
    drawn(play.skip(), 91.0)
    assert raises(play) == []
    assert record(play, payment)["raise_refused"]


def test_a_limit_of_the_backend_is_not_exceeded() -> None:
    """E16.FR.04: a hold above what the transaction may cost is of no use."""
    play = raising()
    payment = paid(play)
    play.feed(LimitReceived(LINK, play.session().id, TransactionLimit(cost_cents=6000)))
    assert limits(play.skip()) == [TransactionLimit(cost_cents=HELD)], "more is not held yet"
    drawn(play, 91.0)
    assert [o.total_cents for o in raises(play)] == [6000]
    play.feed(PaymentRaised(0, payment, 6000))
    assert limits(play.skip())[-1] == TransactionLimit(cost_cents=6000)
    drawn(play, 111.0)
    assert len(raises(play)) == 1


def test_a_paused_session_goes_on() -> None:
    """At the ceiling it was suspended; the answer of the bank came late."""
    play, payment = asked(raising({"payment_at_ceiling": "suspend"}), kwh=99.95)
    assert play.session().held
    play.feed(PaymentRaised(0, payment, 7000))
    play.skip()
    assert not play.session().held


def test_a_raised_hold_frees_no_session_that_is_paused_for_another_reason() -> None:
    play, payment = asked(raising({"payment_at_ceiling": "suspend"}))
    play.feed(LimitReceived(LINK, play.session().id, TransactionLimit(energy_wh=91_000)))
    assert play.skip().session().held
    play.feed(PaymentRaised(0, payment, 7000))
    play.skip()
    assert play.session().held


SUSPENDING = {"payment_at_ceiling": "suspend"}


def released(play: Playbook) -> bool:
    return [o.on for o in play.log if isinstance(o, SetRelease)][-1]


@pytest.mark.parametrize("limit", [TransactionLimit(energy_wh=91_000), TransactionLimit(time_s=1)], ids=str)
def test_a_limit_that_is_reached_at_the_ceiling_goes_on_withholding(limit: TransactionLimit) -> None:
    """The ceiling withheld first. Energy flows when neither withholds it, whichever ends last."""
    play, payment = asked(raising(SUSPENDING), kwh=99.95)
    session = play.session().id
    play.feed(LimitReceived(LINK, session, limit))
    play.skip().feed(PaymentRaised(0, payment, 7000))
    assert (play.skip().session().held, released(play)) == (True, False)
    play.feed(LimitReceived(LINK, session, TransactionLimit(energy_wh=150_000, time_s=10**6)))
    assert (play.skip().session().held, released(play)) == (False, True)


def test_a_limit_that_is_raised_does_not_pass_the_ceiling() -> None:
    play, payment = asked(raising(SUSPENDING))
    session = play.session().id
    play.feed(LimitReceived(LINK, session, TransactionLimit(energy_wh=91_000)))
    drawn(play.skip(), 99.95)
    before = len(play.log)
    play.feed(LimitReceived(LINK, session, TransactionLimit(energy_wh=150_000)))
    play.skip()
    assert play.session().held
    assert not [o for o in play.log[before:] if isinstance(o, SetRelease)]
    play.feed(PaymentRaised(0, payment, 7000))
    assert (play.skip().session().held, released(play)) == (False, True)


@pytest.mark.parametrize("is_ceiling_first", [True, False])
@pytest.mark.parametrize("more_wh", [0, 500])
def test_a_raised_hold_gives_a_refused_token_no_more_than_it_may_have(is_ceiling_first: bool, more_wh: int) -> None:
    """MaxEnergyOnInvalidId counts, whether the ceiling or the verdict of the start came first."""
    tolerant = {"stop_on_invalid_id": False, "max_energy_on_invalid_wh": more_wh, "payment_heed_start_verdict": "all"}
    play, payment = asked(raising({**SUSPENDING, **tolerant}), kwh=99.95 if is_ceiling_first else 91.0)
    refused = TransactionAcknowledged(LINK, play.session().id, None, Verdict(AuthorizationStatus.BLOCKED))
    play.feed(refused)
    drawn(play.skip(), 99.95)
    play.feed(PaymentRaised(0, payment, 7000))
    play.skip()
    assert play.session().held is (more_wh == 0 or not is_ceiling_first)
    drawn(play, 100.45)
    assert (play.session().held, released(play)) == (True, False)


def test_who_withholds_energy_outlives_the_agent() -> None:
    play, _ = asked(raising(SUSPENDING), kwh=99.95)
    play.feed(LimitReceived(LINK, play.session().id, TransactionLimit(energy_wh=91_000)))
    play.skip().restart(20, state=EvseAt(play)).skip()
    assert play.session().withheld_by == {"ceiling", "limit"}


# --- while no register is read ----------------------------------------------------------------------------------------


def unread(fault: Fault) -> tuple[Playbook, str, int]:
    """Asked for more; the meter is not read any more, and the time alone has reached the ceiling: it is suspended."""
    play, payment = asked(raising(SUSPENDING), kwh=99.7)
    play.skip() >> FaultRaised(1, fault)
    while not play.session().held:
        play.skip().wait(1.0)
    return play.skip(), payment, len(play.log)


@pytest.mark.parametrize("fault", [Fault.METER_SILENT, Fault.METER_IMPLAUSIBLE])
def test_a_raised_hold_gives_no_energy_while_no_register_is_read(fault: Fault) -> None:
    """What was drawn since the last reading is not known, so it is not known what is left of the hold."""
    play, payment, before = unread(fault)
    play.feed(PaymentRaised(0, payment, 7000))
    assert (play.skip().session().held, play.session().withheld_by) == (True, {"ceiling"})
    assert not [o for o in play.log[before:] if isinstance(o, SetRelease) and o.on]
    play.feed(MeterRead(1, LIVE, wh(1000 + 100_000)))
    assert (play.skip().session().held, released(play)) == (False, True)


def test_a_register_that_has_passed_the_raised_hold_gives_no_energy() -> None:
    """The meter has counted on while it was silent. Release is not given for a moment and withdrawn again."""
    play, payment, before = unread(Fault.METER_SILENT)
    play.feed(PaymentRaised(0, payment, 5100))
    play.skip().feed(MeterRead(1, LIVE, wh(1000 + 101_990)))
    assert play.skip().session().held
    assert not [o for o in play.log[before:] if isinstance(o, SetRelease) and o.on]


def test_the_time_without_a_reading_counts_for_the_raised_ceiling() -> None:
    """A session that was not suspended goes on. Its ceiling is not as far from the answer of the bank as from the last
    reading."""
    play, payment = asked(raising(SUSPENDING))
    ceiling = Timer(TimerKind.PAYMENT_CEILING, 1)
    play.skip() >> FaultRaised(1, Fault.METER_SILENT)
    play.skip().wait(30.0)
    last_reading_s = play.t_s - 30.0
    play.feed(PaymentRaised(0, payment, 7000))
    left_s = play.timers[ceiling] - last_reading_s
    reference, other = asked(raising(SUSPENDING))
    asked_s = reference.t_s
    reference.feed(PaymentRaised(0, other, 7000))
    assert left_s == pytest.approx(reference.timers[ceiling] - asked_s)


@pytest.mark.parametrize("more_wh", [100_000, 139_990])
def test_a_raise_that_a_restart_has_interrupted_gives_energy_by_the_next_reading(more_wh: int) -> None:
    """The answer of the bank is on disk, and the meter was silent until the agent went away."""
    play, payment, _ = unread(Fault.METER_SILENT)
    play.feed(PaymentRaised(0, payment, 7000))
    play.skip().restart(5, state=EvseAt(play))
    assert (play.skip().session().withheld_by, released(play)) == ({"ceiling"}, False)
    play.feed(MeterRead(1, LIVE, wh(1000 + more_wh)))
    is_left = more_wh < 139_000
    assert (play.skip().session().held, released(play)) == (not is_left, is_left)


def test_a_raise_after_a_restart_gives_energy_that_nothing_else_withholds() -> None:
    """The bank was asked and the agent killed; while it recovers, nothing is given."""
    play, payment = asked(raising(SUSPENDING), kwh=99.95)
    there = EvseAt(play)
    play.skip().restart(20)
    before = len(play.log)
    play.feed(PaymentRaised(0, payment, 7000))  # the answer to the question of the process before
    assert play.skip().session().held
    play.feed(BoardOpened(1, there, play.traits))
    play.skip().feed(OPENED)
    drawn(play.skip(), 99.95)
    assert not [o for o in play.log[before:] if isinstance(o, SetRelease) and o.on]
    play.feed(PaymentRaised(0, payment, 7000))
    assert (play.skip().session().held, released(play)) == (False, True)


def test_the_cost_that_is_shown_is_that_of_the_raised_hold() -> None:
    """What the transaction reports is what is captured, although no reading has come since."""
    play, payment = asked(raising(SUSPENDING, reserve_s=0.0), kwh=110.0)
    assert play.evse().pricing.bill.cents == HELD
    play.feed(PaymentRaised(0, payment, 7000))
    bill = play.skip().evse().pricing.bill
    assert (bill.held_cents, bill.cents) == (7000, 5500)


def test_a_backend_sets_by_how_much_and_switches_it_off() -> None:
    """PaymentCtrlr.IncrementalAuthorizationAmount."""
    play = raising()

    def set_increment(text: str) -> str:
        orders = play.feed(RequestReceived(LINK, "r", SetVariablesRequest({"payment_increment": text})))
        [answer] = [o for o in orders if isinstance(o, Response)]
        play.skip()
        return str(answer.data["payment_increment"])

    assert set_increment("80.01") == "Rejected"
    assert set_increment("10") == "Accepted"
    _, payment = asked(play)
    assert [o.total_cents for o in raises(play)] == [6000]
    play.feed(PaymentRaised(0, payment, 6000))
    play.skip()
    assert set_increment("0") == "Accepted"
    drawn(play, 111.0)
    assert len(raises(play)) == 1
    assert "hold_most_micro" not in play.screens[1].values


def test_the_screen_says_up_to_how_much_before_a_card_is_read() -> None:
    play = raising()
    assert (play.screens[1].values["hold_micro"], play.screens[1].values["hold_most_micro"]) == (50_000_000, 80_000_000)
    before = offer(play)
    play.feed(RequestReceived(LINK, "r", SetVariablesRequest({"payment_increment": "0"})))
    assert "hold_most_micro" not in play.screens[1].values
    assert CancelPayment(0, before) in play.log, "an offer with another promise is taken back"
    play.feed(PaymentCancelled(0, before))
    play.skip()
    asked(play)
    assert raises(play) == []


def test_the_screen_says_up_to_how_much_while_the_bank_is_asked() -> None:
    """Of the outlet that is paid, which its card has brought to the front; before the grant (decision 61)."""
    play = raising(evses=2)
    payment = offer(play)
    for event in (CablePlugged(2), VehicleConnected(2), BankCardRead(0, payment, CARD)):
        play.feed(event)
    screen = play.screens[2]
    assert screen.name is ScreenName.CHECKING
    amounts = {n: screen.values.get(n) for n in ("hold_micro", "hold_most_micro", "tariff_currency")}
    assert amounts == {"hold_micro": HELD * 10**4, "hold_most_micro": MOST * 10**4, "tariff_currency": "EUR"}
    play.skip().feed(PaymentApproved(0, payment, 7, HELD))
    assert "hold_most_micro" not in play.screens[2].values


def test_a_station_that_raises_nothing_writes_nothing_of_it() -> None:
    play = till(tariff=Tariff(kwh=Decimal("0.50")))
    payment = paid(play)
    charge(play, 99_000, 100)
    assert raises(play) == []
    assert not {"most_cents", "raising_cents", "raise_refused"} & record(play, payment).keys()
    assert "hold_micro" not in play.screens[1].values
