"""Is the core alive? One question through the engine's own queue feeds systemd's watchdog and the boards'."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from agent.ports import DeviceError
from agent.services.event_queue import EventQueue
from agent.services.sd_notify import notify_systemd, watchdog_period_s

log = logging.getLogger(__name__)

PATIENCE_S = 5.0


class LivenessSignal:
    """The proof of life that feeds the boards' watchdogs: ``ok`` is set by the health service only. A single beat may
    miss (the polls show whether the board is there); three in a row, within a watchdog's patience, are a failure."""

    def __init__(self, period_s: float = 2.0) -> None:
        self.period_s = period_s
        self.ok = True

    async def feed_watchdog(self, port: Any) -> None:
        missed = 0
        while True:
            if self.ok:
                try:
                    await port.beat()
                    missed = 0
                except DeviceError:
                    missed += 1
                    if missed == 3:
                        raise
            await asyncio.sleep(self.period_s)


async def feed_watchdogs(events: EventQueue, alive: LivenessSignal, boards: bool) -> None:
    """Runs for ever. With boards the question is asked often enough for their watchdogs; without, only as often as
    systemd asks for it, and not at all without a watchdog (an idle agent sleeps)."""
    systemd_s = watchdog_period_s()
    periods = ([alive.period_s] if boards else []) + ([systemd_s] if systemd_s else [])
    if not periods:
        return
    while True:
        try:
            await asyncio.wait_for(events.wait_until_handled(), PATIENCE_S)
        except TimeoutError:
            if alive.ok:
                log.error("the engine has not answered for %g s: the boards' watchdogs are no longer fed", PATIENCE_S)
            alive.ok = False
            continue
        alive.ok = True
        if systemd_s:
            notify_systemd("WATCHDOG=1")
        await asyncio.sleep(min(periods))
