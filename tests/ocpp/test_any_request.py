"""Whatever a central system asks, in either version: never an exception, exactly one answer, and a valid one. Requests
are made from the schemas of the standard: valid ones, and ones that are broken somewhere."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.blocks.monitoring import Monitoring
from agent.domain.charging.composite_schedule import Span
from agent.domain.charging.profiles import (
    InstalledProfile,
    Kind,
    Period,
    Profile,
    ProfileRefusal,
    Purpose,
    Schedule,
    Unit,
)
from agent.domain.display_messages import DisplayMessage, MessagePriority, MessageState
from agent.domain.events import Event, RequestReceived, SecurityNoticed
from agent.domain.functional_block import Replier
from agent.domain.orders import Response
from agent.domain.requests import (
    BackendRequest,
    ChargingProfilesRequest,
    CompositeScheduleRequest,
    CustomerInformationRequest,
    DeviceReportRequest,
    GetDisplayMessagesRequest,
    MonitoringRequest,
)
from agent.domain.variables import DISPLAY_MESSAGES, Settings
from agent.model.types import AuthorizationStatus, MessageContent, Moment, Stamp, Verdict
from agent.ocpp.dialects.dialect import Dialect, MessageRow
from agent.ocpp.dialects.quirks import SWITCHES, apply_quirks
from agent.ocpp.inbound.requests import InboundRequests
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import Called
from agent.ocpp.wire.rpc import Rpc
from agent.station_file.settings import Backend
from tests.ocpp.ocpp_stand_ins import desk
from tests.ocpp.test_negotiation import INVENTORY
from tests.support.domain_state import evse_record, station_state
from tests.support.simulated_station import CAMPAIGN

PACKAGE = Path(next(iter(importlib.util.find_spec("ocpp").submodule_search_locations)))
FOLDERS = {v: PACKAGE / f"v{v.replace('.', '')}" / "schemas" for v in ("1.6", "2.0.1", "2.1")}
SUFFIX = {"1.6": "", "2.0.1": "Request", "2.1": "Request"}
PROFILE = Profile(1, 0, Purpose.TX_DEFAULT, Kind.RELATIVE, Schedule(Unit.A, (Period(0, 8.5, 3, 2),), 60))
ACCEPTED: dict[type[BackendRequest], dict[str, Any]] = {
    DeviceReportRequest: INVENTORY,
    CompositeScheduleRequest: {
        "start_utc_s": 1_795_600_800,
        "duration_s": 60,
        "unit": Unit.W,
        "spans": [Span(0, 4140.0, 1)],
        "dc": False,
    },
    CustomerInformationRequest: {
        "cache": Verdict(AuthorizationStatus.ACCEPTED),
        "reservations": ["chargy/7"] * 60,
        "evses": [1],
    },
    GetDisplayMessagesRequest: {
        "messages": [
            DisplayMessage(n, MessagePriority.IN_FRONT, MessageContent("Ä" * 512, "de"), MessageState.IDLE, 0.0, 1e9)
            for n in range(7)
        ]
    },
    ChargingProfilesRequest: {"profiles": [InstalledProfile(n % 2, replace(PROFILE, id=n)) for n in range(12)]},
}
"""What the domain says beside its word."""
CODES = {
    "NotImplemented", "NotSupported", "InternalError", "ProtocolError", "SecurityError", "FormationViolation",
    "FormatViolation", "PropertyConstraintViolation", "OccurenceConstraintViolation", "OccurrenceConstraintViolation",
    "TypeConstraintViolation", "GenericError",
}  # fmt: skip
WORDS = ("Accepted", "Rejected", "Scheduled", "NotImplemented", "Unlocked", "UnknownConnector", "NotSupported", "")
TEXTS = st.text(max_size=8) | st.sampled_from(["TxCtrlr", "EVConnectionTimeOut", "EVSE", "Power", "SecurityCtrlr", "1"])
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def document(version: str, name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDERS[version] / f"{name}.json").read_text("utf-8-sig")))


def made_of(schema: dict[str, Any], whole: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a schema of the standard allows."""
    if "$ref" in schema:
        return made_of(whole["definitions"][schema["$ref"].rsplit("/", 1)[-1]], whole, depth + 1)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type", "object")
    if kind == "object":
        required = set(schema.get("required", ()))
        parts = {n: made_of(s, whole, depth + 1) for n, s in schema.get("properties", {}).items()}
        optional = {n: p for n, p in parts.items() if n not in required} if depth < 4 else {}
        return st.fixed_dictionaries({n: parts[n] for n in parts if n in required}, optional=optional)
    if kind == "array":
        least = schema.get("minItems", 0)
        return st.lists(made_of(schema["items"], whole, depth + 1), min_size=least, max_size=max(least, 2))
    return _plain(kind, schema)


