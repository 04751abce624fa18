"""Choose the bearer that carries the links (decision 36).

A dead bearer is left at once; a better one is taken back when it has proved itself, and never while an exchange with a
backend is open, because it may be one that is billed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from agent.domain.backend_connection import ConnectFailure
from agent.domain.bearers import PROVEN_S, BearerRecord, choose_bearer
from agent.domain.events import BearerProbed, BearerReported, Connected, ConnectFailed, LinkChanged, Started, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import LogNote, ProbeBearer, Reconnect, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Moment

RETURNS, RETURNS_WITHIN_S = 6, 3600.0
"""The link comes back to a better bearer at most so often within this time."""
EXCHANGE_S = 1.0
"""So long an open exchange is given before it is looked at again."""
ADDRESS_S = 30.0
"""An exchange that is open when the address changes ends within this, or the old address is gone."""
REACHED_S = 30.0
"""How long the result of a probe counts (real seconds)."""
ANSWER_S = 60.0
"""A probe has answered after this (real seconds)."""

RETURN_TIMER = Timer(TimerKind.BEARER_RETURN)
ADDRESS_TIMER = Timer(TimerKind.BEARER_ADDRESS)


class BearerSelection:
    def __init__(self, site: StationState) -> None:
        self._site = site
        site.bearers |= {config.name: BearerRecord(config) for config in site.config.bearers}
        self._first_link = site.config.links[0] if site.config.links else ""
        self._address = ("", "")
        """Interface and address of the bearer in use, when it was chosen."""
        self._address_due_s: float | None = None
        """When the links connect from another address at the latest; None: the address is the one of before."""
        self._demanded = ""
        self._connected: set[str] = set()
        self._up_since_s: float | None = None
        self._carrier = ""
        """The bearer that the first link came up over."""
        self._unreached_s: float | None = None
        """When the backend was looked for over the bearer in use in vain, after it was reached over another one."""
        self._returns: deque[float] = deque(maxlen=RETURNS)

    # --- what a network profile demands ------------------------------------------------------------------------------

    @handles_events(Started)
    def follow_first_profile(self, event: Started, now: Moment) -> Iterator[Yielded]:
        yield from self._follow_demand(now)

    def _follow_demand(self, now: Moment) -> Iterator[Yielded]:
        """Use the bearer that the network profile in turn demands (``network_bearer.py``); afterwards the best one."""
        before, self._demanded = self._demanded, self._site.bearer_demanded
        if before == self._demanded:
            return
        if not self._demanded:
            yield from self._use_best_bearer(now)
        elif self._demanded != self._site.bearer_in_use:
            yield from self._use_bearer(self._site.bearers[self._demanded])

    def _usable_bearers(self) -> Iterator[BearerRecord]:
        """Yield the bearers that the link may use now, in order of preference."""
        for name, record in self._site.bearers.items():
            if not self._demanded or name == self._demanded:
                yield record

    # --- what the bearers report -------------------------------------------------------------------------------------

    @handles_events(BearerReported)
    def follow_bearer(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        record = self._site.bearers[event.bearer]
        was_up = record.status.is_up
        record.take_status(event.status, now.t_s)
        if event.takes_apn is not None:
            record.takes_apn = event.takes_apn
        if event.bearer != self._site.bearer_in_use:
            yield from self._use_best_bearer(now) if not self._is_carried else ()
        elif not record.status.is_up:
            yield from self._use_best_bearer(now)
        elif not (was_up or self._connected):
            yield from self._use_bearer(record)
        elif self._has_moved(record):
            yield from self._follow_address(record, now)
        yield from self._plan_return(now)

    def _has_moved(self, record: BearerRecord) -> bool:
        """Return whether interface or address is another one than when this bearer was chosen."""
        return self._address != (record.status.interface, record.status.address)

    def _follow_address(self, record: BearerRecord, now: Moment) -> Iterator[Yielded]:
        """Connect from the new address: at once, unless an exchange is open. The old address may still be good."""
        is_other_interface = self._address[0] != record.status.interface
        is_busy = self._connected and self._site.collaborators.has_open_exchange()
        if is_other_interface or not is_busy:
            yield from self._use_bearer(record)
        elif self._address_due_s is None:
            self._address_due_s = now.t_s + ADDRESS_S
            yield WakeMe(ADDRESS_TIMER, now.t_s + EXCHANGE_S)

    @handles_timer(TimerKind.BEARER_ADDRESS)
    def await_exchange(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        record = self._site.bearers[self._site.bearer_in_use]
        due_s = self._address_due_s
        if due_s is None or not (record.status.is_up and self._has_moved(record)):
            self._address_due_s = None
        elif self._connected and self._site.collaborators.has_open_exchange() and now.t_s < due_s:
            yield WakeMe(ADDRESS_TIMER, now.t_s + EXCHANGE_S)
        else:
            yield from self._use_bearer(record)

    @property
    def _is_carried(self) -> bool:
        """Return whether the bearer in use is up."""
        present = self._site.bearers.get(self._site.bearer_in_use)
        return present is not None and present.status.is_up

    # --- what the link meets -----------------------------------------------------------------------------------------

    @handles_events(Connected)
    def trust_connection(self, event: Connected, now: Moment) -> Iterator[Yielded]:
        self._connected.add(event.link)
        if event.link == self._first_link:
            self._unreached_s = None
        yield from self._follow_demand(now)

    @handles_events(LinkChanged)
    def follow_link(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        """A link that has lasted proves its bearer."""
        if not event.up:
            self._connected.discard(event.link)
        if event.link != self._first_link:
            return
        lasted = self._up_since_s is not None and now.t_s - self._up_since_s >= PROVEN_S
        if not event.up and lasted and self._carrier:
            self._site.bearers[self._carrier].lift_penalties()
        self._up_since_s = now.t_s if event.up else None
        if event.up:
            self._carrier = self._site.bearer_in_use
        if not event.up and self._is_carried:
            yield from self._look_elsewhere(now)
        yield from self._plan_return(now)

    @handles_events(ConnectFailed)
    def follow_failed_attempt(self, event: ConnectFailed, now: Moment) -> Iterator[Yielded]:
        """Find out whether the backend can be reached over another bearer. A backend that refuses the station was
        reached."""
        self._connected.discard(event.link)
        yield from self._follow_demand(now)
        if event.link == self._first_link and self._is_carried and event.trouble is ConnectFailure.OTHER:
            yield from self._look_elsewhere(now)

    def _look_elsewhere(self, now: Moment) -> Iterator[Yielded]:
        """Look for the backend over the other bearer that was not tried for the longest time."""
        present = self._site.bearer_in_use
        others = [r for r in self._usable_bearers() if r.config.name != present and r.status.is_up]
        if others:
            yield from self._probe_bearer(min(others, key=lambda r: r.probed_s), now)

    def _seek_way_out(self, record: BearerRecord, reached: bool, now: Moment) -> Iterator[Yielded]:
        """Leave the bearer in use if the backend can be reached over another one, and over this one it cannot.

        The other one is looked at before and after this one. A backend that has just started again can be reached over
        both, however many attempts have failed before. One that is about to end can be reached over the other one for a
        moment: its connections are closed before its port is. One that is down cannot be reached at all. Then nothing
        is changed.
        """
        present = self._site.bearers[self._site.bearer_in_use]
        was_unreached, self._unreached_s = self._is_recent(self._unreached_s, now), None
        if record is not present:
            if reached and was_unreached:
                yield from self._demote_bearer(present, record, now)
            elif reached:
                yield from self._probe_bearer(present, now)
        elif not reached:
            recent = (r for r in self._site.bearers.values() if r is not present and self._is_reached(r, now))
            if (other := next(recent, None)) is not None:
                self._unreached_s = now.t_s
                yield from self._probe_bearer(other, now)

    def _probe_bearer(self, record: BearerRecord, now: Moment) -> Iterator[Yielded]:
        record.probed_s = now.t_s
        yield ProbeBearer(record.config.name, record.status.interface)

    def _is_reached(self, record: BearerRecord, now: Moment) -> bool:
        """Return whether a probe has reached the backend over this bearer just now."""
        return record.status.is_up and self._is_recent(record.reached_s, now)

    def _is_recent(self, probed_s: float | None, now: Moment) -> bool:
        """Return whether the result of a probe that came then still counts."""
        return probed_s is not None and now.t_s - probed_s <= REACHED_S * self._site.config.io_s

    def _demote_bearer(self, record: BearerRecord, other: BearerRecord, now: Moment) -> Iterator[Yielded]:
        record.impose_penalty(now.t_s)
        yield LogNote(STATION, "the backend cannot be reached over it: demoted", record.config.name)
        yield from self._use_bearer(other)
        yield from self._plan_return(now)

    # --- back to a better one ----------------------------------------------------------------------------------------

    def _better_bearers(self) -> Iterator[BearerRecord]:
        """Yield the bearers that are up and stand before the one in use."""
        for record in self._usable_bearers():
            if record.config.name == self._site.bearer_in_use:
                return
            if record.status.is_up:
                yield record

    def _plan_return(self, now: Moment) -> Iterator[Yielded]:
        """Set the timer for the first moment at which the link may return to a better bearer."""
        dues_s = [due_s for record in self._better_bearers() if (due_s := record.return_s) is not None]
        if not dues_s or not self._is_carried:
            yield WakeMe(RETURN_TIMER, None)
            return
        yield WakeMe(RETURN_TIMER, max(min(dues_s), self._returns_allowed_s(), now.t_s + EXCHANGE_S))

    def _returns_allowed_s(self) -> float:
        return self._returns[0] + RETURNS_WITHIN_S if len(self._returns) == RETURNS else 0.0

    def _may_return_to(self, record: BearerRecord, now: Moment) -> bool:
        """Return whether this is a better bearer whose time has come. Without a link it is taken at once."""
        due_s = record.return_s
        return record in self._better_bearers() and due_s is not None and due_s <= now.t_s

    @handles_timer(TimerKind.BEARER_RETURN)
    def consider_return(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        due = (r for r in self._better_bearers() if r.return_s is not None and r.return_s <= now.t_s)
        better = next(due, None)
        if better is None or not self._is_carried or now.t_s < self._returns_allowed_s():
            yield from self._plan_return(now)
        elif self._site.collaborators.has_open_exchange():
            yield WakeMe(RETURN_TIMER, now.t_s + EXCHANGE_S)
        elif self._is_reached(better, now):
            self._returns.append(now.t_s)
            yield from self._use_bearer(better)
            yield from self._plan_return(now)
        else:
            yield from self._probe_bearer(better, now)
            yield WakeMe(RETURN_TIMER, now.t_s + ANSWER_S * self._site.config.io_s)

    @handles_events(BearerProbed)
    def judge_probe(self, event: BearerProbed, now: Moment) -> Iterator[Yielded]:
        """While the link is connected a probe is about a return, otherwise about a way out, or about both."""
        record = self._site.bearers[event.bearer]
        if self._demanded or not (record.status.is_up and self._is_carried):
            return
        if event.reached:
            record.reached_s = now.t_s
        if self._first_link not in self._connected and not (event.reached and self._may_return_to(record, now)):
            yield from self._seek_way_out(record, event.reached, now)
        elif event.reached:
            yield from self.consider_return(TimeCame(RETURN_TIMER), now)
        elif event.bearer != self._site.bearer_in_use:
            record.impose_penalty(now.t_s)
            yield from self._plan_return(now)

    # --- the change --------------------------------------------------------------------------------------------------

    def _use_best_bearer(self, now: Moment) -> Iterator[Yielded]:
        best = choose_bearer(self._usable_bearers(), now.t_s)
        if best is not None and best.config.name != self._site.bearer_in_use:
            yield from self._use_bearer(best)

    def _use_bearer(self, record: BearerRecord) -> Iterator[Yielded]:
        """Use this bearer. At the start a connection that is there already stays."""
        is_first = not self._site.bearer_in_use
        self._site.bearer_in_use = record.config.name
        self._address = record.status.interface, record.status.address
        self._address_due_s = self._unreached_s = None
        yield LogNote(
            STATION, f"carries the links now ({record.config.kind}, {record.status.interface})", record.config.name
        )
        for link in self._site.config.links:
            if not is_first or link not in self._connected:
                yield Reconnect(link, anyway=True)
