"""Whatever a central system asks, in either version, while people come and go: the promises that the walks of the
domain keep (``tests/domain/rig.py``) hold, and each request has its one answer, a valid one. Frames are made from the
schemas of the standard (``test_any_request.py``) and go through the rows of the dialect into the whole domain."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.certificate_orders import (
    ChainTaken,
    DeleteRoot,
    InstallRoot,
    ListRoots,
    MakeRequest,
    RequestMade,
    RootDeleted,
    RootInstalled,
    RootsListed,
    TakeChain,
)
from agent.domain.events import Event, FirmwareFetched, LogSent, SignerJudged
from agent.domain.orders import FetchFirmware, JudgeSigner, Order, Response, SendLog
from agent.domain.requests import RemoteStartRequest, ResetRequest, SendLocalListRequest
from agent.model.types import Token
from agent.ocpp.dialects.dialect import Dialect, FixedAnswer, Refused, RequestRow, RowContext
from agent.ocpp.v16 import V16
from agent.ocpp.v21 import V21
from agent.ocpp.v201 import V201
from tests.domain.test_session_properties import DEEDS, TOKENS, WHEN_GONE, Street, books, shape_of
from tests.domain.walks import next_deed
from tests.ocpp.ocpp_stand_ins import Outbox, decoded, desk
from tests.ocpp.test_any_request import SUFFIX, asked_by, document, made_of
from tests.support.simulated_station import CAMPAIGN
from tests.support.strict_csms import exact

FRAMES = 10
WALKS = 1000 if CAMPAIGN else 15
"""Of each version: 20,000 frames in a campaign."""
KEPT = {"connection_timeout_s": (10, 60), "sample_interval_s": (30, 300), "clock_aligned_interval_s": (0, 60)}
"""So that a walk comes to an end. -1, 0 and 1 have plays of their own."""


class Named(Outbox):
    """The backend knows session s7 as transaction 7 (1.6) or s7 (2.0.1)."""

    def session_of(self, link: str, transaction_id: str) -> str | None:
        return f"s{transaction_id}"


def keyless(order: Order) -> Event | None:
    """What a station says of its keys that has none, and may have none."""
    match order:
        case MakeRequest(job):
            return RequestMade(job, "")
        case TakeChain(job):
            return ChainTaken(job, why="no key of ours")
        case InstallRoot(job):
            return RootInstalled(job, "Rejected")
        case DeleteRoot(job):
            return RootDeleted(job, "NotFound")
        case ListRoots(job):
            return RootsListed(job)
    return None


class Talk:
    """A backend on a street. ``answers``: of what was asked and is not answered yet."""

    def __init__(self, street: Street, dialect: Dialect) -> None:
        self.street, self.dialect = street, dialect
        self.replies: dict[str, Response] = {}
        self.reached: Counter[str] = Counter()
        rig = street.rig
        rig._check_limits = lambda: None  # type: ignore[method-assign]  # it knows the profiles of the walks alone
        carry_out = rig._carry_out

        def listen(order: Order, saved: bool) -> None:
            if isinstance(order, Response):
                self.replies[order.request] = order
            carry_out(order, saved)
            if (said := keyless(order)) is not None:
                rig.queue.append(said)

        rig._carry_out = listen  # type: ignore[method-assign]

    def ask(self, action: str, payload: dict[str, Any]) -> None:
        row, rig = self.dialect.request_row(action), self.street.rig
        if not isinstance(row, RequestRow | FixedAnswer) or not rig.alive:
            return
        at = desk(Named(), rig.site.settings)
        at.boot, at.evse_numbers = "Accepted", tuple(rig.outlets)
        try:
            asked = decoded(row, payload, at)
        except Refused:
            return
        if isinstance(asked, dict):
            self._judge(action, asked)
            return
        self.reached[action] += 1
        self._expect(asked)
        resetting, before = rig.resetting, set(self.replies)
        rig.ask(asked)
        self._follow(asked, resetting)
        if set(self.replies) == before:
            self.street.answers()  # some answers wait for the board
        for request in set(self.replies) - before:
            self._answered(row, payload, self.replies[request], at)

    def _answered(self, row: RequestRow, payload: dict[str, Any], reply: Response, at: RowContext) -> None:
        seen = asyncio.run(row.look_up(payload, at)) if row.look_up else {}
        try:
            self._judge(row.action, row.answer(replace(reply, data={**reply.data, **seen}), payload, at))
        except Refused:
            return

    def _judge(self, action: str, answer: dict[str, Any]) -> None:
        draft = jsonschema.Draft4Validator if self.dialect.name == "1.6" else jsonschema.Draft6Validator
        schema = document(self.dialect.name, action + "Response")
        draft(exact(schema)).validate(exact(answer))

    def _expect(self, asked: object) -> None:
        """Whom this request allows to charge."""
        rig = self.street.rig
        if isinstance(asked, RemoteStartRequest) and not rig.site.settings.bool_value("authorize_remote_start"):
            rig.allowed.add(asked.token)
        if isinstance(asked, SendLocalListRequest):
            good = {value.casefold() for value, verdict in asked.entries if verdict and verdict.is_accepted}
            rig.allowed |= {t for t in TOKENS if t.value.casefold() in good} | {Token(value) for value in good}

    def _follow(self, asked: object, resetting: bool) -> None:
        rig = self.street.rig
        if isinstance(asked, ResetRequest) and rig.alive and not rig.site.stopping:
            rig.resetting = resetting  # of one EVSE, or when no vehicle charges any more
        rig.config.settings["offline_tx_for_unknown_id"] |= rig.site.settings.bool_value("offline_tx_for_unknown_id")
        for name, (low, high) in KEPT.items():
            rig.site.settings.put_value(name, min(max(rig.site.settings.int_value(name), low), high))


def frames(dialect: Dialect) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    def of(action: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        whole = document(dialect.name, action + SUFFIX[dialect.name])
        return made_of(whole, whole).map(lambda payload: (action, _at_home(payload)))

    return st.sampled_from(asked_by(dialect)).flatmap(of)


def _at_home(payload: Any) -> Any:
    """Numbers of EVSEs and names of transactions that are there more often than not."""
    if isinstance(payload, list):
        return [_at_home(item) for item in payload]
    if not isinstance(payload, dict):
        return payload
    near = {"transactionId": lambda v: f"s{len(v) % 4}" if isinstance(v, str) else abs(v) % 4}
    near |= dict.fromkeys(("evseId", "connectorId"), lambda v: abs(v) % 3)
    return {k: near[k](v) if k in near else _at_home(v) for k, v in payload.items()}


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("dialect", [V16, V201, V21], ids=lambda d: d.name)
def test_the_promises_hold_whatever_is_asked(dialect: Dialect, record_property: Any) -> None:
    asked, reached = 0, Counter[str]()

    @settings(
        max_examples=WALKS, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(st.integers(0, 2**32), st.lists(frames(dialect), min_size=FRAMES, max_size=FRAMES))
    def walk(seed: int, wanted: list[tuple[str, dict[str, Any]]]) -> None:
        nonlocal asked
        draw = random.Random(seed)
        street = Street(**shape_of(draw))
        talk = Talk(street, dialect)
        for action, payload in wanted:
            for _ in range(draw.randrange(6)):
                name, args = next_deed(street, draw, DEEDS, WHEN_GONE)
                getattr(street, name)(**args)
            if not street.rig.alive:
                street.start_again(5.0, False, True)
            talk.ask(action, payload)
            asked += 1
            books(street)
        street.calm_down()
        reached.update(talk.reached)

    walk()
    record_property("frames", asked)
    record_property("reached the domain", dict(reached))
    assert len(reached) >= 10, f"hardly anything of it reaches the domain: {reached}"


# --- numbers ---------------------------------------------------------------------------------------------------------

GIVEN = {"location": "ftp://h/x", "remoteLocation": "ftp://h/x", "transactionId": "s1"}
PAST = ("retrieveDate", "retrieveDateTime", "startSchedule", "validFrom", "startTime")
HUGE = 10**400
"""JSON has no greatest number."""


def whole_of(schema: dict[str, Any], whole: dict[str, Any], name: str = "") -> Any:
    """With every field that there may be; each number is 1."""
    if "$ref" in schema:
        return whole_of(whole["definitions"][schema["$ref"].rsplit("/", 1)[-1]], whole, name)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type", "object"):
        case "object":
            fields = schema.get("properties", {}).items()
            return {n: whole_of(s, whole, n) for n, s in fields if n != "customData"}
        case "array":
            return [whole_of(schema["items"], whole, name)]
        case "string" if schema.get("format") == "date-time":
            return "2027-01-15T07:00:00Z" if name in PAST else "2027-01-15T09:00:00Z"
        case "string":
            return GIVEN.get(name, "1")
        case "boolean":
            return True
    return 1


def numbers_of(value: Any) -> list[tuple[Any, Any]]:
    """Where they are: holder and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = [(value, k) for k, v in items if type(v) is int]
    return [*here, *(found for _, v in items if isinstance(v, dict | list) for found in numbers_of(v))]


