"""The JSON Schema of a station file takes every file that ``check`` takes, and finds what a schema can find."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from agent.assembly.domain_setup import initial_settings
from agent.cli import main
from agent.ocpp import versions
from agent.station_file.device_roles import ROLES
from agent.station_file.settings import SettingsError, parse_station_file
from agent.station_file.station_schema import VERSION_TABLES
from tests.arch.station_schema import text
from tests.support.busy_machine import stretched
from tests.test_station_mistakes import MISTAKES, WHOLE, with_line

ROOT = Path(__file__).parents[1]
SCHEMA: dict[str, Any] = json.loads(text())
JUDGE = Draft7Validator(SCHEMA)
FILES = [
    p for p in sorted((ROOT / "config").rglob("*.toml")) if "[[evse]]" in p.read_text("utf-8") and p.name != "kit.toml"
]
SEEN_OF_MISTAKES = 90
"""Of the planted mistakes: the others are about several keys, about files and devices, or about words that the machine
knows (languages, maps, currencies). The number only grows."""


def schema_errors(raw: dict[str, Any]) -> list[ValidationError]:
    return list(JUDGE.iter_errors(raw))


def stations_in_tests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text in the tests that is a station file with good tables and settings, with the place where it stands."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        source = path.read_text("utf-8")
        if "[[evse]]" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "[[evse]]" in node.value:
                try:
                    raw = tomllib.loads(node.value)
                    initial_settings(parse_station_file(raw, path))
                except (tomllib.TOMLDecodeError, SettingsError):
                    continue  # a template, or a file with a mistake
                yield f"{path.relative_to(ROOT)}:{node.lineno}", raw


def test_it_is_a_schema_of_the_draft_that_editors_know() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_station_file_that_is_shipped_is_valid(path: Path) -> None:
    assert schema_errors(tomllib.loads(path.read_text("utf-8"))) == []


def test_every_station_file_of_the_tests_is_valid() -> None:
    found = list(stations_in_tests())
    assert len(found) > 60
    assert [(where, e.json_path, e.message) for where, raw in found for e in schema_errors(raw)] == []


def test_the_file_with_every_kind_of_table_is_valid_and_mistakes_in_it_are_found() -> None:
    assert schema_errors(tomllib.loads(WHOLE)) == []
    texts = [with_line(WHOLE, header, which, line)[0] for header, which, line, _, _ in MISTAKES]
    assert sum(bool(schema_errors(tomllib.loads(t))) for t in texts) >= SEEN_OF_MISTAKES


@pytest.mark.parametrize(
    ("header", "line", "place", "complaint"),
    [
        ("[station]", 'statedir = "x"', "$.station", "'statedir' was unexpected"),
        ("[station]", "store_max_mb = 0", "$.station.store_max_mb", "less than the minimum of 1"),
        ("[settings]", "sample_intervall_s = 5", "$.settings", "'sample_intervall_s' was unexpected"),
        ("[settings]", "sample_interval_s = true", "$.settings.sample_interval_s", "is not valid under any"),
        ("[tariff]", "kwh = -1", "$.tariff.kwh", "less than the minimum of 0"),
        ("[tariff]", 'kwh = "much"', "$.tariff.kwh", "does not match"),
        ("[terminal]", 'driver = "terminal_paiter"', "$.terminal.driver", "is not one of ['terminal_payter']"),
        ("[terminal]", "speed = 5", "$.terminal", "'speed' was unexpected"),
        ("[power]", "hold_s = 0", "$.power.hold_s", "less than the minimum of 0.01"),
    ],
)
def test_a_mistake_is_found_at_its_place(header: str, line: str, place: str, complaint: str) -> None:
    (error,) = schema_errors(tomllib.loads(with_line(WHOLE, header, 1, line)[0]))
    assert error.json_path == place
    assert complaint in error.message


def test_a_key_of_another_driver_is_found() -> None:
    raw = {"evse": [{"board": {"driver": "evse_openevse", "device": "/dev/ttyS1", "watchdog_s": 5}}]}
    (error,) = schema_errors(raw)
    assert [e.message for e in error.context or ()] != []
    raw["evse"][0]["board"]["driver"] = "evse_modbus"  # it has both keys
    assert schema_errors(raw) == []


def test_the_agents_own_keys_of_each_role_are_known() -> None:
    roles = [role for role in ROLES.values() if role.own_keys]
    assert len(roles) >= 4
    for role in roles:
        keys = SCHEMA["definitions"][role.name]["properties"]
        assert all(isinstance(keys[key], dict) and keys[key] for key in role.own_keys), role.name


def test_the_sub_tables_of_the_settings_are_those_of_the_versions() -> None:
    assert tuple(versions.FAMILIES) == VERSION_TABLES


@pytest.fixture
def taplo(tmp_path: Path) -> Callable[[str], str]:
    """Taplo, which judges station files in editors: what it says of a file that names the schema in its first line."""
    program = Path(sys.executable).with_name("taplo")
    if not program.exists():
        pytest.skip("taplo is not installed")
    (tmp_path / "station.schema.json").write_text(text(), "utf-8")

    def judge(file_text: str) -> str:
        path = tmp_path / "station.toml"
        path.write_text(f"#:schema ./station.schema.json\n{file_text}", "utf-8")
        argv = [str(program), "lint", "--no-auto-config", "--colors", "never", str(path)]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=stretched(60))
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return judge


def test_an_editor_reads_the_schema_and_takes_good_files(taplo: Callable[[str], str]) -> None:
    for path in FILES:
        assert taplo(path.read_text("utf-8")) == ""


@pytest.mark.parametrize(
    ("header", "line", "complaint"),
    [
        ("[station]", 'statedir = "x"', "Additional properties are not allowed ('statedir' was unexpected)"),
        ("[station]", "store_max_mb = 0", "0 is less than the minimum of 1"),
        ("[terminal]", "speed = 5", "Additional properties are not allowed ('speed' was unexpected)"),
    ],
)
def test_an_editor_marks_mistakes(taplo: Callable[[str], str], header: str, line: str, complaint: str) -> None:
    assert complaint in taplo(with_line(WHOLE, header, 1, line)[0])


def test_the_command_prints_the_schema_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "station"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["definitions"].keys() == SCHEMA["definitions"].keys()
    drivers = set(SCHEMA["definitions"]["meter"]["properties"]["driver"]["enum"])
    assert drivers <= set(printed["definitions"]["meter"]["properties"]["driver"]["enum"])
    for kind in ("kit", "plan", "scenario"):
        assert main(["schema", kind]) == 0
        assert json.loads(capsys.readouterr().out)["type"] == "object"
