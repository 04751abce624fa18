"""The durable queue beside the bills: kept over outages, given up when a backend will not have it, never in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.domain.events import SecurityNoticed
from agent.domain.messages import BootWanted, FirmwareStatus, SecurityHappened, TransactionStarted
from agent.domain.security_events import SecurityEvent
from agent.model.types import Stamp, Token
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ports.store import link_of, notes_of
from tests.ocpp.ocpp_stand_ins import Central, build, linked, running, served, until
from tests.support.busy_machine import stretched

NOTES = notes_of("chargy")
T0 = Stamp(1, 0.0)
STARTUP = SecurityHappened("StartupOfTheDevice", T0)


def refusal(code: str) -> str:
    return f'[4, "$ID", "{code}", "", {{}}]'


REFUSAL = refusal("NotImplemented")


def start(n: int) -> TransactionStarted:
    return TransactionStarted(f"s{n}", 1, Token("04A1B2C3"), T0, n)


def kinds(central: Central) -> list[Any]:
    return [p["type"] for p in central.of("SecurityEventNotification")]


async def test_what_waits_goes_when_the_boot_is_accepted_and_once() -> None:
    central = Central()
    async with served(central, ("ocpp2.0.1",)):
        room = build(central, dialects=(V201,))
        room.outbox.put(STARTUP, "", NOTES)
        async with running(room):
            await until(lambda: not room.outbox.rows)
            central.ws.transport.abort()
            await until(lambda: len(central.connections) == 2 and room.link.is_up)
            assert kinds(central) == ["StartupOfTheDevice"]
            assert central.actions().index("BootNotification") < central.actions().index("SecurityEventNotification")


async def test_bills_and_notices_take_turns() -> None:
    central = Central()
    async with served(central):
        room = build(central)
        for n in range(4):
            room.outbox.put(STARTUP, "", NOTES)
            room.outbox.put(start(n), f"s{n}")
        async with running(room):
            await until(lambda: not room.outbox.rows)
        sent = [a for a in central.actions() if a in ("StartTransaction", "SecurityEventNotification")]
        assert sent == ["SecurityEventNotification", "StartTransaction"] * 4


@pytest.mark.parametrize("code", ["NotImplemented", "NotSupported"])
async def test_an_action_that_the_backend_does_not_offer_is_not_sent_again_until_the_next_boot(code: str) -> None:
    central = Central(script={"SecurityEventNotification": [refusal(code)]})
    async with linked(central) as room:
        for _ in range(3):
            room.outbox.put(STARTUP, "", NOTES)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(kinds(central)) == 1
        assert room.outbox.dead == []  # it is in the security log; no bill is made of it
        await central.ws.close()
        await until(lambda: len(central.connections) == 2 and room.link.is_up)
        room.outbox.put(STARTUP, "", NOTES)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(kinds(central)) == 1  # a new connection is no boot
        room.link.send(BootWanted())
        await until(lambda: len(central.of("BootNotification")) == 2)
        room.outbox.put(STARTUP, "", NOTES)
        room.link.queue_changed()
        await until(lambda: len(kinds(central)) == 2)


async def test_another_refusal_is_about_this_notice_alone() -> None:
    central = Central(script={"SecurityEventNotification": [refusal("InternalError"), {}]})
    async with linked(central) as room:
        for kind in ("StartupOfTheDevice", "SettingSystemTime"):
            room.outbox.put(SecurityHappened(kind, T0), "", NOTES)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert kinds(central) == ["StartupOfTheDevice", "SettingSystemTime"]


async def test_a_bill_that_rests_holds_up_no_notice() -> None:
    central = Central(script={"StartTransaction": [REFUSAL]})
    async with linked(central) as room:
        room.settings.put_value("message_retry_interval_s", 3600)
        room.outbox.put(start(1))
        room.link.queue_changed()
        await until(lambda: room.link._sender.queues.transactions.is_pausing)
        room.outbox.put(STARTUP, "", NOTES)
        room.link.queue_changed()
        await until(lambda: kinds(central))
        assert len(room.outbox.rows) == 1


async def test_a_notice_without_an_answer_is_sent_three_times() -> None:
    central = Central(script={"SecurityEventNotification": [None]})
    async with linked(central, call_timeout_s=0.05, rate=1000.0) as room:
        room.settings.put_value("message_attempts", 1)  # not theirs
        room.outbox.put(STARTUP, "", NOTES)
        room.link.queue_changed()
        await until(lambda: not room.outbox.rows)
        assert len(kinds(central)) == 3
        assert room.link.is_up


async def test_no_kind_of_notice_waits_for_one_without_an_answer() -> None:
    central = Central(script={"SecurityEventNotification": [None]})
    async with linked(central, call_timeout_s=stretched(1.0)) as room:
        for n in range(20):
            room.outbox.put(STARTUP, "", NOTES)
            room.outbox.put(FirmwareStatus("Downloading", n, True), "", NOTES)
        room.link.queue_changed()
        await until(lambda: len(central.of("SignedFirmwareStatusNotification")) == 20)
        assert len(kinds(central)) == 1
        await until(lambda: len(room.outbox.rows) == 20)  # the last answer may be on its way
        assert room.link._sender.queues.notifications.is_pausing
        room.outbox.put(FirmwareStatus("Installed", 20, True), "", NOTES)
        room.link.queue_changed()
        await until(lambda: len(central.of("SignedFirmwareStatusNotification")) == 21)
        first = next(id_ for id_, action, _ in central.calls if action == "SecurityEventNotification")
        central.script.clear()
        await central.ws.send(json.dumps([3, first, {}]))  # late: it is the answer, and the others may go
        await until(lambda: not room.outbox.rows)
        assert len(kinds(central)) == 20


async def test_a_status_of_a_file_waits_for_the_backend() -> None:
    central = Central()
    async with served(central):
        room = build(central, dialects=(V16,))
        room.outbox.put(FirmwareStatus("Installed", 7, True), "", NOTES)
        async with running(room):
            await until(lambda: central.of("SignedFirmwareStatusNotification"))
        assert central.of("SignedFirmwareStatusNotification") == [{"status": "Installed", "requestId": 7}]


async def test_what_happened_last_is_reported_before_the_process_ends() -> None:
    """Above all InstallRebooting, and the events of a reset."""
    central = Central()
    async with linked(central) as room:
        for n in range(5):
            room.outbox.put(FirmwareStatus("InstallRebooting", n, True), "", NOTES)
        room.link.queue_changed()
        assert await room.link.drain_queues(5.0)
        assert len(central.of("SignedFirmwareStatusNotification")) == 5


async def test_a_frame_that_is_no_message_is_noticed() -> None:
    async with linked() as room:
        await room.central.ws.send(json.dumps({"not": "OCPP"}))
        await until(lambda: room.of(SecurityNoticed))
        (noticed,) = room.of(SecurityNoticed)
        assert (noticed.kind, noticed.link) == (SecurityEvent.INVALID_MESSAGES, "chargy")


async def test_a_request_that_breaks_its_schema_is_noticed() -> None:
    async with linked() as room:
        answer = await room.central.ask("Reset", {"type": "Gently"})
        assert answer[0] == 4
        (noticed,) = room.of(SecurityNoticed)
        assert noticed.kind is SecurityEvent.INVALID_MESSAGES
        assert noticed.info == "Reset: /type: enum"


def test_the_queue_has_its_link_s_name() -> None:
    assert link_of(NOTES) == link_of("chargy") == "chargy"
