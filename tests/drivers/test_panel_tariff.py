"""The tariff on the panels: what is said of it, and that it is read in the order of the law (Regulation (EU) 2023/1804,
article 5(4)) on each of them, in each language."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.types import Screen, ScreenName
from agent.ports.driver import StationFacts
from drivers.panel.page import Page, page_of_screen
from drivers.panel.page_parts import faces_of_page
from tests.drivers.screens import (
    BILL,
    BILLED,
    BOUNDS,
    CHOSEN,
    HELD,
    LANGUAGES,
    LAW,
    ONE,
    PAY,
    PRICES,
    TURN,
    hurry,
    words,
)
from tests.drivers.test_panel_layouts import PANELS

FACTS = StationFacts(timezone="Europe/Luxembourg")
BEFORE = (ScreenName.IDLE, ScreenName.PLUG_IN, ScreenName.PREPARING)
IN_ORDER = ("0,35 €/kWh", "0,05 €/min", "0,10 €/min", "1,00 €", "0,50 €")
STRICT = ("0,79 €/kWh", "0,10 €/min")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def said(name: ScreenName = ScreenName.IDLE, language: str = "fr", **values: Any) -> Page:
    return page_of_screen(Screen(name, language, "stopped", values), words(language), FACTS)


def read(whole: Page, panel: tuple[int, int, int]) -> list[str]:
    """What is on the panel in the order in which it is read: face by face, from the top, from the left."""
    texts = []
    for face in faces_of_page(whole, panel[:2], panel[2]):
        placed = [p for p in face(dry=True).placed if p.kind == "text"]
        texts += [p.what for p in sorted(placed, key=lambda p: (p.box.y0, p.box.x0))]
    return texts


def amounts(language: str, wanted: tuple[str, ...]) -> list[str]:
    return [w.replace(",", ".") if language == "en" else w for w in wanted]


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
@pytest.mark.parametrize("language", LANGUAGES)
def test_prices_are_read_in_the_order_of_the_law(language: str, panel: tuple[int, int, int]) -> None:
    """Energy, minutes of charging, minutes of the place, once per session, other; each amount beside its name."""
    names = dict(words(language).words["price"])
    labels = [names[kind] for kind in ("kwh", "minute", "occupancy", "session")] + ["Service"]
    scrambled = dict(reversed(PRICES.items()))
    running = (ScreenName.CHARGING, {"energy_wh": 1, **BILLED, **scrambled})
    for name, values in [*((n, scrambled) for n in BEFORE), running]:
        texts = read(said(name, language, **values), panel)
        at = [n for n, text in enumerate(texts) if text in amounts(language, IN_ORDER)]
        assert [texts[n] for n in at] == amounts(language, IN_ORDER), name
        assert [texts[n - 1] for n in at] == labels, name


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
def test_a_strong_outlet_says_energy_and_the_place(panel: tuple[int, int, int]) -> None:
    for language in LANGUAGES:
        texts = read(said(language=language, **LAW), panel)
        assert [t for t in texts if "€" in t] == amounts(language, STRICT)


def test_the_order_can_be_wrong() -> None:
    whole = said(**PRICES)
    mixed = Page(**{f: getattr(whole, f) for f in Page.__slots__} | {"prices": whole.prices[::-1]})
    assert [t for t in read(mixed, (800, 480, 16)) if t in IN_ORDER] == list(reversed(IN_ORDER))


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "notes"),
    [
        ("fr", ("Sans contrat, TVA 17 % comprise", "Frais d’occupation : après 30 min sans recharge")),
        ("de", ("Ohne Vertrag, inkl. 17 % MwSt.", "Blockiergebühr: nach 30 min ohne Laden")),
        ("lb", ("Ouni Kontrakt, 17 % TVA abegraff", "Standzäit: no 30 Min. ouni Lueden")),
        ("en", ("Without a contract, incl. 17 % VAT", "Idle fee: after 30 min without charging")),
    ],
)
def test_what_else_there_is_to_know(language: str, notes: tuple[str, ...]) -> None:
    assert said(language=language, **PRICES).price_notes == notes


def test_who_is_here_knows_that_he_has_no_contract() -> None:
    for name in (*BEFORE[1:], ScreenName.CHARGING):
        assert said(name, energy_wh=1, **PRICES).price_notes[0] == "TVA 17 % comprise"


def test_bounds_and_a_broken_rate() -> None:
    found = said(**{**PRICES, **BOUNDS})
    assert (found.price_notes[0], found.price_notes[-1]) == (
        "Sans contrat, TVA 8,1 % comprise",
        "au moins 1,00 €, au plus 45,00 €",
    )
    assert said(**LAW).price_notes[0] == "Sans contrat, TVA comprise"  # the tariff does not say the rate


def test_a_price_that_turns() -> None:
    assert said(**PRICES, **TURN).price_notes[2] == (
        "Dès 10:46 : 0,2599 €/kWh, Temps de charge 0,00 €/min, Frais d’occupation 0,20 €/min"
    )
    assert said(**PRICES, **TURN, utc_offset_min=-60).price_notes[2].startswith("Dès 08:46 : ")
    assert said(**PRICES, tariff_next_at_utc_s=1e18, tariff_next_kwh_micro=0).price_notes[2] == "Dès --:-- : 0,00 €/kWh"


def test_a_price_has_as_many_decimals_as_it_takes() -> None:
    found = said(tariff_kwh_micro=351_900, tariff_minute_micro=16_667, tariff_session_micro=0, tariff_currency="CHF")
    assert [amount for _, amount in found.prices] == ["0,3519 CHF/kWh", "0,016667 CHF/min", "0,00 CHF"]


def test_the_tariff_is_said_instead_of_a_sentence() -> None:
    assert (said(**LAW, price_line="0,99 €").price, said(price_line="0,99 €").price) == ("", "0,99 €")


def test_what_it_has_come_to_adds_up() -> None:
    found = said(ScreenName.FINISHED, energy_wh=123_456, **{**BILLED, "cost_final": True}, **BILL)
    assert [f.value for f in found.figures][:2] == ["50,00 €", "123,45"]
    assert found.prices == (
        ("Énergie", "43,21 €"), ("Temps de charge", "31,20 €"), ("Frais d’occupation", "2,50 €"),
        ("Par recharge", "1,00 €"), ("Service", "0,50 €"), ("Montant maximum", "-28,41 €"),
    )  # fmt: skip
    assert found.price_notes == ("dont TVA 17 % : 7,26 €",)
    assert sum(v for k, v in BILL.items() if k.startswith("bill_") and k != "bill_vat_micro") == BILLED["cost_micro"]


def test_the_names_of_a_bill_are_those_of_its_own_tariff() -> None:
    """The tariff of the next charge may have another rate of VAT, and call its fee otherwise."""
    other = {**PRICES, "tariff_vat_percent": "8", "tariff_other_name": "Parking"}
    found = said(ScreenName.FINISHED, energy_wh=1, **{**BILLED, "cost_final": True}, **BILL, **other)
    assert found.prices[4] == ("Service", "0,50 €")
    assert found.price_notes == ("dont TVA 17 % : 7,26 €",)
    assert (found.hint, found.lines) == ("", (
        "Retirez votre câble, s’il vous plaît.",
        "Prochaine recharge : Énergie 0,35 €/kWh",
        "Prochaine recharge : Temps de charge 0,05 €/min",
        "Prochaine recharge : Frais d’occupation 0,10 €/min",
        "Prochaine recharge : Par recharge 1,00 €",
        "Prochaine recharge : Parking 0,50 €",
        "Sans contrat, TVA 8 % comprise",
        "Frais d’occupation : après 30 min sans recharge",
    ))  # fmt: skip


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_price_of_the_next_charge_is_read_beside_the_bill(language: str, panel: tuple[int, int, int]) -> None:
    """In the order of the law, on each panel, with the code of the receipt or without."""
    for code in ({}, PAY):
        result = {"energy_wh": 1, **BILLED, "cost_final": True, **ONE, **code}
        whole = squeezed_panel(said(ScreenName.FINISHED, language, **result, **PRICES), panel)
        at = [whole.index("".join(amount.split())) for amount in amounts(language, IN_ORDER)]
        assert at == sorted(at), whole
        assert amounts(language, ("50,00€",))[0] in whole
        nothing_sold = squeezed_panel(said(ScreenName.FINISHED, language, **result), panel)
        assert amounts(language, ("0,35€",))[0] not in nothing_sold


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("grace_min", [0, 10])
def test_that_a_vehicle_pays_which_never_charges_is_said_before(
    language: str, panel: tuple[int, int, int], grace_min: int
) -> None:
    """On each panel as a whole sentence, wherever its lines end."""
    values = {**LAW, "tariff_from_grant": True, "tariff_grace_min": grace_min}
    words_of = words(language)
    key = "price.grace_from_grant" if grace_min else "price.from_grant"
    wanted = "".join(words_of(key, minutes=grace_min).split())
    for name in BEFORE:
        assert wanted in squeezed_panel(said(name, language, **values), panel), name
    unsaid = "".join(words_of("price.from_grant").split())
    assert unsaid not in squeezed_panel(said(language=language, **LAW), panel)


def squeezed_panel(whole: Page, panel: tuple[int, int, int]) -> str:
    return "".join("".join(text.split()) for text in read(whole, panel))


@pytest.mark.parametrize(
    ("language", "note", "chosen"),
    [
        (
            "fr",
            "Carte bancaire : 50,00 € réservés, ensuite jusqu’à 120,00 €",
            "Au plus 40 kWh · 120 min · 25,00 €",
        ),
        ("de", "Bankkarte: 50,00 € werden vorgemerkt, später bis 120,00 €", "Höchstens 40 kWh · 120 min · 25,00 €"),
        ("lb", "Bankkaart: 50,00 € gi reservéiert, spéider bis 120,00 €", "Héchstens 40 kWh · 120 min · 25,00 €"),
        ("en", "Bank card: 50.00 € is held, later up to 120.00 €", "At most 40 kWh · 120 min · 25.00 €"),
    ],
)
def test_what_a_bank_holds_and_what_a_driver_has_chosen(language: str, note: str, chosen: str) -> None:
    found = said(language=language, **LAW, **HELD, **CHOSEN, qr_url="https://c.lu/1")
    assert (found.price_notes[-1], found.lines) == (note, (chosen,))
    assert said(language=language, **LAW).lines == ()


def test_a_vat_number_takes_the_last_line() -> None:
    typed = said(ScreenName.CHARGING, "en", energy_wh=1, stop_hint="card", vat_state="entry", vat_text="LU12")
    assert typed.hint == "VAT number: LU12_"
    long = said(ScreenName.PLUG_IN, "en", vat_state="accepted", vat_text="x" * 60)
    assert long.hint == f"For the receipt: {'x' * 24}…"
    assert said(ScreenName.CHARGING, "en", energy_wh=1, stop_hint="card").hint == "To stop, tap the same card."


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: "{}x{}x{}".format(*p))
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_bank_is_asked_to_hold_is_on_every_panel(language: str, panel: tuple[int, int, int]) -> None:
    """While it is asked, whichever outlet the shared display has shown before: its screen is brought to the front."""
    page = said(ScreenName.CHECKING, language, **HELD, tariff_currency="EUR")
    whole = " ".join(read(page, panel))
    for amount in amounts(language, ("50,00", "120,00")):
        assert amount in whole, whole
    assert len(page.lines) == len(said(ScreenName.CHECKING, language).lines) + 1
