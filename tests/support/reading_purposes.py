"""What a reading is for, in short, and the timers that readings are taken on."""

from __future__ import annotations

from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.timers import TimerKind

LIVE = ReadingPurpose(ReadingKind.LIVE)
POLL = ReadingPurpose(ReadingKind.POLL)
SAMPLED = ReadingPurpose(ReadingKind.SAMPLED)
SAMPLED_END = ReadingPurpose(ReadingKind.SAMPLED_END)
TRIGGERED = ReadingPurpose(ReadingKind.TRIGGERED)
TRIGGERED_OUTSIDE = ReadingPurpose(ReadingKind.TRIGGERED_OUTSIDE)
FAULT_RESET = ReadingPurpose(ReadingKind.FAULT_RESET)
UNLOCK = ReadingPurpose(ReadingKind.UNLOCK)
READING_TIMERS = (TimerKind.LIVE_READING, TimerKind.REGISTER_SNAPSHOT, TimerKind.SAMPLED_READING)


def transaction_reading(attempt: int) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.TRANSACTION, attempt)


def payment_reading(payment: str) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.PAYMENT, detail=payment)


def aligned_reading(mark_s: float) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.ALIGNED, mark_s=mark_s)


def aligned_end_reading(mark_s: float) -> ReadingPurpose:
    return ReadingPurpose(ReadingKind.ALIGNED_END, mark_s=mark_s)
