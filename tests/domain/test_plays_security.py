"""Security events: each cause is one record of the log and one notification per backend, and an outage is one event."""

from __future__ import annotations

import pytest

from agent.domain.events import (
    ClockTrusted,
    Event,
    FaultRaised,
    LinkChanged,
    RequestReceived,
    SecurityNoticed,
    StoreFailed,
    StoreRecovered,
)
from agent.domain.messages import FirmwareStatus, LogStatus, SecurityHappened, is_noted_message
from agent.domain.requests import SetVariablesRequest
from agent.domain.security_events import CAUSES, LOG_MAX, NEVER, REPEATED, Noted, SecurityEvent
from agent.domain.serialization import dump_record, load_record
from agent.model.types import Fault, Moment, Stamp
from tests.domain.playbook import LINK, Playbook, kept

START = "StartupOfTheDevice"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("PowerUp", START),
        ("ApplicationReset", START),
        ("RemoteReset", "ResetOrReboot"),
        ("ScheduledReset", "ResetOrReboot"),
        ("FirmwareUpdate", "ResetOrReboot"),
    ],
)
def test_every_start_is_one_event(reason: str, kind: str) -> None:
    play = Playbook(boot_reason=reason)
    assert play.noticed() == [kind]
    assert [n.kind for n in play.site.security.records] == [kind]


def test_each_backend_learns_of_what_concerns_the_station() -> None:
    play = Playbook(links=(LINK, "second"))
    play.feed(FaultRaised(1, Fault.DOOR_OPEN))
    play.feed(SecurityNoticed(SecurityEvent.INVALID_TLS_VERSION, "TLS 1.1", "second"))
    assert play.noticed() == [START, "TamperDetectionActivated"]
    assert play.noticed("second") == [START, "TamperDetectionActivated", "InvalidTLSVersion"]
    assert play.site.security.records[-1] == Noted("InvalidTLSVersion", play.now.stamp, "TLS 1.1", "second")


@pytest.mark.parametrize("kind", sorted(REPEATED))
def test_the_same_failure_at_every_attempt_is_one_event_until_the_link_was_up(kind: SecurityEvent) -> None:
    play = Playbook(links=(LINK, "second"), online=False)
    for _ in range(5):
        play.feed(SecurityNoticed(kind, "again", LINK))
    play.feed(SecurityNoticed(kind, "again", "second"))
    play.feed(LinkChanged("second", True))
    play.feed(SecurityNoticed(kind, "again", LINK))
    assert play.noticed() == [START, kind.value]
    play.feed(LinkChanged(LINK, True))
    play.feed(SecurityNoticed(kind, "again", LINK))
    assert play.noticed() == [START, kind.value, kind.value]
    assert play.noticed("second") == [START, kind.value]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (FaultRaised(1, Fault.DOOR_OPEN), "TamperDetectionActivated"),
        (StoreFailed("disk full"), "MemoryExhaustion"),
        (
            RequestReceived(LINK, "q1", SetVariablesRequest({"authorization_key": "0123456789abcdef"})),
            "ReconfigurationOfSecurityParameters",
        ),
    ],
)
def test_what_happens_elsewhere_is_noticed(event: Event, kind: str) -> None:
    play = Playbook()
    play.feed(event)
    assert play.noticed() == [START, kind]
    assert "0123456789abcdef" not in repr(play.site.security)


def test_a_store_that_fails_again_and_again_is_one_event() -> None:
    play = Playbook()
    for event in (StoreFailed("full"), StoreRecovered(), StoreFailed("full")):
        play.feed(event)
    assert play.noticed() == [START, "MemoryExhaustion"]


class Corrected(Playbook):
    """Its UTC may be put right."""

    by_s = 0.0

    @property
    def now(self) -> Moment:
        moment = super().now
        return moment if moment.utc_s is None else Moment(moment.stamp, moment.utc_s + self.by_s)


def test_only_a_correction_of_a_known_time_is_one() -> None:
    play = Corrected()
    play.trusted = False
    play.feed(ClockTrusted())
    play.trusted = True
    play.feed(ClockTrusted())  # learnt
    play.t_s += 10  # both go on together
    play.feed(ClockTrusted())
    assert play.noticed() == [START]
    play.by_s = -3600.0
    play.feed(ClockTrusted())
    assert play.noticed() == [START, "SettingSystemTime"]
    assert play.site.security.records[-1].info == "by -3600 s"


def test_the_log_is_a_ring_that_is_read_back_in_its_order() -> None:
    play = Playbook()
    for n in range(LOG_MAX + 20):
        play.feed(SecurityNoticed(SecurityEvent.FIRMWARE_UPDATED, f"version {n}"))
    assert len(play.site.security.records) == LOG_MAX
    again = play.restart().site.security
    assert again.number == LOG_MAX + 22  # two starts
    assert [n.info for n in again.records][:-1] == [f"version {n}" for n in range(21, LOG_MAX + 20)]


def test_a_broken_record_costs_itself_alone() -> None:
    good = dump_record(Noted("FirmwareUpdated", Stamp(1, 5.0)))
    play = Playbook(cold=True, store={"security": {"3": {"$": "Noted"}, "x": good, "10": good}})
    play.restart(online=False)
    assert [n.kind for n in play.site.security.records] == ["FirmwareUpdated", START]
    assert play << kept("poisoned", "security/3")
    assert set(play.store["security"]) == {"x", "10", "11"}
    assert load_record(play.store["security"]["11"], Noted).kind == START


def test_the_table_says_of_every_event_what_raises_it() -> None:
    assert set(CAUSES) == set(SecurityEvent)
    assert {k for k, said in CAUSES.items() if "cannot occur" in said or "raised as" in said} == NEVER


def test_what_must_be_heard_of_is_durable_and_what_was_only_asked_for_is_not() -> None:
    assert is_noted_message(SecurityHappened("x", Stamp(1, 1.0)))
    assert is_noted_message(FirmwareStatus("Installed"))
    assert not is_noted_message(FirmwareStatus("Installed", forced=True))
    assert is_noted_message(LogStatus("Uploaded"))
    assert not is_noted_message(LogStatus(forced=True))
