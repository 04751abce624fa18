"""The simulated panel as it is looked at through the control API."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from drivers.sim.screen import Screen


def test_a_frame_that_is_being_written_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rest of the one who looks is the time in which the painter writes some rows."""
    screen = Screen(tmp_path / "fb", 16, 64)
    screen.start()
    row = b"\xff\xff" * screen.width
    left = list(range(screen.height))

    def paint_rows(rest_s: float) -> None:
        with screen.path.open("r+b", buffering=0) as memory:
            for y in left[:4]:
                memory.seek(y * len(row))
                memory.write(row)
        del left[:4]

    paint_rows(0)
    monkeypatch.setattr("drivers.sim.screen.time.sleep", paint_rows)
    seen = Image.open(io.BytesIO(screen.render_png()))
    assert seen.getcolors() == [(16 * 64, (255, 255, 255))]
