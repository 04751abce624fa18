"""The registration at a backend: what it answers to BootNotification, and when the next one is due (1.6 4.2; 2.x B01 to
B03)."""

from __future__ import annotations

import time

from agent.ocpp.dialects.dialect import Boot, Desk
from agent.ocpp.transport.backoff import Backoff

LEAST_WAIT_S = 0.05


class Registration:
    """``desk.boot`` is the latest answer. ``rate``: domain seconds per real second, which the backend's interval is
    meant in. Times are real seconds of the monotonic clock."""

    def __init__(self, desk: Desk, backoff: Backoff, rate: float) -> None:
        self._desk, self._backoff, self._rate = desk, backoff, rate
        self._due_s = 0.0
        self._with = ("", "")

    @property
    def accepted(self) -> bool:
        return self._desk.boot == "Accepted"

    @property
    def due_in_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    @property
    def is_due(self) -> bool:
        return not self.accepted and self.due_in_s == 0.0

    def triggered(self) -> None:
        """The backend asks for a BootNotification. A rejected station keeps to the interval."""
        self._desk.triggered = self._desk.boot == "Pending"
        if self._desk.boot != "Rejected":
            self._due_s = 0.0

    def connected(self, version: str, url: str) -> bool:
        """Return whether the registration still holds on a new connection: in the same version, at the same backend
        (1.6 4.2: a new connection alone needs no BootNotification). False also where there was none before."""
        if self.accepted and self._with != (version, url):
            self._desk.boot, self._due_s = None, 0.0
        return self.accepted

    def answered(self, boot: Boot, version: str, url: str) -> None:
        self._desk.boot, self._desk.triggered = boot.status, False
        self._with = version, url
        if self.accepted:
            self._backoff.reset()
            return
        wait_s = boot.interval_s / self._rate if boot.interval_s > 0 else self._backoff.next_s()
        self._due_s = time.monotonic() + max(LEAST_WAIT_S, wait_s)

    def unanswered(self) -> float:
        """Nothing useful came back. Return in how many seconds BootNotification is sent again."""
        wait_s = self._backoff.next_s()
        self._due_s = time.monotonic() + wait_s
        return wait_s
