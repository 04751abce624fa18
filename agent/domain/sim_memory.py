"""What is remembered of the SIM of a bearer: its numbers, and how the use of its PIN ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.model.fastclass import frozen


@frozen
class PinAttempt:
    """The use of a PIN. ``pin_mark``: of which one; ``tries``: how many the SIM had left before it, None: unknown."""

    pin_mark: str = ""
    tries: int | None = None
    refused: bool = False


@frozen
class SimMemory:
    """What is remembered of the SIM of a bearer."""

    iccid: str = ""
    imsi: str = ""
    attempt: PinAttempt = PinAttempt()

    def to_record(self) -> dict[str, Any]:
        attempt = self.attempt
        pin = {"pin_mark": attempt.pin_mark, "tries": attempt.tries, "refused": attempt.refused}
        return {"iccid": self.iccid, "imsi": self.imsi, **({"pin": pin} if attempt.pin_mark else {})}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> SimMemory:
        """Read what was stored. A record that cannot be read counts as one of some PIN that was refused."""
        try:
            pin = record.get("pin", {})
            tries = pin.get("tries")
            attempt = PinAttempt(
                str(pin.get("pin_mark", "")), tries if isinstance(tries, int) else None, bool(pin.get("refused"))
            )
            return cls(str(record["iccid"]), str(record["imsi"]), attempt)
        except (KeyError, AttributeError, TypeError):
            return cls(attempt=PinAttempt(refused=True))
