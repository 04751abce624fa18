"""Start and stop points of a transaction (decision 9; OCPP 2.0.1 E01, E06)."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Schedule, Unit
from agent.domain.events import (
    BayChanged,
    ButtonPressed,
    CablePlugged,
    CardPresented,
    ContactorClosed,
    Event,
    MeterFailed,
    MeterRead,
    OfferChanged,
    RequestReceived,
    StopRequested,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import SessionState
from agent.domain.messages import (
    ChargingState,
    MeterSampled,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken, ReadMeter, Response, Restart, SetLimit, SetRelease
from agent.domain.reading_purposes import ReadingKind, begin_reading, end_reading
from agent.domain.requests import (
    BackendRequest,
    CompositeScheduleRequest,
    DeviceReportRequest,
    RemoteStartRequest,
    RemoteStopRequest,
    ResetRequest,
    SetChargingProfileRequest,
    SetVariablesRequest,
)
from agent.model.board import EvseTraits
from agent.model.types import Limit, ReadingContext, ScreenName
from tests.domain.playbook import (
    ACCEPTED,
    EMPTY,
    LINK,
    PLUGGED,
    REFUSED,
    A,
    B,
    Like,
    Playbook,
    energised,
    forgotten,
    kept,
    make_site,
    sent_message,
    wh,
)
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE, READING_TIMERS, SAMPLED, SAMPLED_END, transaction_reading

BAY, EV, RIGHT, PATH, ENERGY, SIGNED = (
    "ParkingBayOccupancy", "EVConnected", "Authorized", "PowerPathClosed", "EnergyTransfer", "DataSigned",
)  # fmt: skip
MEASURANDS = ("Energy.Active.Import.Register",)
Points: TypeAlias = tuple[str, ...]
COUNTS = EvseTraits(counts_plugged=True)


def play(starts: Points = (PATH,), stops: Points = (RIGHT,), evses: int = 1, **more: Any) -> Playbook:
    quiet = {"auth_cache_enabled": False, "sample_interval_s": 0}
    settings = {**quiet, "tx_start_points": starts, "tx_stop_points": stops, **more.pop("settings", {})}

    def site() -> Any:
        made = make_site(evses, settings)
        for evse in made.evses.values():
            configure(evse, bay_sensor=True)
        return made

    return Playbook(site, **more)


def plug(p: Playbook, n: int = 1) -> Playbook:
    return p >> [CablePlugged(n), VehicleConnected(n)]


def opened(p: Playbook, meter_wh: int = 500) -> Playbook:
    """The register that the transaction begins with is read."""
    (asked,) = [o for o in p.unclaimed if isinstance(o, ReadMeter)]
    assert asked.purpose.kind is ReadingKind.TRANSACTION
    p.skip()
    return p >> MeterRead(asked.evse, asked.purpose, wh(meter_wh)) << kept("tx", start_wh=meter_wh)


def card(p: Playbook, token: Any = A, n: int = 1, verdict: Any = ACCEPTED) -> Playbook:
    p = p >> CardPresented(n, token)
    asked = p.unclaimed.pop(0)
    assert isinstance(asked, AuthorizeToken)
    return p >> TokenAuthorized(asked.request, token, verdict)


def stopped(p: Playbook, meter_wh: int, event: Event | None = None) -> Playbook:
    """The card again; contactor open, register read."""
    p.feed(event or CardPresented(1, A))
    from agent.domain.events import ContactorOpened

    p.feed(ContactorOpened(1))
    p.skip()
    return p >> MeterRead(1, end_reading(1), wh(meter_wh)) << forgotten("session")


def messages(p: Playbook) -> list[str]:
    return [type(m).__name__.removeprefix("Transaction") for m in p.sent_messages if type(m).__name__ != "MeterSampled"]


def billed_wh(p: Playbook) -> int:
    ends = [m.meter_wh for m in p.sent_messages if isinstance(m, TransactionEnded)]
    return sum(ends) - sum(m.meter_wh for m in p.sent_messages if isinstance(m, TransactionStarted))


# --- the begin -------------------------------------------------------------------------------------------------------


def test_begins_with_the_cable_and_the_right_follows() -> None:
    """E_09: one transaction, started without a token, authorized later, ended once with all that flowed."""
    p = opened(plug(play((EV,)))) << sent_message(
        TransactionStarted, session="s1", token=None, evse=1, meter_wh=500, trigger=TriggerReason.CABLE_PLUGGED_IN,
        charging=ChargingState.EV_CONNECTED,
    )  # fmt: skip
    p = card(p) << ReadMeter(1, begin_reading(1), True) << kept("tx", "s1")
    p = p << sent_message(
        TransactionAuthorized, session="s1", token=A, meter_wh=500, trigger=TriggerReason.AUTHORIZED, placed=False
    )
    assert p
    energised(p, meter_wh=500)
    assert p.session().id == "s1"
    p = (
        stopped(p, 900)
        << forgotten("tx")
        << sent_message(TransactionEnded, session="s1", meter_wh=900, authorized=True)
    )
    assert billed_wh(p.skip()) == 400
    assert messages(p) == ["Started", "Authorized", "Updated", "Ended"]


def test_begins_with_the_card() -> None:
    """E_10: the card first; the cable is sent as an update."""
    p = opened(card(play((RIGHT,)))) << sent_message(
        TransactionStarted, token=A, evse=1, trigger=TriggerReason.AUTHORIZED, charging=ChargingState.IDLE
    )
    p = p >> CablePlugged(1)
    assert p
    p = p >> VehicleConnected(1) << ReadMeter(1, begin_reading(1), True) << kept("tx")
    assert p << sent_message(
        TransactionUpdated, trigger=TriggerReason.CABLE_PLUGGED_IN, charging=ChargingState.EV_CONNECTED
    )
    energised(p, meter_wh=500)
    assert messages(p) == ["Started", "Updated", "Updated"]


def test_a_card_after_the_cable_is_reported_once() -> None:
    p = plug(play((RIGHT,)))
    assert p
    p = card(p) << ReadMeter(1, begin_reading(1), True)
    energised(p)
    assert messages(p) == ["Started", "Updated"]


def test_the_right_ends_without_a_cable() -> None:
    """E_39."""
    p = opened(card(play((RIGHT,)))) << TELL
    assert p
    assert messages(p.wait(59.0).skip()) == ["Started"]
    p = p.wait(2.0) << forgotten("tx")
    p = p << sent_message(
        TransactionEnded, reason=StopReason.TIMEOUT, trigger=TriggerReason.EV_CONNECT_TIMEOUT, meter_wh=500
    )
    assert p
    assert p.state() is SessionState.FREE


def test_a_refused_card_leaves_it_open() -> None:
    p = opened(plug(play((EV,)))) << TELL
    assert card(p, verdict=REFUSED)
    assert p.evse().tx is not None
    assert p >> VehicleLeft(1) << forgotten("tx") << sent_message(
        TransactionEnded, reason=StopReason.EV_DISCONNECTED, trigger=TriggerReason.EV_COMMUNICATION_LOST,
        authorized=False, meter_wh=500,
    )  # fmt: skip


def test_begins_with_the_car_in_the_bay() -> None:
    """E_12, and a second car later."""
    p = opened(play((BAY,), (BAY,)) >> BayChanged(1, True)) << sent_message(
        TransactionStarted, token=None, trigger=TriggerReason.EV_DETECTED, charging=ChargingState.IDLE
    )
    p = plug(p) << kept("tx") << sent_message(TransactionUpdated, trigger=TriggerReason.CABLE_PLUGGED_IN)
    p = (
        p
        >> VehicleLeft(1)
        << kept("tx")
        << sent_message(TransactionUpdated, trigger=TriggerReason.EV_COMMUNICATION_LOST, charging=ChargingState.IDLE)
    )
    p = (
        p
        >> BayChanged(1, False)
        << forgotten("tx")
        << sent_message(TransactionEnded, reason=StopReason.LOCAL, trigger=TriggerReason.EV_DEPARTED, plugged=False)
    )
    assert opened(p >> BayChanged(1, True)) << sent_message(TransactionStarted, session="s2")


@pytest.mark.parametrize("starts", [(EV,), (RIGHT,), (BAY,), (EV, RIGHT, BAY)])
def test_without_a_register_the_session_begins_it(starts: tuple[str, ...]) -> None:
    p = play(starts) >> BayChanged(1, True)
    p.feed(CablePlugged(1))
    p.feed(VehicleConnected(1))
    for order in [o for o in p.unclaimed if isinstance(o, ReadMeter)]:
        p.feed(MeterFailed(1, order.purpose))
    energised(card(p.skip()).skip(), meter_wh=700)
    assert messages(p) == ["Started", "Updated"]
    assert isinstance(p.sent_messages[0], TransactionStarted)
    assert p.sent_messages[0].token == A


def test_the_register_comes_after_the_right() -> None:
    """The transaction opens with the token when the meter answers late."""
    p = plug(play((EV,))) << ReadMeter(1, transaction_reading(1), True)
    p = card(p) << ReadMeter(1, begin_reading(1), True)
    p = p >> MeterRead(1, transaction_reading(1), wh(500)) << kept("tx") << sent_message(TransactionStarted, token=A)
    energised(p, meter_wh=500)
    assert messages(p) == ["Started", "Updated"]


def test_the_car_was_faster_than_the_register() -> None:
    p = plug(play((EV,))) << ReadMeter(1, transaction_reading(1), True) >> VehicleLeft(1)
    assert p >> MeterRead(1, transaction_reading(1), wh(500))
    assert p.sent_messages == []


def test_a_meter_that_failed_once_costs_no_later_vehicle_its_transaction() -> None:
    p = plug(play((EV,))) << ReadMeter(1, transaction_reading(1), True) >> MeterFailed(1, transaction_reading(1))
    p = p >> VehicleLeft(1) >> VehicleConnected(1) << ReadMeter(1, transaction_reading(2), True)
    assert p >> MeterRead(1, transaction_reading(2), wh(500)) << kept("tx") << sent_message(TransactionStarted)


def test_nothing_begins_where_no_one_may_charge() -> None:
    p = play((EV,))
    p.evse().operative = False
    assert plug(p)


def test_the_evse_is_not_known_at_the_start() -> None:
    """J_08: EVSE and begin values follow with the cable."""
    p = play((RIGHT,), evses=2) >> CardPresented(0, A) << AuthorizeToken
    p = p >> TokenAuthorized("token:1", A, ACCEPTED) << kept("tx", placed=False)
    p = p << sent_message(TransactionStarted, evse=0, token=A, meter_wh=0)
    p = p >> VehicleConnected(2) << ReadMeter(2, begin_reading(1), True) << kept("tx", evse=2)
    p = p >> MeterRead(2, begin_reading(1), wh(800)) << kept("session", "s1") << kept("tx", placed=True, start_wh=800)
    p = p << sent_message(
        TransactionAuthorized, session="s1", evse=2, meter_wh=800, placed=True, trigger=TriggerReason.CABLE_PLUGGED_IN
    )
    p.skip()
    assert p.evse(1).tx is None
    assert p.session(2).id == "s1"


def test_a_driver_who_corrects_the_button_has_one_transaction() -> None:
    """The EVSE is not reported before the vehicle is there: a button and the badge may still change it."""
    p = play((RIGHT,), evses=2) >> ButtonPressed("outlet-2") >> CardPresented(0, A) << AuthorizeToken
    p = p >> TokenAuthorized("token:1", A, ACCEPTED) << kept("tx", placed=False)
    p = p << sent_message(TransactionStarted, evse=0, token=A) >> ButtonPressed("outlet-1") >> CardPresented(0, A)
    p = p << kept("tx", evse=1)
    p = p >> VehicleConnected(1) << ReadMeter(1, begin_reading(1), True)
    p = p >> MeterRead(1, begin_reading(1), wh(800)) << kept("session", "s1") << kept("tx", placed=True, start_wh=800)
    p.skip()
    assert messages(p) == ["Started", "Authorized"]


def test_the_evse_never_becomes_known() -> None:
    p = play((RIGHT,), evses=2) >> CardPresented(0, A) << AuthorizeToken
    p = p >> TokenAuthorized("token:1", A, ACCEPTED) << kept("tx", placed=False) << TELL
    p = (
        p.wait(59.0).skip().wait(2.0)
        << forgotten("tx")
        << sent_message(TransactionEnded, evse=0, meter_wh=0, authorized=False, reason=StopReason.TIMEOUT)
    )
    assert p


# --- late ------------------------------------------------------------------------------------------------------------


def test_begins_when_energy_flows() -> None:
    """E_02: on disk before release, sent with the first energy and the register of the begin."""
    p = card(plug(play((ENERGY,)))) << ReadMeter(1, begin_reading(1), True)
    p = (
        p
        >> MeterRead(1, begin_reading(1), wh(500))
        << kept("session", told=False)
        << Like(object)
        << SetRelease(1, True)
    )
    assert p
    p.wait(30.0)
    assert p.skip().sent_messages == []
    p = p >> VehicleReady(1)
    from agent.domain.events import ContactorClosed

    p = p >> ContactorClosed(1) << kept("session", told=True) << sent_message(
        TransactionStarted, token=A, meter_wh=500, at=p.now.stamp, trigger=TriggerReason.CHARGING_STATE_CHANGED,
        charging=ChargingState.CHARGING,
    )  # fmt: skip
    p = stopped(p, 600) << sent_message(TransactionEnded, meter_wh=600)
    assert billed_wh(p.skip()) == 100


@pytest.mark.parametrize(("end_wh", "wanted"), [(500, []), (501, ["Started", "Ended"])])
def test_what_ends_before_it_was_reported(end_wh: int, wanted: list[str]) -> None:
    """Without energy nothing; energy that was not seen flowing is billed all the same."""
    p = card(plug(play((ENERGY,)))).skip() >> MeterRead(1, begin_reading(1), wh(500))
    p = p.skip() >> CardPresented(1, A)
    p = p.skip() >> MeterRead(1, end_reading(1), wh(end_wh))
    p.skip()
    assert messages(p) == wanted
    assert billed_wh(p) == end_wh - 500
    assert p.store["session"] == {}


def test_unreported_it_survives_a_restart() -> None:
    p = card(plug(play((ENERGY,), traits=COUNTS))).skip() >> MeterRead(1, begin_reading(1), wh(500))
    p.skip().restart(state=_plugged_for(5.0)).skip()
    assert p.state() is SessionState.ACTIVE
    assert p.sent_messages == []
    energised_again(p)
    assert messages(p) == ["Started"]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_ends_with_the_cable_not_with_the_card() -> None:
    """E_14: the card takes the right away; the transaction lasts as long as the cable, and its reason is the card's."""
    p = lingering(play(stops=(EV,))) << sent_message(
        TransactionUpdated, trigger=TriggerReason.STOP_AUTHORIZED, token=A, charging=ChargingState.EV_CONNECTED
    )
    assert not p.evse().release_order.given
    p.skip().wait(3600.0).skip()
    p = (
        p
        >> VehicleLeft(1)
        << forgotten("tx")
        << sent_message(
            TransactionEnded, meter_wh=900, reason=StopReason.LOCAL, trigger=TriggerReason.EV_COMMUNICATION_LOST
        )
    )
    assert p
    assert billed_wh(p) == 400


