"""Sessions that cross from one version of OCPP to the other, on the real store and the real rows, before a backend that
keeps books by version: whatever is switched, lost, refused, killed and resent, each session is billed once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.domain.events import Event, TransactionAcknowledged
from agent.domain.messages import (
    ChargingState,
    ConnectorUnplugged,
    MeterSampled,
    Sample,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
)
from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest
from agent.domain.serialization import load_record
from agent.domain.variables import Settings
from agent.model.types import AuthorizationStatus, Reading, ReadingContext, Stamp, Token
from agent.ocpp.dialects.dialect import Dialect, MessageRow, RequestRow, ResponseEffects, RowContext
from agent.ocpp.outbound.delivery import deliver_row
from agent.ocpp.outbound.transaction_openings import compress_messages, decode_record
from agent.ocpp.outbound.transaction_queue import TransactionQueue
from agent.ocpp.transport.call_channel import ConnectionLost, NoAnswer, NotReceived
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from agent.ocpp.wire.timestamps import format_rfc3339
from agent.ports.store import OutboxRow, Put, StoreError
from agent.services.store.store import Store
from agent.services.store.store_file import StoreFile
from tests.ocpp.ocpp_stand_ins import IDENTITY, Clock
from tests.support.simulated_station import CAMPAIGN

T = TypeVar("T")
ENERGY = "Energy.Active.Import.Register"
DIALECTS = {"1.6": V16, "2.0.1": V201, "2.1": V21}
FATES = ("answered", "answered", "answered", "lost", "unsent", "absent", "silent", "refused", "nonsense")
"""Lost: the backend has it, the connection ended before the answer. Silent: the same, and the line lives. Absent: the
connection ended, and the station knows that the backend does not have it."""
DEEDS = (
    *("plug", "card", "card", "state", "sample", "end", "switch", "switch", "kill", "resend", "stuck", "long", "renew"),
    *FATES,
    *FATES,
)


@dataclass
class Books:
    """The back office: it knows repetitions by what is said in them, and nothing across versions."""

    wrong: list[str] = field(default_factory=list)
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbered: dict[int, dict[str, Any]] = field(default_factory=dict)
    named: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    repeated: int = 0
    readings: list[int] = field(default_factory=list)
    """The registers of all samples between start and end."""
    torn: dict[str, list[str]] = field(default_factory=dict)
    """What may only be where something was a dead letter for a while: this version sends the rest without it."""

    def hear(self, action: str, said: dict[str, Any]) -> dict[str, Any]:
        said = json.loads(json.dumps(said))
        key = json.dumps([action, {**said, "offline": True}], sort_keys=True)
        if key in self.seen:
            self.repeated += 1
        else:
            self.seen[key] = getattr(self, action)(said)
        return dict(self.seen[key])

    def StartTransaction(self, said: dict[str, Any]) -> dict[str, Any]:
        number = 100 + len(self.numbered)
        self.numbered[number] = {"start": said, "stop": None}
        return {"transactionId": number, "idTagInfo": {"status": "Accepted"}}

    def StopTransaction(self, said: dict[str, Any]) -> dict[str, Any]:
        if said["transactionId"] == -1:  # its start was refused for good (errata 3.18): taken, and no bill
            return {}
        known = self.numbered.get(said["transactionId"])
        if known is None or known["stop"] is not None:
            self.wrong.append(f"stop of nothing: {said}")
        else:
            known["stop"] = said
            self.order.append(known["start"]["idTag"])
        return {}

    def MeterValues(self, said: dict[str, Any]) -> dict[str, Any]:
        if "transactionId" in said and said["transactionId"] not in (-1, *self.numbered):
            self.wrong.append(f"values of nothing: {said}")
        self.readings += map(_register_of, said["meterValue"])
        return {}

    def DataTransfer(self, said: dict[str, Any]) -> dict[str, Any]:
        return {"status": "UnknownVendorId"}

    def TransactionEvent(self, said: dict[str, Any]) -> dict[str, Any]:
        name = said["transactionInfo"]["transactionId"]
        events, torn = self.named.setdefault(name, []), self.torn.setdefault(name, [])
        if any(_repeats_in_part(said, e) for e in events):  # its number is known: not looked at again
            self.repeated += 1
            return {}
        if (said["eventType"] == "Started") != (not events):
            torn.append(f"{said['eventType']} after {len(events)} events: {said}")
        if events and said["seqNo"] <= events[-1]["seqNo"]:
            torn.append(f"number {said['seqNo']} after {events[-1]['seqNo']}: {said}")
        if events and events[-1]["eventType"] == "Ended":
            torn.append(f"after the end: {said}")
        if said["seqNo"] in [e["seqNo"] for e in events]:
            self.wrong.append(f"number {said['seqNo']} twice: {said}")
        events.append(said)
        if said["triggerReason"] == "MeterValuePeriodic":
            self.readings += map(_register_of, said["meterValue"])
        if said["eventType"] == "Ended":
            self.order.append(_token(events))
        return {"idTokenInfo": {"status": "Accepted"}} if "idToken" in said else {}


def _register_of(value: dict[str, Any]) -> int:
    return int(value["sampledValue"][0]["value"])


def _repeats_in_part(event: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether this is the known event again, with the first of its samples."""
    part, whole = event.get("meterValue", []), known.get("meterValue", [])
    heads = [{k: v for k, v in e.items() if k not in ("meterValue", "offline")} for e in (event, known)]
    return heads[0] == heads[1] and bool(part) and part == whole[: len(part)]


