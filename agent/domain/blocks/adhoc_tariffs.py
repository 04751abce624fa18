"""Keep the ad-hoc tariffs that are set from afar, and say which one is in force at each EVSE (Regulation (EU)
2023/1804, articles 5(4) and 20). A tariff comes as a whole, by a setting of the backend: what is wrong with any part of
it refuses all of it. It comes into force here alone, at the time from which it is valid: screen, terminal and web
payments then see it at once. A session keeps the price that was presented before its authorization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.domain.adhoc_tariff import AdhocTariff, unlawful_price_keys
from agent.domain.backend_tariff import BackendTariff
from agent.domain.blocks.cost_triggers import stamp_time_of_utc
from agent.domain.events import (
    ClockTrusted,
    Event,
    SettingChanged,
    SettingRefused,
    SituationChanged,
    Started,
    TimeCame,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.local_time import utc_text
from agent.domain.messages import PricesReported
from agent.domain.orders import LogNote, Persist, Send, WakeMe
from agent.domain.payment_amount import amount_to_hold_cents
from agent.domain.tariff_document import (
    TariffDocument,
    UnusableTariff,
    parse_json_object,
    read_tariff_document,
    write_json_text,
    write_tariff_fields,
)
from agent.domain.tariff_schedule import RefusedTariff, TariffSchedule
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import OFFLINE_PRICES, VARIABLES, Value, ValueChecks
from agent.model.types import STATION, EvseId, Moment

FACT = "adhoc_tariffs"
SETTING, IN_FORCE, REPORTS = "adhoc_tariff", "adhoc_tariff_in_force", "report_adhoc_tariff"
REPORTED = "adhoc_prices"
"""The fact that keeps what the backend was sent."""
_TIMER = Timer(TimerKind.ADHOC_TARIFF)
_DEFAULT_PRICE = (*OFFLINE_PRICES, "currency")
"""Settings of the default price, which may be the ad-hoc price."""


class AdhocTariffs:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._reported = ""
        """The prices that the backend was sent last."""

    # --- a tariff of a backend ---------------------------------------------------------------------------------------

    def value_checks(self) -> ValueChecks:
        return {SETTING: self._is_usable_text}

    def _is_usable_text(self, value: Value) -> bool:
        return not self._refusal_of_text(str(value))

    def _refusal_of_text(self, text: str) -> str:
        """Return why this value of the setting is refused; "": it is not."""
        try:
            evses = self._evses_of_backend()
            if text:
                self._changed_schedules([read_tariff_document(parse_json_object(text))], evses, None)
        except (UnusableTariff, RefusedTariff) as e:
            return str(e)
        return ""

    def _evses_of_backend(self) -> list[EvseRecord]:
        """Return the EVSEs whose price a backend may set. Raises ``UnusableTariff``."""
        evses = [e for e in self._selling_evses() if e.config.offer is not None and e.config.offer.backend]
        if not evses:
            raise UnusableTariff('a backend may set no price here: the station file has no source = "backend"')
        return evses

    @handles_events(SettingRefused)
    def log_refused_tariff(self, event: SettingRefused, now: Moment) -> Iterator[Yielded]:
        if event.name == SETTING:
            why = self._refusal_of_text(event.text) or "it is too long, or the disk takes nothing"
            yield LogNote(STATION, f"a tariff of the backend is refused: {why}", "tariff")

    @handles_events(SettingChanged)
    def apply_tariff_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        """Store the tariff in the transaction of the setting. An empty value brings back the station file's price."""
        if event.name in _DEFAULT_PRICE:
            yield from self._update_prices()
        if event.name == REPORTS:
            yield from self._report_prices()
        if event.name != SETTING:
            return
        text = self._site.settings.text_value(SETTING)
        evses = self._evses_of_backend()
        documents = [read_tariff_document(parse_json_object(text))] if text else []
        yield from self.store_schedules(self._changed_schedules(documents, evses, now.utc_s), now)

    # --- the tariffs of a signed file --------------------------------------------------------------------------------

    def schedules_of_file(self, documents: Sequence[TariffDocument], now: Moment) -> Mapping[EvseId, TariffSchedule]:
        """Return the schedules with the tariffs of a file, for ``store_schedules``. Raises ``UnusableTariff``,
        ``RefusedTariff``."""
        return self._changed_schedules(documents, self._selling_evses(), now.utc_s)

    def _selling_evses(self) -> list[EvseRecord]:
        return [
            e for e in self._site.evses.values() if e.config.offer is not None and e.config.offer.tariff is not None
        ]

    def _changed_schedules(
        self, documents: Sequence[TariffDocument], evses: Sequence[EvseRecord], utc_s: float | None
    ) -> dict[EvseId, TariffSchedule]:
        """Return the schedules with these tariffs, of each EVSE that they are for; without a tariff the empty ones of
        all. Raises ``UnusableTariff``, ``RefusedTariff``."""
        numbers = {e.number for e in evses}
        changed = {} if documents else {number: TariffSchedule() for number in numbers}
        for document in documents:
            if strange := [n for n in document.evses if n not in numbers]:
                raise UnusableTariff(f"evses: EVSE {strange[0]} has no price that can be set from afar")
            for evse in (e for e in evses if not document.evses or e.number in document.evses):
                before = changed.get(evse.number, self._schedule_of(evse.number))
                changed[evse.number] = before.add_tariff(self._tariff_at_evse(document, evse), utc_s)
        return changed

    def _tariff_at_evse(self, document: TariffDocument, evse: EvseRecord) -> BackendTariff:
        """Return the tariff that this EVSE would sell at. Raises ``UnusableTariff``."""
        offer = evse.config.offer
        assert offer is not None  # it sells
        assert offer.tariff is not None
        tariff = document.tariff_beside(offer.tariff)
        if why := self._refusal_at_evse(tariff, evse, offer):
            raise UnusableTariff(why)
        return tariff

    def _refusal_at_evse(self, tariff: BackendTariff, evse: EvseRecord, offer: AdhocTariff) -> str:
        """Return why this EVSE cannot sell at this tariff; "": it can."""
        if unlawful := unlawful_price_keys(tariff.tariff, offer.is_fast_charger):
            return (
                f"{unlawful[0]}: from 50 kW on the law asks for a price per kWh and allows an occupancy fee beside it"
            )
        if offer.tariff is not None and tariff.tariff.currency != offer.tariff.currency:
            return f"currency: EVSE {evse.number} sells in {offer.tariff.currency}"
        terms = self._site.config.payment_terms
        held_cents = amount_to_hold_cents(self._site.settings, terms) if terms is not None else 0
        if held_cents and not tariff.tariff.leaves_energy_under(held_cents):
            return f"what is due once is more than the {held_cents} cents that a bank holds"
        return ""

    def _schedule_of(self, evse: EvseId) -> TariffSchedule:
        return self._site.adhoc_tariffs.get(evse, TariffSchedule())

    # --- in force ----------------------------------------------------------------------------------------------------

    @handles_timer(TimerKind.ADHOC_TARIFF)
    def begin_tariff_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._begin_due_tariffs(now)

    @handles_events(ClockTrusted)
    def begin_tariff_on_clock(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield from self._begin_due_tariffs(now)
        yield SituationChanged(STATION)  # prices by the time of day are known from now on

    def _begin_due_tariffs(self, now: Moment) -> Iterator[Yielded]:
        advanced = {n: s.advance_to(now.utc_s) for n, s in self._site.adhoc_tariffs.items()}
        yield from self.store_schedules(
            {n: s for n, s in advanced.items() if s is not self._site.adhoc_tariffs[n]}, now
        )

    def store_schedules(self, changed: Mapping[EvseId, TariffSchedule], now: Moment) -> Iterator[Yielded]:
        """Store the schedules of all EVSEs at once: the orders of one event are one transaction."""
        for number, schedule in changed.items():
            is_empty = schedule == TariffSchedule()
            yield Persist(FACT, str(number), None if is_empty else schedule.to_record())
            self._site.adhoc_tariffs[number] = schedule
        yield from self._arm_next_begin(now)
        if changed:
            yield from self._update_prices()
            yield SituationChanged(STATION)

    def _arm_next_begin(self, now: Moment) -> Iterator[Yielded]:
        later = [t.valid_from_utc_s for s in self._site.adhoc_tariffs.values() if (t := s.next_tariff) is not None]
        begin_s = min((utc_s for utc_s in later if utc_s is not None), default=None)
        yield WakeMe(_TIMER, stamp_time_of_utc(begin_s, now))

    # --- what is in force, as a text ---------------------------------------------------------------------------------

    def _update_prices(self) -> Iterator[Yielded]:
        """Keep the setting that shows the price in force at each EVSE, and what comes next."""
        text = self._prices_text()
        if text != self._site.settings.text_value(IN_FORCE):
            self._site.settings.put_value(IN_FORCE, text)
            yield SettingChanged(IN_FORCE)
        yield from self._report_prices()

    def _report_prices(self) -> Iterator[Yielded]:
        """Report the prices if the backend wants that and does not know them yet."""
        text = self._site.settings.text_value(IN_FORCE)
        if self._site.settings.bool_value(REPORTS) and text != self._reported and self._site.config.links:
            self._reported = text
            yield Persist(REPORTED, "prices", {"text": text})
            yield Send(self._site.config.links[0], PricesReported(text))

    def _prices_text(self) -> str:
        """Return JSON: one object for all EVSEs with the same price; with their tariffs' names alone where the whole
        is too long."""
        for is_whole in (True, False):
            groups: dict[str, tuple[dict[str, Any], list[EvseId]]] = {}
            for evse in self._site.evses.values():
                if (fields := self._present_fields(evse, is_whole)) is not None:
                    groups.setdefault(write_json_text(fields), (fields, []))[1].append(evse.number)
            text = write_json_text([{"evses": numbers, **fields} for fields, numbers in groups.values()])
            if len(text) <= VARIABLES[IN_FORCE].high:
                return text
        return ""

    def _present_fields(self, evse: EvseRecord, is_whole: bool) -> dict[str, Any] | None:
        tariff = self._site.presented_tariff(evse)
        if tariff is None:
            return None
        schedule = self._schedule_of(evse.number)
        now, coming = schedule.in_force, schedule.next_tariff
        fields = {**_begin_fields(now)} | (write_tariff_fields(tariff) if is_whole else {})
        return fields | ({"next": _begin_fields(coming)} if coming is not None else {})

    # --- on disk -----------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_adhoc_tariffs(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the schedules. A tariff that the station file of now does not allow is not sold."""
        for key, record in event.remembered.get(FACT, {}).items():
            schedule = self._read_schedule(key, record)
            if schedule is None:
                yield Persist(FACT, key, None)
                yield LogNote(
                    STATION, f"EVSE {key}: the tariff on disk cannot be sold; the file's price holds", "tariff"
                )
            else:
                self._site.adhoc_tariffs[int(key)] = schedule
        self._reported = str(event.remembered.get(REPORTED, {}).get("prices", {}).get("text", ""))
        yield from self._begin_due_tariffs(now)
        yield from self._update_prices()

    def _may_be_set(self, offer: AdhocTariff) -> bool:
        """Return whether this price can be set from afar at all."""
        return offer.backend or bool(self._site.config.tariff_station)

    def _read_schedule(self, key: str, record: Mapping[str, Any]) -> TariffSchedule | None:
        evse = self._site.evses.get(int(key) if key.isdecimal() else STATION)
        offer = evse.config.offer if evse is not None else None
        if evse is None or offer is None or offer.tariff is None or not self._may_be_set(offer):
            return None
        try:
            schedule = TariffSchedule.from_record(record)
        except (KeyError, TypeError, ValueError):
            return None
        tariffs = (*((schedule.in_force,) if schedule.in_force else ()), *schedule.later)
        return None if any(self._refusal_at_evse(t, evse, offer) for t in tariffs) else schedule


def _begin_fields(tariff: BackendTariff | None) -> dict[str, Any]:
    """Return which tariff it is and since when; nothing of the station file's."""
    if tariff is None:
        return {}
    since = {} if tariff.valid_from_utc_s is None else {"valid_from": utc_text(tariff.valid_from_utc_s)}
    return {"id": tariff.id, **since}
