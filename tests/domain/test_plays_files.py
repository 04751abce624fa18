"""Firmware and logs: what is on disk, what is reported, and that no vehicle charges while firmware is installed."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.blocks.firmware import FELL_BACK
from agent.domain.events import (
    CardPresented,
    ClockTrusted,
    ContactorOpened,
    FirmwareBooted,
    FirmwareChecked,
    FirmwareCommitted,
    FirmwareFetched,
    FirmwareInstalled,
    InstallOutcome,
    LinkChanged,
    LogSent,
    MeterRead,
    RequestReceived,
    SettingChanged,
    SignerJudged,
    Started,
)
from agent.domain.messages import FirmwareStatus, LogStatus, SecurityHappened
from agent.domain.network_wait import PATIENCE_S
from agent.domain.orders import (
    CheckFirmware,
    CommitFirmware,
    DropFirmware,
    DropLog,
    FetchFirmware,
    InstallFirmware,
    JudgeSigner,
    Persist,
    Response,
    Restart,
    Send,
    SendLog,
)
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    GetLogRequest,
    MessageTrigger,
    RemoteStartRequest,
    TriggerMessageRequest,
    UpdateFirmwareRequest,
)
from agent.model.fastclass import replace
from agent.model.types import Token
from tests.domain.playbook import LINK, T0_S, UTC0_S, A, B, Playbook, charging, forgotten, kept, sent_message, wh

PLAIN = UpdateFirmwareRequest("http://h/fw", UTC0_S, None, 1, 30)
SIGNED = UpdateFirmwareRequest("http://h/fw", UTC0_S, request_id=7, certificate="PEM", signature="sig")
LOG = GetLogRequest("ftp://h/logs", request_id=8)


def station(**more: Any) -> Playbook:
    return Playbook(has_updater=True, **more).skip()


def said(play: Playbook, kind: type[Any] = FirmwareStatus) -> list[str]:
    """All statuses of a kind so far."""
    tells = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, kind)]
    return [m.status for m in tells]


def job(play: Playbook, kind: type[Any] = FetchFirmware) -> str:
    """The job of the last order of this kind."""
    return next(str(o.job) for o in reversed(play.log) if isinstance(o, kind))


def again(play: Playbook) -> Playbook:
    """The process ended, another one reads what is on disk; what it orders is all there is in the log."""
    mark = len(play.log)
    play.skip().restart(online=False).skip()
    del play.log[:mark]
    return play


def booted(event: FirmwareBooted) -> Playbook:
    """The board was booted to try new firmware; so its updater reports what runs now."""
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> FirmwareInstalled(job(play), InstallOutcome.REBOOT)).skip()
    return (again(play) >> event).skip()


def asked(play: Playbook, ask: Any, request: str = "q1") -> Playbook:
    return (play >> RequestReceived(LINK, request, ask)).skip()


def replies(play: Playbook) -> list[str]:
    return [o.status for o in play.log if isinstance(o, Response)]


def test_the_plain_procedure() -> None:
    play = asked(station(), PLAIN)
    assert replies(play) == ["Accepted"]
    play = (play >> FirmwareFetched(job(play), True)).skip()
    assert InstallFirmware(job(play)) in play.log
    play = (play >> FirmwareInstalled(job(play), InstallOutcome.DONE)).skip()
    assert said(play) == ["Downloading", "Downloaded", "Installing", "Installed"]
    assert sent_message(SecurityHappened, kind="FirmwareUpdated") in play.log
    assert play.site.updating is False


def test_each_step_is_on_disk_before_it_is_begun() -> None:
    play = asked(station(), PLAIN)
    orders = [type(o) for o in play.log]
    assert orders.index(Persist) < orders.index(FetchFirmware)


def test_a_failed_download_is_tried_again_as_often_as_wanted() -> None:
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), False)).skip().wait(29).skip()
    assert [type(o) for o in play.log].count(FetchFirmware) == 1
    play = play.wait(2).skip()
    assert [type(o) for o in play.log].count(FetchFirmware) == 2
    play = (play >> FirmwareFetched(job(play), False)).skip()
    assert said(play) == ["Downloading", "DownloadFailed"]
    assert isinstance(play.log[-1], DropFirmware)


def test_signed_firmware_waits_for_its_signer_and_its_signature() -> None:
    play = station() >> RequestReceived(LINK, "q1", SIGNED) << JudgeSigner("q1", "PEM", UTC0_S)
    play = (play >> SignerJudged("q1", True)).skip()
    assert replies(play) == ["Accepted"]
    number = job(play)
    play = (play >> FirmwareFetched(number, True)).skip()
    assert play.log[-1] == CheckFirmware(number, "PEM", "sig")
    play = (play >> FirmwareChecked(number, False)).skip()
    assert said(play) == ["Downloading", "Downloaded", "InvalidSignature"]
    assert play.noticed() == ["StartupOfTheDevice", "InvalidFirmwareSignature"]
    assert InstallFirmware(number) not in play.log


def test_a_stranger_may_not_sign() -> None:
    play = (
        station()
        >> RequestReceived(LINK, "q1", SIGNED)
        << JudgeSigner("q1", "PEM", UTC0_S)
        >> SignerJudged("q1", False)
    ).skip()
    assert replies(play) == ["InvalidCertificate"]
    assert said(play) == []
    assert play.noticed()[1:] == ["InvalidFirmwareSigningCertificate"]


def test_firmware_without_a_signature_is_refused_where_the_station_file_demands_one() -> None:
    """The UpdateFirmware of 1.6 has no signature, and no word for no in its answer."""
    settings = {"signed_firmware_required": True}
    play = (Playbook(has_updater=True, settings=settings) >> RequestReceived(LINK, "q1", PLAIN)).skip()
    assert replies(play) == ["Rejected"]
    assert said(play) == ["DownloadFailed"]
    assert not [o for o in play.log if isinstance(o, FetchFirmware)]
    assert (
        Playbook(has_updater=True, settings=settings)
        >> RequestReceived(LINK, "q1", SIGNED)
        << JudgeSigner("q1", "PEM", UTC0_S)
    )


@pytest.mark.parametrize("ask", [PLAIN, SIGNED])
def test_without_an_updater_nothing_is_fetched(ask: UpdateFirmwareRequest) -> None:
    play = (Playbook() >> RequestReceived(LINK, "q1", ask)).skip()
    assert replies(play) == ["Rejected"]
    assert said(play) == (["DownloadFailed"] if ask.request_id is None else [])


def test_an_address_that_is_not_spoken() -> None:
    play = asked(
        station(), UpdateFirmwareRequest("gopher://h/fw", UTC0_S, request_id=1, certificate="x", signature="y")
    )
    assert replies(play) == ["Rejected"]


def test_a_newer_request_takes_the_place_until_it_is_installed() -> None:
    play = asked(station(), PLAIN)
    first = job(play)
    play = asked(play, UpdateFirmwareRequest("http://h/other", UTC0_S), "q2")
    assert replies(play) == ["Accepted", "AcceptedCanceled"]
    assert DropFirmware(first) in play.log
    play = (play >> FirmwareFetched(first, True)).skip()  # late word of the one that was dropped
    assert said(play)[-1] == "Downloading"
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = asked(play, PLAIN, "q3")
    assert replies(play)[-1] == "Rejected"


@pytest.mark.parametrize("outcome", [None, InstallOutcome.REBOOT])
def test_a_signer_judged_during_an_installation_replaces_nothing(outcome: InstallOutcome | None) -> None:
    play = asked(station(), PLAIN)
    first = job(play)
    play = play >> RequestReceived(LINK, "q2", SIGNED) << JudgeSigner("q2", "PEM", UTC0_S)
    play = (play >> FirmwareFetched(first, True)).skip()
    assert InstallFirmware(first) in play.log
    if outcome is not None:
        play = (play >> FirmwareInstalled(first, outcome)).skip()
    play = (play >> SignerJudged("q2", True)).skip()
    assert replies(play) == ["Accepted", "Rejected"]
    assert DropFirmware(first) not in play.log
    assert play.site.updating is True  # no charge begins


def test_who_charges_may_finish_and_no_one_begins() -> None:
    play = charging(station(evses=2), A, 1)
    play = asked(play, PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    assert said(play)[-1] == "InstallScheduled"
    play = (play >> RequestReceived(LINK, "q2", RemoteStartRequest(2, Token("APP1")))).skip()
    assert replies(play)[-1] == "Rejected"
    for event in (CardPresented(1, A), ContactorOpened(1), MeterRead(1, end_reading(1), wh(1500))):
        play.feed(event)
    assert said(play)[-1] == "Installing"


@pytest.mark.parametrize("set_late", [False, True])
def test_sessions_begin_while_firmware_waits_where_the_backend_allows_it(set_late: bool) -> None:
    """L01.FR.07. It is installed when the last one has ended, and then nothing begins."""
    play = charging(station(evses=2), A, 1)
    play.site.settings.put_value("sessions_before_update", not set_late)
    play = asked(play, PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    assert said(play)[-1] == "InstallScheduled"
    assert play.site.updating is set_late
    play.site.settings.put_value("sessions_before_update", True)
    play = (play >> SettingChanged("sessions_before_update")).skip()
    assert play.site.updating is False
    play = charging(play, B, 2)
    for event in (CardPresented(1, A), ContactorOpened(1), MeterRead(1, end_reading(1), wh(1500))):
        play.feed(event)
    assert said(play)[-1] == "InstallScheduled"
    for event in (CardPresented(2, B), ContactorOpened(2), MeterRead(2, end_reading(1), wh(1500))):
        play.feed(event)
    assert said(play)[-1] == "Installing"
    assert play.site.updating is True


def test_a_permission_that_is_withdrawn_lets_nothing_more_begin() -> None:
    play = charging(station(evses=2), A, 1)
    play.site.settings.put_value("sessions_before_update", True)
    play = asked(play, PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play.site.settings.put_value("sessions_before_update", False)
    play = (play >> SettingChanged("sessions_before_update")).skip()
    assert play.site.updating is True
    assert said(play)[-1] == "InstallScheduled"


def test_a_setting_brings_no_installation_before_its_time() -> None:
    play = station()
    play = asked(play, replace(PLAIN, install_utc_s=UTC0_S + 3600))
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> SettingChanged("sessions_before_update")).skip()
    assert said(play)[-1] == "InstallScheduled"
    assert InstallFirmware(job(play)) not in play.log


def test_a_boot_that_comes_up_is_committed_once_the_backend_has_it() -> None:
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> FirmwareInstalled(job(play), InstallOutcome.REBOOT)).skip()
    assert play.log[-1] == Restart(True, "FirmwareUpdate")
    play = again(play)
    assert said(play) == []
    play = (play >> FirmwareBooted(pending=True, version="2.0")).skip()
    assert CommitFirmware() not in play.log
    play = (play >> LinkChanged(LINK, True)).skip()
    assert CommitFirmware() in play.log
    assert said(play) == [], "not before the boot loader keeps it"
    play = (play >> FirmwareCommitted()).skip()
    assert said(play) == ["Installed"]
    assert "FirmwareUpdated" in play.noticed()


def commit_ordered(before: str = "1.0") -> tuple[Playbook, str]:
    """The backend has accepted the boot, and the updater has not answered. The job comes with it."""
    play = asked((station() >> FirmwareBooted(version=before)).skip(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    number = job(play)
    play = (play >> FirmwareInstalled(number, InstallOutcome.REBOOT)).skip()
    play = (again(play) >> FirmwareBooted(pending=True, version="2.0")).skip()
    play = (play >> LinkChanged(LINK, True)).skip()
    assert CommitFirmware() in play.log
    return play, number


def test_a_commit_that_fails_is_ordered_again_and_nothing_is_reported() -> None:
    play, _ = commit_ordered()
    for up in (False, True):
        play = (play >> LinkChanged(LINK, up)).skip()
    assert play.log.count(CommitFirmware()) == 1, "the updater has not answered yet"
    play = (play >> FirmwareBooted(pending=True, version="2.0")).skip()  # it failed, and was opened again
    assert play.log.count(CommitFirmware()) == 2
    assert said(play) == []
    play = (play >> FirmwareCommitted()).skip()
    assert said(play) == ["Installed"]
    play = (play >> FirmwareCommitted()).skip()
    assert said(play) == ["Installed"], "reported once"


def test_a_boot_that_could_not_be_committed_and_fell_back_is_a_failed_installation() -> None:
    play, number = commit_ordered()
    play = (again(play) >> FirmwareBooted(fell_back=True, version="1.0")).skip()
    assert said(play) == ["InstallationFailed"]
    assert sent_message(SecurityHappened, kind="ResetOrReboot", info=FELL_BACK) in play.log
    assert InstallFirmware(number) not in play.log


@pytest.mark.parametrize(("before", "installed"), [("1.0", True), ("", True), ("2.0", False)])
def test_an_agent_that_ends_right_after_the_commit_installs_nothing_again(before: str, installed: bool) -> None:
    """Two systems of one version cannot be distinguished here: the updater knows whether the file runs already."""
    play, number = commit_ordered(before)
    play = (again(play) >> FirmwareBooted(version="2.0")).skip()
    play = (play >> LinkChanged(LINK, True)).skip()
    assert (InstallFirmware(number) in play.log) is not installed
    if not installed:
        play = (play >> FirmwareInstalled(number, InstallOutcome.DONE)).skip()
    assert said(play)[-1] == "Installed"
    assert play.site.updating is False


def test_a_fall_back_without_a_job_is_noticed_once() -> None:
    play = (station() >> FirmwareBooted(fell_back=True, version="1.0")).skip()
    event = sent_message(SecurityHappened, kind="ResetOrReboot", info=FELL_BACK)
    assert play.log.count(event) == 1
    play = (play >> FirmwareBooted(fell_back=True, version="1.0")).skip()
    assert play.log.count(event) == 1, "the updater was opened again"
    play = (again(play) >> FirmwareBooted(fell_back=True, version="1.0")).skip()
    assert event not in play.log, "the agent was started again"
    assert said(play) == []
    play = (play >> FirmwareBooted(version="2.0")).skip()
    play = (play >> FirmwareBooted(fell_back=True, version="1.0")).skip()
    assert play.log.count(event) == 1, "another one"


def test_a_boot_that_fell_back_is_a_failed_installation() -> None:
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> FirmwareInstalled(job(play), InstallOutcome.REBOOT)).skip()
    play = (again(play) >> FirmwareBooted(fell_back=True)).skip()
    assert said(play) == ["InstallationFailed"]
    assert CommitFirmware() not in play.log


@pytest.mark.parametrize(
    ("before", "after", "installed"),
    [("1.0", "2.0", True), ("1.0", "1.0", False), ("", "", False), ("", "2.0", False)],
)
def test_killed_on_one_side_of_the_boot(before: str, after: str, installed: bool) -> None:
    """After the commit the job's end may not have reached the disk; before the boot there was none."""
    play = asked((station() >> FirmwareBooted(version=before)).skip(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    number = job(play)
    play = (play >> FirmwareInstalled(number, InstallOutcome.REBOOT)).skip()
    play = (again(play) >> FirmwareBooted(version=after)).skip()
    assert said(play) == (["Installed"] if installed else ["Installing"])
    assert (InstallFirmware(number) in play.log) is not installed
    assert CommitFirmware() not in play.log


def test_a_boot_that_no_backend_accepts_is_never_committed() -> None:
    """What cuts the station off must fall back: nothing else can repair it from afar."""
    play = booted(FirmwareBooted(pending=True))
    play = play.wait(86_400).skip()
    assert CommitFirmware() not in play.log
    assert said(play) == []
    play = (play >> LinkChanged(LINK, True)).skip()
    assert CommitFirmware() in play.log
    play = (play >> FirmwareCommitted()).skip()
    assert said(play) == ["Installed"]


@pytest.mark.parametrize("late", [False, True])
def test_what_came_up_although_its_end_was_not_noted_is_not_installed_again(late: bool) -> None:
    """The mains was lost when all was written. Now the other system is the only one to fall back to. ``late``: the
    updater is opened when the job wants to go on already."""
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    number = job(play)
    play = again(play)
    if late:
        play = play.wait(2).skip()
    else:
        assert InstallFirmware(number) not in play.log
    orders = len(play.log)
    play = (play >> FirmwareBooted(pending=True, version="2.0")).skip().wait(60).skip()
    play = (play >> FirmwareInstalled(number, InstallOutcome.FAILED)).skip()
    assert InstallFirmware(number) not in play.log[orders:]
    assert said(play)[orders:] == []
    play = (
        (again(play) >> FirmwareBooted(pending=True, version="2.0") >> LinkChanged(LINK, True)).skip().wait(60).skip()
    )
    assert CommitFirmware() in play.log
    play = (play >> FirmwareCommitted()).skip().wait(60).skip()
    assert said(play) == ["Installed"]
    assert InstallFirmware(number) not in play.log
    assert play.site.updating is False


def test_nothing_is_installed_over_the_only_accepted_system() -> None:
    """A system was put in by hand, and no backend has accepted it yet."""
    play = asked(station(), UpdateFirmwareRequest("http://h/fw", UTC0_S, None, 1, 30))
    play = (play >> LinkChanged(LINK, False) >> FirmwareBooted(pending=True, version="3.0")).skip()
    play = (play >> FirmwareFetched(job(play), True)).skip().wait(60).skip()
    assert InstallFirmware(job(play)) not in play.log
    assert said(play)[-1] == "InstallScheduled"
    play = (play >> LinkChanged(LINK, True)).skip().wait(60).skip()
    assert CommitFirmware() in play.log
    assert InstallFirmware(job(play)) not in play.log, "the commit may fail"
    play = (play >> FirmwareCommitted()).skip()
    assert InstallFirmware(job(play)) in play.log


def test_a_second_backend_commits_nothing() -> None:
    play = asked(station(links=(LINK, "second")), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> FirmwareInstalled(job(play), InstallOutcome.REBOOT)).skip()
    play = (again(play) >> FirmwareBooted(pending=True) >> LinkChanged("second", True)).skip()
    assert CommitFirmware() not in play.log


def test_a_system_that_was_installed_by_hand_is_committed_once_the_backend_has_it() -> None:
    play = (station() >> FirmwareBooted(pending=True, version="3.0")).skip()
    assert CommitFirmware() in play.log, "it is on line"
    assert said(play) == []


def test_a_fall_back_is_a_security_event() -> None:
    play = booted(FirmwareBooted(fell_back=True))
    assert said(play) == ["InstallationFailed"]
    [event] = [
        o.message for o in play.log if o == sent_message(SecurityHappened, kind="ResetOrReboot", info=FELL_BACK)
    ] or [0]
    assert event, play.noticed()
    play = (play >> FirmwareBooted(fell_back=True)).skip()
    assert said(play) == ["InstallationFailed"], "reported once"


def test_a_version_that_is_not_named_any_more_is_forgotten() -> None:
    """The old system came with the board, and its updater has no version for it."""
    play = booted(FirmwareBooted(version="2.0"))
    play = (play >> FirmwareBooted()).skip()
    assert Persist("firmware", "version", {"version": ""}) in play.log


@pytest.mark.parametrize("where", ["in the middle", "before the boot"])
def test_a_job_that_never_gets_further_is_given_up(where: str) -> None:
    """Each beginning writes a whole system: a flash has an end, and so has this."""
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    installed = 1
    while True:
        number = job(play, InstallFirmware)
        if where == "before the boot":
            play = (play >> FirmwareInstalled(number, InstallOutcome.REBOOT)).skip()
            play = (again(play) >> FirmwareBooted()).skip()
        else:
            play = again(play).wait(2).skip()
        if InstallFirmware(number) not in play.log:
            break
        installed += 1
        assert installed < 20
    assert installed == 5
    assert said(play) == ["InstallationFailed"]
    assert play.site.updating is False
    assert Persist("firmware", "job", None) in play.log


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (InstallOutcome.FAILED, "InstallationFailed"), (InstallOutcome.NO_UPDATER, "InstallationFailed"),
        (InstallOutcome.UNFIT, "InstallVerificationFailed"),
        (InstallOutcome.UNTRUSTED, "InstallVerificationFailed"),
    ],
)  # fmt: skip
def test_what_could_not_be_installed(outcome: InstallOutcome, word: str) -> None:
    play = asked(station(), PLAIN)
    play = (play >> FirmwareFetched(job(play), True)).skip()
    play = (play >> FirmwareInstalled(job(play), outcome)).skip()
    assert said(play)[-1] == word
    assert play.site.updating is False
    assert ("InvalidFirmwareSignature" in play.noticed()) is (outcome is InstallOutcome.UNTRUSTED)


