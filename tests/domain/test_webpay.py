"""One-time tokens against the published vectors, addresses, and the plays of an outlet that is paid for."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assembly.domain_setup import initial_settings, web_plan
from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.csms_cost import Cost
from agent.domain.driver_cost import DriverCost
from agent.domain.events import (
    CablePlugged,
    CardPresented,
    ContactorClosed,
    ContactorOpened,
    FaultRaised,
    LinkChanged,
    MeterRead,
    OfferChanged,
    RequestReceived,
    SessionOpened,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
    VehicleReady,
)
from agent.domain.evse import SessionState
from agent.domain.messages import TriggerReason
from agent.domain.orders import AuthorizeToken, Persist, Response
from agent.domain.reading_purposes import begin_reading, end_reading
from agent.domain.requests import (
    RemoteStartRequest,
    ReserveNowRequest,
    WebPaymentFailedRequest,
    WebPaymentStartedRequest,
)
from agent.domain.session_records import Session
from agent.domain.tariff import Tariff, parse_rate
from agent.domain.web_payment import (
    ALPHABET,
    WebPaymentConfig,
    address_problem,
    fill_template,
    one_time_token,
    template_names,
    template_problem,
    totp_time_slot,
)
from agent.model.types import AuthorizationStatus, Fault, MessageContent, ScreenName, Token, TokenType, Verdict
from agent.station_file.settings import parse_station_file
from tests.domain.playbook import LINK, A, Like, Playbook, wh
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE

SECRET = "secure!Charging!"
VECTORS = [
    (1716423785, 30, 8, ("MdPU0jCm", "CN63y502", "dI54vnA2")),
    (1716423785, 3600, 6, ("kDDM3V", "Ik0dNs", "7eNFbx")),
    (1718611200, 30, 12, ("QT1cCdKsIb9e", "akF3c7qY2uiu", "1U70OgaBA48M")),
    (0, 30, 8, ("SzcwtcR5qcY7"[:8], "u5CoKdo5HUS1"[:8], None)),
    (0, 30, 12, ("SzcwtcR5qcY7", "u5CoKdo5HUS1", None)),
]
TEMPLATE = "https://pay.example/{chargingStationId}/{evse}/{TOTP}/{version}"
HOSTS = ("pay.example",)


@pytest.mark.parametrize(("utc_s", "validity_s", "length", "tokens"), VECTORS)
def test_the_published_vectors(utc_s: int, validity_s: int, length: int, tokens: tuple[str | None, ...]) -> None:
    for step, wanted in zip((-1, 0, 1), tokens, strict=True):
        if wanted is not None:
            assert one_time_token(SECRET, totp_time_slot(utc_s, validity_s) + step, length) == wanted


@given(st.text(min_size=8, max_size=64), st.integers(0, 2**40), st.integers(6, 64))
def test_letters_and_length(secret: str, number: int, length: int) -> None:
    made = one_time_token(secret, number, length)
    assert len(made) == length
    assert set(made) <= set(ALPHABET)
    assert made[32:] == made[: max(0, length - 32)]


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        (TEMPLATE, ""),
        (TEMPLATE.replace("{evse}", "{evseId}"), ""),
        (TEMPLATE.replace("{chargingStationId}", "{roamingevseid}"), ""),
        (TEMPLATE.replace("{TOTP}", "x"), "must contain {totp}"),
        (TEMPLATE.replace("{version}", "v1"), "must contain {totp} and {version}"),
        (TEMPLATE.replace("{chargingStationId}", "x"), "must contain {chargingstationid}"),
        (TEMPLATE + "{more}", "{more} means nothing here"),
        (TEMPLATE + "{", "brace"),
        (TEMPLATE + "}", "brace"),
        (TEMPLATE + "{a{b}}", "brace"),
        (TEMPLATE.replace("https", "http"), "https://"),
        (TEMPLATE.replace("pay.example", "pay.example.evil.org"), "not among the allowed hosts"),
        (TEMPLATE.replace("pay.example", "{totp}.pay.example"), ""),
        (TEMPLATE.replace("pay.example", "127.0.0.1:9"), "not among the allowed hosts"),
        (TEMPLATE.replace("pay.example", "user:x@pay.example"), "no address"),
    ],
)
def test_templates(template: str, wrong: str) -> None:
    """C25.FR.50."""
    assert wrong in template_problem(template, HOSTS)
    assert bool(template_problem(template, HOSTS)) is bool(wrong)


def test_addresses() -> None:
    assert address_problem("https://pay.example/1", HOSTS) == ""
    assert address_problem("https://sub.pay.example/1", HOSTS) == ""
    assert address_problem("http://127.0.0.1:8080/pay", ()) == ""  # a demonstration on this machine
    assert address_problem("http://192.168.1.20:8080/pay", ("127.0.0.1", "http://192.168.1.20")) == ""  # or beside it
    assert address_problem("http://192.168.1.20:8080/pay", ("192.168.1.20",)) == "must begin with https://"
    assert address_problem("http://sub.pay.example/pay", ("http://pay.example",)) == "must begin with https://"
    assert address_problem("HTTPS://PAY.example/1", ("Pay.Example",)) == ""  # names of hosts have no case
    assert address_problem("http://station.local/pay", ("http://Station.local",)) == ""
    for url in (
        "https://evil.org\\.pay.example/",  # a browser takes the backslash for a slash, and leads to evil.org
        "https://evil.org%2f.pay.example/",
        "https://@pay.example/",
        "https://pay.exämple/",
        "https://pay.example:/\\evil.org",
    ):
        assert address_problem(url, (*HOSTS, "pay.exämple")), url
    for url in ("ftp://pay.example", "https://xpay.example/", "https://", "https://pay.example/a b", "https://[x"):
        assert address_problem(url, HOSTS)


@given(st.text())
def test_any_template_is_judged(template: str) -> None:
    template_problem(template, HOSTS)


def test_values_are_percent_encoded() -> None:
    assert (
        fill_template("https://x/{A}?b={b}", {"a": "LU*CHY*E1/2 ä", "b": "~_.-"})
        == "https://x/LU*CHY*E1%2F2%20%C3%A4?b=~_.-"
    )
    assert template_names("a{B}{c}") == ["b", "c"]


# --- plays -----------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "web1_enabled": True, "web1_template": TEMPLATE, "web1_secret": SECRET, "web1_validity_s": 30, "web1_length": 8,
}  # fmt: skip


def street(
    plan: WebPaymentConfig | None = None, settings: dict[str, Any] | None = None, evses: int = 2, **more: Any
) -> Playbook:
    plan = plan or WebPaymentConfig(station="CP 1", dynamic=True, hosts=HOSTS)
    return Playbook(web_payment=plan, settings=SETTINGS if settings is None else settings, evses=evses, **more)


def shown(play: Playbook, evse: int = 1) -> dict[str, Any]:
    return {k: v for k, v in play.screens[evse].values.items() if k in ("qr_url", "no_code", "remaining_s")}


def test_the_code_changes_at_the_edge_of_its_slot() -> None:
    """C25.FR.01, C25.FR.51, C25.FR.52."""
    play = street()
    number = totp_time_slot(play.now.utc_s or 0, 30)
    url = f"https://pay.example/CP%201/1/{one_time_token(SECRET, number, 8)}/v1"
    assert shown(play) == {"qr_url": url}
    assert shown(play, 2) == {"qr_url": ""}
    rest_s = 30 - (play.now.utc_s or 0) % 30
    play.wait(rest_s - 0.01)
    assert shown(play) == {"qr_url": url}
    play.wait(0.02)
    assert shown(play)["qr_url"] == f"https://pay.example/CP%201/1/{one_time_token(SECRET, number + 1, 8)}/v1"
    play.wait(90)
    assert shown(play)["qr_url"].endswith(f"{one_time_token(SECRET, number + 4, 8)}/v1")


def test_a_backend_says_how_robust_a_code_is() -> None:
    assert street().screens[1].values["qr_quality"] == "Medium"
    assert street(settings={**SETTINGS, "web1_quality": "Quartile"}).screens[1].values["qr_quality"] == "Quartile"


def test_one_code_set_up_for_the_station() -> None:
    settings = {k.replace("web1", "web0"): v for k, v in SETTINGS.items()}
    play = street(WebPaymentConfig(station="CP", dynamic=True, shared=True), settings)
    assert "/CP/1/" in shown(play, 1)["qr_url"]
    assert "/CP/2/" in shown(play, 2)["qr_url"]


@pytest.mark.parametrize(("name", "value"), [("web1_enabled", False), ("web1_template", ""), ("web1_secret", "")])
def test_without_one_of_its_settings_there_is_no_code(name: str, value: Any) -> None:
    assert shown(street(settings={**SETTINGS, name: value})) == {"qr_url": ""}


def test_the_fixed_address_of_an_outlet_and_of_the_station() -> None:
    fixed = {"qr1_url": "https://pay.example/1"}
    play = street(settings=fixed, qr_url="https://pay.example/station")
    assert (shown(play)["qr_url"], shown(play, 2)["qr_url"]) == (fixed["qr1_url"], "https://pay.example/station")


def test_an_outlet_beyond_those_with_settings_has_what_the_station_has() -> None:
    play = street(evses=6, qr_url="https://pay.example/station")
    assert shown(play, 6)["qr_url"] == "https://pay.example/station"
    settings = {k.replace("web1", "web0"): v for k, v in SETTINGS.items()}
    assert (
        "/CP/6/" in shown(street(WebPaymentConfig(station="CP", dynamic=True, shared=True), settings, 6), 6)["qr_url"]
    )


def test_the_id_of_an_outlet_in_other_networks() -> None:
    """C25.FR.53."""
    template = "https://pay.example/{roamingEVSEId}"
    named = {**SETTINGS, "web1_template": template, "web1_roaming_id": "LU*CHA*E1"}
    assert shown(street(settings=named))["qr_url"] == "https://pay.example/LU*CHA*E1"
    assert shown(street(settings={**named, "web1_roaming_id": ""}))["qr_url"] == "https://pay.example/CP%201*1"


def test_an_outlet_that_no_key_of_a_backend_names_shows_what_the_file_says_of_it(tmp_path: Path) -> None:
    outlets = "".join(
        f"[[evse]]\nnumber = {n}\nqr_url = 'https://pay.example/{n}'\n"
        "[evse.board]\ndriver = 'x'\n[evse.meter]\ndriver = 'x'\n"
        for n in range(1, 7)
    )
    file = parse_station_file(
        tomllib.loads(f"[station]\nid = 'X'\n[display]\ndriver = 'x'\n{outlets}"), tmp_path / "s.toml"
    )
    known = {"qr4_url": initial_settings(file).text_value("qr4_url")}
    play = Playbook(web_payment=web_plan(file), settings=known, evses=6)
    assert [shown(play, n)["qr_url"] for n in (4, 5, 6)] == [f"https://pay.example/{n}" for n in (4, 5, 6)]


def test_no_one_is_led_to_a_payment_that_cannot_lead_to_a_charge() -> None:
    play = street(settings={**SETTINGS, "local_authorize_offline": True})
    play.feed(LinkChanged(LINK, False))
    assert shown(play) == {"qr_url": "", "no_code": "offline"}
    play.feed(LinkChanged(LINK, True))
    assert shown(play)["qr_url"]
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    assert "qr_url" not in shown(play)
    untrusted = street(cold=True)
    untrusted.trusted = False
    assert shown(street(free_vending=True)) == {"qr_url": ""}


def test_without_a_clock_there_is_no_code() -> None:
    play = street()
    play.trusted = False
    play.feed(LinkChanged(LINK, False))
    play.feed(LinkChanged(LINK, True))
    assert shown(play) == {"qr_url": "", "no_code": "clock"}


def test_only_once_a_vehicle_is_there() -> None:
    play = street(WebPaymentConfig(station="CP", dynamic=True, plugged=True))
    assert shown(play) == {"qr_url": ""}
    play.skip().feed(CablePlugged(1))
    play.feed(VehicleConnected(1))
    assert shown(play)["qr_url"]


def begun(play: Playbook, timeout_s: int = 60, evse: int = 1) -> Playbook:
    play = (
        play >> RequestReceived(LINK, "w", WebPaymentStartedRequest(evse, timeout_s)) << Response(LINK, "w", "Accepted")
    )
    assert play
    return play


def test_who_pays_has_the_outlet_to_himself_until_the_remote_start() -> None:
    """C25.FR.22."""
    play = begun(street())
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.CHECKING, "paying")
    assert shown(play) == {"remaining_s": 60}
    play.wait(10)
    assert shown(play) == {"remaining_s": 50}
    assert play >> CardPresented(1, A)
    assert (play.screens[1].name, play.screens[1].detail) == (ScreenName.REFUSED, "paying")
    web = Token("WEB-1", TokenType.CENTRAL)
    play.skip().feed(RequestReceived(LINK, "r", RemoteStartRequest(1, web, "77")))
    assert play.state(1) in (SessionState.AUTHORIZED, SessionState.OCCUPIED, SessionState.FREE)
    if play.state(1) is not SessionState.AUTHORIZED:  # the backend is asked first, by setting
        play.skip().feed(TokenAuthorized("token:1", web, Verdict(AuthorizationStatus.ACCEPTED)))
    assert play.state(1) is SessionState.AUTHORIZED
    assert play.evse(1).payer_until_s is None


PRICE = Tariff(kwh=parse_rate("0.45"))


def paid(tariff: Tariff = PRICE) -> Playbook:
    """A driver has paid at the page of outlet 1, and the remote start has come."""
    play = street()
    configure(play.evse(1), offer=AdhocTariff(tariff))
    begun(play).skip().feed(RequestReceived(LINK, "r", RemoteStartRequest(1, Token("WEB-1"), "77", asks=False)))
    return play


def test_who_has_paid_at_the_page_sees_the_price_and_is_asked_for_no_card() -> None:
    play = paid()
    assert play.screens[1].name is ScreenName.PLUG_IN
    assert play.screens[1].values["tariff_kwh_micro"] == 450_000
    play.feed(VehicleConnected(1))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert play.screens[1].values["stop_hint"] == "unplug"
    again = Session.from_record("s", play.session(1).to_record())
    assert again.web, "also after a restart"


def charging(tariff: Tariff, wh_now: int = 3000, seconds: float = 60.0) -> Playbook:
    """The session of a driver who has paid at the page has drawn so much."""
    play = paid(tariff)
    for event in (VehicleConnected(1), MeterRead(1, begin_reading(1), wh(1000)), OfferChanged(1, True), VehicleReady(1),
                  ContactorClosed(1), MeterRead(1, LIVE, wh(1000))):  # fmt: skip
        play.feed(event)
    play.skip().t_s += seconds
    play.feed(MeterRead(1, LIVE, wh(wh_now)))
    return play.skip()


def said(play: Playbook) -> tuple[Any, ...]:
    values = play.screens[1].values
    return play.screens[1].name, values.get("cost_micro"), values.get("cost_estimated"), values.get("cost_final")


def test_who_has_paid_at_the_page_sees_what_it_comes_to() -> None:
    play = charging(Tariff(kwh=parse_rate("0.45"), minute=parse_rate("0.10"), session=parse_rate("1.00")))
    assert said(play) == (ScreenName.CHARGING, 2_000_000, True, False)
    assert play.screens[1].values["tariff_kwh_micro"] == 450_000
    for event in (VehicleLeft(1), ContactorOpened(1)):
        play.feed(event)
    play.skip().wait(11).skip().feed(MeterRead(1, end_reading(play.evse(1).progress.end_try), wh(5000)))
    assert said(play.skip()) == (ScreenName.FINISHED, 2_900_000, True, True)
    assert play.screens[1].values["bill_kwh_micro"] == 1_800_000


def test_what_the_backend_says_of_the_cost_goes_before() -> None:
    play = charging(Tariff(kwh=parse_rate("0.45")))
    assert said(play) == (ScreenName.CHARGING, 900_000, True, False)
    play.evse(1).pricing.account = DriverCost(play.session(1).id, 1, 1000, cost=Cost(770_000))
    play.site.settings.put_value("cost_display", True)
    play.feed(MeterRead(1, LIVE, wh(3100)))
    assert said(play)[:3] == (ScreenName.CHARGING, 770_000, False)


@pytest.mark.parametrize(
    ("tariff", "known"), [(Tariff(kwh=parse_rate("0.45")), True), (Tariff(minute=parse_rate("0.1")), False)]
)
def test_after_a_restart_only_energy_can_be_reckoned(tariff: Tariff, known: bool) -> None:
    play = charging(tariff)
    play.feed(SessionOpened(1, play.session(1).id, TriggerReason.TX_RESUMED))
    play.feed(MeterRead(1, LIVE, wh(5000)))
    assert said(play.skip())[1] == (1_800_000 if known else None)


def test_the_estimate_is_by_the_price_that_was_presented_when_the_payment_began() -> None:
    """The station's price changes before the remote start, and again before the session and a restart."""
    play = street()
    configure(play.evse(1), offer=AdhocTariff(PRICE))
    begun(play).skip()
    for kwh in ("0.60", "0.70"):
        configure(play.evse(1), offer=AdhocTariff(Tariff(kwh=parse_rate(kwh))))
        if kwh == "0.60":
            play.feed(RequestReceived(LINK, "r", RemoteStartRequest(1, Token("WEB-1"), "77", asks=False)))
            assert play.screens[1].values["tariff_kwh_micro"] == 450_000
    for event in (VehicleConnected(1), MeterRead(1, begin_reading(1), wh(1000)), MeterRead(1, LIVE, wh(3000))):
        play.skip().feed(event)
    assert said(play)[1] == 900_000
    stored = Session.from_record("s", json.loads(json.dumps(play.session(1).to_record())))
    assert stored.tariff == PRICE
    play.feed(SessionOpened(1, play.session(1).id, TriggerReason.TX_RESUMED))
    play.feed(MeterRead(1, LIVE, wh(5000)))
    assert said(play.skip())[1] == 1_800_000


