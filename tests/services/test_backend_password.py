"""The password of a backend that is in a file: read for each connection, masked, and never the end of the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly.identity import backend_password
from agent.services.logs.masking import LogMask
from agent.station_file.settings import Backend


def backend_of(file: Path) -> Backend:
    return Backend(url="ws://10.0.0.1", charge_point_id="CP-1", password_file=file)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_password_is_read_and_masked(tmp_path: Path, mode: int) -> None:
    """A wrong mode is for ``check`` to say: it cuts no link."""
    file = tmp_path / "password"
    file.write_text(" of-the-station\n")
    file.chmod(mode)
    mask = LogMask()
    assert backend_password(backend_of(file), mask) == "of-the-station"
    assert mask.mask_text("Basic CP-1:of-the-station") == "Basic CP-1:***"


UNFIT_FILES = {
    "no UTF-8": b"of-the-\xffstation",
    "UTF-16": "of-the-station".encode("utf-16-le"),
    "a large file": b"of-the-station" * 10_000,
}


@pytest.mark.parametrize("kind", [*UNFIT_FILES, "a folder", "nothing there"])
def test_a_file_that_holds_no_password_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """An exception here would leave the link and end the agent at each start."""
    file = tmp_path / "password"
    if kind == "a folder":
        file.mkdir()
    elif kind in UNFIT_FILES:
        file.write_bytes(UNFIT_FILES[kind])
    assert backend_password(backend_of(file), LogMask()) is None
    (line,) = caplog.messages
    assert line.startswith(f"backend chargy: password_file {file}: ")
    assert "station" not in line.removeprefix(f"backend chargy: password_file {file}: ")