def test_a_restart_in_the_middle_goes_on() -> None:
    play = asked(station(), PLAIN)
    play = (again(play) >> LinkChanged(LINK, True)).skip()
    assert job_orders(play, FetchFirmware) == 1
    play = again((play >> FirmwareFetched(job(play), True)).skip()).wait(2).skip()
    assert InstallFirmware in [type(o) for o in play.log]


ONE_TRY = replace(PLAIN, retries=0)


def test_a_download_that_a_power_cut_interrupts_goes_on_when_the_network_is_there() -> None:
    """The agent is there before the modem has dialled: what cannot be fetched before then is no try."""
    play = again(asked(station(), ONE_TRY)).wait(PATIENCE_S - 1).skip()
    assert job_orders(play, FetchFirmware) == 0
    play = play.wait(2).skip()
    assert job_orders(play, FetchFirmware) == 1, "the file server may be on site"
    play = (play >> FirmwareFetched(job(play), False)).skip().wait(2 * PATIENCE_S - 1).skip()
    assert job_orders(play, FetchFirmware) == 1, "more and more seldom"
    play = play.wait(2).skip()
    assert job_orders(play, FetchFirmware) == 2
    play = (play >> FirmwareFetched(job(play), False) >> LinkChanged(LINK, True)).skip()
    assert job_orders(play, FetchFirmware) == 3
    assert job_orders(play, DropFirmware) == 0, "the part that is here stays"
    play = (play >> FirmwareFetched(job(play), False)).skip()
    assert (said(play), job_orders(play, DropFirmware)) == (["DownloadFailed"], 1), "this one counts"


