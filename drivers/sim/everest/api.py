"""The topics of EVerest's public API, on the side of EVerest (everest-core 2026-05, ``modules/API``)."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from drivers.sim.mqtt import Broker

Json: TypeAlias = Any
Handler: TypeAlias = Callable[[Json], Json]

CHECK_S = 5.0
HEARTBEAT_S = 1.0
NO_REPLY = object()
MODULES: Mapping[str, str] = {
    "evse_manager_consumer": "evse_manager_{}",
    "auth_token_provider": "token_provider_{}",
    "auth_token_validator": "token_validator_{}",
    "external_energy_limits_consumer": "limits_{}",
    "error_history_consumer": "errors_{}",
}


def timestamp_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Api:
    """The API modules of one EVSE. ``commands``: the handlers of a client's requests, by kind and name.

    ``silent``: no module sends anything (EVerest hangs).
    """

    def __init__(
        self, broker: Broker, evse: int, commands: Mapping[tuple[str, str], Handler], prefix: str = ""
    ) -> None:
        self.silent = False
        self.spoil: Callable[[Json], Json] = lambda value: value
        """Changes each value before it is published, for tests with a faulty EVerest."""
        self._broker, self._commands, self._prefix = broker, commands, prefix
        self._roots = {kind: f"everest_api/1/{kind}/{name.format(evse)}" for kind, name in MODULES.items()}
        self._beats, self._since_beat_s = 0, 0.0
        self._unheard_s = dict.fromkeys(MODULES, CHECK_S)  # no client yet
        self._waiting: dict[str, Callable[[Json], None]] = {}
        for kind, root in self._roots.items():
            broker.attach_subscriber(f"{prefix}{root}/m2e/#", functools.partial(self._receive_message, kind))

    @property
    def all_clients_heard(self) -> bool:
        """Every module has received a communication check from its client in time."""
        return max(self._unheard_s.values()) < CHECK_S

    def step(self, real_s: float) -> None:
        for kind in self._unheard_s:
            self._unheard_s[kind] += real_s
        self._since_beat_s += real_s
        if self._since_beat_s >= HEARTBEAT_S:
            self._since_beat_s = 0.0
            self._beats += 1
            for kind in MODULES:
                self.publish_value(kind, "heartbeat", self._beats)

    def publish_value(self, kind: str, name: str, value: Json) -> None:
        self._publish_topic(f"{self._roots[kind]}/e2m/{name}", value)

    def send_request(self, kind: str, name: str, payload: Json, answered: Callable[[Json], None]) -> None:
        """Send a request of EVerest to its client."""
        reply_to = f"{self._roots[kind]}/m2e/reply/{uuid.uuid4()}"
        self._waiting[reply_to] = answered
        self.publish_value(kind, name, {"headers": {"replyTo": reply_to}, "payload": payload})

    def _publish_topic(self, topic: str, value: Json) -> None:
        """Publish a value. The framework puts the prefix before every topic; the values do not contain it."""
        if not self.silent:
            self._broker.publish_message(self._prefix + topic, json.dumps(self.spoil(value)).encode())

    def _receive_message(self, kind: str, topic: str, payload: bytes) -> None:
        if self.silent:
            return
        try:
            message = json.loads(payload)
        except ValueError:
            return  # EVerest logs it and goes on
        topic = topic.removeprefix(self._prefix)
        name = topic.removeprefix(f"{self._roots[kind]}/m2e/")
        if name == "communication_check":
            self._unheard_s[kind] = 0.0 if message is True else self._unheard_s[kind]
        elif topic in self._waiting:
            self._waiting.pop(topic)(message)
        elif (kind, name) in self._commands:
            self._run_command(kind, name, message)

    def _run_command(self, kind: str, name: str, message: Json) -> None:
        """Run a handler. A request has headers and gets a reply, a notification has none."""
        headers = message.get("headers") if isinstance(message, dict) else None
        body = message.get("payload") if headers is not None else message
        answer = self._commands[kind, name](body)
        if headers is not None and answer is not NO_REPLY:
            self._publish_topic(headers.get("replyTo", ""), answer)
