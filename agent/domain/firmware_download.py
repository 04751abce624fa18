"""Fetch firmware: at its date, as often as the backend grants, and on from where it was after a restart."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.firmware_job import FirmwareJob, Phase, wake_at_date
from agent.domain.functional_block import Yielded
from agent.domain.network_wait import RETRY_LEAST_S, NetworkWait
from agent.domain.orders import FetchFirmware, WakeMe
from agent.domain.timers import Timer
from agent.model.types import Moment


class FirmwareDownload:
    """The jobs that it gets are in the phases ``FETCH_LATER`` and ``FETCHING``. ``timer`` begins the next try."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._network = NetworkWait(timer)

    def begin_download(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Begin a new job. Its request shows that the network is there."""
        self._network.confirm_network()
        if now.utc_s is not None and job.request.retrieve_utc_s > now.utc_s + 1:
            yield from job.enter_phase(Phase.FETCH_LATER, "DownloadScheduled")
            yield wake_at_date(self._timer, job.request.retrieve_utc_s, now)
        else:
            yield from self.start_download(job)

    def start_download(self, job: FirmwareJob) -> Iterator[Yielded]:
        job.tries += 1
        self._network.note_transfer_begun()
        yield from job.enter_phase(Phase.FETCHING, "Downloading")
        yield WakeMe(self._timer, None)
        yield FetchFirmware(job.id, job.request.location)

    def retry_download(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Try again later. Yield nothing if that was the last try."""
        if self._network.is_early:
            yield from self._repeat_try(job, now)
        elif job.tries <= job.request.retries:
            yield WakeMe(self._timer, now.t_s + max(job.request.retry_interval_s, RETRY_LEAST_S))
            yield from job.enter_phase(Phase.FETCH_LATER)

    def _repeat_try(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Make this try once more when the network is there. On disk the download goes on."""
        job.phase, job.tries = Phase.FETCH_LATER, job.tries - 1
        yield from self._network.await_network(now)

    def resume_download(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Go on after a restart."""
        if job.phase is Phase.FETCHING:
            yield from self._repeat_try(job, now)
        elif job.tries:
            yield from self._network.await_network(now)
        else:
            yield wake_at_date(self._timer, job.request.retrieve_utc_s, now)

    def take_link_up(self, job: FirmwareJob) -> Iterator[Yielded]:
        if self._network.confirm_network():
            yield from self.start_download(job)

    def arm_date(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Set the timer of a job that waits for its date: the clock has become known or was corrected."""
        if not job.tries and not self._network.is_waiting:
            yield wake_at_date(self._timer, job.request.retrieve_utc_s, now)
