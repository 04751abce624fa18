"""Two versions, one station: the backend chooses, and neither queue nor settings nor situation is lost when it changes
its mind. Real sockets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.domain_setup import domain_collaborators
from agent.assembly.files import key_store_of
from agent.domain.backend_connection import ConnectionProfile
from agent.domain.events import RequestReceived, TransactionAcknowledged
from agent.domain.local_auth_list import LocalAuthList
from agent.domain.messages import BootWanted, ChargingState
from agent.domain.orders import Response
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from agent.services.keys.root_counts import RootCounts
from agent.station_file.settings import parse_station_file
from tests.ocpp.ocpp_stand_ins import QUICK, Central, Room, boot_answer, build, running, served, until
from tests.ocpp.test_link import ended, sampled, started, status

BOTH = ((V201, V16), (V16, V201))
OUTLET = {"number": 1, "board": {"driver": "x"}, "meter": {"driver": "x"}}
ANSWERS: dict[str, list[Any]] = {"Authorize": [{"idTokenInfo": {"status": "Accepted"}}]}


def room_of(central: Central, *dialects: Any, **more: Any) -> Room:
    return build(central, dialects=dialects or (V201, V16), **more)


@pytest.mark.parametrize("dialects", BOTH, ids=["2.0.1 first", "1.6 first"])
@pytest.mark.parametrize("spoken", ["ocpp1.6", "ocpp2.0.1"])
async def test_the_backend_chooses(dialects: tuple[Any, ...], spoken: str) -> None:
    async with served(Central(), (spoken,)) as central, running(room_of(central, *dialects)) as room:
        assert f"ocpp{room.link.ocpp_version}" == spoken
        boot = central.of("BootNotification")[0]
        assert ("chargingStation" in boot) is (spoken == "ocpp2.0.1")
        offered = central.ws.request.headers["Sec-WebSocket-Protocol"]
        assert [p.strip() for p in offered.split(",")] == [d.subprotocol for d in dialects]


def test_until_there_is_a_connection_the_version_of_before_the_start_rules() -> None:
    lengths = [room_of(Central(), spoken=v).link.max_token_length for v in ("", "1.6", "2.0.1", "2.1", "0.9")]
    assert lengths == [36, 20, 36, 36, 36], "a version that is not in the file is not spoken"


@pytest.mark.parametrize(
    ("spoken", "settles"), [(["2.1"], True), (["2.0.1"], False), (["1.6", "2.1"], False), (["2.1", "1.6"], True)]
)
def test_the_first_backend_settles_payments_if_it_speaks_a_version_that_knows_it(
    spoken: list[str], settles: bool, tmp_path: Path
) -> None:
    """Whatever other versions the station file names."""
    rooms = [room_of(Central(), V21, V201, V16, spoken=version) for version in spoken]
    links = {str(n): room.link for n, room in enumerate(rooms)}
    file = parse_station_file({"station": {"id": "X"}, "evse": [OUTLET]}, tmp_path / "station.toml")
    collaborators = domain_collaborators(file, {}, RootCounts(key_store_of(file)), lambda: links)
    assert collaborators.can_csms_settle() is settles


@pytest.mark.parametrize(("first", "then"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
async def test_a_queue_filled_on_one_version_leaves_in_the_other(first: str, then: str) -> None:
    """The first central system takes no transaction; its successor on the same address speaks the other version."""
    silent = {"StartTransaction": [None], "TransactionEvent": [None]}
    central = Central(script=silent)
    room: Room
    async with served(central, (f"ocpp{first}",)):
        room = room_of(central, call_timeout_s=30.0)
        async with running(room):
            assert room.link.ocpp_version == first
            room.outbox.put(started())
            room.outbox.put(sampled())
            room.link.queue_changed()
            await until(lambda: central.of("StartTransaction") or central.of("TransactionEvent"))
            central.ws.transport.abort()
            room.outbox.put(ended())
    successor = Central(port=central.port)
    async with served(successor, (f"ocpp{then}",)), running(room):
        assert room.link.ocpp_version == then
        await until(lambda: not room.outbox.rows)
        assert room.outbox.dead == []
        if then == "2.0.1":
            events = successor.of("TransactionEvent")
            assert [(e["eventType"], e["seqNo"]) for e in events] == [("Started", 0), ("Updated", 1), ("Ended", 2)]
            assert {e["transactionInfo"]["transactionId"] for e in events} == {"s1"}
            assert [e.transaction_id for e in room.of(TransactionAcknowledged)] == ["s1"]
        else:
            assert successor.actions()[1:] == ["StartTransaction", "MeterValues", "StopTransaction"]


async def test_another_backend_learns_who_comes_and_how_it_is() -> None:
    """A network profile that failed: the station is at the other one, which has never heard of it."""
    async with served(Central()) as first, served(Central()) as second:
        dialled = [ConnectionProfile(1, f"ws://127.0.0.1:{first.port}")]
        async with running(build(first, access=lambda: dialled[0])) as room:
            room.link.send(status(ChargingState.CHARGING))
            await until(lambda: first.of("StatusNotification"))
            dialled[0] = ConnectionProfile(2, f"ws://127.0.0.1:{second.port}")
            room.link.reconnect_if_changed()
            await until(lambda: second.of("StatusNotification"))
            assert second.actions()[0] == "BootNotification"
            dialled[0] = ConnectionProfile(2, f"ws://127.0.0.1:{second.port}", 1, "0123456789abcdef")
            room.link.reconnect_if_changed()
            await until(lambda: len(second.connections) == 2 and room.link.is_up)
            assert second.actions().count("BootNotification") == 1  # the same backend: booted once is booted
            assert [p["status"] for p in second.of("StatusNotification")] == ["Charging"]


@pytest.mark.parametrize(
    "said", [boot_answer("Pending", 86400), boot_answer("Rejected", 86400), '[4,"$ID","InternalError","",{}]'],
    ids=["Pending", "Rejected", "no answer"],
)  # fmt: skip
async def test_the_pause_after_the_boot_at_one_backend_does_not_hold_at_another(said: Any) -> None:
    """Nor does its answer: the other backend would be judged by it."""
    async with served(Central(script={"BootNotification": [said]})) as first, served(Central()) as second:
        dialled = [ConnectionProfile(1, f"ws://127.0.0.1:{first.port}")]
        patience = replace(QUICK, boot_retry_s=3600.0)
        async with running(build(first, access=lambda: dialled[0], patience=patience), up=False) as room:
            await until(lambda: room.link._boot.due_in_s > 0.0)
            dialled[0] = ConnectionProfile(1, f"ws://127.0.0.1:{first.port}", 1, "0123456789abcdef")
            room.link.reconnect_if_changed()
            await until(lambda: len(first.connections) == 2 and room.link.is_connected)
            assert room.link._boot.due_in_s > 0.0, "the same backend: its pause holds"
            dialled[0] = ConnectionProfile(2, f"ws://127.0.0.1:{second.port}")
            room.link.reconnect_if_changed()
            await until(lambda: room.link.is_up)
            assert second.of("BootNotification")
            assert len(first.of("BootNotification")) == 1


async def test_the_situation_is_reported_again_in_the_new_version() -> None:
    central = Central()
    async with served(central, ("ocpp1.6",)):
        room = room_of(central)
        async with running(room):
            room.link.send(status(ChargingState.CHARGING))
            await until(lambda: central.of("StatusNotification"))
    successor = Central(port=central.port)
    async with served(successor, ("ocpp2.0.1",)), running(room):
        await until(lambda: successor.of("StatusNotification"))
        assert successor.actions()[0] == "BootNotification"
        assert successor.of("StatusNotification")[0]["connectorStatus"] == "Occupied"
        assert room.link.reported_statuses == {1: {"status": "Occupied", "error": "NoError"}}


async def test_settings_carry_over() -> None:
    """What a 1.6 backend has set is what a 2.0.1 backend reads."""
    central = Central()
    async with served(central, ("ocpp1.6",)):
        room = room_of(central)
        room.domain = lambda asked: _settings(room, asked)
        async with running(room):
            await central.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "17"})
    successor = Central(port=central.port)
    async with served(successor, ("ocpp2.0.1",)), running(room):
        name = {"component": {"name": "TxCtrlr"}, "variable": {"name": "EVConnectionTimeOut"}}
        answer = await successor.ask("GetVariables", {"getVariableData": [name]})
        assert answer[2]["getVariableResult"][0]["attributeValue"] == "17"


def _settings(room: Room, asked: RequestReceived) -> Response:
    values = getattr(asked.ask, "values", None)
    if values is not None:
        for name, text in values.items():
            room.settings.put_value(name, int(text))
        return Response(asked.link, asked.request, "Accepted", dict.fromkeys(values, "Accepted"))
    data = {"settings": {"connection_timeout_s": room.settings["connection_timeout_s"]}, "evses": {}, "utc_s": None}
    return Response(asked.link, asked.request, "Accepted", data)


# --- what 2.0.1 does otherwise on the line ---------------------------------------------------------------------------


async def test_pending_is_answered_and_the_rest_is_a_security_error() -> None:
    central = Central(script={"BootNotification": [boot_answer("Pending", 300)]})
    async with served(central, ("ocpp2.0.1",)):
        room = room_of(central)
        room.domain = lambda asked: _settings(room, asked)
        async with running(room, up=False):
            await until(lambda: room.link.boot_status == "Pending")
            base = {"requestId": 1, "reportBase": "ConfigurationInventory"}
            room.domain = lambda asked: Response(asked.link, asked.request, "Accepted", INVENTORY)
            assert (await central.ask("GetBaseReport", base))[2] == {"status": "Accepted"}
            await until(lambda: central.of("NotifyReport") and not central.of("NotifyReport")[-1]["tbc"])
            assert (await central.ask("Reset", {"type": "Immediate"}))[2] == "SecurityError"
            start = {"idToken": {"idToken": "A", "type": "Central"}, "remoteStartId": 1}
            assert (await central.ask("RequestStartTransaction", start))[2] == {"status": "Rejected"}
            room.link.send(status())
            room.outbox.put(started())
            room.link.queue_changed()
            room.link.send(BootWanted())
            await until(lambda: len(central.of("BootNotification")) == 2)
            assert [b["reason"] for b in central.of("BootNotification")] == ["Unknown", "Triggered"]
            assert set(central.actions()) == {"BootNotification", "NotifyReport"}


async def test_rejected_is_answered_with_a_security_error() -> None:
    central = Central(script={"BootNotification": [boot_answer("Rejected", 300)]})
    async with served(central, ("ocpp2.0.1",)), running(room_of(central), up=False) as room:
        await until(lambda: room.link.boot_status == "Rejected")
        assert (await central.ask("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}))[
            2
        ] == "SecurityError"


async def test_a_transaction_event_that_is_given_up_does_not_take_the_rest_along() -> None:
    """E_41, E_50: after the last attempt it is dropped, and the next one follows with the next number."""
    central = Central(script={"TransactionEvent": ['[4,"$ID","InternalError","",{}]'] * 2 + [{}]})
    async with served(central, ("ocpp2.0.1",)):
        room = room_of(central)
        room.settings.put_value("message_attempts", 2)
        room.settings.put_value("message_retry_interval_s", 0)
        room.outbox.put(started())
        room.outbox.put(ended())
        async with running(room):
            await until(lambda: not room.outbox.rows)
            assert [(e["eventType"], e["seqNo"]) for e in central.of("TransactionEvent")] == [
                ("Started", 0), ("Started", 0), ("Ended", 1),
            ]  # fmt: skip
            assert [row.message for row, _ in room.outbox.dead] == [started()]


@pytest.mark.parametrize(("threshold_s", "again"), [(0, True), (600, False)])
async def test_after_a_long_time_off_line_every_status_is_reported_again(threshold_s: int, again: bool) -> None:
    """B_51, B_52."""
    central = Central()
    async with served(central, ("ocpp2.0.1",)), running(room_of(central)) as room:
        room.settings.put_value("offline_threshold_s", threshold_s)
        room.link.send(status())
        room.link.send(status(evse=2))
        await until(lambda: len(central.of("StatusNotification")) == 2)
        central.ws.transport.abort()
        await until(lambda: not room.link.is_up)
        room.link.send(status(ChargingState.CHARGING))
        await until(lambda: room.link.is_up)
        await until(lambda: len(central.of("StatusNotification")) == (4 if again else 3))
        assert {s["evseId"] for s in central.of("StatusNotification")[2:]} == ({1, 2} if again else {1})


async def test_a_new_password_is_written_nowhere() -> None:
    central = Central()
    async with served(central, ("ocpp2.0.1",)), running(room_of(central)) as room:
        name = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
        secret = "a_password_of_2.0.1"
        room.domain = lambda asked: Response(asked.link, asked.request, "Accepted", {"authorization_key": "Accepted"})
        answer = await central.ask("SetVariables", {"setVariableData": [{**name, "attributeValue": secret}]})
        assert answer[2]["setVariableResult"][0]["attributeStatus"] == "Accepted"
        assert not any(secret in text for *_, text in room.traced)


INVENTORY: dict[str, Any] = {
    "settings": {},
    "utc_s": None,
    "evses": {
        n: {
            "status": "Available",
            "problem": False,
            "lock_problem": False,
            "connector": "sType2",
            "lockable": True,
            "phases": 3,
            "power_w": 0,
            "max_power_w": 22080,
            "energy_wh": 123456,
            "queued": 0,
            "store_problem": False,
            "list": LocalAuthList(),
        }
        for n in (0, 1, 2)
    },
}