def test_no_one_charges_on_a_transaction_whose_right_has_ended() -> None:
    p = lingering(play(stops=(EV,))).skip()
    p = (
        card(p, B)
        << ReadMeter
        << forgotten("tx")
        << sent_message(
            TransactionEnded, session="s1", meter_wh=900, reason=StopReason.LOCAL, trigger=TriggerReason.AUTHORIZED
        )
    )
    p = (
        p
        >> MeterRead(1, begin_reading(2), wh(900))
        << kept("session", "s2")
        << sent_message(TransactionStarted, session="s2", token=B)
    )
    p.skip()
    assert p.evse().release_order.given


def test_pulled_at_the_car() -> None:
    """E_20."""
    p = energised(card(plug(play(stops=(EV,), settings={"stop_on_ev_disconnect": False}))).skip(), meter_wh=500)
    p = stopped(p, 900, VehicleLeft(1)) << sent_message(
        TransactionEnded, reason=StopReason.EV_DISCONNECTED, trigger=TriggerReason.EV_COMMUNICATION_LOST
    )
    p.skip()


def test_ends_when_the_car_drives_away() -> None:
    """E_19."""
    p = play(stops=(BAY,)) >> BayChanged(1, True)
    p = lingering(p) << sent_message(TransactionUpdated, trigger=TriggerReason.STOP_AUTHORIZED)
    p = (
        p.skip()
        >> VehicleLeft(1)
        << kept("tx")
        << sent_message(TransactionUpdated, trigger=TriggerReason.EV_COMMUNICATION_LOST, charging=ChargingState.IDLE)
    )
    assert (
        p
        >> BayChanged(1, False)
        << forgotten("tx")
        << sent_message(TransactionEnded, reason=StopReason.LOCAL, trigger=TriggerReason.EV_DEPARTED, meter_wh=900)
    )


