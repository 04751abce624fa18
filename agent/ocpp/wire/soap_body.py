"""Payloads as elements of a SOAP body, both ways, after a table.

A payload has the field names that the dialects use. A table (``SoapService``) has the names of the wire, their order,
and what kind of value each is. What a table does not know, or what is no value of its kind, stays in the payload as
text: the check by schema refuses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.ocpp.wire.timestamps import parse_timestamp

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
DIGITS_MOST = 18
"""Digits of a whole number. ``int`` of XML Schema has ten at most; a longer number stays a text."""
_WHOLE_NUMBER = re.compile(rf"[+-]?[0-9]{{1,{DIGITS_MOST}}}")
_DECIMAL_NUMBER = re.compile(rf"[+-]?[0-9]{{1,{DIGITS_MOST}}}(\.[0-9]{{0,{DIGITS_MOST}}})?")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write (2.2)."""


class ContentKind(StrEnum):
    """What an element has in it. ``GROUP``: elements. ``VALUE``: a text, and fields as attributes."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    TRUTH = "truth"
    TIME = "time"
    GROUP = "group"
    VALUE = "value"


@frozen
class BodyElement:
    """One element of a table."""

    name: str
    """On the wire."""
    kind: ContentKind = ContentKind.TEXT
    field: str = ""
    """In the payload; "": the same name."""
    parts: tuple[BodyElement, ...] = ()
    """What is in a ``GROUP``; the attributes of a ``VALUE``."""
    is_list: bool = False
    """The field is a list, and the element comes once for each entry."""
    wrapper: str = ""
    """The name of one element around all entries."""

    @property
    def payload_field(self) -> str:
        return self.field or self.name


@frozen
class SoapOperation:
    """The elements of a request and of its answer, in their order."""

    request: tuple[BodyElement, ...] = ()
    answer: tuple[BodyElement, ...] = ()


@frozen
class SoapService:
    """One version of OCPP over SOAP: the namespaces of both services, and the operations by action."""

    central_namespace: str
    station_namespace: str
    operations: Mapping[str, SoapOperation]


def element_name(action: str, is_answer: bool) -> str:
    """Return the name of the element in the body: ``bootNotificationRequest``."""
    return f"{action[:1].lower()}{action[1:]}{'Response' if is_answer else 'Request'}"


def action_of_element(name: str, operations: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Return the action, and whether it is its answer; None for an element of no operation."""
    for ending, is_answer in (("Request", False), ("Response", True)):
        stem = name.removesuffix(ending)
        action = stem[:1].upper() + stem[1:]
        if stem != name and action in operations and element_name(action, is_answer) == name:
            return action, is_answer
    return None


# --- to the wire -----------------------------------------------------------------------------------------------------


def fill_element(parent: Element, table: Sequence[BodyElement], payload: Mapping[str, Any], namespace: str) -> None:
    """Append the elements of a payload in the order of the table. What the table does not know is left out: the payload
    was checked before."""
    from xml.etree.ElementTree import SubElement

    for spec in table:
        content = payload.get(spec.payload_field)
        if content is None:
            continue
        inside = SubElement(parent, f"{{{namespace}}}{spec.wrapper}") if spec.wrapper else parent
        for one in content if spec.is_list else (content,):
            _fill_content(SubElement(inside, f"{{{namespace}}}{spec.name}"), spec, one, namespace)


def _fill_content(element: Element, spec: BodyElement, content: Any, namespace: str) -> None:
    if spec.kind is ContentKind.GROUP:
        fill_element(element, spec.parts, content, namespace)
    elif spec.kind is ContentKind.VALUE:
        element.text = writable_text(content[spec.name])
        for part in spec.parts:
            if part.payload_field in content:
                element.set(part.name, writable_text(content[part.payload_field]))
    else:
        element.text = writable_text(content)


def writable_text(content: Any) -> str:
    """Return the content as text, with a question mark for each character that XML cannot write."""
    if isinstance(content, bool):
        return "true" if content else "false"
    return _NOT_XML.sub("?", str(content))


# --- from the wire ---------------------------------------------------------------------------------------------------


def local_name(tag: str) -> str:
    """Return the name of an element without its namespace."""
    return tag.rpartition("}")[2]


def namespace_of(tag: str) -> str:
    """Return the namespace of an element; "": it has none."""
    return tag[1:].rpartition("}")[0] if tag.startswith("{") else ""


def read_payload(element: Element, table: Sequence[BodyElement]) -> dict[str, Any]:
    """Return the payload of an element. Element names count, whatever their namespace and order."""
    by_name = {spec.wrapper or spec.name: spec for spec in table}
    payload: dict[str, Any] = {}
    for child in element:
        name = local_name(child.tag)
        spec = by_name.get(name)
        if child.get(XSI_NIL, "") in ("true", "1"):
            continue
        if spec is None:
            payload.setdefault(name, child.text or "")
        else:
            _add_field(payload, spec, child)
    return payload


def _add_field(payload: dict[str, Any], spec: BodyElement, child: Element) -> None:
    """Add an element to the payload. One that comes twice and must not becomes a list, which no schema takes."""
    field = spec.payload_field
    if spec.is_list:
        payload.setdefault(field, []).extend(_read_entries(spec, child))
    elif field in payload:
        payload[field] = [payload[field], _read_content(spec, child)]
    else:
        payload[field] = _read_content(spec, child)


def _read_entries(spec: BodyElement, child: Element) -> Iterator[Any]:
    inside = child if spec.wrapper else (child,)
    yield from (_read_content(spec, entry) for entry in inside)


def _read_content(spec: BodyElement, element: Element) -> Any:
    if spec.kind is ContentKind.GROUP:
        return read_payload(element, spec.parts)
    text = element.text or ""
    if spec.kind is ContentKind.VALUE:
        attributes = {p.payload_field: element.get(p.name) for p in spec.parts}
        return {spec.name: text, **{field: value for field, value in attributes.items() if value is not None}}
    return text if spec.kind is ContentKind.TEXT else _read_typed_text(spec.kind, text.strip())


def _read_typed_text(kind: ContentKind, text: str) -> Any:
    if kind is ContentKind.WHOLE:
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
    if kind is ContentKind.NUMBER:
        return float(text) if _DECIMAL_NUMBER.fullmatch(text) else text
    if kind is ContentKind.TRUTH:
        return _TRUTH.get(text, text)
    return _with_zone(text)


def _with_zone(text: str) -> str:
    """Return a time with its zone. One without means UTC in practice, and the schemas want it said."""
    _, mark, time_of_day = text.partition("T")
    has_zone = time_of_day[-1:] in ("Z", "z") or any(sign in time_of_day for sign in "+-")
    return text if has_zone or not mark or parse_timestamp(text) is None else f"{text}Z"
