"""Far end of a serial badge reader: one line of text per card."""

from __future__ import annotations

from pathlib import Path

from drivers.sim.pty_line import PtyLine


class LineReader:
    def __init__(self, link: Path) -> None:
        self._line = PtyLine(link)
        self.address = str(link)

    @property
    def is_silent(self) -> bool:
        return not self._line.is_up

    def start(self) -> None:
        self._line.open()

    def close(self) -> None:
        self._line.hang_up()

    def set_silent(self, silent: bool) -> None:
        """Hang up, or come back under the same name."""
        if silent:
            self._line.hang_up()
        elif not self._line.is_up:
            self._line.open()

    def send_token(self, token: str) -> None:
        self._line.send(token.encode() + b"\r\n")

    def discard_taps(self) -> None:
        self._line.discard_unread()
