"""Amounts and prices in words, as the screen says them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel.page import Page, page_of_screen
from tests.drivers.screens import words

FACTS = StationFacts(timezone="Europe/Luxembourg")
PRICED: dict[str, Any] = {
    "energy_wh": 1500, "power_w": 7000.0, "since_s": 65, "cost_micro": 1_234_999, "cost_decimals": 2, "currency": "EUR",
    "cost_final": False, "kwh_micro": 351_900, "hour_micro": 2_000_000, "price_line": "for you",
}  # fmt: skip
NOON_UTC_S = 1_800_014_400.0  # 2027-01-15T12:00:00Z


def said(name: ScreenName = ScreenName.CHARGING, language: str = "fr", **values: Any) -> Page:
    return page_of_screen(Screen(name, language, "stopped", {**PRICED, **values}), words(language), FACTS)


@pytest.mark.parametrize(
    ("micro", "decimals", "currency", "words"),
    [
        (1_234_999, 2, "EUR", "1,23 €"), (1_235_000, 2, "EUR", "1,24 €"), (0, 2, "EUR", "0,00 €"),
        (999_999_999, 0, "CHF", "1000 CHF"), (1_234_567, 4, "GBP", "1,2346 £"), (5, 3, "", "0,000"),
    ],
)  # fmt: skip
def test_an_amount_is_rounded_half_up(micro: int, decimals: int, currency: str, words: str) -> None:
    found = said(cost_micro=micro, cost_decimals=decimals, currency=currency)
    assert (found.figures[1].label, found.figures[1].value) == ("Coût actuel", words)


def test_a_price_keeps_its_digits_and_its_language() -> None:
    assert said().lines == ("0,3519 €/kWh + 2,00 €/h",)
    assert said(language="en").lines == ("0.3519 €/kWh + 2.00 €/h",)
    assert said(hour_micro=None).lines == ("0,3519 €/kWh",)
    assert said(kwh_micro=None, hour_micro=None).lines == ("for you",)


def test_what_matters_most_comes_first() -> None:
    then = {"next_at_utc_s": NOON_UTC_S, "next_kwh_micro": 500_000}
    assert said(**then).lines == ("Dès 13:00 : 0,50 €/kWh",)
    assert said(**then, utc_offset_min=-330).lines == ("Dès 06:30 : 0,50 €/kWh",)
    assert said(**{**then, "next_at_utc_s": 1e18}).lines == ("Dès --:-- : 0,50 €/kWh",)
    idle = {"idle": True, "idle_hour_micro": 6_000_000}
    assert said(ScreenName.PAUSED, **then, **idle, idle_in_s=61).lines == ("Frais d’occupation dans 2 min : 6,00 €/h.",)
    assert said(ScreenName.PAUSED, **idle, idle_in_s=0).lines == ("Frais d’occupation : 6,00 €/h.",)
    assert said(ScreenName.PAUSED, idle=True).lines == ()


@pytest.mark.parametrize(("offset_min", "clock"), [(None, "13:00"), (0, "12:00"), (-330, "06:30"), (10**9, "")])
def test_the_clock_goes_by_what_a_backend_has_set(offset_min: int | None, clock: str) -> None:
    assert said(time_utc_s=NOON_UTC_S, utc_offset_min=offset_min).clock == clock


def test_the_bill() -> None:
    final = {"cost_final": True, "cost_text": "3,31 € en tout"}
    found = said(ScreenName.FINISHED, **final)
    assert [f.label for f in found.figures] == ["Total", "Énergie", "Durée"]
    assert found.lines == ("3,31 € en tout",)
    found = said(ScreenName.FINISHED, **final, qr_url="https://x.example/1")
    assert ([f.label for f in found.figures], found.qr, found.qr_caption) == (
        ["Total", "Énergie"], "https://x.example/1", "Reçu",
    )  # fmt: skip
    assert said(ScreenName.FINISHED, cost_estimated=True).figures[1].value == "≈ 1,23 €"
    assert said(ScreenName.FINISHED, cost_micro=None).figures[1].label == "Durée"


def test_the_price_before_energy() -> None:
    assert said(ScreenName.PLUG_IN, remaining_s=57.0).price == "for you"
    assert said(ScreenName.PLUG_IN, remaining_s=57.0).countdown == "Encore 0:57"
    assert said(ScreenName.PREPARING).price == "for you"
    assert said(ScreenName.PLUG_IN, remaining_s=57.0, price_line="").price == ""
