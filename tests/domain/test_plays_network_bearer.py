"""A network profile that names its bearer and an APN (OCPP 2.x B09): it is used at its turn, over that bearer alone,
and taken back when it does not lead to the backend."""

from __future__ import annotations

import json
from typing import Any

from agent.domain.backend_connection import BackendConfig, BearerDemand, ConnectFailure
from agent.domain.bearers import BearerConfig
from agent.domain.blocks.backend_connection import INTERFACE_COMES_UP_S, MODEM_COMES_UP_S
from agent.domain.events import BearerReported, Connected, ConnectFailed, RequestReceived, SimUnlockEnded
from agent.domain.orders import ConfigureBearer, Persist, ProbeBearer, Reconnect, Response, SetBearer, UnlockSim
from agent.domain.requests import SetNetworkProfileRequest, SetVariablesRequest
from agent.model.bearer import ApnAccess, BearerKind, BearerState, BearerStatus, Registration, SimState
from agent.model.fastclass import replace
from agent.model.types import Fault
from tests.domain.playbook import LINK, Like, Playbook

LAN, GPRS = "bearer[0]", "bearer[1]"
BEARERS = (BearerConfig(LAN, BearerKind.LAN), BearerConfig(GPRS, BearerKind.GPRS, "", "file's"))
ETH0 = BearerStatus(BearerState.UP, "", "eth0", "10.0.0.2")
MODEM = BearerStatus(BearerState.DOWN, "not connected", "", "", SimState.READY, 3, "8935", "2700")
PPP0 = replace(MODEM, state=BearerState.UP, reason="", interface="ppp0", address="10.9.0.7")
LOCKED = replace(MODEM, sim=SimState.PIN_REQUIRED, iccid="", imsi="")
APN = ApnAccess("new.m2m", "user", "secret", "chap", "0042", "new mark")
DEMAND = BearerDemand("Wireless0", APN)
ATTEMPTS = 3
RECONNECTED = Reconnect(LINK, anyway=True)


def station(**more: Any) -> Playbook:
    """LAN carries the link, the modem is up."""
    play = Playbook(
        backends={LINK: BackendConfig("ws://backend.example", 0)}, online=False,
        settings={"network_attempts": ATTEMPTS}, **{"bearers": BEARERS, **more},
    )  # fmt: skip
    play.feed(BearerReported(LAN, ETH0))
    play.feed(BearerReported(GPRS, PPP0))
    return connect(play)


def connect(play: Playbook) -> Playbook:
    play.feed(Connected(LINK, play.site.network_profiles[LINK].profile_in_turn))
    return play.skip()


def fail(play: Playbook, times: int = 1) -> Playbook:
    for _ in range(times):
        play.skip().feed(
            ConnectFailed(LINK, play.site.network_profiles[LINK].profile_in_turn, ConnectFailure.OTHER, "")
        )
    return play


def changed(demand: BearerDemand = DEMAND, priority: str = "2,1", **more: Any) -> Playbook:
    """The backend has set slot 2, asked for it, and the station has started again."""
    return change_profile(station(**more), demand, priority)


def change_profile(play: Playbook, demand: BearerDemand = DEMAND, priority: str = "2,1") -> Playbook:
    play.feed(RequestReceived(LINK, "p", SetNetworkProfileRequest(2, "ws://new.example", 0, demand)))
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest({"network_priority": priority})))
    json.dumps(play.store["access"])
    play.skip().restart(5, online=False)
    return play


def orders(play: Playbook, kind: type[Any]) -> list[Any]:
    return [o for o in play.log if isinstance(o, kind)]


def test_nothing_changes_before_the_profile_has_its_turn() -> None:
    play = station()
    play.feed(RequestReceived(LINK, "p", SetNetworkProfileRequest(2, "ws://new.example", 0, DEMAND)))
    play.skip()
    assert (play.site.bearer_demanded, play.site.bearer_in_use) == ("", LAN)
    assert orders(play, ConfigureBearer) == []


def test_an_apn_is_rejected_where_the_driver_takes_it_from_elsewhere() -> None:
    """Accepted, it would never come into force: the modem would go on with the APN of its driver."""
    play = station()
    request = SetNetworkProfileRequest(2, "ws://new.example", 0, DEMAND)
    for takes_apn, answer in ((None, "Accepted"), (False, "Rejected"), (None, "Rejected"), (True, "Accepted")):
        status = PPP0 if takes_apn is not None else BearerStatus(reason="it is away")
        play.feed(BearerReported(GPRS, status, takes_apn))
        play.feed(RequestReceived(LINK, "p", request))
        assert orders(play, Response)[-1].status == answer
    play.feed(BearerReported(GPRS, PPP0, takes_apn=False))
    play.feed(RequestReceived(LINK, "p", SetNetworkProfileRequest(2, "ws://new.example", 0, BearerDemand("Wireless0"))))
    assert orders(play, Response)[-1].status == "Accepted", "without an APN it may be demanded"


