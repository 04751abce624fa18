"""The service screen: what a technician sees of the link, the bearers and the modem, where no driver is served."""

from __future__ import annotations

from typing import Any

from agent.domain.bearers import BearerConfig
from agent.domain.events import (
    BearerReported,
    ButtonPressed,
    CablePlugged,
    CardPresented,
    ConnectionExamined,
    FaultRaised,
    LinkChanged,
)
from agent.domain.orders import ExamineConnection
from agent.domain.service_screen import LOOK_S, SHOWN_S
from agent.model.bearer import BearerKind, BearerState, BearerStatus, SimState
from agent.model.fastclass import replace
from agent.model.types import Fault, Lamp, Screen, ScreenName
from tests.domain.playbook import LINK, A, Playbook

LAN, GPRS = "bearer[0]", "bearer[1]"
BEARERS = (BearerConfig(LAN, BearerKind.LAN), BearerConfig(GPRS, BearerKind.GPRS))
ETH0 = BearerStatus(BearerState.UP, "", "eth0", "10.0.0.2")
PPP0 = BearerStatus(
    BearerState.UP, "", "ppp0", "10.9.0.7", SimState.READY, 3, "89352010000000000176", "270991234567890",
    operator="LU POST", technology="LTE", signal_dbm=-85,
)  # fmt: skip
PRESSED = ButtonPressed("service")


def station(**more: Any) -> Playbook:
    play = Playbook(bearers=BEARERS, **more).skip()
    play.feed(BearerReported(LAN, ETH0))
    play.feed(BearerReported(GPRS, PPP0))
    return play.skip()


def screen(play: Playbook, evse: int = 1) -> Screen:
    return play.screens[evse]


def test_the_button_opens_and_closes_it() -> None:
    play = station(evses=2)
    before = [screen(play, n) for n in (1, 2)]
    play.feed(PRESSED)
    assert [screen(play, n).name for n in (1, 2)] == [ScreenName.SERVICE] * 2
    play.feed(PRESSED)
    assert [screen(play, n) for n in (1, 2)] == before
    play.skip()


def test_it_closes_by_itself() -> None:
    play = station()
    play.feed(PRESSED)
    for _ in range(int(SHOWN_S / LOOK_S) - 1):
        play.skip().wait(LOOK_S)
    play.skip().wait(LOOK_S - 1)
    assert screen(play).name is ScreenName.SERVICE
    play.skip().wait(1)
    assert screen(play).name is ScreenName.IDLE
    play.skip()


def test_it_shows_the_bearer_in_use_and_the_radio_of_the_modem() -> None:
    play = station()
    play.feed(PRESSED)
    values = screen(play).values
    assert {k: values[k] for k in ("link_up", "bearer", "bearer_up", "address")} == {
        "link_up": True, "bearer": "lan", "bearer_up": True, "address": "10.0.0.2",
    }  # fmt: skip
    assert (values["operator"], values["technology"], values["signal_dbm"]) == ("LU POST", "LTE", -85)
    assert (values["sim"], values["iccid_tail"]) == ("ready", "0176")
    assert PPP0.iccid not in str(values)
    assert PPP0.imsi not in str(values)
    play.skip()


def test_the_steps_to_the_backend_are_looked_at_while_it_is_shown_and_not_after() -> None:
    play = station()
    assert play >> PRESSED << ExamineConnection
    assert play.wait(LOOK_S) << ExamineConnection
    assert play.wait(LOOK_S) << ExamineConnection
    assert play >> PRESSED
    assert play.wait(SHOWN_S)


def test_it_shows_the_steps_by_their_verdict() -> None:
    play = station(evses=2)
    play.feed(PRESSED)
    assert "steps_good" not in screen(play).values
    play.skip().feed(ConnectionExamined(("disk", "dns"), ("boot",), ("tls",), "tls_failed", "tls", "chargy"))
    for n in (1, 2):
        assert screen(play, n).values.items() >= {
            "steps_good": "disk dns", "steps_not_judged": "boot", "steps_wrong": "tls",
            "problem": "tls_failed", "problem_step": "tls", "problem_subject": "chargy",
        }.items()  # fmt: skip
    play.feed(ConnectionExamined(("disk", "dns", "tls", "boot")))
    assert (screen(play).values["steps_wrong"], screen(play).values["problem"]) == ("", "")
    play.skip()


def test_an_answer_that_comes_late_opens_nothing_and_is_not_shown_later() -> None:
    play = station()
    play.feed(PRESSED)
    play.skip().feed(PRESSED)
    play.feed(ConnectionExamined(("disk",)))
    assert screen(play).name is ScreenName.IDLE
    play.skip().feed(PRESSED)
    assert "steps_good" not in screen(play).values
    play.skip()


def test_it_follows_what_the_bearers_report_and_the_link() -> None:
    play = station()
    play.feed(PRESSED)
    play.feed(BearerReported(GPRS, replace(PPP0, signal_dbm=-99)))
    assert screen(play).values["signal_dbm"] == -99
    play.feed(BearerReported(LAN, BearerStatus(BearerState.DOWN, "no carrier", "eth0")))
    assert screen(play).values["bearer"] == "gprs"
    play.feed(LinkChanged(LINK, False))
    assert screen(play).values["link_up"] is False
    play.skip()


def test_a_driver_comes_first() -> None:
    play = station()
    play.feed(PRESSED)
    play.feed(CardPresented(1, A))
    assert screen(play).name is ScreenName.CHECKING
    play.skip()


def test_at_an_outlet_with_a_session_it_is_not_shown() -> None:
    play = station(evses=2)
    play.feed(CablePlugged(1))
    play.feed(CardPresented(1, A))
    play.skip().feed(PRESSED)
    assert screen(play, 1).name is not ScreenName.SERVICE
    assert screen(play, 2).name is ScreenName.SERVICE
    play.skip()


def test_the_lamp_stays_what_it_is_for_drivers() -> None:
    play = station()
    play.feed(PRESSED)
    assert play.evse().lamp is Lamp.GREEN
    play.feed(FaultRaised(1, Fault.GROUND_FAILURE))
    assert (screen(play).name, play.evse().lamp) == (ScreenName.SERVICE, Lamp.RED)
    play.skip()


def test_a_station_without_bearers_shows_its_link_and_its_program() -> None:
    play = Playbook().skip()
    play.feed(PRESSED)
    values = screen(play).values
    assert values["link_up"] is True
    assert "program" in values
    assert not {"bearer", "address", "signal_dbm", "sim"} & set(values)
    play.skip()
