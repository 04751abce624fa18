"""The limit of an energy manager: obeyed, reported, released, and what holds when the energy manager falls silent
(OCPP 2.0.1 K11 to K13; decision 57)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.blocks.external_limits import AFTERMATH_S, REPORT_PAUSE_S, STORE_PAUSE_S
from agent.domain.charging.external_limit import ExternalLimitConfig, SilencePolicy
from agent.domain.charging.profiles import (
    EXTERNAL_PROFILE_ID,
    Kind,
    Period,
    Profile,
    ProfileRefusal,
    Purpose,
    Schedule,
    Unit,
)
from agent.domain.charging.station_limits import YIELD_S
from agent.domain.events import (
    ContactorOpened,
    ExternalLimitReported,
    LinkChanged,
    RequestReceived,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.messages import (
    ChargingState,
    ExternalLimitReleased,
    ExternalLimitSet,
    Message,
    TransactionUpdated,
)
from agent.domain.orders import LogNote, Persist, ReadMeter, Response, Send, SetLimit, SetRelease
from agent.domain.requests import (
    BackendRequest,
    ChargingProfilesRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    SetChargingProfileRequest,
    SetVariablesRequest,
)
from agent.domain.serialization import dump_record, load_record
from agent.domain.session.release import RESUME_S
from tests.domain.playbook import LINK, UTC0_S, A, B, Playbook, charging

NUMBERS = itertools.count(1)
OLDER_TRIGGERS = {
    "AbnormalCondition", "Authorized", "CablePluggedIn", "ChargingStateChanged", "Deauthorized", "EnergyLimitReached",
    "EVCommunicationLost", "EVConnectTimeout", "EVDeparted", "EVDetected", "RemoteStart", "RemoteStop", "ResetCommand",
    "StopAuthorized", "TimeLimitReached", "TxResumed", "UnlockCommand",
}  # fmt: skip
"""The words of the program that this one replaces on a station in the field."""
SILENT_S = 60.0
FALL_BACK = ExternalLimitConfig(on_silence=SilencePolicy.FALL_BACK, fallback=10.0)
RELEASE = ExternalLimitConfig(on_silence=SilencePolicy.RELEASE)


class Play(Playbook):
    """The energy manager reports with ``report``; the readings of the meter are not the point here."""

    QUIET = (*Playbook.QUIET, ReadMeter)

    def __init__(self, config: ExternalLimitConfig | None = None, **options: Any) -> None:
        config = replace(config or ExternalLimitConfig(), rate_links=frozenset({LINK}))
        super().__init__(external_limit=config, resume_within_s=600.0, **options)

    def report(self, limit: float | None) -> Play:
        self.feed(ExternalLimitReported(limit))
        return self.skip()

    def report_for(self, limit: float | None, seconds: int) -> Play:
        """The energy manager lives, and repeats its limit."""
        for _ in range(seconds // 10):
            self.report(limit).wait(10).skip()
        return self

    def pass_silently(self, seconds: float) -> Play:
        return self.wait(seconds).skip()

    def sent(self, *kinds: type[Message]) -> list[Message]:
        """What this backend was sent of these kinds so far."""
        tells = [o for o in self.log if isinstance(o, Send) and o.link == LINK]
        return [o.message for o in tells if isinstance(o.message, kinds)]

    def notices(self) -> list[Message]:
        return self.sent(ExternalLimitSet, ExternalLimitReleased)

    def rate_events(self) -> list[tuple[int, ChargingState]]:
        """EVSE and charging state of each event with ChargingRateChanged."""
        sent = [m for m in self.sent(TransactionUpdated) if isinstance(m, TransactionUpdated)]
        return [(m.evse, m.charging) for m in sent if m.rate_changed]

    def ask(self, what: BackendRequest) -> Response:
        orders = self.feed(RequestReceived(LINK, f"q{next(NUMBERS)}", what))
        self.skip()
        (reply,) = [o for o in orders if isinstance(o, Response)]
        return reply

    def profiles(self, **criteria: Any) -> list[tuple[int, str, str]]:
        """EVSE, purpose and source of the profiles that meet these criteria."""
        found = self.ask(ChargingProfilesRequest(**criteria)).data.get("profiles", [])
        return [(i.evse, str(i.profile.purpose), i.source) for i in found]

    def composite(self, evse: int, unit: Unit = Unit.A) -> list[float]:
        return [span.limit for span in self.ask(CompositeScheduleRequest(evse, 60, unit)).data["spans"]]

    def limit(self, evse: int = 1) -> float:
        """What was last ordered of the board."""
        orders = [o for o in self.log if isinstance(o, SetLimit) and o.evse == evse]
        return orders[-1].limit.current_a or 0.0

    def notes(self) -> list[str]:
        return [o.text for o in self.log if isinstance(o, LogNote) and o.part == "energy manager"]


def profile(purpose: Purpose, amperes: float, number: int = 1) -> Profile:
    return Profile(number, 0, purpose, Kind.ABSOLUTE, Schedule(Unit.A, (Period(0, amperes),), None, UTC0_S))


# --- the limit is obeyed -------------------------------------------------------------------------------------------


def test_a_limit_without_a_transaction_holds_for_the_next_one_k12() -> None:
    """K12.FR.01, K12.FR.02."""
    play = Play().report(13.0)
    assert play.notices() == [ExternalLimitSet("EMS")]
    assert play.composite(1) == play.composite(0) == [13.0]
    charging(play)
    assert play.limit() == 13.0
    assert play.rate_events() == []


def test_a_limit_lowers_a_running_transaction_at_once_k11() -> None:
    """K11.FR.01, K11.FR.02, K11.FR.04."""
    play = charging(Play())
    assert play.limit() == 32.0
    play.report(16.0)
    assert play.limit() == 16.0
    assert play.notices() == [ExternalLimitSet("EMS")]
    assert play.rate_events() == [(1, ChargingState.CHARGING)]


def test_a_released_limit_limits_no_more_k13() -> None:
    """K13.FR.01 to K13.FR.03; the notice goes before the event of the transaction."""
    play = charging(Play()).report(16.0)
    play.pass_silently(REPORT_PAUSE_S)
    before = len(play.log)
    play.report(None)
    assert play.limit() == 32.0
    sent = [o.message for o in play.log[before:] if isinstance(o, Send)]
    assert sent[0] == ExternalLimitReleased("EMS")
    assert play.rate_events() == [(1, ChargingState.CHARGING)] * 2


def test_the_limit_is_shared_and_never_lifts_another_bound() -> None:
    play = Play(evses=2, feed_a=40.0)
    charging(charging(play, A, 1), B, 2)
    play.pass_silently(2 * YIELD_S)
    assert (play.limit(1), play.limit(2)) == (20.0, 20.0)
    play.report(20.0)
    assert (play.limit(1), play.limit(2)) == (10.0, 10.0)
    play.report(100.0)
    play.pass_silently(YIELD_S)
    assert (play.limit(1), play.limit(2)) == (20.0, 20.0)
    play.ask(SetChargingProfileRequest(0, profile(Purpose.STATION_MAX, 16.0), replaces=False))
    assert (play.limit(1), play.limit(2)) == (8.0, 8.0)
    play.report(30.0)
    play.pass_silently(YIELD_S)
    assert (play.limit(1), play.limit(2)) == (8.0, 8.0)


def test_watts_are_shared_by_the_phases() -> None:
    play = charging(Play(ExternalLimitConfig(unit=Unit.W))).report(6900.0)
    assert play.limit() == 10.0
    assert play.composite(0, Unit.W) == [6900.0]


def test_below_six_amperes_the_session_pauses_and_goes_on_without_the_limit() -> None:
    play = charging(Play())
    play.feed(ExternalLimitReported(5.0))
    assert [o.on for o in play.log if isinstance(o, SetRelease)][-1] is False
    play.feed(ContactorOpened(1))
    assert play.skip().evse().session is not None
    assert play.rate_events() == [(1, ChargingState.SUSPENDED_EVSE)]
    play.report(None).pass_silently(RESUME_S)
    assert [o.on for o in play.log if isinstance(o, SetRelease)][-1] is True


def test_without_the_time_the_limit_holds_as_well() -> None:
    play = Play(cold=True)
    play.trusted = False
    play.restart(state=None, online=False)
    play.feed(ExternalLimitReported(13.0))
    assert play.site.external_limit is not None
    assert play.site.external_limit.charging_schedule(play.now).start_utc_s is None


# --- reports -------------------------------------------------------------------------------------------------------


def test_a_change_below_the_significance_is_obeyed_and_not_reported() -> None:
    play = charging(Play(settings={"limit_change_percent": "10"})).report(16.0)
    play.pass_silently(REPORT_PAUSE_S)
    for limit in (15.5, 15.0, 14.5):
        play.report(limit)
        assert play.limit() == limit
    assert (len(play.notices()), len(play.rate_events())) == (1, 1)
    play.report(14.3)  # 10.6 % below the one that was reported
    assert (len(play.notices()), len(play.rate_events())) == (2, 2)


def test_the_significance_is_a_setting_of_the_backend() -> None:
    play = Play()
    for text, status in (("2.5", "Accepted"), ("101", "Rejected"), ("-1", "Rejected"), ("x", "Rejected")):
        assert play.ask(SetVariablesRequest({"limit_change_percent": text})).data["limit_change_percent"] == status
    assert play.site.settings.text_value("limit_change_percent") == "2.5"


def test_a_restless_energy_manager_is_obeyed_each_second_reported_each_pause_and_seldom_stored() -> None:
    """It follows the sun, in steps of 0.5 A each second."""
    play = charging(Play())
    before = len(play.log)
    for second in range(600):
        amperes = 6.0 + 0.5 * abs(second % 80 - 40)
        play.report(amperes).pass_silently(1.01)
        assert play.limit() == amperes
    assert 5 <= len(play.notices()) <= 600 / REPORT_PAUSE_S + 2
    assert 5 <= len(play.rate_events()) <= 600 / REPORT_PAUSE_S + 2
    stored = [o for o in play.log[before:] if isinstance(o, Persist) and o.kind == "external_limit"]
    assert len(stored) <= 20
    assert play.store["external_limit"]["station"]["limit"] <= 6.6, "the least of the last minutes"


def test_a_higher_limit_is_stored_when_it_has_lasted() -> None:
    play = Play().report(10.0)
    assert play.store["external_limit"]["station"]["limit"] == 10.0
    play.report(20.0)
    assert play.store["external_limit"]["station"]["limit"] == 10.0
    play.report_for(20.0, int(STORE_PAUSE_S) + 10)
    assert play.store["external_limit"]["station"]["limit"] == 20.0


def test_a_link_whose_versions_know_no_changed_rate_has_no_row_of_it_in_its_queue() -> None:
    play = charging(Play())
    other = charging(Playbook(external_limit=ExternalLimitConfig(), resume_within_s=600.0))
    other.feed(ExternalLimitReported(16.0))
    assert not [m for m in other.sent_messages if isinstance(m, TransactionUpdated) and m.rate_changed]
    play.report(16.0)
    assert [m for m in play.sent_messages if isinstance(m, TransactionUpdated) and m.rate_changed]


def test_a_changed_rate_in_the_queue_can_be_read_by_an_older_program() -> None:
    """It has a word of the trigger that older programs know, and leaves an unknown field out."""
    play = charging(Play()).report(16.0)
    (update,) = [m for m in play.sent_messages if isinstance(m, TransactionUpdated) and m.rate_changed]
    record = dump_record(update)
    assert record.pop("rate_changed") is True
    assert record["trigger"] in OLDER_TRIGGERS
    assert load_record(record, TransactionUpdated) == replace(update, rate_changed=False)


def test_the_notice_has_the_schedule_where_the_backend_wants_it() -> None:
    """K11.FR.03, K12.FR.03."""
    play = Play(settings={"notify_limit_schedules": True}).report(13.37)
    (notice,) = play.notices()
    assert notice == ExternalLimitSet("EMS", Schedule(Unit.A, (Period(0, 13.3),), None, UTC0_S, number=1))


def test_a_rate_that_another_reason_has_changed_is_not_reported() -> None:
    play = charging(Play()).report(16.0)
    play.pass_silently(REPORT_PAUSE_S).report(None)
    play.pass_silently(AFTERMATH_S + 1)
    before = len(play.rate_events())
    play.ask(SetChargingProfileRequest(1, profile(Purpose.TX_DEFAULT, 8.0), replaces=False))
    assert play.limit() == 8.0
    assert len(play.rate_events()) == before


def test_a_backend_that_was_away_gets_the_limit_of_now_once() -> None:
    play = Play(online=False)
    for limit in (20.0, 16.0, 13.0):
        play.report(limit).pass_silently(REPORT_PAUSE_S)
    assert play.notices() == []
    play.feed(LinkChanged(LINK, True))
    assert play.skip().notices() == [ExternalLimitSet("EMS")]
    play.pass_silently(600).feed(LinkChanged(LINK, False))
    play.feed(LinkChanged(LINK, True))
    assert len(play.skip().notices()) == 1


def test_a_notice_that_may_be_lost_with_the_connection_is_sent_again() -> None:
    play = Play().report(13.0)
    play.report(None).pass_silently(10)
    assert play.notices()[-1] == ExternalLimitReleased("EMS")
    play.feed(LinkChanged(LINK, False))
    play.pass_silently(REPORT_PAUSE_S).feed(LinkChanged(LINK, True))
    assert play.skip().notices()[-2:] == [ExternalLimitReleased("EMS")] * 2


def test_without_smart_charging_the_limit_holds_and_is_not_reported() -> None:
    play = charging(Play(settings={"feature_profiles": ("RemoteTrigger",)})).report(13.0)
    assert play.limit() == 13.0
    assert (play.notices(), play.rate_events()) == ([], [])


def test_a_number_far_above_the_station_is_refused_once_and_no_sign_of_life() -> None:
    """-100 of a signed register reads as 65436."""
    play = charging(Play(replace(FALL_BACK, highest=320.0))).report(16.0)
    for _ in range(int(SILENT_S) - 1):
        play.report(65_436.0).pass_silently(1.0)
        assert play.limit() == 16.0
    play.report(65_436.0).pass_silently(1.0)
    assert play.limit() == 10.0
    refused = "refused: 65436 A is no limit of this station; the limit before it stays in force"
    assert play.notes() == [refused, "silent for 60 s: 10 A hold until it reports"]


# --- as a profile ----------------------------------------------------------------------------------------------------


def test_the_limit_is_reported_as_a_profile_of_its_purpose_and_source() -> None:
    """K11.FR.06, K12.FR.05."""
    play = Play(evses=2)
    play.ask(SetChargingProfileRequest(0, profile(Purpose.STATION_MAX, 30.0), replaces=False))
    constraints = (0, "ChargingStationExternalConstraints", "EMS")
    maximum = (0, "ChargingStationMaxProfile", "CSO")
    assert play.profiles(purpose=Purpose.EXTERNAL) == []
    play.report(13.0)
    assert play.profiles(purpose=Purpose.EXTERNAL) == [constraints]
    assert play.profiles() == play.profiles(evse=0) == [maximum, constraints]
    assert play.profiles(sources=("EMS",)) == play.profiles(sources=("EMS", "SO")) == [constraints]
    assert play.profiles(sources=("CSO",)) == [maximum]
    assert play.profiles(ids=(EXTERNAL_PROFILE_ID,)) == [constraints]
    assert play.profiles(evse=1) == play.profiles(stack_level=3) == []
    play.report(None)
    assert play.profiles() == [maximum]


def test_a_backend_neither_clears_nor_replaces_the_limit() -> None:
    """K10.FR.04, K10.FR.09, K01.FR.05."""
    play = Play().report(13.0)
    for criteria in ({"id": EXTERNAL_PROFILE_ID}, {"evse": 0}, {"stack_level": 0}, {}):
        assert play.ask(ClearChargingProfilesRequest(**criteria)).status == "Unknown"  # type: ignore[arg-type]
    wanted = profile(Purpose.TX_DEFAULT, 32.0, EXTERNAL_PROFILE_ID)
    reply = play.ask(SetChargingProfileRequest(1, wanted, replaces=False))
    assert isinstance(reply.data["reason"], ProfileRefusal)
    assert (reply.status, reply.data["reason"].code) == ("Rejected", "DuplicateProfile")
    assert play.composite(1) == [13.0]


def test_a_station_without_an_energy_manager_has_all_ids_for_the_backend() -> None:
    play = Playbook(resume_within_s=600.0)
    wanted = profile(Purpose.TX_DEFAULT, 8.0, EXTERNAL_PROFILE_ID)
    orders = play.feed(RequestReceived(LINK, "q", SetChargingProfileRequest(1, wanted, replaces=False)))
    assert [o.status for o in orders if isinstance(o, Response)] == ["Accepted"]


# --- silence ---------------------------------------------------------------------------------------------------------


def test_a_limit_that_is_repeated_is_not_silent() -> None:
    play = Play(RELEASE).report_for(13.0, 600)
    assert (len(play.notices()), play.notes()) == (1, [])


def test_silence_keeps_the_limit() -> None:
    play = charging(Play()).report(13.0)
    play.pass_silently(10 * SILENT_S)
    assert play.limit() == 13.0
    assert play.notes() == ["silent for 60 s: 13 A hold until it reports"]
    play.report(13.0)
    assert play.notes()[1:] == ["reports again: its limit is in force"]


def test_silence_falls_back_to_a_fixed_limit_until_the_energy_manager_is_back() -> None:
    play = charging(Play(FALL_BACK)).report(32.0)
    play.pass_silently(SILENT_S - 1)
    assert play.limit() == 32.0
    before = len(play.notices())
    play.pass_silently(1)
    assert play.limit() == 10.0
    assert play.notes() == ["silent for 60 s: 10 A hold until it reports"]
    assert play.notices()[before:] == [ExternalLimitSet("EMS")]
    play.report(None)
    assert play.limit() == 32.0


def test_silence_releases_the_limit() -> None:
    play = charging(Play(RELEASE)).report(13.0)
    play.pass_silently(SILENT_S)
    assert play.limit() == 32.0
    assert play.notices()[-1] == ExternalLimitReleased("EMS")


def test_a_kept_limit_is_that_of_the_start_and_no_sign_of_life() -> None:
    """A broker has kept it, and knows nothing of the energy manager."""
    play = charging(Play(FALL_BACK))
    play.feed(ExternalLimitReported(16.0, is_kept=True))
    assert play.skip().limit() == 16.0
    play.pass_silently(SILENT_S)
    assert play.limit() == 10.0
    play.feed(ExternalLimitReported(16.0, is_kept=True))
    assert play.skip().limit() == 10.0
    play.report(16.0)
    assert play.limit() == 16.0


# --- restarts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "first", "later"),
    [(ExternalLimitConfig(), 13.0, 13.0), (FALL_BACK, 10.0, 10.0), (RELEASE, 13.0, 32.0)],
    ids=["keep", "fall_back", "release"],
)
def test_after_a_restart_the_limit_holds_until_it_counts_as_silent(
    config: ExternalLimitConfig, first: float, later: float
) -> None:
    play = Play(config).report(13.0)
    before = len(play.notices())
    play.restart(new_boot=True).skip()
    assert play.composite(1) == [first]
    assert len(play.notices()) == before, "what the backend knows already is not sent again"
    play.pass_silently(SILENT_S)
    assert play.composite(1) == [later]


KEEP_FROM_FALLBACK = ExternalLimitConfig(fallback=8.0)


@pytest.mark.parametrize(
    ("config", "limit"),
    [(ExternalLimitConfig(), 32.0), (KEEP_FROM_FALLBACK, 8.0), (FALL_BACK, 10.0), (RELEASE, 32.0)],
)
def test_a_station_that_never_heard_a_limit_begins_with_the_fallback(config: ExternalLimitConfig, limit: float) -> None:
    assert Play(config).composite(1) == [limit]


def test_a_release_while_the_backend_is_away_is_reported_after_a_restart() -> None:
    play = Play().report(13.0)
    play.pass_silently(600).feed(LinkChanged(LINK, False))
    play.report(None).pass_silently(REPORT_PAUSE_S).restart(online=True).skip()
    assert play.composite(1) == [13.0], "what was stored last, until the energy manager reports"
    play.report(None)
    assert play.notices() == [ExternalLimitSet("EMS"), ExternalLimitReleased("EMS")]
    play.report_for(None, int(2 * STORE_PAUSE_S))
    assert play.store["external_limit"] == {}


@pytest.mark.parametrize("record", [{}, {"limit": "13"}, {"limit": True, "unit": "A", "reported": 3}, {"unit": "W"}])
def test_a_record_that_makes_no_sense_is_no_limit(record: dict[str, Any]) -> None:
    play = Play(store={"external_limit": {"station": record}})
    assert play.composite(1) == [32.0]


def test_a_record_of_another_unit_is_not_used_and_reported_again() -> None:
    record = {"limit": 6900.0, "unit": "W", "reported": {LINK: 6900.0}}
    play = Play(store={"external_limit": {"station": record}})
    assert play.composite(1) == [32.0]
    assert play.notices() == [ExternalLimitReleased("EMS")]


def test_a_steady_limit_is_stored_once() -> None:
    """A write for each report would wear the flash."""
    play = Play()
    before = len(play.log)
    play.report_for(13.0, 3600)
    stored = [o for o in play.log[before:] if type(o).__name__ == "Persist" and o.kind == "external_limit"]  # type: ignore[attr-defined]
    assert len(stored) == 1


def test_a_vehicle_that_asks_again_gets_its_share_of_the_limit_only() -> None:
    play = Play(evses=2)
    charging(charging(play, A, 1), B, 2)
    play.report(12.0)
    play.feed(VehiclePaused(1))
    play.feed(ContactorOpened(1))
    play.skip().pass_silently(YIELD_S + 10)
    play.feed(VehicleReady(1))
    play.skip().pass_silently(YIELD_S + 10)
    assert play.limit(1) + play.limit(2) <= 12.0
