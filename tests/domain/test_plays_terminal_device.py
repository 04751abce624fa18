"""A payment terminal as a device: what it says of itself is in the device model, as long as it is there and after."""

from __future__ import annotations

from typing import Any

from agent.domain.events import RequestReceived
from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest
from agent.domain.terminal_messages import TerminalLost, TerminalOpened
from agent.domain.variables import TERMINAL, Settings, terminal_part
from agent.model.bank_card import TerminalIdentity
from agent.ocpp.dialects.device_model_v2x import NAMES, Of, ReportFacts
from agent.ocpp.dialects.dialect import Identity
from tests.domain.playbook import LINK, Playbook
from tests.domain.test_plays_payment import till

APOLLO = TerminalIdentity("Payter", "Apollo", "APO123", "2.1.7")


def inventory(play: Playbook) -> dict[int, dict[str, Any]]:
    [reply] = [o for o in play.feed(RequestReceived(LINK, "q", DeviceReportRequest())) if isinstance(o, Response)]
    play.skip()
    return dict(reply.data["evses"])


def shown(play: Playbook, place: int = 0) -> dict[str, str]:
    """PaymentCtrlr of the station, or of an EVSE."""
    parts = frozenset({TERMINAL, terminal_part(place)})
    identity = Identity("v", "m", "s", "f")
    facts = ReportFacts({}, inventory(play), identity, parts=parts)
    of = Of.EVSE if place else Of.STATION
    names = [n for n in NAMES if n.profile == terminal_part(place) and n.of is of and n.only == place]
    assert all(Settings(fitted=parts).offers_part(n.profile) for n in names)
    return {n.variable: n.present_text(facts, place) for n in names}


def test_what_a_terminal_says_of_itself_is_in_the_device_model() -> None:
    play = till().skip()
    play.feed(TerminalOpened(0, APOLLO))
    known = {"Model": "Apollo", "SerialNumber": "APO123", "FirmwareVersion": "2.1.7"}
    assert shown(play.skip()) == {**known, "Connected": "true"}
    play.feed(TerminalLost(0))
    assert shown(play.skip()) == {**known, "Connected": "false"}, "it is still the one that was there"


def test_a_terminal_that_says_nothing_or_was_never_there() -> None:
    play = till().skip()
    play.feed(TerminalOpened(0, TerminalIdentity("Payter")))
    assert shown(play.skip())["Model"] == "Payter"
    assert "terminal" not in inventory(play)[1]
    assert shown(play, place=1) == {"Model": "", "SerialNumber": "", "FirmwareVersion": "", "Connected": "false"}