def _token(events: Sequence[dict[str, Any]]) -> str:
    return next((str(e["idToken"]["idToken"]) for e in events if "idToken" in e), "")


@dataclass
class Session:
    name: str
    token: Token
    began: Stamp
    start_wh: int
    righted: Stamp | None = None
    stop_wh: int = 0
    ended: Stamp | None = None


class Wire:
    """The place of ``call_channel.CallChannel``: what becomes of the next CALL."""

    def __init__(self, books: Books, desk: RowContext, dialect: Dialect) -> None:
        self.books, self.desk, self.dialect = books, desk, dialect
        self.fate, self.refusal_code = "answered", ""
        self.unknown_actions: set[tuple[str, bool]] = set()
        self.last_answer_s = 0.0

    async def send_call(self, out: MessageRow, row: OutboxRow, payload: dict[str, Any]) -> ResponseEffects | None:
        self.refusal_code = "InternalError" if self.fate == "refused" else ""
        if self.refusal_code:
            return None
        if self.fate == "unsent":
            raise ConnectionLost
        if self.fate == "absent":
            raise NotReceived
        answer = self.books.hear(out.action, payload)
        if self.fate == "nonsense":
            return None
        if self.fate == "lost":
            raise ConnectionLost
        if self.fate == "silent":
            raise NoAnswer
        return replace(out.decode_response(row.message, answer, self.desk), version=self.dialect.book_name)


class StuckFile(StoreFile):
    """``fails``: how many of the next things that the link writes the disk does not take."""

    fails = 0

    async def run_in_thread(self, work: Callable[..., T], *args: Any) -> T:
        if self.fails and work.__name__ != "_select_rows":
            self.fails -= 1
            raise StoreError("the disk is full")
        return await super().run_in_thread(work, *args)


