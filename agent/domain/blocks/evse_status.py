"""Derive one status per EVSE, and report it when it changes, after each boot, and on request."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BoardOpened, FaultRaised, LinkChanged, SituationChanged
from agent.domain.evse import EvseRecord, ServiceState, SessionState, StationState
from agent.domain.faults import GRACE_S, blocks_charging, most_severe_first
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.messages import ChargingState, ConnectorStatus, StatusChanged
from agent.domain.orders import Send
from agent.model.types import STATION, EvseId, Fault, Moment, Stamp

_OF_SERVICE = {
    ServiceState.FAULTED: ConnectorStatus.FAULTED,
    ServiceState.UNAVAILABLE: ConnectorStatus.UNAVAILABLE,
    ServiceState.RESERVED: ConnectorStatus.RESERVED,
    ServiceState.IN_SERVICE: ConnectorStatus.AVAILABLE,
}


class EvseStatus:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._reported: dict[tuple[str, EvseId], StatusChanged] = {}
        numbers = (STATION, *site.evses)
        self._owed_reports: set[tuple[str, EvseId]] = {(link, n) for link in site.config.links for n in numbers}

    def derive_status(self, number: EvseId, at: Stamp) -> StatusChanged:
        """Return the status of an EVSE, or of the whole station (0)."""
        if number == STATION:
            return self._derive_station_status(at)
        site, evse = self._site, self._site.evses[number]
        service = site.service_state(evse)
        connector = _OF_SERVICE[service]
        unplugged = evse.traits.tethered and _is_unplugged(evse)
        in_use = (evse.session is not None or evse.vehicle_finished) and not unplugged
        if in_use and (service is not ServiceState.FAULTED or _outlives_its_faults(evse)):
            connector = ConnectorStatus.OCCUPIED
        elif (evse.board.cable_plugged or evse.board.vehicle_connected) and service in (
            ServiceState.IN_SERVICE,
            ServiceState.RESERVED,
        ):
            connector = ConnectorStatus.OCCUPIED  # inoperative with a cable stays Unavailable: no session may start
        faults = evse.faults if site.store_ok else evse.faults | {Fault.STORE_FAILED}
        return StatusChanged(
            evse=number,
            at=at,
            connector=connector,
            charging=_reported_charging_state(evse),
            authorized=evse.authorization is not None or evse.state is SessionState.BEGINNING,
            ended=evse.vehicle_finished,
            faults=most_severe_first(frozenset(faults)),
        )

    def _derive_station_status(self, at: Stamp) -> StatusChanged:
        connector = ConnectorStatus.AVAILABLE if self._site.operative else ConnectorStatus.UNAVAILABLE
        faults: tuple[Fault, ...] = ()
        if not self._site.store_ok:
            connector, faults = ConnectorStatus.FAULTED, (Fault.STORE_FAILED,)
        return StatusChanged(STATION, at, connector, faults=faults)

    @handles_events(SituationChanged)
    def report_changed_status(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        numbers = (STATION, *self._site.evses) if event.evse == STATION else (event.evse,)
        for link in self._site.config.links:
            for number in numbers:
                yield from self._report_status(link, number, now)

    def _report_status(self, link: str, number: EvseId, now: Moment) -> Iterator[Yielded]:
        """Report the status if it changed. An EVSE whose board was not opened yet is not
        reported."""
        evse = self._site.evses.get(number)
        if evse is not None and not evse.board.known and not evse.faults:
            return
        new, old = self.derive_status(number, now.stamp), self._reported.get((link, number))
        owed = (link, number) in self._owed_reports and self._site.link_up.get(link, False)
        if not owed and old is not None and _is_same_status(old, new):
            return
        self._reported[(link, number)] = new
        if owed:
            self._owed_reports.discard((link, number))
            new = _force_report(new)
        yield Send(link, new)

    @handles_events(LinkChanged)
    def report_status_after_connect(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Report every connector after the boot, and only changes after a mere loss of the
        connection (the dialect compares with what it has sent)."""
        self._site.link_up[event.link] = event.up
        yield SituationChanged(STATION)

    @handles_events(BoardOpened, FaultRaised)
    def update_status_on_board_event(self, event: BoardOpened | FaultRaised, now: Moment) -> Iterator[Yielded]:
        yield SituationChanged(event.evse)

    def resend_status(self, link: str, number: EvseId | None, now: Moment) -> Iterator[Yielded]:
        """Report the status although nothing changed (TriggerMessage)."""
        for n in (STATION, *self._site.evses) if number is None else (number,):
            yield Send(link, _force_report(self.derive_status(n, now.stamp)))


def _reported_charging_state(evse: EvseRecord) -> ChargingState:
    waits = evse.progress.resumed and evse.progress.charging is ChargingState.EV_CONNECTED
    if evse.state is SessionState.RECOVERING or (evse.state is SessionState.ACTIVE and waits):
        return ChargingState.SUSPENDED_EVSE  # 1.6 4.9 knows no way back from a transaction to Preparing
    if _is_unplugged(evse):
        return ChargingState.SUSPENDED_EVSE  # likewise
    if evse.state in (SessionState.ACTIVE, SessionState.ENDING):
        return evse.progress.charging  # the end is reported first, then what follows from it
    return ChargingState.EV_CONNECTED if evse.board.vehicle_connected else ChargingState.IDLE


def _is_unplugged(evse: EvseRecord) -> bool:
    """Its session goes on without a vehicle (2.x E10)."""
    session = evse.session
    ending = (
        evse.state is SessionState.ENDING
        and session is not None
        and session.stop is not None
        and session.stop.unplugged
    )
    return (evse.state is SessionState.ACTIVE or ending) and evse.progress.charging is ChargingState.IDLE


def _outlives_its_faults(evse: EvseRecord) -> bool:
    """True if the session goes on in spite of its faults. Faulted means that there is no energy
    (1.6 4.9). A session in the grace time of a silent meter still delivers it; of a silent board
    this is unknown."""
    heavy = {f for f in evse.faults if blocks_charging(f)}
    charging = evse.state is SessionState.ACTIVE and evse.progress.charging is ChargingState.CHARGING
    return charging and heavy <= GRACE_S.keys() - {Fault.BOARD_SILENT}


def _force_report(status: StatusChanged) -> StatusChanged:
    return StatusChanged(
        status.evse, status.at, status.connector, status.charging, status.authorized, status.ended, status.faults, True
    )


def _is_same_status(a: StatusChanged, b: StatusChanged) -> bool:
    return (a.connector, a.charging, a.authorized, a.ended, a.faults) == (
        b.connector,
        b.charging,
        b.authorized,
        b.ended,
        b.faults,
    )
