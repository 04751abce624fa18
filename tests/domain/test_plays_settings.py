"""Settings, availability, triggers, unknown requests: what a backend may ask besides sessions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from agent.domain.events import (
    CablePlugged,
    CableRemoved,
    CardPresented,
    ContactorOpened,
    LinkChanged,
    MeterRead,
    RequestReceived,
    StoreFailed,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.functional_block import Blocks, DuplicateHandler, Replier, Yielded, answers_requests
from agent.domain.messages import (
    BootWanted,
    ConnectorStatus,
    FirmwareStatus,
    HeartbeatWanted,
    LogStatus,
    Message,
    MeterSampled,
    StatusChanged,
    TransactionEnded,
)
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, Response, Send, SetRelease, SetService, Unlock
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    ChangeAvailabilityRequest,
    ClearCacheRequest,
    DataTransferRequest,
    GetVariablesRequest,
    MessageTrigger,
    RemoteStartRequest,
    SetVariablesRequest,
    TriggerMessageRequest,
)
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import VARIABLES
from agent.model.types import Moment, ReadingContext, ScreenName
from tests.domain.playbook import (
    ACCEPTED,
    CARD_A,
    CARD_B,
    EMPTY,
    LINK,
    PLUGGED,
    A,
    B,
    Like,
    Playbook,
    charging,
    kept,
    sent_message,
    wh,
)
from tests.support.reading_purposes import TRIGGERED


def ask(what: object, request: str = "q1") -> RequestReceived:
    return RequestReceived(LINK, request, what)  # type: ignore[arg-type]


# --- settings --------------------------------------------------------------------------------------------------------


def test_a_setting_is_kept_then_promised() -> None:
    play = (
        Playbook()
        >> ask(SetVariablesRequest({"sample_interval_s": "30"}))
        << Persist("setting", "sample_interval_s", {"text": "30"})
    )
    assert play << Response(LINK, "q1", "Accepted", {"sample_interval_s": "Accepted"})
    play = (
        play
        >> ask(GetVariablesRequest(("sample_interval_s",)))
        << Response(LINK, "q1", "Accepted", {"sample_interval_s": 30})
    )
    assert (
        play.restart(5).skip()
        >> ask(GetVariablesRequest(("sample_interval_s",)))
        << (Response(LINK, "q1", "Accepted", {"sample_interval_s": 30}))
    )


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("sample_interval_s", "-1", "Rejected"),
        ("sample_interval_s", "often", "Rejected"),
        ("sample_interval_s", "", "Rejected"),
        ("connector_count", "7", "Rejected"),
        ("sampled_measurands", "Energy.Active.Import.Register,Colour", "Rejected"),
        ("testing", "1", "NotSupported"),
    ],
)
def test_a_setting_that_is_not_taken(name: str, text: str, status: str) -> None:
    play = Playbook() >> ask(SetVariablesRequest({name: text})) << Response(LINK, "q1", "Accepted", {name: status})
    assert play
    assert play.store.get("setting") is None


def test_a_store_that_takes_nothing_takes_no_setting() -> None:
    play = Playbook()
    play.feed(StoreFailed())
    play = (play >> ask(SetVariablesRequest({"authorization_key": "0123456789abcdef"}))).skip()
    (reply,) = [o for o in play.log if isinstance(o, Response)]
    assert reply.data == {"authorization_key": "Rejected"}
    assert not play.site.settings.text_value("authorization_key")


def test_each_of_several_settings_is_judged_by_itself() -> None:
    play = Playbook() >> ask(
        SetVariablesRequest({"reset_retries": "3", "light_intensity": "500", "stop_on_invalid_id": "FALSE"})
    )
    play = play << kept("setting", "reset_retries") << kept("setting", "stop_on_invalid_id", text="false")
    results = {"reset_retries": "Accepted", "light_intensity": "Rejected", "stop_on_invalid_id": "Accepted"}
    assert play << Response(LINK, "q1", "Accepted", results)


def test_a_secret_is_never_shown() -> None:
    play = Playbook() >> ask(SetVariablesRequest({"authorization_key": "0123456789abcdef"})) << Persist << Response
    play = play >> ask(GetVariablesRequest()) << Like(Response, status="Accepted")
    shown = [o for o in play.log if isinstance(o, Response)][-1].data
    assert set(shown) == {n for n, v in VARIABLES.items() if not v.secret}
    assert play >> ask(GetVariablesRequest(("authorization_key", "nothing"))) << Response(LINK, "q1", "Accepted", {})


def test_a_stored_value_that_is_no_longer_possible_is_forgotten() -> None:
    play = Playbook(cold=True)
    play.store = {"setting": {"light_intensity": {"text": "500"}, "reset_retries": {}, "gone": {"text": "1"}}}
    play.restart(5) << Persist("setting", "light_intensity", None) << Persist("setting", "reset_retries", None)
    assert play
    assert play.site.settings["light_intensity"] == VARIABLES["light_intensity"].default


def test_a_new_sample_interval_acts_on_the_running_session() -> None:
    play = charging(Playbook()) >> ask(SetVariablesRequest({"sample_interval_s": "10"})) << Persist << Response
    assert play.timers[Timer(TimerKind.SAMPLED_READING, 1)] == play.t_s + 10
    play = play >> ask(SetVariablesRequest({"sample_interval_s": "0"})) << Persist << Response
    assert play
    assert Timer(TimerKind.SAMPLED_READING, 1) not in play.timers


# --- availability ----------------------------------------------------------------------------------------------------


def inoperative(evse: int = 1) -> RequestReceived:
    return ask(ChangeAvailabilityRequest(evse, False))


def operative(evse: int = 1) -> RequestReceived:
    return ask(ChangeAvailabilityRequest(evse, True))


def test_unavailable_at_once_when_idle() -> None:
    play = Playbook() >> inoperative() << kept("availability", "1", operative=False) << Response(LINK, "q1", "Accepted")
    play = play << SetService(1, False)
    assert play >> CardPresented(1, A) >> ask(RemoteStartRequest(1, A)) << Response(LINK, "q1", "Rejected")
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE
    assert (play.wait(5).screens[1].name, play.screens[1].detail) == (ScreenName.OUT_OF_SERVICE, "unavailable")
    assert play >> operative() << Persist << Response(LINK, "q1", "Accepted") << SetService(1, True)
    assert play.statuses[1].connector is ConnectorStatus.AVAILABLE


def test_unavailable_survives_a_restart() -> None:
    """OCPP 1.6 test cases 013, 014, 034."""
    play = Playbook(evses=2) >> inoperative() << Persist << Response << SetService
    play.restart(5, state=EMPTY) << SetService(1, False)
    assert play
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE
    assert play.statuses[2].connector is ConnectorStatus.AVAILABLE
    assert play.statuses[0].connector is ConnectorStatus.AVAILABLE


def test_the_whole_station_unavailable_survives_a_restart() -> None:
    play = Playbook(evses=2) >> inoperative(0)
    play.skip().restart(5, new_boot=True, state=EMPTY).skip()
    assert {n: s.connector for n, s in play.statuses.items()} == dict.fromkeys((0, 1, 2), ConnectorStatus.UNAVAILABLE)
    play >> operative(0)
    assert {s.connector for s in play.statuses.values()} == {ConnectorStatus.AVAILABLE}


def test_unavailable_waits_for_the_end_of_the_session() -> None:
    play = charging(Playbook()) >> inoperative() << Persist << Response(LINK, "q1", "Scheduled")
    assert play >> CardPresented(1, A) << SetRelease << Persist >> ContactorOpened(1) << ReadMeter
    play = play >> MeterRead(1, end_reading(1), wh(1100)) << Persist << sent_message(TransactionEnded) << Unlock
    assert play.statuses[1].ended
    assert play >> CardPresented(1, B)
    assert play >> (VehicleLeft(1), CableRemoved(1)) << SetService(1, False)
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE


def test_unavailable_while_a_person_is_about_to_start() -> None:
    play = (
        Playbook()
        >> ask(RemoteStartRequest(1, A))
        << Response
        >> inoperative()
        << Persist
        << Response(LINK, "q1", "Accepted")
    )
    play = play << SetService(1, False)
    assert play
    assert (play.state(), play.statuses[1].connector) == (SessionState.FREE, ConnectorStatus.UNAVAILABLE)


def test_unavailable_with_a_cable_waits_with_the_pilot_until_it_is_out() -> None:
    play = Playbook(state=PLUGGED) >> inoperative() << Persist << Response(LINK, "q1", "Accepted")
    assert play
    assert play.statuses[1].connector is ConnectorStatus.UNAVAILABLE
    assert play >> (VehicleLeft(1), CableRemoved(1)) << SetService(1, False)


def test_availability_of_an_evse_that_is_not_there() -> None:
    assert Playbook() >> inoperative(3) << Response(LINK, "q1", "Rejected")


def test_a_refusal_when_it_became_unavailable_during_the_question() -> None:
    play = Playbook() >> CardPresented(1, A) << AuthorizeToken >> inoperative() << Persist << Response << SetService
    assert play >> TokenAuthorized("token:1", A, ACCEPTED) << kept("cache")
    assert play.state() is SessionState.FREE


# --- trigger, data, cache --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (MessageTrigger.BOOT, BootWanted()),
        (MessageTrigger.HEARTBEAT, HeartbeatWanted()),
        (MessageTrigger.FIRMWARE_STATUS, FirmwareStatus(forced=True)),
        (MessageTrigger.LOG_STATUS, LogStatus(forced=True)),
    ],
)
def test_a_trigger_is_answered_then_obeyed(what: MessageTrigger, message: Message) -> None:
    assert Playbook() >> ask(TriggerMessageRequest(what)) << Response(LINK, "q1", "Accepted") << Send(LINK, message)


def test_triggered_status_of_one_and_of_all() -> None:
    play = (
        Playbook(evses=2, status=True)
        >> ask(TriggerMessageRequest(MessageTrigger.STATUS, 2))
        << Response
        << sent_message(StatusChanged, evse=2, forced=True)
    )
    play = (
        play
        >> ask(TriggerMessageRequest(MessageTrigger.STATUS))
        << Response
        << sent_message(StatusChanged, evse=0, forced=True)
    )
    assert play << sent_message(StatusChanged, evse=1, forced=True) << sent_message(StatusChanged, evse=2, forced=True)


def test_triggered_meter_values() -> None:
    play = (
        Playbook(evses=2)
        >> ask(TriggerMessageRequest(MessageTrigger.METER_VALUES, 1))
        << Response
        << ReadMeter(1, TRIGGERED)
    )
    play = play >> MeterRead(1, TRIGGERED, wh(77)) << sent_message(MeterSampled, session="", evse=1)
    assert sample_context(play) is ReadingContext.TRIGGER
    assert (
        play
        >> ask(TriggerMessageRequest(MessageTrigger.METER_VALUES))
        << Response
        << ReadMeter(1, TRIGGERED)
        << ReadMeter(2, TRIGGERED)
    )


def sample_context(play: Playbook) -> ReadingContext:
    message = play.sent_messages[-1]
    assert isinstance(message, MeterSampled)
    return message.samples[0].context


def test_a_trigger_for_an_evse_that_is_not_there() -> None:
    assert Playbook() >> ask(TriggerMessageRequest(MessageTrigger.STATUS, 9)) << Response(LINK, "q1", "Rejected")


def test_data_of_an_unknown_vendor() -> None:
    assert Playbook() >> ask(DataTransferRequest("com.example")) << Response(LINK, "q1", "UnknownVendorId")


def test_a_cleared_cache_is_empty_and_stays_so() -> None:
    store = {"cache": {CARD_A: {"$": "Verdict", "status": "Accepted"}, CARD_B: {"$": "Verdict", "status": "Blocked"}}}
    play = (
        Playbook(store=store, settings={"local_pre_authorize": True}) >> ask(ClearCacheRequest()) << Persist << Persist
    )
    assert play << Response(LINK, "q1", "Accepted") >> CardPresented(1, A) << AuthorizeToken
    assert play.store["cache"] == {}


def test_a_cache_that_is_switched_off_cannot_be_cleared() -> None:
    play = Playbook(settings={"auth_cache_enabled": False})
    assert play >> ask(ClearCacheRequest()) << Response(LINK, "q1", "Rejected")


def test_the_cache_has_a_bound_and_loses_the_oldest() -> None:
    play = Playbook(store={"cache": {f"{n:08}": {"$": "Verdict", "status": "Accepted"} for n in range(1000)}})
    play = play >> CardPresented(1, A) << AuthorizeToken >> TokenAuthorized("token:1", A, ACCEPTED)
    assert play << Persist("cache", "00000000", None) << kept("cache", CARD_A)
    assert len(play.store["cache"]) == 1000


def test_a_poisoned_cache_entry_is_forgotten() -> None:
    play = Playbook(cold=True)
    play.store = {"cache": {"x": {"$": "Token", "value": "x"}, "y": {"$": "?"}}}
    assert play.restart(5) << Persist("cache", "x", None) << Persist("cache", "y", None)


def test_a_request_that_no_one_answers_is_answered() -> None:
    assert Playbook() >> ask("something else") << Response(LINK, "q1", "NotImplemented")


def test_two_answerers_are_a_start_up_error() -> None:
    class Answerer:
        @answers_requests(DataTransferRequest)
        def answer_data(self, request: DataTransferRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
            yield reply("Accepted")

    with pytest.raises(DuplicateHandler, match="DataTransferRequest: Answerer"):
        Blocks((Answerer(), Answerer()))


# --- status ----------------------------------------------------------------------------------------------------------


def test_every_connector_is_reported_after_the_boot_and_once() -> None:
    play = Playbook(evses=2, online=False, status=True)
    play.feed(LinkChanged(LINK, True))
    for n in (0, 1, 2):
        play << sent_message(StatusChanged, evse=n, forced=True)
    assert play >> LinkChanged(LINK, False) >> LinkChanged(LINK, True)
    assert not [o for o in play.log[-3:] if isinstance(o, Send)]


def test_nothing_is_reported_twice() -> None:
    play = Playbook() >> CablePlugged(1) >> VehicleConnected(1)
    seen = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, StatusChanged)]
    for a, b in itertools.pairwise(seen):
        assert a.evse != b.evse or b.forced or a != b
