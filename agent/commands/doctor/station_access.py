"""Who has the station now: a running agent, which is asked, or the doctor, which holds the store so that no agent
starts meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.assembly.doctor.agent_knowledge import ASK
from agent.assembly.doctor.findings import Finding, make_finding
from agent.commands.doctor.examination import Examination
from agent.commands.store_query import CannotDo, query_running_agent
from agent.ports.store import StoreError
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import SettingsError


@asynccontextmanager
async def station_access(exam: Examination) -> AsyncIterator[list[Finding]]:
    """Fill in ``agent`` or ``stopped`` and yield what was found.

    If neither can be, an agent may have the devices open, and be connected with the same charge point id: none of both
    is touched.
    """
    try:
        exam.agent = await query_running_agent(exam.file, ASK, {})
    except (CannotDo, OSError) as e:  # a folder that this user may not enter
        yield [make_finding("agent_forbidden", error=e)]
        return
    if exam.agent is not None:
        if "error" in exam.agent:
            error, exam.agent = exam.agent["error"], None
            yield [make_finding("agent_hidden", error=error)]
        else:
            yield [make_finding("agent_running", version=exam.agent["version"])]
        return
    with tempfile.TemporaryDirectory(prefix="chargy-doctor-") as spare:
        try:
            store = await _open_store(exam, Path(spare))
        except (StoreRefused, StoreError, OSError) as e:
            code = "agent_hidden" if "another agent" in str(e) else "store_refused"
            yield [make_finding(code, error=e)]
            return
        try:
            yield await _take_store(exam, store)
        finally:
            await store.close()


async def _open_store(exam: Examination, spare: Path) -> Store:
    """Open the agent's store, so that no other process can; where no agent has run yet, an empty one elsewhere."""
    station = exam.file.station
    path = station.state_dir / "agent.db"
    return await Store.open(path if path.exists() else spare / "agent.db", station.store_max_mb)


async def _take_store(exam: Examination, store: Store) -> list[Finding]:
    from agent.assembly.stopped_station import StoppedStation

    found, exam.holds_station = [make_finding("agent_stopped")], True
    try:
        exam.stopped = StoppedStation(exam.file, store, await store.read_facts())
    except SettingsError as e:
        found = [make_finding("agent_cannot_start", error="; ".join(e.problems))]
    except (StoreError, OSError) as e:
        found = [make_finding("store_refused", error=e)]
    if store.disk_problem:
        found.append(make_finding("store_disk_problem", folder=exam.file.station.state_dir, error=store.disk_problem))
    return found
