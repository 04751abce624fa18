"""Messages that a person composes: requests to the backend as if the station sent them, and to the station as if the
backend did. They go over the wire of the present connection (``link_proxy.py``), and so do their answers, which the
proxy takes out: neither side gets an answer to what it has not asked."""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.model import json_limits
from drivers.sim.checked_values import Unknown
from drivers.sim.link_conversation import LinkConversation
from drivers.sim.link_proxy import LinkProxy
from drivers.sim.malformed_messages import (
    CALL,
    MALFORMATIONS,
    UNREADABLE_IDS,
    WITHOUT_READABLE_ID,
    RequestDraft,
)
from drivers.sim.message_schemas import BACKEND, STATION, request_schema
from drivers.sim.status_client import StatusClient
from drivers.sim.supervisor import NotRunning
from drivers.sim.world import World

Json: TypeAlias = dict[str, Any]

LINK = "backend"
ANSWER_TYPES = (3, 4)
"""CALLRESULT and CALLERROR (OCPP-J, 4.2)."""
KEPT = 100
"""Messages whose answers are taken out of the wire."""
SHOWN = 20
LOOKED_BACK = 200
"""Frames among which an id of a text is looked for."""
HIDDEN = "***"
WHY_NOT = {
    "no_connection": "the station is not connected to the backend",
    "encrypted": "the link is encrypted (wss): messages can be composed where the address begins with ws://",
    "soap": "the station speaks OCPP over SOAP: messages can be composed for OCPP-J",
    "unreadable": "a message on this connection could not be read: have the station connect again",
}
"""Reasons why no message can be composed."""
_SECRET_NAMES = ("authorizationkey", "password", "sharedsecret", "simpin")
_LOGIN_IN_ADDRESS = re.compile(r':(?:\\?/){2}[^"\s]*[@?#]')


@dataclass(slots=True)
class ComposedMessage:
    """A message that was sent. ``sender``: the side for which it stands; ``malformed`` "": it is as it should be."""

    number: int
    sender: str
    version: str
    action: str
    message_id: str
    malformed: str
    text: str
    utc_s: float
    answers: list[Json] = field(default_factory=list)

    def make_picture(self) -> Json:
        return {
            "number": self.number, "sender": self.sender, "version": self.version, "action": self.action,
            "message_id": self.message_id, "malformed": self.malformed or None, "t": self.utc_s,
            "text": hide_secrets(self.text), "answers": list(self.answers),
        }  # fmt: skip