def test_ends_when_the_car_takes_nothing_more() -> None:
    """E_22; a car that only hesitates goes on."""
    p = energised(card(plug(play(stops=(ENERGY,)))).skip(), meter_wh=500)
    p = p >> VehiclePaused(1) << sent_message(TransactionUpdated, charging=ChargingState.SUSPENDED_EV)
    p = p.wait(3.0).skip() >> VehicleReady(1) << sent_message(TransactionUpdated, charging=ChargingState.CHARGING)
    assert p.wait(10.0).skip().state() is SessionState.ACTIVE
    p = p >> VehiclePaused(1) << sent_message(TransactionUpdated, charging=ChargingState.SUSPENDED_EV)
    p.wait(6.0).skip()
    assert p.state() is SessionState.ENDING
    assert p.session().stop is not None
    assert p.session().stop.reason is StopReason.STOPPED_BY_EV


def test_a_car_that_has_not_begun_has_not_ended() -> None:
    p = card(plug(play(stops=(ENERGY,)))).skip() >> MeterRead(1, begin_reading(1), wh(500))
    p.skip().wait(600.0)
    assert p.skip().state() is SessionState.ACTIVE
    assert p.evse().progress.charging in (ChargingState.SUSPENDED_EV, ChargingState.SUSPENDED_EVSE)