def test_who_starts_by_a_contract_is_reckoned_nothing() -> None:
    play = street()
    configure(play.evse(1), offer=AdhocTariff(Tariff(kwh=parse_rate("0.45"))))
    play.skip().feed(RequestReceived(LINK, "r", RemoteStartRequest(1, Token("APP-1"), "77", asks=False)))
    for event in (VehicleConnected(1), MeterRead(1, begin_reading(1), wh(1000)), MeterRead(1, LIVE, wh(3000))):
        play.feed(event)
    assert play.evse(1).pricing.estimate is None


def test_a_vehicle_that_cannot_end_it_by_leaving_gets_nothing() -> None:
    play = paid()
    play.site.settings.put_value("stop_on_ev_disconnect", False)
    play.feed(VehicleConnected(1))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert play.screens[1].values["stop_hint"] == ""


def test_an_app_starts_with_the_token_of_a_card() -> None:
    play = street()
    play.skip().feed(RequestReceived(LINK, "r", RemoteStartRequest(1, Token("APP-1"), "77", asks=False)))
    play.feed(VehicleConnected(1))
    play.feed(MeterRead(1, begin_reading(1), wh(1000)))
    assert play.screens[1].values["stop_hint"] == "card"


def test_an_outlet_that_a_person_pays_for_cannot_be_reserved() -> None:
    play = begun(street(evses=1))
    reserve = ReserveNowRequest(7, 1, A, (play.now.utc_s or 0.0) + 600)
    assert play.skip() >> RequestReceived(LINK, "v", reserve) << Response(LINK, "v", "Occupied")
    play.wait(60.5)
    assert play.skip() >> RequestReceived(LINK, "w", reserve) << Persist << Response(LINK, "w", "Accepted")


