"""Which tokens the test central system accepts."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.model.types import AuthorizationStatus, Verdict

SPEAKING_PREFIXES = (
    ("BAD", Verdict(AuthorizationStatus.INVALID)),
    ("DEAD", Verdict(AuthorizationStatus.INVALID)),
    ("B10C", Verdict(AuthorizationStatus.BLOCKED)),
    ("E8", Verdict(AuthorizationStatus.EXPIRED)),
    ("F1EE7", Verdict(AuthorizationStatus.ACCEPTED, group="F1EE7")),
)
"""Tokens whose prefix decides the answer. All are hexadecimal, so a card can carry them.

F1EE7... are two or more cards of one fleet. Each may stop what another one started."""


@dataclass(frozen=True, slots=True)
class TokenTable:
    """Decides by the ``known`` tokens, then by the prefixes. Others are accepted if ``accept_unknown``."""

    known: dict[str, Verdict] = field(default_factory=dict)
    accept_unknown: bool = True

    def authorize_token(self, token: str) -> Verdict:
        if token in self.known:
            return self.known[token]
        for prefix, verdict in SPEAKING_PREFIXES:
            if token.upper().startswith(prefix):
                return verdict
        return Verdict(AuthorizationStatus.ACCEPTED if self.accept_unknown else AuthorizationStatus.INVALID)


def parse_token(text: str) -> tuple[str, Verdict]:
    """Parse ``TOKEN``, ``TOKEN=Blocked`` or ``TOKEN=Accepted:GROUP`` of the command line. Raises ``ValueError``."""
    token, _, rest = text.partition("=")
    status, _, group = rest.partition(":")
    if not token:
        raise ValueError(f"{text!r}: a token is missing before '='")
    try:
        return token, Verdict(AuthorizationStatus(status or "Accepted"), group or None)
    except ValueError:
        known = ", ".join(AuthorizationStatus)
        raise ValueError(f"{text!r}: unknown status {status!r}; known: {known}") from None
