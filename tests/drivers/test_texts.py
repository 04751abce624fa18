"""The texts of the screen: four languages, one set of keys, nothing missing."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.domain.faults import blocks_charging
from agent.model.types import Fault, Screen, ScreenName
from agent.ports import Broken
from agent.ports.driver import StationFacts
from drivers.panel.message_parts import split_sentences
from drivers.panel.page import page_of_screen
from drivers.panel.page_parts import faces_of_page
from drivers.panel.small_panels import slides_of_page
from drivers.panel.texts import Texts, format_duration, load_texts

CONFIG = Path(__file__).parents[2] / "config"
NO_FACTS = StationFacts()
LANGUAGES = ("fr", "de", "lb", "en")
REFUSALS = (
    "web_failed",
    "invalid", "blocked", "expired", "concurrent", "too_long", "offline", "unreadable",
    "unavailable", "reserved", "wrong_card", "just_begun",
    "not_chosen", "other_price",
)  # fmt: skip
S = ScreenName
ENDS = ("stopped", "unplug", "timeout", "fault", "remote", "power_loss")


def _flat(table: dict[str, Any], head: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        found |= _flat(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return found


@pytest.fixture(scope="module")
def words() -> dict[str, dict[str, str]]:
    return {n: _flat(tomllib.loads((CONFIG / "texts" / f"{n}.toml").read_text("utf-8"))) for n in LANGUAGES}


def test_same_keys_in_all_languages(words: dict[str, dict[str, str]]) -> None:
    for language in LANGUAGES:
        assert set(words[language]) == set(words["fr"]), language
        assert all(text.strip() for text in words[language].values()), language


def test_same_blanks_to_fill_in(words: dict[str, dict[str, str]]) -> None:
    for key, text in words["fr"].items():
        blanks = sorted(re.findall(r"\{\w*\}", text))
        for language in LANGUAGES:
            assert sorted(re.findall(r"\{\w*\}", words[language][key])) == blanks, (language, key)


def test_every_refusal_and_every_end_has_its_own_words(words: dict[str, dict[str, str]]) -> None:
    for language in LANGUAGES:
        for detail in REFUSALS:
            assert f"refused.{detail}.title" in words[language]
            assert f"refused.{detail}.line" in words[language]
        assert {f"finished.{end}" for end in ENDS} <= set(words[language])
        assert {"paused.car", "paused.station", "paused.refused"} <= set(words[language])


def test_details_named_in_the_texts_are_faults_that_exist(words: dict[str, dict[str, str]]) -> None:
    named = {k.rsplit(".", 1)[1] for k in words["en"] if k.startswith("out_of_service.details.")}
    plain = {f.removeprefix("MREC").lstrip("0123456789") for f in Fault}
    assert named <= {*Fault, *plain, "unavailable"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_says_something(language: str) -> None:
    texts = load_texts(language, (CONFIG,))
    generic = texts("out_of_service.line")
    for detail in (*Fault, "unavailable", "SomethingNew", ""):
        said = page_of_screen(Screen(ScreenName.OUT_OF_SERVICE, language, detail), texts, NO_FACTS)
        assert said.title
        assert all(said.lines)
        assert said.lines
    assert page_of_screen(Screen(ScreenName.OUT_OF_SERVICE, language, "SomethingNew"), texts, NO_FACTS).lines == (
        generic,
    )
    for fault in Fault:  # what takes an outlet out of service, save what means nothing to a driver
        if blocks_charging(fault) and fault not in (
            Fault.STORE_FAILED,
            Fault.RECORD_POISONED,
            Fault.INTERNAL_ERROR,
            Fault.OTHER_ERROR,
        ):
            assert page_of_screen(Screen(ScreenName.OUT_OF_SERVICE, language, fault), texts, NO_FACTS).lines != (
                generic,
            ), fault
    own = page_of_screen(Screen(ScreenName.OUT_OF_SERVICE, language, "EmergencyStop"), texts, NO_FACTS)
    assert own == page_of_screen(Screen(ScreenName.OUT_OF_SERVICE, language, "MREC8EmergencyStop"), texts, NO_FACTS)
    assert own.lines != (generic,)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_has_a_title_and_no_unfilled_blank(language: str) -> None:
    texts = load_texts(language, (CONFIG,))
    values = {"token_tail": "C4D5", "remaining_s": 57.0, "evse": 2, "evses": 2, "free": True, "price_line": "{x}"}
    for name in ScreenName:
        for detail in ("", *REFUSALS, *ENDS, "nonsense"):
            said = page_of_screen(Screen(name, language, detail, values), texts, NO_FACTS)
            assert said.title
            own = "".join((said.title, *said.lines, said.hint, said.outlet)).replace("{x}", "")  # the price is not ours
            assert "{" not in own


def test_decimal_comma_where_people_write_it() -> None:
    for language, energy in (("fr", "12,34"), ("de", "12,34"), ("lb", "12,34"), ("en", "12.34")):
        assert load_texts(language, (CONFIG,)).format_energy(12349) == energy


def test_energy_is_never_rounded_up() -> None:
    texts = Texts("en", {"decimal": "."})
    assert [texts.format_energy(n) for n in (0, 7, 812, 9999, 10_000, 123_459)] == [
        "0.000", "0.007", "0.812", "9.999", "10.00", "123.45",
    ]  # fmt: skip
    assert texts.format_power(11_012) == "11.0"
    assert texts.format_power(148_960) == "149.0"


def test_duration() -> None:
    assert [format_duration(s) for s in (0, 65, 3753, 360_000, -3)] == [
        "0:00:00",
        "0:01:05",
        "1:02:33",
        "100:00:00",
        "0:00:00",
    ]


def test_own_folder_wins_and_a_missing_language_falls_back(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "fr.toml").write_text('[idle]\ntitle = "Bonjour {who} {"\n')
    assert load_texts("fr", (tmp_path, CONFIG)).words["idle"] == {"title": "Bonjour {who} {"}
    assert load_texts("fr", (tmp_path, CONFIG))("idle.title") == "Bonjour {who} {"
    assert load_texts("nl", (CONFIG,)).language == "en"
    assert load_texts("../../etc/passwd", (CONFIG,)).language == "en"


def test_no_texts_at_all_needs_a_person(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"no texts/fr\.toml in"):
        load_texts("fr", (tmp_path,))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "fr.toml").write_text("this is = = not TOML")
    with pytest.raises(Broken, match=r"cannot be read"):
        load_texts("fr", (tmp_path,))


@pytest.mark.parametrize(
    ("timezone", "clock"),
    [
        ("Europe/Luxembourg", "18:46"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "18:46"),
        ("UTC", "16:46 UTC"),
        ("Gone/X", "16:46 UTC"),
    ],
)
def test_the_clock_is_local_and_utc_is_called_so(timezone: str, clock: str) -> None:
    values = {"time_utc_s": 1_793_465_160.0 - 86400 * 30}
    shown = page_of_screen(
        Screen(ScreenName.IDLE, "fr", "", values), load_texts("fr", (CONFIG,)), StationFacts(timezone=timezone)
    )
    assert shown.clock == clock
    assert (
        page_of_screen(
            Screen(ScreenName.IDLE, "fr", "", {"time_utc_s": None}), load_texts("fr", (CONFIG,)), NO_FACTS
        ).clock
        == ""
    )


BANNED = {
    "fr": ("voiture", "Scanner", "Payer", "Veuillez", "'"),
    "de": ("Steckdose", "Anschluss", "Anschlüsse", "Station", "Standzeit", "einstecken", "belastet", "berechnet", "'"),
    "lb": ("técht", "Uschloss", "Prise", "Statioun", "'"),
    "en": ("anew", "omebody", "Hold your card", "hold the card", "hold the same", "'"),
}
"""One word for one thing, imperatives for what is to be done, one kind of apostrophe."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_word_for_one_thing(language: str, words: dict[str, dict[str, str]]) -> None:
    found = {key: word for key, text in words[language].items() for word in BANNED[language] if word in text}
    assert found == {}