def test_the_profile_in_turn_has_its_bearer_and_its_apn() -> None:
    play = changed()
    assert ConfigureBearer(GPRS, APN) in play.log
    assert (play.site.bearer_demanded, play.site.bearer_in_use) == (GPRS, GPRS)
    play.feed(BearerReported(LAN, ETH0))
    assert play.skip().site.bearer_in_use == GPRS, "no other bearer is used"
    play.feed(BearerReported(GPRS, MODEM))
    play.skip()
    assert play >> BearerReported(GPRS, PPP0) << RECONNECTED
    connect(play)
    assert play.site.network_profiles[LINK].worked.bearer == DEMAND
    assert "secret" not in repr(play.site.network_profiles[LINK]) + repr(APN), "a log may show these"
    assert not {"0042", APN.pin_mark} & set(repr(APN).split("'")), "four digits are soon found from their check sum"


def test_a_device_that_is_opened_gets_the_access_before_it_dials_or_gets_a_pin() -> None:
    play = changed().skip()
    for status, next_order in ((MODEM, SetBearer), (BearerStatus(reason="no such line"), None), (LOCKED, UnlockSim)):
        before = len(play.log)
        play.feed(BearerReported(GPRS, status))
        given = [type(o) for o in play.skip().log[before:]]
        assert (ConfigureBearer in given) is (next_order is not None)
        if next_order is not None:
            assert given.index(ConfigureBearer) < given.index(next_order)


def test_a_bearer_that_still_dials_costs_no_attempt() -> None:
    play = changed()
    play.feed(BearerReported(GPRS, MODEM))
    play.feed(BearerReported(LAN, ETH0))
    fail(play, 10)
    assert play.site.network_profiles[LINK].profile_in_turn.slot == 2
    assert orders(play, ProbeBearer) == [], "no way out is looked for over another bearer"


def test_an_apn_that_leads_nowhere_is_taken_back() -> None:
    """Its slot was the only one to use, so it is given up, and not tried again at the next start."""
    play = changed(priority="2")
    play.feed(BearerReported(LAN, ETH0))
    play.feed(BearerReported(GPRS, MODEM))
    play.skip().t_s += MODEM_COMES_UP_S
    before = len(play.log)
    fail(play, ATTEMPTS)
    assert ConfigureBearer(GPRS, None) in play.log[before:]
    assert SetBearer(GPRS, True) in play.log[before:], "the modem dials with the former APN at once"
    assert RECONNECTED in play.log[before:]
    assert (play.skip().site.bearer_demanded, play.site.bearer_in_use) == ("", LAN)
    connect(play)
    play.restart(5, online=False)
    assert play.skip().site.bearer_demanded == "", "after the next start too"


def test_an_interface_without_carrier_is_not_waited_for_as_long_as_a_modem() -> None:
    play = changed(BearerDemand("Wired0"))
    play.feed(BearerReported(GPRS, PPP0))
    play.feed(BearerReported(LAN, BearerStatus(BearerState.DOWN, "no carrier", "eth0")))
    play.skip().t_s += INTERFACE_COMES_UP_S
    fail(play, ATTEMPTS)
    assert (play.skip().site.bearer_demanded, play.site.bearer_in_use) == ("", GPRS)


def test_a_backend_that_does_not_answer_behind_the_new_apn_is_left_after_the_attempts() -> None:
    play = changed()
    play.feed(BearerReported(LAN, ETH0))
    play.feed(BearerReported(GPRS, PPP0))
    fail(play, ATTEMPTS - 1)
    assert play.skip().site.bearer_demanded == GPRS
    fail(play)
    assert play.skip().site.bearer_demanded == ""
    assert play.site.bearer_in_use == LAN


def test_an_interface_alone_leaves_the_apn_as_it_is() -> None:
    play = changed(BearerDemand("Wireless0"))
    assert play.site.bearer_demanded == GPRS
    assert orders(play, ConfigureBearer) == []


def refuse_pin(play: Playbook, tries: int) -> Playbook:
    """The SIM has refused the PIN that it got."""
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=tries)))
    play.feed(SimUnlockEnded(GPRS, is_presented=True))
    return play.skip()


