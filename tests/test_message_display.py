"""Which stations show messages of a backend: those with a display, and a version of OCPP that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.assembly.domain_setup import initial_settings
from agent.domain.variables import DISPLAY_MESSAGES
from agent.station_file.settings import parse_station_file

PNG = {"driver": "display_png", "path": "screen.png"}
CHARGY = {"name": "chargy", "url": "ws://127.0.0.1:1/"}
OWNER = {"name": "owner", "url": "ws://127.0.0.1:2/", "versions": ["2.0.1"]}


def shows_messages(folder: Path, versions: list[str], evse: dict[str, Any], **tables: Any) -> bool:
    station = {"state_dir": str(folder / "state")}
    backend = {**CHARGY, "versions": versions}
    raw = {"station": station, "backend": backend, "evse": [{"number": 1, **evse}], **tables}
    return DISPLAY_MESSAGES in initial_settings(parse_station_file(raw, folder / "station.toml")).fitted


@pytest.mark.parametrize(
    ("versions", "evse", "tables", "shows"),
    [
        (["2.0.1"], {"display": PNG}, {}, True),
        (["2.0.1", "1.6"], {}, {"display": PNG}, True),
        (["1.6"], {"display": PNG}, {}, False),
        (["2.0.1"], {}, {}, False),
    ],
    ids=["own display", "shared display", "1.6", "no display"],
)
def test_a_display_and_a_version_that_has_messages(
    tmp_path: Path, versions: list[str], evse: dict[str, Any], tables: dict[str, Any], shows: bool
) -> None:
    assert shows_messages(tmp_path, versions, evse, **tables) is shows


def test_a_second_backend_may_only_look_at_them(tmp_path: Path) -> None:
    """It may set them if the station file lists the call."""
    assert not shows_messages(tmp_path, ["1.6"], {"display": PNG}, backends=[OWNER])
    may_set = {**OWNER, "calls": ["SetDisplayMessage"]}
    assert shows_messages(tmp_path, ["1.6"], {"display": PNG}, backends=[may_set])