def test_a_try_that_began_before_the_network_was_there_is_made_once_more() -> None:
    """Its connection may hang until long after the modem has dialled."""
    play = again(asked(station(), ONE_TRY)).wait(PATIENCE_S).skip()
    play = (play >> LinkChanged(LINK, True) >> FirmwareFetched(job(play), False)).skip()
    assert said(play) == []
    play = play.wait(10).skip()
    assert job_orders(play, FetchFirmware) == 2
    play = (play >> FirmwareFetched(job(play), False)).skip()
    assert said(play) == ["DownloadFailed"]


def test_a_restart_leaves_the_tries_that_the_backend_has_granted() -> None:
    play = asked(station(), replace(PLAIN, retries=2))
    play = (play >> FirmwareFetched(job(play), False)).skip()
    for restarts in range(3):
        play = again(play)
        play = (play >> LinkChanged(LINK, True)).skip()
        assert job_orders(play, FetchFirmware) == 1, restarts
    play = (play >> FirmwareFetched(job(play), False)).skip().wait(30).skip()
    assert job_orders(play, FetchFirmware) == 2
    play = (play >> FirmwareFetched(job(play), False)).skip()
    assert said(play) == ["DownloadFailed"]


def test_a_link_begins_no_download_that_has_a_later_date() -> None:
    """The request came before the link was up, and took the place of a download that waited for it."""
    later = replace(PLAIN, retrieve_utc_s=UTC0_S + 7200)
    play = asked(again(asked(station(), ONE_TRY)), later, "q2")
    play = (play >> LinkChanged(LINK, True)).skip()
    assert job_orders(play, FetchFirmware) == 0
    assert said(play) == ["DownloadScheduled"]


