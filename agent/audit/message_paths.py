"""Values of messages that may have any shape: a station under audit is not trusted to keep to the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.scenario.frames import CALL_RESULT, Frame


def table_at(message: Any, *path: str) -> Mapping[str, Any]:
    """Return the table at a path of keys, an empty one if there is none."""
    found = message
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def tables_at(message: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the tables in the list at a key, without entries of another form."""
    found = message.get(key) if isinstance(message, Mapping) else None
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def texts_in_list(message: Any, key: str) -> list[str]:
    """Return the texts in the list at a key."""
    found = message.get(key) if isinstance(message, Mapping) else None
    return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def answer_status(answer: Frame | None) -> str:
    """Return the status of an answer, "" for none, for an error or another shape."""
    if answer is None or answer.kind != CALL_RESULT:
        return ""
    status = table_at(answer.payload).get("status")
    return status if isinstance(status, str) else ""


def outlet_in_request(payload: Any) -> int:
    """Return the number of the outlet that a request names, 0 for the station or for none."""
    table = table_at(payload)
    for number in (table.get("connectorId"), table.get("evseId"), table_at(table, "evse").get("id")):
        if isinstance(number, int) and not isinstance(number, bool):
            return number
    return 0


def token_in_request(payload: Any) -> str:
    """Return the token that a request names, "" for none."""
    table = table_at(payload)
    token = table.get("idTag") or table_at(table, "idToken").get("idToken") or ""
    return token if isinstance(token, str) else ""


def transaction_in_request(payload: Any) -> int | str | None:
    """Return the id of the transaction that a request names."""
    table = table_at(payload)
    number = table.get("transactionId", table_at(table, "transactionInfo").get("transactionId"))
    return number if isinstance(number, int | str) else None


def timestamps_in_message(message: Any) -> Iterator[str]:
    """Yield the text of each timestamp of a message, wherever in it."""
    if isinstance(message, Mapping):
        for key, value in message.items():
            if key == "timestamp" and isinstance(value, str):
                yield value
            else:
                yield from timestamps_in_message(value)
    elif isinstance(message, list):
        for entry in message:
            yield from timestamps_in_message(entry)


def instant_of_text(text: Any) -> float | None:
    """Return a timestamp of OCPP in seconds since 1970, None if it is none. Without an offset UTC is assumed."""
    try:
        instant = datetime.fromisoformat(str(text))
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
