"""What the store knows of this boot: its clock, until when it has lived, and why it began."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from agent.domain.events import ClockTrusted, LinkChanged, TimeCame
from agent.domain.timers import Timer, TimerKind
from agent.ports.store import Put, StoreError
from agent.services.clock import Boot, Clock
from agent.services.event_queue import EventQueue
from agent.services.store.commit_attestation import SESSIONS
from agent.services.store.store import Store

log = logging.getLogger(__name__)

RTC_OFF_S = 60.0
SEEN_S, BESIDE_S = 49 * 3600.0, 6 * 3600.0
"""Until when this boot has lived is recorded with each commit of a session or a message, at the start and the end of
the process, with another commit after ``BESIDE_S``, and by itself after ``SEEN_S`` (decision 54)."""

Facts: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]


class BootRecord:
    """The record of this boot, and of the OCPP version of each link in it."""

    def __init__(self, clock: Clock, events: EventQueue, facts: Facts) -> None:
        self._clock, self._events = clock, events
        self._versions = {name: record.get("version") for name, record in facts.get("spoken", {}).items()}
        self._recorded_s = -math.inf

    async def store_boot(self, store: Store) -> None:
        """Store the record of this boot. If the disk refuses it, the engine tries again and reports it."""
        boot, unreadable = self._clock.mark_boot_alive(), self._clock.unreadable
        aside = [Put("poisoned", f"boot/{k}", {"record": r, "why": "no boot"}) for k, r in unreadable.items()]
        gone = [Put("boot", k, None) for k in unreadable]
        puts = [*aside, *gone, Put("boot", str(boot.number), boot.to_record()), Put("restart", "ordered", None)]
        try:
            await store.commit(puts)
        except StoreError as e:
            log.error("the boot is not on disk yet: %s", e)
            self._remember_boot(boot)
        else:
            self._recorded_s = self._clock.now().t_s

    def record_uptime(self) -> None:
        """Store with the next event that this boot lives."""
        self._recorded_s = self._clock.now().t_s
        self._remember_boot(self._clock.mark_boot_alive())

    def record_link_version(self, change: LinkChanged, version: str) -> None:
        """Store with this event which version a link speaks, if it is another one than on disk."""
        if change.up and self._versions.get(change.link) != version:
            self._versions[change.link] = version
            self._events.remember_fact("spoken", change.link, {"version": version})

    def facts_beside_commit(self, puts: Sequence[Put], messages: Sequence[object]) -> Iterator[Put]:
        """Yield, for a commit that is made anyway, the record of this boot, if the commit has a stamp of a session or a
        message, or the record on disk is old. A later boot is then never put before this stamp."""
        now_s = self._clock.now().t_s
        has_stamps = bool(messages) or any(put.kind in SESSIONS for put in puts)
        if has_stamps or now_s - self._recorded_s >= BESIDE_S:
            self._recorded_s = now_s
            boot = self._clock.mark_boot_alive()
            yield Put("boot", str(boot.number), boot.to_record())

    async def record_uptime_regularly(self) -> None:
        while True:
            due_s = self._recorded_s + SEEN_S - self._clock.now().t_s
            if due_s > 0:
                await asyncio.sleep(due_s / self._clock.rate)
                continue
            self.record_uptime()
            # what is remembered goes with the next event
            self._events.post_event(TimeCame(Timer(TimerKind.STORE_RETRY)))

    def record_clock_change(self, boot: Boot) -> None:
        """The offset of the clock has become known or was corrected."""
        off_s = self._clock.rtc_deviation_s
        if off_s is not None and abs(off_s) > RTC_OFF_S and not self._clock.hurried:
            log.warning("the board's real-time clock is off by %.0f s (not used; check its battery)", off_s)
        self._remember_boot(boot)
        self._events.post_event(ClockTrusted())

    def _remember_boot(self, boot: Boot) -> None:
        self._events.remember_fact("boot", str(boot.number), boot.to_record())


def find_boot_reason(facts: Facts, boot_number: int) -> str:
    """Return the reason of this boot (BootReasonEnumType).

    An ordered restart has stored its reason. Otherwise the boot of the kernel decides.
    """
    ordered = facts.get("restart", {}).get("ordered")
    if ordered:
        return str(ordered.get("reason", "Unknown"))
    return "ApplicationReset" if str(boot_number) in facts.get("boot", {}) else "PowerUp"


def highest_unreadable_boot(facts: Facts) -> int:
    """Return the highest boot number of an unreadable boot record. Stored stamps may still use it."""
    numbers = (key.partition("/")[2] for key in facts.get("poisoned", {}) if key.startswith("boot/"))
    return max((int(n) for n in numbers if n.isdecimal()), default=0)
