"""Screens as the domain makes them, for tests of displays and for the pictures in docs/pictures: every kind, with
little and with much to say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts, Where
from drivers.panel import canvas, fonts
from drivers.panel.page import Page, page_of_screen
from drivers.panel.texts import Texts, load_texts

CONFIG = Path(__file__).parents[2] / "config"
LANGUAGES = ("fr", "de", "lb", "en")
QR_URL = "https://pay.example.lu/s?evse=LU*CHA*E1234*2&t=k3J9xQ"
FACTS = StationFacts(timezone="Europe/Luxembourg")
COMMON: dict[str, Any] = {
    "number": "12345", "hotline": "+352 8002 02020", "evse": 2, "evses": 2, "time_utc_s": 1_795_600_000.0,
    "online": False,
}  # fmt: skip
SESSION = {
    "energy_wh": 123_456, "power_w": 148_900.0, "since_s": 37_530, "limit_a": 32.0, "soc_percent": 54.0,
    "stop_hint": "card",
}  # fmt: skip
COST = {
    "cost_micro": 1_234_567_890, "cost_decimals": 2, "currency": "EUR", "cost_final": False, "cost_estimated": False,
    "kwh_micro": 351_900, "hour_micro": 2_000_000, "price_line": "0,3519 €/kWh + 2,00 €/h",
}  # fmt: skip
BILLED = {"cost_micro": 50_000_000, "cost_decimals": 2, "currency": "EUR", "cost_final": False}
LONG = "0,35 €/kWh entre 22 h et 6 h, 0,55 €/kWh sinon, puis 6,00 €/h dès 30 min après la fin de la charge"
PRICES = {
    "tariff_currency": "EUR", "tariff_kwh_micro": 350_000, "tariff_minute_micro": 50_000,
    "tariff_session_micro": 1_000_000, "tariff_other_micro": 500_000, "tariff_other_name": "Service",
    "tariff_occupancy_micro": 100_000, "tariff_grace_min": 30, "tariff_vat_percent": "17",
}  # fmt: skip
LAW = {"tariff_currency": "EUR", "tariff_kwh_micro": 790_000, "tariff_occupancy_micro": 100_000, "tariff_grace_min": 30}
BOUNDS = {"tariff_minimum_micro": 1_000_000, "tariff_maximum_micro": 45_000_000, "tariff_vat_percent": "8.1"}
CHOSEN = {"limit_energy_wh": 40_000, "limit_time_s": 7200, "limit_cost_micro": 25_000_000}
HELD = {"hold_micro": 50_000_000, "hold_most_micro": 120_000_000}
TURN = {
    "tariff_next_at_utc_s": 1_795_600_000, "tariff_next_kwh_micro": 259_900, "tariff_next_minute_micro": 0,
    "tariff_next_occupancy_micro": 200_000,
}  # fmt: skip
BILL = {
    "bill_kwh_micro": 43_210_000, "bill_minute_micro": 31_200_000, "bill_occupancy_micro": 2_500_000,
    "bill_session_micro": 1_000_000, "bill_other_micro": 500_000, "bill_maximum_micro": -28_410_000,
    "bill_vat_micro": 7_260_000, "billed_vat_percent": "17", "billed_other_name": "Service",
}  # fmt: skip
ONE = {"bill_kwh_micro": 50_000_000, "bill_vat_micro": 7_260_000, "billed_vat_percent": "17"}
PAY = {"qr_url": QR_URL}
IDLE_FEE = {"idle": True, "idle_hour_micro": 6_000_000, "idle_in_s": 1800}
FINAL = {**SESSION, **COST, "cost_final": True}

SERVICE = {
    "program": "0.1.0", "link_up": True, "bearer": "gprs", "bearer_up": True, "address": "10.240.119.207",
    "operator": "LU POST", "technology": "HSPA", "signal_dbm": -79, "sim": "ready", "iccid_tail": "0176",
}  # fmt: skip
STEPS = {"steps_good": "disk devices sim registration bearer budget dns tcp tls http boot clock", "problem": ""}
PROBLEM = {
    "link_up": False, "steps_good": "disk sim registration bearer budget dns tcp", "steps_wrong": "devices tls",
    "steps_not_judged": "http boot clock", "problem": "tls_certificate_wrong", "problem_step": "tls",
    "problem_subject": "",
}  # fmt: skip
SILENT_METER = {
    "steps_good": "", "steps_wrong": "disk devices budget", "problem": "device_reported", "problem_step": "devices",
    "problem_subject": "evse[1].meter",
}  # fmt: skip
NO_RADIO = {
    "link_up": False, "bearer_up": False, "address": "", "operator": "", "technology": "", "signal_dbm": None,
    "sim": "PIN refused",
}  # fmt: skip

Case: TypeAlias = tuple[ScreenName, str, dict[str, Any]]
S = ScreenName
CASES: list[Case] = [
    (S.STARTING, "", {}),
    (S.IDLE, "", {"price_line": "0,45 €/kWh + 0,05 €/min", "qr_url": QR_URL}),
    (S.IDLE, "", {"price_line": "0,45 €/kWh"}),
    (S.IDLE, "", {"free": True}),
    (S.IDLE, "", {}),
    (S.CHECKING, "", {"token_tail": "…C4D5"}),
    (S.PLUG_IN, "", {"remaining_s": 57.0}),
    *((S.REFUSED, d, {}) for d in ("invalid", "concurrent", "unreadable", "wrong_card")),
    *((S.REFUSED, d, {}) for d in ("just_begun", "not_chosen")),
    *((S.CHOOSE_OUTLET, d, {"remaining_s": 14}) for d in ("choose_outlet", "choose_cable")),
    *((S.CHOOSE_OUTLET, d, {"remaining_s": 14}) for d in ("choose_plug", "new_charge", "stop_which")),
    (S.REFUSED, "other_price", {}),
    (S.PREPARING, "", {}),
    (S.CHARGING, "", SESSION),
    (S.CHARGING, "", {**SESSION, "soc_percent": None}),
    (S.CHARGING, "", {}),
    (S.PAUSED, "car", SESSION),
    (S.PAUSED, "station", SESSION),
    (S.FINISHED, "stopped", SESSION),
    (S.FINISHED, "power_loss", SESSION),
    (S.FINISHED, "timeout", {}),
    *((S.OUT_OF_SERVICE, d, {}) for d in ("unavailable", "PilotFault", "GroundFailure", "Nonsense")),
    (S.RESERVED, "", {}),
    (S.OFFLINE, "", {}),
    (S.SERVICE, "", {"program": "0.1.0", "link_up": True}),
    (S.SERVICE, "", SERVICE),
    (S.SERVICE, "", {**SERVICE, **NO_RADIO}),
    (S.SERVICE, "", {**SERVICE, **STEPS}),
    (S.SERVICE, "", {**SERVICE, **PROBLEM}),
    (S.SERVICE, "", {**SERVICE, **PROBLEM, **SILENT_METER}),
    # price and cost
    (S.IDLE, "", {"price_line": LONG}),
    (S.IDLE, "", PRICES),
    (S.IDLE, "", {**PRICES, **PAY}),
    (S.IDLE, "", {"tariff_currency": "EUR", "tariff_kwh_micro": 450_000, "qr_url": "HTTPS://C.LU/1"}),
    (S.IDLE, "", LAW),
    (S.IDLE, "", {**LAW, **PAY}),
    (S.IDLE, "", {**LAW, **PAY, "languages": "FR DE LB EN"}),
    (S.IDLE, "", {"free": True, "languages": "FR DE LB EN"}),
    (S.IDLE, "", {**PRICES, **BOUNDS, **TURN, "price_line": LONG}),
    (S.PLUG_IN, "", {"remaining_s": 57.0, "price_line": LONG}),
    (S.PLUG_IN, "", {"remaining_s": 57.0, **PRICES}),
    (S.PREPARING, "", {"price_line": LONG}),
    (S.PREPARING, "", PRICES),
    (S.CHARGING, "", {**SESSION, **COST}),
    (S.CHARGING, "", {**SESSION, **COST, **PRICES}),
    (S.CHARGING, "", {**SESSION, **BILLED, **LAW, **TURN}),
    (S.PAUSED, "car", {**SESSION, **BILLED, **PRICES}),
    (S.CHARGING, "", {**SESSION, **COST, "soc_percent": None, "cost_estimated": True}),
    (S.CHARGING, "", {**SESSION, **COST, "next_at_utc_s": 1_795_600_000.0, "next_kwh_micro": 550_000}),
    (S.CHARGING, "", {**SESSION, "price_line": LONG}),
    (S.PAUSED, "car", {**SESSION, **COST, **IDLE_FEE}),
    (S.FINISHED, "stopped", {**SESSION, **COST, **IDLE_FEE, "idle_in_s": 0}),
    (S.FINISHED, "stopped", {**FINAL, "cost_text": LONG}),
    (S.FINISHED, "stopped", {**SESSION, **BILLED, **BILL, "cost_final": True}),
    (S.FINISHED, "stopped", {**SESSION, **BILLED, **BILL, "cost_final": True, "qr_url": QR_URL}),
    (S.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, "cost_final": True}),
    (S.FINISHED, "stopped", {**FINAL, "cost_text": LONG, "qr_url": QR_URL}),
    (S.FINISHED, "fault", {**FINAL, "qr_url": QR_URL}),
    # beside the result the price of the next charge
    (S.FINISHED, "stopped", {**SESSION, **LAW}),
    (S.FINISHED, "timeout", LAW),
    (S.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, "cost_final": True, **LAW}),
    (S.FINISHED, "stopped", {**SESSION, **BILLED, **BILL, "cost_final": True, **PRICES, **BOUNDS, **TURN, **HELD}),
    (S.FINISHED, "fault", {**SESSION, **BILLED, **BILL, "cost_final": True, "qr_url": QR_URL, **PRICES}),
    # what a driver has chosen, what a bank will hold, a VAT number
    (S.IDLE, "", {**LAW, **PAY, **CHOSEN}),
    (S.IDLE, "", {**LAW, **HELD}),
    (S.CHARGING, "", {**SESSION, **BILLED, **LAW, "vat_state": "entry", "vat_text": "LU123"}),
    (S.PLUG_IN, "", {"remaining_s": 57.0, "vat_state": "incomplete", "vat_text": "12"}),
    (S.CHARGING, "", {**SESSION, **BILLED, "vat_state": "accepted", "vat_text": "Société Exemple de Recharge"}),
    (S.PAUSED, "car", {**SESSION, **BILLED, "vat_state": "rejected", "vat_text": "LU12345678901234567X"}),
]  # fmt: skip


def where(**facts: Any) -> Where:
    return Where(1, "display", lambda: (1, 0.0), (CONFIG,), StationFacts("1234", "+352 8002 0202", **facts))


@cache
def words(language: str) -> Texts:
    """Out of the files that travel with the program."""
    return load_texts(language, (CONFIG,))


every_size = cache(fonts.font_of_size.__wrapped__)
"""A board keeps two sizes of the font, for their memory; these tests ask for hundreds, again and again."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts stay open, and the pauses for the event loop are left out: there is none."""
    monkeypatch.setattr(canvas, "font_of_size", every_size)
    monkeypatch.setattr(canvas, "time", SimpleNamespace(sleep=lambda s: None))


def screen(case: Case, language: str, evse: int = 2, evses: int = 2, acts: int = 0) -> Screen:
    """Of this outlet; each has a code of its own."""
    name, detail, values = case
    own = {"qr_url": values["qr_url"].replace("*2&", f"*{evse}&")} if "qr_url" in values else {}
    return Screen(name, language, detail, {**COMMON, **values, **own, "evse": evse, "evses": evses}, acts)


def said(case: Case, language: str, evse: int = 2) -> Page:
    return page_of_screen(screen(case, language, evse), words(language), FACTS)
