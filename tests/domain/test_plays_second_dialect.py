"""What OCPP 2.x asks of the domain beyond 1.6: resets on idle and of one EVSE, triggers, an inventory, edge values."""

from __future__ import annotations

import pytest

from agent.domain.events import (
    CardPresented,
    ContactorOpened,
    Event,
    LinkChanged,
    MeterFailed,
    MeterRead,
    RequestReceived,
    RestartExpected,
    TokenAuthorized,
)
from agent.domain.evse import ServiceState
from agent.domain.messages import (
    ChargingState,
    ConnectorStatus,
    MeterSampled,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, ClearFaults, Persist, ReadMeter, Response, Restart
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    BackendRequest,
    ChangeAvailabilityRequest,
    DeviceReportRequest,
    MessageTrigger,
    ResetRequest,
    TriggerMessageRequest,
)
from agent.domain.variables import ENERGY
from agent.model.types import AuthorizationStatus, Verdict
from tests.domain.playbook import LINK, A, B, Playbook, charging, kept, sent_message, wh
from tests.support.reading_purposes import SAMPLED, TRIGGERED, TRIGGERED_OUTSIDE

ACCEPTED = Verdict(AuthorizationStatus.ACCEPTED)


def ask(question: BackendRequest) -> RequestReceived:
    return RequestReceived(LINK, "1", question)


def said(status: str) -> Response:
    return Response(LINK, "1", status)


def end(play: Playbook, evse: int = 1, meter_wh: int = 1500) -> Playbook:
    """The driver taps again; the register is read."""
    for event in (CardPresented(evse, A), ContactorOpened(evse)):
        play.feed(event)
    play.feed(MeterRead(evse, end_reading(1), wh(meter_wh)))
    return play


SCHEDULED = Restart(reason="ScheduledReset")


def test_a_reset_on_idle_of_an_idle_station() -> None:
    assert Playbook() >> ask(ResetRequest(on_idle=True)) << said("Accepted") << Restart()


def test_a_reset_on_idle_waits_for_the_last_session_and_lets_no_other_start() -> None:
    play = charging(charging(Playbook(evses=2), A, 1), A, 2)
    assert play >> ask(ResetRequest(on_idle=True)) << said("Scheduled")
    assert SCHEDULED not in end(play, 1).skip().log
    play >> CardPresented(1, B)
    assert not [o for o in play.log if isinstance(o, AuthorizeToken) and o.token == B]
    assert play.statuses[1].connector in (ConnectorStatus.UNAVAILABLE, ConnectorStatus.OCCUPIED)
    assert SCHEDULED in end(play, 2).skip().log
    assert [m.reason for m in play.ended()] == [StopReason.LOCAL, StopReason.LOCAL]


def test_nothing_starts_before_a_restart_that_is_expected() -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken >> RestartExpected(True)
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE
    play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache") >> CardPresented(1, B)
    assert play.evse().authorization is None, "the backend has answered too late"
    play >> RestartExpected(False)
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE
    assert play >> CardPresented(1, B) << AuthorizeToken(LINK, "token:2", B, 1)


def test_a_reset_that_waits_keeps_the_station_closed() -> None:
    play = charging(Playbook(evses=2), A, 1) >> ask(ResetRequest(on_idle=True)) << said("Scheduled")
    play = play >> RestartExpected(True) >> RestartExpected(False) >> CardPresented(2, B)
    assert SCHEDULED in end(play, 1).skip().log


def test_a_reset_on_idle_before_a_restart_that_is_expected_has_not_waited() -> None:
    play = Playbook() >> RestartExpected(True) >> ask(ResetRequest(on_idle=True))
    assert play << said("Accepted") << Restart()


def test_a_person_who_is_about_to_plug_in_is_waited_for() -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken
    play >> TokenAuthorized("token:1", A, ACCEPTED)
    play.skip() >> ask(ResetRequest(on_idle=True)) << said("Scheduled")
    play.wait(61)
    assert play << SCHEDULED


def test_an_immediate_reset_overrides_one_that_waits() -> None:
    play = charging(Playbook()) >> ask(ResetRequest(on_idle=True)) << said("Scheduled")
    play >> ask(ResetRequest()) << said("Accepted")
    assert play.skip().session().stop is not None
    assert play.session().stop.reason == StopReason.IMMEDIATE_RESET
    assert [o for o in end(play, 1).skip().log if isinstance(o, Restart)] == [Restart()]


def test_one_evse_is_reset_alone() -> None:
    play = charging(charging(Playbook(evses=2), A, 1), A, 2)
    play >> ask(ResetRequest(evse=1)) << said("Accepted")
    play.skip()
    play.feed(ContactorOpened(1))
    play.feed(MeterRead(1, end_reading(1), wh(1500)))
    assert ClearFaults(1) in play.skip().log
    assert not [o for o in play.log if isinstance(o, Restart)]
    (ended,) = play.ended()
    assert (ended.reason, ended.trigger) == (StopReason.IMMEDIATE_RESET, TriggerReason.RESET_COMMAND)
    assert play.evse(2).session is not None


