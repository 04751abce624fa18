"""Which part of a frame may be written down: in the trace, on the status socket, on the page, in an
archive of diagnostics.

Passwords and keys are never written, and neither are the credentials in an address (its user and
password, and its query, which may be a signature). A request is checked against its schema
first: in one of another shape the place of the secret is unknown. The secrets are taken out of
the parsed request, in one walk."""

from __future__ import annotations

import json
from typing import Any

from agent.model.secret_texts import HIDDEN, mask_urls_in_json, mask_urls_in_value, may_have_url, names_secret
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.wire.calls import Called, Dropped, Finding, SendNow
from agent.ocpp.wire.rpc import Kind, encode_frame

LOOKED_THROUGH = 128 * 1024
"""Characters. A longer frame is not searched for secrets: if it may have some, nothing of it is
shown."""


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
    names, addressed = escaped or names_secret(text), escaped or may_have_url(text)
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


def _fits_schema(called: Called, dialect: Dialect) -> bool:
    """Return whether the payload is known to have the shape of this action's requests."""
    if dialect.schemas is None or dialect.request_row(called.action) is None:
        return False
    check = dialect.schemas.request_check(called.action)
    return check is not None and check(called.payload) is None
