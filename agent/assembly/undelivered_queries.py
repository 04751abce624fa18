"""Answers about what is still undelivered. A running agent answers over its status socket, the command ``undelivered``
answers from the store of a stopped agent."""

from __future__ import annotations

from typing import Any

from agent.ports.store import StoreError
from agent.services.store.store import Store

ASK = "undelivered"


async def answer_undelivered(store: Store, question: dict[str, Any]) -> dict[str, Any]:
    """Answer one question about what is undelivered. ``question``: ``store`` (the path of the store that is meant)."""
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    try:
        rows = await store.list_undelivered()
    except StoreError as e:
        return {"error": str(e)}
    aside = sorted(p.name for p in store.path.parent.glob("*.corrupt-*"))
    return {
        "store": str(store.path.resolve()),
        "undelivered": [row.to_entry() for row in rows],
        "set_aside": aside,
        "lost": store.lost or store.disk_problem,
    }
