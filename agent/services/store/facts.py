"""The table of facts: JSON by kind and key. All functions run in the store's own thread, on its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, TypeAlias

from agent.model.fastclass import frozen
from agent.ports.store import Put
from agent.services.store import encoding

Facts: TypeAlias = dict[str, dict[str, dict[str, Any]]]
"""Kind -> key -> value."""


@frozen
class Damaged:
    """A record that cannot be read: ``raw`` as it is in the file, ``instead`` what takes its place."""

    raw: tuple[bytes, ...]
    kind: str
    why: str
    instead: Put


def meta_text(facts: Facts, key: str) -> str:
    """Return a text of the kind ``meta``: what the store knows of itself."""
    return str(facts.get("meta", {}).get(key, {}).get("text", ""))


def put_facts(db: sqlite3.Connection, puts: Iterable[Put]) -> None:
    for one in puts:
        if one.value is None:
            db.execute("DELETE FROM facts WHERE kind=? AND key=?", (one.kind, encoding.escape_surrogates(one.key)))
        else:
            kind, key = one.kind, encoding.escape_surrogates(one.key)
            row = (kind, key, encoding.seal_text(encoding.to_json_text(one.value), kind, key))
            db.execute("INSERT OR REPLACE INTO facts(kind, key, body) VALUES(?,?,?)", row)


ARCHIVED = ("payment_archive", "receipt")
"""Kinds of which there may be thousands, and of which nothing is needed at a start: they are read by page."""


def read_fact_page(
    db: sqlite3.Connection, kind: str, after: str, count: int, damaged: dict[str, str] | None = None
) -> tuple[dict[str, dict[str, Any]], str]:
    """Return facts of a kind by their keys, in the order of the keys, behind the key ``after``; and the last key that
    was looked at, "" if there are no more. What cannot be read is left out; its key and why are put into ``damaged``.
    """
    sql = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB) FROM facts"
    where = "WHERE kind=? AND key>? ORDER BY key LIMIT ?"
    rows = db.execute(f"{sql} {where}", (kind, encoding.escape_surrogates(after), count)).fetchall()
    found = {}
    for raw in rows:
        key = encoding.decode_bytes(raw[1])
        try:
            found[key] = encoding.decode_fact(raw, kind)
        except ValueError as e:
            if damaged is not None:
                damaged[key] = str(e)
    return found, encoding.decode_bytes(rows[-1][1]) if len(rows) == count else ""


def read_fact(db: sqlite3.Connection, kind: str, key: str) -> dict[str, Any] | None:
    """Return one fact. Raises ``ValueError`` if it cannot be read."""
    sql = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB) FROM facts WHERE kind=? AND key=?"
    raw = db.execute(sql, (kind, encoding.escape_surrogates(key))).fetchone()
    return None if raw is None else encoding.decode_fact(raw, kind)


def read_facts(db: sqlite3.Connection, kind: str = "") -> tuple[Facts, list[Damaged]]:
    """Return all facts but those of the archives, or those of a kind, and with them what takes the place of the damaged
    ones."""
    out: Facts = {}
    damaged: list[Damaged] = []
    # as blobs: a damaged key could not be found again by the text that it is shown as
    sql = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), CAST(body AS BLOB) FROM facts"
    others = f"WHERE kind NOT IN ({','.join('?' * len(ARCHIVED))})"
    rows = db.execute(f"{sql} WHERE kind=?", (kind,)) if kind else db.execute(f"{sql} {others}", ARCHIVED)
    for raw in rows.fetchall():
        kind, key, body = map(encoding.decode_bytes, raw)
        try:
            value = encoding.decode_fact(raw, kind)
        except ValueError as e:
            instead = Put("poisoned", f"{kind}/{key}", {"record": body, "why": str(e)})
            damaged.append(Damaged(tuple(raw), kind, str(e), instead))
            kind, key, value = instead.kind, instead.key, dict(instead.value or {})
        out.setdefault(kind, {})[key] = value
    return out, damaged


def set_aside_damaged(db: sqlite3.Connection, one: Damaged) -> None:
    db.execute("DELETE FROM facts WHERE kind=CAST(? AS TEXT) AND key=CAST(? AS TEXT)", one.raw[:2])
    put_facts(db, [one.instead])
