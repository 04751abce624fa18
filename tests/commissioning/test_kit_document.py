"""The configuration document of a kit: it lists each key of both files, names what is not as asked, shows no secret."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from agent import cli
from tests.support.kit_files import BEARER, KIT, PASSWORD, PIN, STATION, write_kit, write_station

SECRETS = ("a bench only", PASSWORD, PIN, "8642", "bearer of a secret")
LONG = "/srv/" + "a-long-folder-name/" * 12 + "alerts.jsonl"
ADDED = f"""
[[sinks]]
name = "box"
path = "{LONG}"
{BEARER}
[meter]
driver = "meter_modbus"
pin = "8642"
password = "bearer of a secret"
"""


def keys_of(tables: dict[str, Any], outlets_by_number: bool) -> Iterator[tuple[str, Any]]:
    """Each key as a person names it, by rules of this test's own."""
    for table, content in tables.items():
        for place, inner in enumerate(content if isinstance(content, list) else [content]):
            counted = place + (table in ("evse", "sinks"))
            number = inner.get("number", counted) if table == "evse" and outlets_by_number else counted
            head = f"{table}[{number}]" if isinstance(content, list) else table
            for key, value in inner.items():
                if isinstance(value, dict):
                    yield from ((f"{head}.{key}.{k}", v) for k, v in value.items())
                else:
                    yield f"{head}.{key}", value


def text_of(pdf: Path) -> str:
    """All text without blanks and line ends: a long value goes over several lines."""
    pages = pypdfium2.PdfDocument(pdf)
    return "".join("".join(page.get_textpage().get_text_range().split()) for page in pages).replace("\ufffe", "")


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path]:
    return write_kit(tmp_path), write_station(tmp_path / "board", STATION + ADDED)


def document(kit: Path, station: Path) -> str:
    assert cli.main(["kit", "document", str(kit), str(station), "--folder", str(kit.parent)]) == 0
    return text_of(kit.parent / "configuration-0042.pdf")


def test_it_lists_each_key_of_both_files(written: tuple[Path, Path]) -> None:
    kit, station = written
    text = document(kit, station)
    keys = [*keys_of(tomllib.loads(KIT), True), *keys_of(tomllib.loads(station.read_text()), False)]
    assert len(keys) > 40
    assert [key for key, _ in keys if "".join(key.split()) not in text] == []
    values = [
        str(v) for key, v in keys if isinstance(v, str | int | float) and type(v) is not bool and v not in SECRETS
    ]
    assert LONG in values
    assert [value for value in values if "".join(value.split()) not in text] == []


def test_it_shows_no_secret(written: tuple[Path, Path]) -> None:
    kit, station = written
    text = document(kit, station)
    assert [secret for secret in SECRETS if "".join(secret.split()) in text] == []
    assert text.count("(secret,notshown)") == 3


def test_it_says_what_is_not_as_asked(written: tuple[Path, Path]) -> None:
    kit, station = written
    station.write_text(STATION)
    before = document(kit, station)
    assert 'station.hotline"+35280001122"DIFFERENT' in before
    assert 'station.qr_url"https://pay.example.lu/0042"NOTSET' in before
    assert "sim.apn" in before
    station.write_text(STATION + BEARER)
    assert 'sim.apn"chargy.m2m.lu"DIFFERENT' in document(kit, station)
    assert cli.main(["kit", "apply", str(kit), str(station)]) == 0
    after = document(kit, station)
    assert 'station.hotline"+35280001122"asasked' in after
    assert 'sim.apn"chargy.m2m.lu"asasked' in after
    assert "DIFFERENT" not in after
    assert "NOTSET" not in after
