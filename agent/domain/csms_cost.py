"""What a session costs, as the backend reports it (2.x I02-I04; OCPP & California Pricing
Requirements for 1.6), and how that is carried on between two of its words. Amounts are whole
millionths of the currency's unit (``_micro``), never floats; what is billed is computed by the
backend alone."""

from __future__ import annotations

from dataclasses import field

from agent.domain.messages import ChargingState
from agent.model.fastclass import frozen, replace
from agent.model.types import MessageContent

DECIMALS = 6
_MOST = 10**9
"""An amount above this is a mistake of the other side."""


def parse_micro_amount(value: object) -> int:
    """Parse an amount from the wire (number, or text of one) into millionths, rounded half up.
    Raises ``ValueError`` for what is no amount: negative, not finite, beyond all reason."""
    from decimal import ROUND_HALF_UP, Decimal, DecimalException

    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{type(value).__name__} is no amount")
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else value)
        if not 0 <= amount <= _MOST:
            raise ValueError("an amount must be 0 or more, and less than a thousand million")
        return int(amount.scaleb(DECIMALS).to_integral_value(ROUND_HALF_UP))
    except DecimalException as e:
        raise ValueError(f"no amount: {type(e).__name__}") from None


@frozen
class Price:
    """What energy, time and the session itself cost while charging; None: nothing of that kind."""

    kwh_micro: int | None = None
    hour_micro: int | None = None
    flat_micro: int | None = None


@frozen
class IdlePrice:
    """What an hour without charging costs once ``grace_min`` have passed."""

    hour_micro: int | None = None
    grace_min: int = 0


@frozen
class NextPrice:
    """The prices from ``at_utc_s`` on."""

    at_utc_s: float
    price: Price = field(default_factory=Price)
    idle_price: IdlePrice | None = None


@frozen
class Triggers:
    """When the backend wants to see the meter, besides the usual: at this time, when the session has had so much
    energy, each time that the power crosses this threshold, when the charging state becomes one of these."""

    at_utc_s: float | None = None
    energy_wh: int | None = None
    power_w: float | None = None
    states: tuple[ChargingState, ...] = ()


@frozen
class Cost:
    """The cost of a session until ``utc_s`` and register ``meter_wh`` (None: the backend did not say). ``final``: it
    is over, this is what it costs. ``idle``: it is the ``idle_price`` that counts now. ``estimated``: made here of the
    prices for sessions that begin off line. ``qr``: an address to show as QR code (a receipt)."""

    total_micro: int
    final: bool = False
    estimated: bool = False
    texts: tuple[MessageContent, ...] = ()
    qr: str = ""
    meter_wh: int | None = None
    utc_s: float | None = None
    idle: bool = False
    price: Price | None = None
    idle_price: IdlePrice | None = None
    next: NextPrice | None = None
    triggers: Triggers | None = None

    def cost_at_register(self, energy_wh: int, utc_s: float | None) -> int:
        """Return the cost (millionths) at this register and time, for the screen. A part whose
        begin or price is not known counts nothing."""
        if self.final:
            return self.total_micro
        passed_s = int(utc_s - self.utc_s) if utc_s is not None and self.utc_s is not None else 0
        if self.idle:
            idle = self.idle_price or IdlePrice()
            return self.total_micro + max(0, passed_s - 60 * idle.grace_min) * (idle.hour_micro or 0) // 3600
        price = self.price or Price()
        used_wh = energy_wh - self.meter_wh if self.meter_wh is not None else 0
        energy_micro = max(0, used_wh) * (price.kwh_micro or 0) // 1000
        return self.total_micro + energy_micro + max(0, passed_s) * (price.hour_micro or 0) // 3600

    def with_next_prices(self, energy_wh: int) -> Cost:
        """Return the cost once the next prices hold. Their flat fee is the backend's to add."""
        assert self.next is not None
        return replace(
            self,
            total_micro=self.cost_at_register(energy_wh, self.next.at_utc_s),
            meter_wh=energy_wh,
            utc_s=self.next.at_utc_s,
            price=self.next.price,
            idle_price=self.next.idle_price,
            next=None,
        )


def text_in_language(texts: tuple[MessageContent, ...], language: str) -> str:
    """Return the text in this language, otherwise the one without a language, otherwise the first."""
    fit = [t for t in texts if t.format in ("UTF8", "ASCII")]
    exact = [t for t in fit if t.language.partition("-")[0].lower() == language]
    neutral = [t for t in fit if not t.language]
    return next((t.content for t in (*exact, *neutral, *fit)), "")
