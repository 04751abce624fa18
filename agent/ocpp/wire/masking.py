"""What of a frame may be written down: in the trace, on the status socket, on the page, in an archive of diagnostics.

Nowhere: passwords and keys, and who or what opens an address (its user and password, and its query, which may be a
signature). A request is judged by its schema first: of one that is built otherwise, where the secret is cannot be
known. What must not be written is taken out of the parsed request, in one walk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.ocpp.dialects.dialect import HIDDEN, Dialect, In, names_secret
from agent.ocpp.wire.rpc import Called, Dropped, Finding, Kind, Say, encode

LOOKED_THROUGH = 128 * 1024
"""Characters. In a longer frame no secret is looked for: of one that may have some nothing is shown."""

_ADDRESS = re.compile(r"(\w:(?:\\?/){2})(.*)", re.DOTALL)
_ADDRESS_IN_JSON = re.compile(r'(\w:(?:\\?/){2})([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL)


def written(data: str | bytes, finding: Finding, dialect: Dialect) -> str:
    """A frame that came in, as it may be written down."""
    if not isinstance(data, str):
        return f"<binary, {len(data)} bytes>"
    if isinstance(finding, Called) and isinstance(dialect.incoming(finding.action), In):
        return _request(data, finding, dialect)
    escaped = isinstance(finding, Say | Dropped) and "\\u" in data
    return HIDDEN if escaped or names_secret(data) else without_openings(data)


def _request(text: str, called: Called, dialect: Dialect) -> str:
    escaped = "\\u" in text
    names, addressed = escaped or names_secret(text), escaped or _may_address(text)
    if (names or addressed) and len(text) > LOOKED_THROUGH:
        return HIDDEN
    if names and _is_broken(called, dialect) and names_secret(encode([called.payload])):
        return HIDDEN
    shown = dialect.masked(called.action, called.payload)
    if addressed:
        shown = without_addresses(shown)
    if shown == called.payload and not ((names or addressed) and _names_twice(text)):
        return text
    return encode([Kind.CALL, called.id, called.action, shown])


def _names_twice(text: str) -> bool:
    """An object has two values of one name: the parsed request has the last one, the text has both."""
    try:
        json.loads(text, object_pairs_hook=_each_once)
    except ValueError:
        return True
    return False


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


def _may_address(text: str) -> bool:
    return "//" in text or "\\/" in text


def _is_broken(called: Called, dialect: Dialect) -> bool:
    check = dialect.schemas.request(called.action) if dialect.schemas else None
    return check is not None and check(called.payload) is not None


# --- addresses -------------------------------------------------------------------------------------------------------


def without_openings(text: str) -> str:
    """JSON, or what should be JSON, without what opens the addresses in it."""
    return _ADDRESS_IN_JSON.sub(_bare, text) if _may_address(text) else text


def without_addresses(value: Any) -> Any:
    """A parsed value, in each text of which an address is without what opens it."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {name: without_addresses(item) for name, item in value.items()}
    return [without_addresses(item) for item in value] if isinstance(value, list) else value


def without_credentials(text: str) -> str:
    """A text without user, password and query of the address in it. All up to the last "@" may be a password."""
    if text[:1] in ("{", "["):
        return without_openings(text)
    return _ADDRESS.sub(_bare, text) if "/" in text else text


def _bare(address: re.Match[str]) -> str:
    rest = address[2].rpartition("@")[2]
    cut = min((found for mark in "?#" if (found := rest.find(mark)) >= 0), default=len(rest))
    return "".join((address[1], rest[:cut], rest[cut : cut + 1] and rest[cut] + HIDDEN))
