"""A bare central system for fleets: it reads JSON frames by itself, keeps its own books, and misbehaves on request.

It shares no code with the agent. ``python -m tests.fleet.bare_backend`` runs it as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

SUBPROTOCOLS = ["ocpp2.1", "ocpp2.0.1", "ocpp1.6"]
ENERGY = "Energy.Active.Import.Register"


@dataclass
class Account:
    """The transactions of one station: register of the begin and of the end by number."""

    begins: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    @property
    def billed_wh(self) -> float:
        return sum(self.ends[number] - begin for number, begin in self.begins.items() if number in self.ended)


@dataclass
class BareBackend:
    """``refused``: actions that get a CALLERROR; ``silent``: actions that get no answer; ``verdict``: of every card.
    ``delay_s``: before each answer. ``calls``: counted by action."""

    port: int = 0
    verdict: str = "Accepted"
    refused: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    delay_s: float = 0.0
    heartbeat_s: int = 300
    calls: Counter[str] = field(default_factory=Counter)
    accounts: dict[str, Account] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)
    connections: dict[str, ServerConnection] = field(default_factory=dict)
    opened: int = 0
    boots: dict[str, Any] = field(default_factory=dict)
    evses: set[int] = field(default_factory=set)
    answers: list[tuple[str, Any]] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def serve_station(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station = connection.request.path.rpartition("/")[2]
        self.connections[station], self.opened = connection, self.opened + 1
        self.versions[str(connection.subprotocol)] += 1
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                frame = json.loads(text)
                if frame[0] == 2:
                    await self._answer(connection, station, *frame[1:])
                else:
                    self.answers.append((station, frame))

    async def _answer(self, connection: ServerConnection, station: str, id_: str, action: str, payload: Any) -> None:
        self.calls[action] += 1
        if action == "BootNotification":
            self.boots[station] = payload
        elif action == "StatusNotification":
            self.evses.add(payload.get("connectorId", 0))
        if action in self.silent:
            return
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if action in self.refused:
            await connection.send(json.dumps([4, id_, "InternalError", "", {}]))
            return
        account = self.accounts.setdefault(station, Account())
        await connection.send(json.dumps([3, id_, self._reply(account, action, payload)]))

    def _reply(self, account: Account, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        verdict = {"status": self.verdict}
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if action == "StartTransaction":
            number = next(self._numbers)
            account.begins[str(number)] = payload["meterStart"]
            return {"transactionId": number, "idTagInfo": verdict}
        if action == "StopTransaction":
            number = str(payload["transactionId"])
            account.ends[number] = payload["meterStop"]
            account.ended.add(number)
            return {}
        if action == "TransactionEvent":
            self._enter_event(account, payload)
            return {"idTokenInfo": verdict} if "idToken" in payload else {}
        if action == "Authorize":
            return {"idTokenInfo": verdict} if "idToken" in payload else {"idTagInfo": verdict}
        if action == "BootNotification":
            return {"status": "Accepted", "currentTime": now, "interval": self.heartbeat_s}
        return {"currentTime": now} if action == "Heartbeat" else {}

    def _enter_event(self, account: Account, payload: dict[str, Any]) -> None:
        number = payload["transactionInfo"]["transactionId"]
        for sample in (s for m in payload.get("meterValue", []) for s in m["sampledValue"]):
            if sample.get("measurand", ENERGY) == ENERGY and "phase" not in sample:
                account.begins.setdefault(number, sample["value"])
                account.ends[number] = sample["value"]
        if payload["eventType"] == "Ended":
            account.ended.add(number)

    async def restart(self) -> None:
        """End all connections at once, as a process that ends does."""
        for connection in list(self.connections.values()):
            connection.transport.abort()

    async def ask(self, station: str, action: str, payload: dict[str, Any]) -> None:
        await self.connections[station].send(json.dumps([2, f"b{next(self._numbers)}", action, payload]))


@asynccontextmanager
async def open_bare_backend(port: int = 0) -> AsyncIterator[BareBackend]:
    backend = BareBackend()
    options: dict[str, Any] = {"subprotocols": SUBPROTOCOLS, "ping_interval": None, "compression": None}
    async with serve(backend.serve_station, "127.0.0.1", port, close_timeout=0.2, backlog=1024, **options) as server:
        backend.port = next(iter(server.sockets)).getsockname()[1]
        yield backend


async def run_process(port: int) -> None:
    async with open_bare_backend(port) as backend:
        print(backend.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_process(parser.parse_args().port))
