"""Release of one EVSE's board: one wanted level, written in one place, and what the board has confirmed of it.

A withdrawal waits for no other order, not even for an earlier withdrawal, and no order to give release overtakes it. It
is read back from the board, and sent again for as long as the board shows release.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agent.model.board import EvseState
from agent.model.slim_event import SlimEvent
from agent.ports import Garbled, Refused, Unreachable

log = logging.getLogger(__name__)

ASKED_TIMES, AGAIN_S = 3, 2.0
"""How often, and after how long, a refused release is ordered again: the board may still be busy with an earlier order.
After that the refusal is reported."""
LOOK_S, LOOK_MOST_S = 0.1, 0.4
"""Between two looks at a board that has not confirmed a withdrawal: twice as long each time, but less than a poll."""
OBEYED_WITHIN_S = 3.0
"""A board that shows release for longer after its withdrawal does not have its plug freed."""
LOST_LOOKS = 3
"""So many looks in a row that are not answered are a failure of the board; the polls tolerate as many."""


class Release:
    """``wanted`` is the level of the last order, ``given``: the board has acknowledged it and holds it still. ``due``:
    an order to give that has not reached the board. ``changed`` is called when ``ready`` may have become true,
    ``refused`` when the board has refused ``ASKED_TIMES`` times, ``withdrawn`` when it was seen to obey a
    withdrawal."""

    def __init__(
        self,
        name: str,
        changed: Callable[[], None],
        refused: Callable[[], None],
        withdrawn: Callable[[], None],
    ) -> None:
        self.wanted = self.given = self.due = False
        self._name = name
        self._changed, self._on_refused, self._on_withdrawn = changed, refused, withdrawn
        self._ordered = self._acknowledged = self._obeyed = self._confirmed = 0
        """Withdrawals, counted. Obeyed: the board was seen without release; confirmed: its contactor was not seen
        closed any more either."""
        self._shown = False
        """The last picture showed release."""
        self._send, self._look = SlimEvent(), SlimEvent()
        self._obedience_changed = SlimEvent()
        self._seen_since_opening = False
        self._disobeyed_since_s: float | None = None
        self._refusals = 0
        self._again: asyncio.TimerHandle | None = None

    @property
    def can_be_given(self) -> bool:
        """True if release is to be given now: every earlier withdrawal has reached the board."""
        return self.due and self._acknowledged == self._ordered

    @property
    def has_pending_order(self) -> bool:
        """True if an order has not reached the board."""
        return self.due or self._acknowledged != self._ordered

    def order_release(self, on: bool) -> None:
        self._cancel_retry()
        self._refusals = 0
        self.wanted = self.due = on
        if on:
            self._disobeyed_since_s = None
            self._obedience_changed.set()
            self._changed()
        else:
            self._order_withdrawal()

    def reset_for_opened_board(self) -> None:
        """The board came up with release withdrawn: what was ordered before was for the board as it was."""
        self._cancel_retry()
        self.wanted = self.given = self.due = False
        self._refusals = 0
        self._acknowledged = self._obeyed = self._confirmed = self._ordered
        self._seen_since_opening = False
        self._disobeyed_since_s = None
        self._obedience_changed.set()
        self._shown = False
        self._send.clear()
        self._look.clear()

    def observe_state(self, state: EvseState) -> None:
        """Take a state of the board. Release that is not wanted is withdrawn at once, no matter where it came from."""
        self._shown = bool(state.released)
        if self._shown and not self.wanted:
            self._order_withdrawal()
        self._seen_since_opening = True
        self._obedience_changed.set()

    def _order_withdrawal(self) -> None:
        self.given = False
        self._ordered += 1
        self._send.set()

    async def wait_for_obedience(self) -> bool:
        """Return True when the board was seen without release after the last withdrawal: no plug is freed
        before. Return False if release is ordered meanwhile, or the board keeps it for ``OBEYED_WITHIN_S``
        from the first state on that shows it: the line may be slow."""
        while not (self.wanted or self._is_obeyed or self._is_disobeyed):
            self._obedience_changed.clear()
            await self._obedience_changed.wait()
        return self._is_obeyed and not self.wanted

    @property
    def _is_obeyed(self) -> bool:
        return self._seen_since_opening and self._obeyed == self._ordered

    @property
    def _is_disobeyed(self) -> bool:
        since_s = self._disobeyed_since_s
        return since_s is not None and asyncio.get_running_loop().time() - since_s >= OBEYED_WITHIN_S

    # --- tasks of an open board --------------------------------------------------------------------------------------

    async def send_withdrawals(self, port: Any) -> None:
        """Send each withdrawal at once, beside everything else."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._send.wait()
                self._send.clear()
                group.create_task(self._send_withdrawal(port, self._ordered))

    async def _send_withdrawal(self, port: Any, number: int) -> None:
        await port.set_release(False)
        self._acknowledged = max(self._acknowledged, number)
        self._look.set()
        self._changed()

    async def confirm_withdrawals(self, port: Any) -> None:
        """Read each withdrawal back, and look on for as long as the last picture shows a release that is not wanted:
        one that was given again since makes no new picture."""
        pause_s, lost = LOOK_S, 0
        while True:
            await self._look.wait()
            self._look.clear()
            while self._withdrawal_unconfirmed:
                number, state = self._acknowledged, None
                try:
                    state, lost = await port.state(), 0
                except (Garbled, Unreachable):
                    lost += 1
                    if lost == LOST_LOOKS:
                        raise
                if state is not None and self._check_withdrawal(state, number):
                    pause_s = LOOK_S
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LOOK_MOST_S)

    @property
    def _withdrawal_unconfirmed(self) -> bool:
        """The board has acknowledged the last withdrawal, and has not been seen to obey it."""
        return (
            not self.wanted
            and self._acknowledged == self._ordered
            and (self._shown or self._confirmed != self._ordered)
        )

    def _check_withdrawal(self, state: EvseState, number: int) -> bool:
        """``number`` withdrawals were acknowledged before the board was read. A contactor may open some seconds after
        its release is gone."""
        if self.wanted or number != self._ordered:
            return True  # a newer order came meanwhile: what it does is read after it
        if state.released or (state.released is None and state.contactor):
            self._disobeyed_since_s = self._disobeyed_since_s or asyncio.get_running_loop().time()
        else:
            self._obeyed, self._disobeyed_since_s = number, None
        self._obedience_changed.set()
        if state.released:
            log.warning("%s: still released after a withdrawal; withdrawn again", self._name)
            self._order_withdrawal()
            return False
        if state.contactor is not True and self._confirmed != number:
            self._confirmed = number
            self._on_withdrawn()
        return not self._withdrawal_unconfirmed

    async def give_release(self, port: Any) -> None:
        """Raises ``Refused`` after the refusal is reported, or the order is to be repeated."""
        before = self._ordered
        self.due = False
        try:
            await port.set_release(True)
        except Refused:
            self._refusals += 1
            if self.wanted and before == self._ordered:
                self._retry_or_report()
            raise
        finally:
            if not self.wanted:  # the board may have carried out this order after the one that withdrew it
                self._order_withdrawal()
        if self.wanted and before == self._ordered:
            self.given, self._refusals = True, 0

    def _retry_or_report(self) -> None:
        if self._refusals < ASKED_TIMES:
            self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._retry_release)
        else:
            self._on_refused()

    def _retry_release(self) -> None:
        self.due = self.wanted
        self._changed()

    def _cancel_retry(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