class Station:
    file_class = StuckFile

    def __init__(self, path: Path) -> None:
        self.path, self.books = path, Books()
        self.clock = Clock(1e9)
        self.settings = Settings()
        self.settings.put_value("message_retry_interval_s", 0)
        self.time, self.register = itertools.count(1), itertools.count(1000, 7)
        self.sessions: list[Session] = []
        self.version, self.tokens = "2.0.1", "T"
        self.newest = "2.0.1"
        self.heard: list[Event] = []
        self.stuck_next = False
        self.dead: set[str] = set()

    @property
    def session(self) -> Session | None:
        return self.sessions[-1] if self.sessions and self.sessions[-1].ended is None else None

    async def start(self) -> None:
        self.file = self.file_class.begin_opening(self.path, 32)
        self.store = await Store(self.file).finish_opening()
        self.desk = RowContext("chargy", self.store, self.clock, self.settings, lambda: IDENTITY, (1,))
        self.billing = TransactionQueue(self.desk)
        self.connect()

    def connect(self) -> None:
        dialect = DIALECTS[self.version]
        self.wire = Wire(self.books, self.desk, dialect)
        self.billing.connection_opened(dialect)

    async def tell(self, message: Any, open_: bool = True) -> None:
        fact = Put("session", message.session, {"open": True} if open_ else None)
        await self.store.commit([fact], [("chargy", message)])

    def at(self) -> Stamp:
        return Stamp(1, float(next(self.time)))

    # --- deeds -----------------------------------------------------------------------------------------------------

    async def do(self, *deeds: str) -> None:
        for deed in deeds:
            await (self.send(deed) if deed in FATES else getattr(self, deed)())

    async def plug(self) -> None:
        """A transaction that begins before any driver has the right."""
        await self._begin(None)

    async def card(self) -> None:
        if self.session is None:
            await self._begin(Token(f"{self.tokens}{len(self.sessions)}"))
        elif self.session.righted is None:
            s, at = self.session, self.at()
            s.righted = at
            await self.tell(TransactionAuthorized(
                s.name, 1, s.token, at, s.start_wh, TriggerReason.AUTHORIZED, ChargingState.EV_CONNECTED
            ))  # fmt: skip

    async def _begin(self, token: Token | None) -> None:
        if self.session is not None:
            return
        number, at = len(self.sessions), self.at()
        s = Session(
            f"session-{number}", Token(f"{self.tokens}{number}"), at, next(self.register), at if token else None
        )
        self.sessions.append(s)
        await self.tell(TransactionStarted(s.name, 1, token, at, s.start_wh))

    async def state(self) -> None:
        if self.session is not None:
            why, state = TriggerReason.CHARGING_STATE_CHANGED, ChargingState.CHARGING
            await self.tell(TransactionUpdated(self.session.name, 1, self.at(), why, state))

    async def sample(self) -> None:
        if self.session is not None:
            sample = Sample(ReadingContext.PERIODIC, Reading(self.at(), next(self.register)), (ENERGY,))
            s = self.session
            await self.tell(MeterSampled(s.name, 1, (sample,), authorized=s.righted is not None))

    async def end(self) -> None:
        s = self.session
        if s is not None:
            s.ended, s.stop_wh = self.at(), next(self.register)
            await self.tell(TransactionEnded(
                s.name, 1, s.token if s.righted else None, s.ended, s.stop_wh, StopReason.LOCAL,
                TriggerReason.STOP_AUTHORIZED if s.righted else TriggerReason.EV_COMMUNICATION_LOST,
                authorized=s.righted is not None,
            ), False)  # fmt: skip

    async def long(self) -> None:
        """The next cards are too long for 1.6, or are so no more."""
        self.tokens = "T" if len(self.tokens) > 1 else "TWENTY-CHARACTERS-AND-MORE-"

    async def stuck(self) -> None:
        self.stuck_next = True

    async def switch(self) -> None:
        self.version = self.newest if self.version == "1.6" else "1.6"
        self.connect()

    async def renew(self) -> None:
        """The backend has 2.1 beside 1.6 from now on, or 2.0.1 again: one book for both."""
        self.newest = "2.1" if self.newest == "2.0.1" else "2.0.1"
        if self.version != "1.6":
            self.version = self.newest
            self.connect()

    async def kill(self) -> None:
        """What has left the queue in memory only waits again."""
        for pending in (self.file._pending_rows, self.file._pending_facts):
            await self.file.run_in_thread(pending.clear)
        await self.store.close()
        await self.start()

    async def resend(self) -> None:
        """A person looks at the dead letters, and where it is said to be in doubt, into the books. What is missing of a
        bill goes to where the rest of it is."""
        elsewhere = self.billed("2.0.1" if self.version == "1.6" else "1.6")
        for letter in await self.store.list_dead_letters():
            if letter.kind != "TransactionEnded" and letter.session in elsewhere:
                continue
            if "sent automatically" in letter.reason and self.version == "1.6":
                continue
            unanswered = "not answered" in letter.reason and letter.session in self.billed()
            await (self.store.drop_dead_letters if unanswered else self.store.requeue_dead_letters)([letter.seq])

    async def send(self, fate: str) -> bool:
        self.wire.fate = fate
        self.file.fails, self.stuck_next = int(self.stuck_next), False
        row = await self.billing.next_row()
        if row is None:
            failed, self.file.fails = self.file.fails == 0 and self.billing.is_pausing, 0
            self.billing.rows.end_pause()
            return failed
        try:
            await deliver_row(row, self.billing, DIALECTS[self.version], self.wire, self.heard.append)  # type: ignore[arg-type]
        except ConnectionLost:
            self.connect()
        self.file.fails = 0
        self.dead.update(letter.session for letter in await self.store.list_dead_letters())
        self.billing.rows.end_pause()  # a pause is over
        return True

    def decoded(self, action: str, payload: dict[str, Any]) -> Any:
        row = DIALECTS[self.version].request_row(action)
        assert isinstance(row, RequestRow)
        return row.decode(payload, self.desk)

    # --- what came of it -------------------------------------------------------------------------------------------

    def billed(self, version: str = "") -> list[str]:
        """By session; "": in whichever version."""
        by_token = {s.token.value: s.name for s in self.sessions}
        numbered = [by_token[t["start"]["idTag"]] for t in self.books.numbered.values() if t["stop"]]
        events = ((name, e) for name, events in self.books.named.items() for e in events)
        named = [name for name, e in events if e["eventType"] == "Ended"]
        return (numbered if version != "2.0.1" else []) + (named if version != "1.6" else [])

    async def settle(self) -> None:
        await self.end()
        for _ in range(4):
            most = 3 * self.store.queued_count("chargy") + 10
            while await self.send("answered"):
                most -= 1
                assert most > 0, "goes round and round"
            await self.resend()
            if not self.store.queued_count("chargy") and await self.store.list_dead_letters():
                await self.switch()
                await self.resend()

    def utc(self, at: Stamp) -> str:
        return format_rfc3339(self.clock.utc_s(at))

    def check(self) -> None:
        assert self.books.wrong == []
        assert {name: torn for name, torn in self.books.torn.items() if torn and name not in self.dead} == {}
        billed = self.billed()
        for s in self.sessions:
            if s.righted is not None:
                assert billed.count(s.name) == 1, (s, self.books)
        assert len(billed) == len(set(billed)), billed
        for t in self.books.numbered.values():
            s = next(s for s in self.sessions if s.token.value == t["start"]["idTag"])
            assert s.righted is not None
            assert (t["start"]["meterStart"], t["start"]["timestamp"]) == (s.start_wh, self.utc(s.righted))
            if t["stop"]:
                assert s.ended is not None
                assert (t["stop"]["meterStop"], t["stop"]["timestamp"]) == (s.stop_wh, self.utc(s.ended))
        for name, events in self.books.named.items():
            s = next(s for s in self.sessions if s.name == name)
            for first in (e for e in events if e["eventType"] == "Started"):
                assert (first["seqNo"], first["timestamp"], _register(first)) == (0, self.utc(s.began), s.start_wh)
            for last in (e for e in events if e["eventType"] == "Ended"):
                assert "Started" in [e["eventType"] for e in events], events
                assert s.ended is not None
                assert (_register(last), last["timestamp"]) == (s.stop_wh, self.utc(s.ended))
                assert _token(events) == (s.token.value if s.righted else "")