def test_the_pin_of_a_profile_is_used_once() -> None:
    play = changed(bearers=(BEARERS[0], BearerConfig(GPRS, BearerKind.GPRS)))
    play.feed(BearerReported(GPRS, LOCKED))
    assert orders(play, UnlockSim) == [UnlockSim(GPRS, APN.pin_mark)]
    assert Like(Persist, kind="sim_pin", key="new mark") in play.log
    assert Fault.SIM_UNUSABLE in refuse_pin(play, 2).evse().faults
    for _ in range(2):
        play.restart(3600, online=False)
        play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
        play.skip()
    assert orders(play, UnlockSim) == [UnlockSim(GPRS, APN.pin_mark)], "also after the next starts"


def test_a_profile_with_the_refused_pin_of_the_file_gets_no_second_try_by_its_confirmation() -> None:
    """A person vouches once. Which of the two has the PIN does not count."""
    mine = (BEARERS[0], replace(BEARERS[1], pin_mark=APN.pin_mark, pin_confirmed="today"))
    play = station(bearers=mine)
    play.feed(BearerReported(GPRS, LOCKED))
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)))
    play.feed(SimUnlockEnded(GPRS, is_presented=True))
    change_profile(play)
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
    assert play.skip().site.bearers[GPRS].access == APN
    assert orders(play, UnlockSim) == [UnlockSim(GPRS, APN.pin_mark)]


def test_the_confirmation_of_the_file_s_pin_does_not_vouch_for_that_of_a_profile() -> None:
    play = station(bearers=(BEARERS[0], replace(BEARERS[1], pin_confirmed="today")))
    for name in ("first", "second"):  # a SIM whose tries are not known has lost two
        play.store.setdefault("sim_pin", {})[name] = {"bearer": GPRS, "tries": None, "uses": 1, "refused": True}
    change_profile(play)
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=None)))
    assert play.skip().site.bearers[GPRS].access == APN
    assert orders(play, UnlockSim) == [UnlockSim(GPRS, "file's")]


def test_a_refusal_that_comes_after_a_change_of_the_profile_is_that_of_the_pin_presented() -> None:
    play = changed()
    play.feed(BearerReported(GPRS, LOCKED))
    play.skip().site.bearers[GPRS].access = None
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)))
    play.feed(SimUnlockEnded(GPRS, is_presented=True))
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2, sim=SimState.PIN_REFUSED, reason="again")))
    assert set(play.store["sim_pin"]) == {APN.pin_mark}
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
    assert orders(play.skip(), UnlockSim) == [UnlockSim(GPRS, APN.pin_mark), UnlockSim(GPRS, "file's")]
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PUK_REQUIRED, pin_tries=0)))
    assert all(one["refused"] for kept in play.store["sim_pin"].values() for one in kept["attempts"])


def test_a_wrong_pin_of_a_profile_that_worked_leaves_the_file_s_pin() -> None:
    """The SIM was unlocked when the profile came, so it has worked without its PIN. Slot 2 is the only one to use."""
    play = changed(priority="2")
    play.feed(BearerReported(GPRS, PPP0))
    connect(play)
    play.restart(5, online=False)
    play.feed(BearerReported(GPRS, LOCKED))
    assert [o.key for o in orders(play, Persist) if o.kind == "sim_pin"] == ["new mark"]
    before = len(play.log)
    assert Fault.SIM_UNUSABLE in refuse_pin(play, 2).evse().faults
    without_pin = ConfigureBearer(GPRS, replace(APN, pin="", pin_mark=""))
    assert without_pin in play.log[before:]
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
    assert orders(play, UnlockSim) == [UnlockSim(GPRS, APN.pin_mark), UnlockSim(GPRS, "file's")]
    assert Like(Persist, kind="sim_pin", key="file's") in play.log[before:]
    play.feed(BearerReported(GPRS, MODEM))
    play.feed(SimUnlockEnded(GPRS, is_presented=True))
    assert Fault.SIM_UNUSABLE not in play.skip().evse().faults
    before = len(play.skip().log)
    play.restart(5, online=False)
    play.feed(BearerReported(GPRS, LOCKED))
    given = [o for o in play.skip().log[before:] if isinstance(o, (ConfigureBearer, UnlockSim))]
    assert given[-2:] == [without_pin, UnlockSim(GPRS, "file's")], "after the next power cut at once"
    assert [o.key for o in play.log[before:] if isinstance(o, Persist) and o.kind == "sim_pin"] == ["file's"]