def rebooted_without_clock(play: Playbook) -> Playbook:
    """The mains was lost, and no backend has given the time since. The log begins with this start."""
    mark = len(play.log)
    play.skip().trusted = False
    play.restart(new_boot=True, online=False).skip()
    del play.log[:mark]
    return play


def hear_backend(play: Playbook) -> Playbook:
    """The answer to BootNotification has the time."""
    play.trusted = True
    return (play >> ClockTrusted() >> LinkChanged(LINK, True)).skip()


def test_without_a_clock_nothing_is_installed_before_its_time() -> None:
    play = asked(station(), replace(PLAIN, install_utc_s=UTC0_S + 7200))
    play = rebooted_without_clock((play >> FirmwareFetched(job(play), True)).skip()).wait(900).skip()
    assert job_orders(play, InstallFirmware) == 0, "the station does not know what time it is"
    play.clock_off_s = 3600 - (play.t_s - T0_S)  # an hour has passed by the time the backend answers
    play = hear_backend(play).wait(3590).skip()
    assert job_orders(play, InstallFirmware) == 0
    play = play.wait(11).skip()
    assert job_orders(play, InstallFirmware) == 1


def test_an_installation_that_had_begun_goes_on_without_a_clock() -> None:
    """Its time had come before the mains was lost."""
    play = asked(station(), replace(PLAIN, install_utc_s=UTC0_S + 60))
    play = (play >> FirmwareFetched(job(play), True)).skip().wait(60).skip()
    assert job_orders(play, InstallFirmware) == 1
    play = rebooted_without_clock(play).wait(2).skip()
    assert job_orders(play, InstallFirmware) == 1