@pytest.mark.parametrize(
    ("register_wh", "state", "reason"),
    [(600, SessionState.ENDING, StopReason.STOPPED_BY_EV), (500, SessionState.ACTIVE, None)],
)
def test_after_a_restart_the_register_shows_whether_the_car_has_begun(
    register_wh: int, state: SessionState, reason: StopReason | None
) -> None:
    """E06.FR.07. The car was full while the agent did not run."""
    p = card(plug(play(stops=(ENERGY,), traits=COUNTS))).skip() >> MeterRead(1, begin_reading(1), wh(500))
    p.skip() >> MeterRead(1, LIVE, wh(register_wh)) >> StopRequested()
    p.skip().restart(state=_plugged_for(5.0)).skip() >> OfferChanged(1, True)
    p.wait(15.0).skip()
    assert p.evse().progress.charging is ChargingState.SUSPENDED_EV
    assert p.state() is SessionState.ACTIVE, "the restart has interrupted it: it may sleep"
    p.wait(60.0).skip()
    stop = p.session().stop
    assert (p.state(), stop and stop.reason) == (state, reason)


def test_the_screen_follows_a_plug_that_returns_before_the_start_is_reported() -> None:
    p = card(plug(play((ENERGY,), settings={"stop_on_ev_disconnect": False}))).skip()
    p = p >> MeterRead(1, begin_reading(1), wh(500))
    assert p.skip().screens[1].name is ScreenName.PREPARING
    p.feed(VehicleLeft(1))
    assert p.skip().wait(3.0).skip().screens[1].name is ScreenName.PAUSED
    p.feed(VehicleConnected(1))
    assert p.skip().screens[1].name is ScreenName.PREPARING