def test_the_outlet_has_the_same_name_wherever_it_is_named(words: dict[str, dict[str, str]]) -> None:
    for language, name in {"fr": "prise", "de": "ladepunkt", "lb": "luedpunkt", "en": "outlet"}.items():
        for key in ("labels.outlet", "choose_outlet.title", "choose_outlet.line", "refused.unavailable.line"):
            assert name in words[language][key].lower(), (language, key)


# --- the mark and the languages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["AC", "DC"])
def test_a_mark_that_says_ok_is_on_no_screen_of_an_outlet_that_cannot_charge(kind: str) -> None:
    mark = {"AC": "Chargy OK", "DC": "SuperChargy OK"}[kind]
    without = {S.STARTING, S.REFUSED, S.OUT_OF_SERVICE, S.OFFLINE, S.SERVICE}
    for name in ScreenName:
        for size, depth in (((800, 480), 16), ((480, 800), 16), ((320, 240), 16), ((240, 320), 16)):
            whole = page_of_screen(
                Screen(name, "fr", "x", {"evse": 1, "evses": 2}), load_texts("fr", (CONFIG,)), StationFacts(kind=kind)
            )
            seen = {p.what for face in faces_of_page(whole, size, depth) for p in face(dry=True).placed}
            assert (mark in seen) is (name not in without), (name, size)
            assert not {"Chargy OK", "SuperChargy OK"} & seen - {mark}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tiny_panel_ends_its_slides_with_sentences(language: str, words: dict[str, dict[str, str]]) -> None:
    """Three lines hold most sentences: none is cut behind the first word of the next one."""
    for key, text in words[language].items():
        said = split_sentences(text)
        assert " ".join(said) == text
        if key.startswith("out_of_service.details."):
            shown = Screen(S.OUT_OF_SERVICE, language, key.rpartition(".")[2], {"hotline": "112", "number": "1"})
            slides_ = slides_of_page(page_of_screen(shown, load_texts(language, (CONFIG,)), NO_FACTS), (128, 64))
            lines = [row for slide in slides_[2:] for row in slide.rows]
            for first, second in itertools.pairwise(said):
                assert not any(first in row and not row.endswith((second, first)) for row in lines), (key, lines)


