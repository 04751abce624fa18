"""The ad-hoc price of the station: what a driver without a contract pays (Regulation (EU)
2023/1804, article 5(4)). Rates are decimal, VAT included; a cost is exact until it is rounded,
once, to whole hundredths of the currency's unit (``cents``). Nothing here is a float but seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.local_time import LocalOffset
from agent.domain.session_usage import WEEK_MIN, TariffPlan, Usage, parse_unsigned
from agent.model.fastclass import frozen

if TYPE_CHECKING:  # together they cost as much as half of the domain at the start; most stations have no tariff
    from decimal import Decimal
    from fractions import Fraction

__all__ = ["DECIMALS", "Rates", "Tariff", "Usage", "Window"]

DECIMALS = 6
"""Of a rate, at most."""
FOREVER_S = float("inf")
_HORIZON_MS = 7 * 24 * 3600 * 1000
_KINDS = ("kwh", "minute", "occupancy")


@frozen
class Rates:
    """In the currency's unit: per kWh; per minute of charging; per minute idle (occupancy). None: no such price."""

    kwh: Decimal | None = None
    minute: Decimal | None = None
    occupancy: Decimal | None = None


@frozen
class Window:
    """On ``days`` (0 is Monday) from ``from_min`` up to ``to_min`` (minutes of the wall clock, 1440 is midnight): what
    ``rates`` does not name costs what it costs always."""

    days: tuple[int, ...]
    from_min: int
    to_min: int
    rates: Rates


