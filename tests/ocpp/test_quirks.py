"""Quirks: one golden line for each switch, beside what the standard has; profiles, and what can be wrong with them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.commands.check import complaints_after_loading
from agent.domain.events import RequestReceived
from agent.domain.messages import (
    ChargingState,
    ConnectorStatus,
    MeterSampled,
    Sample,
    SecurityHappened,
    StatusChanged,
    TransactionStarted,
)
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import ChangeAvailabilityRequest, RemoteStartRequest
from agent.model.types import ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressible, RequestRow
from agent.ocpp.dialects.quirks import (
    SWITCHES,
    Value,
    WrongQuirks,
    apply_quirks,
    find_profiles,
    load_profile,
    parse_switches,
)
from agent.ocpp.inbound.requests import InboundRequests
from agent.ocpp.outbound.heartbeat import Heartbeat
from agent.ocpp.transport.call_channel import CallChannel
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import Answered, Called
from agent.ocpp.wire.rpc import Rpc
from agent.station_file.settings import Backend, SettingsError, parse_station_file
from tests.ocpp.ocpp_stand_ins import Central, Outbox, desk, served, until
from tests.ocpp.test_v16_rows import ENDED, READING

CONFIG = Path(__file__).parents[2] / "config"
BACKEND = Backend(url="ws://host/ocpp", charge_point_id="CP 1")


def known() -> Outbox:
    outbox = Outbox()
    outbox.facts["transaction", "chargy/s1"] = {"id": "42"}
    return outbox


def quirky(name: str, value: Value, dialect: Dialect = V16) -> Dialect:
    return apply_quirks({name: value}, BACKEND, (dialect,))[1][0]


def said(dialect: Dialect, message: Any) -> dict[str, Any]:
    out = dialect.message_row(type(message))
    assert isinstance(out, MessageRow)
    payload = out.encode(message, desk(known()))
    assert payload is not None
    return payload


async def asked(dialect: Dialect, action: str, payload: dict[str, Any]) -> Any:
    """The domain's question, or the word that it is answered with at once."""
    questions: list[Any] = []

    def hear(event: Any) -> None:
        if isinstance(event, RequestReceived):
            questions.append(event.ask)
            asking.resolve_request(Response("chargy", event.request, "Accepted"))

    rpc = Rpc()
    rpc.codes = dialect.codes
    where = desk(known())
    where.boot = "Accepted"
    asking = InboundRequests(where, hear, 3.0)
    text = rpc.encode_response((await asking.serve_request(Called("1", action, payload), dialect)).response)
    frame = json.loads(text)
    return questions[0] if questions else frame[2]["status"] if frame[0] == 3 else frame[2]


def answered(dialect: Dialect, message: Any, payload: dict[str, Any]) -> Any:
    out = dialect.message_row(type(message))
    assert isinstance(out, MessageRow)
    line = CallChannel(desk(known()), dialect, "ws://x", lambda *f: None, 1.0)
    return line._interpret_answer(out, message, Answered("1", out.action, payload))


def word(dialect: Dialect, **changed: Any) -> tuple[str, str]:
    status = StatusChanged(1, Stamp(1, 0.0), ConnectorStatus.OCCUPIED, **changed)
    return str(said(dialect, status)["status"]), dialect.project_status(status).status


CARD = Token("04a1B2c3")
START = TransactionStarted("s1", 2, CARD, Stamp(1, 0.5), 1000)
STOP = replace(ENDED, token=CARD, samples=(Sample(ReadingContext.PERIODIC, READING, ("Voltage.L1-N",)),))


async def in_url(value: Value) -> Any:
    return apply_quirks({"charge_point_id_in_url": value}, BACKEND, (V16,))[0].connection_url


async def echo(value: Value) -> Any:
    return apply_quirks({"subprotocol_echo": value}, BACKEND, (V16,))[0].subprotocol_echo


async def nulls(value: Value) -> Any:
    request = {"connectorId": 1, "type": "Operative", "x": None} | {"reservationId": None}
    start = {"transactionId": 7, "idTagInfo": {"status": "Accepted", "parentIdTag": "P", "expiryDate": None}}
    heard = answered(quirky("nulls", value), START, start)
    return await asked(quirky("nulls", value), "ChangeAvailability", request), heard.events[0].verdict.group


async def unknown_fields(value: Value) -> Any:
    return await asked(quirky("unknown_fields", value), "ChangeAvailability", {
        "connectorId": 1, "type": "Operative", "Type": "x",
    })  # fmt: skip


async def start_without_verdict(value: Value) -> Any:
    heard = answered(quirky("start_without_verdict", value), START, {"transactionId": 0})
    return heard.events[0].transaction_id, heard.events[0].verdict and heard.events[0].verdict.is_accepted


async def id_tag_case(value: Value) -> Any:
    d, d201 = quirky("id_tag_case", value), quirky("id_tag_case", value, V201)
    judged_ = said(d201, AuthorizeToken("chargy", "t1", CARD))["idToken"]["idToken"]
    return (
        said(d, AuthorizeToken("chargy", "t1", CARD))["idTag"],
        said(d, START)["idTag"],
        said(d, STOP)["idTag"],
        judged_,
    )


