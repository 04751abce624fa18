"""IdTokenType and IdTokenInfoType of 2.0.1. DirectPayment, EVCCID and VIN came with 2.1: here a payment has
the type that the settings say, and the others are of the central system. The group of an idTokenInfo has no type
here."""

from __future__ import annotations

from typing import Any

from agent.model.types import FREE_TOKEN, AuthorizationStatus, Token, TokenType, Verdict
from agent.ocpp.dialects.dialect import NotExpressibleError, Payload, RowContext
from agent.ocpp.wire.timestamps import parse_timestamp

TOKEN_MAX = 36
LATER_TYPES = (TokenType.EVCCID, TokenType.VIN)


def encode_id_token(token: Token, ctx: RowContext) -> dict[str, str]:
    """Encode the token unchanged, never cut. Raises ``NotExpressibleError``. Only
    NoAuthorization may be empty. A payment's token has the type that the settings give it."""
    if token.type is TokenType.NO_AUTHORIZATION:
        return {"idToken": "", "type": token.type.value}
    if not 0 < len(token.value) <= TOKEN_MAX:
        raise NotExpressibleError(
            f"a token of {len(token.value)} characters; OCPP 2.0.1 has 1 to {TOKEN_MAX}", elsewhere=True
        )
    return {"idToken": token.value, "type": _known_type(token.type, ctx)}


def _known_type(type_: TokenType, ctx: RowContext) -> str:
    if type_ is TokenType.DIRECT_PAYMENT:
        return ctx.settings.text_value("payment_token_type")
    return TokenType.CENTRAL.value if type_ in LATER_TYPES else type_.value


def decode_id_token(payload: Payload) -> Token:
    """Decode a token. NoAuthorization names no driver, whatever its text."""
    if payload["type"] == TokenType.NO_AUTHORIZATION:
        return FREE_TOKEN
    return Token(payload["idToken"], TokenType(payload["type"]))


def decode_id_token_info(info: Payload) -> Verdict:
    """Decode IdTokenInfoType."""
    group: Any = info.get("groupIdToken") or {}
    expires_utc_s = parse_timestamp(info.get("cacheExpiryDateTime"))
    evses = tuple(int(number) for number in info.get("evseId", ()))
    return Verdict(AuthorizationStatus(info["status"]), group.get("idToken") or None, expires_utc_s, evses)


def encode_evse(number: int) -> dict[str, int]:
    """Encode EVSEType: each EVSE of ours has one connector."""
    return {"id": number, "connectorId": 1}


def session_of(transaction_id: str, ctx: RowContext) -> str:
    """Return the session of a transaction id. Our session has the same name; the id may also be
    the number that the backend gave in 1.6."""
    return ctx.session_of(transaction_id) or transaction_id