def test_a_car_that_wakes_after_a_restart_charges_on() -> None:
    p = card(plug(play(stops=(ENERGY,), traits=COUNTS))).skip() >> MeterRead(1, begin_reading(1), wh(500))
    p.skip() >> MeterRead(1, LIVE, wh(900)) >> StopRequested()
    p.skip().restart(state=_plugged_for(5.0)).skip() >> OfferChanged(1, True)
    p.wait(40.0).skip() >> VehicleReady(1) >> ContactorClosed(1)
    p.skip().wait(120.0).skip()
    assert (p.state(), p.evse().progress.charging) == (SessionState.ACTIVE, ChargingState.CHARGING)


def test_remote_stop_of_what_has_no_right() -> None:
    p = (
        opened(plug(play((EV,))))
        << TELL
        >> RequestReceived(LINK, "q", RemoteStopRequest("s1"))
        << Response(LINK, "q", "Accepted")
    )
    assert (
        p
        << forgotten("tx")
        << sent_message(TransactionEnded, reason=StopReason.REMOTE, trigger=TriggerReason.REMOTE_STOP)
    )


def test_remote_stop_of_a_right_that_waits() -> None:
    p = (
        opened(card(play((RIGHT,))))
        << TELL
        >> RequestReceived(LINK, "q", RemoteStopRequest("s1"))
        << Response(LINK, "q", "Accepted")
    )
    assert (
        p
        << forgotten("tx")
        << sent_message(TransactionEnded, reason=StopReason.REMOTE, trigger=TriggerReason.REMOTE_STOP)
    )
    assert p.state() is SessionState.FREE


def test_a_remote_start_names_the_transaction_that_it_authorizes() -> None:
    """F01.FR.13, FR.25. One that is authorized, or was, is named to no other driver."""
    wanted = RequestReceived(LINK, "q", RemoteStartRequest(1, A, "77", asks=False))
    p = opened(plug(play((EV,)))) << TELL >> wanted << Response(LINK, "q", "Accepted", {"transaction": "s1"})
    p = p << ReadMeter(1, begin_reading(1), True) << kept("tx", "s1")
    p = p << sent_message(TransactionAuthorized, session="s1", trigger=TriggerReason.REMOTE_START)
    assert p >> wanted << Response(LINK, "q", "Rejected")
    p = lingering(play(stops=(EV,))).skip() >> wanted << Response(LINK, "q", "Accepted")
    p.skip()
    assert plug(play()) >> wanted << Response(LINK, "q", "Accepted") << ReadMeter


def test_a_waiting_right_that_the_backend_refuses() -> None:
    p = opened(card(play((RIGHT,)))) << TELL >> TransactionAcknowledged(LINK, "s1", "s1", REFUSED)
    assert (
        p
        << forgotten("tx")
        << sent_message(TransactionEnded, reason=StopReason.DEAUTHORIZED, trigger=TriggerReason.DEAUTHORIZED)
    )
    assert p.evse().authorization is None


@pytest.mark.parametrize("more_wh", [0, 1000])
@pytest.mark.parametrize("state", [SessionState.AUTHORIZED, SessionState.BEGINNING])
def test_a_waiting_right_that_is_refused_and_to_stay_begins_limited(state: SessionState, more_wh: int) -> None:
    """E05.FR.02, FR.03: StopTxOnInvalidId is false, and the answer comes before there is a session."""
    settings = {"stop_on_invalid_id": False, "max_energy_on_invalid_wh": more_wh}
    if state is SessionState.AUTHORIZED:
        p = opened(card(play((RIGHT,), settings=settings)))
    else:
        p = card(opened(plug(play((EV,), settings=settings))).skip())
    p.skip() >> TransactionAcknowledged(LINK, "s1", "s1", REFUSED)
    assert p.state() is state
    if state is SessionState.AUTHORIZED:
        p = plug(p)
    p.skip() >> MeterRead(1, begin_reading(1), wh(500)) << kept("session", "s1", held=not more_wh)
    assert p.skip().evse().release_order.given is bool(more_wh)
    if more_wh:
        energised_again(p)
        assert p.evse().progress.charging is ChargingState.CHARGING
        p.feed(MeterRead(1, LIVE, wh(500 + more_wh)))
    p.skip().wait(6.0).skip()
    assert (p.state(), p.evse().release_order.given) == (SessionState.ACTIVE, False)
    assert p.evse().progress.charging is ChargingState.SUSPENDED_EVSE
    assert "Ended" not in messages(p)


