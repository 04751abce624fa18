"""The ad-hoc price of an outlet: whose word it is, and what the law allows there (Regulation (EU) 2023/1804, 5(4))."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.csms_cost import parse_micro_amount
from agent.domain.tariff import DECIMALS, Tariff, parse_rate
from agent.domain.variables import OFFLINE_PRICES, Settings, Value
from agent.model.fastclass import frozen, replace

STRICT_W = 50_000
"""From this power on only energy and occupancy may have a price."""


@frozen
class AdhocTariff:
    """What the station file says of an outlet. ``power_w``: the most that it can give; None: taken as much.
    ``backend``: its default price counts before the file's."""

    tariff: Tariff | None = None
    power_w: float | None = None
    backend: bool = False

    @property
    def is_fast_charger(self) -> bool:
        return self.power_w is None or self.power_w >= STRICT_W

    def tariff_for_new_driver(self, settings: Settings) -> Tariff | None:
        """What holds for who plugs in now; None: nothing is sold here without a contract. A default price of the
        backend that the law does not allow here, that is not exact by the minute, or that is in another currency than
        the file's (the one in which a terminal charges), is none."""
        backend_tariff = self._backend_default_tariff(settings) if self.backend else None
        return (
            backend_tariff
            if backend_tariff is not None and not unlawful_price_keys(backend_tariff, self.is_fast_charger)
            else self.tariff
        )

    def _backend_default_tariff(self, settings: Settings) -> Tariff | None:
        """The backend's default price, with what only the file can say; None: there is none that could be billed."""
        kwh, hour, flat = (settings.text_value(name) for name in OFFLINE_PRICES)
        hour_micro = parse_micro_amount(hour or "0")
        if self.tariff is None or not (kwh or hour or flat) or hour_micro % 60:
            return None
        if settings.text_value("currency") != self.tariff.currency:
            return None
        return replace(
            self.tariff,
            kwh=parse_rate(kwh) if kwh else None,
            minute=parse_rate(f"{hour_micro // 60}e-{DECIMALS}") if hour else None,
            session=parse_rate(flat) if flat else None,
            windows=(),
        )

    def allows_backend_price(self, name: str, value: Value) -> bool:
        """May a backend set this price here? Judged one by one: a price that stands alone has no energy price yet."""
        if not self.backend or not value:
            return True
        if name == "offline_hour_price" and parse_micro_amount(str(value)) % 60:
            return False
        return not self.is_fast_charger or name == "offline_kwh_price" or parse_micro_amount(str(value)) == 0


def unlawful_price_keys(tariff: Tariff, strict: bool) -> tuple[str, ...]:
    """Keys of the station file that an outlet of ``STRICT_W`` or more may not have (``kwh``: must have)."""
    if not strict:
        return ()
    return tuple(_keys_beyond_law(tariff))


def _keys_beyond_law(tariff: Tariff) -> Iterator[str]:
    if any(not r.kwh for r in tariff.rates_by_window()):
        yield "kwh"
    others = {
        "minute": "minute",
        "session": "session",
        "other": "other",
        "minimum": "min_cents",
        "maximum": "max_cents",
    }
    yield from (key for key, name in others.items() if getattr(tariff, name))
    if any(w.rates.minute for w in tariff.windows):
        yield "window.minute"