def test_without_a_clock_nothing_is_fetched_before_its_time() -> None:
    play = asked(station(), replace(PLAIN, retrieve_utc_s=UTC0_S + 7200))
    play = rebooted_without_clock(play).wait(900).skip()
    assert job_orders(play, FetchFirmware) == 0
    play.clock_off_s = 3600 - (play.t_s - T0_S)
    play = hear_backend(play).wait(3590).skip()
    assert job_orders(play, FetchFirmware) == 0
    play = play.wait(11).skip()
    assert job_orders(play, FetchFirmware) == 1


def test_a_clock_that_is_corrected_moves_what_is_scheduled() -> None:
    play = asked(station(), replace(PLAIN, retrieve_utc_s=UTC0_S + 7200, install_utc_s=UTC0_S + 10_800)).wait(60).skip()
    play.clock_off_s = 3600
    play = (play >> ClockTrusted()).skip().wait(3530).skip()
    assert job_orders(play, FetchFirmware) == 0
    play = play.wait(11).skip()
    play = (play >> FirmwareFetched(job(play), True)).skip().wait(60).skip()
    play.clock_off_s = 7000
    play = (play >> ClockTrusted()).skip().wait(2).skip()
    assert job_orders(play, InstallFirmware) == 0
    play = play.wait(200).skip()
    assert job_orders(play, InstallFirmware) == 1