def test_the_outlet_is_free_again_after_the_time() -> None:
    """C25.FR.22."""
    play = begun(street(), 30)
    play.wait(30.5)
    assert play.screens[1].name is ScreenName.IDLE
    assert play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)


def test_a_payment_that_fails_is_said_to_who_stands_there() -> None:
    words = (MessageContent("Limit reached", "en"), MessageContent("Plafond atteint", "fr"))
    play = begun(street())
    play.skip().feed(RequestReceived(LINK, "w", WebPaymentFailedRequest(1, words)))
    shown = play.screens[1]
    assert (shown.name, shown.detail, shown.values["words"]) == (ScreenName.REFUSED, "web_failed", "Plafond atteint")
    play.skip().wait(5)
    assert play.screens[1].name is ScreenName.IDLE
    play.skip().feed(RequestReceived(LINK, "w", WebPaymentFailedRequest(1)))
    assert play.screens[1].name is ScreenName.IDLE, "no payment was made here"


@pytest.mark.parametrize("ask", [WebPaymentStartedRequest(1, 0), WebPaymentFailedRequest(1)])
def test_a_payment_that_is_over_frees_the_outlet(ask: Any) -> None:
    play = begun(street()) >> RequestReceived(LINK, "x", ask) << Response(LINK, "x", "Accepted")
    assert play
    assert play.screens[1].name is (
        ScreenName.IDLE if isinstance(ask, WebPaymentStartedRequest) else ScreenName.REFUSED
    )