def test_a_waiting_right_that_is_refused_stays_so_when_the_cable_chooses_another_outlet() -> None:
    settings = {"stop_on_invalid_id": False}
    p = play((RIGHT,), evses=2, settings=settings) >> CardPresented(0, A) << AuthorizeToken
    p = p >> TokenAuthorized("token:1", A, ACCEPTED) << kept("tx", placed=False)
    p.skip() >> TransactionAcknowledged(LINK, "s1", "s1", REFUSED) >> VehicleConnected(2)
    p.skip() >> MeterRead(2, begin_reading(1), wh(800)) << kept("session", "s1", evse=2, held=True)
    assert not p.skip().evse(2).release_order.given


@pytest.mark.parametrize("on_idle", [False, True])
def test_a_reset_ends_it_or_waits_for_it(on_idle: bool) -> None:
    p = opened(plug(play((EV,)))) << TELL >> RequestReceived(LINK, "q", ResetRequest(on_idle=on_idle))
    if on_idle:
        p = p << Response(LINK, "q", "Scheduled") >> VehicleLeft(1)
        assert p << forgotten("tx") << TELL << Restart(False, "ScheduledReset")
    else:
        p = p << Response(LINK, "q", "Accepted") << Restart(False) << forgotten("tx")
        assert p << sent_message(
            TransactionEnded, reason=StopReason.IMMEDIATE_RESET, trigger=TriggerReason.RESET_COMMAND
        )


def test_its_values_are_reported_within_it() -> None:
    p = opened(plug(play((EV,), settings={"sample_interval_s": 60}))) << TELL
    p.wait(60.0)
    assert ReadMeter(1, SAMPLED) in p.unclaimed
    p = p.skip() >> MeterRead(1, SAMPLED, wh(500))
    (sampled,) = p.unclaimed
    p.skip()
    assert sampled.message.session == "s1"  # type: ignore[attr-defined]
    assert sampled.message.authorized is False  # type: ignore[attr-defined]
    assert sampled.message.samples[0].context is ReadingContext.PERIODIC  # type: ignore[attr-defined]


# --- charging profiles -----------------------------------------------------------------------------------------------


def profile_of_transaction(limit_a: float, number: int = 7, session: str = "s1") -> Profile:
    schedule = Schedule(Unit.A, (Period(0, limit_a),))
    return Profile(number, 0, Purpose.TX, Kind.RELATIVE, schedule, session=session)


def ask(p: Playbook, what: BackendRequest) -> Response:
    (reply,) = [o for o in p.feed(RequestReceived(LINK, "q", what)) if isinstance(o, Response)]
    return reply


def put(p: Playbook, profile: Profile, evse: int = 1) -> str:
    """As a backend of 2.x: the code of the refusal, or that it is accepted."""
    reply = ask(p, SetChargingProfileRequest(evse, profile, replaces=False))
    p.skip()
    return str(reply.data["reason"].code if reply.status == "Rejected" else reply.status)


def begun(p: Playbook) -> list[Any]:
    """The register of the session's begin is read: limit and release that follow."""
    orders = p.feed(MeterRead(1, begin_reading(1), wh(500)))
    p.skip()
    return [o for o in orders if isinstance(o, SetLimit | SetRelease)]


@pytest.mark.parametrize("starts", [(EV,), (RIGHT,)])
def test_a_profile_for_a_transaction_that_waits_for_its_session_holds_from_the_first_moment(starts: Points) -> None:
    """2.x K01.FR.04."""
    p = play(starts)
    p = (opened(plug(p)) if starts == (EV,) else opened(card(p))) << TELL
    assert put(p, profile_of_transaction(10.0)) == "Accepted"
    assert [s.limit for s in ask(p, CompositeScheduleRequest(1, 60)).data["spans"]] == [10.0]
    p = card(p.skip()) if starts == (EV,) else plug(p.skip())
    p.skip()
    assert begun(p) == [SetLimit(1, Limit(10.0, 3)), SetRelease(1, True)]
    assert sorted(p.store["charging_profile"]) == ["7"]
    p.feed(CardPresented(1, A))
    p.feed(MeterRead(1, end_reading(1), wh(500)))
    assert p.state() is not SessionState.ENDING
    assert p.store["charging_profile"] == {}


def test_a_profile_goes_with_its_transaction_that_never_had_a_session() -> None:
    p = opened(plug(play((EV,)))) << TELL
    assert put(p, profile_of_transaction(10.0)) == "Accepted"
    assert p >> VehicleLeft(1) << forgotten("tx") << TELL << forgotten("charging_profile")


def test_a_profile_survives_a_restart_with_its_transaction() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    assert put(p, profile_of_transaction(10.0)) == "Accepted"
    p.wait(1000.0).skip().restart(state=_plugged_for(1005.0)).skip()
    assert begun(card(p).skip()) == [SetLimit(1, Limit(10.0, 3)), SetRelease(1, True)]


