"""The queue beside the bills: security events and the statuses of files (decision 12). In order, kept over restarts and
outages like what is billed; but a backend that refuses one, or says nothing to it on a line that is alive, has had it
after the usual number of attempts: nobody can bill it, and an old backend may not know it at all."""

from __future__ import annotations

import logging

from agent.ocpp.billing import Billing
from agent.ocpp.dialect import Desk, Heard
from agent.ports.store import OutboxRow, notes_of

log = logging.getLogger("agent.ocpp")


class Notices(Billing):
    silence_counts = True

    def __init__(self, desk: Desk, store_retry_s: float = 5.0) -> None:
        super().__init__(desk, store_retry_s, notes_of(desk.link))

    async def bury(self, row: OutboxRow, reason: str, no: bool = False, elsewhere: bool = False) -> None:
        kind = type(row.message).__name__
        log.warning("%s: a %s is given up: %s", self._desk.link, kind, ascii(reason)[1:-1][:200])
        await self.done(row, Heard())
