"""The agent's link alone, sending MeterValues one after the other: ``python -m tests.bench.exchanging URL COUNT``.

Link, dialect, validation both ways, message ids, retries: as in the agent. The queue is in memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import Identity
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.transport.ocpp_j import dialer
from agent.ocpp.versions import build_dialects
from agent.ports.store import OutboxRow, Put
from agent.station_file.settings import Backend
from tests.bench.encoding import Clock, message

LINK = "chargy"


class Queue:
    """Holds one row at a time; the next one when that is done. The queues beside it are empty."""

    def __init__(self, count: int) -> None:
        self._left, self._row = count, self._made(1)

    def _made(self, seq: int) -> OutboxRow:
        return OutboxRow(seq, LINK, "", message(seq, ""), 0, 0)

    def queued_count(self, link: str) -> int:
        return self._left if link == LINK else 0

    async def is_queued(self, link: str, session: str) -> bool:
        return self.queued_count(link) > 0

    def requeued_count(self) -> int:
        return 0

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        return [self._row] if self.queued_count(link) else []

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self._left -= 1
        self._row = self._made(row.seq + 1)

    async def remove_with_next_commit(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        await self.remove_delivered(row, facts)

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        return []

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        raise AssertionError("refused")

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        raise AssertionError(reason)

    async def put_facts(self, facts: Sequence[Put]) -> None:
        raise AssertionError("an end")

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        raise AssertionError("another version")

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        raise AssertionError("another version")

    async def open_sessions(self, link: str) -> list[str]:
        return []

    def transaction_record(self, link: str, session: str) -> dict[str, Any]:
        return {}

    def transaction_records(self, link: str) -> dict[str, dict[str, Any]]:
        return {}

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        return None

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return None


async def main(url: str, count: int) -> None:
    dialer.preload_library()
    quiet: Any = lambda *args: None  # noqa: E731
    backend = Backend(url=url, charge_point_id=url.rpartition("/")[2])
    await Link(
        LinkConfig(backend, build_dialects(("1.6",)), (1,)),
        LinkHooks(quiet, lambda: Identity("Chargy", "Link"), quiet),
        LinkPorts(Queue(count), Clock(), Settings()),
    ).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
