"""The simulated panel as it is looked at through the control API."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

from PIL import Image

from drivers.sim.screen import Screen


def test_a_frame_that_is_being_written_is_not_looked_at(tmp_path: Path) -> None:
    screen = Screen(tmp_path / "fb", 16, 64)
    screen.start()
    row = b"\xff\xff" * screen.width

    def draw() -> None:
        with screen.path.open("r+b", buffering=0) as memory:
            for y in range(screen.height):
                memory.seek(y * len(row))
                memory.write(row)
                time.sleep(0.001)

    painter = threading.Thread(target=draw)
    painter.start()
    while screen.path.read_bytes()[:2] == b"\0\0":
        time.sleep(0.001)
    seen = Image.open(io.BytesIO(screen.render_png()))
    painter.join()
    assert seen.getcolors() == [(16 * 64, (255, 255, 255))]
