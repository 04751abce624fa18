"""How far the commissioning of the station has come. It outlives the page, which a kit restarts with the agent."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class CommissioningRecord:
    """``done``: by step, the time at which it was done (UTC text), and by whom."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now_s = path, now_s
        self._newest_step_s = now_s()
        self.done: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self.done = {str(k): str(v) for k, v in json.loads(path.read_text("utf-8")).items()}

    def mark_step_as_done(self, step: str, text: str) -> None:
        if step not in self.done:
            self.done[step], self._newest_step_s = text, self._now_s()
            self._save_file()

    def seconds_since_newest_step(self) -> float:
        """Return how long the present step has been open, since the start of this process at most."""
        return self._now_s() - self._newest_step_s

    def start_commissioning_over(self) -> None:
        self.done = {}
        self._save_file()

    def forget_done_step(self, step: str) -> None:
        if self.done.pop(step, None) is not None:
            self._save_file()

    def _save_file(self) -> None:
        content: dict[str, Any] = dict(self.done)
        with contextlib.suppress(OSError):  # it is shown as not done, and can be done again
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = self._path.with_name(f".{self._path.name}.partial")
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(content, file)
            os.replace(beside, self._path)
