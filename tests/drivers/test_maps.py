"""The boards' maps in ``config/``: every address against the manufacturers' registers. Meters: test_meter_maps.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.board import Pilot
from agent.model.types import Fault
from drivers.device_maps import MapError
from drivers.evse_modbus import board_map

CONFIG = Path(__file__).parents[2] / "config"


def test_an_unknown_map_is_guessed() -> None:
    with pytest.raises(MapError, match="did you mean 'charx_sec'"):
        board_map.find_board_map("charx", (CONFIG,))


def test_charx_registers() -> None:
    """UM EN CHARX SEC, appendix B."""
    m = board_map.find_board_map("charx_sec", (CONFIG,))
    assert (m.stride, m.blocks, m.state.at) == (1000, (board_map.Block(3, 232, 77),), 299)
    assert m.release is not None
    assert (m.release.at, m.release.on, m.release.off) == (300, 1, 0)
    assert (m.limit.at, m.limit.pause, m.limit.least, m.limit.most) == (301, 0, 6, 80)
    assert m.service is not None
    assert (m.service.at, m.service.off) == (304, 0)
    assert m.unlock is not None
    assert (m.unlock.at, m.unlock.on) == (305, 1)
    assert m.watchdog is not None
    assert (m.watchdog.fallback_at, m.watchdog.seconds_at) == (306, 307)
    places = {n: (p.at, p.registers) for n, p in m.picture.items()}
    assert places["plugged_s"] == (285, 2)
    assert places["errors"] == (293, 2)
    assert [places[n] for n in ("inputs", "offered_a", "cable_a", "released", "locked")] == [
        (295, 1), (297, 1), (298, 1), (300, 1), (303, 1),
    ]  # fmt: skip
    assert {k: c.pilot for k, c in m.codes.items()} == {
        "A1": Pilot.A, "A2": Pilot.A, "B1": Pilot.B, "B2": Pilot.B, "C1": Pilot.C, "C2": Pilot.C,
        "D1": Pilot.D, "D2": Pilot.D, "E0": Pilot.E, "F0": Pilot.F,
    }  # fmt: skip
    assert {k for k, c in m.codes.items() if c.power} == {"C2", "D2"}
    assert m.errors[30] is Fault.GROUND_FAILURE
    assert m.errors[27] is Fault.CONTACTOR_WELDED
    assert 4 not in m.errors, "a pause by the load management is no fault"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"PilotFault"', '"PilotFoult"', "PilotFoult"),
        ("released = { at = 300 }", "", "released is missing"),
        ("released = { at = 300 }", "released = { at = 300, function = 1 }", "released at 300 lies outside"),
        ("at = 299", "at = 400", "outside of the poll"),
        ("release = { at = 300, on = 1, off = 0 }", "", "release"),
        ("inputs = {", "imputs = {", "unknown imputs"),
        ("seconds_at = 307", "secs_at = 307", "secs_at"),
        ("[state]", '[state]\nword = "runes"', "state.word"),
        ("[memory]", "[memoirs]", "unknown memoirs"),
        ("kept = [306, 307]", "kept = [300, 306, 307]", "memory.kept: 300 is written all day"),
        ("kept = [306, 307]", "kept = [301]", "memory.kept: 301 is written all day"),
        ("release = { at = 300, on = 1, off = 0 }\nlimit = { at = 301, pause = 0,",
         'release = "limit"\nlimit = { at = 301,', "limit.pause is missing"),
    ],
)  # fmt: skip
def test_a_wrong_board_map_says_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = (CONFIG / "boards" / "charx_sec.toml").read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(MapError, match=complaint) as caught:
        board_map.load_board_map(path)
    assert "wrong.toml" in str(caught.value)
