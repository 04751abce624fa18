"""The walks of ``test_payment_properties.py`` with a price by the minute and a clock that is set again and again:
no card is charged more than energy and time themselves make of it (decision 26)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.messages import TransactionEnded, TransactionStarted
from agent.domain.payment import PayState
from agent.domain.payment_time import KEEP_S
from agent.domain.tariff import Tariff
from agent.model.bank_card import BankCard
from agent.model.types import Moment
from tests.domain.rig import Config, Rig
from tests.domain.test_payment_properties import (
    CARDS,
    FULL,
    PAY_DEEDS,
    PAY_GONE,
    SEED,
    PayRig,
    PayStreet,
    shape_of,
)
from tests.domain.test_session_properties import PICK
from tests.domain.walks import Deeds, Walks

WALKS, STEPS = (10_000, 90) if FULL else (30, 70)
KWH_CENTS, MINUTE_CENTS = 50, 1
TARIFF = Tariff(kwh=Decimal("0.50"), minute=Decimal("0.01"))


class ClockRig(PayRig):
    """``clock_s``: how far the clock was set ahead; time itself goes on as it does. ``away``: when no agent watched."""

    clock_s, left_s = 0.0, 0.0

    def __init__(self, config: Config) -> None:
        self.away: list[tuple[float, float]] = []
        super().__init__(config)

    def start(self) -> None:
        if self.left_s:
            self.away.append((self.left_s, self.t_s))
        super().start()

    def down(self) -> None:
        super().down()
        self.left_s = self.t_s

    def unwatched_s(self, begin_s: float, end_s: float) -> float:
        """Of this time, without the first minute of each absence."""
        return sum(max(0.0, min(to_s, end_s) - max(from_s, begin_s) - KEEP_S) for from_s, to_s in self.away)

    @property
    def now(self) -> Moment:
        now = super().now
        assert now.utc_s is not None
        return Moment(now.stamp, now.utc_s + self.clock_s)


class ClockStreet(PayStreet):
    rig: ClockRig

    def _rig(self, config: Config) -> Rig:
        config.terms = self._terms_of(config)
        config.offer = AdhocTariff(TARIFF)
        return ClockRig(config)

    def clock(self, by_s: float) -> None:
        self.rig.clock_s += by_s

    def set_meanwhile(self, pick: int, card: BankCard, by_s: float) -> None:
        """While a vehicle charges, between two readings."""
        self.paid(pick, card, "approve")
        for step_s in (by_s, 0.0):
            self.wait(10.0)
            super().answers()
            self.clock(step_s)

    def reprice(self, tariff: Tariff) -> None:
        """These walks are about time."""

    def _check_one(self, key: str, record: dict[str, Any], captured: int | None) -> None:
        owed = record["owed_cents"]
        if owed is None:
            assert captured is None
            return
        sent = [m for _, m in self.rig.sent_messages if getattr(m, "session", None) == record["session"]]
        [begun], ended = [m for m in sent if isinstance(m, TransactionStarted)], sent[-1]
        assert isinstance(ended, TransactionEnded)
        energy_cents = (ended.meter_wh - begun.meter_wh) * KWH_CENTS / 1000
        assert owed >= energy_cents - 1
        if ended.at.boot == begun.at.boot:
            begun_s, ended_s = begun.at.t_s, ended.at.t_s
            watched_s = ended_s - begun_s - self.rig.unwatched_s(begun_s, ended_s)
            assert owed <= energy_cents + watched_s / 60 * MINUTE_CENTS + 1, "minutes without a payer"
        due, given_up = min(owed, record["held_cents"]), "voided by a person" in record["why"]
        if record.get("later_state") == PayState.WRITTEN_OFF:  # perhaps after it was voided by a person
            assert record["cents"] in (None, 0, due)
        else:
            assert record["cents"] in ((0,) if given_up else (None, due))
        assert captured in (None, record["cents"])


STEP_S = (200.0, -200.0, 280.0, 5000.0, -5000.0)
DEEDS: Deeds = {
    **PAY_DEEDS,
    "clock": (6, {"by_s": STEP_S}),
    "set_meanwhile": (8, {"pick": PICK, "card": CARDS, "by_s": STEP_S}),
}
WALK = Walks(ClockStreet, DEEDS, PAY_GONE)


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_minutes_are_charged_by_time_itself(record_property: Callable[[str, object], None]) -> None:
    """As in the walks of payments, and the clock is set at random: no one pays for a minute that has not passed, or
    that was not watched."""
    charged = 0
    for street in WALK.all(SEED, WALKS, STEPS, shape_of):
        charged += sum(1 for r in street.rig.store.get("payment", {}).values() if r["owed_cents"])
    record_property("walks", WALKS)
    record_property("charged", charged)
    assert charged >= 5
