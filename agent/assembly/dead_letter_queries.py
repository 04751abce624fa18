"""Answers about dead letters: list, show, send again, drop.

A running agent answers over its status socket. The command ``dead`` answers from the store of a stopped agent.
"""

from __future__ import annotations

from typing import Any

from agent.ports.store import StoreError
from agent.services.store.store import Store

ASK = "dead"
ACTIONS = ("list", "show", "resend", "drop")
SEQ_MAX = 2**63 - 1
"""The largest integer of SQLite."""


async def answer_dead_letters(store: Store, question: dict[str, Any], resent: Any = lambda: None) -> dict[str, Any]:
    """Answer one question about dead letters.

    ``question``: ``do``, ``seqs`` (None: all), ``store`` (the path of the store that is meant). ``resent()`` is called
    when a message is back in the queue.
    """
    do, seqs = question.get("do"), question.get("seqs")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in ACTIONS or not (seqs is None or (isinstance(seqs, list) and all(map(_is_seq, seqs)))):
        return {"error": f"do must be one of {', '.join(ACTIONS)}, seqs a list of numbers"}
    try:
        letters = await store.list_dead_letters()
        wanted = [x.seq for x in letters] if seqs is None else seqs
        if do in ("list", "show"):
            chosen = [x for x in letters if x.seq in set(wanted)]
            return {"letters": [x.to_details() if do == "show" else x.to_summary() for x in chosen]}
        done = await (store.requeue_dead_letters(wanted) if do == "resend" else store.drop_dead_letters(wanted))
    except StoreError as e:
        return {"error": str(e)}
    if done and do == "resend":
        resent()
    return {"done": done}


def _is_seq(seq: object) -> bool:
    return type(seq) is int and 0 <= seq <= SEQ_MAX
