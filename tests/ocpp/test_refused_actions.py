"""A backend that refuses one action: no other message waits for that. Real sockets, both versions, the usual settings
(a retry would come after a minute)."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from agent.domain.messages import (
    CertificateSigningWanted,
    ConnectorStatus,
    ConnectorUnplugged,
    ExternalLimitReleased,
    ExternalLimitSet,
    FaultNoted,
    FirmwareStatus,
    HeartbeatWanted,
    ListConflicted,
    LogStatus,
    Message,
    MeterSampled,
    ReservationEnded,
    Sample,
    SecurityHappened,
    StatusChanged,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.orders import AuthorizeToken
from agent.model.types import Fault, Reading, ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from agent.ocpp.wire.calls import NOT_OFFERED
from agent.ports.store import notes_of, readings_of
from tests.ocpp.ocpp_stand_ins import Central, Room, boot_answer, build, running, served, until

DELAY_S, LONG_S, BUSY = 1.0, 30.0, 10
T0 = Stamp(1, 0.0)
CARD = Token("04A1B2C3")
CODES = ("NotImplemented", "NotSupported", "InternalError", "FormationViolation")
DIALECTS = {d.name: d for d in (V16, V201)}
MAY_NOT_REFUSE = ("BootNotification",)
"""Without it there is no registration, and nothing may be sent."""
REPORTS = (
    "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyMonitoringReport", "NotifyReport",
    "ReportChargingProfiles",
)  # fmt: skip
"""Said when the backend has asked for it, by the way of the other messages that wait in memory."""
numbers = itertools.count(1)


def refusal(code: str) -> str:
    return f'[4,"$ID","{code}","",{{}}]'


def sampled(session: str = "") -> MeterSampled:
    reading = Reading(Stamp(1, 30.0), 1200 + next(numbers))
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, ("Energy.Active.Import.Register",)),))


def give(room: Room) -> None:
    """One of everything that a station says by itself."""
    session, link = f"s{next(numbers)}", room.link
    room.outbox.put(sampled(), "", readings_of("chargy"))
    for note in (
        SecurityHappened("StartupOfTheDevice", T0), FirmwareStatus("Downloading", 1, True),
        FirmwareStatus("Downloading"), LogStatus("Uploading", 1, extended=True), LogStatus("Uploading"),
    ):  # fmt: skip
        room.outbox.put(note, "", notes_of("chargy"))
    end = TransactionEnded(session, 1, CARD, Stamp(1, 60.0), 1500, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED)
    for billed in (
        ConnectorUnplugged("s0", 1, T0), TransactionStarted(session, 1, CARD, T0, 1000), sampled(session), end
    ):  # fmt: skip
        room.outbox.put(billed, billed.session)
    link.authorize(AuthorizeToken("chargy", f"t{next(numbers)}", CARD))
    link.send(StatusChanged(1, T0, ConnectorStatus.AVAILABLE, forced=True))
    for message in (
        HeartbeatWanted(), ListConflicted(T0), ReservationEnded("chargy/7", True), CertificateSigningWanted("csr"),
        FaultNoted(1, Fault.GROUND_FAILURE, True, (Fault.GROUND_FAILURE,), T0, next(numbers)),
        ExternalLimitSet("EMS"), ExternalLimitReleased("EMS"),
    ):  # fmt: skip
        link.send(message)


def central_of(dialect: Dialect) -> Central:
    central = Central(script={"SignCertificate": [{"status": "Accepted"}], "DataTransfer": [{"status": "Accepted"}]})
    if dialect is V201:
        central.script["Authorize"] = [{"idTokenInfo": {"status": "Accepted"}}]
    return central


def spoken(dialect: Dialect) -> list[str]:
    rows = [row for row in dialect.rows if isinstance(row, MessageRow)]
    return sorted({out.action for row in rows for out in (row, row.other) if out}.difference(MAY_NOT_REFUSE, REPORTS))


def waits_for(action: str, code: str, again: bool) -> set[str]:
    """What waits by the standard: the rest of a transaction for a part of it that the backend failed to process, and
    the next transactions too (1.6 3.7, 3.7.1). Values that it does not know at all are no failure."""
    if action in ("StartTransaction", "StopTransaction") or (action == "MeterValues" and code not in NOT_OFFERED):
        return {"StartTransaction", "StopTransaction", "DataTransfer"} if again else {"StopTransaction"} - {action}
    return set()


async def longest_s(dialect: Dialect, refused: str = "", code: str = "") -> float:
    """Until everything was received, of two rounds: the second one knows what the first was answered."""
    central, found_s = central_of(dialect), 0.0
    if refused:
        central.script[refused] = [refusal(code)]
    async with served(central, (dialect.subprotocol,)):
        room = build(central, dialects=(dialect,))
        room.outbox.facts["transaction", "chargy/s0"] = {"id": "7"}
        async with running(room):
            for again in (False, True):
                del central.calls[:]
                began_s = time.monotonic()
                give(room)
                known = {refused} if again else set()
                await heard(central, set(spoken(dialect)) - waits_for(refused, code, again) - known)
                found_s = max(found_s, time.monotonic() - began_s)
    assert room.outbox.dead == []
    return found_s


async def heard(central: Central, wanted: set[str]) -> None:
    began_s = time.monotonic()
    while missing := wanted - set(central.actions()):
        assert time.monotonic() - began_s < LONG_S, f"{missing} waits"
        await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def usual_s() -> dict[str, float]:
    """How long it takes where nothing is refused, on this machine now."""
    return {name: asyncio.run(longest_s(dialect)) for name, dialect in DIALECTS.items()}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("version", "action"), [(d.name, action) for d in DIALECTS.values() for action in spoken(d)])
async def test_nothing_else_waits_for_what_is_refused(
    version: str, action: str, code: str, usual_s: dict[str, float]
) -> None:
    found_s = await longest_s(DIALECTS[version], action, code)
    assert found_s < DELAY_S + BUSY * usual_s[version]


@pytest.mark.parametrize("version", DIALECTS)
async def test_meter_values_of_an_older_release_stand_among_the_bills(version: str) -> None:
    """It put those outside a transaction into the same queue."""
    central, dialect = central_of(DIALECTS[version]), DIALECTS[version]
    central.script["MeterValues"] = [refusal("InternalError")]
    async with served(central, (dialect.subprotocol,)):
        room = build(central, dialects=(dialect,))
        for _ in range(2):
            room.outbox.put(sampled(), "")
        room.outbox.put(TransactionStarted("s1", 1, CARD, T0, 1000))
        async with running(room):
            await until(lambda: not room.outbox.rows, LONG_S)
    assert len(central.of("MeterValues")) == 2


async def test_bills_go_before_meter_values_outside_a_transaction() -> None:
    central = Central()
    async with served(central):
        room = build(central)
        for n in range(5):
            room.outbox.put(sampled(), "", readings_of("chargy"))
            room.outbox.put(TransactionStarted(f"s{n}", 1, CARD, T0, 1000 + n), f"s{n}")
        async with running(room):
            await until(lambda: not room.outbox.rows)
    assert central.actions()[1:] == ["StartTransaction"] * 5 + ["MeterValues"] * 5


@pytest.mark.parametrize("is_outside", [False, True], ids=("in one", "outside again"))
async def test_values_in_a_transaction_are_not_refused_with_those_outside(is_outside: bool) -> None:
    """A backend that has no place for values of no transaction still takes the others."""
    central = Central(script={"MeterValues": [refusal("NotSupported"), {}]})
    async with served(central):
        room = build(central)
        room.outbox.facts["transaction", "chargy/s1"] = {"id": "7"}
        async with running(room):
            room.outbox.put(sampled(), "", readings_of("chargy"))
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows)
            room.outbox.put(*((sampled(), "", readings_of("chargy")) if is_outside else (sampled("s1"), "s1")))
            room.link.queue_changed()
            await until(lambda: not room.outbox.rows)
    assert len(central.of("MeterValues")) == (1 if is_outside else 2)


# --- what is refused without a word -----------------------------------------------------------------------------------

IGNORED = (ConnectorUnplugged("s0", 1, T0), sampled("s0"), sampled(""))


def waiting_behind(central: Central, ignored: Message) -> Room:
    """A start behind what has no answer, 200 times as fast, with a heartbeat every ten seconds."""
    central.script.update(
        {"DataTransfer": [None], "MeterValues": [None], "BootNotification": [boot_answer(interval=10)]}
    )
    room = build(central, rate=200.0, call_timeout_s=0.1)
    room.outbox.facts["transaction", "chargy/s0"] = {"id": "7"}
    room.outbox.put(ignored, "s0")
    room.outbox.put(TransactionStarted("s1", 1, CARD, T0, 1000), "s1")
    return room


@pytest.mark.parametrize("ignored", IGNORED, ids=("unplugged", "value", "value outside"))
async def test_a_start_does_not_wait_for_ever_behind_what_is_never_answered(ignored: Message) -> None:
    """Messages of a kind that the backend fails at without an answer, while it answers all others."""
    central = Central()
    async with served(central):
        room = waiting_behind(central, ignored)
        async with running(room):
            await until(lambda: central.of("StartTransaction"), LONG_S)
    sent = central.of("DataTransfer") + central.of("MeterValues")
    assert len(sent) >= room.settings.int_value("message_attempts")
    assert [row.message for row, _ in room.outbox.dead] == [ignored] * (ignored is IGNORED[1])


async def test_a_backend_that_answers_nothing_is_waited_for() -> None:
    """It hangs behind a proxy that keeps the connection: the values between start and end are not given up."""
    central = Central(script={"Heartbeat": [None], "StartTransaction": [None]})
    async with served(central):
        room = waiting_behind(central, IGNORED[1])
        async with running(room):
            await until(
                lambda: len(central.of("MeterValues")) > room.settings.int_value("message_attempts") + 1, LONG_S
            )
            assert not central.of("StartTransaction")
    assert room.outbox.dead == []
