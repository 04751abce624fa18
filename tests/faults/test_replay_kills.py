"""A backlog is sent while the process is killed again and again, between any two steps of a delivery: each bill
arrives, no more of them than kills arrive twice, and no reading is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent.domain.messages import MeterSampled, Sample, StopReason, TransactionEnded, TransactionStarted, TriggerReason
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.services.store.store import Store
from tests.support.busy_machine import Deadline
from tests.support.simulated_station import CAMPAIGN

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128"))
SESSIONS, SAMPLES = (40, 30) if CAMPAIGN else (6, 12)
KILLS = 200 if CAMPAIGN else 8
NAMES = ("Energy.Active.Import.Register", "Power.Active.Import", "Current.Import", "Voltage")
ROOT = Path(__file__).parents[2]


def messages() -> list[Any]:
    """Two outlets at once, so that their samples stand between each other."""
    found: list[Any] = []
    for pair in range(SESSIONS // 2):
        names = [f"session-{2 * pair + n}" for n in (0, 1)]
        at = iter(Stamp(1, 1000.0 * pair + n) for n in range(1000))
        base = 10_000 * pair
        for n, name in enumerate(names):
            found.append(TransactionStarted(name, n + 1, Token(f"CARD{pair}{n}"), next(at), base + n))
        for sample in range(SAMPLES):
            for n, name in enumerate(names):
                reading = Reading(next(at), base + 100 * sample + n + 10, 11040.0, (230.4,) * 3, (15.9,) * 3)
                samples = (Sample(ReadingContext.PERIODIC, reading, NAMES),)
                found.append(MeterSampled(name, n + 1, samples, at=reading.at))
        for n, name in enumerate(names):
            why = StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED
            found.append(TransactionEnded(name, n + 1, None, next(at), base + 9_000 + n, *why))
    return found


@dataclass
class Books:
    """A backend that keeps what it hears. ``kill``: what to do with the station at the next CALL."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    station: asyncio.subprocess.Process | None = None
    kills_left: int = KILLS

    async def attend(self, ws: ServerConnection) -> None:
        try:
            async for text in ws:
                _, id_, action, payload = json.loads(text)
                self.calls.append((action, payload))
                moment = self._moment() if action != "BootNotification" else "none"
                if moment == "before":
                    self._kill()
                await ws.send(json.dumps([3, id_, self._answer(action, payload)]))
                if moment == "after":
                    await asyncio.sleep(self.dice.random() ** 3 * 0.02)
                    self._kill()
        except ConnectionClosed:
            pass

    def _moment(self) -> str:
        return self.dice.choice(("none", "before", "after", "after")) if self.kills_left else "none"

    def _kill(self) -> None:
        if self.station is not None and self.station.returncode is None:
            self.kills_left -= 1
            self.station.send_signal(signal.SIGKILL)
            self.station = None

    def _answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if action == "BootNotification":
            return {"status": "Accepted", "currentTime": "2026-11-25T10:00:00Z", "interval": 300}
        if action == "StartTransaction":
            number = self.numbers.setdefault(payload["idTag"], len(self.numbers) + 1)
            return {"transactionId": number, "idTagInfo": {"status": "Accepted"}}
        return {}

    def bills(self) -> list[str]:
        """Starts and ends, by their whole content."""
        kinds = ("StartTransaction", "StopTransaction")
        bills = [p for a, p in self.calls if a in kinds or p.get("eventType") in ("Started", "Ended")]
        return [json.dumps(p, sort_keys=True) for p in bills]

    def readings(self) -> list[int]:
        """The registers of the samples. A backend of 2.x looks at each number of a session once."""
        known: set[tuple[str, int]] = set()
        found: list[int] = []
        for action, p in self.calls:
            if action == "TransactionEvent":
                place = (p["transactionInfo"]["transactionId"], p["seqNo"])
                if p["eventType"] != "Updated" or place in known:
                    continue
                known.add(place)
            elif action != "MeterValues":
                continue
            found += [int(float(v["sampledValue"][0]["value"])) for v in p["meterValue"]]
        return found


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_backlog_survives_being_killed_while_it_is_sent(tmp_path: Path, version: str) -> None:
    """The link and the store are killed at random moments while a backlog is sent: each start and end arrives, as many
    twice as there were kills at most; no reading is lost, and what leaves later is later in its session."""
    path, books = tmp_path / "agent.db", Books()
    store = await Store.open(path)
    for message in messages():
        await store.commit([], [("chargy", message)])
    await store.close()
    async with serve(books.attend, "127.0.0.1", 0, subprotocols=[f"ocpp{version}"], ping_interval=None) as server:  # type: ignore[list-item]
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        while waiting(path):
            await one_life(books, path, url, version)
    killed = KILLS - books.kills_left
    assert killed >= min(KILLS, 6)
    bills = Counter(books.bills())
    assert len(bills) == 2 * SESSIONS
    assert sum(bills.values()) - len(bills) <= killed
    stored = [m.samples[0].reading.energy_wh for m in messages() if isinstance(m, MeterSampled)]
    first = list(dict.fromkeys(books.readings()))
    assert sorted(first) == sorted(stored)
    for outlet in (0, 1):
        of_outlet = [wh for wh in first if wh % 2 == outlet]
        assert of_outlet == sorted(of_outlet)
    if version == "2.0.1":
        places: dict[str, set[int]] = {}
        for _, p in books.calls[1:]:
            if "seqNo" in p:
                places.setdefault(p["transactionInfo"]["transactionId"], set()).add(p["seqNo"])
        assert all(found == set(range(len(found))) for found in places.values())


async def one_life(books: Books, path: Path, url: str, version: str) -> None:
    """The process runs until it is killed, or has sent all."""
    argv = [sys.executable, "-m", "tests.faults.replay_process", str(path), url, version]
    books.station = station = await asyncio.create_subprocess_exec(*argv, cwd=ROOT)
    patience = Deadline(60.0)
    try:
        while station.returncode is None and waiting(path):
            assert not patience.over, "nothing goes on"
            await asyncio.sleep(0.05)
    finally:
        if station.returncode is None:
            station.kill()
        await station.wait()


def waiting(path: Path) -> int:
    """How many messages wait, while the store may be open: it is looked at in a copy."""
    files = [path.with_name(path.name + tail) for tail in ("", "-wal")]
    copies = [f.with_name("copy-" + f.name) for f in files]
    for file, copy in zip(files, copies, strict=True):
        copy.unlink(missing_ok=True)
        if file.exists():
            copy.write_bytes(file.read_bytes())
    try:
        db = sqlite3.connect(copies[0])
        found = db.execute("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM dead)").fetchone()[0]
        db.close()
    except sqlite3.DatabaseError:  # copied in the middle of a merge
        return 1
    return int(found)
