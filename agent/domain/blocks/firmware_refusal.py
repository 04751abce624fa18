"""Refuse new firmware where no updater is: the block of such a station instead of ``firmware.py``."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import Started
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.messages import FirmwareStatus
from agent.domain.orders import DropFirmware, Persist, Send
from agent.domain.requests import UpdateFirmwareRequest
from agent.model.types import Moment


class FirmwareRefusal:
    def __init__(self, site: StationState) -> None:
        self._links = site.config.links

    def current_status(self, extended: bool) -> FirmwareStatus:
        """Return the status for TriggerMessage."""
        return FirmwareStatus(signed=extended, forced=True)

    @answers_requests(UpdateFirmwareRequest)
    def answer_update_firmware(self, request: UpdateFirmwareRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        yield from reject_update(reply, request)

    @handles_events(Started)
    def end_stored_job(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """End a job that was begun while the station file had an updater. Its backend waits for the outcome."""
        record = event.remembered.get("firmware", {}).get("job")
        if record is None:
            return
        yield Persist("firmware", "job", None)
        match record:
            case {"id": str(job), "link": str(link)} if link in self._links:
                number = record.get("request_id")
                request_id = number if isinstance(number, int) else None
                yield Send(link, FirmwareStatus("InstallationFailed", request_id, request_id is not None))
                yield DropFirmware(job)


def reject_update(reply: Replier, request: UpdateFirmwareRequest) -> Iterator[Yielded]:
    yield reply("Rejected")
    if request.request_id is None:  # 1.x cannot reject in its answer
        yield Send(reply.link, FirmwareStatus("DownloadFailed"))