def test_the_last_try_is_left_to_a_person_by_both_pins() -> None:
    play = changed()
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
    refuse_pin(play, 1)
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=1)))
    assert orders(play.skip(), UnlockSim) == [UnlockSim(GPRS, APN.pin_mark)]
    assert Fault.SIM_UNUSABLE in play.evse().faults


def test_a_modem_that_needs_a_person_does_not_keep_the_link_from_a_lan_that_is_up() -> None:
    """Slot 2, which has worked, is the only one to use."""
    play = changed(priority="2")
    play.feed(BearerReported(GPRS, PPP0))
    connect(play).restart(5, online=False).skip()
    play.feed(BearerReported(GPRS, BearerStatus(BearerState.DOWN, "no answer to AT")))
    play.skip().t_s += MODEM_COMES_UP_S
    fail(play, ATTEMPTS + 1)
    assert play.skip().site.bearer_demanded == GPRS, "there is no other bearer"
    play.feed(BearerReported(LAN, ETH0))
    fail(play, ATTEMPTS).skip()
    assert (play.site.bearer_demanded, play.site.bearer_in_use) == ("", LAN)
    assert play.site.network_profiles[LINK].profile_in_turn.slot == 1
    connect(play)
    assert (play.site.bearer_demanded, play.site.bearer_in_use) == ("", LAN), "it stays while it lasts"
    assert play.site.settings.list_value("network_priority") == ("2",), "what the backend has set stays"
    fail(play, ATTEMPTS).skip()
    assert play.site.bearer_demanded == GPRS, "and slot 2 is tried again"


def test_a_network_that_is_away_for_a_while_does_not_lead_to_another_profile() -> None:
    play = changed(priority="2")
    play.feed(BearerReported(GPRS, PPP0))
    connect(play)
    play.feed(BearerReported(GPRS, replace(MODEM, registration=Registration.SEARCHING)))
    play.feed(BearerReported(LAN, ETH0))
    play.skip().t_s += MODEM_COMES_UP_S
    fail(play, 2 * ATTEMPTS).skip()
    assert play.site.bearer_demanded == GPRS


def test_another_table_in_the_station_file_has_the_last_word() -> None:
    """A technician has put another SIM in, with another APN. The key of the backend and its security profile stay."""
    play = changed(priority="2")
    play.feed(RequestReceived(LINK, "k", SetVariablesRequest({"authorization_key": "a key of 20 digits.."})))
    play.feed(BearerReported(GPRS, PPP0))
    connect(play)
    record = dict(play.store["access"][LINK])
    del record["tables"]  # as the earlier program stored it
    for tables, demanded in ((["lan", "sim 1"], GPRS), (["lan", "sim 2"], ""), (None, GPRS)):
        play.store["access"][LINK] = {**record, "tables": tables} if tables else record
        tables_now = replace(BEARERS[0], table_mark="lan"), replace(BEARERS[1], table_mark="sim 1")
        other = station(bearers=tables_now)
        other.store = json.loads(json.dumps(play.store))
        other.restart(5, online=False).skip()
        assert other.site.bearer_demanded == demanded, tables
        profile = other.site.network_profiles[LINK].profile_in_turn
        assert (profile.slot, profile.key) == (2 if demanded else 1, "a key of 20 digits..")
        assert other.store["access"][LINK]["tables"] == ["lan", "sim 1"]
        other.feed(BearerReported(LAN, ETH0))
        assert connect(other).restart(5, online=False).skip().site.bearer_demanded == demanded


def test_after_a_refused_pin_of_a_profile_the_file_s_is_used() -> None:
    play = changed()
    play.feed(BearerReported(LAN, ETH0))
    play.feed(BearerReported(GPRS, LOCKED))
    play.feed(BearerReported(GPRS, replace(LOCKED, sim=SimState.PIN_REFUSED, pin_tries=2)))
    play.feed(SimUnlockEnded(GPRS, is_presented=True))
    play.skip().t_s += MODEM_COMES_UP_S
    fail(play, ATTEMPTS).skip()
    play.feed(BearerReported(GPRS, replace(LOCKED, pin_tries=2)))
    assert len(orders(play, UnlockSim)) == 2
    assert Like(Persist, kind="sim_pin", key="file's") in play.log
    play.skip()


def test_a_record_without_bearers_is_one_of_before() -> None:
    play = changed().skip()
    record = play.store["access"][LINK]
    del record["bearers"]
    play.restart(5, online=False)
    assert play.skip().site.bearer_demanded == ""
    play.store["access"][LINK]["bearers"] = {"2": {"interface": "Wireless0"}}
    play.restart(5, online=False)
    assert play.skip().site.bearer_demanded == "", "a damaged one has no value"