@frozen
class Tariff:
    """``grace_min``: idle minutes in one piece that are free. ``session``, ``other`` (called ``other_name``): once.
    ``min_cents``, ``max_cents``: what a session costs at least and at most. ``windows``: none, or the whole week.

    Nothing is due before the first watt-hour: who got no energy pays nothing. ``from_grant``: but for the occupancy of
    a vehicle that could draw and does not, which then counts from the begin of the session."""

    kwh: Decimal | None = None
    minute: Decimal | None = None
    occupancy: Decimal | None = None
    grace_min: int = 0
    session: Decimal | None = None
    other: Decimal | None = None
    other_name: str = ""
    windows: tuple[Window, ...] = ()
    min_cents: int | None = None
    max_cents: int | None = None
    currency: str = "EUR"
    vat_percent: Decimal | None = None
    from_grant: bool = False

    def rates_by_window(self) -> tuple[Rates, ...]:
        """Return the rates of each window, in their order; without windows the one set of rates."""
        always = Rates(self.kwh, self.minute, self.occupancy)
        return tuple(_window_rates(w.rates, always) for w in self.windows) or (always,)

    def start_usage(self, local: LocalOffset | None = None) -> Usage:
        """Return the usage at the begin of a session. ``local``: the clock on the wall
        (``local_time.local_offset``); only windows need it."""
        rates = self.rates_by_window()
        return Usage(
            TariffPlan(self.grace_min * 60_000, _week_edges(self.windows), local or LocalOffset(), self.from_grant),
            Usage().sums * len(rates),
        )

    # --- what it costs -------------------------------------------------------------------------------------------

    def exact_parts(self, usage: Usage) -> tuple[tuple[str, Fraction], ...]:
        """Return kind and exact amount (cents) of everything that was used, in the order of the
        regulation: ``kwh``, ``minute``, ``occupancy``, ``session``, ``other``; then ``minimum``
        (what is added) or ``maximum`` (what is taken off). Raises ``ValueError``: this usage was
        counted by another tariff."""
        drawn = usage.energy_wh > 0
        if not drawn and not self.from_grant:
            self._check_usage_plan(usage)
            return ()
        due = [(kind, amount) for kind, amount in self.price_usage(usage) if amount]
        parts = due if drawn else [(kind, amount) for kind, amount in due if kind == "occupancy"]
        total = sum((amount for _, amount in parts), start=_as_fraction(0))
        if drawn and self.min_cents is not None and total < self.min_cents:
            parts.append(("minimum", self.min_cents - total))
        if self.max_cents is not None and total > self.max_cents:
            parts.append(("maximum", self.max_cents - total))
        return tuple(parts)

    def total_cents(self, usage: Usage) -> int:
        """Return what the usage costs, VAT included; rounded half up, here and nowhere else. Raises
        ``ValueError`` as ``exact_parts``."""
        return _round_half_up(sum((amount for _, amount in self.exact_parts(usage)), start=_as_fraction(0)))

    def parts_in_cents(self, usage: Usage) -> tuple[tuple[str, int], ...]:
        """Return ``exact_parts`` in whole cents that add up to ``total_cents``: each is what the
        sum so far, rounded, has grown by."""
        exact, before, made = _as_fraction(0), 0, []
        for kind, amount in self.exact_parts(usage):
            exact += amount
            made.append((kind, _round_half_up(exact) - before))
            before = _round_half_up(exact)
        return tuple(made)

    def rated_quantities(self, usage: Usage, kind: str) -> tuple[tuple[str, int, str], ...]:
        """Return what was counted of a kind at which rate: the rate as it is written, a whole number, and its unit
        (``Wh``, ``ms``, ``1``). Windows with the same rate are one. Raises ``ValueError`` as ``exact_parts``."""
        self._check_usage_plan(usage)
        if kind in ("session", "other"):
            return ((str(getattr(self, kind)), 1, "1"),) if getattr(self, kind) is not None else ()
        if kind not in _KINDS:
            return ()
        counted: dict[str, int] = {}
        for rates, used in zip(self.rates_by_window(), usage.sums, strict=True):
            rate, count = getattr(rates, kind), (used.wh, used.charging_ms, used.idle_ms)[_KINDS.index(kind)]
            if rate is not None and count:
                counted[str(rate)] = counted.get(str(rate), 0) + count
        return tuple((rate, count, "Wh" if kind == "kwh" else "ms") for rate, count in counted.items())

    def vat_cents(self, cents: int) -> int:
        """Return the VAT in this amount, rounded half up; 0 if no rate is known."""
        rate = _as_fraction(self.vat_percent or 0)
        return _round_half_up(cents * rate / (100 + rate))

    def price_usage(self, usage: Usage) -> Iterator[tuple[str, Fraction]]:
        """Yield what is due of each kind, with or without energy: exact cents, in the order of ``exact_parts``."""
        self._check_usage_plan(usage)
        used = [tuple(zip(_KINDS, _priced_units(s.wh, s.charging_ms, s.idle_ms), strict=True)) for s in usage.sums]
        for n, kind in enumerate(_KINDS):
            rated = [
                (getattr(rates, kind), units[n][1]) for rates, units in zip(self.rates_by_window(), used, strict=True)
            ]
            yield kind, sum((_exact_cents(rate) * units for rate, units in rated), start=_as_fraction(0))
        yield "session", _exact_cents(self.session)
        yield "other", _exact_cents(self.other)

    def _check_usage_plan(self, usage: Usage) -> None:
        plan = usage.plan
        counted = (plan.edges, plan.grace_ms, plan.from_grant)
        if counted != (_week_edges(self.windows), self.grace_min * 60_000, self.from_grant):
            raise ValueError("this usage was counted by another tariff")

    # --- under a ceiling -----------------------------------------------------------------------------------------

    def ceiling_wh(self, usage: Usage, ceiling_cents: int) -> int | None:
        """Return how much more energy certainly costs no more than the ceiling, at the dearest rate
        and if no time counts; None: any. Raises ``ValueError`` as ``exact_parts``."""
        rate = max(_exact_cents(r.kwh) for r in self.rates_by_window())
        if self._is_capped_by(ceiling_cents) or not rate:
            return None
        return max(0, int(self._left_under_ceiling(usage, ceiling_cents) * 1000 / rate))

    def leaves_energy_under(self, ceiling_cents: int) -> bool:
        """Return whether anything is left for energy after what is due in any case."""
        return self._is_capped_by(ceiling_cents) or self._left_under_ceiling(self.start_usage(), ceiling_cents) > 0

    def headroom_s(self, usage: Usage, ceiling_cents: int, power_w: float) -> float:
        """Return how long from the last point of ``usage`` until more than the ceiling is due, at
        this power and if the vehicle goes on as it is; ``inf``: longer than a week. Rather too
        short: before the first point, and for the first watt-hour to come, everything is taken as
        due. Raises ``ValueError`` as ``exact_parts``."""
        left = self._left_under_ceiling(usage, ceiling_cents)
        if left < 0:
            return 0.0
        if self._is_capped_by(ceiling_cents):
            return FOREVER_S
        passed_ms = _as_fraction(0)
        for rates, stretch_ms in self._rates_ahead(usage):
            rate = self._cents_per_ms(rates, usage, power_w, int(passed_ms))
            if rate and left < rate * stretch_ms:
                return float((passed_ms + left / rate) / 1000)
            left -= rate * stretch_ms
            passed_ms += stretch_ms
        return FOREVER_S

    def _is_capped_by(self, ceiling_cents: int) -> bool:
        return self.max_cents is not None and self.max_cents <= ceiling_cents

    def _left_under_ceiling(self, usage: Usage, ceiling_cents: int) -> Fraction:
        due = sum((amount for _, amount in self.price_usage(usage)), start=_as_fraction(0))
        return -_as_fraction(1) if (self.min_cents or 0) > ceiling_cents else ceiling_cents - due

    def _rates_ahead(self, usage: Usage) -> Iterator[tuple[Rates, int]]:
        """Yield the rates of the coming week and for how many ms each holds."""
        rates, at_ms = self.rates_by_window(), usage.at_ms
        if at_ms is None:
            dearest = (max((v for r in rates if (v := getattr(r, k)) is not None), default=None) for k in _KINDS)
            yield Rates(*dearest), _HORIZON_MS
            return
        grace_ms = max(0, usage.plan.grace_ms - usage.stretch_ms)
        end_ms, turn_ms = at_ms + _HORIZON_MS, at_ms + grace_ms
        while at_ms < end_ms:
            next_ms = min(end_ms, usage.plan.next_edge_ms(at_ms), turn_ms if at_ms < turn_ms else end_ms)
            yield rates[usage.plan.window_at(at_ms)], next_ms - at_ms
            at_ms = next_ms

    def _cents_per_ms(self, rates: Rates, usage: Usage, power_w: float, passed_ms: int) -> Fraction:
        """Return the cents that one more ms costs."""
        wh, charging_ms, idle_ms = _as_fraction(power_w) / 3_600_000, 0, 0
        if usage.charging or (power_w > 0 and usage.charging is not False):
            charging_ms = 1
        elif usage.charging is False and (usage.energy_wh or power_w > 0 or self.from_grant):
            idle_ms = 1 if usage.stretch_ms + passed_ms >= usage.plan.grace_ms else 0
        units = _priced_units(wh, charging_ms, idle_ms)
        return sum(
            (_exact_cents(getattr(rates, k)) * u for k, u in zip(_KINDS, units, strict=True)), start=_as_fraction(0)
        )

    # --- on disk -------------------------------------------------------------------------------------------------

    def to_record(self) -> dict[str, Any]:
        """JSON-able: rates as texts, what is not there left out."""
        record: dict[str, Any] = {
            "currency": self.currency,
            "grace_min": self.grace_min,
            **_rates_to_record(self, *_ONCE),
        }
        record |= {k: v for k in ("min_cents", "max_cents") if (v := getattr(self, k)) is not None}
        if self.other_name:
            record["other_name"] = self.other_name
        if self.from_grant:
            record["from_grant"] = True
        if self.windows:
            record["windows"] = [
                [list(w.days), w.from_min, w.to_min, _rates_to_record(w.rates, *_KINDS)] for w in self.windows
            ]
        return record

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> Tariff:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        windows = tuple(
            Window(
                tuple(parse_unsigned(d) for d in days),
                parse_unsigned(from_min),
                parse_unsigned(to_min),
                Rates(**_rates_from_record(rates, *_KINDS)),
            )
            for days, from_min, to_min, rates in r.get("windows", ())
        )
        given: dict[str, Any] = {**_rates_from_record(r, *_ONCE)} | {
            k: parse_unsigned(r[k]) for k in ("min_cents", "max_cents") if r.get(k) is not None
        }
        return cls(
            currency=str(r["currency"]),
            grace_min=parse_unsigned(r["grace_min"]),
            other_name=str(r.get("other_name", "")),
            from_grant=bool(r.get("from_grant", False)),
            windows=windows,
            **given,
        )