def job_orders(play: Playbook, kind: type[Any]) -> int:
    return [type(o) for o in play.log].count(kind)


def test_a_job_that_cannot_be_read_is_set_aside() -> None:
    facts = {"firmware": {"job": {"id": 1}}, "log": {"job": {"id": 1}}}
    play = Playbook(has_updater=True, cold=True)
    assert play >> Started(facts) << kept("poisoned") << forgotten("firmware") << kept("poisoned") << forgotten("log")


def test_a_job_of_an_updater_that_was_taken_out_has_failed() -> None:
    """The backend waits for the outcome, and an updater that is put back must not install what was meant long ago."""
    stored = job_on_disk(asked(station(), replace(PLAIN, request_id=7)))
    play = Playbook(cold=True)
    assert (
        play
        >> Started({"firmware": {"job": stored}})
        << forgotten("firmware")
        << Send(LINK, FirmwareStatus("InstallationFailed", 7, True))
        << DropFirmware(stored["id"])
    )
    foreign = {**stored, "link": "of another station file"}
    assert Playbook(cold=True) >> Started({"firmware": {"job": foreign}}) << forgotten("firmware")
    assert Playbook(cold=True) >> Started({"firmware": {"job": "damaged"}}) << forgotten("firmware")


def job_on_disk(play: Playbook) -> dict[str, Any]:
    kept_jobs = [o.value for o in play.log if isinstance(o, Persist) and (o.kind, o.key) == ("firmware", "job")]
    assert kept_jobs[-1] is not None
    return dict(kept_jobs[-1])


