"""Bills that no backend has yet, when a kit leads the station to another backend or gives it another charge point id.

They belong to the backend of before: another one does not know their transactions, or bills them to another station.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.commands.kit.generations import FileOwner
from agent.station_file.settings import SettingsError
from agent.station_file.tables import Backend

ADVICE = "let the station send them first, or give --leave-bills if they may go where the station file then leads"
UNKNOWN = "it cannot be found out whether bills wait for the present backend"
PATIENCE_S = 60.0
BILLS = ("open session", "queued")
"""What is sent by itself. A dead letter was refused by the backend, and a payment is settled by the bank."""


def refuse_waiting_bills(
    station: Path, owner: FileOwner, now: Mapping[str, Any], then: Mapping[str, Any], *before: Mapping[str, Any]
) -> None:
    """Refuse to lead bills elsewhere. ``now`` and ``then``: the tables of the station file before and after; none if
    the file is broken. ``before``: what else may say where the store is.

    Raises ``SettingsError`` if bills wait, or if it cannot be found out whether any do.
    """
    if now and recipient_of_bills(now) == recipient_of_bills(then):
        return
    if not now and not any(before):
        raise SettingsError([f"{station}: {UNKNOWN}: the station file is broken; repair it, or give --leave-bills"])
    for tables in filter(None, (now, *before)):
        table = _table_of(tables, "station")
        found = _list_waiting_bills(station.parent / str(table.get("state_dir", "state")), tables, owner)
        if found:
            head = "the backend or the charge point id would change, and bills wait for the present ones"
            raise SettingsError([f"{station}: {head}: {'; '.join(found)}; {ADVICE}"])


def _table_of(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    table = table[0] if isinstance(table, list) and table else table
    return table if isinstance(table, Mapping) else {}


def recipient_of_bills(tables: Mapping[str, Any]) -> tuple[frozenset[tuple[str, ...]], str]:
    """Return the backend (host and path of its addresses, since scheme and port change with the security profile) and
    the charge point id."""
    backend, station = _table_of(tables, "backend"), _table_of(tables, "station")
    urls = [str(url) for key in ("url", "secure_url") if (url := backend.get(key))]
    return frozenset(map(_host_and_path, urls)), str(backend.get("charge_point_id") or station.get("id", ""))


def _host_and_path(url: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        return str(parts.hostname), parts.path.rstrip("/"), parts.query
    except ValueError:  # it is no address: it equals itself alone
        return (url,)


def _list_waiting_bills(folder: Path, tables: Mapping[str, Any], owner: FileOwner) -> list[str]:
    """Return what waits in the store of this folder. Raises ``SettingsError`` if that cannot be found out."""
    try:
        if not any(name.startswith("agent.") for name in os.listdir(folder)):
            return []
    except FileNotFoundError:
        return []
    except OSError as e:
        raise SettingsError([f"{folder}: {UNKNOWN}: {e.strerror}"]) from None
    link = str(_table_of(tables, "backend").get("name", Backend().name))
    rows = [r for r in _ask_agent_user(folder, tables, owner) if r["what"] in BILLS and r["link"] in ("", link)]
    return [f"{row['what']} {row['name']} ({row['count']})" for row in rows]


def _ask_agent_user(folder: Path, tables: Mapping[str, Any], owner: FileOwner) -> Sequence[dict[str, Any]]:
    """Ask the running agent or its store, as the agent's user: a store that root opens may get files that the agent
    cannot write. The station file itself is not read: it may have mistakes that this kit mends."""
    user = {"user": owner.user, "group": owner.group, "extra_groups": []} if os.geteuid() == 0 else {}
    socket = str(_table_of(tables, "station").get("status_socket", ""))
    words = (sys.executable, "-P", "-m", "agent.commands.kit.store_question", str(folder), socket)
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **user)  # type: ignore[call-overload]
    except (subprocess.TimeoutExpired, OSError) as e:
        raise SettingsError([f"{folder}: {UNKNOWN}: {e}; --leave-bills does not ask"]) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
        raise SettingsError([f"{folder}: {UNKNOWN}: {said}; --leave-bills does not ask"])
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows
