"""Golden lines of messages for drivers (OCPP 2.0.1 block O); what is said is judged by jsonschema."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.display_messages import MESSAGES_MAX, DisplayMessage, MessagePriority, MessageRefusal, MessageState
from agent.domain.messages import DisplayMessagesReport
from agent.domain.orders import Response
from agent.domain.requests import ClearDisplayMessageRequest, GetDisplayMessagesRequest, SetDisplayMessageRequest
from agent.domain.variables import DISPLAY_MESSAGES, Settings
from agent.model.types import MessageContent
from agent.ocpp.dialects.dialect import MessageRow, NotExpressible, Refused, RowContext
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.v201.display_messages import CHUNK
from tests.ocpp.ocpp_stand_ins import UTC_S, decoded, desk
from tests.ocpp.test_rows_lists import judge, row

DISPLAY_ACTIONS = ("ClearDisplayMessage", "GetDisplayMessages", "SetDisplayMessage")
HELLO = {"format": "UTF8", "content": "Grüß Gott"}
PLAIN = {"id": 7, "priority": "NormalCycle", "message": HELLO}
WHOLE: dict[str, Any] = {
    "display": {"name": "Display", "evse": {"id": 2}},
    "id": 7,
    "priority": "InFront",
    "state": "Unavailable",
    "startDateTime": "2026-11-25T10:00:00.000Z",
    "endDateTime": "2026-11-25T11:00:00.000Z",
    "transactionId": "s1",
    "message": {"format": "ASCII", "language": "en-US", "content": "Hello\n there"},
}
DECODED = DisplayMessage(
    7, MessagePriority.IN_FRONT, MessageContent("Hello\n there", "en-US", "ASCII"), MessageState.UNAVAILABLE,
    UTC_S, UTC_S + 3600, "s1", "s1", 2,
)  # fmt: skip
BARE = DisplayMessage(7, MessagePriority.NORMAL_CYCLE, MessageContent("Grüß Gott"))


def place() -> RowContext:
    return desk(settings=Settings(fitted=frozenset({DISPLAY_MESSAGES})))


def set_(info: dict[str, Any], at: RowContext | None = None) -> Any:
    payload = {"message": info}
    judge(V201, "SetDisplayMessageRequest", payload)
    return decoded(row(V201, "SetDisplayMessage"), payload, at or place())


def answered(action: str, status: str) -> dict[str, Any]:
    answer = row(V201, action).answer(Response("chargy", "1", status), {}, place())
    judge(V201, f"{action}Response", answer)
    return answer


def encoded(message: DisplayMessagesReport) -> dict[str, Any]:
    found = V201.message_row(DisplayMessagesReport)
    assert isinstance(found, MessageRow)
    payload = found.encode(message, place())
    judge(V201, "NotifyDisplayMessagesRequest", payload)
    assert payload is not None
    return payload


def test_a_message_is_asked_of_the_domain() -> None:
    assert set_(WHOLE) == SetDisplayMessageRequest(DECODED)
    assert set_(PLAIN) == SetDisplayMessageRequest(BARE)


def test_a_transaction_of_another_version_is_known_by_its_name_there() -> None:
    at = place()
    at.outbox.facts["transaction", "chargy/s9"] = {"id": "42"}  # type: ignore[attr-defined]
    asked = set_({**PLAIN, "transactionId": "42"}, at)
    assert (asked.message.transaction, asked.message.session) == ("42", "s9")


@pytest.mark.parametrize("kind", ["HTML", "URI"])
def test_formats_that_are_not_shown(kind: str) -> None:
    """O01.FR.03, O02.FR.05"""
    content = {"format": kind, "content": "https://example.lu"}
    answer = set_({**PLAIN, "message": content})
    judge(V201, "SetDisplayMessageResponse", answer)
    assert answer["status"] == "NotSupportedMessageFormat"
    assert answer["statusInfo"]["additionalInfo"] == f"format: ASCII and UTF8 are shown, {kind} is not"


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": {"format": "ASCII", "content": "Grüß Gott"}},
        {"message": {"format": "UTF8", "content": ""}},
        {"message": {"format": "UTF8", "content": " \n "}},
        {"message": {"format": "UTF8", "content": "a\x1b[2Jb"}},
        {"message": {"format": "UTF8", "content": "a", "language": "\x00"}},
        {"startDateTime": "soon"},
        {"endDateTime": "never"},
        {"display": {"name": "Billboard"}},
        {"display": {"name": "Display", "instance": "left"}},
        {"display": {"name": "Display", "evse": {"id": 3}}},
        {"display": {"name": "Display", "evse": {"id": 1, "connectorId": 2}}},
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_rejected(wrong: dict[str, Any]) -> None:
    answer = decoded(row(V201, "SetDisplayMessage"), {"message": {**PLAIN, **wrong}}, place())
    judge(V201, "SetDisplayMessageResponse", answer)
    assert answer["status"] == "Rejected"
    named = next(iter(wrong)).replace("message", "content")
    assert named in answer["statusInfo"]["additionalInfo"]


def test_the_domain_says_why() -> None:
    reason = MessageRefusal("UnknownTxId", "no such transaction is running here", "UnknownTransaction")
    reply = Response("chargy", "1", reason.status, {"reason": reason})
    answer = row(V201, "SetDisplayMessage").answer(reply, {}, place())
    judge(V201, "SetDisplayMessageResponse", answer)
    assert answer == {
        "status": "UnknownTransaction",
        "statusInfo": {"reasonCode": "UnknownTxId", "additionalInfo": "no such transaction is running here"},
    }


@pytest.mark.parametrize(
    ("display", "evse"),
    [
        ({"name": "Display"}, 0),
        ({"name": "display", "evse": {"id": 0}}, 0),
        ({"name": "Display", "evse": {"id": 1, "connectorId": 1}}, 1),
    ],
)
def test_displays(display: dict[str, Any], evse: int) -> None:
    assert set_({**PLAIN, "display": display}).message.evse == evse


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Accepted", ("Accepted", "Accepted", "Accepted")),
        ("Unknown", ("Unknown", "Unknown", "Rejected")),
        ("Rejected", ("Unknown", "Unknown", "Rejected")),
    ],
)
def test_the_answers(said: str, words: tuple[str, ...]) -> None:
    assert tuple(answered(action, said)["status"] for action in DISPLAY_ACTIONS) == words


def test_getting_and_clearing() -> None:
    payload = {"requestId": 9, "id": [7, 8], "priority": "AlwaysFront", "state": "Idle"}
    judge(V201, "GetDisplayMessagesRequest", payload)
    asked = GetDisplayMessagesRequest((7, 8), MessagePriority.ALWAYS_FRONT, MessageState.IDLE)
    assert decoded(row(V201, "GetDisplayMessages"), payload, place()) == asked
    assert decoded(row(V201, "GetDisplayMessages"), {"requestId": 9}, place()) == GetDisplayMessagesRequest()
    assert decoded(row(V201, "ClearDisplayMessage"), {"id": 7}, place()) == ClearDisplayMessageRequest(7)


def test_what_is_reported_is_what_was_set() -> None:
    for info, message in ((WHOLE, DECODED), (PLAIN, BARE)):
        assert encoded(DisplayMessagesReport(9, False, (message,))) == {
            "requestId": 9, "tbc": False, "messageInfo": [info],
        }  # fmt: skip
    station = encoded(DisplayMessagesReport(9, True, (DisplayMessage(1, BARE.priority, BARE.content, evse=0),)))
    assert station["tbc"] is True
    assert station["messageInfo"][0]["display"] == {"name": "Display"}


@pytest.mark.parametrize(("count", "parts"), [(0, []), (1, [1]), (5, [5]), (6, [5, 1]), (MESSAGES_MAX, [5] * 4)])
def test_a_long_report_has_parts(count: int, parts: list[int]) -> None:
    """O03.FR.03 to O03.FR.05: all but the last are to be continued."""
    assert CHUNK == 5
    found = tuple(DisplayMessage(n, BARE.priority, BARE.content) for n in range(count))
    reply = Response("chargy", "1", "Accepted", {"messages": found})
    sent = row(V201, "GetDisplayMessages").follow_up(reply, {"requestId": 9}, place())
    reports = [m for m in sent if isinstance(m, DisplayMessagesReport)]
    assert [len(m.messages) for m in reports] == parts
    assert [m.more for m in reports] == [True] * (len(parts) - 1) + [False] * bool(parts)
    assert {m.request for m in reports} <= {9}
    assert [one.id for m in reports for one in m.messages] == list(range(count))


@pytest.mark.parametrize("action", DISPLAY_ACTIONS)
def test_a_station_without_a_display_refuses(action: str) -> None:
    payload = {"message": PLAIN, "id": 7, "requestId": 9}
    with pytest.raises(Refused, match="no display") as refused:
        row(V201, action).decode(payload, desk())
    assert refused.value.code == "NotSupported"
    with pytest.raises(Refused):
        row(V201, action).answer(Response("chargy", "1", "NotImplemented"), {}, place())


def test_1_6_has_no_such_report() -> None:
    assert isinstance(V16.message_row(DisplayMessagesReport), NotExpressible)
