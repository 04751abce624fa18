"""A new OCPP message is one row, one handler and one golden line: shown with SetMonitoringLevel (N05) and a dialect
that lacks it. ``docs/extending.md`` describes the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.events import RequestReceived
from agent.domain.functional_block import Blocks, Replier, Yielded, answers_requests
from agent.domain.orders import Persist, Response
from agent.domain.requests import BackendRequest
from agent.model.fastclass import frozen
from agent.model.types import Moment, Stamp
from agent.ocpp.dialects.dialect import RequestRow, RowContext, find_gaps
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import desk


@frozen
class MonitoringLevelRequest(BackendRequest):
    """SetMonitoringLevel; ``severity``: 0 (danger) to 9 (debug)."""

    severity: int


def decode_monitoring_level(payload: dict[str, Any], ctx: RowContext) -> MonitoringLevelRequest:
    return MonitoringLevelRequest(payload["severity"])


def answer_monitoring_level(reply: Response, payload: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    return {"status": reply.status}


BARE = V201.without_rows("SetMonitoringLevel")
ROW = RequestRow("SetMonitoringLevel", decode_monitoring_level, answer_monitoring_level)


class MonitoringLevel:
    @answers_requests(MonitoringLevelRequest)
    def answer_set_monitoring_level(
        self, request: MonitoringLevelRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        if not 0 <= request.severity <= 9:
            yield reply("Rejected")
            return
        yield Persist("monitoring", "level", {"severity": request.severity})
        yield reply("Accepted")


def answered(payload: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return the payload of the response, and the other orders."""
    row = BARE.with_rows(ROW).request_row("SetMonitoringLevel")
    assert isinstance(row, RequestRow)
    asked = row.decode(payload, desk())
    assert isinstance(asked, BackendRequest)
    event = RequestReceived("chargy", "q1", asked)
    *orders, reply = Blocks([MonitoringLevel()]).handle_event(event, Moment(Stamp(1, 2.0), None))
    assert isinstance(reply, Response)
    return row.answer(reply, payload, desk()), orders


def test_a_request_is_offered_by_one_row_and_one_handler() -> None:
    assert find_gaps(BARE) == ["SetMonitoringLevel: neither a row nor a refusal"]
    assert find_gaps(BARE.with_rows(ROW)) == []
    assert answered({"severity": 4}) == (
        {"status": "Accepted"},
        [Persist("monitoring", "level", {"severity": 4})],
    )
    assert answered({"severity": 10}) == ({"status": "Rejected"}, [])
