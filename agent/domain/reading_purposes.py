"""What a reading of the meter is for. The answer to a ``ReadMeter`` carries the purpose of its
order."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum, auto


class ReadingKind(StrEnum):
    BEGIN = auto()
    """The register at which a session begins."""
    END = auto()
    TRANSACTION = auto()
    """The register at which a transaction begins without a session."""
    PAYMENT = auto()
    """The register of a session that is lost. ``detail``: its payment."""
    LIVE = auto()
    """For the screen of a running session."""
    POLL = auto()
    """No order wanted it: the meter is read now and then so that a silent one is noticed."""
    SAMPLED = auto()
    SAMPLED_END = auto()
    """Kept for the end of the transaction, at an interval of its own."""
    ALIGNED = auto()
    """Clock-aligned, at ``mark_s``."""
    ALIGNED_END = auto()
    TRIGGERED = auto()
    """TriggerMessage. ``detail``: only to this link; "": to all."""
    TRIGGERED_OUTSIDE = auto()
    """TriggerMessage, of the meter and not of a transaction."""
    FAULT_RESET = auto()
    """Shows whether a contactor is still welded."""
    UNLOCK = auto()
    """Shows whether current flows through a plug that is to be unlocked."""


@frozen
class ReadingPurpose:
    """``attempt``: the reading counts only if it is still the latest attempt that is waited for.
    ``mark_s``: the stamp time of a clock-aligned reading."""

    kind: ReadingKind
    attempt: int = 0
    detail: str = ""
    mark_s: float = 0.0


def begin_reading(attempt: int) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.BEGIN, attempt)


def end_reading(attempt: int) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.END, attempt)
