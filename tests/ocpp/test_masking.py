"""What of a frame is written down, and what is not: secrets of requests, and what opens an address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.orders import Response
from agent.model.secret_texts import mask_urls_in_json, mask_urls_in_text
from agent.ocpp.dialects.dialect import Dialect, NotOffered, answer_always
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.wire.masking import mask_frame
from agent.ocpp.wire.rpc import Rpc
from tests.ocpp.ocpp_stand_ins import linked, until


def traced(dialect: Dialect, text: str) -> str:
    return mask_frame(text, Rpc().receive_frame(text), dialect)


def of_16(name: str, value: str) -> str:
    return f'[2,"1","ChangeConfiguration",{{"key":"{name}","value":{value}}}]'


def named(component: str, variable: str) -> dict[str, Any]:
    return {"attributeValue": "geheim", "component": {"name": component}, "variable": {"name": variable}}


@pytest.mark.parametrize("name", ["AuthorizationKey", "WebPaymentsCtrlr.99.SharedSecret", "BasicAuthPassword"])
def test_a_secret_that_this_station_may_not_know_is_one(name: str) -> None:
    """It may be in use for the same station elsewhere."""
    assert traced(V16, of_16(name, '"geheim"')) == of_16(name, '"***"')


@pytest.mark.parametrize("names", [("WebPaymentsCtrlr", "SharedSecret"), ("SecurityCtrlr", "AuthorizationKey")])
def test_in_2_0_1_too(names: tuple[str, str]) -> None:
    other = {**named("TxCtrlr", "EVConnectionTimeOut"), "attributeValue": "60"}
    frame = [2, "1", "SetVariables", {"setVariableData": [other, named(*names)]}]
    shown = json.loads(traced(V201, json.dumps(frame)))
    assert shown[3]["setVariableData"] == [other, {**named(*names), "attributeValue": "***"}]


@pytest.mark.parametrize(
    "text",
    [
        of_16("AuthorizationKey", '{"x":"geheim"}'),
        of_16("AuthorizationKey", '["geheim"]'),
        of_16("AuthorizationKey", '"x","Value":"geheim"'),
        '[2,"1","ChangeConfiguration",{"key":["AuthorizationKey"],"value":"geheim"}]',
        '[2,"1","ChangeConfiguration",{"key":"\\u0041uthorizationKey","Value":"geheim"}]',
        '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"geheim"',
        '[2,"1","NoSuchAction",{"password":"geheim"}]',
        '[2,"1","NoSuchAction",{"\\u0041uthorizationKey":"geheim"}]',
        '[2,"1","\\u0041uthorizationKey geheim",{}]',
        '[4,"1","X","the password is geheim",{}]',
    ],
)
def test_where_the_secret_is_cannot_be_known(text: str) -> None:
    assert traced(V16, text) == "***"


def test_what_is_not_built_as_the_standard_says_and_names_no_secret_is_shown() -> None:
    text = of_16("HeartbeatInterval", "60")
    assert traced(V16, text) == text


def test_where_nothing_is_hidden_the_frame_is_shown_as_it_came() -> None:
    for text in (
        '[2, "1", "GetConfiguration", {"key": ["AuthorizationKey"]}]',
        '[2, "1", "GetDiagnostics", {"location": "ftp://h\\/x", "retries": 1}]',
        '[2, "1", "DataTransfer", {"vendorId": "\\u00e4"}]',
    ):
        assert traced(V16, text) == text


def test_of_two_values_of_one_name_neither_is_shown() -> None:
    text = '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"geheim","key":"HeartbeatInterval"}]'
    assert "geheim" in text
    assert traced(V16, text.replace("}]", ',"value":"60"}]')) == of_16("HeartbeatInterval", '"60"')


FIXED = V16.with_rows(*(answer_always(a, status=b"Rejected") for a in ("GetDiagnostics", "ChangeConfiguration")))
NOT_OFFERED = V16.with_rows(*(NotOffered(a, "switched off") for a in ("GetDiagnostics", "ChangeConfiguration")))


@pytest.mark.parametrize("dialect", [FIXED, NOT_OFFERED])
def test_a_request_that_is_refused_as_such_shows_no_secret(dialect: Dialect) -> None:
    escaped = of_16("\\u0041uthorizationKey", '"geheim"')
    assert traced(dialect, escaped) == of_16("AuthorizationKey", '"***"')
    assert traced(dialect, escaped.replace("value", "Value")) == "***"
    in_action = '[2,"1","ftp:\\u002f\\u002fuser:geheim@host",{}]'
    assert traced(dialect, in_action) == '[2,"1","ftp://host",{}]'


FTP = "ftp://user:geheim@files.example/logs"
S3 = "https://files.example/cp-1.zip?X-Amz-Credential=geheim&X-Amz-Signature=geheim"
FIRMWARE = {"location": S3, "retrieveDateTime": "2026-11-25T10:00:00Z"}
SIGNED = {"signingCertificate": "x", "signature": "y"}


@pytest.mark.parametrize("location", [FTP, S3, FTP.replace("geheim", 'ge @"?#/heim'), FTP + "?geheim#geheim"])
@pytest.mark.parametrize(
    ("dialect", "action", "payload"),
    [
        (V16, "GetDiagnostics", {"location": "$"}),
        (V16, "UpdateFirmware", {"location": "$", "retrieveDate": "2026-11-25T10:00:00Z"}),
        (V16, "SignedUpdateFirmware", {"requestId": 1, "firmware": {**FIRMWARE, **SIGNED, "location": "$"}}),
        (V16, "GetLog", {"log": {"remoteLocation": "$"}, "logType": "DiagnosticsLog", "requestId": 1}),
        (V201, "GetLog", {"log": {"remoteLocation": "$"}, "logType": "DiagnosticsLog", "requestId": 1}),
        (V201, "UpdateFirmware", {"requestId": 1, "firmware": {**FIRMWARE, "location": "$"}}),
        (V201, "PublishFirmware", {"location": "$", "checksum": "x", "requestId": 1}),
        (V16, "DataTransfer", {"vendorId": "v", "data": '{"url":"$"}'}),
        (V201, "NoSuchAction", {"anything": ["$"]}),
        (FIXED, "GetDiagnostics", {"location": "$"}),
        (NOT_OFFERED, "GetDiagnostics", {"location": "$"}),
    ],
)
def test_an_address_is_shown_without_what_opens_it(
    dialect: Dialect, action: str, payload: dict[str, Any], location: str
) -> None:
    inner = location.replace('"', '\\"') if action == "DataTransfer" else location
    text = json.dumps([2, "1", action, payload]).replace("$", json.dumps(inner)[1:-1])
    escaped = "".join(f"\\u{ord(c):04x}" if c in "gh@?" else c for c in text)
    for spelt in (text, text.replace("/", "\\/"), text[:-2], escaped, text.replace("[2", "[9")):
        shown = traced(dialect, spelt)
        assert "geheim" not in shown
        assert "heim" not in shown
    assert "files.example" in traced(dialect, text)
    assert action in traced(dialect, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (FTP, "ftp://files.example/logs"),
        (S3, "https://files.example/cp-1.zip?***"),
        ("https://files.example/cp-1.zip", "https://files.example/cp-1.zip"),
        ("see https://h/#x", "see https://h/#***"),
        ("ftp://user:a?b#c/d@h/x", "ftp://h/x"),
        ("1/2 @ 3?", "1/2 @ 3?"),
        ('{"url":"https://h/?x","a":"b"}', '{"url":"https://h/?***","a":"b"}'),
    ],
)
def test_addresses_in_texts(text: str, shown: str) -> None:
    assert mask_urls_in_text(text) == shown


JSON = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from([FTP, S3]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans(), st.booleans())
def test_no_address_of_any_json_is_shown_with_what_opens_it(value: Any, ascii_only: bool, slashes: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    shown = mask_urls_in_json(text.replace("/", "\\/") if slashes else text)
    assert "geheim" not in shown
    json.loads(shown)  # it is as much JSON as before


async def test_neither_the_trace_nor_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0, "agent")
    async with linked() as room:
        room.domain = lambda a: Response(a.link, a.request, "Accepted", {"filename": "x.zip"})
        frame = json.dumps([2, "1", "GetDiagnostics", {"location": FTP}])
        for text in (frame, frame, frame[:-2]):
            await room.central.ws.send(text)
        await until(lambda: room.link.dropped_frames)
        heard = [f[3] for f in room.traced if f[0] == "in" and "files.example" in f[3]]
        assert len(heard) == 3
        assert all("ftp://files.example/logs" in text for text in heard)
    assert "geheim" not in "".join(f[3] for f in room.traced)
    assert "geheim" not in caplog.text