def _register(event: dict[str, Any]) -> Any:
    return event["meterValue"][-1]["sampledValue"][0]["value"]


async def _play(deeds: Sequence[str]) -> Station:
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "agent.db")
        await station.start()
        await station.do(*deeds)
        await station.settle()
        station.check()
        assert await station.store.list_dead_letters() == []
        assert station.store.queued_count("chargy") == 0
        facts = await station.store.read_facts()
        assert facts.get("transaction", {}) == {}
        await station.store.close()
        return station


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 300)
@settings(max_examples=4000 if CAMPAIGN else 60, deadline=None)
@given(st.lists(st.sampled_from(DEEDS), min_size=10, max_size=60))
@example(["card", "answered", "switch", "end"])
@example(["card", "answered", "state", "answered", "state", "answered", "switch", "answered"])
@example(["card", "answered", "end", "switch", "kill"])
@example(["plug", "state", "state", *["silent"] * 3, "answered", "switch", *["answered"] * 3, "switch"])
@example(["card", "silent", "end", "switch", "refused", "refused"])
@example(["card", "answered", "end", "lost", "refused", "switch"])
@example(["card", "answered", "end", "absent", "lost", "absent", "switch", "answered"])
@example(["card", "answered", "end", "lost", "switch", "answered"])
@example(["switch", "long", "card", "answered", "state", "end", "switch", "answered", "switch", "kill"])
@example(["long", "card", "answered", "switch", "answered", "end", "lost", "switch", "answered", "switch"])
@example(["switch", "card", "answered", "sample", "answered", "switch", "sample", "end"])
@example(["plug", "answered", "switch", "sample", "answered", "card", "answered", "switch", "state", "end"])
@example(["card", "answered", "end", "lost", "renew", "switch", "answered", "renew", "switch", "answered"])
@example(["renew", "card", "answered", "switch", "answered", "renew", "switch", "sample", "end", "lost"])
def test_each_session_is_billed_once_whatever_is_spoken(deeds: list[str]) -> None:
    """Sessions that cross from one version of OCPP to the other while answers are lost, refused or nonsense, the agent
    is killed and letters are resent: start and end reach one book, once, as they were."""
    asyncio.run(_play(deeds))


@contextlib.asynccontextmanager
async def station(*deeds: str) -> AsyncIterator[Station]:
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "agent.db")
        await station.start()
        await station.do(*deeds)
        yield station
        await station.store.close()


