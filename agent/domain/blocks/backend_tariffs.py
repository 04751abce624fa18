"""Keep the default tariffs that a backend sets for each EVSE, and the tariffs of drivers that come with their
authorization (OCPP 2.1 I07 to I11). What a session costs by them: ``tariff_session.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.domain.backend_tariff import BackendTariff, is_valid_now, without_replaced_tariffs
from agent.domain.events import DriverTariffReceived, Started, TransactionClosed
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.orders import Persist
from agent.domain.requests import (
    ClearTariffsRequest,
    GetTariffsRequest,
    SetDefaultTariffRequest,
)
from agent.domain.session_records import Session
from agent.model.types import EvseId, Moment, Token

FACT = "default_tariffs"
DRIVERS_MAX = 16
"""Tariffs of drivers that have no session yet."""
PER_EVSE_MAX = 4
"""Default tariffs of an EVSE: the one in force, and later ones."""


class BackendTariffs:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._defaults: dict[EvseId, tuple[BackendTariff, ...]] = {}
        self._drivers: dict[str, tuple[Token, BackendTariff | None]] = {}
        self._changed: dict[str, tuple[Token, BackendTariff | None]] = {}
        """By transaction."""

    # --- tariffs for sessions ------------------------------------------------------------------------------------

    def tariff_for_session(self, evse: EvseRecord, session: Session, now: Moment) -> BackendTariff | None:
        """Return the tariff that a session begins with: that of its transaction if the backend has changed it,
        that of the driver, otherwise the default of the EVSE (I07.FR.14, I08.FR.04); None: the backend computes the
        cost. A driver's tariff is used up."""
        driver = self._drivers.pop(session.token.value.casefold(), None)
        own = self._changed.pop(session.id, driver)
        if own is not None:
            return own[1]
        valid = [t for t in self._present_defaults(evse.number, now) if is_valid_now(t, now.utc_s)]
        return valid[-1] if valid else None

    def keep_changed_tariff(self, transaction: str, token: Token, tariff: BackendTariff) -> None:
        """Keep a tariff that a backend has changed for a transaction whose session is still to come (I11)."""
        self._changed[transaction] = token, tariff

    @handles_events(TransactionClosed)
    def forget_changed_tariff(self, event: TransactionClosed, now: Moment) -> Iterator[Yielded]:
        """Forget the tariff of a transaction whose session never came: it is of no other one of the same driver."""
        self._changed.pop(event.session, None)
        yield from ()

    def has_driver_tariff(self, session: Session) -> bool:
        """Return whether the session begins with a tariff of its own."""
        return session.id in self._changed or session.token.value.casefold() in self._drivers

    def _present_defaults(self, evse: EvseId, now: Moment) -> tuple[BackendTariff, ...]:
        return without_replaced_tariffs(self._defaults.get(evse, ()), now.utc_s)

    @handles_events(DriverTariffReceived)
    def keep_driver_tariff(self, event: DriverTariffReceived, now: Moment) -> Iterator[Yielded]:
        """Keep the tariff of a driver for the session to come. One that cannot be computed here leaves the cost of
        that session to the backend (I08.FR.33)."""
        if event.link == self._site.config.links[0]:
            key = event.token.value.casefold()
            self._drivers.pop(key, None)
            if event.is_given:
                self._drivers[key] = event.token, event.tariff
            while len(self._drivers) > DRIVERS_MAX:
                del self._drivers[next(iter(self._drivers))]
        yield from ()

    # --- requests ------------------------------------------------------------------------------------------------

    @answers_requests(SetDefaultTariffRequest)
    def answer_set_tariff(self, request: SetDefaultTariffRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        evses = self._evses_of_request(request.evse)
        if reply.link != self._site.config.links[0] or not evses:
            yield reply("Rejected", _reason_data("UnknownEVSE" if not evses else "NotAllowed"))
            return
        known = {t.id for n in self._site.evses for t in self._present_defaults(n, now)}
        if request.tariff.id in known | self._tariffs_of_sessions():
            yield reply("DuplicateTariffId")
            return
        changed = {n: without_replaced_tariffs((*self._present_defaults(n, now), request.tariff), now.utc_s)
                   for n in evses}  # fmt: skip
        if any(len(tariffs) > PER_EVSE_MAX for tariffs in changed.values()):
            yield reply("Rejected", _reason_data("TooManyElements"))
            return
        for number, tariffs in changed.items():
            yield self._store_defaults(number, tariffs)
        yield reply("Accepted")

    @answers_requests(GetTariffsRequest)
    def answer_get_tariffs(self, request: GetTariffsRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        evses = self._evses_of_request(request.evse)
        if not evses:
            yield reply("Rejected", _reason_data("UnknownEVSE"))
            return
        defaults: dict[str, tuple[BackendTariff, list[EvseId]]] = {}
        for number in evses:
            for tariff in self._present_defaults(number, now):
                defaults.setdefault(tariff.id, (tariff, []))[1].append(number)
        assigned = [_default_assignment(tariff, numbers) for tariff, numbers in defaults.values()]
        assigned += self._driver_assignments(evses, is_station=request.evse == 0)
        yield reply("Accepted", {"tariffs": assigned}) if assigned else reply("NoTariff")

    @answers_requests(ClearTariffsRequest)
    def answer_clear_tariffs(self, request: ClearTariffsRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Clear default tariffs. A session that has begun with one goes on with it (I10.FR.07)."""
        cleared: list[str] = []
        is_allowed = reply.link == self._site.config.links[0]
        for number in self._evses_of_request(request.evse) if is_allowed else ():
            present = self._present_defaults(number, now)
            gone = [t.id for t in present if not request.ids or t.id in request.ids]
            cleared += gone
            if gone:
                yield self._store_defaults(number, tuple(t for t in present if t.id not in gone))
        refused = "NoTariff" if is_allowed else "Rejected"
        others = [(id_, refused) for id_ in request.ids if id_ not in cleared]
        results = [*((id_, "Accepted") for id_ in dict.fromkeys(cleared)), *others]
        yield reply("Accepted", {"results": results or [("", refused)]})

    def _evses_of_request(self, evse: EvseId) -> Sequence[EvseId]:
        """Return the EVSEs that are meant (0: all of them), none if it does not exist."""
        return list(self._site.evses) if evse == 0 else [evse] if evse in self._site.evses else []

    def _tariffs_of_sessions(self) -> set[str]:
        used = (e.pricing.priced for e in self._site.evses.values() if e.session is not None)
        return {bill.tariff_id for bill in used if bill is not None and bill.tariff_id}

    def _driver_assignments(self, evses: Sequence[EvseId], is_station: bool) -> Iterator[dict[str, Any]]:
        """Yield the tariffs of drivers: with the EVSE where a session uses it, or waiting for one (I09.FR.05)."""
        for number in evses:
            evse = self._site.evses[number]
            bill = evse.pricing.priced
            if evse.session is not None and bill is not None and bill.tariff_id and bill.is_driver_tariff:
                yield {"id": bill.tariff_id, "evses": [number], "tokens": [evse.session.token.value]}
        for token, tariff in (*self._drivers.values(), *self._changed.values()) if is_station else ():
            if tariff is not None:
                yield {"id": tariff.id, "evses": [], "tokens": [token.value]}

    # --- on disk -------------------------------------------------------------------------------------------------

    def _store_defaults(self, evse: EvseId, tariffs: tuple[BackendTariff, ...]) -> Persist:
        self._defaults[evse] = tariffs
        return Persist(FACT, str(evse), {"tariffs": [t.to_record() for t in tariffs]} if tariffs else None)

    @handles_events(Started)
    def restore_default_tariffs(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the tariffs. What cannot be read is the backend's to set again."""
        for key, record in event.remembered.get(FACT, {}).items():
            tariffs = _read_tariffs(record)
            evse = int(key) if key.isdecimal() else 0
            if tariffs and evse in self._site.evses:
                self._defaults[evse] = tariffs
            else:
                yield Persist(FACT, key, None)


def _read_tariffs(record: Mapping[str, Any]) -> tuple[BackendTariff, ...]:
    try:
        return tuple(BackendTariff.from_record(r) for r in record["tariffs"])
    except (KeyError, TypeError, ValueError):
        return ()


def _default_assignment(tariff: BackendTariff, evses: list[EvseId]) -> dict[str, Any]:
    return {"id": tariff.id, "evses": evses, "valid_from_utc_s": tariff.valid_from_utc_s}


def _reason_data(code: str) -> dict[str, str]:
    return {"reason": code}
