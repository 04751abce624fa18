"""The texts of the simulation page: one table (texts.json), complete in each language, from which every text comes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.model.bearer import BearerState, Registration, SimState
from agent.model.types import ScreenName
from drivers.sim.modem_far_end import REGISTRATIONS

PAGE = Path(__file__).resolve().parents[2] / "drivers" / "sim" / "page"
TEXTS: dict[str, dict[str, str]] = json.loads((PAGE / "texts.json").read_text("utf-8"))
API_PAGE = ("api.js",)
COMMENT = re.compile(r"^\s*//.*$|\s// .*$", re.MULTILINE)
SCRIPTS = {p.name: COMMENT.sub("", p.read_text("utf-8")) for p in sorted(PAGE.glob("*.js")) if p.name not in API_PAGE}
DOCUMENTS = {p.name: p.read_text("utf-8") for p in sorted(PAGE.glob("*.html"))}
SOURCES = {**SCRIPTS, **DOCUMENTS}
VALUES = re.compile(r"\{(\w+)\}")
IN_HTML = re.compile(r'data-text(?:-(?:label|title|placeholder|alt))?="(\w+)"')
CALLED = re.compile(r"\bphrase\(([^(){}]*)")
CHOSEN = re.compile(r'(?:^|[?:])\s*"(\w+)"')
MADE = re.compile(r'`(\w+_)\$\{|phraseOfWord\("(\w+)"')
PLAIN_STRINGS = re.compile(r'"([^"\n]*)"|`((?:[^`\\]|\\.)*)`')
PROSE = re.compile(r"[a-zà-ÿ]{2,},? [a-zà-ÿ]{2,}")
NOT_SHOWN = {"use strict", "11px system-ui, sans-serif", "not judged", "at work"}
"""Of the language itself, a font, and words of the doctor that the table translates."""


def written_keys() -> set[str]:
    """Return the keys that stand in the sources as a whole."""
    keys = {key for text in SOURCES.values() for key in IN_HTML.findall(text)}
    first_arguments = [argument for text in SCRIPTS.values() for argument in CALLED.findall(text)]
    return keys | {key for argument in first_arguments for key in CHOSEN.findall(argument)}


def made_prefixes() -> set[str]:
    """Return the beginnings of the keys that a script puts together."""
    found = [match for text in SCRIPTS.values() for match in MADE.findall(text)]
    return {begin or f"{word}_" for begin, word in found}


@pytest.mark.parametrize("language", TEXTS)
def test_each_language_has_the_same_keys_in_the_same_order(language: str) -> None:
    assert list(TEXTS[language]) == list(TEXTS["en"])
    assert [key for key, text in TEXTS[language].items() if not text.strip()] == []


@pytest.mark.parametrize("language", TEXTS)
def test_each_text_has_the_values_of_the_english_one(language: str) -> None:
    english, other = (
        {key: set(VALUES.findall(text)) for key, text in TEXTS[code].items()} for code in ("en", language)
    )
    assert other == english


@pytest.mark.parametrize("language", [code for code in TEXTS if code != "en"])
def test_no_sentence_was_left_in_english(language: str) -> None:
    same = [key for key, text in TEXTS["en"].items() if TEXTS[language][key] == text]
    assert [key for key in same if PROSE.search(VALUES.sub("", TEXTS["en"][key]))] == []


def test_each_key_that_is_used_has_a_text() -> None:
    assert len(written_keys()) > 150
    assert sorted(written_keys() - set(TEXTS["en"])) == []


def test_each_text_is_used() -> None:
    quoted = {word for text in SOURCES.values() for word in re.findall(r'"(\w+)"', text)}
    prefixes = tuple(made_prefixes())
    assert [key for key in TEXTS["en"] if key not in quoted and not key.startswith(prefixes)] == []


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("screen", ScreenName),
        ("registration", [*(r for r in Registration if r != Registration.UNKNOWN), *REGISTRATIONS.values()]),
        ("sim", SimState),
        ("bearer_use", [state for state in BearerState if state != BearerState.UP]),
    ],
)
def test_each_word_of_the_station_has_a_text(prefix: str, words: list[str]) -> None:
    missing = [word for word in words if f"{prefix}_{str(word).lower().replace(' ', '_')}" not in TEXTS["en"]]
    assert missing == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_says_a_text_of_its_own(name: str) -> None:
    found = PLAIN_STRINGS.findall(SCRIPTS[name])
    strings = [double or re.sub(r"\$\{[^}]*\}", "", template) for double, template in found]
    assert [text for text in strings if PROSE.search(text) and text not in NOT_SHOWN] == []


class TextsInMarkup(HTMLParser):
    """Collects what a document says itself. The options of a choice are words of OCPP."""

    def __init__(self) -> None:
        super().__init__()
        self.own_texts: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        spoken = {"aria-label", "title", "placeholder", "alt"}
        self.own_texts += [f"{name}={value}" for name, value in attrs if name in spoken]

    def handle_data(self, data: str) -> None:
        if self._tag != "option" and re.search(r"[A-Za-zà-ÿ]{4,}", data):
            self.own_texts.append(data.strip())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_document_says_a_text_of_its_own(name: str) -> None:
    reader = TextsInMarkup()
    reader.feed(DOCUMENTS[name])
    assert reader.own_texts == []


def test_the_checks_find_what_they_look_for() -> None:
    reader = TextsInMarkup()
    reader.feed('<button title="Cut the cable">Stop charging</button><option>Delta</option>')
    assert reader.own_texts == ["title=Cut the cable", "Stop charging"]
    assert PROSE.search("no transaction runs")
    assert CHOSEN.findall('kind === "DC" ? "outlet_name_dc" : "outlet_name", ') == ["outlet_name_dc", "outlet_name"]
