"""What a session costs by the tariff of the station when it ends: the one reckoning behind the bill on the screen, the
amount that is settled, and the cost that is sent to a backend. Time after the stop costs nothing."""

from __future__ import annotations

from agent.domain.local_time import clock_s, passed_s
from agent.domain.messages import TransactionCost
from agent.domain.payment_time import KEEP_S
from agent.domain.session_records import Session
from agent.domain.session_usage import Usage
from agent.domain.tariff import Tariff
from agent.model.types import Moment, Stamp


def usage_after_absence(usage: Usage, session: Session | None, now: Moment) -> Usage:
    """Return the usage that was stored before the agent stopped, as it counts now that it runs again. Time that its
    record does not cover was not observed, however the session ends. ``session``: as it is on disk; None: it is
    lost."""
    stop = session.stop if session is not None else None
    return usage.advance_over_absence(now.stamp if stop is None else stop.at, KEEP_S)


def final_usage(usage: Usage, meter_wh: int, at: Stamp, now: Moment) -> Usage:
    """Return the usage of a session that has ended with this register at that time."""
    return usage.advance_to(clock_s(now) - passed_s(at, now), meter_wh, None, at)


def transaction_cost(tariff: Tariff, usage: Usage, most_cents: int | None) -> TransactionCost:
    """Return what this usage costs, as it is sent to a backend: no more than ``most_cents`` (None: any)."""
    total_cents = tariff.total_cents(usage)
    cents = total_cents if most_cents is None else min(total_cents, most_cents)
    return TransactionCost(
        currency=tariff.currency,
        cents=cents,
        parts=cap_bill_parts(tariff.parts_in_cents(usage), cents),
        vat_percent="" if tariff.vat_percent is None else str(tariff.vat_percent),
        energy_wh=usage.energy_wh,
        charging_s=sum(s.charging_ms for s in usage.sums) // 1000,
        idle_s=sum(s.idle_ms for s in usage.sums) // 1000,
    )


def cap_bill_parts(parts: tuple[tuple[str, int], ...], cents: int) -> tuple[tuple[str, int], ...]:
    """Cap the parts of a bill at ``cents``, because no more was held."""
    over = sum(part for _, part in parts) - cents
    if over <= 0:
        return parts
    before = dict(parts).get("maximum", 0)
    return (*(part for part in parts if part[0] != "maximum"), ("maximum", before - over))