def numbers(s: Station) -> list[int]:
    (events,) = s.books.named.values()
    return [e["seqNo"] for e in events]


async def test_2_0_1_sees_no_gap_in_what_began_in_1_6() -> None:
    """Values that 1.6 has had are no loss; those that wait follow the start."""
    told_in_1_6 = ("switch", "card", "answered", "sample", "answered", "sample", "answered")
    async with station(*told_in_1_6, "sample", "switch", "answered", "sample", "end") as s:
        await s.settle()
        assert numbers(s) == [0, 1, 2, 3]
        assert [e.get("offline", False) for e in s.books.named["session-0"]] == [True, False, False, False]


@pytest.mark.parametrize("first", [(), ("renew",)], ids=["2.0.1 first", "2.1 first"])
async def test_2_1_goes_on_where_2_0_1_was(first: Sequence[str]) -> None:
    """One transaction with one id in one book: nothing is begun twice, and no number is given twice."""
    async with station(*first, "card", "answered", "sample", "answered", "renew", "answered", "sample", "end") as s:
        await s.settle()
        assert (numbers(s), s.books.torn, s.books.repeated) == ([0, 1, 2, 3], {"session-0": []}, 0)
        assert s.billed() == ["session-0"]


async def test_an_end_without_an_answer_is_repeated_in_2_1() -> None:
    """It is the same message with the same number to a backend that has one book: no person is needed."""
    async with station("card", "answered", "end", "lost", "renew", *["answered"] * 3) as s:
        assert (numbers(s), s.books.repeated, s.books.wrong) == ([0, 1], 1, [])
        assert (s.billed(), await s.store.list_dead_letters()) == (["session-0"], [])


async def test_a_token_that_2_0_1_cannot_say_waits_for_2_1() -> None:
    """A reference of a payment may have 255 characters there."""
    async with station("renew") as s:
        s.tokens = "PSP-" + "9" * 40
        await s.do("card", "answered", "renew", "end", *["answered"] * 3)
        (letter,) = await s.store.list_dead_letters()
        assert "sent automatically when the backend uses another version" in letter.reason
        await s.do("kill", "renew", *["answered"] * 3)
        assert (s.billed(), await s.store.list_dead_letters(), numbers(s)) == (["session-0"], [], [0, 1])


async def test_a_number_is_given_once_to_dead_letters_too() -> None:
    refused = ("sample", "answered", "sample", "refused", "refused", "refused")
    async with station("switch", "card", "answered", *refused, "switch", "answered", "sample", "answered") as s:
        assert numbers(s) == [0, 2]
        await s.do("resend", "answered", "end", "answered")  # the value, at its old place
        assert (numbers(s), s.billed(), s.books.wrong) == ([0, 2, 1, 3], ["session-0"], [])


async def test_a_start_that_2_0_1_refused_is_tried_again_when_it_comes_back() -> None:
    """It was no dead letter any more: the other version has had it."""
    async with station("card", *["refused"] * 3, "switch", "answered", "switch", "end") as s:
        assert (await s.store.list_dead_letters(), list(s.books.numbered)) == ([], [100])
        await s.settle()
        assert (s.billed("2.0.1"), numbers(s)) == (["session-0"], [0, 1])


async def test_a_version_gets_nothing_again() -> None:
    """The other one came and went before it could be sent."""
    async with station("card", "answered", "switch", "unsent", "switch", "end") as s:
        await s.settle()
        assert (s.billed("2.0.1"), numbers(s), s.books.repeated) == (["session-0"], [0, 1], 0)


async def test_what_was_reported_elsewhere_is_a_gap_where_the_transaction_was_known() -> None:
    """Closing it would give a number twice: the last message may have arrived although no answer came."""
    there = ("switch", "answered", "answered", "sample", "answered", "switch")
    async with station("card", "answered", "sample", "lost", *there, "sample", "end") as s:
        await s.settle()
        assert numbers(s) == [0, 1, 3, 4]
        assert s.billed() == ["session-0"]


async def test_the_latest_charging_state_is_reported_and_no_other() -> None:
    async with station("switch", "card", "answered", *("state", "answered") * 3, "switch", "answered", "answered") as s:
        (events,) = s.books.named.values()
        assert [e["triggerReason"] for e in events] == ["Authorized", "ChargingStateChanged"]
        assert (numbers(s), events[1]["timestamp"]) == ([0, 1], s.utc(Stamp(1, 4.0)))