def failing(order: Order) -> Event | None:
    """Files that do not come or go: they are tried again after the time that was asked for."""
    match order:
        case SendLog(job):
            return LogSent(job, "UploadFailure")
        case FetchFirmware(job):
            return FirmwareFetched(job, False)
        case JudgeSigner(job):
            return SignerJudged(job, True)
    return None


@pytest.mark.parametrize("dialect", [V16, V201, V21], ids=lambda d: d.name)
def test_a_number_beyond_all_bounds_ends_no_station(dialect: Dialect) -> None:
    """The pause between two attempts was one: it was on disk, and ended the station at each of its starts."""
    reached = Counter[str]()
    for action in asked_by(dialect):
        whole = document(dialect.name, action + SUFFIX[dialect.name])
        payload = whole_of(whole, whole)
        for holder, key in numbers_of(payload):
            holder[key] = HUGE
            street = Street({"offline_tx_for_unknown_id": False}, has_updater=True)
            rig, talk = street.rig, Talk(street, dialect)
            carry_out = rig._carry_out

            def listen(order: Order, saved: bool, carry_out: Any = carry_out, rig: Any = rig) -> None:
                if (said := failing(order)) is not None:
                    rig.queue.append(said)
                carry_out(order, saved)

            rig._carry_out = listen  # type: ignore[method-assign]
            street.plug(1, True)
            talk.ask(action, payload)
            rig.pass_time(60.0)
            assert rig.alive or rig.resetting, action
            reached.update(talk.reached)
            holder[key] = 1
    assert sum(n > 0 for n in reached.values()) >= 8, reached
