"""Golden lines of what differs in 2.1; what does not is the line of 2.0.1, judged by the schemas of 2.1."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft6Validator, FormatChecker

from agent.domain.events import CostReceived, LimitReceived, ReceiptReceived
from agent.domain.messages import (
    MeterSampled,
    SettlementReported,
    SettlementStatus,
    StopReason,
    TransactionCost,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.monitoring.monitoring_messages import VariableEvents
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import (
    CustomerInformationRequest,
    RemoteStartRequest,
    ReserveNowRequest,
    SendLocalListRequest,
    SetDisplayMessageRequest,
    SetNetworkProfileRequest,
    WebPaymentStartedRequest,
)
from agent.domain.serialization import dump_record, load_record
from agent.domain.tariff import Tariff
from agent.domain.variables import (
    DISPLAY_MESSAGES,
    TARIFFS,
    TERMINAL,
    TERMINAL_RAISES,
    Settings,
    web_limit_part,
    web_payment_part,
)
from agent.domain.vat_messages import VatNumberGiven, VatNumberJudged
from agent.model.types import (
    AuthorizationStatus,
    DirectPayment,
    SignedReading,
    Token,
    TokenType,
    TransactionLimit,
    Verdict,
)
from agent.ocpp.dialects.billing_scope import billing_only
from agent.ocpp.dialects.dialect import (
    Dialect,
    FixedAnswer,
    LocalAnswer,
    MessageRow,
    NotExpressible,
    NotExpressibleError,
    NotOffered,
    Refused,
    RequestRow,
    find_gaps,
)
from agent.ocpp.v21 import V21, refusals
from agent.ocpp.v21.transactions import encode_cost_details
from agent.ocpp.v201 import V201
from agent.ocpp.v201.device_model import list_entries
from agent.ocpp.v201.metering import encode_signed_value
from agent.ocpp.wire.calls import Code
from tests.ocpp.ocpp_stand_ins import UTC_S, decoded
from tests.ocpp.test_negotiation import INVENTORY
from tests.ocpp.test_v201_rows import (
    AUTHORISED,
    CARD,
    ENDED,
    GOLDEN_IN,
    GOLDEN_OUT,
    REGISTER,
    STARTED,
    T0,
    UPDATED,
    place,
    sample,
)

FOLDER = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations))) / "v21" / "schemas"
PSP = Token("psp-" + "9" * 60, TokenType.DIRECT_PAYMENT)
PSP_TYPE = {"idToken": PSP.value, "type": "DirectPayment"}
PSP_SHORT = Token("PY-1", TokenType.DIRECT_PAYMENT)


def valid(name: str, payload: Any) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8-sig"))
    Draft6Validator(document, format_checker=FormatChecker()).validate(json.loads(json.dumps(payload)))


def encoded(message: Any) -> dict[str, Any]:
    row = V21.message_row(type(message))
    assert isinstance(row, MessageRow)
    out = row.row_for(message)
    payload = out.encode(message, place(number=7))
    assert payload is not None
    valid(out.action + "Request", payload)
    return payload


def row(action: str) -> RequestRow:
    found = V21.request_row(action)
    assert isinstance(found, RequestRow)
    return found


def asked(action: str, payload: dict[str, Any]) -> Any:
    valid(action + "Request", payload)
    found = row(action).decode(payload, place())
    return found.payload if isinstance(found, LocalAnswer) else found


# --- what is inherited -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "action", "line"), GOLDEN_OUT, ids=lambda v: v if isinstance(v, str) else "")
def test_what_2_0_1_sends_is_sent_alike(message: Any, action: str, line: dict[str, Any]) -> None:
    assert encoded(message) == line


@pytest.mark.parametrize(("action", "payload", "ask", "said", "answer"), GOLDEN_IN)
def test_what_2_0_1_answers_is_answered_alike(
    action: str, payload: dict[str, Any], ask: Any, said: str, answer: str
) -> None:
    assert asked(action, payload) == ask
    line = row(action).answer(Response("chargy", "1", said), payload, place())
    assert line == {"status": answer or said}
    valid(action + "Response", line)


def test_nothing_is_left_unsaid_and_nothing_unanswered() -> None:
    assert find_gaps(V21) == []
    assert "NotifyWebPaymentStarted: neither a row nor a refusal" in find_gaps(
        V21.without_rows("NotifyWebPaymentStarted")
    )


def test_every_row_that_is_its_own_differs_from_that_of_2_0_1() -> None:
    """A row that is repeated unchanged would say twice what 2.0.1 says."""
    inherited = set(map(id, V201.rows))
    own = [r for r in V21.rows if id(r) not in inherited]
    assert len(own) < len(V21.rows) / 2
    assert {r.message for r in own if isinstance(r, MessageRow)} == {
        AuthorizeToken, SettlementReported, MeterSampled, VariableEvents, type(STARTED), type(AUTHORISED),
        type(UPDATED), type(ENDED), VatNumberGiven,
    }  # fmt: skip


def test_every_action_that_only_a_station_sends_is_sent_or_says_why_not() -> None:
    assert V21.schemas is not None
    only_2_1 = V21.station_actions - V201.station_actions
    sent = {r.action for r in V21.rows if isinstance(r, MessageRow)}
    assert only_2_1 - sent == refusals.NOT_SENT.keys() - sent
    assert V21.schemas.known_actions() >= only_2_1 - {"NotifyPeriodicEventStream"}
    assert all(refusals.NOT_SENT.values())


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TokenType)
def test_every_kind_of_token_can_be_said(kind: TokenType) -> None:
    value = "" if kind is TokenType.NO_AUTHORIZATION else "x" * 255
    assert encoded(AuthorizeToken("chargy", "t", Token(value, kind)))["idToken"] == {
        "idToken": value,
        "type": kind.value,
    }


@pytest.mark.parametrize("value", ["", "x" * 256])
def test_a_token_is_never_cut(value: str) -> None:
    with pytest.raises(NotExpressibleError):
        encoded(AuthorizeToken("chargy", "t", Token(value)))


@pytest.mark.parametrize("kind", [TokenType.EVCCID, TokenType.VIN])
def test_a_type_of_2_1_is_one_of_the_backend_in_2_0_1(kind: TokenType) -> None:
    authorize = V201.message_row(AuthorizeToken)
    assert isinstance(authorize, MessageRow)
    payload = authorize.encode(AuthorizeToken("chargy", "t", Token("X1", kind)), place())
    assert payload == {"idToken": {"idToken": "X1", "type": "Central"}}


def test_what_is_too_long_for_2_0_1_may_leave_in_2_1() -> None:
    started = V201.message_row(TransactionStarted)
    assert isinstance(started, MessageRow)
    with pytest.raises(NotExpressibleError) as failed:
        started.encode(replace(STARTED, token=PSP), place())
    assert failed.value.elsewhere


@pytest.mark.parametrize("message", [STARTED, AUTHORISED, ENDED, replace(UPDATED, token=CARD)])
def test_the_token_of_a_payment_is_said_as_such(message: Any) -> None:
    assert encoded(replace(message, token=PSP))["idToken"] == PSP_TYPE


def test_a_token_is_sent_once() -> None:
    assert "idToken" not in encoded(replace(AUTHORISED, token=PSP, placed=True))


START = {"idToken": PSP_TYPE, "remoteStartId": 5}


def test_a_remote_start_by_a_payment() -> None:
    """C24.FR.01, C25.FR.23."""
    assert asked("RequestStartTransaction", START) == RemoteStartRequest(None, PSP, "5")


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("RequestStartTransaction", START),
        ("CustomerInformation", {"requestId": 1, "report": True, "clear": False, "idToken": PSP_TYPE}),
        ("ReserveNow", {"id": 1, "expiryDateTime": "2026-11-25T10:00:00Z", "idToken": PSP_TYPE}),
        ("SendLocalList", {"versionNumber": 7, "updateType": "Full",
                           "localAuthorizationList": [{"idToken": PSP_TYPE, "idTokenInfo": {"status": "Accepted"}}]}),
    ],
)  # fmt: skip
def test_a_token_of_an_unknown_type_is_refused(action: str, payload: dict[str, Any]) -> None:
    """The schema has no list of types any more."""
    wanted = {
        "RequestStartTransaction": RemoteStartRequest(None, PSP, "5"),
        "CustomerInformation": CustomerInformationRequest(PSP, True, False),
        "ReserveNow": ReserveNowRequest(1, 0, PSP, UTC_S),
        "SendLocalList": SendLocalListRequest(7, True, ((PSP.value, Verdict(AuthorizationStatus.ACCEPTED)),)),
    }
    assert asked(action, payload) == wanted[action]
    odd = json.loads(json.dumps(payload).replace("DirectPayment", "Palmprint"))
    valid(action + "Request", odd)
    with pytest.raises(Refused) as refused:
        row(action).decode(odd, place())
    assert refused.value.code == Code.PROPERTY


# --- transactions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", StopReason)
@pytest.mark.parametrize("trigger", TriggerReason)
def test_every_reason_is_said_by_its_own_word(reason: StopReason, trigger: TriggerReason) -> None:
    assert encoded(TransactionEnded("s1", 1, None, T0, 1, reason, trigger))["triggerReason"] == trigger.value
    assert encoded(replace(UPDATED, trigger=trigger))["triggerReason"] == trigger.value


def test_a_changed_rate_and_a_trigger_have_the_words_of_the_standard() -> None:
    """K11.FR.04, F06.FR.07: their records have another word, for programs before this one."""
    assert encoded(replace(UPDATED, rate_changed=True))["triggerReason"] == "ChargingRateChanged"
    assert encoded(replace(UPDATED, requested=True))["triggerReason"] == "Trigger"


DETAILS = (("CardLast4Digits", "1234"), ("PaymentBrand", "VISA"))
KNOWN_CARD = [
    {"additionalIdToken": "1234", "type": "CardLast4Digits"}, {"additionalIdToken": "VISA", "type": "PaymentBrand"},
]  # fmt: skip
PAID = DirectPayment(5000, DETAILS)


@pytest.mark.parametrize("message", [STARTED, AUTHORISED])
def test_the_payment_behind_a_token_and_its_limit(message: Any) -> None:
    """C18.FR.06."""
    said = encoded(replace(message, token=PSP, payment=PAID))
    assert said["idToken"] == {**PSP_TYPE, "additionalInfo": KNOWN_CARD}
    assert said["transactionInfo"]["transactionLimit"] == {"maxCost": 50.0}


def test_a_payment_that_was_named_before_is_not_named_again() -> None:
    said = encoded(replace(AUTHORISED, token=PSP, payment=PAID, placed=True))
    assert "idToken" not in said
    assert "transactionLimit" not in said["transactionInfo"]


def test_the_backend_is_asked_about_the_payment() -> None:
    """C18.FR.04."""
    assert encoded(AuthorizeToken("chargy", "t1", PSP, 1, PAID)) == {
        "idToken": {**PSP_TYPE, "additionalInfo": KNOWN_CARD}
    }
    assert encoded(AuthorizeToken("chargy", "t1", PSP, 1, DirectPayment(5000))) == {"idToken": PSP_TYPE}


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (TransactionLimit(cost_cents=1234), {"maxCost": 12.34}),
        (TransactionLimit(energy_wh=20_000, time_s=3600), {"maxEnergy": 20_000, "maxTime": 3600}),
    ],
)
def test_a_limit_is_confirmed(limit: TransactionLimit, said: dict[str, Any]) -> None:
    """E16.FR.03."""
    payload = encoded(replace(UPDATED, trigger=TriggerReason.LIMIT_SET, limit=limit))
    assert (payload["triggerReason"], payload["transactionInfo"]["transactionLimit"]) == ("LimitSet", said)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"maxCost": 12.349}, TransactionLimit(cost_cents=1234)),
        ({"maxCost": 0.29, "maxEnergy": 20_000.9, "maxTime": 60}, TransactionLimit(29, 20_000, 60)),
        ({"maxCost": -1}, TransactionLimit(cost_cents=-100)),
        ({"maxCost": 10**300, "maxSoC": 80}, TransactionLimit(cost_cents=10**9)),
        ({"maxSoC": 80}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("message", [STARTED, AUTHORISED, UPDATED, MeterSampled("s1", 2, (sample(REGISTER),))])
def test_a_limit_of_the_backend(given: dict[str, Any], limit: TransactionLimit | None, message: Any) -> None:
    """C24.FR.02, C25.FR.24, E16.FR.13. It is never rounded up."""
    answer = {"transactionLimit": given}
    valid("TransactionEventResponse", answer)
    out = V21.message_row(type(message))
    assert isinstance(out, MessageRow)
    events = out.decode_response(message, answer, place()).events
    assert [e for e in events if isinstance(e, LimitReceived)] == (
        [] if limit is None else [LimitReceived("chargy", "s1", limit)]
    )


def test_an_answer_without_a_limit_brings_what_it_does_in_2_0_1() -> None:
    new, old = V21.message_row(TransactionStarted), V201.message_row(TransactionStarted)
    assert isinstance(new, MessageRow)
    assert isinstance(old, MessageRow)
    answer = {"idTokenInfo": {"status": "Blocked"}, "totalCost": 1.25}
    assert new.decode_response(STARTED, answer, place()) == old.decode_response(STARTED, answer, place())


COST = TransactionCost("EUR", 300, (("kwh", 200), ("session", 60), ("other", 40)), "17", 5001, charging_s=100, idle_s=7)


def test_what_a_transaction_costs() -> None:
    """C21: costDetails. The parts and their sum are those of the bill, to the cent."""
    rates = [{"type": "VAT", "tax": 17.0}]
    assert encoded(replace(ENDED, cost=COST))["costDetails"] == {
        "totalCost": {
            "currency": "EUR",
            "typeOfCost": "NormalCost",
            "energy": {"inclTax": 2.0, "exclTax": 1.71, "taxRates": rates},
            "fixed": {"inclTax": 1.0, "exclTax": 0.85, "taxRates": rates},
            "total": {"inclTax": 3.0, "exclTax": 2.56},
        },
        "totalUsage": {"energy": 5.001, "chargingTime": 100, "idleTime": 7},
    }


@pytest.mark.parametrize(
    ("parts", "kind", "prices"),
    [
        ((("kwh", 160), ("minimum", 70)), "MinCost", {"fixed": {"inclTax": 2.3}}),
        ((("kwh", 200), ("session", 100), ("maximum", -70)), "MaxCost",
         {"energy": {"inclTax": 2.0}, "fixed": {"inclTax": 0.3}}),
        ((("kwh", 260), ("session", 10), ("maximum", -40)), "MaxCost",
         {"energy": {"inclTax": 2.3}, "fixed": {"inclTax": 0.0}}),
    ],
)  # fmt: skip
def test_a_least_and_a_highest_price(parts: Any, kind: str, prices: dict[str, Any]) -> None:
    """I12.FR.38, I12.FR.39. Without a known rate of VAT nothing is said of it."""
    cost = replace(COST, cents=230, parts=parts, vat_percent="")
    said = encoded(replace(ENDED, cost=cost))["costDetails"]["totalCost"]
    assert said == {"currency": "EUR", "typeOfCost": kind, "total": {"inclTax": 2.3}, **prices}


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4), st.sampled_from(["17", "8.1", "0", "3.5"]))
def test_the_parts_of_a_cost_add_up(cents: list[int], percent: str) -> None:
    """I12.FR.17: with VAT and without."""
    kinds = ("kwh", "minute", "occupancy", "session")
    parts = tuple(zip(kinds, cents, strict=False))
    vat_cents = Tariff(vat_percent=Decimal(percent)).vat_cents(sum(cents))
    cost = TransactionCost("EUR", sum(cents), parts, percent)
    total = encode_cost_details(cost, place())["totalCost"]
    for tax in ("inclTax", "exclTax"):
        prices = [v[tax] for k, v in total.items() if k in ("energy", "chargingTime", "idleTime", "fixed")]
        assert round(sum(prices), 2) == total["total"][tax]
    assert total["total"]["exclTax"] == round((sum(cents) - vat_cents) / 100, 2)


def test_of_a_payment_2_0_1_says_nothing_but_the_token() -> None:
    """The type of it is the setting of the station."""
    for message in (
        replace(STARTED, token=PSP_SHORT, payment=PAID),
        AuthorizeToken("chargy", "t1", PSP_SHORT, 1, PAID),
    ):
        out = V201.message_row(type(message))
        assert isinstance(out, MessageRow)
        payload = out.encode(message, place())
        assert payload is not None
        assert payload["idToken"] == {"idToken": PSP_SHORT.value, "type": "Local"}
        assert "transactionLimit" not in payload.get("transactionInfo", {})


def values_of(component: str, *fitted: str) -> dict[str, str]:
    """Variables of a component in 2.1 that exist with these parts, and their values."""
    amounts = {"payment_increment": "20.00", "payment_increment_threshold": "0.00"}
    at = place(settings=Settings(amounts, frozenset(fitted)))
    at.added_variables = V21.added_variables
    found = {}
    for entry in list_entries(at):
        if entry.name.component == component and entry.name in V21.added_variables:
            wanted: dict[str, Any] = {"component": {"name": component}, "variable": {"name": entry.name.variable}}
            if entry.name.only:
                wanted["component"]["evse"] = {"id": entry.name.only}
            reply = Response("chargy", "1", "Accepted", {**INVENTORY, "settings": amounts})
            (answer,) = row("GetVariables").answer(reply, {"getVariableData": [wanted]}, at)["getVariableResult"]
            found[entry.name.variable] = answer.get("attributeValue", answer["attributeStatus"])
    return found


def test_what_raises_a_hold_exists_only_where_a_hold_is_raised() -> None:
    """C23.FR.01: the variable exists with a value above 0 where the terminal can."""
    raising = values_of("PaymentCtrlr", TERMINAL, TERMINAL_RAISES)
    assert raising["IncrementalAuthorizationAmount"] == "20.00"
    assert raising["IncrementalAuthorizationThreshold"] == "0.00"
    assert "AuthorizationAmount" in values_of("PaymentCtrlr", TERMINAL)
    assert "IncrementalAuthorizationAmount" not in values_of("PaymentCtrlr", TERMINAL)


def test_the_parameters_that_a_driver_may_choose_are_reported() -> None:
    """C25.FR.03: URLParameters is there where something can be chosen."""
    assert values_of("WebPaymentsCtrlr", web_payment_part(1)) == {}
    offered = [web_limit_part(1), web_limit_part(1, "maxcost"), web_limit_part(1, "maxtime")]
    assert values_of("WebPaymentsCtrlr", web_payment_part(1), *offered) == {"URLParameters": "maxtime,maxcost"}


def test_a_raised_hold_is_the_new_limit_of_the_transaction() -> None:
    """C23.FR.02."""
    line = encoded(replace(UPDATED, trigger=TriggerReason.LIMIT_SET, limit=TransactionLimit(cost_cents=7000)))
    assert (line["triggerReason"], line["transactionInfo"]["transactionLimit"]) == ("LimitSet", {"maxCost": 70.0})


def test_what_a_driver_has_chosen_is_a_limit_of_the_transaction() -> None:
    """C25.FR.04, C25.FR.05, C25.FR.06."""
    limit = TransactionLimit(cost_cents=1000, energy_wh=20_000, time_s=3600)
    line = encoded(replace(UPDATED, trigger=TriggerReason.LIMIT_SET, limit=limit))
    assert line["transactionInfo"]["transactionLimit"] == {"maxCost": 10.0, "maxEnergy": 20_000, "maxTime": 3600}


ADDRESS = {"name": "Sàrl Example", "address1": "1, rue X", "city": "Luxembourg", "country": "LU"}


def test_a_vat_number_is_validated_by_the_backend() -> None:
    """C18.FR.08, C18.FR.09, C18.FR.10."""
    question = VatNumberGiven("p1", 2, "LU12345678")
    assert encoded(question) == {"vatNumber": "LU12345678", "evseId": 2}
    found = V21.message_row(VatNumberGiven)
    assert isinstance(found, MessageRow)

    def judged(payload: dict[str, Any]) -> Any:
        return found.decode_response(question, payload, place()).events

    answer = {"vatNumber": "LU12345678", "evseId": 2, "status": "Accepted", "company": {**ADDRESS, "postalCode": "1"}}
    valid("VatNumberValidationResponse", answer)
    company = (("name", "Sàrl Example"), ("address1", "1, rue X"), ("city", "Luxembourg"), ("postalCode", "1"),
               ("country", "LU"))  # fmt: skip
    assert judged(answer) == (VatNumberJudged("chargy", "p1", "LU12345678", True, company),)
    rejected = {"vatNumber": "LU12345678", "status": "Rejected"}
    assert judged(rejected) == (VatNumberJudged("chargy", "p1", "LU12345678", False),)
    spoiled = {**answer, "company": {"name": "a\x00b", "city": 7, "country": "x" * 99}}
    assert judged(spoiled) == (VatNumberJudged("chargy", "p1", "LU12345678", True, (("country", "x" * 50),)),)
    assert judged({**answer, "company": "none"})[0].company == ()
    assert judged({"status": "Perhaps"}) == ()
    assert not isinstance(V201.message_row(VatNumberGiven), MessageRow)


def test_a_cancelled_transaction_costs_nothing() -> None:
    """C20.FR.03: the backend's total of 0 is the final cost on the screen."""
    found = V21.message_row(TransactionEnded)
    assert isinstance(found, MessageRow)
    valid("TransactionEventResponse", {"totalCost": 0})
    events = found.decode_response(ENDED, {"totalCost": 0}, place(settings=Settings({"cost_display": True}))).events
    [received] = [e for e in events if isinstance(e, CostReceived)]
    assert (received.cost.total_micro, received.cost.final) == (0, True)


