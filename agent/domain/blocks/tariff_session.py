"""Compute what a session costs by the tariff that a backend has set (OCPP 2.1 I12). The tariff that it begins with
holds until its end (I07.FR.24). The screen shows the cost, and the end of the transaction reports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.backend_tariff import BackendTariff
from agent.domain.blocks.backend_tariffs import BackendTariffs
from agent.domain.blocks.web_payment_estimate import counts_as_charging
from agent.domain.driver_cost import DriverBill
from agent.domain.events import MeterRead, SessionClosed, SessionOpened, SituationChanged, Started
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.local_time import clock_s, local_offset
from agent.domain.messages import TriggerReason
from agent.domain.orders import Persist
from agent.domain.session_usage import Usage
from agent.domain.tariff_cost import final_usage
from agent.model.fastclass import mutable
from agent.model.types import Moment, Stamp

FACT = "tariff_session"
KEEP_S = 60.0
"""How often the usage of a session is stored (domain seconds)."""


@mutable
class TariffSession:
    """A session that is priced here. ``begun``: its start. ``of_driver``: the tariff came with the authorization."""

    priced_by: BackendTariff
    usage: Usage
    begun: Stamp
    of_driver: bool = False
    stored_s: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("tariff_session", session, ...)``."""
        return {
            "priced_by": self.priced_by.to_record(),
            "usage": self.usage.to_record(),
            "begun": [self.begun.boot, self.begun.t_s],
            "of_driver": self.of_driver,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> TariffSession:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        boot, t_s = r["begun"]
        return cls(
            BackendTariff.from_record(r["priced_by"]),
            Usage.from_record(r["usage"]),
            Stamp(int(boot), float(t_s)),
            bool(r["of_driver"]),
        )


class TariffSessions:
    def __init__(self, site: StationState, tariffs: BackendTariffs) -> None:
        self._site, self._tariffs = site, tariffs
        self._priced: dict[str, TariffSession] = {}
        """By session."""

    @handles_events(SessionOpened)
    def begin_priced_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        """Begin with the tariff of the driver or of the EVSE, or go on after a restart. A session that was begun
        without one goes on without."""
        evse = self._site.evses[event.evse]
        session = evse.session
        evse.pricing.priced = None
        if session is None:
            return
        priced = self._priced.get(session.id)
        if event.trigger is TriggerReason.TX_RESUMED:
            if priced is not None:
                priced.usage = priced.usage.advance_over_absence(now.stamp, KEEP_S)
                evse.pricing.unreported_tariff = session.id, priced.priced_by.id  # may be named twice, never not at all
                yield from self._show_cost(evse, session.id)
            return
        is_of_driver = self._tariffs.has_driver_tariff(session.token)
        chosen = self._tariffs.tariff_for_session(evse, session.token, now)
        if chosen is None:
            return
        utc_s = clock_s(now)
        here = local_offset(self._site.settings, utc_s, self._site.collaborators.local_offset)
        usage = chosen.tariff.start_usage(here).advance_to(utc_s, session.start_wh, None, now.stamp)
        self._priced[session.id] = TariffSession(chosen, usage, session.started, is_of_driver, now.t_s)
        evse.pricing.unreported_tariff = session.id, chosen.id
        yield Persist(FACT, session.id, self._priced[session.id].to_record())
        yield from self._show_cost(evse, session.id)

    @handles_events(MeterRead)
    def count_priced_session(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        priced = self._priced.get(evse.session.id) if evse.session is not None else None
        if priced is None or evse.session is None or evse.state is not SessionState.ACTIVE:
            return
        priced.usage = priced.usage.advance_to(
            clock_s(now), event.reading.energy_wh, counts_as_charging(evse), now.stamp
        )
        if now.t_s - priced.stored_s >= KEEP_S:
            priced.stored_s = now.t_s
            yield Persist(FACT, evse.session.id, priced.to_record())
        yield from self._show_cost(evse, evse.session.id)

    @handles_events(SessionClosed)
    def finish_priced_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        priced = self._priced.get(event.session)
        if priced is None:
            return
        if event.end_wh is not None:
            priced.usage = final_usage(priced.usage, event.end_wh, event.at or now.stamp, now)
        evse = self._site.evses[event.evse]
        evse.pricing.unreported_tariff = "", ""
        yield from self._show_cost(evse, event.session, final=True)
        del self._priced[event.session]
        yield Persist(FACT, event.session, None)

    def _show_cost(self, evse: EvseRecord, session: str, final: bool = False) -> Iterator[Yielded]:
        priced = self._priced[session]
        tariff, usage = priced.priced_by.tariff, priced.usage
        evse.pricing.priced = DriverBill(
            session,
            tariff.total_cents(usage),
            0,
            tariff.currency,
            final=final,
            tariff=tariff,
            parts=tariff.parts_in_cents(usage) if final else (),
            usage=usage,
            tariff_id=priced.priced_by.id,
            is_driver_tariff=priced.of_driver,
            begun=priced.begun,
        )
        yield SituationChanged(evse.number)

    @handles_events(Started)
    def restore_priced_sessions(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the sessions that run, before they are resumed. What cannot be read has no cost here."""
        running = {e.session.id: e for e in self._site.evses.values() if e.session is not None}
        for session, record in event.remembered.get(FACT, {}).items():
            restored = _read_session(record) if session in running else None
            if restored is None:
                yield Persist(FACT, session, None)
            else:
                self._priced[session] = restored
                yield from self._show_cost(running[session], session)


def _read_session(record: Mapping[str, Any]) -> TariffSession | None:
    try:
        return TariffSession.from_record(record)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