def test_triggers_tell_how_far_it_is() -> None:
    trigger = TriggerMessageRequest(MessageTrigger.FIRMWARE_STATUS)
    assert said(asked(station(), trigger)) == ["Idle"]
    play = asked(asked(station(), PLAIN), trigger, "q2")
    assert said(play) == ["Downloading", "Downloading"]
    logs = TriggerMessageRequest(MessageTrigger.LOG_STATUS)
    assert said(asked(station(), logs), LogStatus) == ["Idle"]
    assert said(asked(asked(station(), LOG), logs, "q2"), LogStatus) == ["Uploading", "Uploading"]


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_log_is_sent() -> None:
    play = asked(station(), LOG)
    order = next(o for o in play.log if isinstance(o, SendLog))
    reply = next(o for o in play.log if isinstance(o, Response))
    assert (reply.status, reply.data["filename"]) == ("Accepted", order.name)
    play = (play >> LogSent(order.job, "Uploaded")).skip()
    assert said(play, LogStatus) == ["Uploading", "Uploaded"]


def test_a_log_is_tried_again_and_then_given_up() -> None:
    play = asked(station(), GetLogRequest("ftp://h/logs", retries=1, retry_interval_s=20))
    play = (play >> LogSent(job(play, SendLog), "UploadFailure")).skip().wait(21).skip()
    assert [type(o) for o in play.log].count(SendLog) == 2
    play = (play >> LogSent(job(play, SendLog), "PermissionDenied")).skip()
    assert said(play, LogStatus) == ["Uploading", "PermissionDenied"]