class MessageComposer:
    """Sends composed messages and collects their answers. ``version`` grows with each change, of which ``changed`` is
    called."""

    def __init__(self, world: World, watch: StatusClient, changed: Callable[[], None]) -> None:
        self._world, self._watch, self._changed = world, watch, changed
        self._sent: OrderedDict[int, ComposedMessage] = OrderedDict()
        self._by_id: OrderedDict[tuple[str, str], ComposedMessage] = OrderedDict()
        self._count = 0
        self._run = secrets.token_hex(3)
        self.version = 0
        if (proxy := self._link_proxy()) is not None:
            proxy.keeps_message = self._keeps_message
            proxy.on_conversation_change = self._note_visible_change

    def event_picture(self) -> Json:
        conversation, reason = self._find_conversation()
        return {
            "available": conversation is not None,
            "reason": reason or None,
            "version": conversation.version if conversation is not None else None,
            "messages": [message.make_picture() for message in list(self._sent.values())[-SHOWN:]],
        }

    # --- sending -----------------------------------------------------------------------------------------------------

    def send_request(self, body: Mapping[str, Any]) -> None:
        """Send a request. ``body``: ``sender``, ``action``, ``payload``, ``malformed`` and ``message_id``.

        Raises ``NotRunning``, ``Impossible``.
        """
        conversation = self._present_conversation()
        self._count += 1
        message_id = body["message_id"] or f"composed-{self._run}-{self._count}"
        required = _required_keys(conversation.version, body["action"])
        draft = RequestDraft(message_id, body["action"], body["payload"], required)
        malformed = body["malformed"] or ""
        texts = MALFORMATIONS[malformed](draft) if malformed else [draft.encode_text()]
        self._send_texts(conversation, body["sender"], texts)
        message = self._note_message(conversation, body["sender"], draft.action, message_id, malformed, texts[0])
        self._by_id[message.sender, message_id] = message
        if malformed in WITHOUT_READABLE_ID:
            self._by_id |= {(message.sender, unreadable): message for unreadable in UNREADABLE_IDS}

    def send_raw_text(self, body: Mapping[str, Any]) -> None:
        """Send any text as a message. ``body``: ``sender`` and ``text``. An answer is taken out of the wire if the text
        is a request with an id that the conversation has not had. Raises ``NotRunning``, ``Impossible``."""
        conversation, sender, text = self._present_conversation(), body["sender"], body["text"]
        self._count += 1
        kind, message_id = json_limits.frame_head(text) or (0, "")
        is_new = message_id not in self._recent_ids()
        self._send_texts(conversation, sender, [text])
        message = self._note_message(conversation, sender, _action_of_text(text), message_id, "", text)
        if kind == CALL and is_new:
            self._by_id[sender, message_id] = message

    def _note_message(
        self, conversation: LinkConversation, sender: str, action: str, message_id: str, malformed: str, text: str
    ) -> ComposedMessage:
        number, version = self._count, conversation.version
        message = ComposedMessage(number, sender, version, action, message_id, malformed, text, time.time())
        self._sent[number] = message
        for known in (self._sent, self._by_id):
            while len(known) > KEPT:
                known.popitem(last=False)
        self._note_visible_change()
        return message

    def _send_texts(self, conversation: LinkConversation, sender: str, texts: Sequence[str]) -> None:
        proxy = self._link_proxy()
        assert proxy is not None
        for text in texts:
            proxy.add_message(conversation, sender == STATION, text)
            if sender == STATION:
                self._add_to_trace(conversation, "out", text)

    def _recent_ids(self) -> set[str]:
        frames = self._watch.trace.frames_since(max(0, self._watch.trace.last_seq - LOOKED_BACK))
        return {head[1] for frame in frames if (head := json_limits.frame_head(str(frame["frame"]))) is not None}

    # --- answers -----------------------------------------------------------------------------------------------------

    def _keeps_message(self, conversation: LinkConversation, from_station: bool, text: str) -> bool:
        """Return whether a message is for the side to which it goes: it is no answer to a composed one."""
        kind, message_id = json_limits.frame_head(text) or (0, "")
        sent = self._by_id.get((BACKEND if from_station else STATION, message_id)) if kind in ANSWER_TYPES else None
        if sent is None:
            return True
        sent.answers.append({"t": time.time(), "is_error": kind != ANSWER_TYPES[0], "text": hide_secrets(text)})
        if not from_station:
            self._add_to_trace(conversation, "in", text)
        self._note_visible_change()
        return False

    def _add_to_trace(self, conversation: LinkConversation, direction: str, text: str) -> None:
        """Add a frame of which the agent does not know."""
        link = next((b.name for b in self._world.file.backends), LINK)
        self._watch.trace.add_composed_frame(
            {"dir": direction, "link": link, "version": conversation.version, "frame": hide_secrets(text)},
            self._world.speed,
        )

    # --- the connection ----------------------------------------------------------------------------------------------

    def _link_proxy(self) -> LinkProxy | None:
        far_ends = self._world.devices.far_ends
        return far_ends.link_proxies.get(LINK) if far_ends is not None else None

    def _present_conversation(self) -> LinkConversation:
        conversation, reason = self._find_conversation()
        if conversation is None:
            raise NotRunning(WHY_NOT[reason])
        return conversation

    def _find_conversation(self) -> tuple[LinkConversation | None, str]:
        """Return the newest connection over which OCPP is spoken, or None and why there is none."""
        proxy = self._link_proxy()
        present = list(reversed(proxy.conversations)) if proxy is not None else []
        for conversation in present:
            if conversation.takes_messages:
                return conversation, ""
        return None, next(self._reasons_against(present))

    def _reasons_against(self, present: list[LinkConversation]) -> Iterator[str]:
        said = (self._watch.said or {}).get("backend") or {}
        if str(said.get("url", "")).startswith("http"):
            yield "soap"
        if any(c.is_encrypted for c in present):
            yield "encrypted"
        if any(c.is_unreadable for c in present):
            yield "unreadable"
        yield "no_connection"

    def _note_visible_change(self) -> None:
        self.version += 1
        self._changed()


def hide_secrets(text: str) -> str:
    """Return a text as it may be shown; one that may have a secret is hidden as a whole."""
    small = text.lower()
    has_secret = any(name in small for name in _SECRET_NAMES) or _LOGIN_IN_ADDRESS.search(text)
    return HIDDEN if has_secret else text


def _required_keys(version: str, action: str) -> tuple[str, ...]:
    try:
        return tuple(request_schema(version, action).get("required", ()))
    except Unknown:  # any action may be sent
        return ()


def _action_of_text(text: str) -> str:
    """Return the action that a text seems to have, for a person; "": none."""
    match = re.match(r'\s*\[\s*2\s*,\s*"[^"]*"\s*,\s*"(\w{1,50})"', text)
    return match[1] if match else ""
