"""Take signed tariff files: from a topic of an MQTT broker, and by UpdateFirmware with an address that ends with
``.tariff``. A file counts as a whole or not at all. One with a lower number than the last one is refused, so that no
earlier price can be played back; the last one again changes nothing and is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.blocks.adhoc_tariffs import AdhocTariffs
from agent.domain.events import (
    ClockTrusted,
    LinkChanged,
    SecurityNoticed,
    Started,
    TariffFileChecked,
    TariffFileFetched,
    TimeCame,
)
from agent.domain.evse import StationState
from agent.domain.firmware_job import FirmwareJob, wake_at_date
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import FirmwareStatus
from agent.domain.network_wait import RETRY_LEAST_S, NetworkWait
from agent.domain.orders import AnswerTariffFile, FetchTariffFile, LogNote, Persist, Send, WakeMe
from agent.domain.requests import TariffFileRequest
from agent.domain.security_events import SecurityEvent
from agent.domain.tariff_document import UnusableTariff
from agent.domain.tariff_file import TariffFile, read_tariff_file
from agent.domain.tariff_schedule import RefusedTariff
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import frozen
from agent.model.types import STATION, Moment

FACT = "tariff_file"
_TIMER = Timer(TimerKind.TARIFF_FILE)


@frozen
class TakenFile:
    """The last file that was taken. ``digest``: of its text."""

    sequence: int = 0
    digest: str = ""


class TariffFiles:
    """``prices``: the block that keeps the schedules."""

    def __init__(self, site: StationState, prices: AdhocTariffs) -> None:
        self._site, self._prices = site, prices
        self._taken = TakenFile()
        self._job: FirmwareJob | None = None
        self._network = NetworkWait(_TIMER)

    # --- over the firmware channel -----------------------------------------------------------------------------------

    @answers_requests(TariffFileRequest)
    def answer_tariff_file(self, request: TariffFileRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Accept the request. A later one takes the place of a file that is on its way."""
        update = request.update
        if not self._site.can_fetch(update.location):
            yield reply("Rejected")
            if update.request_id is None:  # 1.x cannot reject in its answer
                yield Send(reply.link, FirmwareStatus("DownloadFailed"))
            return
        yield reply("AcceptedCanceled" if self._job is not None else "Accepted")
        self._network.confirm_network()
        self._job = FirmwareJob(f"tariff {reply.request_key}@{now.t_s:.3f}", reply.link, update)
        if now.utc_s is not None and update.retrieve_utc_s > now.utc_s + 1:
            yield from self._store_job()
            yield from self._job.report_status("DownloadScheduled")
            yield wake_at_date(_TIMER, update.retrieve_utc_s, now)
        else:
            yield from self._fetch_file(self._job)

    @handles_events(ClockTrusted)
    def arm_retrieval_on_clock(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        if self._job is not None and not self._job.tries and not self._network.is_waiting:
            yield wake_at_date(_TIMER, self._job.request.retrieve_utc_s, now)

    @handles_timer(TimerKind.TARIFF_FILE)
    def fetch_file_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._job is not None:
            yield from self._fetch_file(self._job)

    @handles_events(LinkChanged)
    def fetch_when_online(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        if event.up and self._network.confirm_network() and self._job is not None:
            yield from self._fetch_file(self._job)

    def _fetch_file(self, job: FirmwareJob) -> Iterator[Yielded]:
        job.tries += 1
        self._network.note_transfer_begun()
        reports = list(job.report_status("Downloading"))
        yield from self._store_job()
        yield from reports
        yield WakeMe(_TIMER, None)
        yield FetchTariffFile(job.id, job.request.location)

    def _store_job(self) -> Iterator[Yielded]:
        yield Persist("firmware", "tariff", self._job.to_record() if self._job is not None else None)

    @handles_events(TariffFileFetched)
    def finish_fetching(self, event: TariffFileFetched, now: Moment) -> Iterator[Yielded]:
        job = self._job
        if job is None or job.id != event.job:
            return
        if event.ok:
            yield from job.report_status("Downloaded")
        elif self._network.is_early:
            yield from self._repeat_try(job, now)
        elif job.tries <= job.request.retries:
            yield WakeMe(_TIMER, now.t_s + max(job.request.retry_interval_s, RETRY_LEAST_S))
        else:
            yield from self._end_job("DownloadFailed")

    def _repeat_try(self, job: FirmwareJob, now: Moment) -> Iterator[Yielded]:
        """Make this try once more when the network is there."""
        job.tries -= 1
        yield from self._network.await_network(now)

    def _end_job(self, *statuses: str) -> Iterator[Yielded]:
        job, self._job = self._job, None
        assert job is not None
        yield from self._store_job()
        for status in statuses:
            yield from job.report_status(status)

    # --- a file ------------------------------------------------------------------------------------------------------

    @handles_events(TariffFileChecked)
    def take_checked_file(self, event: TariffFileChecked, now: Moment) -> Iterator[Yielded]:
        """Take the file whose signature was checked, and answer on the road on which it came."""
        job = self._job if self._job is not None and self._job.id == event.job else None
        if event.is_fetched and job is None:
            return  # a later request has taken its place
        changes: list[Yielded] = []
        why = event.problem
        if not why:
            changes, why = self._changes_of_file(event, now)
        yield from changes
        if why:
            yield LogNote(STATION, f"a tariff file is refused: {why}", "tariff")
        if job is None:
            yield AnswerTariffFile(event.job, not why, why)
        elif event.problem:
            yield from self._end_job("InvalidSignature")
            yield SecurityNoticed(SecurityEvent.INVALID_FIRMWARE_SIGNATURE, "of a tariff file", job.link)
        elif why:
            yield from self._end_job("SignatureVerified", "Installing", "InstallationFailed")
        else:
            yield from self._end_job("SignatureVerified", "Installing", "Installed")

    def _changes_of_file(self, event: TariffFileChecked, now: Moment) -> tuple[list[Yielded], str]:
        """Return what taking the file brings, and why it is refused; one of the two is empty."""
        try:
            file = read_tariff_file(event.text)
            if not self._site.store_ok:
                raise UnusableTariff("the disk takes nothing: it is not kept")
            if not file.concerns_station(self._site.config.tariff_station):
                raise UnusableTariff(f"stations: {self._site.config.tariff_station} is none of them")
            if self._is_taken(file, event.digest):
                return [], ""
            changed = self._prices.schedules_of_file(file.documents, now)
        except (UnusableTariff, RefusedTariff) as e:
            return [], str(e)
        self._taken = TakenFile(file.sequence, event.digest)
        record = {"sequence": file.sequence, "digest": event.digest}
        return [Persist(FACT, "taken", record), *self._prices.store_schedules(changed, now)], ""

    def _is_taken(self, file: TariffFile, digest: str) -> bool:
        """Return whether this very file was taken last. Raises ``UnusableTariff``: a later one was."""
        if file.sequence > self._taken.sequence:
            return False
        if (file.sequence, digest) == (self._taken.sequence, self._taken.digest):
            return True
        raise UnusableTariff(f"sequence: {file.sequence} is not above {self._taken.sequence}, which was taken")

    # --- on disk -----------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_tariff_files(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore which file was taken last. A file that was on its way is fetched again."""
        self._taken = _read_taken(event.remembered.get(FACT, {}).get("taken"))
        record = event.remembered.get("firmware", {}).get("tariff")
        if record is None:
            return
        try:
            self._job = FirmwareJob.from_record(record)
        except (KeyError, TypeError, ValueError):
            self._job = None
        if self._job is None or self._job.link not in self._site.config.links:
            self._job = None
            yield from self._store_job()
            return
        if self._job.tries:
            yield from self._repeat_try(self._job, now)
        else:
            yield wake_at_date(_TIMER, self._job.request.retrieve_utc_s, now)


def _read_taken(record: Any) -> TakenFile:
    try:
        return TakenFile(int(record["sequence"]), str(record["digest"])) if record else TakenFile()
    except (KeyError, TypeError, ValueError):
        return TakenFile()
