"""The screens of the outlets in the few words of the terminal's own screen, with the real texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from agent.model.types import Screen, ScreenName
from agent.ports.driver import OutletFacts, StationFacts
from drivers.panel.tariff_text import price_rows
from drivers.panel.texts import Texts, load_texts
from drivers.terminal_payter.screen_words import (
    InfoScreen,
    card_message_of,
    cut_utf8,
    fit_info_screen,
    info_screen_of,
)
from drivers.terminal_payter.terminal_screen import _ROOM
from tests.drivers.screens import BILLED, LANGUAGES, PRICES, QR_URL

FACTS = StationFacts("CHY42", timezone="Europe/Luxembourg", outlets={2: OutletFacts("DC", "tethered")})
CONFIG = Path(next(iter(config.__path__)))
COST = {"cost_micro": 4_560_000, "cost_decimals": 2, "currency": "EUR"}
AT_UTC_S = 1_795_000_000
"""12:06 in Luxembourg."""


def texts(language: str = "en") -> Texts:
    return load_texts(language, (CONFIG,))


def screen(name: ScreenName, detail: str = "", evse: int = 1, evses: int = 1, **values: Any) -> Screen:
    return Screen(name, "en", detail, {"evse": evse, "evses": evses, **values})


def charging(evse: int = 1, evses: int = 1, **values: Any) -> Screen:
    shown = {"energy_wh": 12_345, "stop_hint": "card", **COST, **values}
    return screen(ScreenName.CHARGING, evse=evse, evses=evses, **shown)


@pytest.mark.parametrize(("language", "figures"), [("en", "12.34 kWh, 4.56 €"), ("fr", "12,34 kWh, 4,56 €")])
def test_a_session_says_energy_cost_and_how_to_stop(language: str, figures: str) -> None:
    words = texts(language)
    wanted = InfoScreen(words("charging.title"), f"{figures}. {words('charging.stop_card')}")
    assert info_screen_of([charging()], words, FACTS) == wanted


def test_all_sessions_of_the_outlets_are_shown_and_one_way_to_stop() -> None:
    info = info_screen_of([screen(ScreenName.IDLE, evses=3), charging(2, 3), charging(3, 3)], texts(), FACTS)
    assert info == InfoScreen(
        "Charging",
        "Outlet 2: 12.34 kWh, 4.56 € · Outlet 3: 12.34 kWh, 4.56 €. To stop, tap the same card.",
    )
    mixed = info_screen_of([charging(1, 2), charging(2, 2, stop_hint="unplug")], texts(), FACTS)
    assert mixed is not None
    assert "To stop" not in mixed.subtitle


def test_what_a_driver_has_just_done_comes_first() -> None:
    plug = screen(ScreenName.PLUG_IN, evse=2, evses=2)
    assert info_screen_of([plug, charging(1, 2)], texts(), FACTS) == InfoScreen(
        "Plug in your car", "Outlet 2. Connect the cable to the car."
    )
    refused = screen(ScreenName.REFUSED, "declined", evses=2)
    info = info_screen_of([refused, charging(2, 2)], texts(), FACTS)
    assert info == InfoScreen("Payment declined", "Outlet 1. Nothing was charged. Please try another card.")


def test_the_result_has_the_code_of_its_receipt() -> None:
    done = screen(
        ScreenName.FINISHED, "stopped", energy_wh=900, cost_final=True, qr_url="https://pay.example/r/PY1", **COST
    )
    assert info_screen_of([done], texts(), FACTS) == InfoScreen(
        "Charging finished", "0.900 kWh, 4.56 €. Thank you and safe travels!", "https://pay.example/r/PY1"
    )
    sold = {"tariff_currency": "EUR", "tariff_kwh_micro": 450_000, "tariff_vat_percent": "17"}
    info = info_screen_of([screen(ScreenName.FINISHED, "stopped", energy_wh=900, **COST, **sold)], texts(), FACTS)
    assert info is not None
    next_charge = "Next charge: Energy 0.45 €/kWh · Without a contract, incl. 17 % VAT"
    assert info.subtitle == f"0.900 kWh, 4.56 €. {next_charge}. Thank you and safe travels!"
    idle = screen(ScreenName.IDLE, qr_url="https://pay.example/pay")
    info = info_screen_of([idle], texts(), FACTS)
    assert info is not None
    assert info.qr == "", "the code to pay by telephone is the display's: here a card pays"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "qr_url", ["", "https://pay.example/r/PY1", QR_URL, "https://pay.example/receipts/" + "9" * 70]
)
@pytest.mark.parametrize("detail", ["stopped", "timeout", "fault"])
def test_the_price_of_the_next_charge_is_whole_beside_the_result(language: str, qr_url: str, detail: str) -> None:
    """The terminal sells at it. It has one text and no pages: the code of the receipt makes room."""
    result = {"energy_wh": 123_456, **BILLED, "cost_final": True, "qr_url": qr_url, "evse": 1, "evses": 2}
    words = texts(language)
    info = info_screen_of([Screen(ScreenName.FINISHED, language, detail, {**result, **PRICES})], words, FACTS)
    assert info is not None
    fields = dict(fit_info_screen(info, _ROOM))
    for name, amount in price_rows(PRICES, words):
        assert f"{name} {amount}" in fields["subtitle"], fields
    assert fields.get("qr", qr_url) == qr_url
    if language == "en" and qr_url.endswith("PY1"):
        assert fields["qr"] == qr_url, "there is room for both"
    info = info_screen_of([Screen(ScreenName.FINISHED, language, detail, result)], words, FACTS)
    assert info is not None
    assert dict(fit_info_screen(info, _ROOM)).get("qr", "") == qr_url


def test_a_free_outlet_says_its_price_in_the_order_of_the_law() -> None:
    prices = {"tariff_currency": "EUR", "tariff_kwh_micro": 490_000, "tariff_session_micro": 1_000_000}
    info = info_screen_of([screen(ScreenName.IDLE, **prices, tariff_vat_percent="17")], texts(), FACTS)
    assert info is not None
    assert info.title == "Station CHY42", "where it takes a card, the terminal itself asks for it"
    assert info.subtitle == "Energy 0.49 €/kWh · Per session 1.00 € · Without a contract, incl. 17 % VAT"


def test_nothing_is_shown_for_a_technician() -> None:
    assert info_screen_of([screen(ScreenName.SERVICE)], texts(), FACTS) is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [n for n in ScreenName if n is not ScreenName.SERVICE])
def test_every_screen_has_words_in_every_language(name: ScreenName, language: str) -> None:
    info = info_screen_of([screen(name, evses=2)], texts(language), FACTS)
    assert info is not None
    assert info.title
    assert "{" not in info.title + info.subtitle


def test_the_request_for_a_card_says_how_to_stop_and_what_it_has_cost_by_then() -> None:
    at = {"time_utc_s": AT_UTC_S}
    assert card_message_of([charging(**at)], texts(), FACTS) == (
        "12:06: 12.34 kWh, 4.56 €. To stop, tap the same card."
    )
    assert card_message_of([charging()], texts(), FACTS) == "To stop, tap the same card.", "an amount without a time"
    assert card_message_of([charging(stop_hint="unplug")], texts(), FACTS) == ""
    assert card_message_of([screen(ScreenName.IDLE)], texts(), FACTS) == ""


@given(st.text(max_size=120), st.text(max_size=400), st.text(max_size=120), st.integers(130, 250))
def test_what_is_sent_fits_and_a_code_is_whole(title: str, subtitle: str, qr: str, room: int) -> None:
    fields = fit_info_screen(InfoScreen(title, subtitle, qr), room)
    assert sum(len(key) + len(value.encode()) + 2 for key, value in fields) <= room
    assert dict(fields).get("qr", qr) == qr


@given(st.text(alphabet="aé€𝄞", max_size=60), st.integers(4, 80))
def test_a_text_is_cut_between_characters(text: str, longest: int) -> None:
    cut = cut_utf8(text, longest)
    assert len(cut.encode()) <= longest
    assert cut == text or (cut[-1] == "…" and text.startswith(cut[:-1]))
