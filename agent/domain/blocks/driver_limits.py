"""Let a driver choose the most that a charge may come to before the QR code is scanned (OCPP 2.1 C25, URLParameters):
energy, time, cost. Each press of a button named ``limit-energy``, ``limit-time`` or ``limit-cost`` takes the next
choice of the station file, and after the last one none; with several outlets their names end with the number of the
outlet (``limit-energy-2``). The choice is part of the code's address (``web_payment.py``), and a limit of the
transaction that is paid for (``transaction_limits.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.domain.events import (
    AuthorizationDropped,
    ButtonPressed,
    EvseEvent,
    SessionOpened,
    SituationChanged,
    Started,
    TimeCame,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import Persist, WakeMe
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.timers import Timer, TimerKind
from agent.domain.web_payment import MAX_COST, MAX_ENERGY, MAX_TIME
from agent.model.fastclass import replace
from agent.model.types import EvseId, Moment, Stamp, TransactionLimit

FACT = "driver_limit"
CHOICE_S = 300.0
"""How long a choice counts after the last press, unless its driver is paying by then (real seconds)."""
PREFIX = "limit-"
FIELDS: Mapping[str, tuple[str, str]] = {
    "energy": ("energy_wh", MAX_ENERGY),
    "time": ("time_s", MAX_TIME),
    "cost": ("cost_cents", MAX_COST),
}
"""By the name of the button: the field of the limit, and the parameter of the address."""
_NONE = TransactionLimit()


class DriverLimits:
    def __init__(self, site: StationState) -> None:
        self._site, self._choices = site, site.config.web_payment.limit_choices
        self._chosen_at: dict[EvseId, Stamp] = {}

    @handles_events(ButtonPressed)
    def choose_next_limit(self, event: ButtonPressed, now: Moment) -> Iterator[Yielded]:
        """Take the next choice. While its driver is paying, and after that, the choice stays as it was scanned."""
        kind, number = self._parse_button(event.name)
        evse = self._site.evses.get(number)
        if evse is None or kind not in FIELDS or not self._may_choose(evse):
            return
        field, parameter = FIELDS[kind]
        choices: tuple[int | None, ...] = (*self._choices.get(parameter, ()), None)
        limit = evse.driver_limit or _NONE
        present = getattr(limit, field)
        place = choices.index(present) + 1 if present in choices[:-1] else 0
        self._chosen_at[number] = now.stamp
        evse.driver_limit = replace(limit, **{field: choices[place]})
        yield self._store_choice(evse)
        yield WakeMe(_timer_of(evse), now.t_s + CHOICE_S * self._site.config.io_s)
        yield SituationChanged(number)

    def _parse_button(self, name: str) -> tuple[str, EvseId]:
        """Return what is limited, and at which EVSE (0: that is not clear)."""
        kind, _, number = name.removeprefix(PREFIX).partition("-") if name.startswith(PREFIX) else ("", "", "")
        if not number and len(self._site.evses) == 1:
            return kind, next(iter(self._site.evses))
        return kind, int(number) if number.isascii() and number.isdecimal() else 0

    def _may_choose(self, evse: EvseRecord) -> bool:
        in_service = self._site.service_state(evse) is ServiceState.IN_SERVICE
        return in_service and evse.accepts_authorization and evse.authorization is None and evse.payer_until_s is None

    def _store_choice(self, evse: EvseRecord) -> Persist:
        limit, at = evse.driver_limit, self._chosen_at.get(evse.number)
        if limit is None or limit == _NONE or at is None:
            return Persist(FACT, str(evse.number), None)
        return Persist(FACT, str(evse.number), {"limit": dump_record(limit), "at": dump_record(at)})

    # --- the end of a choice -------------------------------------------------------------------------------------

    @handles_timer(TimerKind.DRIVER_LIMIT)
    def end_choice_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if evse.payer_until_s is not None or evse.authorization is not None:
            yield WakeMe(event.timer, now.t_s + CHOICE_S * self._site.config.io_s)
        else:
            yield from self._forget_choice(evse)

    @handles_events(SessionOpened)
    def end_choice_with_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        """End the choice: by now it is a limit of the transaction, or of no use to a driver who pays otherwise."""
        yield from self._forget_choice(self._site.evses[event.evse])

    @handles_events(VehicleLeft, AuthorizationDropped)
    def end_choice_without_driver(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.payer_until_s is None and evse.authorization is None:
            yield from self._forget_choice(evse)

    def _forget_choice(self, evse: EvseRecord) -> Iterator[Yielded]:
        if evse.driver_limit is None:
            return
        evse.driver_limit = None
        self._chosen_at.pop(evse.number, None)
        yield self._store_choice(evse)
        yield WakeMe(_timer_of(evse), None)
        yield SituationChanged(evse.number)

    @handles_events(Started)
    def restore_choices(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore what was chosen a moment ago: its driver may be paying. What cannot be read is chosen again."""
        for key, record in event.remembered.get(FACT, {}).items():
            evse = self._site.evses.get(int(key)) if key.isdecimal() else None
            try:
                limit, at = load_record(record["limit"], TransactionLimit), load_record(record["at"], Stamp)
            except (UnreadableRecord, KeyError, TypeError):
                evse = None
            left_s = 0.0 if evse is None or at.boot != now.stamp.boot else at.t_s + CHOICE_S * self._site.config.io_s
            if evse is None or left_s <= now.t_s or evse.session is not None:
                yield Persist(FACT, key, None)
                continue
            evse.driver_limit, self._chosen_at[evse.number] = limit, at
            yield WakeMe(_timer_of(evse), left_s)


def _timer_of(evse: EvseRecord) -> Timer:
    return Timer(TimerKind.DRIVER_LIMIT, evse.number)
