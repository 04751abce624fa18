"""Golden lines of reservations, in both versions; what is said is judged by jsonschema."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.messages import ReservationEnded, TransactionStarted
from agent.domain.requests import CancelReservationRequest, RemoteStartRequest, ReserveNowRequest
from agent.model.types import Stamp, Token, TokenType
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressible, NotOffered
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import UTC_S, decoded, desk
from tests.ocpp.test_rows_lists import answered, judge, row

RESERVATION_ACTIONS = ("CancelReservation", "ReserveNow")

WHEN, CARD = "2026-11-25T10:00:00Z", Token("A")
IN_16 = {"connectorId": 2, "idTag": "A", "expiryDate": WHEN, "reservationId": 7}
IN_201 = {"id": 7, "expiryDateTime": WHEN, "idToken": {"idToken": "A", "type": "ISO14443"}}
FAMILY = {"idToken": "F", "type": "Central"}


@pytest.mark.parametrize(
    ("dialect", "payload", "ask"),
    [
        (V16, IN_16, ReserveNowRequest(7, 2, CARD, UTC_S)),
        (V16, {**IN_16, "connectorId": 0, "parentIdTag": "F"}, ReserveNowRequest(7, 0, CARD, UTC_S, "F")),
        (V201, IN_201, ReserveNowRequest(7, 0, CARD, UTC_S)),
        (V201, {**IN_201, "evseId": 1, "groupIdToken": FAMILY}, ReserveNowRequest(7, 1, CARD, UTC_S, "F")),
        (V201, {**IN_201, "connectorType": "cType2"}, ReserveNowRequest(7, 0, CARD, UTC_S, "", "cType2")),
    ],
)
def test_a_reservation_is_asked_of_the_domain(
    dialect: Dialect, payload: dict[str, Any], ask: ReserveNowRequest
) -> None:
    judge(dialect, "ReserveNow" + ("" if dialect is V16 else "Request"), payload)
    assert row(dialect, "ReserveNow").decode(payload, desk()) == ask


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        (V16, {**IN_16, "idTag": ""}),
        (V16, {**IN_16, "idTag": "A\t"}),
        (V16, {**IN_16, "connectorId": -1}),
        (V16, {**IN_16, "parentIdTag": "\n"}),
        (V201, {**IN_201, "evseId": 9}),
        (V201, {**IN_201, "evseId": 0}),
        (V201, {**IN_201, "idToken": {"idToken": "", "type": "NoAuthorization"}}),
    ],
)
def test_rejected_at_once(dialect: Dialect, payload: dict[str, Any]) -> None:
    assert decoded(row(dialect, "ReserveNow"), payload, desk()) == {"status": "Rejected"}


@pytest.mark.parametrize("word", ["Accepted", "Faulted", "Occupied", "Rejected", "Unavailable", "NotImplemented"])
def test_the_answers(word: str) -> None:
    for dialect in (V16, V201):
        said = "Rejected" if word == "NotImplemented" else word
        assert answered(dialect, "ReserveNow", word) == {"status": said}
        cancelled = "Accepted" if word == "Accepted" else "Rejected"
        assert answered(dialect, "CancelReservation", word) == {"status": cancelled}
        assert row(dialect, "CancelReservation").decode({"reservationId": 7}, desk()) == CancelReservationRequest(7)


@pytest.mark.parametrize(("expired", "word"), [(True, "Expired"), (False, "Removed")])
def test_the_end_of_one_is_reported_in_2_0_1(expired: bool, word: str) -> None:
    assert isinstance(V16.message_row(ReservationEnded), NotExpressible)
    out = V201.message_row(ReservationEnded)
    assert isinstance(out, MessageRow)
    payload = out.encode(ReservationEnded("chargy/7", expired), desk())
    judge(V201, "ReservationStatusUpdateRequest", payload)
    assert payload == {"reservationId": 7, "reservationUpdateStatus": word}
    assert out.encode(ReservationEnded("owner/7", expired), desk()) is None


@pytest.mark.parametrize(("reservation", "known"), [("chargy/7", 7), ("chargy/-3", -3), ("owner/7", None), ("", None)])
def test_the_transaction_names_it_to_the_backend_that_made_it(reservation: str, known: int | None) -> None:
    message = TransactionStarted("s1", 1, CARD, Stamp(1, 0.0), 5, reservation=reservation)
    for dialect, name in ((V16, "StartTransaction"), (V201, "TransactionEventRequest")):
        out = dialect.message_row(TransactionStarted)
        assert isinstance(out, MessageRow)
        payload = out.encode(message, desk())
        judge(dialect, name, payload)
        assert payload is not None
        assert payload.get("reservationId") == known


def test_the_group_of_a_remote_start() -> None:
    payload = {"idToken": {"idToken": "A", "type": "Central"}, "remoteStartId": 1, "groupIdToken": FAMILY}
    place = desk()
    place.boot = "Accepted"
    ask = row(V201, "RequestStartTransaction").decode(payload, place)
    assert ask == RemoteStartRequest(None, Token("A", TokenType.CENTRAL), "1", group="F")


def test_switched_off_it_is_refused_politely() -> None:
    for dialect in (V16.without_features(("Reservation",)), V201.without_features(("Reservation",))):
        assert isinstance(dialect.request_row("CancelReservation"), NotOffered)
        found = dialect.request_row("ReserveNow")
        assert decoded(found, {}, desk()) == {"status": "Rejected"}
