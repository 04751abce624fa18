"""What EVerest has reported of one EVSE: its session, its errors, its questions about tokens and its limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.model.types import Fault
from agent.ports import Garbled
from drivers.evse_everest.decoded_state import (
    EverestSession,
    apply_session_event,
    apply_session_info,
    failure_reason,
    fault_of,
    soc_of,
)
from drivers.evse_everest.limits import EnforcedLimits
from drivers.evse_everest.mqtt_link import MANAGER

log = logging.getLogger(__name__)

_MOST_QUESTIONS = 50
"""How many questions wait at most."""


class EverestReports:
    """``session``: what is known of the vehicle. ``questions``: where to answer, and the token in question.
    ``is_reply_topic``: whether EVerest waits for an answer there. ``vehicle_left`` is called when a plug was pulled:
    the next vehicle may arrive before the next poll."""

    def __init__(
        self, name: str, dc: bool, is_reply_topic: Callable[[Any], bool], vehicle_left: Callable[[], None]
    ) -> None:
        self.session = EverestSession()
        self.first_state_known = asyncio.Event()
        self.questions: list[tuple[str, str]] = []
        self.enforced = EnforcedLimits(dc)
        self._name = name
        self._dc = dc
        self._is_reply_topic = is_reply_topic
        self._vehicle_left = vehicle_left
        self._errors: dict[str, Fault] = {}
        self._heartbeat_s = 0.0

    def begin_connection(self) -> None:
        """Forget what was reported over an earlier connection: events may have been missed."""
        self.session = EverestSession()
        self.first_state_known.clear()
        self.questions = []
        self.enforced = EnforcedLimits(self._dc)
        self._errors = {}

    @property
    def silent_s(self) -> float:
        """Return how long EVerest has sent no sign of life."""
        return time.monotonic() - self._heartbeat_s

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset(self._errors.values())

    def receive_variable(self, kind: str, name: str, value: Any, kept: bool) -> None:
        """Take a variable of EVerest. A retained message is no sign of life, and only a retained state is valid."""
        if kept and name != "session_info":
            return
        if kind == MANAGER and not kept:
            self._heartbeat_s = time.monotonic()
        try:
            self._apply_variable(kind, name, value)
        except Garbled as e:
            log.warning("%s: %s; left out", self._name, e)

    def _apply_variable(self, kind: str, name: str, value: Any) -> None:
        match kind, name:
            case "evse_manager_consumer", "session_event":
                before, self.session = self.session, apply_session_event(self.session, value)
                if before.plugged and not self.session.plugged:
                    self._vehicle_left()
            case "evse_manager_consumer", "session_info":
                if self.session.plugged is None:
                    self.session = apply_session_info(self.session, value)
                self.first_state_known.set()
            case "evse_manager_consumer", "ev_info" if (soc := soc_of(value)) is not None:
                self.session = replace(self.session, soc_percent=soc)
            case "evse_manager_consumer", "enforced_limits":
                self.enforced.receive_enforced(value)
            case "evse_manager_consumer", "hlc_session_failed":
                log.warning("%s: vehicle and charger do not come to terms: %s", self._name, failure_reason(value))
            case "error_history_consumer", ("error_raised" | "error_cleared"):
                self.apply_error(value, name == "error_raised")
            case "auth_token_validator", "validate_token":
                self._queue_token_question(value)
        if self.session.plugged is not None:
            self.first_state_known.set()

    def apply_error(self, error: Any, raised: bool) -> None:
        fault, id_ = fault_of(error), str(error.get("uuid", "")) if isinstance(error, dict) else ""
        if fault is not None and raised:
            self._errors[id_] = fault
        elif not raised:
            self._errors.pop(id_, None)

    def _queue_token_question(self, request: Any) -> None:
        """Queue EVerest's question whether a token is valid."""
        try:
            topic, value = request["headers"]["replyTo"], str(request["payload"]["id_token"]["value"])
        except (KeyError, TypeError) as e:
            raise Garbled("validate_token without a token or a way to answer") from e
        if not self._is_reply_topic(topic):
            raise Garbled("validate_token is to be answered elsewhere")
        self.questions = [*self.questions[-_MOST_QUESTIONS:], (topic, value)]