def test_a_newer_log_takes_the_place() -> None:
    play = asked(station(), LOG)
    first = job(play, SendLog)
    play = asked(play, GetLogRequest("ftp://h/logs", request_id=9), "q2")
    assert replies(play) == ["Accepted", "AcceptedCanceled"]
    assert DropLog(first) in play.log
    play = (play >> LogSent(first, "Uploaded")).skip()
    assert said(play, LogStatus) == ["Uploading", "AcceptedCanceled", "Uploading"]


def test_who_only_looks_on_takes_no_place_of_another_ones_log() -> None:
    play = asked(station(links=(LINK, "second")), LOG)
    first = job(play, SendLog)
    play = (play >> RequestReceived("second", "q9", GetLogRequest("ftp://x/logs", request_id=9))).skip()
    assert replies(play) == ["Accepted", "Rejected"]
    assert DropLog(first) not in play.log
    play = (play >> LogSent(first, "Uploaded")).skip()
    play = (play >> RequestReceived("second", "q9", GetLogRequest("ftp://x/logs", request_id=9))).skip()
    assert replies(play) == ["Accepted", "Rejected", "Accepted"]


@pytest.mark.parametrize(
    ("oldest_s", "latest_s", "status"),
    [
        (UTC0_S + 3600, None, "Rejected"), (UTC0_S + 30, None, "Accepted"), (UTC0_S - 5, UTC0_S - 6, "Rejected"),
        (UTC0_S - 6, UTC0_S - 5, "Accepted"), (None, UTC0_S - 9e9, "Accepted"),
    ],
)  # fmt: skip
def test_a_log_of_a_time_that_has_none_is_rejected(oldest_s: float | None, latest_s: float | None, status: str) -> None:
    """2.x N01.FR.05. The backend's clock may be a little ahead."""
    wanted = GetLogRequest("ftp://h/logs", request_id=8, oldest_utc_s=oldest_s, latest_utc_s=latest_s)
    play = asked(station(), wanted)
    assert replies(play) == [status]
    assert said(play, LogStatus) == (["Uploading"] if status == "Accepted" else [])


def test_a_log_survives_a_restart() -> None:
    play = (again(asked(station(), LOG)) >> LinkChanged(LINK, True)).skip()
    assert job_orders(play, SendLog) == 1
    play = (play >> LogSent(job(play, SendLog), "Uploaded")).skip()
    assert said(play, LogStatus) == ["Uploaded"]


def test_a_log_that_a_power_cut_interrupts_is_sent_when_the_network_is_there() -> None:
    play = again(asked(station(), LOG)).wait(PATIENCE_S - 1).skip()
    assert job_orders(play, SendLog) == 0
    play = play.wait(2).skip()
    assert job_orders(play, SendLog) == 1
    play = (play >> LogSent(job(play, SendLog), "UploadFailure")).skip()
    assert said(play, LogStatus) == []
    play = (play >> LinkChanged(LINK, True)).skip()
    assert job_orders(play, SendLog) == 2
    play = (play >> LogSent(job(play, SendLog), "UploadFailure")).skip()
    assert said(play, LogStatus) == ["UploadFailure"], "this one counts"


def test_a_link_that_comes_back_sends_no_log_twice() -> None:
    play = again(asked(station(), LOG))
    for up in (True, False, True):
        play = (play >> LinkChanged(LINK, up)).skip()
    assert job_orders(play, SendLog) == 1


def test_a_name_fits_any_file_system() -> None:
    play = asked(station(number="LU*CHG/E 1\n"), LOG)
    name = next(o.name for o in play.log if isinstance(o, SendLog))
    assert name.startswith("LU-CHG-E-1--diagnostics-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
