"""Messages for the stores of a fleet and of a board."""

from __future__ import annotations

from agent.domain.messages import (
    ChargingState,
    MeterSampled,
    Sample,
    SecurityHappened,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.model.types import Reading, ReadingContext, Stamp, Token

ENERGY = ("Energy.Active.Import.Register",)


def started_message(session: str) -> TransactionStarted:
    return TransactionStarted(session, 1, Token("04A1B2C3D4E5F6"), Stamp(1, 1.0), 100)


def authorized_message(session: str) -> TransactionAuthorized:
    token, state = Token("04A1B2C3D4E5F6"), ChargingState.EV_CONNECTED
    return TransactionAuthorized(session, 1, token, Stamp(1, 1.0), 100, TriggerReason.AUTHORIZED, state)


def sampled_message(session: str, wh: int) -> MeterSampled:
    sample = Sample(ReadingContext.PERIODIC, Reading(Stamp(1, 2.0), wh), ENERGY)
    return MeterSampled(session, 1, (sample,))


def ended_message(session: str) -> TransactionEnded:
    return TransactionEnded(session, 1, None, Stamp(1, 9.0), 500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)


def note_message(number: int) -> SecurityHappened:
    return SecurityHappened("StartupOfTheDevice", Stamp(1, float(number)))
