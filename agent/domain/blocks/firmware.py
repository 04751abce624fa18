"""Update the firmware: fetch it, check it, install it when no session runs, and commit it after a
good boot (OCPP 1.6 5.19 and the security whitepaper; 2.x L01-L02).

One job at a time. It is stored at every step, so that it goes on after a restart: a download
continues, an installation is repeated, and after the boot the updater reports which of the two
systems runs."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.blocks.firmware_refusal import reject_update
from agent.domain.events import (
    AuthorizationDropped,
    ClockTrusted,
    FileEvent,
    FirmwareBooted,
    FirmwareChecked,
    FirmwareCommitted,
    FirmwareFetched,
    FirmwareInstalled,
    InstallOutcome,
    LinkChanged,
    SecurityNoticed,
    SessionClosed,
    SettingChanged,
    SignerJudged,
    SituationChanged,
    Started,
    TimeCame,
)
from agent.domain.evse import SessionState, StationState
from agent.domain.firmware_download import FirmwareDownload
from agent.domain.firmware_job import SETTLE_S, FirmwareJob, Phase, wake_at_date
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import FirmwareStatus
from agent.domain.orders import (
    FIRMWARE_UPDATE,
    CheckFirmware,
    DropFirmware,
    InstallFirmware,
    JudgeSigner,
    Persist,
    Restart,
    WakeMe,
)
from agent.domain.requests import UpdateFirmwareRequest
from agent.domain.running_firmware import RunningFirmware
from agent.domain.security_events import SecurityEvent
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Moment

MOST_INSTALLATIONS = 5
"""How often one job installs: each restart in the middle, and each boot that did not happen, makes it begin again."""

ALLOWS_SESSIONS = "sessions_before_update"
"""The setting that lets sessions begin while new firmware waits for the end of others."""
UNTRUSTED = "of the updater's file"
_TIMER = Timer(TimerKind.FIRMWARE_JOB)
FELL_BACK = "new firmware did not come up: the boot loader fell back"


class FirmwareUpdate:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._job: FirmwareJob | None = None
        self._signer_check: tuple[Replier, UpdateFirmwareRequest] | None = None
        self._running = RunningFirmware()
        self._is_resumed = False
        """The job was begun before this start."""
        self._download = FirmwareDownload(_TIMER)

    def current_status(self, extended: bool) -> FirmwareStatus:
        """Return the status for TriggerMessage."""
        job = self._job
        if job is None:
            return FirmwareStatus(signed=extended, forced=True)
        signed = job.request.request_id is not None or extended
        return FirmwareStatus(job.reported_status or "Idle", job.request.request_id, signed, forced=True)

    # --- requests ----------------------------------------------------------------------------------------------

    @answers_requests(UpdateFirmwareRequest)
    def answer_update_firmware(self, request: UpdateFirmwareRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        able = self._site.can_fetch(request.location)
        able = able and bool(request.signature or not self._site.settings.bool_value("signed_firmware_required"))
        if self._is_installing() or not able or self._signer_check is not None:
            yield from reject_update(reply, request)
            return
        if request.certificate:
            self._signer_check = (reply, request)
            yield JudgeSigner(reply.request_key, request.certificate, now.utc_s)
            return
        yield from self._accept_update(reply, request, now)

    @handles_events(SignerJudged)
    def continue_after_signer_check(self, event: SignerJudged, now: Moment) -> Iterator[Yielded]:
        if self._signer_check is None or self._signer_check[0].request_key != event.job:
            return
        (reply, request), self._signer_check = self._signer_check, None
        if event.accepted:
            yield from self._accept_update(reply, request, now)
            return
        yield reply("InvalidCertificate")
        yield SecurityNoticed(SecurityEvent.INVALID_SIGNING_CERTIFICATE, link=reply.link)

    def _is_installing(self) -> bool:
        """True while a system is written or booted. No other job may replace this one, and no
        session may start."""
        return self._job is not None and self._job.phase in (Phase.INSTALLING, Phase.BOOTING)

    def _accept_update(self, reply: Replier, request: UpdateFirmwareRequest, now: Moment) -> Iterator[Yielded]:
        """Accept the update. A newer request replaces a job that is not being installed yet.
        Checking the signer takes a while: the earlier job may have got so far by then."""
        if self._is_installing():
            yield from reject_update(reply, request)
            return
        replaced = self._job
        yield reply("AcceptedCanceled" if replaced else "Accepted")
        if replaced:
            yield DropFirmware(replaced.id)
        self._is_resumed = False
        self._job = FirmwareJob(f"{reply.request_key}@{now.t_s:.3f}", reply.link, request)
        yield from self._block_new_sessions(False)
        yield from self._download.begin_download(self._job, now)

    # --- download ----------------------------------------------------------------------------------------------

    @handles_events(FirmwareFetched)
    def finish_download(self, event: FirmwareFetched, now: Moment) -> Iterator[Yielded]:
        job = self._job_waiting_for(event, Phase.FETCHING)
        if job is None:
            return
        if event.ok:
            yield from self._enter_phase(Phase.CHECKING, "Downloaded")
            yield from self._check_signature(now)
        else:
            yield from list(self._download.retry_download(job, now)) or self._end_job("DownloadFailed")

    @handles_events(LinkChanged)
    def fetch_when_online(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        if event.up and self._job is not None:
            yield from self._download.take_link_up(self._job)

    def _check_signature(self, now: Moment) -> Iterator[Yielded]:
        assert self._job is not None
        request = self._job.request
        if request.signature:
            yield CheckFirmware(self._job.id, request.certificate, request.signature)
        else:
            yield from self._await_install(now)

    @handles_events(FirmwareChecked)
    def finish_signature_check(self, event: FirmwareChecked, now: Moment) -> Iterator[Yielded]:
        job = self._job_waiting_for(event, Phase.CHECKING)
        if job is None:
            return
        if event.ok:
            yield from job.report_status("SignatureVerified")
            yield from self._await_install(now)
            return
        yield from self._end_job("InvalidSignature")
        yield SecurityNoticed(SecurityEvent.INVALID_FIRMWARE_SIGNATURE, link=job.link)

    # --- installation ------------------------------------------------------------------------------------------

    def _await_install(self, now: Moment) -> Iterator[Yielded]:
        """Install at the requested time, when no session runs and the running system was accepted. Running sessions may
        finish. No other one begins meanwhile, unless the setting allows it (2.x L01.FR.06, L01.FR.07). While the
        station does not know what time it is, the requested time has not come, unless the job has installed before."""
        assert self._job is not None
        at = self._job.request.install_utc_s
        if at is not None and (not self._job.installations if now.utc_s is None else at > now.utc_s + 1):
            yield from self._enter_phase(Phase.INSTALL_LATER, "InstallScheduled")
            yield wake_at_date(_TIMER, at, now)
            return
        self._job.is_due = True
        has_to_wait = _is_station_in_use(self._site) or self._running.commit_pending
        yield from self._block_new_sessions(not (has_to_wait and self._site.settings.bool_value(ALLOWS_SESSIONS)))
        if has_to_wait:
            yield from self._enter_phase(Phase.INSTALL_LATER, "InstallScheduled")
        elif self._job.installations >= MOST_INSTALLATIONS:
            yield from self._end_job("InstallationFailed")
        else:
            self._job.installations += 1
            self._job.before, self._job.commit_ordered = self._running.version, False
            yield from self._enter_phase(Phase.INSTALLING, "Installing")
            yield InstallFirmware(self._job.id)

    @handles_events(SessionClosed, AuthorizationDropped)
    def install_when_idle(self, event: SessionClosed | AuthorizationDropped, now: Moment) -> Iterator[Yielded]:
        yield from self._install_when_free(now)

    @handles_events(SettingChanged)
    def apply_session_permission(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name == ALLOWS_SESSIONS:
            yield from self._install_when_free(now)

    def _install_when_free(self, now: Moment) -> Iterator[Yielded]:
        if self._job is not None and self._job.phase is Phase.INSTALL_LATER and self._job.is_due:
            yield from self._await_install(now)

    @handles_events(FirmwareInstalled)
    def finish_installation(self, event: FirmwareInstalled, now: Moment) -> Iterator[Yielded]:
        job = self._job_waiting_for(event, Phase.INSTALLING)
        if job is None:
            return
        match event.outcome:
            case InstallOutcome.DONE:
                yield from self._finish_successfully(job)
            case InstallOutcome.REBOOT:
                yield from self._enter_phase(Phase.BOOTING, "InstallRebooting")
                yield Restart(hard=True, reason=FIRMWARE_UPDATE)
            case InstallOutcome.UNFIT | InstallOutcome.UNTRUSTED:
                yield from self._end_job("InstallVerificationFailed")
                if event.outcome is InstallOutcome.UNTRUSTED:
                    yield SecurityNoticed(SecurityEvent.INVALID_FIRMWARE_SIGNATURE, UNTRUSTED, job.link)
            case _:
                yield from self._end_job("InstallationFailed")

    @handles_events(FirmwareBooted)
    def confirm_booted_firmware(self, event: FirmwareBooted, now: Moment) -> Iterator[Yielded]:
        """Take what the updater reports to be running. A pending system is committed when the
        backend has accepted its boot, and not before: one that cannot reach it must fall back."""
        is_news = event.fell_back and not self._running.fell_back
        yield from self._running.take_report(event)
        if event.pending:
            yield from self._note_early_boot()
        job = self._booting_job()
        if event.fell_back:
            if job is not None:
                yield from self._end_job("InstallationFailed")
            if job is not None or is_news:
                yield SecurityNoticed(SecurityEvent.RESET_OR_REBOOT, FELL_BACK, job.link if job is not None else "")
        elif job is not None and not event.pending:
            yield from self._resume_interrupted_boot(job, event.version, now)
        if event.pending and self._site.backend_online:
            yield from self._commit_firmware()

    def _booting_job(self) -> FirmwareJob | None:
        return self._job if self._job is not None and self._job.phase is Phase.BOOTING else None

    def _note_early_boot(self) -> Iterator[Yielded]:
        """Note that the installed system runs although the end of its installation was not stored: the mains was lost.
        Another installation would overwrite the only system to fall back to."""
        job = self._job
        if job is None or not self._is_resumed or not job.installations:
            return
        if job.phase in (Phase.INSTALLING, Phase.INSTALL_LATER):
            yield WakeMe(_TIMER, None)
            yield from self._enter_phase(Phase.BOOTING)
            yield from self._block_new_sessions(False)

    def _resume_interrupted_boot(self, job: FirmwareJob, version: str, now: Moment) -> Iterator[Yielded]:
        """Resume a boot during which the agent was killed. After the commit another version runs
        than before. Before the boot the file is installed again, which does no harm."""
        if version and version != job.before and (job.before or job.commit_ordered):
            yield from self._finish_successfully(job)
        else:
            yield from self._await_install(now)

    @handles_events(LinkChanged)
    def commit_after_registration(self, event: LinkChanged, now: Moment) -> Iterator[Yielded]:
        """Commit after the link state is updated. Only the backend that authorizes proves a good boot."""
        if event.up and self._site.config.links and event.link == self._site.config.links[0]:
            yield from self._commit_firmware()

    def _commit_firmware(self) -> Iterator[Yielded]:
        """Order the commit, if there is something to commit. The job ends when the updater has carried it out."""
        commit = list(self._running.order_commit())
        job = self._booting_job()
        if commit and job is not None and not job.commit_ordered:
            job.commit_ordered = True
            yield from self._enter_phase(Phase.BOOTING)
        yield from commit

    @handles_events(FirmwareCommitted)
    def finish_boot(self, event: FirmwareCommitted, now: Moment) -> Iterator[Yielded]:
        yield from self._running.take_commit()
        job = self._booting_job()
        if job is not None and job.commit_ordered:
            yield from self._finish_successfully(job)
        yield from self._install_when_free(now)

    # --- timers and restart ------------------------------------------------------------------------------------

    @handles_timer(TimerKind.FIRMWARE_JOB)
    def continue_job_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._job is None:
            return
        if self._job.phase is Phase.FETCH_LATER:
            yield from self._download.start_download(self._job)
        elif self._job.phase is Phase.INSTALL_LATER:
            yield from self._await_install(now)

    @handles_events(ClockTrusted)
    def arm_date_on_clock(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        """Set the timer of a job that waits for its time: the clock has become known or was corrected."""
        job = self._job
        if job is None:
            return
        if job.phase is Phase.FETCH_LATER:
            yield from self._download.arm_date(job, now)
        elif job.phase is Phase.INSTALL_LATER and not job.is_due and job.request.install_utc_s is not None:
            yield wake_at_date(_TIMER, job.request.install_utc_s, now)

    @handles_events(Started)
    def resume_firmware_job(self, event: Started, now: Moment) -> Iterator[Yielded]:
        self._running.restore(event.remembered.get("firmware", {}).get("version", {}))
        record = event.remembered.get("firmware", {}).get("job")
        if record is None:
            return
        try:
            self._job = job = FirmwareJob.from_record(record)
            self._is_resumed = True
        except (KeyError, TypeError, ValueError) as e:
            yield Persist("poisoned", "firmware/job", {"why": str(e)})
            yield Persist("firmware", "job", None)
            return
        if job.link not in self._site.config.links:
            yield from self._end_job("")
        elif job.phase in (Phase.FETCH_LATER, Phase.FETCHING):
            yield from self._download.resume_download(job, now)
        elif job.phase is Phase.CHECKING:
            yield from self._check_signature(now)
        elif job.phase is not Phase.BOOTING:
            job.phase = Phase.INSTALL_LATER
            yield WakeMe(_TIMER, now.t_s + SETTLE_S)

    # --- the job -----------------------------------------------------------------------------------------------

    def _job_waiting_for(self, event: FileEvent, phase: Phase) -> FirmwareJob | None:
        """Return the job if it waits for this answer."""
        job = self._job
        return job if job is not None and job.id == event.job and job.phase is phase else None

    def _enter_phase(self, phase: Phase, status: str = "") -> Iterator[Yielded]:
        assert self._job is not None
        yield from self._job.enter_phase(phase, status)

    def _finish_successfully(self, job: FirmwareJob) -> Iterator[Yielded]:
        yield from self._end_job("Installed")
        yield SecurityNoticed(SecurityEvent.FIRMWARE_UPDATED, self._running.version)

    def _end_job(self, status: str) -> Iterator[Yielded]:
        """End the job and open the station again."""
        job = self._job
        assert job is not None
        if status:
            yield from job.report_status(status)
        self._job = None
        yield Persist("firmware", "job", None)
        yield WakeMe(_TIMER, None)
        yield DropFirmware(job.id)
        yield from self._block_new_sessions(False)

    def _block_new_sessions(self, on: bool) -> Iterator[Yielded]:
        before, self._site.updating = self._site.updating, on
        if before != on:
            yield SituationChanged(STATION)


def _is_station_in_use(site: StationState) -> bool:
    waiting = (SessionState.AUTHORIZED, SessionState.BEGINNING)
    return any(e.session is not None or e.state in waiting for e in site.evses.values())