async def remote_start_asks(value: Value) -> Any:
    ask = await asked(quirky("remote_start_asks", value), "RemoteStartTransaction", {"idTag": "A"})
    request = {"idToken": {"idToken": "A", "type": "Central"}, "remoteStartId": 1}
    ask201 = await asked(quirky("remote_start_asks", value, V201), "RequestStartTransaction", request)
    return ask.asks, ask201.asks


async def connector_0(value: Value) -> Any:
    d = quirky("remote_start_connector_0", value)
    found = await asked(d, "RemoteStartTransaction", {"idTag": "A", "connectorId": 0})
    other = await asked(d, "RemoteStartTransaction", {"idTag": "A", "connectorId": 2})
    return found, other.evse


async def suspended(value: Value) -> Any:
    d = quirky("suspended_told_as", value)
    states = (ChargingState.SUSPENDED_EV, ChargingState.SUSPENDED_EVSE, ChargingState.CHARGING)
    return [word(d, charging=state) for state in states]


async def finishing(value: Value) -> Any:
    d = quirky("finishing_told_as", value)
    return word(d, ended=True), word(d)


async def security_events(value: Value) -> Any:
    row = quirky("security_events", value).message_row(SecurityHappened)
    assert isinstance(quirky("security_events", value, V201).message_row(SecurityHappened), MessageRow)
    return type(row)


async def heartbeat(value: Value) -> Any:
    """Does what is said in between put it off?"""
    where = desk(known())
    line = CallChannel(where, quirky("heartbeat", value), "ws://x", lambda *f: None, 1.0)
    beats = Heartbeat(where.settings, where, line, where.clock)
    beats.boot_accepted(300)
    due_s, line.last_exchange_s = beats.due_s(), time.monotonic() + 100
    return beats.due_s() > due_s


async def fractions(value: Value) -> Any:
    d = quirky("fractions_of_seconds", value)
    composite = d.request_row("GetCompositeSchedule")
    assert isinstance(composite, RequestRow)
    stop = said(d, STOP)
    return said(d, START)["timestamp"], stop["timestamp"], stop["transactionData"][0]["timestamp"]


async def transaction_data(value: Value) -> Any:
    return "transactionData" in said(quirky("transaction_data", value), STOP)


async def waiting_samples(value: Value) -> Any:
    rows = [quirky("waiting_samples", value, d).message_row(MeterSampled) for d in (V16, V201)]
    return [isinstance(row, MessageRow) and row.merging is not None for row in rows]


def same(*words: str) -> list[tuple[str, str]]:
    """Sent, and compared with what was sent."""
    return [(w, w) for w in words]


GOLDEN: dict[str, tuple[Callable[[Value], Any], list[Any]]] = {
    "charge_point_id_in_url": (in_url, ["ws://host/ocpp/CP%201", "ws://host/ocpp/CP 1", "ws://host/ocpp"]),
    "subprotocol_echo": (echo, [None, "missing_is_first"]),
    "nulls": (nulls, [("FormationViolation", None), (ChangeAvailabilityRequest(1, True), "P")]),
    "unknown_fields": (unknown_fields, ["FormationViolation", ChangeAvailabilityRequest(1, True)]),
    "start_without_verdict": (start_without_verdict, [("0", None), ("0", True)]),
    "id_tag_case": (id_tag_case, [(c, c, c, c) for c in ("04a1B2c3", "04A1B2C3", "04a1b2c3")]),
    "remote_start_asks": (remote_start_asks, [(None, None), (True, True), (False, False)]),
    "remote_start_connector_0": (connector_0, [("Rejected", 2), (RemoteStartRequest(None, Token("A")), 2)]),
    "suspended_told_as": (
        suspended, [same("SuspendedEV", "SuspendedEVSE", "Charging"), same("Charging", "Charging", "Charging")],
    ),
    "finishing_told_as": (
        finishing, [tuple(same("Finishing", "Preparing")), tuple(same("Preparing", "Preparing"))],
    ),
    "security_events": (security_events, [MessageRow, NotExpressible]),
    "heartbeat": (heartbeat, [True, False]),
    "fractions_of_seconds": (fractions, [
        ("2026-11-25T10:00:00.500Z", "2026-11-25T10:01:00.250Z", "2026-11-25T10:00:00.000Z"),
        ("2026-11-25T10:00:00Z", "2026-11-25T10:01:00Z", "2026-11-25T10:00:00Z"),
    ]),
    "transaction_data": (transaction_data, [True, False]),
    "waiting_samples": (waiting_samples, [[True, True], [False, False]]),
}  # fmt: skip
LINES = [
    (s.name, c, GOLDEN[s.name][0], want) for s in SWITCHES for c, want in zip(s.choices, GOLDEN[s.name][1], strict=True)
]


