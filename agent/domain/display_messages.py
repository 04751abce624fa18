"""Messages of a backend for drivers (OCPP 2.x block O): what they are, and which of them a screen shows.

Only a station with a display and a version that has them imports this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.domain.cost_screen import Values
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.messages import ChargingState
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import STATION, EvseId, MessageContent, Moment

MESSAGES_MAX = 20
"""DisplayMessages.maxLimit: more could not be read between two drivers."""
FORMATS = ("ASCII", "UTF8")
"""MessageFormatEnumType: nothing here renders a page (HTML) or fetches one (URI)."""
FALLBACK_LANGUAGE = "en"
"""O01.FR.09."""


class MessagePriority(StrEnum):
    """MessagePriorityEnumType, the heaviest first."""

    ALWAYS_FRONT = "AlwaysFront"
    IN_FRONT = "InFront"
    NORMAL_CYCLE = "NormalCycle"


class MessageState(StrEnum):
    """MessageStateEnumType."""

    CHARGING = "Charging"
    FAULTED = "Faulted"
    IDLE = "Idle"
    UNAVAILABLE = "Unavailable"


@frozen
class DisplayMessage:
    """MessageInfoType. ``content`` is as the backend wrote it. Times are UTC seconds since 1970; ``end_utc_s`` is
    excluded. ``transaction``: the backend's name of the transaction, ``session`` ours; "" for neither. ``evse``: whose
    display is meant, 0 the station's; None: the backend names no display."""

    id: int
    priority: MessagePriority
    content: MessageContent
    state: MessageState | None = None
    start_utc_s: float | None = None
    end_utc_s: float | None = None
    transaction: str = ""
    session: str = ""
    evse: EvseId | None = None

    @property
    def display_occasion(self) -> tuple[object, ...]:
        """When and where it is shown. Messages of one occasion are translations of each other if they name their
        languages."""
        return self.priority, self.state, self.start_utc_s, self.end_utc_s, self.session, self.evse or STATION

    @property
    def main_language(self) -> str:
        """The first part of its tag of RFC 5646; "" without one."""
        return self.content.language.partition("-")[0].lower()

    def has_passed_end(self, now: Moment) -> bool:
        """Return whether its end has come, as far as the time is known."""
        return self.end_utc_s is not None and now.utc_s is not None and now.utc_s >= self.end_utc_s

    def is_within_time(self, now: Moment) -> bool:
        """Return whether it may be shown now. One with a time is not shown while the time is not known (O01.FR.06)."""
        if now.utc_s is None:
            return self.start_utc_s is None and self.end_utc_s is None
        return (self.start_utc_s is None or now.utc_s >= self.start_utc_s) and not self.has_passed_end(now)

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist``."""
        return {
            "id": self.id,
            "priority": self.priority.value,
            "content": self.content.content,
            "language": self.content.language,
            "format": self.content.format,
            "state": self.state.value if self.state else None,
            "start_utc_s": self.start_utc_s,
            "end_utc_s": self.end_utc_s,
            "transaction": self.transaction,
            "session": self.session,
            "evse": self.evse,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> DisplayMessage:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``, ``OverflowError``."""
        return cls(
            id=int(r["id"]),
            priority=MessagePriority(r["priority"]),
            content=MessageContent(str(r["content"]), str(r["language"]), str(r["format"])),
            state=MessageState(r["state"]) if r.get("state") else None,
            start_utc_s=_seconds_or_none(r.get("start_utc_s")),
            end_utc_s=_seconds_or_none(r.get("end_utc_s")),
            transaction=str(r.get("transaction", "")),
            session=str(r.get("session", "")),
            evse=None if r.get("evse") is None else int(r["evse"]),
        )


@frozen
class MessageRefusal:
    """Why a message is not taken. ``code``: StatusInfoType.reasonCode (2.0.1 appendix 5), ``text``: the sentence,
    ``status``: DisplayMessageStatusEnumType."""

    code: str
    text: str
    status: str = "Rejected"


def _seconds_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def message_values(site: StationState, evse: EvseRecord, now: Moment) -> Values:
    """Return the messages for the screen of this EVSE as its values: ``messages``, one in each line, and whether they
    stand ``messages_in_front``; empty where there is none."""
    found = select_messages(site, evse, now)
    if not found:
        return {}
    lines = (" ".join(message.content.content.split()) for message in found)
    return {"messages": "\n".join(lines), "messages_in_front": found[0].priority is not MessagePriority.NORMAL_CYCLE}


def select_messages(site: StationState, evse: EvseRecord, now: Moment) -> tuple[DisplayMessage, ...]:
    """Return the messages that the screen of this EVSE shows now, in the order of their ids: those of the heaviest
    priority alone (O01.FR.12-15), in the language of the screen as far as they have it (O01.FR.08-09)."""
    state = evse_message_state(site, evse)
    due = [m for m in site.display_messages.values() if _is_message_due(m, evse, state, now)]
    heaviest = next((p for p in MessagePriority if any(m.priority is p for m in due)), None)
    chosen = _choose_translations((m for m in due if m.priority is heaviest), site.language)
    return tuple(sorted(chosen, key=lambda message: message.id))


def evse_message_state(site: StationState, evse: EvseRecord) -> MessageState:
    """Return the state of this EVSE in the words of MessageStateEnumType. A vehicle that pauses is still charging."""
    service = site.service_state(evse)
    if service is ServiceState.FAULTED or site.dark:
        return MessageState.FAULTED
    if evse.session is not None and evse.progress.charging not in (ChargingState.IDLE, ChargingState.EV_CONNECTED):
        return MessageState.CHARGING
    return MessageState.UNAVAILABLE if service is ServiceState.UNAVAILABLE else MessageState.IDLE


def _is_message_due(message: DisplayMessage, evse: EvseRecord, state: MessageState, now: Moment) -> bool:
    """Return whether the message is for this EVSE as it is now. What a fault has to say is not made to take turns with
    messages that are not about it."""
    if message.state is None:
        fits = state is not MessageState.FAULTED or message.priority is not MessagePriority.NORMAL_CYCLE
    else:
        fits = message.state is state
    here = message.evse in (None, STATION, evse.number)
    is_own = not message.session or message.session == evse.open_transaction_id
    return fits and here and is_own and message.is_within_time(now)


def _choose_translations(found: Iterable[DisplayMessage], language: str) -> Iterator[DisplayMessage]:
    """Of each occasion: the messages in this language, otherwise in English, otherwise all."""
    occasions: dict[tuple[object, ...], list[DisplayMessage]] = {}
    for message in found:
        occasions.setdefault(message.display_occasion, []).append(message)
    for group in occasions.values():
        spoken = {message.main_language for message in group}
        wanted = next((tag for tag in (language, FALLBACK_LANGUAGE) if tag in spoken), None)
        yield from (m for m in group if wanted is None or m.main_language in (wanted, ""))
