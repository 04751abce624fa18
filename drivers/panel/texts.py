"""The words of one language, out of ``texts/<language>.toml``, and how it writes numbers."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.ports import Broken
from agent.ports.zone import local_time

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
FALLBACKS = ("en", "fr", "de", "lb")


@dataclass(frozen=True, slots=True)
class Texts:
    """``words``: the file as it is, nested tables of texts."""

    language: str
    words: Mapping[str, Any]

    def __call__(self, *keys: str, **fill: object) -> str:
        """Return the text under the first of ``keys`` (dotted) that exists, with ``{...}`` filled; empty if none
        does."""
        for key in keys:
            found: Any = self.words
            for part in key.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            if isinstance(found, str):
                return _fill_placeholders(found, fill)
        return ""

    def format_decimal(self, scaled: int, decimals: int) -> str:
        """Format a number. ``scaled`` is the number times ten to the power of ``decimals``: decimal(1234, 2) is
        12.34."""
        whole, part = divmod(abs(scaled), 10**decimals)
        sign = "-" if scaled < 0 else ""
        return f"{sign}{whole}{self('decimal') or '.'}{part:0{decimals}d}" if decimals else f"{sign}{whole}"

    def format_energy(self, energy_wh: float) -> str:
        """Format kWh, never rounded up: three decimals below 10 kWh, two above."""
        wh = int(energy_wh)
        return self.format_decimal(wh, 3) if abs(wh) < 10_000 else self.format_decimal(int(wh / 10), 2)

    def format_money(self, amount_micro: float, decimals: int, currency: str, exact: bool = False) -> str:
        """Format an amount. ``amount_micro``: millionths of the currency's unit, rounded half up to ``decimals``.
        ``exact``: with as many more decimals as it takes, for prices."""
        micro = int(amount_micro)
        while exact and decimals < 6 and micro % 10 ** (6 - decimals):
            decimals += 1
        step = 10 ** (6 - decimals)
        text = self.format_decimal((micro + step // 2) // step, decimals)
        return f"{text} {SYMBOLS.get(currency, currency)}".strip()

    def format_power(self, power_w: float) -> str:
        """Format kW with one decimal."""
        return self.format_decimal(round(power_w / 100), 1)


def format_duration(seconds: float) -> str:
    """Format seconds as h:mm:ss."""
    minutes, s = divmod(max(0, int(seconds)), 60)
    h, m = divmod(minutes, 60)
    return f"{h}:{m:02}:{s:02}"


def wall_time(utc_s: float, offset_min: object, timezone: str) -> datetime.datetime | None:
    """Return the local time: by the offset that a backend has set (minutes east of UTC), otherwise in the
    station file's zone. None: no calendar has this time."""
    try:
        if isinstance(offset_min, int):
            return datetime.datetime.fromtimestamp(utc_s, datetime.timezone(datetime.timedelta(minutes=offset_min), ""))
        return local_time(utc_s, timezone)
    except (OverflowError, ValueError, OSError):
        return None


def load_texts(language: str, config_dirs: tuple[Path, ...]) -> Texts:
    """Load the first ``texts/<language>.toml`` of ``config_dirs``; if there is none, a language that exists. Raises
    ``Broken`` if no language can be read."""
    for name in (language, *FALLBACKS):
        if not name.isalnum():
            continue
        for folder in config_dirs:
            path = folder / "texts" / f"{name}.toml"
            try:
                return Texts(name, tomllib.loads(path.read_text("utf-8")))
            except FileNotFoundError:
                continue
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
                raise Broken(f"texts {path}: cannot be read ({e}); correct or remove it") from e
    raise Broken(f"texts: no texts/{language}.toml in {', '.join(map(str, config_dirs)) or 'no folder at all'}")


def _fill_placeholders(text: str, fill: Mapping[str, object]) -> str:
    """Fill the placeholders of a text. A typing error in a text must not darken the screen: what cannot be filled in
    stays as it stands."""
    try:
        return text.format_map(_Known(fill))
    except (ValueError, IndexError, AttributeError):
        return text


class _Known(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
