"""What the answers of a backend bring of costs (OCPP 2.0.1 I02, I03), and what of it is no amount or no text."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.csms_cost import Cost
from agent.domain.events import CostReceived, DriverMessageReceived, Event, TokenAuthorized
from agent.domain.messages import ChargingState as State
from agent.domain.messages import StopReason, TransactionEnded, TransactionUpdated, TriggerReason
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import CostUpdatedRequest
from agent.domain.variables import Settings
from agent.model.types import MessageContent, Stamp, Token
from agent.ocpp.dialects.dialect import MessageRow, Refused, RequestRow
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import desk

AT, CARD = Stamp(1, 0.0), Token("04AAAAAA")
ENDED = TransactionEnded("s1", 1, CARD, AT, 9, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
UPDATED = TransactionUpdated("s1", 1, AT, TriggerReason.CHARGING_STATE_CHANGED, State.CHARGING)
HELLO = {"format": "UTF8", "language": "fr", "content": "0,30 €\nla kWh"}
TEXTS = (MessageContent("0,30 € la kWh", "fr"),)
URL = {"format": "URI", "content": "https://cpo.example/receipt/1"}


def heard(message: Any, payload: dict[str, Any]) -> tuple[Event, ...]:
    row = V201.message_row(type(message))
    assert isinstance(row, MessageRow)
    return row.row_for(message).decode_response(message, payload, desk()).events


@pytest.mark.parametrize(
    ("message", "payload", "events"),
    [
        (UPDATED, {"totalCost": 1.1}, (CostReceived("chargy", "s1", Cost(1_100_000)),)),
        (UPDATED, {"updatedPersonalMessage": HELLO}, (DriverMessageReceived("chargy", TEXTS, session="s1"),)),
        (ENDED, {"totalCost": 0}, (CostReceived("chargy", "s1", Cost(0, final=True)),)),
        (
            ENDED, {"totalCost": 3.31, "updatedPersonalMessage": HELLO},
            (CostReceived("chargy", "s1", Cost(3_310_000, final=True, texts=TEXTS)),),
        ),
        (
            ENDED, {"totalCost": 3.31, "updatedPersonalMessage": URL},
            (CostReceived("chargy", "s1", Cost(
                3_310_000, final=True, texts=(MessageContent(URL["content"], "", "URI"),), qr=URL["content"],
            )),),
        ),
        (UPDATED, {"totalCost": -1}, ()),
        (UPDATED, {"totalCost": 1e300}, ()),
        (UPDATED, {"updatedPersonalMessage": {"format": "UTF8", "content": "  "}}, ()),
        (UPDATED, {"updatedPersonalMessage": {"format": "UTF8", "content": "\x1b[2J"}}, ()),
        (UPDATED, {"updatedPersonalMessage": {"format": "UTF8", "content": "x" * 513}}, ()),
        (ENDED, {"chargingPriority": 3}, ()),
    ],
)  # fmt: skip
def test_of_a_transaction_event(message: Any, payload: dict[str, Any], events: tuple[Event, ...]) -> None:
    assert heard(message, payload) == events


def test_of_an_authorisation_the_message_comes_before_the_verdict() -> None:
    order = AuthorizeToken("chargy", "t1", CARD)
    message, judged = heard(order, {"idTokenInfo": {"status": "Accepted", "personalMessage": HELLO}})
    assert message == DriverMessageReceived("chargy", TEXTS, token=CARD)
    assert isinstance(judged, TokenAuthorized)


def test_cost_updated() -> None:
    row = V201.request_row("CostUpdated")
    assert isinstance(row, RequestRow)
    at, wanted = desk(), {"transactionId": "s1", "totalCost": 1.5}
    with pytest.raises(Refused, match="not shown"):
        row.decode(wanted, at)
    at.settings = Settings({"cost_display": True})
    assert row.decode(wanted, at) == CostUpdatedRequest("s1", Cost(1_500_000))
    with pytest.raises(Refused, match="totalCost"):
        row.decode({**wanted, "totalCost": -1}, at)
    assert row.answer(Response("chargy", "1", "Accepted"), wanted, at) == {}
    with pytest.raises(Refused, match="no such transaction"):
        row.answer(Response("chargy", "1", "Rejected"), wanted, at)
