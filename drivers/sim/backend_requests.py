"""Requests that the built-in central system sends to the simulated station, on demand of a person or a program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agent.scenario.operations import OPERATIONS, build_payload
from agent.scenario.versions import find_operation_form
from drivers.sim.checked_values import Unknown
from drivers.sim.demo_central import DemoCentral
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import NotRunning

Json: TypeAlias = dict[str, Any]
FORM_OF_VERSION = {"1.5": "1.6", "1.2": "1.6"}
"""A version whose requests are written as those of another one; the central system refuses what it does not know."""


class BackendRequests:
    """``central`` None: the backend is another one, and its operator sends. ``station``: the charge point id."""

    def __init__(
        self, central: DemoCentral | None, watch: StatusClient, station: str, print_line: Callable[[str], None]
    ) -> None:
        self._central, self._watch, self._station, self._print_line = central, watch, station, print_line
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def is_offered(self) -> bool:
        return self._central is not None

    def send_request(self, body: Mapping[str, Any]) -> None:
        """Have a request sent; its answer is in the conversation. ``body``: ``operation`` and ``with``, or ``action``
        and ``payload``. Raises ``ValueError``, ``Unknown``, ``NotRunning``."""
        if self._central is None:
            raise Unknown("there is no built-in central system: have your backend send it")
        backend = (self._watch.said or {}).get("backend") or {}
        if backend.get("link") != "up":
            raise NotRunning("the station is not connected to the central system")
        action, payload = self._payload_on_the_wire(body, str(backend.get("ocpp")))
        task = asyncio.get_running_loop().create_task(self._send_by_central(self._central, action, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _payload_on_the_wire(self, body: Mapping[str, Any], version: str) -> tuple[str, Json]:
        """Return action and payload in the version of OCPP that is spoken."""
        if "action" in body:
            return body["action"], body["payload"]
        name, given = body["operation"], body["with"]
        operation = OPERATIONS[name]
        if unknown := sorted(set(given) - set(operation.parameter_names())):
            raise ValueError(f"with.{unknown[0]}: {name} has no such parameter")
        if missing := [key for key in operation.required if key not in given]:
            raise ValueError(f"with.{missing[0]}: is missing")
        form = find_operation_form(FORM_OF_VERSION.get(version, version), name)
        if form is None:
            raise ValueError(f"operation: there is no {name} in OCPP {version}")
        return form.action, build_payload(name, given, form)

    async def _send_by_central(self, central: DemoCentral, action: str, payload: Json) -> None:
        if complaint := await central.send_command(self._station, action, payload):
            self._print_line(f"backend: {action} was not sent: {complaint}")