def _plain(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "string":
        if schema.get("format") == "date-time":
            return st.just("2026-11-25T10:00:00Z")
        return TEXTS.map(lambda t: t[: schema.get("maxLength", 100)])
    if kind == "boolean":
        return st.booleans()
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    numbers = st.integers(-100, 100) if kind == "number" else st.integers(-3, 3) | st.integers()
    return numbers.map(lambda n: int(low) if n < low else int(high) if n > high else n)


@st.composite
def broken(draw: st.DrawFn, payload: Any) -> Any:
    """Something somewhere is replaced, left out, or too much."""
    copy: Any = json.loads(json.dumps(payload))
    if not isinstance(copy, dict) or not copy or draw(st.booleans()):
        return {**copy, draw(TEXTS): draw(JUNK)} if isinstance(copy, dict) else draw(JUNK)
    key = draw(st.sampled_from(sorted(copy)))
    if draw(st.booleans()):
        del copy[key]
    elif isinstance(copy[key], dict):
        copy[key] = draw(broken(copy[key]))
    else:
        copy[key] = draw(JUNK)
    return copy


def domain_data(ask: BackendRequest) -> Mapping[str, Any]:
    """What the domain says beside its word; of monitors what its own block says."""
    if not isinstance(ask, MonitoringRequest):
        return ACCEPTED.get(type(ask), {})
    site = station_state({n: evse_record(n) for n in (1, 2)})
    block = Monitoring(site, EvseStatus(site), [], itertools.count(1), lambda: False)
    orders = block.answer_monitoring_request(ask, Replier("chargy", "1"), Moment(Stamp(1, 5.0), 1_795_600_800.0))
    return next(order for order in orders if isinstance(order, Response)).data


def answer(dialect: Dialect, called: Called, boot: str, reply: str) -> str:
    """What the station says, with a domain that says something or other."""
    place = desk(settings=Settings(fitted=frozenset({DISPLAY_MESSAGES})))
    place.boot = boot
    asking: InboundRequests

    def hear(event: Event) -> None:
        if isinstance(event, SecurityNoticed):
            return  # it broke the schema
        assert isinstance(event, RequestReceived)
        data = domain_data(event.ask) if reply == "Accepted" else {}
        asking.resolve_request(Response(event.link, event.request, reply, data))

    asking = InboundRequests(place, hear, 1.0)
    served = asyncio.run(asking.serve_request(called, dialect))
    text = Rpc().encode_response(served.response)
    for message in served.follow_up:  # what is owed after the answer can be said too
        row = dialect.message_row(type(message))
        assert isinstance(row, MessageRow)
        payload = row.encode(message, place)
        assert dialect.schemas is not None
        check = dialect.schemas.request_check(row.action)
        assert check is not None
        assert check(payload) is None
    return text


def asked_by(dialect: Dialect) -> list[str]:
    assert dialect.schemas is not None
    return sorted(dialect.schemas.known_actions() - dialect.station_actions)


CASES = [pytest.param(d, a, id=f"{d.name} {a}") for d in (V16, V201, V21) for a in asked_by(d)]
QUIRKY = apply_quirks({s.name: s.choices[-1] for s in SWITCHES}, Backend(), (V16, V201))[1]
CASES += [
    pytest.param(d, a, id=f"{d.name} {a}, with every quirk")
    for d, actions in zip(QUIRKY, (("RemoteStartTransaction", "SetChargingProfile"), ("SetVariables",)), strict=True)
    for a in actions
]


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        (V16, {
            "connectorId": 1,
            "csChargingProfiles": {
                "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
                "chargingProfileKind": "Relative",
                "chargingSchedule": {
                    "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.0}],
                },
            },
        }),
        (V201, {
            "evseId": 1,
            "chargingProfile": {
                "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
                "chargingProfileKind": "Relative",
                "chargingSchedule": [{
                    "id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.0}],
                }],
            },
        }),
    ],
    ids=["1.6", "2.0.1"],
)  # fmt: skip
def test_why_a_profile_is_rejected_is_one_line_of_the_log(
    dialect: Dialect, payload: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    asking: InboundRequests

    def reject(event: Event) -> None:
        assert isinstance(event, RequestReceived)
        reason = ProfileRefusal("InvalidStackLevel", "stackLevel must be 0 to 20")
        asking.resolve_request(Response(event.link, event.request, "Rejected", {"reason": reason}))

    place = desk()
    place.boot = "Accepted"
    asking = InboundRequests(place, reject, 1.0)
    with caplog.at_level(logging.INFO):
        served = asyncio.run(asking.serve_request(Called("1", "SetChargingProfile", payload), dialect))
    frame = json.loads(Rpc().encode_response(served.response))
    assert (frame[0], frame[-1].get("status")) == (3, "Rejected"), frame
    lines = [r.getMessage() for r in caplog.records]
    assert lines == ["chargy: SetChargingProfile is Rejected: stackLevel must be 0 to 20"]


@pytest.mark.parametrize(("dialect", "action"), CASES)
def test_one_answer_and_a_valid_one(dialect: Dialect, action: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = document(dialect.name, action + SUFFIX[dialect.name])
    response = document(dialect.name, action + "Response")
    draft = jsonschema.Draft4Validator if dialect.name == "1.6" else jsonschema.Draft6Validator

    @settings(
        max_examples=300 if CAMPAIGN else 15, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        payload = data.draw(made_of(whole, whole))
        if data.draw(st.booleans()):
            payload = data.draw(broken(payload))
        boot = data.draw(st.sampled_from(["Accepted", "Accepted", "Accepted", "Pending", "Rejected"]))
        reply = data.draw(st.sampled_from(WORDS))
        caplog.clear()
        frame = json.loads(answer(dialect, Called("1", action, payload), boot, reply))
        assert frame[1] == "1"
        if frame[0] == 3:
            draft(response).validate(frame[2])
        else:
            assert frame[0] == 4
            assert frame[2] in CODES
            assert frame[2] != "InternalError", caplog.text

    ask()
