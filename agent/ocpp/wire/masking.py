"""Which part of a frame may be written down: in the trace, on the status socket, on the page, in an
archive of diagnostics.

Passwords and keys are never written, and neither are the credentials in an address (its user and
password, and its query, which may be a signature). A request is checked against its schema
first: in one of another shape the place of the secret is unknown. The secrets are taken out of
the parsed request, in one walk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.ocpp.dialects.dialect import HIDDEN, Dialect, names_secret
from agent.ocpp.wire.calls import Called, Dropped, Finding, SendNow
from agent.ocpp.wire.rpc import Kind, encode_frame

LOOKED_THROUGH = 128 * 1024
"""Characters. A longer frame is not searched for secrets: if it may have some, nothing of it is
shown."""

# Compiled when a text has an address.
_ADDRESS = r"(?s:(\w:(?:\\?/){2})(.*))"
_ADDRESS_IN_JSON = r'(?s:(\w:(?:\\?/){2})([^"\\]*(?:\\.[^"\\]*)*))'


def mask_frame(data: str | bytes, finding: Finding, dialect: Dialect) -> str:
    """Return a received frame as it may be written down."""
    if not isinstance(data, str):
        return f"<binary, {len(data)} bytes>"
    if isinstance(finding, Called):
        return _mask_request(data, finding, dialect)
    escaped = isinstance(finding, SendNow | Dropped) and "\\u" in data
    return HIDDEN if escaped or names_secret(data) else mask_urls_in_json(data)


def _mask_request(text: str, called: Called, dialect: Dialect) -> str:
    escaped = "\\u" in text
    names, addressed = escaped or names_secret(text), escaped or _may_have_url(text)
    if (names or addressed) and len(text) > LOOKED_THROUGH:
        return HIDDEN
    if names and not _fits_schema(called, dialect) and names_secret(encode_frame([called.action, called.payload])):
        return HIDDEN
    shown = [called.id, called.action, dialect.mask_secrets(called.action, called.payload)]
    if addressed:
        shown = mask_urls_in_value(shown)
    if shown == [called.id, called.action, called.payload] and not (
        (names or addressed) and _has_duplicate_names(text)
    ):
        return text
    return encode_frame([Kind.CALL, *shown])


def _has_duplicate_names(text: str) -> bool:
    """Return whether an object has two values of one name: the parsed request has the last one,
    the text has both."""
    try:
        json.loads(text, object_pairs_hook=_reject_duplicates)
    except ValueError:
        return True
    return False


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


def _may_have_url(text: str) -> bool:
    return "//" in text or "\\/" in text


def _fits_schema(called: Called, dialect: Dialect) -> bool:
    """Return whether the payload is known to have the shape of this action's requests."""
    if dialect.schemas is None or dialect.request_row(called.action) is None:
        return False
    check = dialect.schemas.request_check(called.action)
    return check is not None and check(called.payload) is None


# --- addresses -------------------------------------------------------------------------------------------------------


def mask_urls_in_json(text: str) -> str:
    """Mask the credentials of the addresses in a JSON text, valid or not."""
    return re.sub(_ADDRESS_IN_JSON, _strip_credentials, text) if _may_have_url(text) else text


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
