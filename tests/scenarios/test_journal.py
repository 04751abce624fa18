"""What identifies a person or opens a door, used in sessions at log level DEBUG: none of it in the journal."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scenarios.control_rig import ROOT
from tests.support.busy_machine import deadline, stretched
from tests.support.simulated_station import Simulated
from tests.support.station_rig import Backend, Street, station_text

PASSWORD, NEW_KEY = "Fifteen-And-One!", "AnotherSecretKey42"
READ, UID, REMOTE, GROUP, BAD, LISTED = (
    "READ-4711-CARD", "04A1B2C3D4E5F6", "REMOTE-0815-TAG", "FAMILY-0042-GROUP", "BAD-6666-CARD", "LISTED-1234-TAG",
)  # fmt: skip
USED = (PASSWORD, NEW_KEY, READ, UID, REMOTE, GROUP, BAD, LISTED)


class Bench(Simulated):
    """The world alone; the agent is a process of the test."""

    def __init__(self, folder: Path, text: str) -> None:
        super().__init__(folder, text)
        self.args = ["bench", str(self.file), "--port", "0"]

    async def healthy(self, timeout_s: float = 60.0) -> None:
        async with deadline(timeout_s):
            while not (self.folder / "world" / "derived.toml").exists() or not await self._answers():
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            await self.picture()
        except OSError:
            return False
        return True


@asynccontextmanager
async def agent(folder: Path) -> AsyncIterator[Path]:
    journal = folder / "journal"
    argv = [sys.executable, "-m", "agent", "run", "-v", "--clock-rate", "20", str(folder / "world" / "derived.toml")]
    with journal.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=out, stderr=out)
        try:
            yield journal
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), stretched(20))


def spellings(secret: str) -> set[str]:
    raw = secret.encode()
    basic = base64.b64encode(b"CP-1:" + raw).decode()
    return {secret.casefold(), raw.hex(), base64.b64encode(raw).decode().casefold(), basic.casefold()}


async def sixteen(s: Street) -> None:
    """Cards read in two ways, a remote start, a refusal whose text repeats the card, a new key, a list."""
    s.csms.infos[READ] = {"status": "Accepted", "parentIdTag": GROUP}
    s.csms.infos[BAD] = {"status": "Blocked"}
    tags = [{"idTag": LISTED, "idTagInfo": {"status": "Accepted", "parentIdTag": GROUP}}]
    await s.csms.ask("SendLocalList", {"listVersion": 1, "updateType": "Full", "localAuthorizationList": tags})
    await s.tap(BAD)
    await s.heard(lambda: s.payloads("Authorize"))
    await s.charge(READ)
    s.csms.instead["StopTransaction"] = lambda i: json.dumps([4, i, READ, f"{READ} of {GROUP}?", {}])
    await s.tap(READ)
    await s.heard(lambda: s.payloads("StopTransaction"))
    await s.leave()
    await s.plug()
    await s.csms.ask("RemoteStartTransaction", {"connectorId": 1, "idTag": REMOTE})
    await s.status_reported("Charging")
    await s.unplug(side="ev")
    await s.leave()
    await s.station.post("/cards/tap", {"uid": UID, "evse": 1, "hold_s": 1})
    await s.heard(lambda: UID in [p["idTag"] for p in s.payloads("Authorize")])
    answer = await s.csms.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": NEW_KEY})
    assert answer == {"status": "Accepted"}


async def test_nothing_of_it_is_in_the_journal(tmp_path: Path) -> None:
    async with Backend() as csms:
        backend = f'url = "{csms.url}"\nsecurity_profile = 1\npassword = "{PASSWORD}"'
        async with Bench(tmp_path, station_text(backend=backend)) as world, agent(tmp_path) as journal:
            await world.until(lambda p: p["backend"]["boot"] == "Accepted")
            await world.until(lambda p: p["evses"][0]["screen"] == "idle")
            s = Street(world, csms)
            s.begin()
            try:
                await sixteen(s)
                await s.heard(lambda: "refused StopTransaction" in journal.read_text())
                frames = json.dumps(await trace(world))
                assert NEW_KEY not in frames
                assert READ in frames, "the trace shows what went over the wire, as the control API promises"
            except BaseException as e:
                e.add_note(journal.read_text()[-3000:])
                raise
    said = journal.read_text()
    assert "connected to" in said
    assert "refused StopTransaction with error '…CARD'" in said, "the backend's words, without the number in them"
    lines = [
        line for line in said.splitlines() for secret in USED if any(w in line.casefold() for w in spellings(secret))
    ]
    assert not lines, lines


async def trace(world: Simulated) -> list[Any]:
    async with world.http.get("/api/v1/trace") as answer:
        return [json.loads(line) for line in (await answer.text()).splitlines()]
