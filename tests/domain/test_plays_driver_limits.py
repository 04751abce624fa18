"""The most that a charge may come to, chosen by its driver at the display before the QR code is scanned (OCPP 2.1 C25,
URLParameters): it is in the address, and it is a limit of the transaction that is paid for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import (
    ButtonPressed,
    CablePlugged,
    LimitReceived,
    MeterRead,
    RequestReceived,
    SettingChanged,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.messages import TransactionUpdated, TriggerReason
from agent.domain.orders import AuthorizeToken, Send, SetRelease
from agent.domain.requests import RemoteStartRequest, WebPaymentStartedRequest
from agent.domain.tariff import Tariff
from agent.domain.transaction import TxPoint
from agent.domain.web_payment import MAX_COST, MAX_ENERGY, MAX_TIME, WebPaymentConfig, add_limit_parameters
from agent.model.types import ScreenName, Token, TokenType, TransactionLimit
from tests.domain.playbook import ACCEPTED, LINK, A, Playbook, charging, energised, make_site, wh
from tests.domain.test_plays_payment import paid, till
from tests.support.domain_state import configure
from tests.support.reading_purposes import LIVE

PSP = Token("PSP-77", TokenType.DIRECT_PAYMENT)
CHOICES = {MAX_ENERGY: (10_000, 20_000), MAX_TIME: (1800, 3600), MAX_COST: (500, 1000)}
SETTINGS: dict[str, Any] = {
    "web1_enabled": True,
    "web1_template": "https://pay.example/{chargingstationid}/{evse}/{totp}/{version}/",
    "web1_secret": "secure!Charging!",
}


def street(evses: int = 1, choices: Any = CHOICES, settings: Any = SETTINGS, **options: Any) -> Playbook:
    plan = WebPaymentConfig(station="CP", dynamic=True, limit_choices=choices)

    def site() -> Any:
        made = make_site(evses, {**SETTINGS, **settings}, web_payment=plan, limits_transactions=True, **options)
        for evse in made.evses.values():
            configure(evse, offer=AdhocTariff(Tariff(kwh=Decimal("0.50"))))
        return made

    return Playbook(site)


def pressed(play: Playbook, *names: str) -> Playbook:
    for name in names:
        play.feed(ButtonPressed(name))
    return play.skip()


def query(play: Playbook, evse: int = 1) -> str:
    """What the address of the code says behind its path."""
    return str(play.screens[evse].values["qr_url"]).partition("/v1/")[2]


def started(play: Playbook, token: Token = PSP, evse: int = 1) -> Playbook:
    """The page was paid at; the backend starts the transaction, and energy flows."""
    for event in (CablePlugged(evse), VehicleConnected(evse)):
        play.feed(event)
    play.feed(RequestReceived(LINK, "r", RemoteStartRequest(evse, token, "77")))
    for order in [o for o in play.log if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    return energised(play.skip(), evse)


def confirmed(play: Playbook) -> list[TransactionLimit | None]:
    sent = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, TransactionUpdated)]
    return [m.limit for m in sent if m.trigger is TriggerReason.LIMIT_SET]


def released(play: Playbook) -> bool:
    return [o.on for o in play.log if isinstance(o, SetRelease)][-1]


def drawn(play: Playbook, more_wh: int) -> Playbook:
    play.feed(MeterRead(1, LIVE, wh(1000 + more_wh)))
    return play.skip()


@pytest.mark.parametrize(
    ("presses", "wanted"),
    [
        ((), ""),
        (("limit-energy",), "?maxenergy=10000"),
        (("limit-energy", "limit-energy"), "?maxenergy=20000"),
        (("limit-energy",) * 3, ""),
        (("limit-energy",) * 4, "?maxenergy=10000"),
        (("limit-time",), "?maxtime=1800"),
        (("limit-cost", "limit-cost"), "?maxcost=10"),
        (("limit-cost", "limit-energy", "limit-time"), "?maxtime=1800&maxenergy=10000&maxcost=5"),
        (("limit-energy-1",), "?maxenergy=10000"),
        (("limit-energy-2", "limit-power", "limit-", "limit-energy-x"), ""),
    ],
)
def test_what_is_chosen_is_in_the_address(presses: tuple[str, ...], wanted: str) -> None:
    """C25.FR.03, C25.FR.56, C25.FR.57, C25.FR.58."""
    assert query(pressed(street(), *presses)) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://p.example/a", "https://p.example/a?maxenergy=1&maxcost=2.50"),
        ("https://p.example/a?b=c", "https://p.example/a?b=c&maxenergy=1&maxcost=2.50"),
        ("https://p.example/a?", "https://p.example/a?maxenergy=1&maxcost=2.50"),
        ("https://p.example/a#top", "https://p.example/a?maxenergy=1&maxcost=2.50#top"),
    ],
)
def test_parameters_join_any_address(url: str, wanted: str) -> None:
    assert add_limit_parameters(url, TransactionLimit(cost_cents=250, energy_wh=1)) == wanted
    assert add_limit_parameters(url, TransactionLimit()) == url


def test_only_what_is_offered_can_be_chosen() -> None:
    """C25.FR.03: URLParameters names what is offered."""
    play = pressed(street(choices={MAX_ENERGY: (5000,)}), "limit-time", "limit-cost")
    assert query(play) == ""
    assert query(pressed(play, "limit-energy")) == "?maxenergy=5000"


def test_with_several_outlets_each_has_its_own_choice() -> None:
    second = {name.replace("1", "2", 1): value for name, value in SETTINGS.items()}
    play = pressed(street(2, settings=second), "limit-energy", "limit-energy-2")
    assert (query(play, 1), query(play, 2)) == ("", "?maxenergy=10000")
    assert play.screens[2].values["limit_energy_wh"] == 10_000
    assert "limit_energy_wh" not in play.screens[1].values


@pytest.mark.parametrize(
    ("button", "limit", "reached"),
    [
        ("limit-energy", TransactionLimit(energy_wh=10_000), TriggerReason.ENERGY_LIMIT),
        ("limit-cost", TransactionLimit(cost_cents=500), TriggerReason.COST_LIMIT),
    ],
)
def test_what_is_chosen_is_reported_and_kept(button: str, limit: TransactionLimit, reached: TriggerReason) -> None:
    """C25.FR.05, C25.FR.06, E16.FR.01."""
    play = started(pressed(street(), button))
    play.evse().pricing.estimate = None
    assert confirmed(play) == [limit]
    drawn(play, 9_999)
    assert released(play)
    drawn(play, 10_000)
    assert released(play) is (reached is TriggerReason.COST_LIMIT), "without a cost no cost is reached"
    assert len(confirmed(play)) == 1


def test_the_cost_that_the_station_reckons_ends_energy() -> None:
    """C25.FR.06: of a driver who has paid at the page."""
    play = pressed(street(), "limit-cost")
    play.feed(RequestReceived(LINK, "w", WebPaymentStartedRequest(1, 60)))
    play = started(play.skip())
    drawn(play, 9_980)
    assert released(play)
    drawn(play, 10_000)
    assert not released(play)


def test_the_time_that_is_chosen_ends_energy() -> None:
    """C25.FR.04."""
    play = started(pressed(street(), "limit-time"))
    assert confirmed(play) == [TransactionLimit(time_s=1800)]
    play.wait(1700).skip()
    assert released(play)
    play.wait(150).skip()
    assert not released(play)


def test_the_lower_of_both_limits_counts() -> None:
    """C25.FR.60, E16.FR.04: the driver of the page has chosen 10 kWh and 5.00."""
    play = started(pressed(street(), "limit-energy", "limit-cost"))
    session = play.session().id
    play.feed(LimitReceived(LINK, session, TransactionLimit(cost_cents=5000, energy_wh=3000)))
    assert confirmed(play)[-1] == TransactionLimit(cost_cents=500, energy_wh=3000)
    drawn(play.skip(), 3000)
    assert not released(play)
    play.feed(LimitReceived(LINK, session, TransactionLimit(energy_wh=50_000)))
    assert confirmed(play)[-1] == TransactionLimit(energy_wh=10_000)
    assert released(play)
    drawn(play.skip(), 10_000)
    assert not released(play)
    play.restart().skip()
    assert play.store["tx_limit"][session]["driver"]["energy_wh"] == 10_000


def test_a_transaction_that_begins_with_its_energy_reports_the_choice_then() -> None:
    """E16.FR.01 after the start: TxStartPoint EnergyTransfer."""
    play = started(pressed(street(settings={"tx_start_points": (TxPoint.ENERGY,)}), "limit-energy"))
    drawn(play, 10)
    kinds = [type(o.message).__name__ for o in play.log if isinstance(o, Send)]
    assert confirmed(play) == [TransactionLimit(energy_wh=10_000)]
    limits = [n for n, o in enumerate(play.log) if isinstance(o, Send) and getattr(o.message, "limit", None)]
    begins = [n for n, o in enumerate(play.log) if isinstance(o, Send) and "Started" in type(o.message).__name__]
    assert begins[0] < limits[0], kinds


def test_a_card_has_no_limit_that_another_driver_has_chosen() -> None:
    play = charging(pressed(street(), "limit-energy"))
    assert play.session().token == A
    assert confirmed(play) == []
    assert play.evse().driver_limit is None


def test_while_a_driver_pays_the_choice_is_fixed() -> None:
    play = pressed(street(), "limit-energy")
    play.feed(RequestReceived(LINK, "w", WebPaymentStartedRequest(1, 300)))
    assert play.screens[1].name is ScreenName.CHECKING
    pressed(play.skip(), "limit-energy")
    play.wait(299).skip()
    assert play.evse().driver_limit == TransactionLimit(energy_wh=10_000)
    assert confirmed(started(play)) == [TransactionLimit(energy_wh=10_000)]


def test_a_choice_is_forgotten_when_its_driver_has_gone() -> None:
    play = pressed(street(), "limit-energy")
    play.wait(299).skip()
    assert query(play) == "?maxenergy=10000"
    play.wait(2).skip()
    assert query(play) == ""
    assert play.store["driver_limit"] == {}
    pressed(play, "limit-energy")
    for event in (CablePlugged(1), VehicleConnected(1), VehicleLeft(1)):
        play.feed(event)
    play.skip().wait(20).skip()
    assert play.evse().driver_limit is None


def test_a_choice_outlives_the_agent_for_its_driver_alone() -> None:
    play = pressed(street(), "limit-energy")
    play.restart().skip()
    assert play.evse().driver_limit == TransactionLimit(energy_wh=10_000)
    play.restart(400.0).skip()
    assert play.evse().driver_limit is None
    pressed(play, "limit-energy")
    play.restart(new_boot=True).skip()
    assert play.evse().driver_limit is None
    play.store["driver_limit"] = {"1": {"limit": "broken"}, "7": {}, "x": {}}
    play.restart().skip()
    assert play.store["driver_limit"] == {}


def test_a_code_that_is_not_there_shows_no_choice() -> None:
    play = pressed(street(settings={"web1_enabled": False, "web1_template": ""}), "limit-energy")
    play.feed(SettingChanged("web1_enabled"))
    assert "limit_energy_wh" not in play.screens[1].values


def test_a_station_without_choices_has_no_such_block() -> None:
    play = pressed(street(choices={}), "limit-energy")
    assert query(play) == ""
    assert play.evse().driver_limit is None


def test_a_bank_card_has_no_limit_that_another_driver_has_chosen() -> None:
    """Its token is a direct payment as well, but it was read at the terminal: its driver has chosen nothing."""
    plan = WebPaymentConfig(station="CP", dynamic=True, limit_choices=CHOICES)
    play = pressed(till(settings=SETTINGS, web_payment=plan, limits_transactions=True), "limit-energy")
    assert play.evse().driver_limit == TransactionLimit(energy_wh=10_000)
    paid(play)
    drawn(play, 11_000)
    assert (confirmed(play), play.session().held) == ([], False)