def test_a_profile_goes_with_its_transaction_that_another_vehicle_ended() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    assert put(p, profile_of_transaction(10.0)) == "Accepted"
    p.wait(1000.0).skip().restart(state=_plugged_for(2.0)).skip()
    assert p.store["charging_profile"] == {}


def test_a_profile_is_for_no_other_transaction_than_the_one_that_waits_here() -> None:
    """2.x K01.FR.09: another one, one whose right has ended, and one whose EVSE is not known yet."""
    assert put(opened(plug(play((EV,)))) << TELL, profile_of_transaction(10.0, session="s2")) == "TxNotFound"
    assert put(lingering(play(stops=(EV,))).skip(), profile_of_transaction(10.0)) == "TxNotFound"
    p = play((RIGHT,), evses=2) >> CardPresented(0, A) << AuthorizeToken
    p.feed(TokenAuthorized("token:1", A, ACCEPTED))
    assert [put(p.skip(), profile_of_transaction(10.0), evse) for evse in (1, 2)] == ["TxNotFound"] * 2


def test_a_profile_that_a_remote_start_brings_takes_the_place_of_the_one_before() -> None:
    p = opened(plug(play((EV,)))) << TELL
    assert put(p, profile_of_transaction(10.0)) == "Accepted"
    assert ask(p, RemoteStartRequest(1, A, "77", profile_of_transaction(8.0, 8, ""))).status == "Accepted"
    p.skip()
    assert begun(p) == [SetLimit(1, Limit(8.0, 3)), SetRelease(1, True)]
    assert sorted(p.store["charging_profile"]) == ["8"]


# --- restarts --------------------------------------------------------------------------------------------------------


def _plugged_for(seconds: float) -> Any:
    from dataclasses import replace

    return replace(PLUGGED, plugged_s=seconds)


def energised_again(p: Playbook) -> None:
    from agent.domain.events import ContactorClosed, OfferChanged

    for event in (OfferChanged(1, True), VehicleReady(1), ContactorClosed(1)):
        p.feed(event)
    p.skip()


def test_it_survives_a_kill_as_what_it_is() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    p.wait(1000.0).skip().restart(state=_plugged_for(1005.0)).skip()
    assert messages(p) == ["Started"]
    assert p.evse().tx is not None
    energised(card(p).skip(), meter_wh=500)
    assert messages(p) == ["Started", "Authorized", "Updated"]


def test_it_survives_without_a_count_while_the_last_sign_is_fresh() -> None:
    p = opened(plug(play((EV,)))) << TELL
    p.wait(1000.0).skip().restart(after_s=20.0, state=PLUGGED).skip()
    assert messages(p) == ["Started"]


def test_another_car_is_another_transaction() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    p = p.wait(1000.0).skip().restart(state=_plugged_for(2.0)) << forgotten("tx")
    p = p << sent_message(TransactionEnded, session="s1", reason=StopReason.POWER_LOSS)
    assert opened(p) << sent_message(TransactionStarted, token=None, trigger=TriggerReason.CABLE_PLUGGED_IN)


def test_the_car_left_in_the_meantime() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    assert (
        p.restart(state=EMPTY)
        << forgotten("tx")
        << sent_message(
            TransactionEnded, reason=StopReason.EV_DISCONNECTED, trigger=TriggerReason.EV_COMMUNICATION_LOST
        )
    )


def test_a_right_that_waited_does_not_survive() -> None:
    p = opened(card(play((RIGHT,)))) << TELL
    assert p.restart(state=EMPTY) << forgotten("tx") << sent_message(TransactionEnded, reason=StopReason.POWER_LOSS)


def test_what_outlives_its_right_survives_too() -> None:
    p = lingering(play(stops=(EV,), traits=COUNTS)).skip()
    p.restart(state=_plugged_for(5.0)).skip()
    assert [m for m in messages(p) if m == "Ended"] == []
    assert (
        p >> VehicleLeft(1) << forgotten("tx") << sent_message(TransactionEnded, meter_wh=900, reason=StopReason.LOCAL)
    )


@pytest.mark.parametrize("restarts", [False, True])
def test_values_of_what_outlives_its_right_are_reported(restarts: bool) -> None:
    """J02: as long as the transaction lasts."""
    settings = {"sample_interval_s": 60, "stop_sample_interval_s": 60, "stop_sampled_measurands": MEASURANDS}
    p = lingering(play(stops=(EV,), traits=COUNTS, settings=settings)).skip()
    if restarts:
        p.restart(state=_plugged_for(5.0)).skip()
    p.wait(60.0)
    assert {SAMPLED, SAMPLED_END} <= {o.purpose for o in p.unclaimed if isinstance(o, ReadMeter)}
    p = p.skip() >> MeterRead(1, SAMPLED, wh(900)) << sent_message(MeterSampled, session="s1", evse=1)
    p >> MeterRead(1, SAMPLED_END, wh(900)) >> VehicleLeft(1)
    assert [len(m.samples) for m in p.ended()] == [1]
    p.skip()
    assert not [timer for timer in p.timers if timer.kind in READING_TIMERS]


