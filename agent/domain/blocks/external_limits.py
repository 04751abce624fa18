"""Obey the limit of an energy manager, and inform the backends of it (OCPP 2.0.1 K11 to K13; decision 57).

The limit is one more bound of the whole station: ``charging/station_limits.py`` shares it like the feed. This block
knows which limit is in force, also when the energy manager falls silent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.domain.charging.external_limit import (
    ExternalLimit,
    ExternalLimitConfig,
    Rate,
    SilencePolicy,
    differs_significantly,
)
from agent.domain.charging.station_limits import StationLimits
from agent.domain.events import ExternalLimitReported, LimitChanged, LinkChanged, SessionClosed, Started, TimeCame
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import ExternalLimitReleased, ExternalLimitSet, TransactionUpdated, TriggerReason
from agent.domain.orders import LogNote, Persist, Send, WakeMe
from agent.domain.session.tx_points import send_to_backends
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, EvseId, Moment

REPORT_PAUSE_S = 60.0
"""An energy manager may change its limit each second. So long after a report the next one waits, and carries the limit
of then: every report costs data, and one of a transaction a write to the store."""
STORE_PERCENT = 10.0
STORE_PAUSE_S = 300.0
"""A higher limit is stored when it was the least for so long, a lower one at once: an energy manager that follows the
sun would wear the flash."""
AFTERMATH_S = 90.0
"""So long after a release a changed charging rate is still put down to it: shares rise one after the other."""
IN_FLIGHT_S = 60.0
"""A message that was sent so shortly before the connection was lost may not have arrived."""
KIND, KEY = "external_limit", "station"
HIGHEST_STORED = 1e9
UNKNOWN = -1.0
"""In place of the limit that a backend was informed of last: it is to be informed again."""


class ExternalLimits:
    """``is_muted``: backends are not informed now; what has changed meanwhile is reported later."""

    def __init__(self, site: StationState, config: ExternalLimitConfig, is_muted: Callable[[], bool]) -> None:
        self._site, self._config, self._is_muted = site, config, is_muted
        self._limits = StationLimits(site)
        self._reported: dict[str, Rate] = {}
        """By link: the limit that the backend was informed of last."""
        self._rates_a: dict[EvseId, float] = {}
        """The charging rate of each session, as it was reported last."""
        self._stored_limit: Rate = None
        self._stored_links: frozenset[str] = frozenset()
        self._least_limit: Rate = None
        """The least limit since the store was looked at last."""
        self._is_silent = False
        self._is_store_timed = False
        self._is_implausible = False
        self._released_t_s = -math.inf
        self._reported_t_s = -math.inf

    # --- the limit in force ------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_limit(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the limit from before the start: it holds until the energy manager reports, or counts as silent. A
        station that knows none begins with ``fallback``."""
        record = event.remembered.get(KIND, {}).get(KEY)
        limit = self._read_record(record) if isinstance(record, Mapping) else None
        if limit is None:
            limit = self._config.fallback
        self._set_limit(limit, now)
        yield self._silence_timer(now)

    def _read_record(self, record: Mapping[str, Any]) -> Rate:
        """Return the stored limit. One of another unit is not used, and the backends are informed again."""
        limit, reported = record.get("limit"), record.get("reported")
        links = reported if isinstance(reported, Mapping) else {}
        is_same_unit = record.get("unit") == self._config.unit
        self._reported = {link: _stored_rate(rate) if is_same_unit else UNKNOWN for link, rate in links.items()}
        stored = _stored_rate(limit) if is_same_unit else None
        self._stored_limit = self._least_limit = None if stored == UNKNOWN else stored
        self._stored_links = self._informed_links
        return self._stored_limit

    @handles_events(ExternalLimitReported)
    def apply_reported_limit(self, event: ExternalLimitReported, now: Moment) -> Iterator[Yielded]:
        """Take the limit, which is also the sign of life of the energy manager. One that a broker has kept is neither
        while the energy manager is silent."""
        if event.is_kept and self._is_silent:
            return
        if event.limit is not None and event.limit > self._config.highest:
            yield from self._refuse_limit(event.limit)
            return
        self._is_implausible = False
        if self._is_silent:
            self._is_silent = False
            yield LogNote(STATION, "reports again: its limit is in force", "energy manager")
        if not event.is_kept:
            yield self._silence_timer(now)
        yield from self._apply_limit(event.limit, now)

    def _refuse_limit(self, limit: float) -> Iterator[Yielded]:
        """Refuse a number that is far above what this station can draw, and log it once. It is no sign of life."""
        if not self._is_implausible:
            self._is_implausible = True
            text = f"refused: {limit:g} {self._config.unit} is no limit of this station"
            yield LogNote(STATION, f"{text}; the limit before it stays in force", "energy manager")

    @handles_timer(TimerKind.EXTERNAL_LIMIT_SILENCE)
    def act_on_silence(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        self._is_silent = True
        policy, present = self._config.on_silence, self._present_limit
        if policy is SilencePolicy.FALL_BACK:
            present = self._config.fallback
        elif policy is SilencePolicy.RELEASE:
            present = None
        yield LogNote(
            STATION, f"silent for {self._config.silent_s:g} s: {self._describe_limit(present)}", "energy manager"
        )
        yield from self._apply_limit(present, now)

    def _silence_timer(self, now: Moment) -> WakeMe:
        silent_s = self._config.silent_s * self._site.config.io_s
        return WakeMe(Timer(TimerKind.EXTERNAL_LIMIT_SILENCE), now.t_s + silent_s)

    def _describe_limit(self, limit: Rate) -> str:
        return "no limit of it holds" if limit is None else f"{limit:g} {self._config.unit} hold until it reports"

    @property
    def _present_limit(self) -> Rate:
        return None if self._site.external_limit is None else self._site.external_limit.limit

    def _apply_limit(self, limit: Rate, now: Moment) -> Iterator[Yielded]:
        if limit == self._present_limit:
            return
        for evse in self._site.evses.values():
            if evse.session is not None:
                self._rates_a.setdefault(evse.number, _charging_rate(evse))
        if limit is None:
            self._released_t_s = now.t_s
        self._set_limit(limit, now)
        yield from self._limits.recompute_limits(now)
        yield from self._publish_limit(now)
        yield from self._store_limit(now)

    def _set_limit(self, limit: Rate, now: Moment) -> None:
        made = None if limit is None else ExternalLimit(limit, self._config.unit, self._config.source, now.t_s)
        self._site.external_limit = made

    # --- the store ---------------------------------------------------------------------------------------------------

    def _store_limit(self, now: Moment) -> Iterator[Yielded]:
        """Store a lower limit for the next start at once. Look at a higher one later."""
        present, stored = self._present_limit, self._stored_limit
        self._least_limit = _lower_of(self._least_limit, present)
        differs = differs_significantly(stored, present, STORE_PERCENT)
        if differs and present is not None and (stored is None or present < stored):
            yield self._make_record(present)
        elif not self._is_store_timed and (differs or self._informed_links != self._stored_links):
            self._is_store_timed, self._least_limit = True, present
            yield WakeMe(Timer(TimerKind.EXTERNAL_LIMIT_STORING), now.t_s + STORE_PAUSE_S)

    @handles_timer(TimerKind.EXTERNAL_LIMIT_STORING)
    def store_least_limit(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """Store the least limit of the last minutes."""
        self._is_store_timed = False
        if self._least_limit != self._stored_limit or self._informed_links != self._stored_links:
            yield self._make_record(self._least_limit)
        yield from self._store_limit(now)

    @property
    def _informed_links(self) -> frozenset[str]:
        """The backends that know of a limit."""
        return frozenset(link for link, rate in self._reported.items() if rate is not None)

    def _make_record(self, limit: Rate) -> Persist:
        self._stored_limit, self._stored_links = limit, self._informed_links
        if limit is None and not self._informed_links:
            return Persist(KIND, KEY, None)
        return Persist(KIND, KEY, {"unit": str(self._config.unit), "limit": limit, "reported": dict(self._reported)})

    # --- what backends are informed of -------------------------------------------------------------------------------

    @handles_events(LinkChanged)
    def report_limit_on_connect(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Inform a backend that was away. Nothing is queued for it meanwhile."""
        if not event.up and now.t_s - self._reported_t_s < IN_FLIGHT_S and event.link in self._reported:
            self._reported[event.link] = UNKNOWN
        yield from self._publish_limit(now)

    def _publish_limit(self, now: Moment) -> Iterator[Yielded]:
        """Report a significant change (K11.FR.02, K12.FR.02) and every release (K13.FR.02). Smaller changes are obeyed
        as well, and cost no data."""
        owed = [link for link in self._site.config.links if self._owes_report(link)]
        if not owed:
            return
        if not self._is_report_due(now):
            yield self._postponed_report()
            return
        for link in owed:
            self._reported[link] = self._present_limit
            yield Send(link, self._make_notice(now))
        yield from self._store_limit(now)

    def _owes_report(self, link: str) -> bool:
        is_reachable = self._site.link_up.get(link, False) and not self._is_withheld
        return is_reachable and self._is_significant(self._reported.get(link), self._present_limit)

    def _is_significant(self, before: Rate, after: Rate) -> bool:
        return differs_significantly(before, after, float(self._site.settings.text_value("limit_change_percent")))

    @property
    def _is_withheld(self) -> bool:
        """Nothing is reported now: the data budget is used up, or the station does not offer smart charging."""
        return self._is_muted() or "SmartCharging" not in self._site.settings.list_value("feature_profiles")

    def _make_notice(self, now: Moment) -> ExternalLimitSet | ExternalLimitReleased:
        limit = self._site.external_limit
        if limit is None:
            return ExternalLimitReleased(self._config.source)
        with_schedule = self._site.settings.bool_value("notify_limit_schedules")
        return ExternalLimitSet(limit.source, limit.charging_schedule(now) if with_schedule else None)

    @handles_events(LimitChanged)
    def report_changed_rate(self, event: LimitChanged, now: Moment) -> Iterator[Yielded]:
        """Report the changed rate of a transaction (K11.FR.04, K13.FR.03), unless another reason than the external
        limit has changed it."""
        evse = self._site.evses[event.evse]
        is_external = self._site.external_limit is not None or now.t_s < self._released_t_s + AFTERMATH_S
        if not is_external and evse.number in self._rates_a:
            self._rates_a[evse.number] = _charging_rate(evse)
        yield from self._report_rate(evse, now)

    def _report_rate(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        session, rate_a = evse.session, _charging_rate(evse)
        if session is None:
            return
        before_a = self._rates_a.setdefault(evse.number, rate_a)
        is_running = session.reported and evse.state is SessionState.ACTIVE
        if self._is_withheld or not is_running or not self._is_significant(before_a, rate_a):
            return
        if not self._is_report_due(now):
            yield self._postponed_report()
            return
        self._rates_a[evse.number] = rate_a
        update = TransactionUpdated(
            session.id,
            evse.number,
            now.stamp,
            TriggerReason.CHARGING_STATE_CHANGED,
            evse.progress.charging,
            offline=not self._site.backend_online,
            rate_changed=True,
        )
        links = [link for link in self._site.config.links if link in self._config.rate_links]
        yield from send_to_backends(self._site, update, links=links)

    @handles_events(SessionClosed)
    def forget_rate(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        self._rates_a.pop(event.evse, None)
        return iter(())

    @handles_timer(TimerKind.EXTERNAL_LIMIT_REPORT)
    def report_postponed_changes(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._publish_limit(now)
        for number in list(self._rates_a):
            yield from self._report_rate(self._site.evses[number], now)

    def _is_report_due(self, now: Moment) -> bool:
        """Return whether the pause since the last report is over, and begin the next one. All reports of one moment are
        one."""
        if now.t_s >= self._reported_t_s + REPORT_PAUSE_S:
            self._reported_t_s = now.t_s
        return now.t_s == self._reported_t_s

    def _postponed_report(self) -> WakeMe:
        return WakeMe(Timer(TimerKind.EXTERNAL_LIMIT_REPORT), self._reported_t_s + REPORT_PAUSE_S)


def _lower_of(one: Rate, other: Rate) -> Rate:
    return other if one is None else one if other is None else min(one, other)


def _charging_rate(evse: EvseRecord) -> float:
    return evse.charging_limit.current_a or 0.0


def _stored_rate(value: Any) -> Rate:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and (value == UNKNOWN or 0 <= value <= HIGHEST_STORED) else None
