"""HTML as values: what is a plain text is escaped, so that no page can forget it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

VOID = frozenset({"input", "meta", "link", "br", "hr", "img"})
"""Elements without an end tag (HTML, 13.1.2)."""


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
Attribute: TypeAlias = "str | int | bool | None"


def html_element(element: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """Return an element. An underscore at the end of a name of an attribute is left out (``class_``), others are
    hyphens. True: the attribute has no value; False or None: it is not there."""
    words = "".join(_attribute_text(key, value) for key, value in attributes.items())
    if element in VOID:
        return Markup(f"<{element}{words}>")
    return Markup(f"<{element}{words}>{join_markup(*content)}</{element}>")


def join_markup(*content: Content) -> Markup:
    return Markup("".join(_content_text(part) for part in content))


def _content_text(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return escape(content)
    return "".join(_content_text(part) for part in content)


def _attribute_text(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
