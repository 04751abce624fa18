"""Fields of a touch panel as buttons: a finger that comes down inside one presses it, wherever it goes then. Pure.

Source: ``linux/input-event-codes.h``, Documentation/input/multi-touch-protocol (the first contact counts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.buttons_evdev.events import EV_KEY, EV_SYN, SYN_REPORT

EV_ABS = 3
BTN_TOUCH = 0x14A
ABS_X, ABS_Y, ABS_MT_POSITION_X, ABS_MT_POSITION_Y = 0x00, 0x01, 0x35, 0x36
_AXES = {ABS_X: 0, ABS_MT_POSITION_X: 0, ABS_Y: 1, ABS_MT_POSITION_Y: 1}


class Touch:
    """``fields``: name to left, top, right, bottom in percent of the panel; ``most``: the greatest x and y."""

    def __init__(self, fields: Mapping[str, Sequence[int]], most: Sequence[int]) -> None:
        self._fields, self._most = dict(fields), tuple(most)
        self._at = [0, 0]
        self._came = False

    def feed_event(self, kind: int, code: int, value: int) -> str | None:
        """Return the name of the field that was pressed, once its report is complete: x and y may come after the
        finger."""
        if kind == EV_ABS and code in _AXES:
            self._at[_AXES[code]] = value
        elif kind == EV_KEY and code == BTN_TOUCH:
            self._came = value == 1
        elif kind == EV_SYN and code == SYN_REPORT and self._came:
            self._came = False
            return self._touched_field()
        return None

    def _touched_field(self) -> str | None:
        x, y = (100 * at / most for at, most in zip(self._at, self._most, strict=True))
        return next((n for n, (x0, y0, x1, y1) in self._fields.items() if x0 <= x < x1 and y0 <= y < y1), None)
