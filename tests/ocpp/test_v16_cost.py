"""Price and cost over DataTransfer, golden lines both ways: the messages of the OCA's application note, its keys, and
everything that can be wrong with them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.csms_cost import Cost, IdlePrice, NextPrice, Price, Triggers
from agent.domain.messages import ChargingState
from agent.domain.orders import Response
from agent.domain.requests import (
    BackendRequest,
    CostUpdatedRequest,
    DataTransferRequest,
    DriverMessageRequest,
    GetVariablesRequest,
    SetVariablesRequest,
)
from agent.domain.variables import VARIABLES, Settings, Value, parse_value
from agent.model.types import MessageContent, Token
from agent.ocpp.dialects.dialect import RequestRow, RowContext
from agent.ocpp.dialects.keys_v1x import find_key_16, list_keys_16, parse_settings
from agent.ocpp.v16 import V16
from tests.ocpp.ocpp_stand_ins import UTC_S, Outbox, decoded, desk

VENDOR = "org.openchargealliance.costmsg"
AT = "2026-11-25T10:00:00Z"


def at_desk(**settings: Value) -> RowContext:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42"}
    return desk(outbox, Settings({"cost_display": True, **settings}))


def asked(message: str, data: object, where: RowContext | None = None) -> Any:
    row = V16.request_row("DataTransfer")
    assert isinstance(row, RequestRow)
    text = data if isinstance(data, str) else json.dumps(data)
    return decoded(row, {"vendorId": VENDOR, "messageId": message, "data": text}, where or at_desk())


RUNNING = {
    "transactionId": 42, "timestamp": AT, "meterValue": 1234000, "cost": 1.00, "state": "Charging",
    "chargingPrice": {"kWhPrice": 0.123, "hourPrice": 0.00, "flatFee": 0.00},
    "idlePrice": {"graceMinutes": 30, "hourPrice": 1.00},
    "nextPeriod": {
        "atTime": "2026-11-25T19:00:00+01:00", "chargingPrice": {"kWhPrice": 0.100}, "idlePrice": {"hourPrice": 0.00},
    },
    "triggerMeterValue": {
        "atTime": "2026-11-25T23:00:00Z", "atEnergykWh": 50.0, "atPowerkW": 0.1,
        "atCPStatus": ["SuspendedEV", "SuspendedEVSE", "Finishing", "Preparing"],
    },
}  # fmt: skip
FINAL = {
    "transactionId": 42, "cost": 3.31, "priceText": "$2.81 @ $0.12/kWh,\n $0.50 @ $1/h",
    "priceTextExtra": [{"format": "UTF8", "language": "fr", "content": "3,31 € au total"}],
    "qrCodeText": "https://www.cpo.com/invoices/13546",
}  # fmt: skip
GOLDEN: list[tuple[str, object, BackendRequest]] = [
    (
        "SetUserPrice",
        {"idToken": "04A1B2C3", "priceText": "$0.12/kWh, no idle fee"},
        DriverMessageRequest(Token("04A1B2C3"), (MessageContent("$0.12/kWh, no idle fee"),)),
    ),
    (
        "SetUserPrice",
        {"idToken": "A", "priceTextExtra": [{"format": "UTF8", "language": "nl", "content": "€0.12/kWh"}]},
        DriverMessageRequest(Token("A"), (MessageContent("€0.12/kWh", "nl"),)),
    ),
    (
        "RunningCost",
        RUNNING,
        CostUpdatedRequest(
            "s1",
            Cost(
                1_000_000, meter_wh=1234000, utc_s=UTC_S, price=Price(123_000, 0, 0),
                idle_price=IdlePrice(1_000_000, 30),
                next=NextPrice(UTC_S + 8 * 3600, Price(100_000), IdlePrice(0)),
                triggers=Triggers(
                    UTC_S + 13 * 3600, 50_000, 100.0,
                    (ChargingState.SUSPENDED_EV, ChargingState.SUSPENDED_EVSE, ChargingState.EV_CONNECTED),
                ),
            ),
        ),
    ),
    (
        "RunningCost",
        {"transactionId": 42, "timestamp": AT, "meterValue": 1000, "cost": 0, "state": "Idle",
         "idlePrice": {"hourPrice": 2}},
        CostUpdatedRequest("s1", Cost(0, meter_wh=1000, utc_s=UTC_S, idle=True, idle_price=IdlePrice(2_000_000))),
    ),
    ("RunningCost", {"transactionId": 7, "cost": 0.1}, CostUpdatedRequest("", Cost(100_000))),
    (
        "FinalCost",
        FINAL,
        CostUpdatedRequest("s1", Cost(
            3_310_000, final=True, qr="https://www.cpo.com/invoices/13546",
            texts=(MessageContent("$2.81 @ $0.12/kWh, $0.50 @ $1/h"), MessageContent("3,31 € au total", "fr")),
        )),
    ),
    ("FinalCost", {"transactionId": 42, "cost": 3, "currency": "EUR"},
     CostUpdatedRequest("s1", Cost(3_000_000, final=True))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "data", "ask"), GOLDEN)
def test_in(message: str, data: object, ask: BackendRequest) -> None:
    assert asked(message, data) == ask


def test_a_tenth_is_a_tenth() -> None:
    """0.1 + 0.2 of binary fractions is not 0.3; the digits of the wire are taken as they are."""
    said = asked("FinalCost", '{"transactionId": 42, "cost": 0.30000000000000004}')
    assert said == CostUpdatedRequest("s1", Cost(300_000, final=True))
    assert asked("FinalCost", '{"transactionId": 42, "cost": 1.0000005}') == CostUpdatedRequest(
        "s1", Cost(1_000_001, final=True)
    )


WRONG: list[tuple[str, object]] = [
    ("SetUserPrice", ""),
    ("SetUserPrice", "{"),
    ("SetUserPrice", "[]"),
    ("SetUserPrice", "null"),
    ("SetUserPrice", "[" * 100_000),
    ("SetUserPrice", {"priceText": "x"}),
    ("SetUserPrice", {"idToken": "", "priceText": "x"}),
    ("SetUserPrice", {"idToken": "0" * 21, "priceText": "x"}),
    ("SetUserPrice", {"idToken": 5, "priceText": "x"}),
    ("SetUserPrice", {"idToken": "A\x00", "priceText": "x"}),
    ("SetUserPrice", {"idToken": "A", "priceText": "x" * 513}),
    ("SetUserPrice", {"idToken": "A", "priceText": 5}),
    ("SetUserPrice", {"idToken": "A", "priceText": "a\x1bb"}),
    ("SetUserPrice", {"idToken": "A", "priceTextExtra": "x"}),
    ("SetUserPrice", {"idToken": "A", "priceTextExtra": ["x"]}),
    ("SetUserPrice", {"idToken": "A", "priceTextExtra": [{"language": "fr"}]}),
    ("SetUserPrice", {"idToken": "A", "priceTextExtra": [{"content": "x", "language": "x" * 9}]}),
    ("SetUserPrice", {"idToken": "A", "priceTextExtra": [{"content": "x", "format": "RTF"}]}),
    *(("FinalCost", {**FINAL, **wrong}) for wrong in (
        {"cost": -0.01}, {"cost": "3.31"}, {"cost": None}, {"cost": True}, {"cost": 1e12}, {"transactionId": "42"},
        {"transactionId": 42.0}, {"transactionId": None}, {"transactionId": True}, {"currency": "USD"},
        {"qrCodeText": "javascript:alert(1)"}, {"qrCodeText": 7}, {"qrCodeText": "https://x/" + "y" * 600},
    )),
    ("FinalCost", '{"transactionId": 42, "cost": NaN}'),
    ("FinalCost", '{"transactionId": 42, "cost": -Infinity}'),
    ("FinalCost", '{"transactionId": 42, "cost": 1e999999}'),
    ("FinalCost", '{"transactionId": 42, "cost": ' + "9" * 10_000 + "}"),
    ("FinalCost", {"cost": 1}),
    *(("RunningCost", {**RUNNING, **wrong}) for wrong in (
        {"timestamp": "yesterday"}, {"meterValue": 1.5}, {"meterValue": "1"}, {"state": "Parking"},
        {"chargingPrice": 0.3}, {"chargingPrice": {"kWhPrice": -1}}, {"idlePrice": {"graceMinutes": -1}},
        {"idlePrice": {"graceMinutes": 1e9}}, {"nextPeriod": {}}, {"nextPeriod": {"atTime": None}},
        {"nextPeriod": {"atTime": "x"}}, {"triggerMeterValue": []}, {"triggerMeterValue": {"atTime": 7}},
        {"triggerMeterValue": {"atCPStatus": ["Faulted"]}}, {"triggerMeterValue": {"atCPStatus": [5]}},
        {"triggerMeterValue": {"atEnergykWh": -1}}, {"triggerMeterValue": {"atCPStatus": 5}},
    )),
]  # fmt: skip


@pytest.mark.parametrize(("message", "data"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_rejected(message: str, data: object) -> None:
    assert asked(message, data) == {"status": "Rejected"}


FIELDS = [
    *RUNNING, *FINAL, "idToken", "kWhPrice", "hourPrice", "graceMinutes", "atTime", "atCPStatus", "content", "language",
]  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
junk = st.recursive(
    scalars | st.sampled_from(["Idle", AT, "UTF8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=12,
)


@given(message=st.sampled_from(["SetUserPrice", "RunningCost", "FinalCost", "Other"]), data=junk)
def test_nothing_that_a_backend_sends_is_an_exception(message: str, data: object) -> None:
    said = asked(message, data)
    assert isinstance(said, CostUpdatedRequest | DriverMessageRequest) or said["status"] in (
        "Rejected",
        "UnknownMessageId",
    )


def test_the_words_of_the_answer() -> None:
    row = V16.request_row("DataTransfer")
    assert isinstance(row, RequestRow)
    assert asked("ChangePrice", "{}") == {"status": "UnknownMessageId"}
    off = desk(Outbox(), Settings())
    assert asked("FinalCost", FINAL, off) == DataTransferRequest(
        VENDOR, "FinalCost", json.dumps(FINAL)
    )  # UnknownVendorId
    for word in ("Accepted", "Rejected"):
        assert row.answer(Response("chargy", "1", word), {}, off) == {"status": word}


# --- the keys -------------------------------------------------------------------------------------------------------

DEFAULT = '{"priceText":"0.15 €/kWh","priceTextOffline":"off line","chargingPrice":{"kWhPrice":0.15,"flatFee":0}}'
COST_KEYS = [
    "CustomIdleFeeAfterStop", "CustomMultiLanguageMessages", "DefaultPrice", "DefaultPriceText,de",
    "DefaultPriceText,en", "DefaultPriceText,fr", "DefaultPriceText,lb", "Language",
    "NextTimeOffsetTransitionDateTime", "NumberOfDecimalsForCostValues", "SupportedLanguages", "TimeOffset",
    "TimeOffsetNextTransition",
]  # fmt: skip


def listed(where: RowContext, *keys: str) -> dict[str, tuple[bool, str | None]]:
    row = V16.request_row("GetConfiguration")
    assert isinstance(row, RequestRow)
    payload = {"key": list(keys)} if keys else {}
    assert isinstance(row.decode(payload, where), GetVariablesRequest)
    answer = row.answer(Response("chargy", "1", "Accepted", {n: where.settings[n] for n in VARIABLES}), payload, where)
    return {e["key"]: (e["readonly"], e.get("value")) for e in answer["configurationKey"]}


def change(where: RowContext, key: str, value: str) -> SetVariablesRequest | dict[str, Any]:
    row = V16.request_row("ChangeConfiguration")
    assert isinstance(row, RequestRow)
    said = decoded(row, {"key": key, "value": value}, where)
    assert isinstance(said, SetVariablesRequest | dict)
    if isinstance(said, SetVariablesRequest):
        for name, text in said.values.items():
            where.settings.put_value(name, parse_value(VARIABLES[name], text))
    return said


def test_the_keys_are_there_where_the_price_is_shown() -> None:
    on, off = listed(at_desk()), listed(desk(None, Settings()))
    assert sorted(on.keys() - off.keys()) == sorted(COST_KEYS)
    assert (on["CustomDisplayCostAndPrice"], off["CustomDisplayCostAndPrice"]) == ((True, "true"), (True, "false"))
    assert on["SupportedLanguages"] == (True, "fr,de,lb,en")
    assert change(at_desk(), "CustomDisplayCostAndPrice", "false") == {"status": "Rejected"}
    assert change(desk(None, Settings()), "DefaultPrice", DEFAULT) == {"status": "NotSupported"}


def test_only_the_languages_of_the_screen() -> None:
    where = at_desk(languages=("fr", "en"))
    assert [k for k in listed(where) if k.startswith("DefaultPriceText")] == [
        "DefaultPriceText,fr", "DefaultPriceText,en",
    ]  # fmt: skip
    assert change(where, "DefaultPriceText,de", '{"priceText":"x"}') == {"status": "NotSupported"}


def test_the_default_price_goes_in_and_comes_out() -> None:
    where = at_desk()
    assert listed(where, "DefaultPrice") == {"DefaultPrice": (False, "")}
    assert change(where, "defaultprice", DEFAULT) == SetVariablesRequest({
        "tariff_fallback": "0.15 €/kWh", "tariff_fallback_offline": "off line", "offline_kwh_price": "0.15",
        "offline_hour_price": "", "offline_flat_price": "0",
    }, whole=True)  # fmt: skip
    assert json.loads(str(listed(where, "DefaultPrice")["DefaultPrice"][1]), parse_float=Decimal) == {
        "priceText": "0.15 €/kWh", "priceTextOffline": "off line",
        "chargingPrice": {"kWhPrice": Decimal("0.15"), "flatFee": 0},
    }  # fmt: skip
    change(where, "DefaultPrice", '{"priceText": "free"}')  # takes the place of all of it
    assert listed(where, "DefaultPrice") == {"DefaultPrice": (False, '{"priceText":"free"}')}
    change(where, "DefaultPrice", "")
    assert listed(where, "DefaultPrice") == {"DefaultPrice": (False, "")}
    change(where, "DefaultPriceText,lb", '{"priceText": "bëlleg", "priceTextOffline": "deier"}')
    assert where.settings.text_value("tariff_fallback_offline_lb") == "deier"


@pytest.mark.parametrize(
    "value",
    ["free", "[]", "{}", '{"priceText":5}', '{"priceText":"x","chargingPrice":5}', "[" * 400,
     '{"priceText":"x","chargingPrice":{"kWhPrice":-1}}', '{"priceText":"x","chargingPrice":{"kWhPrice":"1"}}',
     '{"priceText":"x","chargingPrice":{"kWhPrice":NaN}}', '{"priceText":"x","chargingPrice":{"kWhPrice":1e8}}',
     '{"priceText":"\\u0007"}'],
)  # fmt: skip
def test_a_wrong_default_price_is_rejected(value: str) -> None:
    assert change(at_desk(), "DefaultPrice", value) == {"status": "Rejected"}


def test_a_default_price_never_grows_beyond_a_value() -> None:
    long = {"tariff_fallback": "p" * 400, "tariff_fallback_offline": "q" * 400, "offline_kwh_price": "1"}
    value = str(listed(at_desk(**long), "DefaultPrice")["DefaultPrice"][1])
    assert json.loads(value) == {"priceText": "p" * 400}
    assert str(listed(at_desk(tariff_fallback="p" * 512), "DefaultPrice")["DefaultPrice"][1]) == "{}"


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [("TimeOffset", "+01:00", True), ("TimeOffset", "-05:30", True), ("TimeOffset", "CET", False),
     ("NumberOfDecimalsForCostValues", "3", True), ("NumberOfDecimalsForCostValues", "9", False)],
)  # fmt: skip
def test_other_keys(key: str, value: str, taken: bool) -> None:
    found = find_key_16(key)
    assert found in list_keys_16()
    assert found is not None
    try:
        parse_value(found.own_variable, value)
    except ValueError:
        assert not taken
    else:
        assert taken


def test_the_station_file_may_give_them() -> None:
    values, problems = parse_settings({"DefaultPrice": DEFAULT, "CustomDisplayCostAndPrice": True, "TimeOffset": "x"})
    assert (values["tariff_fallback"], values["offline_kwh_price"], values["cost_display"]) == (
        "0.15 €/kWh", "0.15", True,
    )  # fmt: skip
    assert [p.split(":")[0] for p in problems] == ["settings.ocpp16.TimeOffset"]
    assert "DefaultPrice" in parse_settings({"DefaultPrice": "cheap"})[1][0]