def test_the_address_of_a_receipt_may_be_shown() -> None:
    """C24.FR.11: SetDisplayMessage for a transaction, with the address as text."""
    message = {"id": 7, "priority": "AlwaysFront", "transactionId": "s1",
               "message": {"format": "UTF8", "content": "Receipt: https://kiosk.example/r/1"}}  # fmt: skip
    valid("SetDisplayMessageRequest", {"message": message})
    shows = place(settings=Settings({}, frozenset({DISPLAY_MESSAGES})))
    found = row("SetDisplayMessage").decode({"message": message}, shows)
    assert isinstance(found, SetDisplayMessageRequest)
    assert found.message.transaction == "s1"


def test_the_settlement_has_the_vat_number() -> None:
    """C21.FR.02. A company without its address is none of AddressType."""
    message = SettlementReported("PY1", SettlementStatus.SETTLED, 250, T0, "s1", vat_number="LU1",
                                 vat_company=tuple(ADDRESS.items()))  # fmt: skip
    line = encoded(message)
    assert (line["vatNumber"], line["vatCompany"]) == ("LU1", ADDRESS)
    assert "vatCompany" not in encoded(replace(message, vat_company=(("name", "x"),)))
    assert not {"vatNumber", "vatCompany"} & encoded(replace(message, vat_number="")).keys()
    assert load_record(dump_record(message)) == message