@pytest.mark.parametrize(
    ("evse", "timeout_s", "reason"),
    [
        (0, 60, "invalidConnectorId"),
        (3, 60, "invalidConnectorId"),
        (1, 301, "invalidTimeout"),
        (1, -1, "invalidTimeout"),
    ],
)
def test_what_cannot_be_asked(evse: int, timeout_s: int, reason: str) -> None:
    play = street() >> RequestReceived(LINK, "w", WebPaymentStartedRequest(evse, timeout_s))
    assert play << Response(LINK, "w", "Rejected", {"reason": reason})


def test_an_outlet_that_is_in_use_is_kept_for_no_one() -> None:
    play = street() >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play.skip().feed(TokenAuthorized("token:1", A, Verdict(AuthorizationStatus.ACCEPTED)))
    play = play.skip() >> RequestReceived(LINK, "w", WebPaymentStartedRequest(1, 60))
    assert play << Response(LINK, "w", "Rejected", {"reason": "connectorNotAvailable"})


def test_a_card_at_the_reader_of_the_station_gets_the_other_outlet() -> None:
    play = begun(street()) >> CardPresented(0, A)
    assert play << AuthorizeToken(LINK, "token:1", A, 2)


def test_a_backend_that_only_looks_on_keeps_no_outlet_for_any_person() -> None:
    play = street(links=(LINK, "second"))
    for ask in (WebPaymentStartedRequest(1, 60), WebPaymentFailedRequest(1)):
        play >> RequestReceived("second", "r", ask) << Like(Response, status="Rejected")
    assert play.evse(1).payer_until_s is None
