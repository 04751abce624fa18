"""``python -m agent.commands.kit.store_question FOLDER SOCKET``: print what the store in a folder holds that is
undelivered, as JSON. ``SOCKET``: the status socket of the station file, "" for none.

A program of its own, so that ``kit apply`` can run it as the agent's user.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent.assembly.undelivered_queries import ASK, answer_undelivered
from agent.commands.store_query import CannotDo, query_agent_or_store, store_path
from agent.model.fastclass import frozen
from agent.ports.store import StoreError
from agent.services.store.migrations import salvaged_path
from agent.services.store.store import StoreRefused
from agent.station_file.tables import Station


@frozen
class StoreFolder:
    station: Station


def list_undelivered_rows(folder: Path, socket: Path | None) -> list[dict[str, Any]]:
    """Return the rows (``Undelivered.to_entry``). Raises ``CannotDo``, ``StoreError``, ``StoreRefused``."""
    address = StoreFolder(Station(state_dir=folder, status_socket=socket))
    path = store_path(address)
    if not path.exists() and not salvaged_path(path).exists():
        return []
    said = asyncio.run(query_agent_or_store(address, ASK, {}, answer_undelivered))
    if "error" in said:
        raise CannotDo(str(said["error"]))
    rows: list[dict[str, Any]] = said["undelivered"]
    return rows


def main(folder: str, socket: str) -> int:
    try:
        print(json.dumps(list_undelivered_rows(Path(folder), Path(socket) if socket else None)))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
