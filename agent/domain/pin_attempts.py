"""What has become of each PIN that a SIM got.

It is kept by the PIN: a table that moves in the station file, or a second table for the same modem, must not use a
refused PIN again. And for each bearer: that one SIM accepts it says nothing of the other SIM.
"""

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
    """The uses of one PIN over one bearer. ``tries``: how many the SIM had left before the last one (after it, if it
    was refused), None: unknown, or another PIN was used since, so that the count says nothing; ``uses``: how many tries
    the SIM may have lost by it since it was last unlocked; ``confirmed``: the text by which a person had confirmed
    it."""

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
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls(tries=ALL_TRIES, uses=1)


class PinAttempts:
    """All PINs that were used, by their check sum (``pin_mark``) and the bearer."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, str], PinAttempt] = {}
        self._presenting: dict[str, tuple[str, PinAttempt | None]] = {}
        """By the bearer whose SIM gets one now: which PIN, and what was known of it before."""
        self._presented: dict[str, str] = {}
        """By the bearer: the PIN that its SIM got last, since the start."""
        self._refused: set[str] = set()
        """Refused since the start."""

    def load_remembered(
        self, records: Mapping[str, Mapping[str, Any]], former_marks: Mapping[str, str]
    ) -> Iterator[Yielded]:
        """Read what was stored. ``former_marks``: the mark of a PIN, by the one that an earlier program stored for it
        when a person had confirmed it: that use was the later one."""
        for stored, record in sorted(records.items(), key=lambda item: item[0] in former_marks):
            for attempt in _read_attempts(record):
                key = former_marks.get(stored, stored), attempt.bearer
                earlier = self._attempts.get(key, PinAttempt())
                self._attempts[key] = replace(attempt, uses=attempt.uses + earlier.uses)
        for stored in former_marks.keys() & records.keys():
            yield self._persist(former_marks[stored])
            yield Persist(KIND, stored, None)

    def is_presenting(self, bearer: str) -> bool:
        return bearer in self._presenting

    def is_presented(self, pin_mark: str) -> bool:
        """Return whether some SIM gets this PIN now."""
        return any(mark == pin_mark for mark, _ in self._presenting.values())

    def may_use_pin(self, pin_mark: str, tries: int | None, confirmed: str) -> bool:
        """Return whether the PIN may be used, which is never as the last try.

        One whose outcome is not known is used once more if it has cost no try. One that was refused is used after a
        restart, in a SIM that has all tries again: a person has unlocked it, or it is another one. ``confirmed``: by
        a text that no PIN was used with before, a person vouches that the PIN is right and the SIM has its tries.
        """
        if tries is not None and tries <= LAST_TRY:
            return False
        if self._is_vouched(confirmed):
            return True
        same = [attempt for (mark, _), attempt in self._attempts.items() if mark == pin_mark]
        if not same:
            return tries is not None or sum(a.uses for a in self._attempts.values()) < MOST_USES
        is_rare = sum(a.uses for a in same if not a.refused) < MOST_USES
        return is_rare and all(self._permits_use(attempt, pin_mark, tries) for attempt in same)

    def _is_vouched(self, confirmed: str) -> bool:
        return bool(confirmed) and all(a.confirmed != confirmed for a in self._attempts.values())

    def _permits_use(self, attempt: PinAttempt, pin_mark: str, tries: int | None) -> bool:
        if tries is None or attempt.tries is None:
            return False
        if attempt.refused:
            return attempt.tries < ALL_TRIES <= tries and pin_mark not in self._refused
        return tries >= attempt.tries

    def begin_pin_use(self, bearer: str, pin_mark: str, tries: int | None, confirmed: str) -> Iterator[Yielded]:
        """Count the use. It may unlock the SIM, so its tries say nothing of the other PINs of this bearer any more."""
        before = self._attempts.get((pin_mark, bearer))
        self._presenting[bearer] = pin_mark, before
        is_first = before is None or before.refused or self._is_vouched(confirmed)
        uses = 1 if is_first or before is None else before.uses + 1
        text = confirmed or (before.confirmed if before is not None else "")
        yield from self._put(pin_mark, bearer, PinAttempt(bearer, tries, uses, confirmed=text))
        for mark, attempt in self._attempts_over(bearer):
            if mark != pin_mark:
                yield from self._put(mark, bearer, replace(attempt, tries=None))

    def end_pin_use(self, bearer: str, is_presented: bool) -> Iterator[Yielded]:
        """Forget a use if the SIM did not get the PIN."""
        pin_mark, before = self._presenting.pop(bearer, ("", None))
        if pin_mark and is_presented:
            self._presented[bearer] = pin_mark
        elif pin_mark:
            yield from self._put(pin_mark, bearer, before)

    def note_refusal(self, bearer: str, pin_mark: str, tries: int | None) -> Iterator[Yielded]:
        """The SIM has refused the PIN that it got last; ``pin_mark``: that of now, if it got none since the start."""
        yield from self.end_pin_use(bearer, is_presented=True)
        mark = self._presented.get(bearer, pin_mark)
        self._refused.add(mark)
        attempt = self._attempts.get((mark, bearer), PinAttempt(uses=1))
        yield from self._put(mark, bearer, replace(attempt, bearer=bearer, tries=tries, refused=True))

    def note_puk_lock(self, bearer: str) -> Iterator[Yielded]:
        """The SIM needs its PUK. A PIN of ours was wrong if it was used and not accepted since; otherwise a person has
        locked the SIM, and the PIN may be right. With the PUK the SIM gets all its tries back."""
        yield from self.end_pin_use(bearer, is_presented=True)
        for mark, attempt in self._attempts_over(bearer):
            self._refused.add(mark)
            tries = attempt.tries if attempt.refused else 0
            yield from self._put(mark, bearer, replace(attempt, uses=0, tries=tries, refused=True))

    def note_unlocked(self, bearer: str, pin_mark: str) -> Iterator[Yielded]:
        """The SIM is unlocked: the PIN that it got last was right (``pin_mark``: that of now, if it got none since the
        start). While an order to use one is out, nothing is forgotten: it may reach the SIM yet.

        One that was refused before stays so: a person has unlocked the SIM with another one, so that it has its tries
        says nothing any more. So it is with all others over this bearer. What another SIM got is not touched.
        """
        if bearer in self._presenting:
            return
        accepted = self._presented.get(bearer, pin_mark)
        for mark, attempt in self._attempts_over(bearer):
            is_right = mark == accepted and not attempt.refused
            yield from self._put(mark, bearer, None if is_right else replace(attempt, uses=0, tries=None, refused=True))
        if (accepted, "") in self._attempts:  # one that could not be read
            yield from self._put(accepted, "", None)

    def _attempts_over(self, bearer: str) -> list[tuple[str, PinAttempt]]:
        return [(mark, attempt) for (mark, name), attempt in self._attempts.items() if name == bearer]

    def _put(self, pin_mark: str, bearer: str, attempt: PinAttempt | None) -> Iterator[Yielded]:
        if attempt == self._attempts.get((pin_mark, bearer)):
            return
        if attempt is None:
            del self._attempts[pin_mark, bearer]
        else:
            self._attempts[pin_mark, bearer] = attempt
        yield self._persist(pin_mark)

    def _persist(self, pin_mark: str) -> Persist:
        kept = [attempt.to_record() for (mark, _), attempt in self._attempts.items() if mark == pin_mark]
        return Persist(KIND, pin_mark, {"attempts": kept} if kept else None)


def _read_attempts(record: Mapping[str, Any]) -> list[PinAttempt]:
    """Read the attempts with one PIN. An earlier program stored the last one alone."""
    kept = record.get("attempts", [record])
    return [PinAttempt.of_record(one) for one in (kept if isinstance(kept, list) and kept else [record])]
