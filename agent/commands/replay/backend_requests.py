"""Requests that a backend sends during a replay: which recorded one each of them is, and what the station answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.commands.replay.payload_comparison import TransactionIds, compare_payloads
from agent.commands.replay.recorded_conversation import RecordedConversation
from agent.commands.replay.replay_outcome import DifferenceKind, ReplayDifference
from agent.scenario.frames import CALL_ERROR, Frame


class RecordedRequests:
    """The recorded requests of the backend. Each of them is met once, in the order of the recording by action."""

    def __init__(self, conversation: RecordedConversation, ids: TransactionIds, ignored: Sequence[str] = ()) -> None:
        self._conversation, self._ids, self._ignored = conversation, ids, ignored
        self._open = conversation.recorded_calls(from_station=False)
        self._count = len(self._open)
        self._latest: dict[str, Frame] = {}
        self.differences: list[ReplayDifference] = []

    @property
    def met_count(self) -> int:
        return self._count - len(self._open)

    def is_met(self, recorded: Frame) -> bool:
        """Return whether the backend has sent this recorded request again."""
        return all(frame.seq != recorded.seq for frame in self._open)

    def take_request(self, request: Frame) -> str:
        """Note a request of the backend. Returns the text of the station's answer."""
        recorded = self._find_recorded_request(request)
        if recorded is None:
            self.differences.append(
                ReplayDifference(DifferenceKind.REQUEST_ADDED, request.action, None, "", None, request.payload)
            )
            recorded = self._latest.get(request.action)
        else:
            self._open.remove(recorded)
            self._latest[request.action] = recorded
            self._note_differences(recorded, request)
        return self._answer_text(recorded, request)

    def note_missing_requests(self) -> None:
        """Note what the backend has not sent."""
        for recorded in self._open:
            self.differences.append(
                ReplayDifference(DifferenceKind.REQUEST_MISSING, recorded.action, recorded, "", recorded.payload, None)
            )

    def _find_recorded_request(self, request: Frame) -> Frame | None:
        """Return the open request that is meant: one with the same content, otherwise the first of its action."""
        alike = [frame for frame in self._open if frame.action == request.action]
        return next((f for f in alike if not self._payload_differences(f, request)), next(iter(alike), None))

    def _payload_differences(self, recorded: Frame, request: Frame) -> list[Any]:
        payload = self._ids.as_recorded(request.payload)
        return compare_payloads(request.action, recorded.payload, payload, self._ignored)

    def _note_differences(self, recorded: Frame, request: Frame) -> None:
        for d in self._payload_differences(recorded, request):
            self.differences.append(
                ReplayDifference(DifferenceKind.REQUEST, request.action, recorded, d.path, d.recorded, d.present)
            )

    def _answer_text(self, recorded: Frame | None, request: Frame) -> str:
        answer = self._conversation.answers.get(recorded.seq) if recorded is not None else None
        if answer is None:
            message: list[Any] = [CALL_ERROR, request.message_id, "NotImplemented", "not in the recording", {}]
        else:
            message = json.loads(answer.text)
            message[1] = request.message_id
        return json.dumps(self._ids.as_present(message), ensure_ascii=False)
