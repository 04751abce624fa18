"""IdTokenType of 2.1: 1 to 255 characters, and the types DirectPayment, EVCCID and VIN. Its schema has no list of the
types any more: a type that the appendix does not know is refused, since it could not be sent back unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.model.types import Token, TokenType
from agent.ocpp.dialects.dialect import NotExpressibleError, Payload, Refused, RowContext
from agent.ocpp.wire.calls import Code

TOKEN_MAX = 255
_TYPES = frozenset(map(str, TokenType))


def encode_long_token(token: Token) -> dict[str, Any]:
    """Encode the token unchanged, never cut. Raises ``NotExpressibleError``. Only NoAuthorization may be empty."""
    if token.type is TokenType.NO_AUTHORIZATION:
        return {"idToken": "", "type": token.type.value}
    if not 0 < len(token.value) <= TOKEN_MAX:
        raise NotExpressibleError(f"a token of {len(token.value)} characters; OCPP 2.1 has 1 to {TOKEN_MAX}")
    return {"idToken": token.value, "type": token.type.value}


def replace_id_token(message: Any, payload: dict[str, Any], ctx: RowContext) -> dict[str, Any]:
    """Return the payload with the token in the words of 2.1, where it has one."""
    return {**payload, "idToken": encode_long_token(message.token)} if "idToken" in payload else payload


def refuse_unknown_types(payload: Payload, ctx: RowContext) -> None:
    """Raise ``Refused`` if a token of the request has a type that is not known here."""
    for token in _find_tokens(payload):
        if token["type"] not in _TYPES:
            raise Refused(Code.PROPERTY, "idToken/type: not a type of the list of OCPP 2.1")


def _find_tokens(payload: Payload) -> Iterator[Payload]:
    for place in (payload, *payload.get("localAuthorizationList", ())):
        if "idToken" in place:
            yield place["idToken"]
