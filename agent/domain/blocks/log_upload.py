"""Upload diagnostics and the security log (OCPP 1.6 5.9 GetDiagnostics, whitepaper and 2.x N01
GetLog). One upload at a time. It is stored until it is over, so that it is repeated after a
restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.events import LinkChanged, LogSent, Started, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import LogStatus
from agent.domain.network_wait import RETRY_LEAST_S, NetworkWait
from agent.domain.orders import DropLog, Persist, Send, SendLog, WakeMe
from agent.domain.requests import GetLogRequest
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import mutable, replace
from agent.model.types import Moment

_TIMER = Timer(TimerKind.LOG_UPLOAD)
CLOCK_SLACK_S = 60.0
"""So much the backend's clock may be ahead of the station's."""


@mutable
class _Job:
    id: str
    link: str
    name: str
    request: GetLogRequest
    tries: int = 0

    def to_record(self) -> dict[str, Any]:
        kept = {name: getattr(self.request, name) for name in _KEPT}
        return {"id": self.id, "link": self.link, "name": self.name, "tries": self.tries} | kept

    @classmethod
    def from_record(cls, r: Any) -> _Job:
        """Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        request = GetLogRequest(**{name: r[name] for name in _KEPT if name in r})
        return cls(str(r["id"]), str(r["link"]), str(r["name"]), request, int(r["tries"]))

    def status_message(self, word: str) -> LogStatus:
        return LogStatus(word, self.request.request_id, self.request.request_id is not None)

    def upload_order(self) -> SendLog:
        r = self.request
        return SendLog(self.id, r.location, self.name, r.security, r.oldest_utc_s, r.latest_utc_s)


_KEPT = ("location", "security", "request_id", "retries", "retry_interval_s", "oldest_utc_s", "latest_utc_s")


class LogUpload:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._job: _Job | None = None
        self._network = NetworkWait(_TIMER)

    def current_status(self, extended: bool) -> LogStatus:
        """Return the status for TriggerMessage."""
        status = self._job.status_message("Uploading") if self._job is not None else LogStatus(extended=extended)
        return replace(status, forced=True)

    @answers_requests(GetLogRequest)
    def answer_get_log(self, request: GetLogRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Accept a newer request in place of the running one, except from a backend that only
        observes. Of a time that has no log yet, or of none at all, nothing is available (2.x N01.FR.05)."""
        taken = self._job is not None and reply.link not in (self._job.link, self._site.config.links[0])
        if taken or not self._site.can_fetch(request.location) or _is_span_empty(request, now):
            yield reply("Rejected")
            return
        name = self._log_file_name(request, now)
        before = self._job
        self._network.confirm_network()
        job = self._job = _Job(f"{reply.request_key}@{now.t_s:.3f}", reply.link, name, request)
        yield Persist("log", "job", job.to_record())
        yield reply("AcceptedCanceled" if before else "Accepted", {"filename": name})
        if before is not None:
            yield DropLog(before.id)
            yield Send(before.link, before.status_message("AcceptedCanceled"))
        yield from self._start_upload(True)

    def _log_file_name(self, request: GetLogRequest, now: Moment) -> str:
        """Return a file name that is unique per station and second, and valid on any file
        system."""
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in self._site.config.number)
        kind = "security" if request.security else "diagnostics"
        return f"{plain or 'station'}-{kind}-{int(now.utc_s if now.utc_s is not None else now.t_s)}.zip"

    def _start_upload(self, report: bool) -> Iterator[Yielded]:
        job = self._job
        assert job is not None
        job.tries += 1
        self._network.note_transfer_begun()
        yield WakeMe(_TIMER, None)
        if report:
            yield Send(job.link, job.status_message("Uploading"))
        yield job.upload_order()

    @handles_events(LogSent)
    def finish_upload(self, event: LogSent, now: Moment) -> Iterator[Yielded]:
        job = self._job
        if job is None or job.id != event.job:
            return
        if event.status != "Uploaded" and self._network.is_early:
            job.tries -= 1
            yield from self._network.await_network(now)
            return
        if event.status != "Uploaded" and job.tries <= job.request.retries:
            yield WakeMe(_TIMER, now.t_s + max(job.request.retry_interval_s, RETRY_LEAST_S))
            return
        self._job = None
        yield Persist("log", "job", None)
        yield DropLog(job.id)
        yield Send(job.link, job.status_message(event.status))

    @handles_timer(TimerKind.LOG_UPLOAD)
    def retry_upload(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._job is not None:
            yield from self._start_upload(False)

    @handles_events(LinkChanged)
    def upload_when_online(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        if event.up and self._network.confirm_network() and self._job is not None:
            yield from self._start_upload(False)

    @handles_events(Started)
    def resume_upload(self, event: Started, now: Moment) -> Iterator[Yielded]:
        record = event.remembered.get("log", {}).get("job")
        if record is None:
            return
        try:
            job = _Job.from_record(record)
        except (KeyError, TypeError, ValueError) as e:
            yield Persist("poisoned", "log/job", {"why": str(e)})
            yield Persist("log", "job", None)
            return
        if job.link in self._site.config.links:
            self._job = job
            yield from self._network.await_network(now)
        else:
            yield Persist("log", "job", None)


def _is_span_empty(request: GetLogRequest, now: Moment) -> bool:
    """Return whether no moment until now is within the wanted span."""
    oldest_s, latest_s = request.oldest_utc_s, request.latest_utc_s
    if oldest_s is None:
        return False
    return (latest_s is not None and latest_s < oldest_s) or (
        now.utc_s is not None and now.utc_s + CLOCK_SLACK_S < oldest_s
    )
