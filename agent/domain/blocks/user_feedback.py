"""Give short feedback on what a person has just done: a sound, and some blinking of the lamp (1.6
BlinkRepeat)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import CardRefused, FaultCleared, FaultRaised, StopWanted, TokenAccepted
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import blocks_charging
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.messages import TriggerReason
from agent.domain.orders import Feedback
from agent.model.types import STATION, EvseId, Fault, Moment, Sign, TokenType


class UserFeedback:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._signalled_faults: set[tuple[EvseId, Fault]] = set()

    @handles_events(TokenAccepted)
    def signal_accepted_card(self, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
        """Signal an accepted card. A remote start, or one without a card, has no listener at the
        station."""
        if not event.remote_id and event.token.type is not TokenType.NO_AUTHORIZATION:
            yield self._make_signal(event.evse, Sign.ACCEPTED)

    @handles_events(StopWanted)
    def signal_stopping_card(self, event: StopWanted, now: Moment) -> Iterator[Yielded]:
        if event.token is not None and event.trigger == TriggerReason.STOP_AUTHORIZED:
            yield self._make_signal(event.evse, Sign.ACCEPTED)

    @handles_events(CardRefused)
    def signal_refused_card(self, event: CardRefused, now: Moment) -> Iterator[Yielded]:
        yield self._make_signal(event.evse, Sign.REFUSED)

    @handles_events(FaultRaised)
    def signal_new_fault(self, event: FaultRaised, now: Moment) -> Iterator[Yielded]:
        """Signal a new fault once, and only where a driver is: no station sounds at night in an
        empty street."""
        for evse in self._affected_evses(event.evse):
            new = (evse.number, event.fault) not in self._signalled_faults
            self._signalled_faults.add((evse.number, event.fault))
            if new and blocks_charging(event.fault) and _is_driver_present(evse):
                yield self._make_signal(evse.number, Sign.FAULT)

    @handles_events(FaultCleared)
    def forget_cleared_fault(self, event: FaultCleared, now: Moment) -> Iterator[Yielded]:
        self._signalled_faults -= {(e.number, event.fault) for e in self._affected_evses(event.evse)}
        return iter(())

    def _affected_evses(self, number: EvseId) -> list[EvseRecord]:
        return [e for e in self._site.evses.values() if number in (STATION, e.number)]

    def _make_signal(self, evse: EvseId, sign: Sign) -> Feedback:
        return Feedback(evse, sign, self._site.settings.int_value("blink_repeat"))


def _is_driver_present(evse: EvseRecord) -> bool:
    plugged = evse.board.vehicle_connected or evse.board.cable_plugged
    return plugged or evse.authorization is not None or evse.session is not None