def test_whether_tariffs_of_the_backend_are_taken() -> None:
    """I07.FR.01. In 2.0.1 the same variable says that prices are shown."""
    asked_for = {"component": {"name": "TariffCostCtrlr"}, "variable": {"name": "Enabled", "instance": "Tariff"}}
    reply = Response("chargy", "1", "Accepted", INVENTORY)
    takes = frozenset({TARIFFS})
    for dialect, fitted, value in ((V21, frozenset(), "false"), (V21, takes, "true"), (V201, takes, "true")):
        at = place(settings=Settings({"cost_display": True}, fitted))
        at.added_variables = dialect.added_variables
        (found,) = row("GetVariables").answer(reply, {"getVariableData": [asked_for]}, at)["getVariableResult"]
        assert (found["attributeStatus"], found["attributeValue"]) == ("Accepted", value)
        count = len([e for e in list_entries(at) if e.name.component == "TariffCostCtrlr" and e.name.instance])
        assert count == (6 if fitted and dialect is V21 else 4)


@pytest.mark.parametrize(("dialect", "is_sent"), [(V21, True), (V201, False)], ids=["2.1", "2.0.1"])
def test_a_long_signed_record(dialect: Dialect, is_sent: bool) -> None:
    record = SignedReading("x" * 3000, "OCMF", "OCMF", "")
    at = place()
    at.signed_data_max = dialect.signed_data_max
    assert bool(encode_signed_value(record, at)) is is_sent


