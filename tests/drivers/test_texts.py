"""The texts of the screen: four languages, one set of keys, nothing missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.domain.faults import blocks
from agent.kinds import Fault, Screen, ScreenName
from agent.ports import Broken
from drivers.panel.page import page
from drivers.panel.texts import Texts, duration, load

CONFIG = Path(__file__).parents[2] / "config"
LANGUAGES = ("fr", "de", "lb", "en")
REFUSALS = (
    "web_failed",
    "invalid", "blocked", "expired", "concurrent", "too_long", "offline", "unreadable",
    "unavailable", "reserved", "wrong_card", "just_begun",
    "new_charge", "not_chosen", "other_price",
)  # fmt: skip
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
    texts = load(language, (CONFIG,))
    generic = texts("out_of_service.line")
    for detail in (*Fault, "unavailable", "SomethingNew", ""):
        said = page(Screen(ScreenName.OUT_OF_SERVICE, language, detail), texts, {})
        assert said.title
        assert all(said.lines)
        assert said.lines
    assert page(Screen(ScreenName.OUT_OF_SERVICE, language, "SomethingNew"), texts, {}).lines == (generic,)
    for fault in Fault:  # what takes an outlet out of service, save what nobody outside can make anything of
        if blocks(fault) and fault not in (
            Fault.STORE_FAILED,
            Fault.RECORD_POISONED,
            Fault.INTERNAL_ERROR,
            Fault.OTHER_ERROR,
        ):
            assert page(Screen(ScreenName.OUT_OF_SERVICE, language, fault), texts, {}).lines != (generic,), fault
    own = page(Screen(ScreenName.OUT_OF_SERVICE, language, "EmergencyStop"), texts, {})
    assert own == page(Screen(ScreenName.OUT_OF_SERVICE, language, "MREC8EmergencyStop"), texts, {})
    assert own.lines != (generic,)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_has_a_title_and_no_unfilled_blank(language: str) -> None:
    texts = load(language, (CONFIG,))
    values = {"token_tail": "C4D5", "remaining_s": 57.0, "evse": 2, "evses": 2, "free": True, "price_line": "{x}"}
    for name in ScreenName:
        for detail in ("", *REFUSALS, *ENDS, "nonsense"):
            said = page(Screen(name, language, detail, values), texts, {})
            assert said.title
            own = "".join((said.title, *said.lines, said.hint, said.outlet)).replace("{x}", "")  # the price is not ours
            assert "{" not in own


def test_decimal_comma_where_people_write_it() -> None:
    for language, energy in (("fr", "12,34"), ("de", "12,34"), ("lb", "12,34"), ("en", "12.34")):
        assert load(language, (CONFIG,)).energy(12349) == energy


def test_energy_is_never_rounded_up() -> None:
    texts = Texts("en", {"decimal": "."})
    assert [texts.energy(n) for n in (0, 7, 812, 9999, 10_000, 123_459)] == [
        "0.000", "0.007", "0.812", "9.999", "10.00", "123.45",
    ]  # fmt: skip
    assert texts.power(11_012) == "11.0"
    assert texts.power(148_960) == "149.0"


def test_duration() -> None:
    assert [duration(s) for s in (0, 65, 3753, 360_000, -3)] == [
        "0:00:00",
        "0:01:05",
        "1:02:33",
        "100:00:00",
        "0:00:00",
    ]


def test_own_folder_wins_and_a_missing_language_falls_back(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "fr.toml").write_text('[idle]\ntitle = "Bonjour {who} {"\n')
    assert load("fr", (tmp_path, CONFIG)).words["idle"] == {"title": "Bonjour {who} {"}
    assert load("fr", (tmp_path, CONFIG))("idle.title") == "Bonjour {who} {"
    assert load("nl", (CONFIG,)).language == "en"
    assert load("../../etc/passwd", (CONFIG,)).language == "en"


def test_no_texts_at_all_needs_a_person(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"no texts/fr\.toml in"):
        load("fr", (tmp_path,))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "fr.toml").write_text("this is = = not TOML")
    with pytest.raises(Broken, match=r"cannot be read"):
        load("fr", (tmp_path,))


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
    shown = page(Screen(ScreenName.IDLE, "fr", "", values), load("fr", (CONFIG,)), {"timezone": timezone})
    assert shown.clock == clock
    assert page(Screen(ScreenName.IDLE, "fr", "", {"time_utc_s": None}), load("fr", (CONFIG,)), {}).clock == ""
