"""The way to EVerest: its topics, requests and replies over an MQTT broker."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from agent.model import json_limits
from agent.ports import Garbled, Unreachable
from drivers.device_answers import await_answer
from drivers.evse_everest.settings import EverestSettings
from drivers.mqtt_broker import close_broker_client, open_broker_client

log = logging.getLogger(__name__)

API = "everest_api/1"
MANAGER, PROVIDER, VALIDATOR, LIMITS, ERRORS = (
    "evse_manager_consumer", "auth_token_provider", "auth_token_validator", "external_energy_limits_consumer",
    "error_history_consumer",
)  # fmt: skip
_MOST_OCTETS = 256 * 1024
_MOST_TOPIC = 1000

VariableReceiver = Callable[[str, str, Any, bool], None]
"""Kind of API, name of the variable, its value; True if the broker had kept it, so that it is no news."""


class EverestLink:
    """One connection. ``news`` is set by each message, and when the connection is ``lost`` (why; "" while it holds).
    EVerest puts the prefix before every topic that it gets from us, so these topics are sent without it."""

    def __init__(self, settings: EverestSettings, modules: dict[str, str], receive: VariableReceiver) -> None:
        self.name = f"EVerest at {settings.host}:{settings.port}"
        self.lost = ""
        self.news = asyncio.Event()
        self._settings, self._modules, self._receive = settings, modules, receive
        self._kinds = {module: kind for kind, module in modules.items()}
        self._prefix = settings.prefix
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._client: Any = None
        self._pump: asyncio.Task[None] | None = None

    async def open_connection(self) -> None:
        """Connect to the broker and subscribe. Raises ``Unreachable``, ``Broken``."""
        self._client = client = await open_broker_client(self.name, self._settings)
        self._pump = asyncio.create_task(self._receive_messages(), name=self.name)
        await self._await_sent(
            client.subscribe([(f"{self._prefix}{self._module_topic(k)}/e2m/#", 1) for k in self._modules])
        )

    async def close_connection(self) -> None:
        self.lost = self.lost or "closed"
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        if self._client is not None:
            client, self._client = self._client, None
            await close_broker_client(client)

    async def publish_variable(self, kind: str, name: str, payload: Any) -> None:
        """Publish to EVerest; return when the broker has it. Raises ``Unreachable``."""
        await self._publish_json(f"{self._module_topic(kind)}/m2e/{name}", payload)

    async def send_answer(self, topic: str, payload: Any) -> None:
        """Answer a request of EVerest. Raises ``Unreachable``."""
        await self._publish_json(topic, payload)

    def is_reply(self, kind: str, topic: Any) -> bool:
        """Return whether EVerest waits for an answer on this topic. A requester cannot make us publish elsewhere."""
        begin = f"{self._module_topic(kind)}/m2e/reply/"
        named = isinstance(topic, str) and len(topic) < _MOST_TOPIC and topic.isprintable()
        return named and topic.startswith(begin) and not any(c in topic for c in "+#")

    async def request_reply(self, kind: str, name: str, payload: Any = None) -> Any:
        """Send a request and return the reply. Raises ``Unreachable``, ``Garbled``."""
        topic = f"{self._module_topic(kind)}/e2m/{name}/{uuid4().hex}"
        self._asked[topic] = reply = asyncio.get_running_loop().create_future()
        request = {"headers": {"replyTo": topic}} | ({} if payload is None else {"payload": payload})
        try:
            await self.publish_variable(kind, name, request)
            return await await_answer(reply, self._settings.timeout_s)
        except TimeoutError:
            raise Unreachable(f"{self.name}: no answer to {name}") from None
        finally:
            del self._asked[topic]
            if not reply.cancel() and not reply.cancelled():
                reply.exception()  # it came while the request was still being sent

    def check_connection(self) -> None:
        """Raise ``Unreachable`` when the connection is lost; a fault of this program is raised as it is."""
        if self._pump is not None and self._pump.done() and not self._pump.cancelled():
            self._pump.result()
        if self.lost:
            raise Unreachable(f"{self.name}: {self.lost}")

    def _module_topic(self, kind: str) -> str:
        return f"{API}/{kind}/{self._modules[kind]}"

    async def _publish_json(self, topic: str, payload: Any) -> None:
        self.check_connection()
        await self._await_sent(self._client.publish(self._prefix + topic, json.dumps(payload), qos=1))

    async def _await_sent(self, sending: Any) -> None:
        from aiomqtt import MqttError

        try:
            await sending
        except (MqttError, OSError) as e:
            raise Unreachable(f"{self.name}: {e}") from e

    async def _receive_messages(self) -> None:
        from aiomqtt import MqttError

        why = "the connection ended"
        try:
            async for message in self._client.messages:
                topic = str(message.topic).removeprefix(self._prefix)
                self._take_message(topic, bytes(message.payload or b""), message.retain)
        except MqttError as e:
            why = str(e)
        self.lost = self.lost or why
        self.news.set()
        for reply in self._asked.values():
            if not reply.done():
                reply.set_exception(Unreachable(f"{self.name}: {why}"))

    def _take_message(self, topic: str, payload: bytes, kept: bool) -> None:
        try:
            value = json_limits.read_json(payload) if len(payload) <= _MOST_OCTETS else _too_long()
        except ValueError:  # also nesting without end
            self._refuse_message(topic)
            return
        if topic in self._asked:
            if not self._asked[topic].done():
                self._asked[topic].set_result(value)
            return
        kind, module, _, name = (*topic.removeprefix(f"{API}/").split("/"), "", "", "")[:4]
        if self._kinds.get(module) == kind:
            self._receive(kind, name, value, kept)
            self.news.set()

    def _refuse_message(self, topic: str) -> None:
        reply = self._asked.get(topic)
        if reply is not None and not reply.done():
            reply.set_exception(Garbled(f"{self.name}: the answer on {topic} is no JSON"))
        elif reply is None:
            log.warning("%s: what came on %s is no JSON; left out", self.name, ascii(topic)[1:200])


def _too_long() -> Any:
    raise ValueError(f"more than {_MOST_OCTETS} octets")
