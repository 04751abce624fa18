"""What the updater has reported of the firmware that runs, and what of it is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.events import FirmwareBooted
from agent.domain.orders import CommitFirmware, Persist


class RunningFirmware:
    def __init__(self) -> None:
        self.version = ""
        self.fell_back = False
        """The old system runs, because the one that was installed last did not come up."""
        self.commit_pending = False
        """The system waits for its acceptance, or the updater has not carried out its commit yet."""
        self._commit_ordered = False

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take what was stored before this start."""
        self.version, self.fell_back = str(record.get("version", "")), record.get("fell_back") is True

    def take_report(self, event: FirmwareBooted) -> Iterator[Persist]:
        """Take what the updater reports. A commit that was ordered from an updater that is opened again has failed."""
        self.commit_pending, self._commit_ordered = event.pending, False
        if (event.version, event.fell_back) != (self.version, self.fell_back):
            self.version, self.fell_back = event.version, event.fell_back
            yield self._store()

    def order_commit(self) -> Iterator[CommitFirmware]:
        """Order the commit, once until the updater answers or is opened again."""
        if self.commit_pending and not self._commit_ordered:
            self._commit_ordered = True
            yield CommitFirmware()

    def take_commit(self) -> Iterator[Persist]:
        """Take that the updater has committed the system."""
        self.commit_pending = self._commit_ordered = False
        if self.fell_back:
            self.fell_back = False
            yield self._store()

    def _store(self) -> Persist:
        return Persist(
            "firmware", "version", {"version": self.version} | ({"fell_back": True} if self.fell_back else {})
        )
