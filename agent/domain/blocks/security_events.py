"""Log security events and send them to the backends that they concern (whitepaper and 2.x A04). All
are sent, also those that the standard leaves to the log: an empty queue costs nothing, and an
operator wants to know."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    ClockTrusted,
    FaultRaised,
    LinkChanged,
    SecurityNoticed,
    SettingChanged,
    Started,
    StoreFailed,
    StoreLost,
)
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.messages import SecurityHappened
from agent.domain.orders import FIRMWARE_UPDATE, REMOTE_RESET, SCHEDULED_RESET, Persist, Send
from agent.domain.security_events import REPEATED, Noted, SecurityEvent
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.model.types import Fault, Moment

CORRECTED_S = 1.0
"""A smaller correction is no change of the system time."""
_ORDERED = (REMOTE_RESET, SCHEDULED_RESET, FIRMWARE_UPDATE)
_PARAMETERS = ("authorization_key", "security_profile", "root_check", "cpo_name")


class SecurityEventsBlock:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._reported: set[tuple[str, str]] = set()
        self._clock_offset_s: float | None = None

    @handles_events(Started)
    def restore_security_log(self, event: Started, now: Moment) -> Iterator[Yielded]:
        log = self._site.security
        remembered = event.remembered.get("security", {})
        for key in sorted((k for k in remembered if k.isdecimal()), key=int):
            log.number = int(key)
            try:
                log.records.append(load_record(remembered[key], Noted))
            except UnreadableRecord as e:
                yield Persist("poisoned", f"security/{key}", {"why": str(e)})
                yield Persist("security", key, None)
        reason = self._site.config.boot_reason
        kind = SecurityEvent.RESET_OR_REBOOT if reason in _ORDERED else SecurityEvent.STARTUP
        yield SecurityNoticed(kind, reason)

    @handles_events(SecurityNoticed)
    def record_security_event(self, event: SecurityNoticed, now: Moment) -> Iterator[Yielded]:
        if event.kind in REPEATED:
            if (event.link, event.kind) in self._reported:
                return
            self._reported.add((event.link, event.kind))
        log = self._site.security
        log.number += 1
        noted = Noted(event.kind.value, now.stamp, event.info, event.link)
        log.records.append(noted)
        yield Persist("security", str(log.number), dump_record(noted))
        for link in (event.link,) if event.link else self._site.config.links:
            if link in self._site.config.links:
                yield Send(link, SecurityHappened(event.kind.value, now.stamp, event.info))

    @handles_events(LinkChanged)
    def forget_repeated_events(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Forget the repeated events: what fails from now on is another failure."""
        if event.up:
            self._reported = {(link, kind) for link, kind in self._reported if link not in (event.link, "")}
        yield from ()

    # --- events that no other block reports ----------------------------------------------------------------------

    @handles_events(ClockTrusted)
    def report_clock_correction(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        offset_s = None if now.utc_s is None else now.utc_s - now.t_s
        before_s, self._clock_offset_s = self._clock_offset_s, offset_s
        if offset_s is not None and before_s is not None and abs(offset_s - before_s) >= CORRECTED_S:
            yield SecurityNoticed(SecurityEvent.SETTING_SYSTEM_TIME, f"by {offset_s - before_s:+.0f} s")

    @handles_events(StoreFailed)
    def report_store_failure(self, event: StoreFailed, now: Moment) -> Iterator[Yielded]:
        yield SecurityNoticed(SecurityEvent.MEMORY_EXHAUSTION, event.reason)

    @handles_events(StoreLost)
    def report_store_loss(self, event: StoreLost, now: Moment) -> Iterator[Yielded]:
        yield SecurityNoticed(SecurityEvent.MEMORY_EXHAUSTION, f"StoreFailed: {event.reason}")

    @handles_events(FaultRaised)
    def report_tampering(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        if event.fault is Fault.DOOR_OPEN:
            yield SecurityNoticed(SecurityEvent.TAMPER, f"EVSE {event.evse}: door open")

    @handles_events(SettingChanged)
    def report_reconfiguration(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name in _PARAMETERS:
            yield SecurityNoticed(SecurityEvent.RECONFIGURATION, event.name)