def test_its_register_never_runs_back_over_a_kill() -> None:
    """Energy flowed on although the right has ended (a contactor that does not open), and was sent."""
    p = lingering(play(stops=(EV,), traits=COUNTS, settings={"sample_interval_s": 60})).skip()
    p = p >> MeterRead(1, SAMPLED, wh(1016)) << kept("tx", "s1", last_wh=1016)
    p.skip().restart(state=_plugged_for(5.0)).skip()
    assert p >> VehicleLeft(1) << forgotten("tx") << sent_message(TransactionEnded, meter_wh=1016)


def test_the_board_never_comes_back() -> None:
    p = opened(plug(play((EV,)))) << TELL
    p = p.restart().skip().wait(301.0) << forgotten("tx")
    assert p << sent_message(TransactionEnded, reason=StopReason.POWER_LOSS)


def test_a_broken_record_is_set_aside() -> None:
    p = opened(plug(play((EV,)))) << TELL
    p.store["tx"]["s1"]["started"] = "yesterday"
    p = p.restart(state=PLUGGED) << kept("poisoned", "s1") << forgotten("tx")
    assert opened(p) << sent_message(TransactionStarted, session="s1")


def test_an_orderly_stop_keeps_it() -> None:
    p = opened(plug(play((EV,)))) << TELL >> StopRequested() << kept("tx", "s1")
    assert p.store["tx"].keys() == {"s1"}
    assert p


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sensor", "status"),
    [
        ("EVConnected,PowerPathClosed", False, "Accepted"),
        (",".join((BAY, EV, RIGHT, PATH, ENERGY)), True, "Accepted"),
        (BAY, True, "Accepted"),
        (BAY, False, "Rejected"),
        ("", True, "Rejected"),
        ("Authorized,Authorized", True, "Rejected"),
        ("evconnected", True, "Rejected"),
    ],
)
@pytest.mark.parametrize("name", ["tx_start_points", "tx_stop_points"])
def test_setting(name: str, text: str, sensor: bool, status: str) -> None:
    p = play()
    configure(p.evse(), bay_sensor=sensor)
    p.feed(RequestReceived(LINK, "q", SetVariablesRequest({name: text})))
    assert p.unclaimed[-1] == Response(LINK, "q", "Accepted", {name: status})
    assert (p.site.settings.list_value(name) == tuple(text.split(","))) is (status == "Accepted")


@pytest.mark.parametrize(("name", "status"), [("tx_start_points", "Accepted"), ("tx_stop_points", "Rejected")])
def test_a_signature_is_a_point_to_begin_at_only(name: str, status: str) -> None:
    p = play()
    p.feed(RequestReceived(LINK, "q", SetVariablesRequest({name: "DataSigned"})))
    assert p.unclaimed[-1] == Response(LINK, "q", "Accepted", {name: status})


@pytest.mark.parametrize(
    ("starts", "signs", "trigger"),
    [
        ((SIGNED,), True, TriggerReason.SIGNED_DATA_RECEIVED),
        ((SIGNED, ENERGY), True, TriggerReason.SIGNED_DATA_RECEIVED),
        ((SIGNED, PATH), True, TriggerReason.AUTHORIZED),
        ((SIGNED,), False, TriggerReason.AUTHORIZED),
        ((ENERGY,), True, None),
        ((SIGNED, ENERGY), False, None),
    ],
)
def test_a_signed_register_begins_the_transaction(starts: Points, signs: bool, trigger: TriggerReason | None) -> None:
    """E01.FR.04. Without a signature it begins with its session, or with the energy where that is a point too."""
    p = card(plug(play(starts, settings={"sign_samples": signs})).skip()).skip()
    p.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert [m.trigger for m in p.skip().sent_messages if isinstance(m, TransactionStarted)] == (
        [trigger] if trigger else []
    )
    for event in (OfferChanged(1, True), VehicleReady(1), ContactorClosed(1)):
        p.feed(event)
    assert len([m for m in p.skip().sent_messages if isinstance(m, TransactionStarted)]) == 1


def test_a_set_survives_and_what_is_open_stays_open() -> None:
    p = opened(plug(play((EV,), traits=COUNTS))) << TELL
    p.feed(RequestReceived(LINK, "q", SetVariablesRequest({"tx_start_points": RIGHT})))
    p.skip().restart(state=_plugged_for(5.0)).skip()
    assert p.site.settings.list_value("tx_start_points") == (RIGHT,)
    p.feed(RequestReceived(LINK, "q", DeviceReportRequest()))
    assert p.unclaimed[-1].data["sessions"] == ["s1"]  # type: ignore[attr-defined]


TELL = Like(object)


def lingering(p: Playbook) -> Playbook:
    """Charged from 500 to 900 Wh, stopped with the card, cable still there."""
    energised(card(plug(p)).skip(), meter_wh=500)
    return stopped(p, 900) << kept("tx", "s1", last_wh=900)
