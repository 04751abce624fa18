"""The boot procedure at a backend: BootNotification, what the backend answers to it, and when the
next one is due (1.6 4.2; 2.x B01 to B03)."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.domain.messages import BootWanted
from agent.ocpp.dialects.dialect import BootAnswer, RowContext
from agent.ocpp.transport.backoff import Backoff
from agent.ocpp.transport.call_channel import CallChannel

LEAST_WAIT_S = 0.05


class BootProcedure:
    """Sends BootNotification until the backend accepts this station. ``ctx.boot`` is the latest
    answer; ``status_changed`` is called after each answer. Times are real seconds of the monotonic
    clock; the interval of the backend is domain time."""

    def __init__(
        self,
        ctx: RowContext,
        channel: CallChannel,
        backoff: Backoff,
        status_changed: Callable[[BootAnswer], None],
    ) -> None:
        self._ctx, self._channel, self._backoff = ctx, channel, backoff
        self._status_changed = status_changed
        self._due_s = 0.0
        self._asked_backend = ("", "")

    @property
    def status(self) -> str | None:
        """The backend's latest answer to a BootNotification."""
        return self._ctx.boot

    @property
    def is_accepted(self) -> bool:
        return self._ctx.boot == "Accepted"

    @property
    def due_in_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    @property
    def is_due(self) -> bool:
        return not self.is_accepted and self.due_in_s == 0.0

    def boot_triggered(self) -> None:
        """Send BootNotification again because the backend asked for it. A rejected station keeps
        to the interval."""
        self._ctx.triggered = self._ctx.boot == "Pending"
        if self._ctx.boot != "Rejected":
            self._due_s = 0.0

    def survives_reconnect(self) -> bool:
        """Return whether the registration still holds on a new connection: in the same version, at the same backend
        (1.6 4.2: a new connection alone needs no BootNotification). False also where there was none before. The answer
        of another backend does not hold here, nor does the pause that followed it."""
        if self._asked_backend != self._present_backend():
            self._ctx.boot, self._ctx.triggered, self._due_s = None, False, 0.0
            self._backoff.reset()
        return self.is_accepted

    def _present_backend(self) -> tuple[str, str]:
        return self._channel.dialect.name, self._channel.url

    async def send_boot(self, triggered: bool = False) -> None:
        """Send BootNotification and take its answer. Without a useful one it is sent again after a
        growing pause. Raises ``ConnectionLost``."""
        self._ctx.triggered |= triggered
        self._asked_backend = self._present_backend()
        effects = await self._channel.try_send_message(BootWanted())
        if effects is not None and effects.boot is not None:
            self.boot_answered(effects.boot)
        elif not self.is_accepted:
            wait_s = self._backoff.next_wait_s()
            self._due_s = time.monotonic() + wait_s
            self._channel.log_seldom(
                f"{self._channel.url}: no useful answer to BootNotification: sent again in {wait_s:.0f} s"
            )

    def boot_answered(self, boot: BootAnswer) -> None:
        """Take the backend's answer, and schedule the next BootNotification if it did not
        accept."""
        self._ctx.boot, self._ctx.triggered = boot.status, False
        if self.is_accepted:
            self._backoff.reset()
        else:
            rate = self._ctx.clock.rate
            wait_s = boot.interval_s / rate if boot.interval_s > 0 else self._backoff.next_wait_s()
            self._due_s = time.monotonic() + max(LEAST_WAIT_S, wait_s)
            self._channel.log_seldom(
                f"{self._channel.url}: this station is {boot.status} there: check whether the backend knows it"
            )
        self._status_changed(boot)