_ONCE = (*_KINDS, "session", "other", "vat_percent")


def parse_rate(value: object) -> Decimal:
    """Parse a rate as it is written: a text or a whole number, or a number with a point (what a
    person wrote is its shortest form). Raises ``ValueError``: no number, below 0, beyond reason, or
    finer than ``DECIMALS``."""
    from decimal import Decimal, DecimalException

    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{type(value).__name__} is no price")
    try:
        made = Decimal(repr(value) if isinstance(value, float) else value)
    except DecimalException:
        raise ValueError(f"{value!r} is no number") from None
    if not made.is_finite() or not 0 <= made < 10**6:
        raise ValueError(f"must be 0 or more and below a million, is {value}")
    if made != round(made, DECIMALS):
        raise ValueError(f"has more than {DECIMALS} decimals: {value}")
    return abs(made)


def _window_rates(window: Rates, always: Rates) -> Rates:
    return Rates(*(v if (v := getattr(window, k)) is not None else getattr(always, k) for k in _KINDS))


def _week_edges(windows: tuple[Window, ...]) -> tuple[tuple[int, int], ...]:
    """Return each minute of the week at which a window begins, with that window. A window whose end
    is not after its begin goes through midnight."""
    if not windows:
        return ((0, 0),)
    begins: dict[int, int] = {}
    for n, window in enumerate(windows):
        for day in window.days:
            length_min = (window.to_min - window.from_min - 1) % 1440 + 1
            begin = day * 1440 + window.from_min
            begins[begin] = n
            if begin + length_min > WEEK_MIN:  # Sunday night goes on on Monday
                begins[0] = n
    return tuple(sorted(begins.items()))


def _priced_units(wh: Any, charging_ms: int, idle_ms: int) -> tuple[Fraction, Fraction, Fraction]:
    """kWh, minutes, idle minutes."""
    return _as_fraction(wh) / 1000, _as_fraction(charging_ms) / 60_000, _as_fraction(idle_ms) / 60_000


def _exact_cents(rate: Decimal | None) -> Fraction:
    return 100 * _as_fraction(rate or 0)


def _as_fraction(value: Any) -> Fraction:
    from fractions import Fraction

    return Fraction(value)


def _round_half_up(amount: Fraction) -> int:
    """Round half up; amounts are never below 0."""
    return int((2 * amount + 1) // 2)


def _rates_to_record(source: object, *names: str) -> dict[str, str]:
    return {n: str(v) for n in names if (v := getattr(source, n)) is not None}


def _rates_from_record(r: Mapping[str, Any], *names: str) -> dict[str, Decimal]:
    return {n: parse_rate(r[n]) for n in names if r.get(n) is not None}
