"""What the parts of a tariff must be to each other, wherever the tariff comes from: the station file, a key of a
backend, a signed tariff file."""

from __future__ import annotations

from agent.domain.tariff import Tariff
from agent.model.currencies import currency_problem

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PER_UNIT = ("kwh", "minute", "occupancy")
"""Prices that may differ by the time of day."""
NAME_MAX = 40
GRACE_MOST_MIN = 1440


def conflicting_parts(tariff: Tariff, where: str) -> list[str]:
    """Return complaints about parts that are right alone but not together; each begins with ``where``."""
    occupied = any(r.occupancy for r in tariff.rates_by_window())
    least, most = tariff.min_cents, tariff.max_cents
    priced = [getattr(r, k) for r in tariff.rates_by_window() for k in PER_UNIT] + [tariff.session, tariff.other]
    conditions = {
        f"{where}: names no price; kwh = 0.45 would be one": any(v is not None for v in priced),
        f"{where}.grace_min: there is no occupancy fee that it could be of": occupied or not tariff.grace_min,
        f"{where}.occupancy_from: there is no occupancy fee that it could be of": occupied or not tariff.from_grant,
        f"{where}.other_name: must say what the other fee is for": tariff.other is None or bool(tariff.other_name),
        f"{where}.minimum: is more than the maximum": least is None or most is None or least <= most,
    }
    conditions |= {f"{where}.currency: {said}": False for said in [currency_problem(tariff.currency)] if said}
    return [said for said, holds in conditions.items() if not holds] + _week_coverage_problems(tariff, where)


def _week_coverage_problems(tariff: Tariff, where: str) -> list[str]:
    """Return a complaint about a minute of the week that no window has, or that two have."""
    if not tariff.windows:
        return []
    taken: dict[int, int] = {}
    for n, window in enumerate(tariff.windows):
        for day in window.days:
            begin = day * 1440 + window.from_min
            length = (window.to_min - window.from_min - 1) % 1440 + 1
            for minute in range(begin, begin + length):
                other = taken.setdefault(minute % 10_080, n)
                if other != n:
                    return [f"{where}.window[{n}]: overlaps window[{other}] on {_week_minute_text(minute % 10_080)}"]
    hole = next((m for m in range(10_080) if m not in taken), None)
    return (
        []
        if hole is None
        else [f"{where}.window: no window holds on {_week_minute_text(hole)}; they must cover the whole week"]
    )


def _week_minute_text(minute: int) -> str:
    return f"{DAYS[minute // 1440]} {minute % 1440 // 60:02}:{minute % 60:02}"


def minute_of_day(text: str) -> int | None:
    """Return the minute of the day, 0 to 1440; None: no time."""
    hours, colon, minutes = text.partition(":")
    digits = hours + minutes
    if not colon or not (digits.isascii() and digits.isdigit()) or len(hours) not in (1, 2) or len(minutes) != 2:
        return None
    minute = 60 * int(hours) + int(minutes)
    return minute if int(minutes) < 60 and minute <= 1440 else None