async def test_an_end_that_was_refused_is_reported_as_a_whole_elsewhere() -> None:
    """A refusal is no doubt."""
    async with station("card", "answered", "end", "refused", "switch", "answered", "answered", "answered") as s:
        assert (s.billed("1.6"), await s.store.list_dead_letters()) == (["session-0"], [])


async def test_an_end_that_may_have_arrived_waits_for_a_person() -> None:
    async with station("card", "answered", "end", "unsent", "switch") as s:
        while await s.send("answered"):
            pass
        (letter,) = await s.store.list_dead_letters()
        assert letter.reason.endswith("it was sent in OCPP 2.0.1 and not answered: look there first")
        assert s.books.numbered == {}, "not even its start"
        await s.settle()  # an operator has looked: it had not
        assert (s.billed(), list(s.books.numbered)) == (["session-0"], [100])


async def test_an_end_that_the_backend_cannot_have_needs_no_person() -> None:
    """The transport knows that it was not received; an earlier sending of it may have been."""
    async with station("card", "answered", "end", "absent", "absent", "switch") as s:
        while await s.send("answered"):
            pass
        assert (await s.store.list_dead_letters(), s.billed("1.6"), s.books.wrong) == ([], ["session-0"], [])
    async with station("card", "answered", "end", "lost", "absent", "switch") as s:
        while await s.send("answered"):
            pass
        (letter,) = await s.store.list_dead_letters()
        assert letter.reason.endswith("it was sent in OCPP 2.0.1 and not answered: look there first")


async def test_a_doubt_ends_when_the_version_comes_back() -> None:
    """There the same message may be repeated; no person is needed."""
    async with station("card", "answered", "end", "lost", "switch", *["answered"] * 3) as s:
        assert [x.kind for x in await s.store.list_dead_letters()] == ["TransactionEnded"]
        await s.do("kill", "answered", "switch", "answered")
        assert (await s.store.list_dead_letters(), s.billed(), s.books.numbered) == ([], ["session-0"], {})


async def test_a_doubt_that_came_back_and_went_again_is_one() -> None:
    async with station("card", "answered", "end", "lost", "switch", *["answered"] * 3) as s:
        await s.do("switch", "unsent", "switch", *["answered"] * 3)
        assert ([x.kind for x in await s.store.list_dead_letters()], s.books.numbered) == (["TransactionEnded"], {})


async def test_a_doubt_outlives_a_start_that_is_refused_when_the_end_is_resent() -> None:
    """The end was not sent here: it may still have arrived where it was, and is repeated there."""
    async with station("card", "answered", "end", "lost", "switch", *["answered"] * 3) as s:
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        await s.do(*["refused"] * 5)
        letters = await s.store.list_dead_letters()
        assert [x.kind for x in letters] == ["TransactionStarted", "TransactionEnded"]
        assert all("it was sent in OCPP 2.0.1 and not answered" in x.reason for x in letters)
        await s.do("kill", "switch", *["answered"] * 3)
        assert (s.billed(), s.books.numbered, s.books.wrong) == (["session-0"], {}, [])
        assert await s.store.list_dead_letters() == []


@pytest.mark.parametrize(("last", "said"), [("refused", False), ("nonsense", True), ("silent", True)])
async def test_a_letter_says_whether_it_may_have_arrived(last: str, said: bool) -> None:
    async with station("card", "answered", "end", "refused", "refused", last) as s:
        (letter,) = await s.store.list_dead_letters()
        assert ("it was sent in OCPP 2.0.1 and not answered" in letter.reason) is said


async def test_of_what_ended_elsewhere_nothing_is_reported() -> None:
    async with station("card", "answered", "end", "answered", "switch") as s:
        await s.tell(ConnectorUnplugged("session-0", 1, s.at()), False)
        await s.do("answered")
        assert (
            "DataTransfer" in str(s.books.seen),
            await s.store.list_dead_letters(),
            s.store.queued_count("chargy"),
        ) == (False, [], 0)


async def test_a_number_is_given_once_when_a_version_goes_in_the_middle_of_the_opening() -> None:
    """A number that the backend has seen before is a repetition to it, and an end that is one is lost."""
    in_1_6 = ("switch", "plug", "answered", *("sample", "answered") * 3, "card", "answered")
    async with station(*in_1_6, *("switch", "answered") * 2, "switch", *["sample"] * 6, "end") as s:
        await s.settle()
        assert (numbers(s), s.books.wrong, s.books.torn) == ([*range(9)], [], {"session-0": []})


