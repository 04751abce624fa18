"""Plays of the bearers (decision 36): which one carries the links, when it is left and taken back, how a modem is
recovered, and what a SIM gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.domain.backend_connection import ConnectFailure, ConnectionProfile
from agent.domain.bearers import PENALTY_S, PROVEN_S, BearerConfig
from agent.domain.blocks.bearer_selection import ADDRESS_S, REACHED_S
from agent.domain.blocks.interface_upkeep import MOST_PAUSE_S, PAUSE_S
from agent.domain.blocks.modem_recovery import DIAL_S, LADDER, LAST_PAUSE_S, REFUSED_PAUSE_S
from agent.domain.blocks.radio_signal import SETTLED_S
from agent.domain.blocks.sim_cards import RETRY_S
from agent.domain.events import (
    BearerProbed,
    BearerReported,
    BearerSet,
    Connected,
    ConnectFailed,
    LinkChanged,
    SimUnlockEnded,
)
from agent.domain.messages import SecurityHappened
from agent.domain.orders import LogNote, Persist, ProbeBearer, Reconnect, ResetBearer, Send, SetBearer, UnlockSim
from agent.domain.security_events import SecurityEvent
from agent.model.bearer import (
    GOOD_SIGNAL_DBM,
    WEAK_SIGNAL_DBM,
    BearerKind,
    BearerState,
    BearerStatus,
    Registration,
    ResetStep,
    SimState,
)
from agent.model.types import Fault
from tests.domain.playbook import LINK, Like, Playbook

LAN, WIFI, GPRS = "bearer[0]", "bearer[1]", "bearer[2]"
CONFIGS = (
    BearerConfig(LAN, BearerKind.LAN),
    BearerConfig(WIFI, BearerKind.WIFI),
    BearerConfig(GPRS, BearerKind.GPRS, "89352010000000000176", "mark"),
)
ETH0 = BearerStatus(BearerState.UP, "", "eth0", "10.0.0.2")
WLAN0 = BearerStatus(BearerState.UP, "", "wlan0", "10.0.1.2")
NO_CARRIER = BearerStatus(BearerState.DOWN, "no carrier", "eth0")
MODEM = BearerStatus(
    BearerState.DOWN, "not connected", "", "", SimState.READY, 3, "89352010000000000176", "270991234567890",
    Registration.ROAMING, "LU", "GPRS", -85,
)  # fmt: skip
PPP0 = replace(MODEM, state=BearerState.UP, reason="", interface="ppp0", address="10.9.0.7")
LOOK_OVER_LAN, LOOK_OVER_GPRS = ProbeBearer("bearer[0]", "eth0"), ProbeBearer("bearer[2]", "ppp0")
RECONNECT = Reconnect(LINK, anyway=True)
LAN_UP = SetBearer(LAN, True)
ACCESS = ConnectionProfile()


class Street:
    """Whether an exchange with the backend is open."""

    is_open = False


@pytest.fixture
def street() -> Street:
    return Street()


@pytest.fixture
def play(street: Street) -> Iterator[Playbook]:
    """LAN carries the link; nothing else has reported yet."""
    made = Playbook(bearers=CONFIGS, has_open_exchange=lambda: street.is_open)
    made.feed(Connected(LINK, ACCESS))
    made.feed(BearerReported(LAN, ETH0))
    made.skip()
    yield made
    assert made, "the last orders were not claimed"


def with_modem_up(play: Playbook) -> Playbook:
    play.feed(BearerReported(GPRS, PPP0))
    return play.skip()


def failed(trouble: ConnectFailure = ConnectFailure.OTHER) -> ConnectFailed:
    return ConnectFailed(LINK, ACCESS, trouble)


def notes(play: Playbook, bearer: str) -> list[str]:
    return [o.text for o in play.log if isinstance(o, LogNote) and o.part == bearer]


def tampering(play: Playbook) -> list[str]:
    """What the backend was sent as TamperDetectionActivated."""
    sent = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, SecurityHappened)]
    return [m.info for m in sent if m.kind == SecurityEvent.TAMPER.value]


# --- LAN and Wi-Fi are kept up --------------------------------------------------------------------------------------


def test_an_interface_that_is_down_is_brought_up_with_growing_pauses(play: Playbook) -> None:
    down = replace(NO_CARRIER, interface="wlan0", reason="no DHCP server answers")
    assert play >> BearerReported(WIFI, down) << SetBearer(WIFI, True)
    assert play >> BearerReported(WIFI, replace(down, reason="no carrier")), "an attempt is under way"
    for pause_s in (PAUSE_S, 2 * PAUSE_S, MOST_PAUSE_S, MOST_PAUSE_S):
        assert play.wait(pause_s - 1)
        assert play.wait(1) << SetBearer(WIFI, True)
    assert play >> BearerReported(WIFI, WLAN0)
    assert play.wait(3600)
    assert play >> BearerReported(WIFI, down) << SetBearer(WIFI, True)


def test_an_interface_that_is_away_is_left_alone(play: Playbook) -> None:
    assert play >> BearerReported(WIFI, NO_CARRIER) << SetBearer(WIFI, True)
    assert play >> BearerReported(WIFI, BearerStatus(reason="this machine has no interface 'wlan0'"))
    assert play.wait(3600)


# --- which one -------------------------------------------------------------------------------------------------------


def test_a_connection_that_is_there_at_the_start_stays(play: Playbook) -> None:
    assert play.site.bearer_in_use == LAN
    assert not [o for o in play.log if isinstance(o, Reconnect)]


def test_without_a_connection_the_first_bearer_is_used_at_once() -> None:
    play = Playbook(bearers=CONFIGS, online=False)
    assert play >> BearerReported(WIFI, WLAN0) << RECONNECT
    assert play.site.bearer_in_use == WIFI


def test_a_dearer_bearer_that_comes_up_changes_nothing(play: Playbook) -> None:
    assert play >> BearerReported(WIFI, WLAN0)
    assert play.wait(3600)
    assert play.site.bearer_in_use == LAN


def test_a_lost_carrier_is_left_at_once_for_the_cheapest_that_is_up(play: Playbook) -> None:
    with_modem_up(play).feed(BearerReported(WIFI, WLAN0))
    assert play >> BearerReported(LAN, NO_CARRIER) << RECONNECT << LAN_UP
    assert play.site.bearer_in_use == WIFI
    assert play >> BearerReported(WIFI, replace(NO_CARRIER, interface="wlan0")) << RECONNECT << SetBearer(WIFI, True)
    assert play.site.bearer_in_use == GPRS


def test_another_address_of_the_same_bearer_is_a_new_connection(play: Playbook) -> None:
    assert play >> BearerReported(LAN, replace(ETH0, address="10.0.0.9")) << RECONNECT


def test_another_address_interrupts_no_exchange_that_can_end(play: Playbook, street: Street) -> None:
    """The old address may still be good, and the exchange may be one that is billed."""
    street.is_open = True
    assert play >> BearerReported(LAN, replace(ETH0, address="10.0.0.9"))
    assert play.wait(5)
    street.is_open = False
    assert play.wait(1) << RECONNECT
    street.is_open = True
    assert play >> BearerReported(LAN, replace(ETH0, address="10.0.0.10"))
    assert play.wait(ADDRESS_S - 1)
    assert play.wait(1) << RECONNECT
    assert play >> BearerReported(LAN, ETH0) >> BearerReported(LAN, replace(ETH0, address="10.0.0.10"))
    assert play.wait(3600)
    assert play >> BearerReported(LAN, replace(ETH0, interface="eth1")) << RECONNECT


def test_the_only_bearer_is_used_again_when_it_is_back(play: Playbook) -> None:
    """The connection may have survived: it is opened again only if it has not."""
    assert play >> BearerReported(LAN, NO_CARRIER) << LAN_UP
    assert play >> BearerReported(LAN, ETH0)
    assert play >> BearerReported(LAN, NO_CARRIER) << LAN_UP >> LinkChanged(LINK, False)
    assert play >> BearerReported(LAN, ETH0) << RECONNECT


def test_a_bearer_over_which_the_backend_is_silent_is_demoted(play: Playbook) -> None:
    """The link is lost, over the modem the backend is reached, and over LAN it is not."""
    with_modem_up(play)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << RECONNECT
    assert play.site.bearer_in_use == GPRS
    assert "the backend cannot be reached over it: demoted" in notes(play, LAN)


def test_a_backend_that_ends_between_the_looks_is_no_reason_to_leave(play: Playbook) -> None:
    """Its connections are closed before its port is: a look over the modem still opens it, one over LAN does not."""
    with_modem_up(play)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, False)
    assert play >> failed() << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, True)
    assert play.site.bearer_in_use == LAN


def test_a_connection_in_between_ends_the_search_for_a_way_out(play: Playbook) -> None:
    with_modem_up(play)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, False) << LOOK_OVER_GPRS
    assert play >> Connected(LINK, ACCESS) >> LinkChanged(LINK, True)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, True)
    assert play.site.bearer_in_use == LAN


def test_a_look_in_vain_of_long_ago_proves_nothing(play: Playbook) -> None:
    with_modem_up(play)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, False) << LOOK_OVER_GPRS
    assert play.wait(REACHED_S + 1) >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play.site.bearer_in_use == LAN


def test_a_backend_that_was_down_for_many_attempts_and_starts_again_is_no_reason_to_leave(play: Playbook) -> None:
    """It starts between the last attempt over LAN and the look over the modem: it can be reached over both."""
    with_modem_up(play)
    for _ in range(5):
        assert play >> failed() << LOOK_OVER_GPRS
        assert play >> BearerProbed(GPRS, False)
    assert play >> failed() << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, True)
    assert play.site.bearer_in_use == LAN


def test_a_backend_that_starts_again_is_waited_for(play: Playbook) -> None:
    with_modem_up(play)
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play >> failed() << LOOK_OVER_GPRS
    assert play >> BearerProbed(GPRS, True) << LOOK_OVER_LAN
    assert play >> BearerProbed(LAN, True) >> Connected(LINK, ACCESS)
    assert play.site.bearer_in_use == LAN


def test_every_other_bearer_is_looked_at_in_turn(play: Playbook) -> None:
    with_modem_up(play).feed(BearerReported(WIFI, WLAN0))
    for look, name in ((ProbeBearer(WIFI, "wlan0"), WIFI), (LOOK_OVER_GPRS, GPRS), (ProbeBearer(WIFI, "wlan0"), WIFI)):
        assert play.wait(10) >> failed() << look
        assert play >> BearerProbed(name, False)


def test_a_single_failed_attempt_between_successes_is_none(play: Playbook) -> None:
    with_modem_up(play)
    for _ in range(5):
        assert play >> failed() << LOOK_OVER_GPRS
        assert play >> Connected(LINK, ACCESS) >> BearerProbed(GPRS, True)
    assert play.site.bearer_in_use == LAN


def test_a_backend_that_refuses_the_station_was_reached(play: Playbook) -> None:
    with_modem_up(play)
    for _ in range(5):
        assert play >> failed(ConnectFailure.CREDENTIALS)
    assert play.site.bearer_in_use == LAN


def test_without_another_bearer_none_is_demoted(play: Playbook) -> None:
    for _ in range(5):
        assert play >> failed()
    assert play.site.bearer_in_use == LAN


def test_a_backend_that_is_down_everywhere_changes_nothing(play: Playbook) -> None:
    with_modem_up(play)
    for _ in range(5):
        assert play >> failed() << LOOK_OVER_GPRS
        assert play >> BearerProbed(GPRS, False)
    assert play.site.bearer_in_use == LAN
    assert play.site.bearers[GPRS].penalties == 0, "it is not the modem's fault"


# --- back to a better one --------------------------------------------------------------------------------------------


def on_gprs(play: Playbook) -> Playbook:
    """The cable was pulled and is back: the modem carries the link, LAN is up since this moment."""
    with_modem_up(play).feed(BearerReported(LAN, NO_CARRIER))
    play.feed(Connected(LINK, ACCESS))
    play.feed(LinkChanged(LINK, True))
    play.feed(BearerReported(LAN, ETH0))
    return play.skip()


def test_a_better_bearer_is_taken_back_when_it_has_proved_itself(play: Playbook) -> None:
    assert on_gprs(play).wait(PROVEN_S - 1)
    play.wait(1)
    assert play << ProbeBearer(LAN, "eth0")
    assert play >> BearerProbed(LAN, True) << RECONNECT
    assert play.site.bearer_in_use == LAN


def test_a_carrier_that_flaps_is_not_taken_back(play: Playbook) -> None:
    on_gprs(play)
    for _ in range(10):
        assert play.wait(PROVEN_S - 10) >> BearerReported(LAN, NO_CARRIER) << LAN_UP >> BearerReported(LAN, ETH0)
    assert play.site.bearer_in_use == GPRS


def test_never_during_an_exchange_with_the_backend(play: Playbook, street: Street) -> None:
    on_gprs(play)
    street.is_open = True
    assert play.wait(PROVEN_S + 600)
    street.is_open = False
    assert play.wait(1) << ProbeBearer(LAN, "eth0")
    street.is_open = True
    assert play >> BearerProbed(LAN, True)
    assert play.wait(5)
    assert play.site.bearer_in_use == GPRS
    street.is_open = False
    assert play.wait(1) << RECONNECT
    assert play.site.bearer_in_use == LAN


def test_an_exchange_that_is_open_too_long_needs_a_new_probe(play: Playbook, street: Street) -> None:
    on_gprs(play).wait(PROVEN_S).skip()
    street.is_open = True
    assert play >> BearerProbed(LAN, True)
    assert play.wait(60)
    street.is_open = False
    assert play.wait(1) << ProbeBearer(LAN, "eth0")


def test_a_network_that_leads_nowhere_costs_the_link_nothing(play: Playbook) -> None:
    """The carrier is there, the backend is not behind it: it is looked for with growing pauses beside the link."""
    assert on_gprs(play).wait(PROVEN_S) << ProbeBearer(LAN, "eth0")
    for pause_s in (PENALTY_S, 2 * PENALTY_S):
        assert play >> BearerProbed(LAN, False)
        assert play.wait(pause_s - 1)
        assert play.wait(1) << ProbeBearer(LAN, "eth0")
    assert play.site.bearer_in_use == GPRS


def test_a_probe_without_an_answer_is_repeated(play: Playbook) -> None:
    assert on_gprs(play).wait(PROVEN_S) << ProbeBearer(LAN, "eth0")
    assert play.wait(60) << ProbeBearer(LAN, "eth0")


def test_the_link_returns_six_times_an_hour_at_most(play: Playbook) -> None:
    on_gprs(play)
    for _ in range(6):
        assert play.wait(PROVEN_S) << ProbeBearer(LAN, "eth0")
        assert play >> BearerProbed(LAN, True) << RECONNECT
        assert play >> BearerReported(LAN, NO_CARRIER) << RECONNECT << LAN_UP
        assert play >> BearerReported(LAN, ETH0)
    assert play.wait(3600 - 6 * PROVEN_S)
    assert play.wait(PROVEN_S) << ProbeBearer(LAN, "eth0")


def test_a_link_that_lasts_lifts_the_penalties(play: Playbook) -> None:
    with_modem_up(play)
    play.feed(failed())
    play.feed(BearerProbed(GPRS, True))
    play.feed(BearerProbed(LAN, False))
    play.feed(BearerProbed(GPRS, True))
    play.feed(Connected(LINK, ACCESS))
    play.skip()
    assert play.site.bearers[LAN].penalties == 1
    assert play.wait(PENALTY_S) << ProbeBearer(LAN, "eth0")
    assert play >> BearerProbed(LAN, True) << RECONNECT
    assert play >> LinkChanged(LINK, True)
    assert play.wait(PROVEN_S) >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play.site.bearers[LAN].penalties == 0


@pytest.mark.parametrize("trouble", [ConnectFailure.CREDENTIALS, ConnectFailure.OTHER])
def test_a_better_bearer_is_taken_back_while_no_connection_comes_about(play: Playbook, trouble: ConnectFailure) -> None:
    """The backend refuses the station, or is down behind its port: each attempt over the modem costs data."""
    on_gprs(play)
    play.feed(LinkChanged(LINK, False))
    play.feed(failed(trouble))
    play.skip()
    assert play.wait(PROVEN_S) << ProbeBearer(LAN, "eth0")
    assert play >> BearerProbed(LAN, True) << RECONNECT
    assert play.site.bearer_in_use == LAN


def test_a_link_that_lasts_over_the_modem_proves_nothing_of_the_lan(play: Playbook) -> None:
    """The link goes back to LAN: it is not LAN that has lasted."""
    with_modem_up(play)
    play.feed(failed())
    play.feed(BearerProbed(GPRS, True))
    play.feed(BearerProbed(LAN, False))
    play.feed(BearerProbed(GPRS, True))
    play.feed(Connected(LINK, ACCESS))
    play.feed(LinkChanged(LINK, True))
    play.skip()
    assert play.wait(PENALTY_S) << ProbeBearer(LAN, "eth0")
    assert play >> BearerProbed(LAN, True) << RECONNECT
    assert play >> LinkChanged(LINK, False) << LOOK_OVER_GPRS
    assert play.site.bearers[LAN].penalties == 1


# --- the modem -------------------------------------------------------------------------------------------------------


def test_a_modem_dials_as_soon_as_it_is_there(play: Playbook) -> None:
    assert play >> BearerReported(GPRS, MODEM) << Like(Persist, kind="sim") << SetBearer(GPRS, True)
    assert play >> BearerReported(GPRS, PPP0) >> BearerSet(GPRS)
    assert play.wait(86_400)


def dialled(play: Playbook, status: BearerStatus = MODEM) -> Playbook:
    play.feed(BearerReported(GPRS, status))
    return play.skip()


def test_the_ladder_of_recovery_with_its_pauses(play: Playbook) -> None:
    dialled(play)
    for pause_s, step in (*LADDER, (LAST_PAUSE_S, ResetStep.POWER_CYCLE), (LAST_PAUSE_S, ResetStep.POWER_CYCLE)):
        assert play >> BearerSet(GPRS)
        assert play.wait(pause_s - 1)
        assert play.wait(1) << ResetBearer(GPRS, step) << SetBearer(GPRS, True)


def test_what_is_reported_while_it_dials_does_not_hurry_it(play: Playbook) -> None:
    dialled(play)
    assert play.wait(30) >> BearerReported(GPRS, replace(MODEM, registration=Registration.SEARCHING))
    assert play.wait(100) >> BearerReported(GPRS, replace(MODEM, signal_dbm=-95))
    assert play >> BearerSet(GPRS)
    assert play.wait(10) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)


def test_a_modem_that_never_answers_the_order_is_recovered_too(play: Playbook) -> None:
    dialled(play)
    assert play.wait(DIAL_S + LADDER[0][0]) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)


def test_a_connection_that_breaks_is_dialled_again_and_pauses_only_if_it_never_lasts(play: Playbook) -> None:
    dialled(play) >> BearerReported(GPRS, PPP0) >> BearerSet(GPRS)
    assert play.wait(600) >> BearerReported(GPRS, MODEM) << SetBearer(GPRS, True)
    assert play >> BearerSet(GPRS)
    assert play.wait(10) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)
    assert play >> BearerReported(GPRS, PPP0) >> BearerSet(GPRS)
    assert play.wait(60) >> BearerReported(GPRS, MODEM)
    assert play.wait(20) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)
    assert play >> BearerReported(GPRS, PPP0) >> BearerSet(GPRS)
    assert play.wait(PROVEN_S) >> BearerReported(GPRS, MODEM) << SetBearer(GPRS, True)


def test_a_connection_that_breaks_at_once_each_time_has_growing_pauses(play: Playbook) -> None:
    dialled(play)
    for pause_s, step in LADDER:
        assert play >> BearerReported(GPRS, PPP0) >> BearerSet(GPRS) >> BearerReported(GPRS, MODEM)
        assert play.wait(pause_s - 1)
        assert play.wait(1) << ResetBearer(GPRS, step) << SetBearer(GPRS, True)


def test_a_network_that_refuses_the_sim_is_not_hammered(play: Playbook) -> None:
    denied = replace(MODEM, registration=Registration.DENIED)
    dialled(play, denied)
    assert play >> BearerSet(GPRS)
    assert play.wait(REFUSED_PAUSE_S - 1)
    assert play.wait(1) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)


def test_a_modem_that_went_away_in_its_reset_dials_when_it_is_back(play: Playbook) -> None:
    dialled(play) >> BearerSet(GPRS)
    assert play.wait(10) << ResetBearer(GPRS, ResetStep.REATTACH) << SetBearer(GPRS, True)
    assert play >> BearerReported(GPRS, BearerStatus(reason="no such line"))
    assert play.wait(7200), "a device that is not there takes no orders"
    assert play >> BearerReported(GPRS, MODEM) << SetBearer(GPRS, True)


def test_a_weak_signal_is_a_fault_until_it_is_good_again(play: Playbook) -> None:
    dialled(play, replace(MODEM, signal_dbm=-107))
    play.wait(SETTLED_S - 1)
    assert play.evse().faults == set()
    play.wait(1)
    assert play.evse().faults == {Fault.WEAK_SIGNAL}
    for signal_dbm, faults in ((-101, {Fault.WEAK_SIGNAL}), (None, {Fault.WEAK_SIGNAL}), (-95, set())):
        play.feed(BearerReported(GPRS, replace(MODEM, signal_dbm=signal_dbm)))
        assert play.evse().faults == {Fault.WEAK_SIGNAL}
        play.wait(SETTLED_S)
        assert play.evse().faults == faults
    play.skip()


def test_a_signal_that_comes_and_goes_is_no_fault(play: Playbook) -> None:
    dialled(play)
    for _ in range(20):
        for signal_dbm in (-107, -95):
            play.feed(BearerReported(GPRS, replace(MODEM, signal_dbm=signal_dbm)))
            play.skip().wait(SETTLED_S / 2)
            assert play.evse().faults == set()
    play.skip()


def test_a_signal_that_becomes_weak_step_by_step_is_reported(play: Playbook) -> None:
    before = replace(MODEM, signal_dbm=WEAK_SIGNAL_DBM + 1)
    assert replace(MODEM, signal_dbm=WEAK_SIGNAL_DBM).differs_from(before)
    assert not replace(MODEM, signal_dbm=WEAK_SIGNAL_DBM + 2).differs_from(before)
    assert replace(MODEM, signal_dbm=GOOD_SIGNAL_DBM).differs_from(replace(MODEM, signal_dbm=GOOD_SIGNAL_DBM - 1))


# --- the SIM ---------------------------------------------------------------------------------------------------------

LOCKED = replace(MODEM, sim=SimState.PIN_REQUIRED, iccid="", imsi="", registration=Registration.UNKNOWN)
UNLOCK, UNLOCK_OTHER = UnlockSim(GPRS, "mark"), UnlockSim(GPRS, "other")
ENDED = SimUnlockEnded(GPRS, is_presented=True)
TRIED = Like(Persist, kind="sim_pin", key="mark")
USED_OTHER = Like(Persist, kind="sim_pin", key="other")
ACCEPTED_PIN = Like(Persist, kind="sim_pin", key="mark", value=None)
NUMBERS = Like(Persist, kind="sim", key=GPRS)
REFUSED_BY_SIM = replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)
MODEM_2 = "bearer[3]"


def test_a_pin_is_on_disk_before_the_sim_gets_it_and_forgotten_when_it_was_right(play: Playbook) -> None:
    assert play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    attempt = {"bearer": GPRS, "tries": 3, "uses": 1, "refused": False, "confirmed": ""}
    assert play.store["sim_pin"]["mark"] == {"attempts": [attempt]}
    assert play >> BearerReported(GPRS, MODEM) << NUMBERS << SetBearer(GPRS, True)
    assert play.store["sim_pin"], "while the order is out, the SIM may get the PIN yet"
    assert play >> ENDED << ACCEPTED_PIN
    assert not play.store.get("sim_pin")
    assert play.store["sim"][GPRS] == {"iccid": MODEM.iccid, "imsi": MODEM.imsi}


def test_a_refused_pin_is_never_tried_again_by_itself(play: Playbook) -> None:
    assert play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    assert play >> BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)) << TRIED
    assert play.evse().faults == {Fault.SIM_UNUSABLE}
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=2))
    assert play.wait(7 * 86_400), "no step of the ladder either"
    play.restart(new_boot=True)
    assert play.skip() >> BearerReported(GPRS, replace(LOCKED, pin_tries=2))
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=None))
    assert any("correct pin" in said for said in notes(play, GPRS))


@pytest.mark.parametrize(("counted", "is_tried"), [(2, True), (3, False), (None, False)])
def test_the_right_sim_after_a_wrong_one_gets_the_pin(play: Playbook, counted: int | None, is_tried: bool) -> None:
    """A SIM that has refused a PIN does not get its tries back; a modem that does not count proves nothing."""
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=counted)))
    play.skip().restart(new_boot=True).skip()
    play.feed(BearerReported(GPRS, LOCKED))
    assert (UNLOCK in play.unclaimed) is is_tried
    play.skip()


def test_another_pin_in_the_station_file_is_tried(play: Playbook) -> None:
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play >> BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)) << TRIED
    corrected = Playbook(bearers=(*CONFIGS[:2], replace(CONFIGS[2], pin_mark="other")), store=play.store)
    assert corrected >> BearerReported(GPRS, replace(LOCKED, pin_tries=2)) << USED_OTHER << TRIED << UNLOCK_OTHER


def test_a_refused_pin_stays_refused_when_its_table_moves(play: Playbook) -> None:
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play >> BearerReported(GPRS, REFUSED_BY_SIM) << TRIED
    moved = Playbook(bearers=(*CONFIGS[:2], CONFIGS[0], replace(CONFIGS[2], name=MODEM_2)), store=play.store)
    assert moved >> BearerReported(MODEM_2, replace(LOCKED, pin_tries=2))
    assert moved >> BearerReported(MODEM_2, replace(LOCKED, pin_tries=None))
    assert moved.evse().faults == {Fault.SIM_UNUSABLE}


@pytest.mark.parametrize("tries", [3, None])
def test_two_tables_with_one_pin_use_it_in_turn(tries: int | None) -> None:
    """Two lines of one modem: a wrong PIN costs one try, a right one is used for each SIM."""
    configs = (*CONFIGS, replace(CONFIGS[2], name=MODEM_2))
    locked = replace(LOCKED, pin_tries=tries)
    wrong = Playbook(bearers=configs) >> BearerReported(GPRS, locked) << TRIED << UNLOCK
    assert wrong >> BearerReported(MODEM_2, locked)
    assert wrong >> BearerReported(GPRS, REFUSED_BY_SIM) << TRIED >> SimUnlockEnded(GPRS, True)
    assert wrong.wait(7 * 86_400)
    right = Playbook(bearers=configs) >> BearerReported(GPRS, locked) << TRIED << UNLOCK
    assert right >> BearerReported(MODEM_2, locked)
    assert right >> BearerReported(GPRS, MODEM) << NUMBERS << SetBearer(GPRS, True) >> ENDED << ACCEPTED_PIN
    right.feed(BearerReported(GPRS, PPP0))
    right.skip().wait(RETRY_S)
    assert right << TRIED << UnlockSim(MODEM_2, "mark")


def test_an_order_that_did_not_reach_the_sim_is_given_again(play: Playbook) -> None:
    """The modem was enumerated again by the kernel in between."""
    unknown = replace(LOCKED, pin_tries=None)
    assert play >> BearerReported(GPRS, unknown) << TRIED << UNLOCK
    assert play >> SimUnlockEnded(GPRS, False) << ACCEPTED_PIN
    assert play >> BearerReported(GPRS, BearerStatus())
    assert play >> BearerReported(GPRS, unknown) << TRIED << UNLOCK
    assert play >> SimUnlockEnded(GPRS, False) << ACCEPTED_PIN
    play.wait(RETRY_S)
    assert play << TRIED << UNLOCK
    assert play.evse().faults == set()
    play.skip()


@pytest.mark.parametrize(("tries", "uses"), [(3, 2), (2, 1), (None, 1)], ids=["cost nothing", "cost a try", "unknown"])
def test_an_attempt_without_an_outcome_is_repeated_once_if_it_cost_no_try(
    play: Playbook, tries: int | None, uses: int
) -> None:
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=tries and 3)) << TRIED << UNLOCK
    for _ in range(5):
        play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=tries)))
        play.feed(SimUnlockEnded(GPRS, True))
        play.skip().wait(RETRY_S)
        play.skip()
    assert play.log.count(UNLOCK) == uses
    assert play.evse().faults == {Fault.SIM_UNUSABLE}
    play.skip()
    play.restart(new_boot=True).skip()
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=tries)))
    assert UNLOCK not in play.unclaimed
    play.skip()


def test_a_sim_that_a_person_unlocked_does_not_make_a_refused_pin_right(play: Playbook) -> None:
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play >> BearerReported(GPRS, REFUSED_BY_SIM) << TRIED
    play.feed(BearerReported(GPRS, MODEM))
    assert play.skip().evse().faults == set()
    assert play >> BearerReported(GPRS, LOCKED)
    assert play.evse().faults == {Fault.SIM_UNUSABLE}
    play.restart(new_boot=True).skip()
    assert play >> BearerReported(GPRS, LOCKED)


def test_a_person_who_confirms_a_refused_pin_gets_one_more_use(play: Playbook) -> None:
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play >> BearerReported(GPRS, REFUSED_BY_SIM) << TRIED
    confirmed = (*CONFIGS[:2], replace(CONFIGS[2], pin_confirmed="the PUK was entered"))
    unknown = replace(LOCKED, pin_tries=None)
    again = Playbook(bearers=confirmed, store=play.store)
    assert again >> BearerReported(GPRS, unknown) << TRIED << UNLOCK
    assert again >> BearerReported(GPRS, REFUSED_BY_SIM) << TRIED
    for _ in range(2):
        again.restart(new_boot=True).skip()
        assert again >> BearerReported(GPRS, replace(LOCKED, pin_tries=2)) >> BearerReported(GPRS, unknown)


def test_a_pin_that_an_earlier_program_stored_as_confirmed_is_not_used_for_its_new_mark() -> None:
    """That program kept a PIN under another mark when a person had confirmed it."""
    used = {"bearer": GPRS, "tries": 2, "uses": 1, "refused": True}
    store = {"sim_pin": {"mark": used, "former": {**used, "confirmed": "today"}}}
    config = replace(CONFIGS[2], pin_confirmed="today", former_pin_mark="former")
    play = Playbook(bearers=(*CONFIGS[:2], config), store=store)
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=2))
    attempt = {"bearer": GPRS, "tries": 2, "uses": 2, "refused": True, "confirmed": "today"}
    assert play.store["sim_pin"] == {"mark": {"attempts": [attempt]}}
    play.restart().skip()
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=2))
    newly = Playbook(bearers=(*CONFIGS[:2], replace(config, pin_confirmed="tomorrow")), store=play.store)
    assert newly >> BearerReported(GPRS, replace(LOCKED, pin_tries=2)) << TRIED << UNLOCK


def test_a_confirmation_is_good_for_one_pin() -> None:
    """It is left in the file, and the next PIN is a guess again."""
    used = {"bearer": GPRS, "tries": None, "uses": 1, "refused": True}
    store = {"sim_pin": {"first": used, "second": {**used, "confirmed": "today"}}}
    unknown = BearerReported(GPRS, replace(LOCKED, pin_tries=None))
    for text, is_tried in (("today", False), ("tomorrow", True)):
        guess = replace(CONFIGS[2], pin_confirmed=text)
        play = Playbook(bearers=(*CONFIGS[:2], guess), store=store)
        play.feed(unknown)
        assert (UNLOCK in play.unclaimed) is is_tried


def test_without_known_tries_two_wrong_pins_of_a_person_are_enough() -> None:
    used = {"bearer": GPRS, "tries": None, "uses": 1, "refused": True}
    unknown = replace(LOCKED, pin_tries=None)
    play = Playbook(bearers=CONFIGS, store={"sim_pin": {"first": used, "second": used}})
    assert play >> BearerReported(GPRS, unknown)
    play.feed(BearerReported(GPRS, MODEM))  # a person has unlocked it
    play.skip()
    assert play >> BearerReported(GPRS, unknown) << TRIED << UNLOCK


def test_a_sim_that_a_person_has_locked_gets_its_pin_after_the_puk(play: Playbook) -> None:
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PUK_REQUIRED)))
    assert play.skip() >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK


@pytest.mark.parametrize(
    ("tries", "is_tried"), [(3, True), (2, False), (None, False)], ids=["cost nothing", "cost a try", "unknown"]
)
def test_after_a_crash_in_the_attempt_the_tries_decide(play: Playbook, tries: int | None, is_tried: bool) -> None:
    play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
    play.restart(new_boot=True).skip()
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=tries)))
    assert (UNLOCK in play.unclaimed) is is_tried
    play.skip()


def test_the_last_try_is_left_to_a_person(play: Playbook) -> None:
    assert play >> BearerReported(GPRS, replace(LOCKED, pin_tries=1))
    assert play.evse().faults == {Fault.SIM_UNUSABLE}


def test_a_damaged_record_needs_a_sim_with_all_tries() -> None:
    for tries, is_tried in ((2, False), (None, False), (3, True)):
        play = Playbook(bearers=CONFIGS, store={"sim_pin": {"mark": {"tries": "x"}}})
        play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=tries)))
        assert (UNLOCK in play.unclaimed) is is_tried


def test_a_sim_that_was_reset_with_its_modem_gets_its_pin_again(play: Playbook) -> None:
    for _ in range(3):
        assert play >> BearerReported(GPRS, LOCKED) << TRIED << UNLOCK
        play.feed(BearerReported(GPRS, MODEM))
        play.feed(ENDED)
        play.skip()


@pytest.mark.parametrize("sim", [SimState.PUK_REQUIRED, SimState.MISSING, SimState.FAILED])
def test_a_sim_that_cannot_be_used_is_a_fault_that_stops_no_session(play: Playbook, sim: SimState) -> None:
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=sim)))
    assert UNLOCK not in play.unclaimed
    assert play.skip().evse().faults == {Fault.SIM_UNUSABLE}
    play.feed(BearerReported(GPRS, MODEM))
    assert play.skip().evse().faults == set()


def test_another_sim_than_that_of_the_station_file_is_reported_and_used(play: Playbook) -> None:
    strange = replace(MODEM, iccid="8949020000000000042")
    play.feed(BearerReported(GPRS, strange))
    assert SetBearer(GPRS, True) in play.log
    assert play.skip().evse().faults == {Fault.SIM_EXCHANGED}
    assert any("its ICCID ends with 0042" in said for said in notes(play, GPRS))
    assert tampering(play) == [f"{GPRS}: another SIM is in it: its ICCID ends with 0042"]
    play.feed(BearerReported(GPRS, replace(strange, signal_dbm=-70)))
    assert len(tampering(play)) == 1, "the same SIM is no news"
    play.feed(BearerReported(GPRS, replace(MODEM, iccid="8935201000000000017")))  # without its check digit
    assert play.skip().evse().faults == set()