# --- settlement ------------------------------------------------------------------------------------------------------

SETTLED = SettlementReported("PY1", SettlementStatus.SETTLED, 1234, T0, "s1", "p1", "https://pay.example/r", "")
SETTLEMENTS = [
    (SETTLED, {"status": "Settled", "settlementAmount": 12.34, "transactionId": "s1", "receiptId": "p1",
               "receiptUrl": "https://pay.example/r"}),
    (SettlementReported("PY1", SettlementStatus.CANCELED, 0, T0), {"status": "Canceled", "settlementAmount": 0.0}),
    (SettlementReported("PY1", SettlementStatus.REJECTED, 50, T0, "s1", info="why"),
     {"status": "Rejected", "settlementAmount": 0.5, "transactionId": "s1", "statusInfo": "why"}),
    (SettlementReported("PY1", SettlementStatus.FAILED, 50, T0, "s1", info="x" * 600),
     {"status": "Failed", "settlementAmount": 0.5, "transactionId": "s1", "statusInfo": "x" * 500}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "said"), SETTLEMENTS)
def test_what_has_become_of_the_money(message: SettlementReported, said: dict[str, Any]) -> None:
    """C19.FR.02, C20.FR.05, C21.FR.02, C22.FR.01, C22.FR.02."""
    assert encoded(message) == {"pspRef": "PY1", "settlementTime": "2026-11-25T10:00:00.000Z", **said}


