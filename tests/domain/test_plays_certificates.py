"""The station's certificate and its roots: asked for, repeated, taken or refused, renewed; who may change them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.backend_connection import ConnectionProfile
from agent.domain.certificate_orders import (
    ChainTaken,
    ConfirmReplacement,
    DeleteRoot,
    InstallRoot,
    KeepCertificates,
    ListRoots,
    MakeRequest,
    RequestMade,
    RootDeleted,
    RootInstalled,
    RootsListed,
    SigningAnswered,
    TakeChain,
)
from agent.domain.certificates import CertificateUse, HashData, InstalledCertificate
from agent.domain.events import ClockTrusted, Connected, RequestReceived, TimeCame
from agent.domain.messages import CertificateSigningWanted
from agent.domain.network_profiles import NetworkProfiles
from agent.domain.orders import Order, Reconnect, Response, Send
from agent.domain.requests import (
    BackendRequest,
    CertificateSignedRequest,
    DeleteCertificateRequest,
    InstallCertificateRequest,
    InstalledCertificatesRequest,
    MessageTrigger,
    TriggerMessageRequest,
)
from agent.domain.timers import Timer, TimerKind
from tests.domain.playbook import LINK, UTC0_S, Playbook, forgotten, kept

SECOND = "second"
DAY_S = 86400.0
YEAR_S = 365 * DAY_S
NAMED = HashData("SHA256", "aa", "bb", "1")
CSR = Send(LINK, CertificateSigningWanted("CSR"))


def ask(what: BackendRequest, link: str = LINK, request: str = "q1") -> RequestReceived:
    return RequestReceived(link, request, what)


def asked_to_sign(play: Playbook) -> Playbook:
    """Triggered; a key is made, and the backend is asked to sign it."""
    play.feed(ask(TriggerMessageRequest(MessageTrigger.SIGN)))
    job = play.unclaimed[-1]
    assert isinstance(job, MakeRequest)
    play.skip().feed(RequestMade(job.job, "CSR"))
    return play


def signed(
    play: Playbook, id_: str = "new", life_s: float = YEAR_S, why: str = "", valid_since_s: float = 0.0
) -> Playbook:
    """CertificateSigned came, and was judged. ``life_s``: from now on."""
    play.skip().feed(ask(CertificateSignedRequest("PEM")))
    job = play.unclaimed.pop()
    assert isinstance(job, TakeChain)
    utc_s = play.now.utc_s or 0.0
    play.skip().feed(ChainTaken(job.job, "" if why else id_, utc_s - valid_since_s, utc_s + life_s, why))
    return play


def orders(play: Playbook, kind: type[Order]) -> list[Any]:
    return [o for o in play.log if isinstance(o, kind)]


def csrs(play: Playbook) -> int:
    return len([o for o in orders(play, Send) if isinstance(o.message, CertificateSigningWanted)])


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_trigger_is_answered_then_a_new_key_is_made_and_its_request_reported() -> None:
    play = Playbook(settings={"cpo_name": "Chargy"})
    play = (
        play
        >> ask(TriggerMessageRequest(MessageTrigger.SIGN))
        << Response(LINK, "q1", "Accepted")
        << MakeRequest("pki:1", "Chargy")
    )
    assert play >> RequestMade("pki:1", "CSR") << CSR


def test_without_a_key_nothing_is_reported() -> None:
    play = (Playbook() >> ask(TriggerMessageRequest(MessageTrigger.SIGN))).skip()
    assert play >> RequestMade("pki:1", "")


def test_only_the_first_backend_may_have_it_signed() -> None:
    play = Playbook(links=(LINK, SECOND))
    assert play >> ask(TriggerMessageRequest(MessageTrigger.SIGN), SECOND) << Response(SECOND, "q1", "Rejected")


def test_no_certificate_comes_the_request_is_repeated_with_growing_waits() -> None:
    """A_23: the waits double, the repeats are counted; the request stays the same."""
    play = asked_to_sign(Playbook(settings={"signing_wait_s": 10, "signing_repeats": 2})) << CSR
    play = play >> SigningAnswered(LINK, True)
    play = play.wait(9.9).wait(0.2) << CSR
    play = play.wait(19.8).wait(0.2) << CSR
    assert play.wait(3600)
    assert csrs(play) == 3


@pytest.mark.parametrize("end", ["rejected", "signed", "refused"])
def test_nothing_is_repeated_after_an_answer(end: str) -> None:
    play = asked_to_sign(Playbook())
    if end == "rejected":
        play.feed(SigningAnswered(LINK, False))
    else:
        signed(play, why="" if end == "signed" else "of a stranger")
    play.skip().wait(3600)
    assert csrs(play) == 1


def test_a_wait_of_nothing_is_no_repeat() -> None:
    play = asked_to_sign(Playbook(settings={"signing_wait_s": 0})) << CSR
    assert play.wait(3600)


# --- the answer ------------------------------------------------------------------------------------------------------


def test_a_good_chain_is_on_disk_before_it_is_promised_and_then_tried() -> None:
    play = asked_to_sign(Playbook()).skip()
    play = play >> ask(CertificateSignedRequest("PEM")) << TakeChain("pki:2", "PEM", play.now.utc_s)
    play = (
        play
        >> ChainTaken("pki:2", "new", UTC0_S, UTC0_S + YEAR_S)
        << kept("certificate", LINK, id="new", worked="", renew_utc_s=UTC0_S + YEAR_S - 30 * DAY_S)
        << Response(LINK, "q1", "Accepted")
        << KeepCertificates(("new", ""))
        << kept("access", LINK, certificate="new")
        << Reconnect(LINK)
    )
    assert play
    assert play.noticed()[-1] == "ReconfigurationOfSecurityParameters"


def test_a_chain_that_does_not_fit_is_rejected_and_reported_and_the_old_one_stays() -> None:
    play = signed(Playbook(), "old").skip()
    play = signed(play, why="it is of no key that this station has made") << Response(LINK, "q1", "Rejected")
    assert play
    assert play.noticed()[-1] == "InvalidChargingStationCertificate"
    assert play.site.security.records[-1].info == "it is of no key that this station has made"
    assert play.store["certificate"][LINK]["id"] == "old"
    assert orders(play, KeepCertificates) == [KeepCertificates(("old", ""))]


def test_a_chain_that_is_too_long_is_not_looked_at() -> None:
    play = Playbook(settings={"chain_max_size": 5})
    play = play >> ask(CertificateSignedRequest("PEM")) << TakeChain
    assert play >> ask(CertificateSignedRequest("PEMPEM")) << Response(LINK, "q1", "Rejected")
    assert play.noticed()[-1] == "InvalidChargingStationCertificate"


def test_another_backend_does_not_end_the_asking() -> None:
    play = asked_to_sign(Playbook(links=(LINK, SECOND))).skip()
    play = (play >> ask(CertificateSignedRequest("PEM"), SECOND)).skip()
    play.skip().wait(3600)
    assert csrs(play) == 4


def test_another_backend_brings_no_certificate_and_no_root() -> None:
    play = Playbook(links=(LINK, SECOND))
    play = play >> ask(CertificateSignedRequest("PEM"), SECOND) << Response(SECOND, "q1", "Rejected")
    play = (
        play
        >> ask(InstallCertificateRequest(CertificateUse.CSMS_ROOT, "PEM"), SECOND)
        << Response(SECOND, "q1", "Rejected")
    )
    assert play >> ask(DeleteCertificateRequest(NAMED), SECOND) << Response(SECOND, "q1", "Failed")
    assert play.noticed() == ["StartupOfTheDevice"]


# --- which is needed -------------------------------------------------------------------------------------------------


def connected(play: Playbook, certificate: str, wanted: str = "") -> Playbook:
    """``wanted``: what is dialled next, also after this connection."""
    in_turn, route = ConnectionProfile(1, "", 3, "", wanted or certificate), play.site.network_profiles[LINK]

    class Wanting(NetworkProfiles):
        profile_in_turn = property(lambda self: in_turn)

    play.site.network_profiles = {LINK: Wanting(route.given)}
    return play >> Connected(LINK, ConnectionProfile(1, "", 3, "", certificate))


def test_the_old_one_goes_when_the_new_one_has_connected() -> None:
    play = connected(signed(Playbook(), "a").skip(), "a").skip()
    play = signed(play, "b").skip()
    assert orders(play, KeepCertificates)[-1] == KeepCertificates(("b", "a"))
    play = connected(play, "b").skip()
    assert play.store["certificate"][LINK]["worked"] == "b"
    assert orders(play, KeepCertificates)[-1] == KeepCertificates(("b", "b"))
    assert connected(play, "b")


def test_one_that_never_worked_goes_when_the_next_one_comes_but_what_worked_stays() -> None:
    play = connected(signed(Playbook(), "a").skip(), "a").skip()
    play = signed(signed(play, "b"), "c").skip()
    assert orders(play, KeepCertificates)[-1] == KeepCertificates(("c", "a"))


def test_a_connection_from_before_the_change_means_nothing() -> None:
    play = connected(signed(Playbook(), "a").skip(), "a").skip()
    assert connected(signed(play, "b").skip(), "a", wanted="b")


def test_after_a_fall_back_it_is_asked_for_again_the_next_day() -> None:
    play = connected(signed(Playbook(), "a").skip(), "a").skip()
    play = connected(signed(play, "b").skip(), "a").skip()
    assert orders(play, KeepCertificates)[-1] == KeepCertificates(("a", "a"))
    assert play.timers[Timer(TimerKind.CERTIFICATE_RENEWAL)] - play.t_s == pytest.approx(DAY_S)


def test_the_station_file_s_own_is_the_technician_s_to_renew() -> None:
    play = connected(signed(Playbook()).skip(), "").skip()
    assert orders(play, KeepCertificates)[-1] == KeepCertificates(("", ""))
    assert Timer(TimerKind.CERTIFICATE_RENEWAL) not in play.timers


# --- renewal ---------------------------------------------------------------------------------------------------------


RENEW = Timer(TimerKind.CERTIFICATE_RENEWAL)


@pytest.mark.parametrize(("life_s", "after_s"), [(YEAR_S, YEAR_S - 30 * DAY_S), (30 * DAY_S, 20 * DAY_S)])
def test_a_certificate_is_renewed_before_its_end_and_every_day_until_it_is(life_s: float, after_s: float) -> None:
    play = signed(Playbook(), life_s=life_s).skip()
    assert play.timers[RENEW] - play.t_s == pytest.approx(after_s)
    play = play >> TimeCame(RENEW) << kept("certificate") << MakeRequest("pki:2", "")
    play = (play >> RequestMade("pki:2", "CSR")).skip() >> SigningAnswered(LINK, False)
    assert play.timers[RENEW] - play.t_s == pytest.approx(DAY_S)
    assert play >> TimeCame(RENEW) << kept("certificate") << MakeRequest("pki:3", "")


def asked_for_renewal(play: Playbook, accepted: bool = True) -> Playbook:
    """The time has come, and the backend has answered the request."""
    (made,) = [o for o in play.skip().feed(TimeCame(RENEW)) if isinstance(o, MakeRequest)]
    play.skip().feed(RequestMade(made.job, "CSR"))
    play.skip().feed(SigningAnswered(LINK, accepted))
    return play.skip()


def test_a_certificate_that_comes_late_in_its_life_is_not_renewed_at_once() -> None:
    """An authority that signs until a fixed date would be asked without an end."""
    play = signed(Playbook(), life_s=21 * DAY_S, valid_since_s=YEAR_S)
    assert play.timers[RENEW] - play.t_s == pytest.approx(14 * DAY_S)


@pytest.mark.parametrize("set_ahead_s", [0.0, -30.0, 30.0])
def test_a_restart_or_a_corrected_clock_asks_no_second_time_within_a_day(set_ahead_s: float) -> None:
    """The authority may still be at work on the first request."""
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S))
    play.clock_off_s = set_ahead_s
    for _ in range(2):
        assert play >> ClockTrusted()
        assert play.timers[RENEW] - play.t_s == pytest.approx(DAY_S, abs=100)
        play.restart(online=False)
    assert play >> TimeCame(RENEW) << kept("certificate") << MakeRequest("pki:1", "")


def test_a_request_that_was_rejected_is_made_again_after_an_hour() -> None:
    """No authority is at work on it, and a short-lived certificate may have hours left."""
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S), accepted=False)
    assert play.restart(600.0, online=False).timers[RENEW] - play.t_s == pytest.approx(3000.0, abs=10)
    assert play.restart(3600.0, online=False).timers[RENEW] == play.t_s


def test_a_day_after_an_accepted_request_restarts_make_one_new_key() -> None:
    """Four keys are kept: more restarts would take the one that the authority is signing."""
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S)).restart(DAY_S, online=False)
    play.skip().feed(TimeCame(RENEW))
    for n in range(1, 6):
        assert play.skip() >> ClockTrusted()
        assert play.restart(600.0, online=False).timers[RENEW] - play.t_s == pytest.approx(3600.0 - n * 600.0, abs=10)


@pytest.mark.parametrize("csr", ["CSR", ""])
def test_a_request_without_an_answer_is_made_again_after_an_hour(csr: str) -> None:
    """It may never have left the station: a certificate of a day has hours left."""
    play = signed(Playbook(), life_s=-DAY_S).skip()
    (made,) = [o for o in play.feed(TimeCame(RENEW)) if isinstance(o, MakeRequest)]
    play.skip().feed(RequestMade(made.job, csr))
    assert play.skip().restart(60.0, online=False).timers[RENEW] - play.t_s <= 3600.0


def test_a_rejected_request_takes_nothing_from_one_that_is_being_signed() -> None:
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S))
    play.feed(SigningAnswered(LINK, False))
    assert play.skip().restart(4000.0, online=False).timers[RENEW] - play.t_s > DAY_S / 2


def test_a_day_after_the_request_a_restart_asks_again() -> None:
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S))
    assert play.restart(DAY_S, online=False).timers[RENEW] == play.t_s


def test_a_request_of_a_time_that_lies_days_ahead_delays_none() -> None:
    """The clock was wrong then: the certificate would end before that time comes."""
    play = signed(Playbook(), life_s=-DAY_S).skip()
    play.clock_off_s = YEAR_S
    play = asked_for_renewal(play)
    play.clock_off_s = 0.0
    assert play.restart(online=False).timers[RENEW] == play.t_s


def test_a_backend_that_triggers_a_request_has_it_at_once() -> None:
    play = asked_for_renewal(signed(Playbook(), life_s=-DAY_S)).restart()
    play.skip().feed(ask(TriggerMessageRequest(MessageTrigger.SIGN)))
    assert isinstance(play.unclaimed[-1], MakeRequest)


def test_a_record_of_an_older_store_has_no_time_of_a_request() -> None:
    play = signed(Playbook()).skip()
    del play.store["certificate"][LINK]["not_before_utc_s"]
    due_s = play.timers[RENEW]
    assert play.restart(online=False).timers[RENEW] == pytest.approx(due_s)


def test_a_restart_knows_when() -> None:
    play = signed(Playbook()).skip()
    due_s = play.timers[RENEW]
    assert play.restart(online=False).timers[RENEW] == pytest.approx(due_s)


def test_a_clock_that_is_not_known_yet_renews_nothing_before_it_is() -> None:
    play = signed(Playbook(), life_s=-DAY_S).skip()
    play.trusted = False
    play = play.restart(online=False).wait(5)
    play.trusted = True
    play = (play >> ClockTrusted()).wait(1) << kept("certificate") << MakeRequest("pki:1", "")
    assert play


def test_a_damaged_record_is_set_aside() -> None:
    play = Playbook(cold=True, store={"certificate": {LINK: {"id": "x"}}})
    play.restart(online=False)
    assert play << kept("poisoned", f"certificate/{LINK}") << forgotten("certificate")
    assert LINK not in play.store["certificate"]


# --- roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Accepted", "Rejected", "Failed"])
def test_a_root_is_installed_if_it_can_be(status: str) -> None:
    play = Playbook(settings={"certificates_max": 7})
    play = play >> ask(InstallCertificateRequest(CertificateUse.CSMS_ROOT, "PEM"))
    play = play << InstallRoot("pki:1", CertificateUse.CSMS_ROOT, "PEM", 7, play.now.utc_s)
    assert play >> RootInstalled("pki:1", status) << Response(LINK, "q1", status)
    assert len(play.noticed()) == 1 + (status == "Accepted")


@pytest.mark.parametrize("use", CertificateUse)
def test_with_the_additional_check_a_root_of_central_systems_replaces_the_others(use: CertificateUse) -> None:
    """M05.FR.10: the keys decide whether it may."""
    play = Playbook(settings={"certificates_max": 7, "root_check": True})
    play = play >> ask(InstallCertificateRequest(use, "PEM"))
    replaces = use is CertificateUse.CSMS_ROOT
    assert play << InstallRoot("pki:1", use, "PEM", 7, play.now.utc_s, replaces)


def test_replaced_roots_are_looked_at_once_every_backend_with_tls_was_reached() -> None:
    """A second backend may hang on the old root."""
    play = Playbook(links=(LINK, SECOND), settings={"root_check": True})
    secure = ConnectionProfile(profile=2)
    for link in (LINK, SECOND):
        play.site.network_profiles[link].using = secure
    play = (play >> Connected(LINK, secure)).skip()
    assert orders(play, ConfirmReplacement) == []
    play = (play >> Connected(SECOND, secure)).skip()
    assert orders(play, ConfirmReplacement) == [ConfirmReplacement("pki:1", LINK)]
    assert (play >> RootDeleted("pki:1", "Accepted")).noticed()[-1] == "ReconfigurationOfSecurityParameters"


@pytest.mark.parametrize(("check", "profile"), [(False, 2), (True, 1)])
def test_without_the_check_or_tls_nothing_is_replaced(check: bool, profile: int) -> None:
    play = Playbook(settings={"root_check": check})
    play.site.network_profiles[LINK].using = access = ConnectionProfile(profile=profile)
    play = (play >> Connected(LINK, access)).skip()
    assert orders(play, ConfirmReplacement) == []


@pytest.mark.parametrize(("profile", "spares"), [(1, False), (2, True), (3, True)])
def test_the_last_root_stays_where_the_connection_uses_it(profile: int, spares: bool) -> None:
    play = Playbook(settings={"security_profile": profile})
    play = play >> ask(DeleteCertificateRequest(NAMED)) << DeleteRoot("pki:1", NAMED, spares)
    assert play >> RootDeleted("pki:1", "Accepted") << Response(LINK, "q1", "Accepted")
    assert play.noticed()[-1] == "ReconfigurationOfSecurityParameters"


@pytest.mark.parametrize("uses", [None, (CertificateUse.MANUFACTURER_ROOT,), ()])
def test_what_is_installed_is_listed(uses: tuple[CertificateUse, ...] | None) -> None:
    roots = (InstalledCertificate(CertificateUse.MANUFACTURER_ROOT, NAMED),)
    play = (
        Playbook()
        >> ask(InstalledCertificatesRequest(uses))
        << ListRoots("pki:1", tuple(CertificateUse) if uses is None else uses)
    )
    assert play >> RootsListed("pki:1", roots) << Response(LINK, "q1", "Accepted", {"roots": roots})
    play = (play >> ask(InstalledCertificatesRequest(uses))).skip() >> RootsListed("pki:2")
    assert play << Response(LINK, "q1", "NotFound", {"roots": ()})


def test_an_answer_that_no_one_waits_for_is_not_reported() -> None:
    play = Playbook()
    assert play >> [RootInstalled("pki:9", "Failed"), RootsListed("pki:9"), ChainTaken("pki:9", "x")]