def test_sentences_are_reported_from_abbreviations() -> None:
    assert split_sentences("Isolatiounsfeeler. Stiecht Ären Auto w.e.g. aus.") == [
        "Isolatiounsfeeler.", "Stiecht Ären Auto w.e.g. aus.",
    ]  # fmt: skip
    assert split_sentences("In 5 Min. geht es los. Danke!") == ["In 5 Min. geht es los.", "Danke!"]
    assert split_sentences("Ohne Vertrag, inkl. MwSt.") == ["Ohne Vertrag, inkl. MwSt."]
    assert split_sentences("") == []


def test_the_hotline_is_second_when_out_of_service() -> None:
    shown = Screen(
        S.OUT_OF_SERVICE, "de", "GroundFailure", {"hotline": "+352 1234", "number": "1", "evse": 1, "evses": 2}
    )
    said = [
        slide.rows for slide in slides_of_page(page_of_screen(shown, load_texts("de", (CONFIG,)), NO_FACTS), (128, 64))
    ]
    assert said[0] == ("Außer Betrieb",)
    assert said[1] == ("+352 1234",)
    assert said.count(("+352 1234",)) == 1


@pytest.mark.parametrize("size", [(800, 480), (1024, 600), (480, 800), (320, 240), (240, 320), (128, 64)])
@pytest.mark.parametrize("evses", [1, 2])
def test_the_languages_of_the_button_are_shown(size: tuple[int, int], evses: int) -> None:
    values = {"evse": 1, "evses": evses, "languages": "FR DE LB EN", "time_utc_s": 1_795_600_000.0, "number": "1"}
    for language in LANGUAGES:
        whole = page_of_screen(Screen(S.IDLE, language, "", values), load_texts(language, (CONFIG,)), NO_FACTS)
        shown = [face(dry=True) for face in faces_of_page(whole, size, 1 if size == (128, 64) else 16)]
        assert any(p.what == "FR DE LB EN" for c in shown for p in c.placed)
        assert all(c.is_complete for c in shown)
