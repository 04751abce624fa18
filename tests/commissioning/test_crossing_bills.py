"""One book for both versions of OCPP: a session that crosses from one to the other is one bill."""

from __future__ import annotations

import io

import pytest

from agent.csms.station_records import Ledger, TransactionId

T0, T1, T2 = (f"2026-11-25T10:0{n}:00Z" for n in range(3))
NAME = "5d2f0a4e-1"


def begun(ledger: Ledger, message: str, given: str | None = None, at: str = T0) -> TransactionId:
    return ledger.record_start("CP-1", message, 1, "04A1B2C3", 100, at, given)


@pytest.mark.parametrize("given", [(None, NAME), (NAME, None)])
@pytest.mark.parametrize("ended", [0, 1])
def test_it_is_reported_in_both_and_ended_in_one(given: tuple[str | None, str | None], ended: int) -> None:
    journal = io.StringIO()
    ledger = Ledger(journal)
    ids = [begun(ledger, f"m{n}", name) for n, name in enumerate(given)]
    assert [t.transaction_id for t in ledger.running_transactions("CP-1")] == [ids[1]]
    ledger.record_stop("CP-1", ids[ended], 900, T1)
    ledger.record_start("CP-1", "the next one", 1, "04A1B2C3", 900, T2)
    again = Ledger()
    again.restore_journal(journal.getvalue().splitlines())
    for book in (ledger, again):
        bills = {t.transaction_id: t.energy_wh for t in book.transactions.values() if t.stopped}
        assert bills == {ids[ended]: 800}
        assert book.transactions[ids[1 - ended]].goes_on_as == ids[ended]
        assert [t.started for t in book.running_transactions("CP-1")] == [T2]
    assert ledger.violations == []


def test_two_sessions_of_one_version_are_two() -> None:
    ledger = Ledger()
    begun(ledger, "m0", NAME)
    begun(ledger, "m1", "another", T1)
    assert [v.kind for v in ledger.violations] == ["overlap"]


def test_a_start_that_is_reported_again_under_another_id_is_one_transaction() -> None:
    """Also when the station was restarted in between, and its clock was set by a second."""
    ledger = Ledger()
    ids = {ledger.record_start("CP-1", f"message {n}", 1, "04A1B2C3", 100, f"2026-11-25T10:00:0{n}Z") for n in range(3)}
    assert len(ids) == 1
    assert ledger.violations == []
    assert ledger.transactions[ids.pop()].repeats == 2