async def test_an_answer_of_before_is_none_to_what_is_reported_again() -> None:
    """The first of two attempts is answered when the second has been: not in place of the other version's answer."""
    async with station("switch", "card", "silent", "answered") as s:
        (kept,) = decode_record(s.store.transaction_record("chargy", "session-0"), "session-0").opening
        row = OutboxRow(kept.seq, "chargy", "session-0", load_record(kept.body), 0)
        out = DIALECTS["1.6"].message_row(TransactionStarted)
        assert isinstance(out, MessageRow)
        late = replace(
            out.decode_response(row.message, {"transactionId": 100, **verdict("Accepted")}, s.desk), version="1.6"
        )
        assert s.billing.take_late_answer(row.seq, late) == ()
        await s.do("switch", "answered")
        assert numbers(s) == [0]


@pytest.mark.parametrize("then", [(), ("answered", "kill"), ("answered", "answered", "switch", "switch")])
async def test_nothing_is_begun_where_a_person_has_the_end(then: Sequence[str]) -> None:
    """What follows the end is no reason either."""
    async with station("card", "answered", "end", "lost") as s:
        await s.tell(ConnectorUnplugged("session-0", 1, s.at()))  # the next vehicle is there already
        await s.do("switch", *then)
        while await s.send("answered"):
            pass
        assert (s.books.numbered, s.billed()) == ({}, ["session-0"])


async def test_letters_of_what_has_ended_elsewhere_begin_nothing() -> None:
    """Start and values had been refused; resent while the version changes."""
    async with station(*("card", "sample"), *["refused"] * 6, "end", "answered") as s:
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        await s.do("answered", "switch")
        while await s.send("answered"):
            pass
        assert (s.books.numbered, s.billed()) == ({}, ["session-0"])


async def test_many_ends_that_wait_are_reported_in_turn_and_not_all_before() -> None:
    """At each change of the version only what is open is put back at once: a disk has to write it."""
    async with station(*("card", "answered", "end", "refused", "refused", "refused") * 20) as s:
        await s.store.requeue_dead_letters([letter.seq for letter in await s.store.list_dead_letters()])
        for _ in range(3):
            await s.do("switch")
            await s.billing.next_row()
            assert s.store.queued_count("chargy") == 20
        await s.settle()
        s.check()
        assert [t["start"]["idTag"] for t in s.books.numbered.values()] == [f"T{n}" for n in range(20)]


async def test_where_no_one_had_the_right_there_is_no_bill_to_doubt() -> None:
    async with station("plug", "answered", "end", "lost", "switch") as s:
        while await s.send("answered"):
            pass
        assert (s.books.numbered, await s.store.list_dead_letters(), s.store.queued_count("chargy")) == ({}, [], 0)


async def test_the_same_version_again_asks_no_one() -> None:
    async with station("card", "answered", "end", "lost", "kill") as s:
        await s.settle()
        assert (s.billed(), s.books.numbered, await s.store.list_dead_letters()) == (["session-0"], {}, [])


async def test_a_token_that_1_6_cannot_say_waits_for_2_0_1_with_all_of_its_session() -> None:
    async with station() as s:
        s.tokens = "TWENTY-CHARACTERS-AND-MORE-"
        await s.do("card", "answered", "end", "switch")
        while await s.send("answered"):
            pass
        assert [x.kind for x in await s.store.list_dead_letters()] == ["TransactionStarted", "TransactionEnded"]
        assert all("sent automatically" in x.reason for x in await s.store.list_dead_letters()), (
            "a person need not do anything"
        )
        await s.do("kill", "switch")
        while await s.send("answered"):
            pass
        s.check()
        assert (await s.store.list_dead_letters(), s.billed()) == ([], ["session-0"])


async def test_one_that_began_in_1_6_is_billed_as_soon_as_2_0_1_is_spoken() -> None:
    """Off line, with a card that is too long for the version that came: nothing of it is sent, and nothing lost."""
    async with station("switch") as s:
        s.tokens = "TWENTY-CHARACTERS-AND-MORE-"
        await s.do("card", "answered", "sample", "answered")
        assert (s.books.numbered, s.store.queued_count("chargy")) == ({}, 0)
        await s.do("end", "answered", "kill", "switch", "switch")
        while await s.send("answered"):
            pass
        assert s.books.numbered == {}
        await s.do("switch")
        while await s.send("answered"):
            pass
        assert s.billed() == ["session-0"]
        assert [x.kind for x in await s.store.list_dead_letters()] == ["MeterSampled"]


async def test_it_is_reported_in_the_middle_of_its_session_too() -> None:
    async with station("switch") as s:
        s.tokens = "TWENTY-CHARACTERS-AND-MORE-"
        await s.do("card", "answered", "switch", "answered", "switch", "answered", "switch", "end")
        while await s.send("answered"):
            pass
        s.check()
        assert (s.billed(), await s.store.list_dead_letters()) == (["session-0"], [])


