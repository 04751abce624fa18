"""What has become of each PIN that a SIM got. It is kept by the PIN, not by the modem: a table that moves in the
station file, or a second table for the same modem, must not use a refused PIN again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.functional_block import Yielded
from agent.domain.orders import Persist
from agent.model.fastclass import frozen, replace

LAST_TRY, ALL_TRIES = 1, 3
"""The last try of a PIN is left to a person. A SIM that has all tries has refused none since the right one."""
MOST_USES = ALL_TRIES - LAST_TRY
KIND = "sim_pin"


@frozen
class PinAttempt:
    """The uses of one PIN. ``bearer``: of the last one; ``tries``: how many the SIM had left before it (after it, if
    it was refused), None: unknown; ``uses``: how many tries the SIM may have lost by it since it was last unlocked;
    ``confirmed``: the text by which a person had confirmed it."""

    bearer: str = ""
    tries: int | None = None
    uses: int = 0
    refused: bool = False
    confirmed: str = ""

    def to_record(self) -> dict[str, Any]:
        return {
            "bearer": self.bearer,
            "tries": self.tries,
            "uses": self.uses,
            "refused": self.refused,
            "confirmed": self.confirmed,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> PinAttempt:
        """Read what was stored. One that cannot be read counts as a use of a SIM that had all its tries."""
        try:
            tries = record["tries"]
            return cls(
                str(record["bearer"]),
                None if tries is None else int(tries),
                int(record["uses"]),
                bool(record["refused"]),
                str(record.get("confirmed", "")),
            )
        except (KeyError, TypeError, ValueError):
            return cls(tries=ALL_TRIES, uses=1)


class PinAttempts:
    """All PINs that were used, by their check sum (``pin_mark``)."""

    def __init__(self) -> None:
        self._attempts: dict[str, PinAttempt] = {}
        self._presenting: dict[str, tuple[str, PinAttempt | None]] = {}
        """By the bearer whose SIM gets one now: which PIN, and what was known of it before."""
        self._refused: set[str] = set()
        """Refused since the start."""

    def load_remembered(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        self._attempts = {pin_mark: PinAttempt.of_record(record) for pin_mark, record in records.items()}

    def is_presenting(self, bearer: str) -> bool:
        return bearer in self._presenting

    def is_presented(self, pin_mark: str) -> bool:
        """Return whether some SIM gets this PIN now."""
        return any(mark == pin_mark for mark, _ in self._presenting.values())

    def may_use(self, pin_mark: str, tries: int | None, confirmed: str) -> bool:
        """Return whether the PIN may be used, which is never as the last try.

        One whose outcome is not known is used once more if it has cost no try. One that was refused is used after a
        restart, in a SIM that has all tries again: a person has unlocked it, or it is another one. ``confirmed``: by
        a text that no PIN was used with before, a person vouches that the SIM has its tries.
        """
        if tries is not None and tries <= LAST_TRY:
            return False
        attempt = self._attempts.get(pin_mark, PinAttempt())
        if attempt.refused:
            has_lost_try = attempt.tries is not None and attempt.tries < ALL_TRIES
            return has_lost_try and tries == ALL_TRIES and pin_mark not in self._refused
        if attempt.uses >= MOST_USES:
            return False
        if attempt.uses:
            return tries is not None and attempt.tries is not None and tries >= attempt.tries
        others = self._attempts.values()
        is_confirmed = bool(confirmed) and all(a.confirmed != confirmed for a in others)
        return tries is not None or is_confirmed or sum(a.uses for a in others) < MOST_USES

    def begin_use(self, bearer: str, pin_mark: str, tries: int | None, confirmed: str) -> Iterator[Yielded]:
        before = self._attempts.get(pin_mark)
        self._presenting[bearer] = pin_mark, before
        uses = 0 if before is None or before.refused else before.uses
        yield from self._put(pin_mark, PinAttempt(bearer, tries, uses + 1, confirmed=confirmed))

    def end_use(self, bearer: str, is_presented: bool) -> Iterator[Yielded]:
        """Forget a use if the SIM did not get the PIN."""
        pin_mark, before = self._presenting.pop(bearer, ("", None))
        if pin_mark and not is_presented:
            yield from self._put(pin_mark, before)

    def note_refusal(self, bearer: str, pin_mark: str, tries: int | None) -> Iterator[Yielded]:
        self._presenting.pop(bearer, None)
        self._refused.add(pin_mark)
        attempt = self._attempts.get(pin_mark, PinAttempt(uses=1))
        yield from self._put(pin_mark, replace(attempt, bearer=bearer, tries=tries, refused=True))

    def note_lock(self, bearer: str, pin_mark: str) -> Iterator[Yielded]:
        """The SIM needs its PUK. Our PIN was wrong if it was used and not accepted since; otherwise a person has locked
        the SIM, and the PIN may be right. With the PUK the SIM gets all its tries back."""
        if pin_mark in self._attempts:
            yield from self.note_refusal(bearer, pin_mark, tries=0)
        for mark, attempt in self._refused_over(bearer):
            yield from self._put(mark, replace(attempt, uses=0))

    def note_unlocked(self, bearer: str, pin_mark: str) -> Iterator[Yielded]:
        """The SIM is unlocked: our PIN was right. One that was refused before stays so: a person has unlocked the SIM
        with another one, so that it has its tries says nothing any more."""
        self._presenting.pop(bearer, None)
        attempt = self._attempts.get(pin_mark)
        if attempt is not None and not attempt.refused and not self.is_presented(pin_mark):
            yield from self._put(pin_mark, None)
        for mark, attempt in self._refused_over(bearer):
            yield from self._put(mark, replace(attempt, uses=0, tries=None))

    def _refused_over(self, bearer: str) -> list[tuple[str, PinAttempt]]:
        return [(mark, a) for mark, a in self._attempts.items() if a.bearer == bearer and a.refused]

    def _put(self, pin_mark: str, attempt: PinAttempt | None) -> Iterator[Yielded]:
        if attempt == self._attempts.get(pin_mark):
            return
        if attempt is None:
            del self._attempts[pin_mark]
        else:
            self._attempts[pin_mark] = attempt
        yield Persist(KIND, pin_mark, attempt.to_record() if attempt is not None else None)
