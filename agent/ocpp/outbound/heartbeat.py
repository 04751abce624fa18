"""When the next Heartbeat is due (OCPP 1.6 4.6, 9.1.9; 2.x G02)."""

from __future__ import annotations

import math
import time

from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.transport.call_channel import CallChannel
from agent.ports.clock import ClockPort

DAY_S = 86400.0
TIME_RETRY_S = 60.0
"""Domain seconds until the backend is asked again for the time, while none is known."""
TIME_WAIT_S = 600.0
"""Domain seconds for which what has a time waits until one is known."""
_NAME = "heartbeat_interval_s"


class Heartbeat:
    """Schedules the heartbeat. The interval of the boot answer holds until the setting is
    changed. Any exchange postpones the next heartbeat, but one a day is always sent, for the
    clock. While no time is known, one is sent after the boot and then each minute. Times of the
    channel are monotonic seconds."""

    def __init__(self, settings: Settings, ctx: RowContext, channel: CallChannel, clock: ClockPort) -> None:
        self._settings, self._ctx, self._channel, self._clock = settings, ctx, channel, clock
        self._seen: int | None = None
        self._sent_s = 0.0
        self._is_time_known, self._asked_s, self._time_wait_ends_s = False, -math.inf, math.inf

    def boot_accepted(self, interval_s: int) -> None:
        """Take the interval of an accepted boot (0: none given)."""
        self._seen = self._settings.int_value(_NAME)
        if interval_s > 0:
            self._ctx.overlay[_NAME] = interval_s
        self.heartbeat_sent()
        self._asked_s = -math.inf
        self._time_wait_ends_s = min(self._time_wait_ends_s, self._sent_s + TIME_WAIT_S / self._clock.rate)

    def heartbeat_sent(self) -> None:
        """Note that a heartbeat was sent, answered or not: the next one follows at the next
        interval."""
        self._sent_s = self._channel.last_exchange_s = self._channel.last_clock_s = time.monotonic()
        self._asked_s = self._sent_s

    def due_s(self) -> float:
        given = self.interval_in_force()
        interval_s = float(given) if isinstance(given, int) and given > 0 else DAY_S
        daily_s = self._channel.last_clock_s + DAY_S / self._clock.rate
        since_s = self._sent_s if self._channel.dialect.heartbeat_always else self._channel.last_exchange_s
        due_s = min(since_s + max(0.05, interval_s / self._clock.rate), daily_s)
        return due_s if self._knows_time() else min(due_s, self._asked_s + TIME_RETRY_S / self._clock.rate)

    def _knows_time(self) -> bool:
        self._is_time_known = self._is_time_known or self._clock.now().utc_s is not None  # once known, it stays so
        return self._is_time_known

    def time_wait_left_s(self) -> float:
        """Return for how many real seconds what has a time still waits until one is known; 0.0: not at all. The wait
        begins with the first accepted boot. A backend that never says a time that can be used gets the guess."""
        if self._knows_time():
            return 0.0
        left_s = self._time_wait_ends_s - time.monotonic()
        if left_s > 0.0:
            return left_s
        self._channel.log_seldom(f"{self._channel.url}: no backend has said the time: what is sent has a guessed one")
        return 0.0

    def interval_in_force(self) -> object:
        """Return the interval in force (seconds). The interval of the boot answer is dropped
        once the setting was changed."""
        present = self._settings.int_value(_NAME)
        if present != self._seen:
            self._ctx.overlay.pop(_NAME, None)
        return self._ctx.overlay.get(_NAME, present)