async def test_who_stops_it_is_not_said_where_that_is_too_long() -> None:
    """1.6 does not ask for it; the end is worth more."""
    async with station("switch", "card", "answered") as s:
        stopper, why = Token("ANOTHER-CARD-OF-THE-SAME-GROUP"), TriggerReason.STOP_AUTHORIZED
        await s.tell(TransactionEnded("session-0", 1, stopper, s.at(), 2000, StopReason.LOCAL, why), False)
        await s.do("answered")
        (transaction,) = s.books.numbered.values()
        assert (transaction["stop"]["meterStop"], "idTag" in transaction["stop"]) == (2000, False)


def verdict(status: str) -> dict[str, Any]:
    return {"idTagInfo": {"status": status}}


@pytest.mark.parametrize(("status", "heard"), [("ConcurrentTx", None), ("Blocked", AuthorizationStatus.BLOCKED)])
async def test_a_session_is_not_its_own_rival(status: str, heard: AuthorizationStatus | None) -> None:
    """A backend with one book for both versions takes the start in 2.0.1 for another session of the same card."""
    async with station("card", "answered", "switch") as s:
        answer = s.books.StartTransaction
        s.books.StartTransaction = lambda said: {**answer(said), **verdict(status)}  # type: ignore[method-assign]
        s.heard.clear()
        await s.do("answered")
        (event,) = s.heard
        assert isinstance(event, TransactionAcknowledged)
        assert (event.transaction_id, event.verdict and event.verdict.status) == ("100", heard)


async def test_letters_of_an_older_release_can_be_resent() -> None:
    """It kept the id alone: in 2.0.1 its end is sent, in 1.6 it comes back and says what is missing."""
    async with station("card", "answered", "end", "switch") as s:
        (row,) = await s.store.oldest_rows("chargy")
        await s.store.dead_letter(
            [row], "cannot be said in OCPP 1.6: the transaction id comes from another OCPP version"
        )
        await s.store.commit([Put("transaction", "chargy/session-0", {"id": "session-0"})])
        await s.do("kill", "resend")
        assert not [True for _ in range(5) if await s.send("answered")][2:]
        (letter,) = await s.store.list_dead_letters()
        assert "its start was sent in another OCPP version, and is not kept here" in letter.reason
        await s.do("switch", "resend")
        await s.settle()
        assert (s.billed(), await s.store.list_dead_letters()) == (["session-0"], [])


async def test_a_damaged_opening_stops_no_other() -> None:
    async with station("card", "answered", "end", "answered", "card", "answered", "end") as s:
        known = dict(s.store.transaction_record("chargy", "session-1"))
        opening = [{"seq": 5, "number": 0, "left": ["2.0.1"], "message": {"$": "TransactionStarted"}}, 7]
        known["opening"] = compress_messages(opening)
        await s.store.commit([Put("transaction", "chargy/session-1", known)])
        await s.do("switch", "card")
        await s.do("end")
        while await s.send("answered"):
            pass
        assert s.billed() == ["session-2", "session-0"]
        assert [x.session for x in await s.store.list_dead_letters()] == ["session-1"]


PROFILE = {
    "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative",
    "chargingSchedule": [{
        "id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9}],
    }],
}  # fmt: skip


async def test_2_0_1_may_use_the_number_that_1_6_gave() -> None:
    async with station("switch", "card", "answered", "switch") as s:
        s.desk.boot = "Accepted"
        s.settings.put_value("cost_display", True)
        for name in ("100", "session-0"):
            asked = {"transactionId": name}
            profile = {"evseId": 1, "chargingProfile": {**PROFILE, **asked}}
            stop, cost, limit, status = (
                s.decoded(action, payload)
                for action, payload in (
                    ("RequestStopTransaction", asked),
                    ("CostUpdated", {**asked, "totalCost": 1.5}),
                    ("SetChargingProfile", profile),
                    ("GetTransactionStatus", asked),
                )
            )
            assert (stop.session, cost.session, limit.profile.session) == ("session-0",) * 3
            row = DIALECTS["2.0.1"].request_row("GetTransactionStatus")
            assert isinstance(row, RequestRow)
            said = row.answer(
                Response("chargy", "r", "Accepted", {"sessions": ("session-0",), "waiting": True}), asked, s.desk
            )
            assert (said["ongoingIndicator"], isinstance(status, DeviceReportRequest)) == (True, True)
