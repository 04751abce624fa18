"""Which texts may have a secret, and how the credentials of an address are masked: its user and password, and its
query, which may be a signature."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
"""Shown in the place of a secret."""

# Compiled when a text has an address.
_ADDRESS = r"(?s:(\w:(?:\\?/){2})(.*))"
_ADDRESS_IN_JSON = r'(?s:(\w:(?:\\?/){2})([^"\\]*(?:\\.[^"\\]*)*))'


def names_secret(text: str) -> bool:
    """Return whether the text contains the name of a secret field, whether or not this version
    or station knows the field."""
    small = text.lower()
    return any(name in small for name in ("authorizationkey", "password", "sharedsecret", "simpin"))


def may_have_url(text: str) -> bool:
    """Return whether a text may have an address, also with the slashes escaped in JSON."""
    return "//" in text or "\\/" in text


def mask_urls_in_json(text: str) -> str:
    """Mask the credentials of the addresses in a JSON text, valid or not."""
    return re.sub(_ADDRESS_IN_JSON, _strip_credentials, text) if may_have_url(text) else text


def mask_urls_in_value(value: Any) -> Any:
    """Mask the credentials of the addresses in every text of a parsed value."""
    if isinstance(value, str):
        return mask_urls_in_text(value)
    if isinstance(value, Mapping):
        return {name: mask_urls_in_value(item) for name, item in value.items()}
    return [mask_urls_in_value(item) for item in value] if isinstance(value, list) else value


def mask_urls_in_text(text: str) -> str:
    """Mask user, password and query of the address in a text. Everything up to the last "@" may
    be a password."""
    if text[:1] in ("{", "["):
        return mask_urls_in_json(text)
    return re.sub(_ADDRESS, _strip_credentials, text) if "/" in text else text


def _strip_credentials(address: re.Match[str]) -> str:
    rest = address[2].rpartition("@")[2]
    cut = min((found for mark in "?#" if (found := rest.find(mark)) >= 0), default=len(rest))
    return "".join((address[1], rest[:cut], rest[cut : cut + 1] and rest[cut] + HIDDEN))


def unescape_unicode(text: str) -> str:
    """Return a JSON text, valid or not, with each character in the place of its ``\\u`` escape."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), text) if "\\u" in text else text
