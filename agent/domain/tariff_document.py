"""A tariff as a JSON object: what a backend sets with a key, and what a signed tariff file has. The names, units and
rules are those of ``[tariff]`` in the station file (docs/station-file.md), and there are ``id``, ``valid_from`` and
``evses``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.domain.backend_tariff import BackendTariff
from agent.domain.local_time import parse_utc_seconds
from agent.domain.tariff import Rates, Tariff, Window, parse_rate
from agent.domain.tariff_rules import DAYS, GRACE_MOST_MIN, NAME_MAX, PER_UNIT, conflicting_parts, minute_of_day
from agent.model import json_limits
from agent.model.fastclass import frozen
from agent.model.types import EvseId

if TYPE_CHECKING:
    from decimal import Decimal

ID_MAX = 60
"""As long as identifiers of OCPP 2.1 (TariffType.tariffId)."""
_ID_SIGNS = frozenset("*-_=:+|@.")
_NAMES = (
    "id", "valid_from", "evses", *PER_UNIT, "grace_min", "occupancy_from", "session", "other", "other_name", "minimum",
    "maximum", "currency", "vat_percent", "window",
)  # fmt: skip
_WINDOW_NAMES = ("begin", "end", "days", *PER_UNIT)
_RATES = (*PER_UNIT, "session", "other", "vat_percent")


class UnusableTariff(ValueError):
    """Why this text is no tariff: one line for a person."""


@frozen
class TariffDocument:
    """``fields``: as they were written; amounts are ``Decimal``. ``evses``: empty means all that have a price.
    ``valid_from_utc_s`` None: from the moment on in which it is set."""

    id: str
    fields: Mapping[str, Any]
    evses: tuple[EvseId, ...] = ()
    valid_from_utc_s: float | None = None

    def tariff_beside(self, base: Tariff) -> BackendTariff:
        """Return the tariff of an outlet whose station file has ``base``: that one gives currency and VAT where the
        document has none. Raises ``UnusableTariff``."""
        return BackendTariff(self.id, _build_tariff(self.fields, base), self.valid_from_utc_s)


def parse_json_object(text: str) -> Mapping[str, Any]:
    """Parse a JSON object whose numbers are exact and whose names are there once. Raises ``UnusableTariff``."""
    from decimal import Decimal

    try:
        found = json_limits.read_json(
            text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs
        )
    except UnusableTariff:
        raise
    except ValueError as e:
        raise UnusableTariff(f"is no JSON ({e})") from None
    if not isinstance(found, dict):
        raise UnusableTariff("must be a JSON object")
    return found


def read_tariff_document(given: Mapping[str, Any]) -> TariffDocument:
    """Read what is not a price of it. Raises ``UnusableTariff``."""
    _refuse_unknown(given, _NAMES, "")
    return TariffDocument(_read_id(given), given, _read_evses(given), _read_valid_from(given))


def write_tariff_fields(tariff: Tariff) -> dict[str, Any]:
    """Return the names and values of a document with this tariff, as JSON has them."""
    fields: dict[str, Any] = {"currency": tariff.currency}
    fields |= {name: _json_number(v) for name in _RATES if (v := getattr(tariff, name)) is not None}
    if tariff.grace_min:
        fields["grace_min"] = tariff.grace_min
    if tariff.from_grant:
        fields["occupancy_from"] = "grant"
    if tariff.other_name:
        fields["other_name"] = tariff.other_name
    bounds = {"minimum": tariff.min_cents, "maximum": tariff.max_cents}
    fields |= {name: cents / 100 for name, cents in bounds.items() if cents is not None}
    if tariff.windows:
        fields["window"] = [_write_window(window) for window in tariff.windows]
    return fields


def write_json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write_window(window: Window) -> dict[str, Any]:
    days = {} if len(window.days) == len(DAYS) else {"days": [DAYS[day] for day in window.days]}
    rates = {name: _json_number(v) for name in PER_UNIT if (v := getattr(window.rates, name)) is not None}
    return {"begin": _time_text(window.from_min), "end": _time_text(window.to_min), **days, **rates}


def _time_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _json_number(amount: Decimal) -> int | float:
    """Return the number that JSON shows in its shortest form; twelve digits are exact."""
    return int(amount) if amount == int(amount) else float(amount)


# --- reading ---------------------------------------------------------------------------------------------------------


def _refuse_constant(text: str) -> Any:
    raise UnusableTariff(f"{text} is no number")


def _unique_pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnusableTariff("has a name twice")
    return found


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise UnusableTariff(f"{where}{unknown[0][:40]}: unknown; known: {', '.join(known)}")


def _read_id(given: Mapping[str, Any]) -> str:
    text = given.get("id")
    is_identifier = isinstance(text, str) and all((c.isascii() and c.isalnum()) or c in _ID_SIGNS for c in text)
    if not isinstance(text, str) or not is_identifier or not 0 < len(text) <= ID_MAX:
        raise UnusableTariff(f"id: must be 1 to {ID_MAX} letters, digits or signs of {''.join(sorted(_ID_SIGNS))}")
    return text


def _read_evses(given: Mapping[str, Any]) -> tuple[EvseId, ...]:
    evses = given.get("evses", [])
    if not isinstance(evses, list) or not all(type(n) is int and n > 0 for n in evses):
        raise UnusableTariff("evses: must be a list of the numbers of EVSEs")
    if "evses" in given and not evses:
        raise UnusableTariff("evses: names none; without it all are meant")
    return tuple(sorted(set(evses)))


def _read_valid_from(given: Mapping[str, Any]) -> float | None:
    if "valid_from" not in given:
        return None
    text = given["valid_from"]
    utc_s = parse_utc_seconds(text) if isinstance(text, str) and _has_time_zone(text) else None
    if utc_s is None or utc_s < 0:
        raise UnusableTariff('valid_from: must be a time with its zone, like "2027-02-01T00:00:00+01:00"')
    return utc_s


def _has_time_zone(text: str) -> bool:
    clock = text.partition("T")[2]
    return clock.endswith("Z") or "+" in clock or "-" in clock


def _build_tariff(given: Mapping[str, Any], base: Tariff) -> Tariff:
    rates = {name: _read_price(given, name, "") for name in (*PER_UNIT, "session", "other")}
    vat_percent = _read_price(given, "vat_percent", "")
    if vat_percent is not None and vat_percent > 100:
        raise UnusableTariff("vat_percent: must be 0 to 100")
    tariff = Tariff(
        **rates,
        grace_min=_read_grace(given),
        from_grant=_read_begin_of_occupancy(given) == "grant",
        other_name=" ".join(_read_text(given, "other_name", NAME_MAX).split()),
        windows=tuple(_read_windows(given)),
        min_cents=_read_cents(given, "minimum"),
        max_cents=_read_cents(given, "maximum"),
        currency=_read_text(given, "currency", 3) or base.currency,
        vat_percent=base.vat_percent if vat_percent is None else vat_percent,
    )
    if problems := conflicting_parts(tariff, "tariff"):
        raise UnusableTariff(problems[0])
    return tariff


def _read_price(given: Mapping[str, Any], name: str, where: str) -> Decimal | None:
    if given.get(name) is None:
        return None
    try:
        return parse_rate(given[name])
    except ValueError as e:
        raise UnusableTariff(f"{where}{name}: {e}") from None


def _read_cents(given: Mapping[str, Any], name: str) -> int | None:
    amount = _read_price(given, name, "")
    cents = None if amount is None else amount.scaleb(2)
    if cents is not None and cents != int(cents):
        raise UnusableTariff(f"{name}: must be whole cents, is {amount}")
    return None if cents is None else int(cents)


def _read_grace(given: Mapping[str, Any]) -> int:
    grace_min = given.get("grace_min", 0)
    if type(grace_min) is not int or not 0 <= grace_min <= GRACE_MOST_MIN:
        raise UnusableTariff(f"grace_min: must be 0 to {GRACE_MOST_MIN} (minutes)")
    return grace_min


def _read_begin_of_occupancy(given: Mapping[str, Any]) -> str:
    begin = given.get("occupancy_from", "energy")
    if begin not in ("energy", "grant"):
        raise UnusableTariff('occupancy_from: must be "energy" or "grant"')
    return str(begin)


def _read_text(given: Mapping[str, Any], name: str, most: int) -> str:
    text = given.get(name, "")
    if not isinstance(text, str) or not text.isprintable() or len(text) > most:
        raise UnusableTariff(f"{name}: must be a text of at most {most} characters")
    return text


def _read_windows(given: Mapping[str, Any]) -> Iterator[Window]:
    windows = given.get("window", [])
    if not isinstance(windows, list) or not all(isinstance(w, dict) for w in windows):
        raise UnusableTariff("window: must be a list of objects")
    for n, window in enumerate(windows):
        where = f"window[{n}]."
        _refuse_unknown(window, _WINDOW_NAMES, where)
        begin, end = (_read_time(window, name, where) for name in ("begin", "end"))
        if begin == 1440:
            raise UnusableTariff(f"{where}begin: the day ends at 24:00, it begins at 00:00")
        yield Window(
            _read_days(window, where), begin, end, Rates(*(_read_price(window, name, where) for name in PER_UNIT))
        )


def _read_time(window: Mapping[str, Any], name: str, where: str) -> int:
    text = window.get(name)
    minute = minute_of_day(text) if isinstance(text, str) else None
    if minute is None:
        raise UnusableTariff(f'{where}{name}: must be a time like "22:00"')
    return minute


def _read_days(window: Mapping[str, Any], where: str) -> tuple[int, ...]:
    days = window.get("days", list(DAYS))
    if not isinstance(days, list) or not days or not all(isinstance(d, str) and d in DAYS for d in days):
        raise UnusableTariff(f"{where}days: must be a list of {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(day) for day in days}))
