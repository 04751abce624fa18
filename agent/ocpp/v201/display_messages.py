"""Messages for drivers (OCPP 2.0.1 O01 to O06). The component that ``display`` names is ``Display``: without an EVSE
all displays of the station are meant, with one the display of that EVSE."""

from __future__ import annotations

from typing import Any

from agent.domain.display_messages import FORMATS, DisplayMessage, MessagePriority, MessageRefusal, MessageState
from agent.domain.messages import DisplayMessagesReport, Message
from agent.domain.orders import Response
from agent.domain.requests import ClearDisplayMessageRequest, GetDisplayMessagesRequest, SetDisplayMessageRequest
from agent.domain.variables import DISPLAY_MESSAGES
from agent.model.types import STATION, EvseId, MessageContent
from agent.ocpp.dialects.common_rows import answer_or_refuse
from agent.ocpp.dialects.device_model_v2x import DISPLAY
from agent.ocpp.dialects.dialect import (
    LocalAnswer,
    MessageRow,
    Payload,
    Refused,
    RequestRow,
    RowContext,
    decode_empty_response,
)
from agent.ocpp.v201.identifiers import session_of
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.text import is_plain
from agent.ocpp.wire.timestamps import format_rfc3339, parse_timestamp

CHUNK = 5
"""Messages per NotifyDisplayMessages: some 5 kB, which a slow line carries within a call's time-out."""
_TIMES = ("startDateTime", "endDateTime")
_ANSWER_SET = answer_or_refuse("Accepted")


def _require_display(ctx: RowContext) -> None:
    """Raise ``Refused`` where nothing can be shown."""
    if not ctx.settings.offers_part(DISPLAY_MESSAGES):
        raise Refused(Code.NOT_SUPPORTED, "this station has no display")


def _decode_set_display_message(payload: Payload, ctx: RowContext) -> SetDisplayMessageRequest | LocalAnswer:
    _require_display(ctx)
    info, content = payload["message"], payload["message"]["message"]
    if refusal := _content_refusal(content):
        return LocalAnswer(_refuse_message(refusal))
    times = {name: parse_timestamp(info[name]) for name in _TIMES if name in info}
    if wrong := [name for name, utc_s in times.items() if utc_s is None]:
        return LocalAnswer(_refuse_message(MessageRefusal("InvalidValue", f"{wrong[0]}: is no time")))
    evse = _decode_display(info["display"], ctx) if "display" in info else None
    if "display" in info and evse is None:
        text = f"display: there is {DISPLAY}, alone or with an EVSE that exists, and nothing else"
        return LocalAnswer(_refuse_message(MessageRefusal("InvalidValue", text)))
    transaction = str(info.get("transactionId", ""))
    message = DisplayMessage(
        id=int(info["id"]),
        priority=MessagePriority(info["priority"]),
        content=MessageContent(content["content"], content.get("language", ""), content["format"]),
        state=MessageState(info["state"]) if "state" in info else None,
        start_utc_s=times.get("startDateTime"),
        end_utc_s=times.get("endDateTime"),
        transaction=transaction,
        session=session_of(transaction, ctx) if transaction else "",
        evse=evse,
    )
    return SetDisplayMessageRequest(message)


def _content_refusal(content: Payload) -> MessageRefusal | None:
    """Return what is wrong with a text: its format, or nothing in it can be read. Line breaks are blanks on the
    screen."""
    text, form = " ".join(content["content"].split()), content["format"]
    if form not in FORMATS:
        why = f"format: {' and '.join(FORMATS)} are shown, {form} is not"
        return MessageRefusal("UnsupportedParam", why, "NotSupportedMessageFormat")
    if form == "ASCII" and not text.isascii():
        return MessageRefusal("InvalidValue", "content: is not ASCII; send it as UTF8")
    if not text or not is_plain(text) or not is_plain(content.get("language", "")):
        return MessageRefusal("InvalidValue", "content, language: must be printable and not empty")
    return None


def _refuse_message(refusal: MessageRefusal) -> dict[str, Any]:
    return {"status": refusal.status, "statusInfo": {"reasonCode": refusal.code, "additionalInfo": refusal.text}}


def _answer_set_display_message(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    refusal = reply.data.get("reason")
    return _ANSWER_SET(reply, payload, ctx) if refusal is None else _refuse_message(refusal)


def _decode_display(component: Payload, ctx: RowContext) -> EvseId | None:
    """Return whose display this component is; None: there is no such display."""
    evse = component.get("evse", {})
    number = evse.get("id", STATION)
    is_known = number in (STATION, *ctx.evse_numbers) and evse.get("connectorId", 1) == 1
    is_display = component["name"].lower() == DISPLAY.lower() and not component.get("instance")
    return int(number) if is_known and is_display else None


def _decode_get_display_messages(payload: Payload, ctx: RowContext) -> GetDisplayMessagesRequest:
    _require_display(ctx)
    return GetDisplayMessagesRequest(
        ids=tuple(map(int, payload.get("id", ()))),
        priority=MessagePriority(payload["priority"]) if "priority" in payload else None,
        state=MessageState(payload["state"]) if "state" in payload else None,
    )


def _report_messages(reply: Response, payload: Payload, ctx: RowContext) -> list[Message]:
    """Return the parts of the report (O03.FR.03-05, O04.FR.04-06)."""
    found: tuple[DisplayMessage, ...] = tuple(reply.data.get("messages", ()))
    parts = [found[i : i + CHUNK] for i in range(0, len(found), CHUNK)]
    number = int(payload["requestId"])
    return [DisplayMessagesReport(number, n + 1 < len(parts), part) for n, part in enumerate(parts)]


def _decode_clear_display_message(payload: Payload, ctx: RowContext) -> ClearDisplayMessageRequest:
    _require_display(ctx)
    return ClearDisplayMessageRequest(int(payload["id"]))


def _encode_messages_report(message: DisplayMessagesReport, ctx: RowContext) -> dict[str, Any]:
    info = [_encode_message_info(one) for one in message.messages]
    return {"requestId": message.request, "tbc": message.more, "messageInfo": info}


def _encode_message_info(message: DisplayMessage) -> dict[str, Any]:
    """Encode MessageInfoType."""
    content = message.content
    language = {"language": content.language} if content.language else {}
    times = zip(_TIMES, (message.start_utc_s, message.end_utc_s), strict=True)
    return {
        "id": message.id,
        "priority": message.priority.value,
        **({"state": message.state.value} if message.state else {}),
        **{name: format_rfc3339(utc_s) for name, utc_s in times if utc_s is not None},
        **({"transactionId": message.transaction} if message.transaction else {}),
        **({} if message.evse is None else {"display": _encode_display(message.evse)}),
        "message": {"format": content.format, **language, "content": content.content},
    }


def _encode_display(evse: EvseId) -> dict[str, Any]:
    """Encode ComponentType of a display."""
    return {"name": DISPLAY, **({"evse": {"id": evse}} if evse else {})}


ROWS = (
    RequestRow("SetDisplayMessage", _decode_set_display_message, _answer_set_display_message),
    RequestRow(
        "GetDisplayMessages",
        _decode_get_display_messages,
        answer_or_refuse("Accepted", otherwise="Unknown"),
        follow_up=_report_messages,
    ),
    RequestRow("ClearDisplayMessage", _decode_clear_display_message, answer_or_refuse("Accepted", otherwise="Unknown")),
    MessageRow(DisplayMessagesReport, "NotifyDisplayMessages", _encode_messages_report, decode_empty_response),
)
