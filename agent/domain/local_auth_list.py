"""The local authorization list as the station holds it: tokens that may (or may not) charge without
a request to the backend."""

from __future__ import annotations

from dataclasses import field

from agent.model.fastclass import mutable
from agent.model.types import Token, Verdict


@mutable
class LocalAuthList:
    """Written by ``blocks/local_auth_list.py`` only. ``version`` 0: there is no list, or one that
    has to be sent again."""

    version: int = 0
    entries: dict[str, Verdict] = field(default_factory=dict)

    def find_verdict(self, token: Token) -> Verdict | None:
        return self.entries.get(normalized_token(token.value))

    @property
    def size_bytes(self) -> int:
        """About what the entries take on the disk."""
        return sum(len(k) + len(v.group or "") + 32 for k, v in self.entries.items())


def normalized_token(value: str) -> str:
    """Return the token in the form that is compared: without regard to case (CiString), however a
    reader spells it."""
    return value.casefold()
