"""The limit sent to EVerest, and the limit that it reports as enforced (``enforced_limits``, sent each second)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from agent.model.board import EvseTraits
from agent.model.types import Limit
from agent.ports import Garbled, Unreachable
from drivers.ampere_limits import limit_in_amperes

SOURCE = "chargy-agent"
OVER_S = 5.0
"""How long EVerest may enforce more than the limit sent to it: it recalculates each second."""
_DC, _AC, _PHASES = "total_power_W", "ac_max_current_A", "ac_max_phase_count"
_ROUNDED = 1.001
"""Numbers of EVerest's have 24 bits."""


class EnforcedLimits:
    """Watts on DC, amperes of each phase on AC."""

    def __init__(self, dc: bool) -> None:
        self._key, self._unit = (_DC, "W") if dc else (_AC, "A")
        self._sent: float | None = None
        self._phases: int | None = None
        self._over_s: float | None = None
        self.confirmed = False
        """EVerest has reported since then that it enforces no more than this."""
        self._enforced_text = ""

    def note_limit_sent(self, most: float, limit: Limit) -> None:
        """Note a limit sent to EVerest. A limit that is not lower stays confirmed if the one before was."""
        phases = limit.phases if self._key == _AC else None
        lower = self._sent is None or most < self._sent or (phases or 3) < (self._phases or 3)
        self._sent, self._phases = most, phases
        self.confirmed = self.confirmed and not lower

    def receive_enforced(self, value: Any) -> None:
        """Take the limits that EVerest enforces. Raises ``Garbled``."""
        if not isinstance(value, dict) or not isinstance(root := value.get("limits_root_side"), dict):
            raise Garbled("enforced_limits without limits_root_side")
        most, phases = _plain_number(root.get(self._key)), _plain_number(root.get(_PHASES))
        self._enforced_text = f"{most:g} {self._unit}" if most is not None else f"no {self._key}"
        if self._sent is None or most is None:
            return
        fits = most <= self._sent * _ROUNDED and (self._phases is None or phases is None or phases <= self._phases)
        self.confirmed = self.confirmed or fits
        if fits:
            self._over_s = None
        elif self._over_s is None:
            self._over_s = time.monotonic()

    def check_enforced(self) -> None:
        """Raise ``Unreachable`` if EVerest enforces more than the limit: it may have lost it or never have taken it."""
        if self._over_s is not None and time.monotonic() - self._over_s > OVER_S:
            raise Unreachable(self.problem_text)

    @property
    def problem_text(self) -> str:
        found = f"it enforces {self._enforced_text}" if self._enforced_text else "it sends no enforced_limits"
        return (
            f"EVerest does not confirm the limit of {self._sent:g} {self._unit} ({found}); is the module of `limits` "
            "on an energy node above this EVSE, and does an EnergyManager run?"
        )


def limit_to_send(traits: EvseTraits, limit: Limit) -> float:
    """Return the limit to send: watts on DC, amperes on AC, 0 to pause."""
    if not traits.dc:
        limit_a = limit_in_amperes(limit, traits)
        return limit_a if limit_a >= traits.min_a else 0.0
    wanted_w = min(traits.max_w, traits.max_w if limit.power_w is None else limit.power_w)
    if wanted_w >= traits.min_w:
        return wanted_w
    return 0.0 if traits.pausable else traits.min_w


def external_limits(wanted: float, traits: EvseTraits, phases: int | None) -> dict[str, Any]:
    """Build EVerest's message of limits; its first entry is valid at once."""
    value = {"value": wanted, "source": SOURCE}
    root: dict[str, Any] = {_DC: value} if traits.dc else {_AC: value}
    if not traits.dc and phases is not None:
        root[_PHASES] = {"value": phases, "source": SOURCE}
    entry = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "limits_to_root": root,
        "limits_to_leaves": {},
    }
    return {"schedule_import": [entry], "schedule_export": [], "schedule_setpoints": []}


def _plain_number(value: Any) -> float | None:
    """Return a number, plain or with its source beside it."""
    found = value.get("value") if isinstance(value, dict) else value
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