@pytest.mark.parametrize(
    ("answer", "events"),
    [
        ({}, ()),
        ({"receiptUrl": "https://csms.example/1"}, (ReceiptReceived("chargy", "s1", "https://csms.example/1"),)),
        ({"receiptUrl": "https://csms.example/\n1"}, ()),
    ],
)
def test_the_receipt_of_the_backend(answer: dict[str, Any], events: tuple[Any, ...]) -> None:
    """C21.FR.03."""
    valid("NotifySettlementResponse", answer)
    out = V21.message_row(SettlementReported)
    assert isinstance(out, MessageRow)
    assert out.decode_response(SETTLED, answer, place()).events == events
    assert (
        out.decode_response(SettlementReported("PY1", SettlementStatus.CANCELED, 0, T0), answer, place()).events == ()
    )


def test_2_0_1_has_no_such_message() -> None:
    assert isinstance(V201.message_row(SettlementReported), NotExpressible)


# --- charging profiles -----------------------------------------------------------------------------------------------

PERIOD = {"startPeriod": 0, "limit": 8.5}
SCHEDULE = {"id": 4, "chargingRateUnit": "A", "startSchedule": "2026-11-25T10:00:00Z"}
PROFILE = {"id": 7, "stackLevel": 1, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute"}
UNSUPPORTED = [
    ("a Dynamic profile", {"chargingProfileKind": "Dynamic"}, {}, {}),
    ("dynUpdateInterval", {"dynUpdateInterval": 30}, {}, {}),
    ("maxOfflineDuration", {"maxOfflineDuration": 60}, {}, {}),
    ("invalidAfterOfflineDuration", {"invalidAfterOfflineDuration": True}, {}, {}),
    ("limitAtSoC", {}, {"limitAtSoC": {"soc": 80, "limit": 6.0}}, {}),
    ("randomizedDelay", {}, {"randomizedDelay": 30}, {}),
    ("useLocalTime", {}, {"useLocalTime": True}, {}),
    ("limit_L2", {}, {}, {"limit_L2": 6.0}),
    ("dischargeLimit", {}, {}, {"dischargeLimit": -6.0}),
    ("setpoint", {}, {}, {"setpoint": 6.0, "operationMode": "ChargingOnly"}),
    ("operationMode CentralSetpoint", {}, {}, {"operationMode": "CentralSetpoint"}),
]


def profile(of_profile: dict[str, Any], of_schedule: dict[str, Any], of_period: dict[str, Any]) -> dict[str, Any]:
    schedule = {**SCHEDULE, "chargingSchedulePeriod": [{**PERIOD, **of_period}], **of_schedule}
    return {**PROFILE, "chargingSchedule": [schedule], **of_profile}


@pytest.mark.parametrize(("named", "of_profile", "of_schedule", "of_period"), UNSUPPORTED)
def test_a_profile_is_never_obeyed_by_half(
    named: str, of_profile: dict[str, Any], of_schedule: dict[str, Any], of_period: dict[str, Any]
) -> None:
    wanted = {"evseId": 1, "chargingProfile": profile(of_profile, of_schedule, of_period)}
    why = {"reasonCode": "UnsupportedParam", "additionalInfo": f"{named} is not offered by this station"}
    answer = asked("SetChargingProfile", wanted)
    assert answer == {"status": "Rejected", "statusInfo": why}
    valid("SetChargingProfileResponse", answer)
    tx = {**wanted["chargingProfile"], "chargingProfilePurpose": "TxProfile"}
    assert asked("RequestStartTransaction", {**START, "chargingProfile": tx}) == {"status": "Rejected"}


def test_a_period_without_a_limit_is_no_limit_of_zero() -> None:
    wanted = profile({}, {}, {})
    del wanted["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"]
    answer = asked("SetChargingProfile", {"evseId": 1, "chargingProfile": wanted})
    assert (answer["status"], answer["statusInfo"]["reasonCode"]) == ("Rejected", "UnsupportedParam")


@pytest.mark.parametrize("purpose", ["PriorityCharging", "LocalGeneration", "ChargingStationExternalConstraints"])
def test_purposes_that_are_not_offered(purpose: str) -> None:
    wanted = profile({"chargingProfilePurpose": purpose}, {}, {})
    assert asked("SetChargingProfile", {"evseId": 1, "chargingProfile": wanted})["status"] == "Rejected"
    criteria = {"chargingProfileCriteria": {"chargingProfilePurpose": purpose}}
    assert asked("ClearChargingProfile", criteria) == {"status": "Unknown"}


# --- one more word ---------------------------------------------------------------------------------------------------

NETWORK = {
    "ocppTransport": "JSON", "ocppCsmsUrl": "wss://csms.example/ocpp", "messageTimeout": 30, "securityProfile": 2,
    "ocppInterface": "Wired0",
}  # fmt: skip


def test_a_network_profile_names_no_version() -> None:
    for more in ({}, {"ocppVersion": "OCPP21"}, {"ocppVersion": "OCPP16"}, {"ocppInterface": "Any"}):
        wanted = {"configurationSlot": 2, "connectionData": {**NETWORK, **more}}
        assert asked("SetNetworkProfile", wanted) == SetNetworkProfileRequest(2, "wss://csms.example/ocpp", 2)


@pytest.mark.parametrize("more", [{"identity": "CP-2"}, {"basicAuthPassword": "x" * 16}])
def test_a_network_profile_with_another_identity_is_rejected(more: dict[str, str]) -> None:
    wanted = {"configurationSlot": 2, "connectionData": {**NETWORK, **more}}
    assert asked("SetNetworkProfile", wanted) == {"status": "Rejected"}
    assert "x" * 16 not in str(V21.mask_secrets("SetNetworkProfile", wanted))


def test_words_for_what_this_station_cannot_do() -> None:
    assert asked("Reset", {"type": "ImmediateAndResume"}) == {"status": "Rejected"}
    log = {"logType": "DataCollectorLog", "requestId": 9, "log": {"remoteLocation": "ftp://h/logs"}}
    assert asked("GetLog", log) == {"status": "Rejected"}
    custom = {"requestedMessage": "CustomTrigger", "customTrigger": "x"}
    assert asked("TriggerMessage", custom) == {"status": "NotImplemented"}
    root = {"certificateType": "OEMRootCertificate", "certificate": "PEM"}
    assert asked("InstallCertificate", root) == {"status": "Rejected"}


def test_what_is_not_offered_says_so_in_the_words_of_the_standard() -> None:
    der = {"isDefault": True, "controlType": "FreqDroop"}
    for action, payload in (("ClearDERControl", {"isDefault": True}), ("GetDERControl", {"requestId": 1})):
        valid(action + "Request", payload)
        assert decoded(V21.request_row(action), payload, place()) == {"status": "NotSupported"}
        valid(action + "Response", {"status": "NotSupported"})
    assert decoded(V21.request_row("SetDERControl"), {**der, "controlId": "a"}, place()) == {"status": "NotSupported"}
    valid("SetDERControlResponse", {"status": "NotSupported"})
    valid("UsePriorityChargingResponse", decoded(V21.request_row("UsePriorityCharging"), {}, place()))
    valid("GetPeriodicEventStreamResponse", decoded(V21.request_row("GetPeriodicEventStream"), {}, place()))


def test_every_request_that_only_2_1_knows_is_answered_or_refused_with_a_reason() -> None:
    assert V21.schemas is not None
    assert V201.schemas is not None
    new = V21.schemas.known_actions() - V201.schemas.known_actions() - V21.station_actions
    rows = {a: V21.request_row(a) for a in new}
    assert {a for a, r in rows.items() if not isinstance(r, RequestRow | FixedAnswer | NotOffered)} == set()
    assert len(new) == 15


# --- payment at a web page -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["Accepted", "Rejected"])
def test_a_web_payment_is_answered_without_any_parameter(said: str) -> None:
    """C25.FR.27."""
    wanted = {"evseId": 2, "timeout": 60}
    assert asked("NotifyWebPaymentStarted", wanted) == WebPaymentStartedRequest(2, 60)
    answer = row("NotifyWebPaymentStarted").answer(Response("chargy", "1", said, {"reason": "x"}), wanted, place())
    assert answer == {}
    valid("NotifyWebPaymentStartedResponse", answer)


# --- what a backend sees that sees billing only ----------------------------------------------------------------------


def test_a_billing_backend_learns_of_the_money_and_nothing_of_the_card() -> None:
    dialect = billing_only(V21)
    for message in (replace(STARTED, token=PSP, payment=PAID), AuthorizeToken("chargy", "t1", PSP, 1, PAID)):
        out = dialect.message_row(type(message))
        assert isinstance(out, MessageRow)
        payload = out.encode(message, place())
        assert payload is not None
        assert payload["idToken"] == PSP_TYPE
    settled, ended = dialect.message_row(SettlementReported), dialect.message_row(TransactionEnded)
    assert isinstance(settled, MessageRow)
    assert isinstance(ended, MessageRow)
    failed = replace(SETTLED, status=SettlementStatus.FAILED, info="why")
    assert "statusInfo" not in (settled.encode(failed, place()) or {})
    assert (ended.encode(replace(ENDED, cost=COST), place()) or {})["costDetails"]["totalCost"]["currency"] == "EUR"


def test_a_billing_backend_sees_of_2_1_what_it_sees_of_2_0_1() -> None:
    old, new = billing_only(V201), billing_only(V21)
    for message, _, _ in GOLDEN_OUT:
        rows = [d.message_row(type(message)) for d in (old, new)]
        said = [r.row_for(message).encode(message, place(number=7)) if isinstance(r, MessageRow) else r for r in rows]
        assert said[0] == said[1] or all(not isinstance(r, MessageRow) for r in rows)