@pytest.mark.parametrize(("evse", "status"), [(1, "Accepted"), (9, "Rejected")])
def test_reset_of_an_idle_evse(evse: int, status: str) -> None:
    play = Playbook() >> ask(ResetRequest(evse=evse)) << said(status)
    assert play << ClearFaults(1) if status == "Accepted" else play


def test_on_idle_of_one_evse_waits_for_its_session() -> None:
    play = charging(Playbook()) >> ask(ResetRequest(on_idle=True, evse=1)) << said("Scheduled")
    assert ClearFaults(1) not in play.log
    assert ClearFaults(1) in end(play).skip().log


def test_triggers_of_transactions() -> None:
    play = Playbook(evses=2) >> ask(TriggerMessageRequest(MessageTrigger.TRANSACTION)) << said("Rejected")
    charging(play, A, 2)
    play >> ask(TriggerMessageRequest(MessageTrigger.TRANSACTION)) << said("Accepted") << ReadMeter(2, TRIGGERED)
    play >> MeterRead(2, TRIGGERED, wh(1100))
    play << sent_message(MeterSampled, session="s1", charging=ChargingState.CHARGING, offline=False)
    (
        play
        >> ask(TriggerMessageRequest(MessageTrigger.METER_VALUES, 2, loose=True))
        << said("Accepted")
        << ReadMeter(2, TRIGGERED_OUTSIDE)
    )
    play >> MeterRead(2, TRIGGERED_OUTSIDE, wh(1200)) << sent_message(MeterSampled, session="", charging=None)
    assert play


@pytest.mark.parametrize(
    ("measurands", "answer"),
    [
        ((), MeterRead(1, TRIGGERED, wh(1100))),
        (ENERGY, MeterFailed(1, TRIGGERED)),
        (ENERGY, MeterRead(1, TRIGGERED, wh(900))),
    ],
    ids=["none are configured", "the meter is silent", "the register ran back"],
)
def test_an_event_that_was_promised_is_sent_without_values(measurands: tuple[str, ...], answer: Event) -> None:
    """2.0.1 F06.FR.07, FR.10."""
    play = charging(Playbook(settings={"sampled_measurands": measurands}))
    play >> ask(TriggerMessageRequest(MessageTrigger.TRANSACTION)) << said("Accepted") << ReadMeter(1, TRIGGERED)
    play >> answer
    assert play << sent_message(
        TransactionUpdated, session="s1", evse=1, charging=ChargingState.CHARGING, offline=False, requested=True
    )


def test_an_event_without_values_is_sent_to_the_backend_that_has_asked() -> None:
    play = charging(Playbook(links=(LINK, "second"))).skip()
    play.feed(RequestReceived("second", "1", TriggerMessageRequest(MessageTrigger.TRANSACTION)))
    (order,) = [o for o in play.unclaimed if isinstance(o, ReadMeter)]
    play.skip() >> MeterFailed(1, order.purpose)
    assert play << sent_message(TransactionUpdated, "second", requested=True)


def test_an_end_that_is_under_way_is_the_event_that_was_promised() -> None:
    play = charging(Playbook())
    play >> ask(TriggerMessageRequest(MessageTrigger.TRANSACTION)) << said("Accepted") << ReadMeter(1, TRIGGERED)
    play >> CardPresented(1, A)
    assert play.skip() >> MeterFailed(1, TRIGGERED)


def test_an_event_of_a_driver_who_has_not_chosen_an_outlet() -> None:
    play = Playbook(evses=2, settings={"tx_start_points": ("Authorized",)}) >> CardPresented(0, A) << AuthorizeToken
    play >> TokenAuthorized("token:1", A, ACCEPTED)
    play.skip() >> ask(TriggerMessageRequest(MessageTrigger.TRANSACTION)) << said("Accepted")
    assert play << sent_message(TransactionUpdated, session="s1", evse=0, charging=ChargingState.IDLE, requested=True)


@pytest.mark.parametrize(("name", "loose"), [("sampled_measurands", False), ("aligned_measurands", True)])
def test_values_that_are_not_configured_are_not_promised(name: str, loose: bool) -> None:
    play = Playbook(settings={name: ()})
    assert play >> ask(TriggerMessageRequest(MessageTrigger.METER_VALUES, 1, loose=loose)) << said("Rejected")
    other = TriggerMessageRequest(MessageTrigger.METER_VALUES, 1, loose=not loose)
    assert play >> ask(other) << said("Accepted") << ReadMeter


