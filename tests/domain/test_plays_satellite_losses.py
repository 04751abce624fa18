"""One terminal for two stations: what must not be lost when a satellite's word, outlet or price is not the expected one
(decision 73)."""

from __future__ import annotations

from agent.domain.orders import LogNote
from agent.domain.satellite_messages import EndedReport, SatelliteMessageReceived, SupplyReport
from agent.domain.session_usage import Sum, Usage
from agent.domain.terminal_messages import CommitPayment
from agent.model.fastclass import replace
from tests.domain.playbook import Playbook
from tests.domain.shared_terminal import NAME, SharedTerminal


def begin_charging(pair: SharedTerminal) -> str:
    """A session at the satellite that has energy. Returns its payment."""
    pair.plug()
    payment = pair.tap()
    pair.deliver()
    pair.energize()
    assert pair.released()
    return payment


def report_known_usage(pair: SharedTerminal, more_wh: int) -> None:
    """Energy flows, and a minute later the master has stored it."""
    pair.draw(more_wh)
    pair.wait(61)
    pair.draw(0)
    pair.deliver()


def captures(pair: SharedTerminal) -> list[CommitPayment]:
    return [o for o in pair.master.log if isinstance(o, CommitPayment)]


def log_lines(play: Playbook) -> list[str]:
    return [o.text for o in play.log if isinstance(o, LogNote)]


def test_a_final_usage_below_the_known_one_is_not_taken() -> None:
    pair = SharedTerminal()
    payment = begin_charging(pair)
    report_known_usage(pair, 10_000)
    known = Usage.from_record(pair.payment(payment)["usage"])
    session = pair.payment(payment)["session"]
    lower = replace(known, wh=1000, sums=(Sum(),))
    pair.feed_master(SatelliteMessageReceived(NAME, EndedReport(payment, session, lower, SupplyReport(1000, 1000))))
    assert captures(pair) == [CommitPayment(0, payment, 7, 500)]
    assert pair.payment(payment)["usage"] == known.to_record()
    assert [line for line in log_lines(pair.master) if payment in line and "the last usage is charged" in line]


def test_a_final_register_with_less_energy_than_the_known_one_is_not_taken() -> None:
    pair = SharedTerminal()
    payment = begin_charging(pair)
    report_known_usage(pair, 10_000)
    known = Usage.from_record(pair.payment(payment)["usage"])
    session = pair.payment(payment)["session"]
    less = replace(known, sums=(Sum(),))
    pair.feed_master(SatelliteMessageReceived(NAME, EndedReport(payment, session, less, SupplyReport(1000, 11_000))))
    assert captures(pair) == [CommitPayment(0, payment, 7, 500)]
