"""The registration at a backend: what it answers to BootNotification, and when the next one is due (1.6 4.2; 2.x B01 to
B03)."""

from __future__ import annotations

import time

from agent.ocpp.dialects.dialect import BootAnswer, RowContext
from agent.ocpp.transport.backoff import Backoff

LEAST_WAIT_S = 0.05


class Registration:
    """``ctx.boot`` is the latest answer. ``rate``: domain seconds per real second, which the backend's interval is
    meant in. Times are real seconds of the monotonic clock."""

    def __init__(self, ctx: RowContext, backoff: Backoff, rate: float) -> None:
        self._ctx, self._backoff, self._rate = ctx, backoff, rate
        self._due_s = 0.0
        self._with = ("", "")

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

    def survives_reconnect(self, version: str, url: str) -> bool:
        """Return whether the registration still holds on a new connection: in the same version, at the same backend
        (1.6 4.2: a new connection alone needs no BootNotification). False also where there was none before."""
        if self.is_accepted and self._with != (version, url):
            self._ctx.boot, self._due_s = None, 0.0
        return self.is_accepted

    def boot_answered(self, boot: BootAnswer, version: str, url: str) -> None:
        """Take the backend's answer, and schedule the next BootNotification if it did not
        accept."""
        self._ctx.boot, self._ctx.triggered = boot.status, False
        self._with = version, url
        if self.is_accepted:
            self._backoff.reset()
            return
        wait_s = boot.interval_s / self._rate if boot.interval_s > 0 else self._backoff.next_wait_s()
        self._due_s = time.monotonic() + max(LEAST_WAIT_S, wait_s)

    def boot_unanswered(self) -> float:
        """Note that no useful answer came. Return the seconds until BootNotification is sent
        again."""
        wait_s = self._backoff.next_wait_s()
        self._due_s = time.monotonic() + wait_s
        return wait_s
