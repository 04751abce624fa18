"""The payloads of the rows of a queue. A row that is sent again has the same payload again."""

from __future__ import annotations

from typing import Any

from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import Dialect, MessageRow, NotExpressibleError, RowContext
from agent.ocpp.wire.timestamps import NoTime
from agent.ports.store import OutboxRow


class RowEncoder:
    def __init__(self, ctx: RowContext) -> None:
        self._ctx = ctx
        self._latest: tuple[int, str, dict[str, Any]] | None = None

    def is_latest(self, seq: int) -> bool:
        """Whether this row was encoded latest."""
        return self._latest is not None and self._latest[0] == seq

    def forget_payload(self) -> None:
        self._latest = None

    def encode_row(self, row: OutboxRow, out: MessageRow, dialect: Dialect) -> dict[str, Any] | None:
        """Return the payload; None if this version has nothing of the message to send. Raises
        ``NotExpressibleError`` with the reason for a dead letter, and ``NoTime``."""
        if self._latest and self._latest[:2] == (row.seq, dialect.name):
            return self._latest[2]
        try:
            same = row.number == self._ctx.number
            payload = out.encode(row.message, self._ctx if same else replace(self._ctx, number=row.number))
            check = dialect.schemas.request_check(out.action) if dialect.schemas and payload is not None else None
            broken = check(payload) if check else None
        except NotExpressibleError as e:
            raise NotExpressibleError(f"cannot be expressed in OCPP {dialect.name}: {e}", e.elsewhere) from e
        except NoTime:
            raise
        except Exception as e:  # one bad record must not stop the billing of all others
            raise NotExpressibleError(f"cannot be encoded: {type(e).__name__}: {e}") from e
        if broken is not None:
            raise NotExpressibleError(f"breaks the schema of {out.action} at {broken}")
        if payload is not None:
            self._latest = (row.seq, dialect.name, payload)
        return payload
