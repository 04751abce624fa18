"""With what a link connects: a change is tried, taken back if only what was before works, and never goes downward."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.backend_connection import BackendConfig, ConnectFailure, ConnectionProfile, NetworkProfile
from agent.domain.events import (
    CertificateReady,
    Connected,
    ConnectFailed,
    LinkChanged,
    RequestReceived,
    Started,
)
from agent.domain.network_profiles import NetworkProfiles
from agent.domain.orders import Persist, Reconnect, Response
from agent.domain.requests import SetNetworkProfileRequest, SetVariablesRequest
from agent.model.fastclass import replace
from tests.domain.playbook import LINK, Playbook, forgotten, kept
from tests.support.simulated_station import CAMPAIGN

HOST = "ws://backend.example"
KEY, OTHER_KEY = "0123456789abcdef", "fedcba9876543210"


def station(profile: int = 1, file: BackendConfig | None = None, **more: Any) -> Playbook:
    """A station that has all it needs, by its file, and has connected once."""
    play = cold(profile, file, **more)
    return connect(play.skip()).skip()


def cold(profile: int = 1, file: BackendConfig | None = None, roots: int = 1, **more: Any) -> Playbook:
    file = file or BackendConfig(HOST, profile, password=True, certificate=True)
    given = {LINK: file}
    settings = {"security_profile": file.profile}
    return Playbook(backends=given, settings=settings, count_csms_roots=lambda: roots, online=False, **more).skip()


def trust_one_root(play: Playbook) -> None:
    play.site.collaborators = replace(play.site.collaborators, count_csms_roots=lambda: 1)


def dialled(play: Playbook) -> ConnectionProfile:
    return play.site.network_profiles[LINK].profile_in_turn


def connect(play: Playbook) -> Playbook:
    return play >> Connected(LINK, dialled(play))


def fail(play: Playbook, times: int = 1, trouble: ConnectFailure = ConnectFailure.OTHER) -> Playbook:
    for _ in range(times):
        play.feed(ConnectFailed(LINK, dialled(play), trouble, "so"))
    return play.skip()


def change(play: Playbook, **values: str) -> dict[str, str]:
    """The answer, per setting."""
    play.feed(RequestReceived(LINK, "q", SetVariablesRequest(values)))
    reply = next(o for o in reversed(play.log) if isinstance(o, Response))
    play.skip()
    return dict(reply.data)


def network(play: Playbook, slot: int, url: str = "wss://new.example", profile: int = 2) -> str:
    play.feed(RequestReceived(LINK, "q", SetNetworkProfileRequest(slot, url, profile)))
    reply = next(o for o in reversed(play.log) if isinstance(o, Response))
    play.skip()
    return reply.status


# --- the station file ------------------------------------------------------------------------------------------------


def test_a_new_station_dials_what_its_file_says_and_remembers_that_it_works() -> None:
    play = cold(1)
    assert dialled(play) == ConnectionProfile(profile=1)
    assert connect(play) << kept("access", LINK, file=[HOST, 1], certificate="")
    assert play.store["access"][LINK]["worked"] == {"slot": 1, "url": "", "profile": 1, "key": "", "certificate": ""}
    assert connect(play)  # what is known is not written again


def test_nothing_else_is_dialled_however_long_it_fails() -> None:
    play = station(1)
    assert dialled(fail(play, 50)) == ConnectionProfile(profile=1)


@pytest.mark.parametrize("file", [BackendConfig("ws://elsewhere", 1), BackendConfig(HOST, 0)])
def test_a_technician_has_the_last_word(file: BackendConfig) -> None:
    play = station(1)
    change(play, authorization_key=KEY, security_profile="2")
    connect(play.wait(10).skip()).skip()
    assert dialled(play).profile == 2
    play._site_of = lambda: cold(1, file).site
    play.restart(5, online=False) << kept("access", LINK, file=[file.url, file.profile], worked=None)
    for _ in range(3):
        play << forgotten("setting")
    assert dialled(play) == ConnectionProfile(profile=file.profile)
    assert play.site.settings["security_profile"] == file.profile
    assert play.site.settings["authorization_key"] == ""


def test_a_technician_who_writes_down_what_is_in_force_changes_nothing() -> None:
    play = station(file=BackendConfig("ws://backend.example/o", 1, password=True))
    change(play, authorization_key=KEY, security_profile="2")
    connect(play.wait(10).skip()).skip()
    file = BackendConfig("wss://backend.example/o", 2, password=True)
    play._site_of = lambda: cold(file=file).site
    play.restart(5, online=False) << kept("access", LINK, file=[file.url, 2])
    assert dialled(play) == ConnectionProfile(profile=2, key=KEY)
    assert play.restart(5, online=False)
    play._site_of = lambda: cold(file=BackendConfig("wss://other.example/o", 2, password=True)).site
    play.restart(5, online=False).skip()
    assert dialled(play) == ConnectionProfile(profile=2)


def test_an_address_that_loses_its_tls_gets_no_key_of_the_backend() -> None:
    play = station(file=BackendConfig("wss://backend.example/o", 1, password=True))
    change(play, authorization_key=KEY)
    connect(play).skip()
    assert dialled(play).key == KEY
    play._site_of = lambda: cold(file=BackendConfig("ws://backend.example/o", 1, password=True)).site
    play.restart(5, online=False).skip()
    assert dialled(play) == ConnectionProfile(profile=1)


# --- the password ----------------------------------------------------------------------------------------------------


def test_a_new_key_is_dialled_from_now_on() -> None:
    """Case 073."""
    play = station(1)
    assert change(play, authorization_key=KEY) == {"authorization_key": "Accepted"}
    assert dialled(play) == ConnectionProfile(profile=1, key=KEY)
    assert connect(play) << kept("access", LINK)
    assert play.store["access"][LINK]["worked"]["key"] == KEY


def test_a_new_key_that_the_backend_does_not_know_is_taken_back() -> None:
    play = station(1)
    change(play, authorization_key=KEY)
    connect(play).skip()
    change(play, authorization_key=OTHER_KEY)
    assert dialled(fail(play, 2, ConnectFailure.CREDENTIALS)).key == OTHER_KEY
    assert dialled(fail(play, 1, ConnectFailure.CREDENTIALS)).key == KEY
    assert dialled(fail(play, 3)).key == OTHER_KEY  # in turns: it may have been the network
    assert dialled(fail(play, 3)).key == KEY
    before = play.noticed().count("ReconfigurationOfSecurityParameters")
    assert connect(play) << kept("setting", "authorization_key", text=KEY) << kept("access", LINK)
    assert play.noticed().count("ReconfigurationOfSecurityParameters") == before + 1
    assert play.site.settings["authorization_key"] == KEY
    assert dialled(fail(play, 50)).key == KEY


def test_an_outage_in_the_minute_of_the_change_does_not_undo_it() -> None:
    play = station(1)
    change(play, authorization_key=KEY)
    fail(play, 6)
    assert dialled(play).key == KEY
    connect(play).skip()
    assert dialled(fail(play, 50)).key == KEY


def test_a_key_that_is_not_shown_changes_nothing() -> None:
    play = station(0)
    before = dialled(play)
    change(play, authorization_key=KEY)
    assert dialled(play).dials_like(before)


def test_killed_between_promise_and_connection() -> None:
    """The change is on disk before it is promised; the new one is tried first, and has all its attempts."""
    play = station(1)
    change(play, authorization_key=KEY)
    fail(play, 2)
    play.restart(5, online=False).skip()
    assert dialled(play).key == KEY
    assert dialled(fail(play, 2)).key == KEY
    assert dialled(fail(play, 1)).key == ""
    play.restart(5, online=False).skip()
    assert dialled(play).key == KEY


def test_the_number_of_attempts_is_a_setting() -> None:
    play = station(1)
    change(play, network_attempts="1", authorization_key=KEY)
    assert dialled(fail(play, 1)).key == ""


# --- the security profile of 1.6 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "roots", "profile", "taken"),
    [
        (BackendConfig(HOST, 1, password=True), 1, "2", True),
        (BackendConfig(HOST, 1, password=True), 0, "2", False),
        (BackendConfig(HOST, 0), 0, "1", False),
        (BackendConfig(HOST, 0, password=True), 0, "1", True),
        (BackendConfig(HOST, 2, password=True), 1, "3", False),
        (BackendConfig(HOST, 2, password=True, certificate=True), 0, "3", False),
        (BackendConfig(HOST, 2, certificate=True), 1, "3", True),
        (BackendConfig(HOST, 2, password=True), 1, "2", False),
        (BackendConfig(HOST, 2, password=True), 1, "1", False),
        (BackendConfig(HOST, 2, password=True), 1, "4", False),
        (BackendConfig(HOST, 2, password=True), 1, "high", False),
    ],
)
def test_only_upward_and_only_with_what_it_needs(file: BackendConfig, roots: int, profile: str, taken: bool) -> None:
    """Whitepaper A05.FR.01-05; cases 083, 084."""
    play = station(file=file, roots=roots)
    word = "Accepted" if taken else "Rejected"
    assert change(play, security_profile=profile) == {"security_profile": word}
    assert ("security_profile" in play.store.get("setting", {})) == taken


def test_what_was_installed_counts_too() -> None:
    play = station(file=BackendConfig(HOST, 0), roots=0)
    assert change(play, authorization_key=KEY, security_profile="2")["security_profile"] == "Rejected"
    trust_one_root(play)
    assert change(play, security_profile="3") == {"security_profile": "Rejected"}
    play >> CertificateReady(LINK, "id1") << Persist << Reconnect(LINK)
    assert change(play, security_profile="3") == {"security_profile": "Accepted"}
    assert dialled(play.wait(10).skip()) == ConnectionProfile(profile=3, key=KEY, certificate="id1")


def test_a_raise_waits_for_the_reset_then_connects_by_itself() -> None:
    play = station(1)
    change(play, security_profile="2")
    assert dialled(play).profile == 1
    play.wait(10) << Reconnect(LINK)
    assert dialled(play).profile == 2


def test_a_connection_that_breaks_meanwhile_does_not_undo_the_raise() -> None:
    play = station(1)
    change(play, security_profile="2")
    play.feed(ConnectFailed(LINK, dialled(play), ConnectFailure.OTHER))
    connect(play.skip()).skip()
    assert play.site.settings["security_profile"] == 2
    play.wait(10).skip()
    assert dialled(play).profile == 2


def test_what_failed_before_is_no_failure_of_the_raise() -> None:
    play = station(1)
    change(play, authorization_key=KEY)
    connect(fail(play)).skip()
    change(play, security_profile="2")
    play.feed(ConnectFailed(LINK, dialled(play), ConnectFailure.OTHER))
    connect(play.skip()).skip()
    assert play.site.settings["security_profile"] == 2


def test_after_a_restart_the_higher_one_is_dialled_and_the_lower_never_again() -> None:
    """Case 083."""
    play = station(1)
    change(play, security_profile="2")
    play.restart(5, online=False).skip()
    assert dialled(play).profile == 2
    connect(play).skip()
    for _ in range(3):
        assert {dialled(fail(play)).profile for _ in range(9)} == {2}
        play.restart(5, online=False).skip()


def test_a_raise_that_does_not_work_is_taken_back() -> None:
    """Whitepaper A05.FR.08."""
    play = station(1)
    change(play, security_profile="2")
    play.restart(5, online=False).skip()
    assert dialled(fail(play, 3)).profile == 1
    assert connect(play) << kept("setting", "security_profile", text="1") << kept("access", LINK)
    assert play.noticed().count("ReconfigurationOfSecurityParameters") == 2
    play.restart(5, online=False).skip()
    assert dialled(fail(play, 20)).profile == 1
    assert play.site.settings["security_profile"] == 1
    assert change(play, security_profile="2") == {"security_profile": "Accepted"}  # it may be tried again


@pytest.mark.parametrize("order", [[float("inf")], ["x"], 3, None])
def test_numbers_that_are_none_are_set_aside(order: Any) -> None:
    play = station(2)
    play.store["access"][LINK]["worked_order"] = order
    play.restart(5, online=False) << kept("poisoned", f"access/{LINK}")
    assert dialled(play).profile == 2


def test_a_damaged_record_goes_no_further_down_than_the_setting() -> None:
    play = station(1)
    change(play, security_profile="2")
    connect(play.wait(10).skip()).skip()
    play.store["access"][LINK]["slots"] = {"one": 2}
    play.restart(5, online=False) << kept("poisoned", f"access/{LINK}")
    assert dialled(play).profile == 2


def test_a_damaged_record_of_other_slots_goes_no_further_down_either() -> None:
    play = station(1)
    network(play, 2, "wss://new.example", 2)
    change(play, network_priority="2,1")
    play.restart(5, online=False).skip()
    connect(play).skip()
    play.store["access"][LINK]["slots"] = None
    play.restart(5, online=False).skip()
    assert {dialled(fail(play)).profile for _ in range(9)} == {2}


# --- client certificates ---------------------------------------------------------------------------------------------


def test_a_new_certificate_is_tried_and_kept() -> None:
    play = station(3)
    play >> CertificateReady(LINK, "id1") << kept("access", LINK, certificate="id1") << Reconnect(LINK)
    assert dialled(play).certificate == "id1"
    connect(play).skip()
    assert play.store["access"][LINK]["worked"]["certificate"] == "id1"
    assert dialled(fail(play, 20)).certificate == "id1"


def test_a_certificate_that_the_backend_refuses_is_taken_back() -> None:
    play = station(3)
    play >> CertificateReady(LINK, "id1")
    assert dialled(fail(play.skip(), 3, ConnectFailure.OWN_CERTIFICATE)).certificate == ""
    connect(play).skip()
    assert play.store["access"][LINK]["certificate"] == ""
    assert dialled(fail(play, 20)).certificate == ""
    assert "FailedToAuthenticateAtCsms" in play.noticed()


def test_a_certificate_for_later_survives_until_the_profile_wants_it() -> None:
    play = station(1)
    play >> CertificateReady(LINK, "id1") << Persist << Reconnect(LINK)
    connect(play).skip()
    change(play, security_profile="3")
    play.wait(10).skip()
    assert dialled(play) == ConnectionProfile(profile=3, certificate="id1")
    connect(fail(play, 3)).skip()
    assert (dialled(play).profile, dialled(play).certificate) == (1, "id1")


# --- network profiles of 2.x -----------------------------------------------------------------------------------------


def test_another_backend_after_the_next_start() -> None:
    """TC_B_45_CS: nothing moves before the reset."""
    play = station(1)
    assert network(play, 2, "ws://new.example", 1) == "Accepted"
    assert change(play, network_priority="2,1") == {"network_priority": "RebootRequired"}
    assert play.site.settings["network_priority"] == ("2", "1")
    assert dialled(fail(play, 20)) == ConnectionProfile(profile=1)
    play.restart(5, online=False).skip()
    assert dialled(play) == ConnectionProfile(2, "ws://new.example", 1)
    connect(play).skip()
    assert play.site.settings["network_slot"] == 2


def test_a_backend_that_does_not_answer_is_left_after_the_attempts() -> None:
    """TC_B_46_CS, TC_B_49_CS: by the priority; the list stays as it was set."""
    play = station(1)
    network(play, 2, "ws://new.example", 1)
    change(play, network_priority="2,1", network_attempts="2")
    play.restart(5, online=False).skip()
    assert [dialled(fail(play)).slot for _ in range(4)] == [2, 1, 1, 2]
    fail(play, 2)
    connect(play).skip()
    assert (dialled(play).slot, play.site.settings["network_slot"]) == (1, 1)
    assert play.site.settings["network_priority"] == ("2", "1")
    assert dialled(fail(play)).slot == 1  # first again what has just worked


def test_a_priority_without_the_one_that_works_is_taken_back() -> None:
    play = station(1)
    network(play, 2, "ws://new.example", 1)
    change(play, network_priority="2")
    play.restart(5, online=False).skip()
    assert dialled(fail(play, 3)) == ConnectionProfile(profile=1)
    connect(play).skip()
    assert play.site.settings["network_priority"] == ("1",)
    assert dialled(fail(play, 20)).slot == 1


def test_a_higher_profile_removes_the_lower_ones() -> None:
    """TC_A_19_CS, A05.FR.05-06."""
    play = station(1)
    network(play, 2, "wss://new.example", 2)
    change(play, network_priority="2,1")
    play.restart(5, online=False).skip()
    connect(play).skip()
    assert play.site.settings["security_profile"] == 2
    assert play.site.settings["network_priority"] == ("2",)
    assert play.store["access"][LINK]["slots"] == {"2": ["wss://new.example", 2]}
    assert change(play, network_priority="1,2") == {"network_priority": "Rejected"}
    play.restart(5, online=False).skip()
    assert dialled(fail(play, 20)).profile == 2


@pytest.mark.parametrize("slot", [0, 4, 9])
def test_a_slot_that_is_not_there(slot: int) -> None:
    """TC_B_43_CS."""
    assert network(station(1), slot) == "Rejected"


def test_no_lower_profile() -> None:
    """TC_A_22_CS."""
    play = station(2)
    assert network(play, 2, "ws://new.example", 1) == "Rejected"
    assert network(play, 2, "wss://new.example", 2) == "Accepted"


def test_a_profile_is_not_ordered_without_what_it_needs() -> None:
    """TC_A_20_CS, TC_A_21_CS."""
    play = station(file=BackendConfig(HOST, 1, password=True), roots=0)
    network(play, 2, "wss://new.example", 2)
    assert change(play, network_priority="2,1") == {"network_priority": "Rejected"}
    trust_one_root(play)
    network(play, 3, "wss://new.example", 3)
    assert change(play, network_priority="3,1") == {"network_priority": "Rejected"}
    assert change(play, network_priority="2,1") == {"network_priority": "RebootRequired"}
    assert network(play, 2, "wss://new.example", 3) == "Rejected"  # it is asked for already


@pytest.mark.parametrize("order", ["2", "1,1", "", "x"])
def test_an_order_of_what_is_not_there(order: str) -> None:
    assert change(station(1), network_priority=order) == {"network_priority": "Rejected"}


def test_a_second_backend_may_not_change_how_the_station_connects() -> None:
    play = Playbook(
        links=(LINK, "owner"), backends={LINK: BackendConfig(HOST, 1), "owner": BackendConfig("ws://owner", 0)}
    )
    play.feed(RequestReceived("owner", "q", SetNetworkProfileRequest(2, "ws://evil.example", 3)))
    assert play.unclaimed[-1] == Response("owner", "q", "Rejected")
    play.skip()
    change(play, authorization_key=KEY)
    assert play.site.network_profiles["owner"].profile_in_turn == ConnectionProfile(profile=0)


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (ConnectFailure.SERVER_CERTIFICATE, "InvalidCsmsCertificate"),
        (ConnectFailure.TLS_VERSION, "InvalidTLSVersion"),
        (ConnectFailure.TLS_CIPHER, "InvalidTLSCipherSuite"),
        (ConnectFailure.OWN_CERTIFICATE, "FailedToAuthenticateAtCsms"),
        (ConnectFailure.CREDENTIALS, "FailedToAuthenticateAtCsms"),
    ],
)
def test_a_failed_attempt_is_a_security_event_once_per_outage(trouble: ConnectFailure, kind: str) -> None:
    play = station(2)
    assert fail(play, 9, trouble).noticed().count(kind) == 1
    connect(play).skip()
    play.feed(LinkChanged(LINK, True))
    assert fail(play, 9, trouble).noticed().count(kind) == 2


# --- walks -----------------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.just(("connect",)),
    st.just(("fail",)),
    st.just(("fail",)),
    st.just(("kill",)),
    st.just(("wait",)),
    st.tuples(st.just("key"), st.sampled_from([KEY, OTHER_KEY])),
    st.tuples(st.just("raise"), st.integers(0, 3)),
    st.tuples(st.just("network"), st.integers(1, 3), st.integers(0, 3)),
    st.tuples(st.just("order"), st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("certificate"), st.sampled_from(["id1", "id2"])),
)


@settings(max_examples=2000 if CAMPAIGN else 100, deadline=None)
@given(st.integers(0, 3), st.lists(STEP, max_size=25))
def test_never_below_what_has_worked(first: int, steps: list[tuple[Any, ...]]) -> None:
    play, floor, worked = cold(first), 0, []
    for step in steps:
        match step:
            case ("connect",):
                access = dialled(play)
                connect(play).skip()
                floor, worked = max(floor, access.profile), [access]
            case ("fail",):
                fail(play)
            case ("kill",):
                play.restart(5, online=False).skip()
            case ("wait",):
                play.wait(10).skip()
            case ("key", key):
                change(play, authorization_key=key)
            case ("raise", profile):
                answer = change(play, security_profile=str(profile))
                assert profile > floor or answer == {"security_profile": "Rejected"}
            case ("network", slot, profile):
                answer = network(play, slot, f"wss://host{slot}{profile}.example", profile)
                assert profile >= floor or answer == "Rejected"
            case ("order", slots):
                change(play, network_priority=",".join(map(str, slots)))
            case ("certificate", name):
                play.feed(CertificateReady(LINK, name))
                play.skip()
        assert dialled(play).profile >= floor
    if worked:  # it can always be reached again, whatever was changed since
        turns = set()
        for _ in range(3 * 5):
            turns.add(dialled(play).profile)
            if dialled(play).dials_like(worked[0]):
                break
            fail(play)
        assert dialled(play).dials_like(worked[0]), (worked, turns)


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=8), x)
    )
)
def test_a_record_of_anything_stops_nothing(record: Any) -> None:
    play = cold(2)
    broken = record if isinstance(record, dict) else {"slots": record}
    play.store["access"] = {LINK: json.loads(json.dumps({**broken, "file": [HOST, 2]}))}
    play.restart(5, online=False).skip()
    assert dialled(play) == ConnectionProfile(profile=2)


def test_a_route_is_read_back_as_it_was() -> None:
    route = NetworkProfiles(BackendConfig(HOST, 1), key=KEY)
    route.confirm_connection(ConnectionProfile(1, "", 1, KEY, "id1"))
    other = NetworkProfiles(BackendConfig(HOST, 1))
    other.load_record(json.loads(json.dumps(route.to_record())))
    assert other.to_record() == route.to_record()
    assert KEY not in repr(route)


def test_a_lower_slot_that_is_left_on_disk_is_not_dialled() -> None:
    route = NetworkProfiles(
        BackendConfig(HOST, 1),
        slots={1: NetworkProfile("", 1), 2: NetworkProfile("wss://new.example", 2)},
        order=(1, 2),
    )
    route.worked = ConnectionProfile(2, "wss://new.example", 2)
    assert route.profiles_in_turn() == [ConnectionProfile(2, "wss://new.example", 2)]


def test_a_station_without_a_record_begins_as_ever() -> None:
    play = cold(1)
    assert play >> Started({"setting": {"authorization_key": {"text": KEY}}})
    assert dialled(play) == ConnectionProfile(profile=1, key=KEY)


def test_a_raised_security_profile_keeps_the_address_that_works() -> None:
    """The slot has got another address since, which leads nowhere."""
    play = station(1)
    assert network(play, 2, "ws://second.example", 1) == "Accepted"
    change(play, network_priority="2")
    play.skip().restart(5, online=False)
    connect(play.skip()).skip()
    assert network(play, 2, "ws://nowhere.example", 1) == "Accepted"
    play.restart(5, online=False).skip()
    fail(play, 3)
    assert dialled(play).url == "ws://second.example"
    change(play, security_profile="2")
    play.skip().wait(10).skip()
    assert (dialled(play).url, dialled(play).profile) == ("ws://second.example", 2)


def test_a_known_address_is_that_of_the_last_connection() -> None:
    """M05.FR.14-16. Until there was one, every address is."""
    profiles = NetworkProfiles(BackendConfig())
    there, elsewhere = ConnectionProfile(profile=2, key="new"), ConnectionProfile(2, "wss://other/o", 2)
    assert profiles.is_known_address(elsewhere)
    profiles.worked = ConnectionProfile(profile=1)
    assert (profiles.is_known_address(there), profiles.is_known_address(elsewhere)) == (True, False)
