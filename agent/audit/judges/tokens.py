"""Judges of the tokens of drivers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeResult,
    failed_result,
    partial_result,
    passed_result,
)
from agent.scenario.frames import Frame

UID = re.compile(r"(?:[0-9A-Fa-f]{2}){4,10}")
ADVICE = (
    "Write the UID of a card in capital letters, as the network does: a backend that compares texts knows no other."
)


def judge_token_letters(context: AuditContext) -> JudgeResult:
    """The UID of a card is written in capital letters. A token that the backend has brought stays as it is."""
    brought = {token for f in context.requests(sender="backend") for token in _tokens_in(f.payload)}
    own = [(f, token) for f in context.requests() for token in _tokens_in(f.payload) if token not in brought]
    uids = [(f, token) for f, token in own if UID.fullmatch(token) and re.search("[A-Fa-f]", token)]
    facts = [Fact("Tokens of cards", ", ".join(sorted({_shortened_token(token) for _, token in uids})) or "none")]
    if not uids:
        return partial_result("no card with a letter in its number was held to the reader", facts)
    wrong = [(f, token) for f, token in uids if token != token.upper()]
    if wrong:
        says = f"{wrong[0][0].action}: the token {_shortened_token(wrong[0][1])} has small letters"
        return failed_result(says, facts, [f for f, _ in wrong[:5]], ADVICE, "subcontractor")
    return passed_result(f"{len(uids)} messages with the UID of a card, in capital letters", facts)


def _tokens_in(payload: Any) -> Iterator[str]:
    """Yield the tokens of a message, wherever they stand in it."""
    if isinstance(payload, Mapping):
        for key, value in payload.items():
            if key in ("idTag", "idToken") and isinstance(value, str):
                yield value
            else:
                yield from _tokens_in(value)
    elif isinstance(payload, list):
        for entry in payload:
            yield from _tokens_in(entry)


def _shortened_token(token: str) -> str:
    """Return a token as a report may show it."""
    return token if len(token) <= 8 else f"{token[:4]}...{token[-2:]}"


def judge_same_token(context: AuditContext) -> JudgeResult:
    """The token that a transaction starts with is the one that was authorized."""
    asked = {token for f in context.requests("Authorize") for token in _tokens_in(f.payload)}
    folded = {token.lower(): token for token in asked}
    wrong: list[tuple[Frame, str]] = []
    for frame in context.requests("StartTransaction", "TransactionEvent"):
        wrong += [(frame, t) for t in _tokens_in(frame.payload) if folded.get(t.lower(), t) != t and t not in asked]
    facts = [Fact("Tokens that were authorized", str(len(asked)))]
    if not asked:
        return partial_result("no token was authorized by the backend", facts)
    if wrong:
        says = f"{wrong[0][0].action}: {_shortened_token(wrong[0][1])} is not written as in Authorize"
        return failed_result(says, facts, [f for f, _ in wrong[:5]], ADVICE, "subcontractor")
    return passed_result("each token is written alike in all messages", facts)


JUDGES = (
    Judge("token_letters", "the UID of a card is written in capital letters", judge_token_letters),
    Judge("same_token", "a token is written alike in all messages", judge_same_token),
)
