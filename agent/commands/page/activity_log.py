"""Who did what on the field page: one JSON line each, in a file for its owner alone, and a line in the log. No line
holds a password, a token or the content of a file."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

MOST_BYTES = 512 * 1024
LONGEST_TEXT = 300
SHOWN_BYTES = 64 * 1024


class ActivityLog:
    """Appends to ``path``. When that is full it becomes ``path`` with ``.1`` behind it, and the one before is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record_activity(self, action: str, user: str, address: str, detail: str = "") -> None:
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "user": user, "from": address, "did": action}
        if detail:
            line["detail"] = detail[:LONGEST_TEXT]
        text = json.dumps(line, ensure_ascii=True)
        log.warning("%s", text)
        with contextlib.suppress(OSError):  # the line is in the log
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
                self._path.replace(self._path.with_suffix(".1.jsonl"))
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
                file.write(text + "\n")

    def newest_activities(self, most: int) -> list[dict[str, str]]:
        """Return the newest activities, the newest first."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - SHOWN_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        found = []
        for line in reversed(lines[-most:]):
            with contextlib.suppress(ValueError):  # the first may be half a line
                found.append({str(k): str(v) for k, v in json.loads(line).items()})
        return found