@pytest.mark.parametrize("loose", [False, True])
def test_who_only_looks_on_sees_values_and_the_others_get_nothing(loose: bool) -> None:
    """Each would be a durable message to the backend that is billed."""
    play = charging(Playbook(links=(LINK, "second"))).skip()
    (
        play
        >> RequestReceived("second", "1", TriggerMessageRequest(MessageTrigger.METER_VALUES, 1, loose=loose))
        << Response("second", "1", "Accepted")
    )
    [order] = play.unclaimed
    assert isinstance(order, ReadMeter)
    play << ReadMeter
    play >> MeterRead(1, order.purpose, wh(1100)) << sent_message(MeterSampled, "second")
    assert play


def test_values_say_that_they_were_measured_off_line() -> None:
    play = charging(Playbook(settings={"sample_interval_s": 60}))
    play >> LinkChanged(LINK, False)
    play.skip() >> MeterRead(1, SAMPLED, wh(1100)) << sent_message(MeterSampled, offline=True)
    assert play


def test_begin_and_end_say_all_that_the_meter_said() -> None:
    play = charging(Playbook())
    (started,) = [m for m in play.sent_messages if isinstance(m, TransactionStarted)]
    assert started.reading is not None
    assert started.reading.energy_wh == started.meter_wh
    end(play).skip()
    (ended,) = [m for m in play.sent_messages if isinstance(m, TransactionEnded)]
    assert ended.reading is not None
    assert ended.reading.energy_wh == 1500


@pytest.mark.parametrize("connector_first", [True, False])
def test_a_connector_stays_inoperative_when_its_evse_becomes_operative(connector_first: bool) -> None:
    """2.0.1 G03: EVSE and connector have a state each. Both survive a restart."""
    connector, evse = (ChangeAvailabilityRequest(1, False, every=False, connector=c) for c in (True, False))
    play = Playbook()
    for asked in (connector, evse) if connector_first else (evse, connector):
        play.skip() >> ask(asked)
    play.skip() >> ask(ChangeAvailabilityRequest(1, True, every=False))
    assert play.site.service_state(play.evse()) is ServiceState.UNAVAILABLE
    play.skip().restart(5)
    assert play.site.service_state(play.evse()) is ServiceState.UNAVAILABLE
    play.skip() >> ask(ChangeAvailabilityRequest(1, True, every=False, connector=True))
    assert play.site.service_state(play.evse()) is ServiceState.IN_SERVICE


def test_an_evse_stays_inoperative_when_its_connector_becomes_operative() -> None:
    play = Playbook() >> ask(ChangeAvailabilityRequest(1, False, every=False))
    play.skip() >> ask(ChangeAvailabilityRequest(1, True, every=False, connector=True))
    assert play.skip().site.service_state(play.evse()) is ServiceState.UNAVAILABLE


def test_connector_and_evse_are_one_for_1_6() -> None:
    play = Playbook() >> ask(ChangeAvailabilityRequest(1, False, every=False, connector=True))
    play.skip() >> ask(ChangeAvailabilityRequest(1, True))
    assert play.skip().site.service_state(play.evse()) is ServiceState.IN_SERVICE


def test_a_record_of_an_earlier_program_has_an_operative_connector() -> None:
    play = Playbook()
    play.store = {"availability": {"1": {"operative": False}}}
    play.restart(5)
    play.skip() >> ask(ChangeAvailabilityRequest(1, True, every=False))
    assert play.skip().site.service_state(play.evse()) is ServiceState.IN_SERVICE


def test_the_station_and_its_evses_have_a_word_each() -> None:
    play = Playbook(evses=2) >> ask(ChangeAvailabilityRequest(1, False)) << kept("availability", "1", operative=False)
    play.skip() >> ask(ChangeAvailabilityRequest(0, False, every=False)) << kept("availability", "0", operative=False)
    play.skip() >> ask(ChangeAvailabilityRequest(0, True, every=False)) << kept("availability", "0", operative=True)
    play.skip()
    assert [play.evse(n).operative for n in (1, 2)] == [False, True]
    assert play.statuses[2].connector is ConnectorStatus.AVAILABLE
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE
    assert not [o for o in play.log if isinstance(o, Persist) and o.key == "2"]


def test_inventory() -> None:
    play = charging(Playbook(evses=2, tethered=True), A, 2)
    (reply,) = play.feed(ask(DeviceReportRequest()))
    assert isinstance(reply, Response)
    assert reply.data["sessions"] == ["s1"]
    assert set(reply.data["evses"]) == {0, 1, 2}
    assert reply.data["evses"][2]["status"] == "Occupied"
    assert reply.data["evses"][1]["connector"] == "cType2"
    assert "authorization_key" not in reply.data["settings"]
    assert reply.data["settings"]["connection_timeout_s"] == 60
