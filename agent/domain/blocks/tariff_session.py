"""Compute what a session costs by the tariff that a backend has set (OCPP 2.1 I12). The tariff that it begins with
holds until its end (I07.FR.24), unless the backend changes that of the very transaction (I11): what was used before
costs what it cost. The screen shows the cost, and the end of the transaction reports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.backend_tariff import BackendTariff
from agent.domain.blocks.backend_tariffs import BackendTariffs
from agent.domain.blocks.web_payment_estimate import counts_as_charging
from agent.domain.driver_cost import DriverBill
from agent.domain.events import MeterRead, SessionClosed, SessionOpened, SituationChanged, Started
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.local_time import clock_s, local_offset
from agent.domain.messages import TransactionUpdated, TriggerReason
from agent.domain.orders import Persist
from agent.domain.payment_time import KEEP_S
from agent.domain.requests import ChangeTransactionTariffRequest
from agent.domain.session.common import report_transaction_update
from agent.domain.session.tx_points import idle_charging_state, send_to_backends
from agent.domain.session_records import Session
from agent.domain.session_usage import Usage
from agent.domain.tariff_cost import final_usage, usage_after_absence
from agent.domain.transaction import Transaction
from agent.model.fastclass import mutable, replace
from agent.model.types import Moment, Stamp

if TYPE_CHECKING:  # of sessions whose tariff is changed
    from agent.domain.changed_tariff import TariffPeriod

FACT = "tariff_session"


@mutable
class TariffSession:
    """A session that is priced here. ``begun``: when this tariff began to count. ``of_driver``: it is the tariff of the
    driver. ``periods``: of the tariffs before it."""

    priced_by: BackendTariff
    usage: Usage
    begun: Stamp
    of_driver: bool = False
    stored_s: float = 0.0
    periods: tuple[TariffPeriod, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("tariff_session", session, ...)``."""
        record = {
            "priced_by": self.priced_by.to_record(),
            "usage": self.usage.to_record(),
            "begun": [self.begun.boot, self.begun.t_s],
            "of_driver": self.of_driver,
        }
        if not self.periods:
            return record
        from agent.domain.changed_tariff import changed_to_record

        return record | changed_to_record(self.priced_by.tariff, self.periods)

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> TariffSession:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        boot, t_s = r["begun"]
        priced_by = BackendTariff.from_record(r["priced_by"])
        periods: tuple[TariffPeriod, ...] = ()
        if "carried" in r:
            from agent.domain.changed_tariff import read_changed_tariff

            tariff, periods = read_changed_tariff(priced_by.tariff, r)
            priced_by = replace(priced_by, tariff=tariff)
        return cls(
            priced_by,
            Usage.from_record(r["usage"]),
            Stamp(int(boot), float(t_s)),
            bool(r["of_driver"]),
            periods=periods,
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
                evse.pricing.unreported_tariff = session.id, priced.priced_by.id  # may be named twice, never not at all
                yield from self._show_cost(evse, session.id)
            return
        is_of_driver = self._tariffs.has_driver_tariff(session)
        chosen = self._tariffs.tariff_for_session(evse, session, now)
        if chosen is None:
            return
        usage = self._start_usage(chosen, now).advance_to(clock_s(now), session.start_wh, None, now.stamp)
        self._priced[session.id] = TariffSession(chosen, usage, session.started, is_of_driver, now.t_s)
        yield from self._keep_tariff(evse, session)

    def _start_usage(self, chosen: BackendTariff, now: Moment) -> Usage:
        here = local_offset(self._site.settings, clock_s(now), self._site.collaborators.local_offset)
        return chosen.tariff.start_usage(here)

    def _keep_tariff(self, evse: EvseRecord, session: Session) -> Iterator[Yielded]:
        """Store the tariff of the session. The next event of the transaction names it."""
        priced = self._priced[session.id]
        evse.pricing.unreported_tariff = session.id, priced.priced_by.id
        yield Persist(FACT, session.id, priced.to_record())
        yield from self._show_cost(evse, session.id)

    # --- another tariff in a running transaction -----------------------------------------------------------------

    @answers_requests(ChangeTransactionTariffRequest)
    def answer_change_tariff(
        self, request: ChangeTransactionTariffRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Apply the tariff to the transaction from now on. No other request changes the price of a running session."""
        evse = next((e for e in self._site.evses.values() if _is_priced_transaction(e, request.session)), None)
        if evse is None:
            yield reply("TxNotFound")
        elif reply.link != self._site.config.links[0]:
            yield reply("Rejected", {"reason": "NotAllowed"})
        elif request.tariff.tariff.currency != self._present_currency(request.session):
            yield reply("NoCurrencyChange")
        elif self._has_other_vat(request.session, request.tariff):
            yield reply("Rejected", {"reason": "VatChange"})
        elif evse.session is not None:
            yield reply("Accepted")
            yield from self._change_session_tariff(evse, evse.session, request.tariff, now)
        elif evse.tx is not None and evse.tx.token is not None:
            yield reply("Accepted")
            self._tariffs.keep_changed_tariff(evse.tx.id, evse.tx.token, request.tariff)
            yield from self._report_tariff_to_come(evse, evse.tx, request.tariff, now)
        else:
            yield reply("Rejected", {"reason": "NotAllowed"})  # there is no driver yet whom it could be for

    def _present_currency(self, session: str) -> str:
        priced = self._priced.get(session)
        return self._site.settings.text_value("currency") if priced is None else priced.priced_by.tariff.currency

    def _has_other_vat(self, session: str, wanted: BackendTariff) -> bool:
        """Return whether the VAT is another one. A transaction is reported with one rate, which must be that of all of
        its cost."""
        priced = self._priced.get(session)
        return priced is not None and priced.priced_by.tariff.vat_percent != wanted.tariff.vat_percent

    def _change_session_tariff(
        self, evse: EvseRecord, session: Session, wanted: BackendTariff, now: Moment
    ) -> Iterator[Yielded]:
        """Close the period of the present tariff, if there is one, and begin that of the wanted one (I11.FR.08)."""
        reading, priced = evse.metering.reading, self._priced.get(session.id)
        register_wh = max(session.last_wh, reading.energy_wh if reading is not None else 0)
        if priced is None:
            usage = self._start_usage(wanted, now).advance_to(
                clock_s(now), register_wh, counts_as_charging(evse), now.stamp
            )
            self._priced[session.id] = TariffSession(wanted, usage, now.stamp, True, now.t_s)
        else:
            from agent.domain.changed_tariff import change_tariff, close_period

            usage = priced.usage.advance_to(clock_s(now), register_wh, counts_as_charging(evse), now.stamp)
            changed = change_tariff(priced.priced_by.tariff, usage, wanted.tariff)
            closed = close_period(usage, priced.priced_by.id, priced.begun, priced.periods)
            self._priced[session.id] = TariffSession(
                replace(wanted, tariff=changed), usage, now.stamp, True, now.t_s, (*priced.periods, closed)
            )
        yield from self._keep_tariff(evse, session)
        if session.reported:
            yield from report_transaction_update(self._site, evse, session, TriggerReason.TARIFF_CHANGED, now)

    def _report_tariff_to_come(
        self, evse: EvseRecord, tx: Transaction, wanted: BackendTariff, now: Moment
    ) -> Iterator[Yielded]:
        yield from send_to_backends(self._site, TransactionUpdated(
            tx.id, evse.number if tx.placed else 0, now.stamp, TriggerReason.TARIFF_CHANGED, idle_charging_state(evse),
            offline=not self._site.backend_online, tariff_id=wanted.id,
        ))  # fmt: skip

    # --- what a session costs ------------------------------------------------------------------------------------

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
            periods=priced.periods,
        )
        yield SituationChanged(evse.number)

    @handles_events(Started)
    def restore_priced_sessions(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the sessions that run, before they are resumed or ended. What cannot be read has no cost here."""
        running = {e.session.id: (e, e.session) for e in self._site.evses.values() if e.session is not None}
        for key, record in event.remembered.get(FACT, {}).items():
            restored = _read_session(record) if key in running else None
            if restored is None:
                yield Persist(FACT, key, None)
                continue
            evse, session = running[key]
            restored.usage = usage_after_absence(restored.usage, session, now)
            session.last_wh = max(session.last_wh, restored.usage.wh)  # transaction and cost have one register
            self._priced[key] = restored
            yield from self._show_cost(evse, key)


def _is_priced_transaction(evse: EvseRecord, transaction: str) -> bool:
    """Return whether the transaction is open here and may still cost something: its end was not begun."""
    if evse.session is not None:
        return evse.session.id == transaction and evse.session.stop is None
    return evse.tx is not None and evse.tx.id == transaction and evse.tx.stop is None


def _read_session(record: Mapping[str, Any]) -> TariffSession | None:
    try:
        return TariffSession.from_record(record)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
