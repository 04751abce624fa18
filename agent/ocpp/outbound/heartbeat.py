"""When the next Heartbeat is due (OCPP 1.6 4.6, 9.1.9; 2.x G02)."""

from __future__ import annotations

import time

from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import RowContext
from agent.ocpp.transport.call_channel import CallChannel
from agent.ports.clock import ClockPort

DAY_S = 86400.0
_NAME = "heartbeat_interval_s"


class Heartbeat:
    """Schedules the heartbeat. The interval of the boot answer holds until the setting is
    changed. Any exchange postpones the next heartbeat, but one a day is always sent, for the
    clock. Times of the channel are monotonic seconds."""

    def __init__(self, settings: Settings, ctx: RowContext, channel: CallChannel, clock: ClockPort) -> None:
        self._settings, self._ctx, self._channel, self._clock = settings, ctx, channel, clock
        self._seen: int | None = None
        self._sent_s = 0.0

    def boot_accepted(self, interval_s: int) -> None:
        """Take the interval of an accepted boot (0: none given)."""
        self._seen = self._settings.int_value(_NAME)
        if interval_s > 0:
            self._ctx.overlay[_NAME] = interval_s
        self.heartbeat_sent()

    def heartbeat_sent(self) -> None:
        """Note that a heartbeat was sent, answered or not: the next one follows at the next
        interval."""
        self._sent_s = self._channel.last_exchange_s = self._channel.last_clock_s = time.monotonic()

    def due_s(self) -> float:
        given = self.interval_in_force()
        interval_s = float(given) if isinstance(given, int) and given > 0 else DAY_S
        daily_s = self._channel.last_clock_s + DAY_S / self._clock.rate
        since_s = self._sent_s if self._channel.dialect.heartbeat_always else self._channel.last_exchange_s
        return min(since_s + max(0.05, interval_s / self._clock.rate), daily_s)

    def interval_in_force(self) -> object:
        """Return the interval in force (seconds). The interval of the boot answer is dropped
        once the setting was changed."""
        present = self._settings.int_value(_NAME)
        if present != self._seen:
            self._ctx.overlay.pop(_NAME, None)
        return self._ctx.overlay.get(_NAME, present)
