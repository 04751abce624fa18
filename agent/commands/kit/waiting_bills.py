"""Bills that no backend has yet, when a kit leads the station to another backend or gives it another charge point id.

They belong to the backend of before: another one does not know their transactions, or bills them to another station.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.commands.kit.generations import FileOwner
from agent.station_file.settings import SettingsError

ADVICE = (
    "let the station send them first, or give --leave-bills if they may go where the station file then leads: "
    "`chargy-agent undelivered` lists them"
)
PATIENCE_S = 60.0


def refuse_waiting_bills(station: Path, owner: FileOwner, now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Refuse to lead bills elsewhere. ``now`` and ``then``: the tables of the station file before and after.

    Raises ``SettingsError`` if bills wait, or if it cannot be found out whether any do.
    """
    if _recipient_of_bills(now) == _recipient_of_bills(then):
        return
    folder = station.parent / str(_table_of(now, "station").get("state_dir", "state"))
    if any(folder.glob("agent.db*")) and (found := _list_waiting_bills(station, owner)):
        head = "the backend or the charge point id would change, and bills wait for the present ones"
        raise SettingsError([f"{station}: {head}: {'; '.join(found)}; {ADVICE}"])


def _table_of(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    table = table[0] if isinstance(table, list) and table else table
    return table if isinstance(table, Mapping) else {}


def _recipient_of_bills(tables: Mapping[str, Any]) -> tuple[frozenset[tuple[str | None, str]], str]:
    """Return the backend (host and path of its addresses; scheme and port change with the security profile) and the
    charge point id."""
    backend, station = _table_of(tables, "backend"), _table_of(tables, "station")
    parts = [urlsplit(str(url)) for key in ("url", "secure_url") if (url := backend.get(key))]
    return frozenset((p.hostname, p.path.rstrip("/")) for p in parts), str(
        backend.get("charge_point_id") or station.get("id", "")
    )


def _list_waiting_bills(station: Path, owner: FileOwner) -> list[str]:
    """Ask ``chargy-agent undelivered`` as the agent's user: a store that root opens may get files that the agent cannot
    write."""
    user = {"user": owner.user, "group": owner.group, "extra_groups": []} if os.geteuid() == 0 else {}
    words = (sys.executable, "-P", "-m", "agent", "undelivered", str(station))
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **user)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        return [f"no answer within {PATIENCE_S:g} s"]
    if done.returncode == 0:
        return []
    lines = (done.stdout if done.returncode == 1 else done.stderr).splitlines()
    return [" ".join(line.split()) for line in lines[-8:]] or [f"exit code {done.returncode}"]
