"""The two identifiers that 1.6 is narrow about: idTag (20 characters) and transactionId (a number of the backend)."""

from __future__ import annotations

from agent.model.types import Token
from agent.ocpp.dialects.dialect import NotExpressibleError, RowContext

ID_TAG_MAX = 20
NO_TRANSACTION_ID = -1
"""The id of a transaction whose start the backend has refused for good (errata 4.0, 3.18)."""
VERSION = "1.6"


def encode_id_tag(token: Token) -> str:
    """Encode the token unchanged, never cut. Raises ``NotExpressibleError``."""
    if not 0 < len(token.value) <= ID_TAG_MAX:
        raise NotExpressibleError(
            f"a token of {len(token.value)} characters; OCPP 1.6 has 1 to {ID_TAG_MAX}", elsewhere=True
        )
    return token.value


def transaction_id(session: str, ctx: RowContext, version: str = VERSION) -> int:
    """Return the backend's id of a session in this version. Raises ``NotExpressibleError`` if its
    StartTransaction was never answered."""
    known = ctx.outbox.transaction_id(ctx.link, session, version)
    if known is None and ctx.outbox.transaction_record(ctx.link, session).get("refused") == version:
        return NO_TRANSACTION_ID
    if known is None:
        raise NotExpressibleError("the backend never gave this session a transactionId")
    try:
        return int(known)
    except ValueError:  # an older release stored only the id
        raise NotExpressibleError("its start was sent in another OCPP version, and is not kept here") from None