@pytest.mark.parametrize(("name", "choice", "look", "want"), LINES, ids=[f"{n}={c}" for n, c, _, _ in LINES])
async def test_each_choice_of_each_switch(name: str, choice: Value, look: Callable[[Value], Any], want: Any) -> None:
    assert await look(choice) == want


def test_every_switch_changes_something_and_says_so() -> None:
    assert GOLDEN.keys() == {s.name for s in SWITCHES}
    for switch in SWITCHES:
        wanted = GOLDEN[switch.name][1]
        assert all(a != b for a, b in itertools.combinations(wanted, 2))
        assert switch.changes
        assert switch.breaks
        assert switch.seen
    assert apply_quirks({}, BACKEND, (V16,)) == (BACKEND, (V16,))
    assert apply_quirks({s.name: s.standard_choice for s in SWITCHES}, BACKEND, (V16,)) == (BACKEND, (V16,))


def test_switches_add_up_and_leave_other_versions_alone() -> None:
    values: dict[str, Value] = {
        "suspended_told_as": "charging",
        "finishing_told_as": "preparing",
        "id_tag_case": "upper",
    }
    d, d201 = apply_quirks(values, BACKEND, (V16, V201))[1]
    assert word(d, charging=ChargingState.SUSPENDED_EV) == ("Charging", "Charging")
    assert word(d, ended=True) == ("Preparing", "Preparing")
    assert said(d, START)["idTag"] == "04A1B2C3"
    assert d201.project_status is V201.project_status
    assert apply_quirks({"transaction_data": False}, BACKEND, (V201,))[1] == (V201,)


# --- on a socket ----------------------------------------------------------------------------------------------------


async def test_a_server_that_names_no_subprotocol() -> None:
    central = Central()
    async with served(central, subprotocols=None):
        async with linked_to(central, up=False) as room:
            await until(lambda: room.of(type(None)) or len(central.connections) > 1, what="a second attempt")
            assert not room.link.is_up
            assert central.actions() == []
        async with linked_to(central, quirks={"subprotocol_echo": "missing_is_first"}) as room:
            assert room.link.ocpp_version == "1.6"


def linked_to(central: Central, quirks: dict[str, Value] | None = None, up: bool = True, **more: Any) -> Any:
    from tests.ocpp.ocpp_stand_ins import build, running

    backend, dialects = apply_quirks(quirks or {}, Backend(), (V16,))
    return running(build(central, dialects=dialects, subprotocol_echo=backend.subprotocol_echo, **more), up)


# --- profiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(find_profiles((CONFIG,))))
def test_the_shipped_profiles(name: str) -> None:
    values = load_profile(name, (CONFIG,))
    assert values
    assert all(values[s.name] != s.standard_choice for s in SWITCHES if s.name in values)


def test_own_profiles_come_first(tmp_path: Path) -> None:
    (tmp_path / "quirks").mkdir()
    (tmp_path / "quirks" / "old_parser.toml").write_text('about = "ours"\nid_tag_case = "lower"\n')
    assert load_profile("old_parser", (tmp_path, CONFIG)) == {"id_tag_case": "lower"}
    assert load_profile("few_statuses", (tmp_path, CONFIG))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"id_tag_cas": "upper"}, "id_tag_cas: unknown switch (did you mean 'id_tag_case'?)"),
        ({"zzz": 1}, "zzz: unknown switch; known: charge_point_id_in_url"),
        ({"id_tag_case": "big"}, """id_tag_case: must be one of "as_read", "upper", "lower", is 'big'"""),
        ({"transaction_data": 0}, "transaction_data: must be one of true, false, is 0"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(table: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongQuirks) as caught:
        parse_switches(table, "x.toml")
    assert words in str(caught.value)


def test_the_check_of_a_station_file_names_a_wrong_profile(tmp_path: Path) -> None:
    raw: dict[str, Any] = {"backend": {"url": "ws://h/o", "quirks": "old_parsr"}, "evse": [{"number": 1}]}
    assert list(complaints_after_loading(parse_station_file(raw, tmp_path / "s.toml"))) == [
        f"{tmp_path}/s.toml: backend chargy: quirks: there is no profile 'old_parsr' (did you mean 'old_parser'?)"
    ]
    raw["backend"]["quirks"] = "old_parser"
    assert list(complaints_after_loading(parse_station_file(raw, tmp_path / "s.toml"))) == []
    with pytest.raises(SettingsError, match=r"backend\.subprotocol_echo: unknown key"):
        parse_station_file({**raw, "backend": {"subprotocol_echo": "x"}}, tmp_path / "s.toml")


def test_a_profile_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(WrongQuirks, match=r"no profile 'few_status' \(did you mean 'few_statuses'\?\)"):
        load_profile("few_status", (CONFIG,))
    (tmp_path / "quirks").mkdir()
    (tmp_path / "quirks" / "bad.toml").write_text("= 1")
    with pytest.raises(WrongQuirks, match=r"bad\.toml: cannot be read"):
        load_profile("bad", (tmp_path,))
