"""Tariffs of a backend on the wire of 2.1 (I07 to I12), judged by its schemas."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.backend_tariff import BackendTariff
from agent.domain.events import DriverTariffReceived, TokenAuthorized
from agent.domain.messages import TransactionCost, TriggerReason
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import (
    ChangeTransactionTariffRequest,
    ClearTariffsRequest,
    GetTariffsRequest,
    SetDefaultTariffRequest,
)
from agent.domain.serialization import dump_record, load_record
from agent.domain.tariff import Tariff
from agent.domain.variables import TARIFFS, Settings
from agent.model.types import Stamp, Token
from agent.ocpp.dialects.dialect import LocalAnswer, MessageRow, Refused
from agent.ocpp.v21 import V21
from agent.ocpp.v21.tariffs import UnusableTariff, decode_tariff
from agent.ocpp.wire.calls import Code
from tests.ocpp.test_v21_rows import encoded, row, valid
from tests.ocpp.test_v201_rows import ENDED, T0, UPDATED, place

VAT17 = [{"type": "VAT", "tax": 17}]
WHOLE: dict[str, Any] = {
    "tariffId": "T1",
    "currency": "EUR",
    "energy": {"prices": [{"priceKwh": 0.35}], "taxRates": VAT17},
    "chargingTime": {"prices": [{"priceMinute": 0.02}], "taxRates": VAT17},
    "idleTime": {"prices": [{"priceMinute": 0.1}], "taxRates": VAT17},
    "fixedFee": {"prices": [{"priceFixed": 1}], "taxRates": VAT17},
    "minCost": {"exclTax": 1, "taxRates": VAT17},
    "maxCost": {"inclTax": 50},
}
READ = Tariff(
    Decimal("0.4095"), Decimal("0.0234"), Decimal("0.117"), session=Decimal("1.17"), min_cents=117, max_cents=5000,
    vat_percent=Decimal(17),
)  # fmt: skip
TAKING = Settings(fitted=frozenset({TARIFFS}))
A = Token("04A1B2C3")


def asked(action: str, payload: dict[str, Any], settings: Settings = TAKING) -> Any:
    valid(action + "Request", payload)
    found = row(action).decode(payload, place(settings=settings))
    if isinstance(found, LocalAnswer):
        valid(action + "Response", found.payload)
        return found.payload
    return found


def answered(action: str, status: str, data: dict[str, Any]) -> dict[str, Any]:
    answer = row(action).answer(Response("chargy", "1", status, data), {}, place())
    valid(action + "Response", answer)
    return answer


def test_prices_are_exact_with_their_tax() -> None:
    """I07.FR.10, I12.FR.12, I12.FR.13."""
    wanted = {"evseId": 2, "tariff": WHOLE}
    assert asked("SetDefaultTariff", wanted) == SetDefaultTariffRequest(2, BackendTariff("T1", READ))
    plain = {"tariffId": "T2", "currency": "EUR", "energy": {"prices": [{"priceKwh": 0.35}]}}
    assert decode_tariff(plain, "EUR").tariff == Tariff(kwh=Decimal("0.35"))


def test_the_time_from_which_a_tariff_is_valid() -> None:
    """I07.FR.18."""
    later = {**WHOLE, "validFrom": "2027-01-15T08:00:00Z"}
    assert asked("SetDefaultTariff", {"evseId": 0, "tariff": later}).tariff.valid_from_utc_s == 1_800_000_000


NIGHT = {"priceKwh": 0.2, "conditions": {"startTimeOfDay": "22:00"}}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"energy": {"prices": [NIGHT]}}, "ConditionNotSupported"),
        ({"fixedFee": {"prices": [{"priceFixed": 1, "conditions": {"evseKind": "DC"}}]}}, "ConditionNotSupported"),
        ({"energy": {"prices": [{"priceKwh": 1}, {"priceKwh": 2}]}}, "TooManyElements"),
        ({"currency": "USD"}, "Rejected"),
        ({"reservationFixed": {"prices": [{"priceFixed": 1}]}}, "TooManyElements"),
        ({"energy": {"prices": [{"priceKwh": -0.1}], "taxRates": VAT17}}, "Rejected"),
        ({"energy": {"prices": [{"priceKwh": 0.123456}], "taxRates": VAT17}}, "Rejected"),
        ({"energy": {"prices": [{"priceKwh": 1e300}], "taxRates": VAT17}}, "Rejected"),
        ({"energy": {"prices": [{"priceKwh": 0.3}], "taxRates": [{"type": "VAT", "tax": 8}]}}, "Rejected"),
        ({"energy": {"prices": [{"priceKwh": 0.3}]}}, "Rejected"),
        ({"minCost": {"exclTax": 0.333}}, "Rejected"),
        ({"minCost": {"inclTax": 51}}, "Rejected"),
        ({"maxCost": {}}, "Rejected"),
    ],
)
def test_what_cannot_be_computed_exactly_is_refused(change: dict[str, Any], status: str) -> None:
    """I07.FR.02, I07.FR.03, I07.FR.05."""
    answer = asked("SetDefaultTariff", {"evseId": 1, "tariff": {**WHOLE, **change}})
    assert answer["status"] == status
    assert ("statusInfo" in answer) == (status == "Rejected")


@pytest.mark.parametrize(
    "taxes",
    [
        [{"type": "energy tax", "tax": 2}],
        [{"type": "VAT", "tax": 17}, {"type": "VAT", "tax": 2, "stack": 1}],
        [{"type": "VAT", "tax": -1}],
    ],
)
def test_one_vat_is_the_only_tax(taxes: list[dict[str, Any]]) -> None:
    given_tariff = {"tariffId": "T", "currency": "EUR", "energy": {"prices": [{"priceKwh": 1}], "taxRates": taxes}}
    with pytest.raises(UnusableTariff):
        decode_tariff(given_tariff, "EUR")


def test_a_reservation_has_no_price_here() -> None:
    priced = {"tariffId": "T", "currency": "EUR", "reservationFixed": {"prices": [{"priceFixed": 1}]}}
    assert asked("SetDefaultTariff", {"evseId": 0, "tariff": priced})["status"] == "Rejected"


def test_a_tariff_without_any_price_is_invalid() -> None:
    assert asked("SetDefaultTariff", {"evseId": 0, "tariff": {"tariffId": "T", "currency": "EUR"}})["status"] == (
        "Rejected"
    )


@given(st.decimals(0, 2, places=4), st.sampled_from(["17", "8.5", "0"]))
def test_a_price_that_is_taken_is_never_rounded(price: Decimal, percent: str) -> None:
    wanted = {
        "tariffId": "T",
        "currency": "EUR",
        "energy": {"prices": [{"priceKwh": float(price)}], "taxRates": [{"type": "VAT", "tax": float(percent)}]},
    }
    try:
        found = decode_tariff(wanted, "EUR").tariff
    except UnusableTariff:
        return
    assert found.kwh == price * (100 + Decimal(percent)) / 100
    assert Tariff.from_record(found.to_record()) == found


def test_where_the_station_has_a_price_no_tariff_is_taken() -> None:
    """I07.FR.01, I11.FR.01."""
    for action, payload in (
        ("SetDefaultTariff", {"evseId": 0, "tariff": WHOLE}),
        ("GetTariffs", {"evseId": 0}),
        ("ClearTariffs", {}),
        ("ChangeTransactionTariff", {"transactionId": "s1", "tariff": WHOLE}),
    ):
        with pytest.raises(Refused) as refused:
            asked(action, payload, Settings())
        assert refused.value.code == Code.NOT_SUPPORTED


def test_requests_about_tariffs() -> None:
    assert asked("GetTariffs", {"evseId": 2}) == GetTariffsRequest(2)
    assert asked("ClearTariffs", {}) == ClearTariffsRequest()
    assert asked("ClearTariffs", {"tariffIds": ["a"], "evseId": 1}) == ClearTariffsRequest(("a",), 1)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"energy": {"prices": [{"priceKwh": 1}] * 5}}, "TooManyElements"),
        ({"energy": {"prices": [{"priceKwh": 1, "conditions": {"minPower": 1}}]}}, "ConditionNotSupported"),
        ({"minCost": {"exclTax": 0.333}}, "Rejected"),
    ],
)
def test_a_change_that_cannot_be_computed_is_refused(change: dict[str, Any], status: str) -> None:
    """I11.FR.02, I11.FR.03."""
    answer = asked("ChangeTransactionTariff", {"transactionId": "s1", "tariff": {**WHOLE, **change}})
    assert answer["status"] == status


def test_a_change_names_its_transaction_and_its_currency() -> None:
    """I11.FR.05: the domain compares the currency. A change counts from now on, whatever its validFrom is."""
    wanted = {**WHOLE, "currency": "USD", "validFrom": "2099-01-01T00:00:00Z"}
    assert asked("ChangeTransactionTariff", {"transactionId": "s1", "tariff": wanted}) == (
        ChangeTransactionTariffRequest("s1", BackendTariff("T1", replace(READ, currency="USD")))
    )


def test_a_changed_tariff_is_reported() -> None:
    """I11.FR.07."""
    line = encoded(replace(UPDATED, trigger=TriggerReason.TARIFF_CHANGED, tariff_id="T2"))
    assert (line["triggerReason"], line["transactionInfo"]["tariffId"]) == ("TariffChanged", "T2")


def test_each_tariff_of_a_transaction_has_its_period() -> None:
    """I12.FR.04, I12.FR.35, I12.FR.36."""
    begun, changed = Stamp(T0.boot, T0.t_s), Stamp(T0.boot, T0.t_s + 60)
    cost = TransactionCost(
        "EUR", 200, (("kwh", 200),), "17", 5001, 100, 7, "T2", changed, (("T1", begun, 5000, 60, 7),)
    )
    periods = encoded(replace(ENDED, cost=cost))["costDetails"]["chargingPeriods"]
    assert [(p["tariffId"], p["startPeriod"]) for p in periods] == [
        ("T1", "2026-11-25T10:00:00.000Z"), ("T2", "2026-11-25T10:01:00.000Z"),
    ]  # fmt: skip
    assert [[d["volume"] for d in p["dimensions"]] for p in periods] == [[5.0, 60, 7], [0.001, 40, 0]]
    assert load_record(dump_record(cost)) == cost


@pytest.mark.parametrize(
    ("action", "status", "data", "line"),
    [
        ("SetDefaultTariff", "Accepted", {}, {"status": "Accepted"}),
        ("SetDefaultTariff", "Rejected", {"reason": "UnknownEVSE"},
         {"status": "Rejected", "statusInfo": {"reasonCode": "UnknownEVSE"}}),
        ("SetDefaultTariff", "DuplicateTariffId", {}, {"status": "DuplicateTariffId"}),
        ("ChangeTransactionTariff", "TxNotFound", {}, {"status": "TxNotFound"}),
        ("ChangeTransactionTariff", "NoCurrencyChange", {}, {"status": "NoCurrencyChange"}),
        ("GetTariffs", "NoTariff", {}, {"status": "NoTariff"}),
        ("GetTariffs", "Accepted",
         {"tariffs": [
             {"id": "T1", "evses": [1, 2], "valid_from_utc_s": 1_800_000_000.0},
             {"id": "M1", "evses": [1], "tokens": ["04A1B2C3"]},
             {"id": "M2", "evses": [], "tokens": ["04D4E5F6"]},
         ]},
         {"status": "Accepted", "tariffAssignments": [
             {"tariffId": "T1", "tariffKind": "DefaultTariff", "validFrom": "2027-01-15T08:00:00.000Z",
              "evseIds": [1, 2]},
             {"tariffId": "M1", "tariffKind": "DriverTariff", "evseIds": [1], "idTokens": ["04A1B2C3"]},
             {"tariffId": "M2", "tariffKind": "DriverTariff", "idTokens": ["04D4E5F6"]},
         ]}),
        ("ClearTariffs", "Accepted", {"results": [("T1", "Accepted"), ("x", "NoTariff")]},
         {"clearTariffsResult": [{"tariffId": "T1", "status": "Accepted"}, {"tariffId": "x", "status": "NoTariff"}]}),
        ("ClearTariffs", "Accepted", {"results": [("", "NoTariff")]}, {"clearTariffsResult": [{"status": "NoTariff"}]}),
    ],
)  # fmt: skip
def test_answers_about_tariffs(action: str, status: str, data: dict[str, Any], line: dict[str, Any]) -> None:
    """I09.FR.01 to I09.FR.07, I10.FR.01 to I10.FR.06."""
    assert answered(action, status, data) == line


def authorized(payload: dict[str, Any], settings: Settings = TAKING) -> list[Any]:
    found = V21.message_row(AuthorizeToken)
    assert isinstance(found, MessageRow)
    valid("AuthorizeResponse", payload)
    events = found.decode_response(AuthorizeToken("chargy", "t1", A), payload, place(settings=settings)).events
    return [e for e in events if not isinstance(e, TokenAuthorized)]


def test_the_tariff_of_a_driver() -> None:
    """I08.FR.04, I08.FR.10 (its validFrom is ignored), I08.FR.33 (one that is not computable here)."""
    yes = {"idTokenInfo": {"status": "Accepted"}}
    own = {**WHOLE, "validFrom": "2099-01-01T00:00:00Z"}
    assert authorized({**yes, "tariff": own}) == [DriverTariffReceived("chargy", A, BackendTariff("T1", READ))]
    assert authorized(yes) == [DriverTariffReceived("chargy", A, is_given=False)]
    assert authorized({**yes, "tariff": {**WHOLE, "currency": "USD"}}) == [DriverTariffReceived("chargy", A)]
    assert authorized({"idTokenInfo": {"status": "Blocked"}, "tariff": WHOLE}) == []
    assert authorized({**yes, "tariff": WHOLE}, Settings()) == []


def test_a_transaction_names_its_tariff() -> None:
    """I07.FR.32, I08.FR.22."""
    assert encoded(replace(UPDATED, tariff_id="T1"))["transactionInfo"]["tariffId"] == "T1"
    assert encoded(replace(ENDED, tariff_id="T1"))["transactionInfo"]["tariffId"] == "T1"
    assert "tariffId" not in encoded(UPDATED)["transactionInfo"]


def test_a_cost_by_the_tariff_of_the_backend_has_its_period() -> None:
    """I12.FR.01, I12.FR.04, I12.FR.09 to I12.FR.11."""
    cost = TransactionCost("EUR", 200, (("kwh", 200),), "17", 5001, 100, 7, "T1", Stamp(T0.boot, T0.t_s))
    assert encoded(replace(ENDED, cost=cost))["costDetails"]["chargingPeriods"] == [
        {
            "tariffId": "T1",
            "startPeriod": "2026-11-25T10:00:00.000Z",
            "dimensions": [
                {"type": "Energy", "volume": 5.001},
                {"type": "ChargingTime", "volume": 100},
                {"type": "IdleTIme", "volume": 7},
            ],
        }
    ]
