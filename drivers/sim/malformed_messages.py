"""Requests that are wrong on purpose, each in one way, to see what the other side makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

CALL = 2
NO_MESSAGE_TYPE = 9
"""A message type that no version has."""
WRONG_VALUES: tuple[tuple[type | tuple[type, ...], Any], ...] = (
    (str, 12345), (bool, "yes"), ((int, float), "many"), (list, {}), (dict, []),
)  # fmt: skip
"""For a value of this type, one of another type."""


@dataclass(frozen=True, slots=True)
class RequestDraft:
    """A request before it is encoded. ``required``: the keys that its schema requires."""

    message_id: str
    action: str
    payload: Json
    required: tuple[str, ...] = ()

    def encode_text(self, payload: Any = None, action: str = "", message_type: int = CALL) -> str:
        """Return the frame, with another payload, action or message type where one is given."""
        chosen = self.payload if payload is None else payload
        return json.dumps([message_type, self.message_id, action or self.action, chosen], ensure_ascii=False)

    def first_key(self) -> str:
        """Return a key that the payload has, a required one if possible; "": it has none."""
        return next((key for key in (*self.required, *self.payload) if key in self.payload), "")


def _with_wrong_type(draft: RequestDraft) -> list[str]:
    key = draft.first_key()
    if not key:
        return [draft.encode_text(payload=[])]
    present = draft.payload[key]
    wrong: Any = next((value for kind, value in WRONG_VALUES if isinstance(present, kind)), [])
    return [draft.encode_text({**draft.payload, key: wrong})]


def _with_missing_field(draft: RequestDraft) -> list[str]:
    """A request that needs no field lacks its payload."""
    key = draft.first_key()
    if not key:
        return [json.dumps([CALL, draft.message_id, draft.action])]
    return [draft.encode_text({name: value for name, value in draft.payload.items() if name != key})]


MALFORMATIONS: Mapping[str, Callable[[RequestDraft], list[str]]] = {
    "wrong_type": _with_wrong_type,
    "missing_field": _with_missing_field,
    "unknown_field": lambda draft: [draft.encode_text({**draft.payload, "noSuchField": True})],
    "unknown_action": lambda draft: [draft.encode_text(action=f"No{draft.action}")],
    "broken_json": lambda draft: [draft.encode_text()[:-2]],
    "wrong_message_type": lambda draft: [draft.encode_text(message_type=NO_MESSAGE_TYPE)],
    "duplicate_id": lambda draft: [draft.encode_text()] * 2,
}
"""What can be wrong, and the texts that are sent then."""
WITHOUT_READABLE_ID = frozenset({"broken_json", "wrong_message_type"})
"""The other side may find no id in these."""
UNREADABLE_IDS = ("-1", "")
"""Ids of an error that answers such a message (OCPP-J 2.1, 4.2.3)."""
