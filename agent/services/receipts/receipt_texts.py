"""The texts of a receipt, one file per language: ``config/receipts/LANGUAGE.toml``."""

from __future__ import annotations

from functools import cache

from agent.ports.zone import local_time
from agent.services.language_texts import LanguageTexts

LANGUAGES = ("en", "fr", "de", "lb")


class ReceiptTexts(LanguageTexts):
    """The texts of one language, and how it writes numbers and times."""

    def __init__(self, language: str) -> None:
        super().__init__("receipts", language)

    def decimal_text(self, scaled: int, decimals: int) -> str:
        """Return a number. ``scaled``: the number times ten to the power of ``decimals``."""
        whole, part = divmod(abs(scaled), 10**decimals)
        return f"{'-' if scaled < 0 else ''}{whole}{self.text_of('decimal')}{part:0{decimals}}"

    def amount_text(self, cents: int, currency: str) -> str:
        return f"{self.decimal_text(cents, 2)} {currency}"

    def rate_text(self, rate: str) -> str:
        """Return a price as it was written in the station file, with two decimals at least."""
        whole, _, part = rate.partition(".")
        return f"{whole}{self.text_of('decimal')}{part:0<2}"

    def energy_text(self, energy_wh: int) -> str:
        """Return kWh to the watt-hour."""
        return f"{self.decimal_text(energy_wh, 3)} kWh"

    def time_text(self, utc_s: float | None, timezone: str) -> str:
        """Return the time on the wall of the station; "" if it is not known."""
        return "" if utc_s is None else f"{local_time(utc_s, timezone):{self.text_of('date')}}"


@cache
def receipt_texts(language: str) -> ReceiptTexts:
    """Return the texts of a language, English for one that there is not."""
    return ReceiptTexts(language if language in LANGUAGES else "en")
