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
from agent.model.secret_texts import HIDDEN, mask_urls_in_json, may_have_url, names_secret, unescape_unicode
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
"""Messages that are known, and messages whose answers are waited for."""
SHOWN = 20
LOOKED_BACK = 200
"""Frames among which an id of a text is looked for."""
WHY_NOT = {
    "no_connection": "the station is not connected to the backend",
    "encrypted": "the link is encrypted (wss): messages can be composed where the address begins with ws://",
    "soap": "the station speaks OCPP over SOAP: messages can be composed for OCPP-J",
    "unreadable": "a message on this connection could not be read: have the station connect again",
}
"""Reasons why no message can be composed."""


@dataclass(slots=True)
class ComposedMessage:
    """A message that was sent. ``sender``: the side for which it stands; ``malformed`` "": it is as it should be;
    ``text``: as it may be shown."""

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
            "text": self.text, "answers": list(self.answers),
        }  # fmt: skip


@dataclass(slots=True, eq=False)
class ExpectedAnswers:
    """Answers that are taken out of the wire of one connection. ``ids``: they come with one of these; ``left``: how
    many are still to come."""

    conversation: LinkConversation
    message: ComposedMessage
    ids: Sequence[str]
    left: int


class MessageComposer:
    """Sends composed messages and collects their answers. ``version`` grows with each change, of which ``changed`` is
    called."""

    def __init__(self, world: World, watch: StatusClient, changed: Callable[[], None]) -> None:
        self._world, self._watch, self._changed = world, watch, changed
        self._sent: OrderedDict[int, ComposedMessage] = OrderedDict()
        self._expected: list[ExpectedAnswers] = []
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
        ids = [message_id] if self._is_free_id(conversation, body["sender"], message_id) else []
        ids += UNREADABLE_IDS if malformed in WITHOUT_READABLE_ID else ()
        message = self._send_texts(conversation, body["sender"], texts, draft.action, message_id, malformed)
        self._expect_answers(conversation, message, ids, len(texts))

    def send_raw_text(self, body: Mapping[str, Any]) -> None:
        """Send any text as a message. ``body``: ``sender`` and ``text``. Its answer is taken out of the wire if it is a
        request whose id no other one waits with. Raises ``NotRunning``, ``Impossible``."""
        conversation, sender, text = self._present_conversation(), body["sender"], body["text"]
        self._count += 1
        kind, message_id = json_limits.frame_head(text) or (0, "")
        ids = [message_id] if kind == CALL and self._is_free_id(conversation, sender, message_id) else []
        message = self._send_texts(conversation, sender, [text], _action_of_text(text), message_id, "")
        self._expect_answers(conversation, message, ids, 1)

    def _send_texts(
        self,
        conversation: LinkConversation,
        sender: str,
        texts: Sequence[str],
        action: str,
        message_id: str,
        malformed: str,
    ) -> ComposedMessage:
        """Send all texts of a message, or none. Return the message as it is shown."""
        proxy = self._link_proxy()
        assert proxy is not None
        proxy.add_messages(conversation, sender == STATION, texts)
        shown, version = hide_secrets(texts[0]), conversation.version
        for _ in texts if sender == STATION else ():
            self._add_to_trace(conversation, "out", shown)
        message = ComposedMessage(self._count, sender, version, action, message_id, malformed, shown, time.time())
        self._sent[message.number] = message
        while len(self._sent) > KEPT:
            self._sent.popitem(last=False)
        self._note_visible_change()
        return message

    def _is_free_id(self, conversation: LinkConversation, sender: str, message_id: str) -> bool:
        """Return whether no request of the agent or of the backend waits for its answer with this id: it must get it.
        One that was composed may be sent once more."""
        if self._find_expected(conversation, sender, message_id) is not None:
            return True
        asking = "out" if sender == STATION else "in"
        waits = False
        for frame in self._watch.trace.frames_since(max(0, self._watch.trace.last_seq - LOOKED_BACK)):
            kind, frame_id = json_limits.frame_head(str(frame["frame"])) or (0, "")
            if frame_id != message_id or frame.get("composed"):
                continue
            if kind == CALL and frame["dir"] == asking:
                waits = True
            elif kind in ANSWER_TYPES and frame["dir"] != asking:
                waits = False
        return not waits

    # --- answers -----------------------------------------------------------------------------------------------------

    def _expect_answers(
        self, conversation: LinkConversation, message: ComposedMessage, ids: Sequence[str], count: int
    ) -> None:
        proxy = self._link_proxy()
        present = proxy.conversations if proxy is not None else []
        self._expected = [e for e in self._expected if e.conversation in present][1 - KEPT :]
        if ids:
            self._expected.append(ExpectedAnswers(conversation, message, ids, count))

    def _find_expected(self, conversation: LinkConversation, sender: str, message_id: str) -> ExpectedAnswers | None:
        return next(
            (
                e
                for e in self._expected
                if e.conversation is conversation and e.message.sender == sender and message_id in e.ids
            ),
            None,
        )

    def _keeps_message(self, conversation: LinkConversation, from_station: bool, text: str) -> bool:
        """Return whether a message is for the side to which it goes: it is no answer to a composed one."""
        kind, message_id = json_limits.frame_head(text) or (0, "")
        if kind not in ANSWER_TYPES:
            return True
        expected = self._find_expected(conversation, BACKEND if from_station else STATION, message_id)
        if expected is None:
            return True
        expected.left -= 1
        if not expected.left:
            self._expected.remove(expected)
        shown = hide_secrets(text)
        expected.message.answers.append({"t": time.time(), "is_error": kind != ANSWER_TYPES[0], "text": shown})
        if not from_station:
            self._add_to_trace(conversation, "in", shown)
        self._note_visible_change()
        return False

    def _add_to_trace(self, conversation: LinkConversation, direction: str, text: str) -> None:
        """Add a frame of which the agent does not know. ``text``: as it may be shown."""
        link = next((b.name for b in self._world.file.backends), LINK)
        self._watch.trace.add_composed_frame(
            {"dir": direction, "link": link, "version": conversation.version, "frame": text},
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
    """Return a text as it may be shown: without the credentials of its addresses. One that may have another secret is
    hidden as a whole, and one with an address and characters that are escaped."""
    plain = unescape_unicode(text)
    if names_secret(text) or names_secret(plain) or (plain != text and may_have_url(plain)):
        return HIDDEN
    return mask_urls_in_json(text)


def _required_keys(version: str, action: str) -> tuple[str, ...]:
    try:
        return tuple(request_schema(version, action).get("required", ()))
    except Unknown:  # any action may be sent
        return ()


def _action_of_text(text: str) -> str:
    """Return the action that a text seems to have, for a person; "": none."""
    match = re.match(r'\s*\[\s*2\s*,\s*"[^"]*"\s*,\s*"(\w{1,50})"', text)
    return match[1] if match else ""
