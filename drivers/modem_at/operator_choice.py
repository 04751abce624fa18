"""The operator that the modem may use or shall prefer (+COPS, 3GPP TS 27.007)."""

from __future__ import annotations

import logging

from agent.model.bearer import ApnAccess
from drivers.modem_at.answers import operator_choice_mode_of
from drivers.modem_at.channel import AtChannel, CommandFailed

log = logging.getLogger(__name__)

ANY_OPERATOR, ONE_OPERATOR, PREFERRED_OPERATOR = 0, 1, 4
"""How a modem chooses: by itself, this operator alone, or this one if it is there."""
OPERATOR_S = 60.0
"""So long a modem looks for an operator."""
NAMES = "+COPS=3,0"
"""Operators are shown by name again, not by number."""


class OperatorChoice:
    """``operator``: of the station file; "": any. Many modems keep a choice, also one from before a crash of the
    agent."""

    def __init__(self, name: str, channel: AtChannel, operator: str) -> None:
        self._name, self._channel = name, channel
        self._given = self._wanted = operator, bool(operator)
        """The operator, and whether no other is used."""
        self._chosen: tuple[str, bool] | None = None
        """What the modem has accepted since it was opened or has started; None: it may have kept another choice."""

    def use_operator_of_access(self, access: ApnAccess | None) -> None:
        """Want the operator of a network profile; without one that of the station file."""
        has_operator = access is not None and access.network
        self._wanted = (access.network, access.is_network_only) if access is not None and has_operator else self._given

    def forget_choice(self) -> None:
        """The modem has started: what it has chosen is not known any more."""
        self._chosen = None

    async def apply_choice(self) -> None:
        """Let the modem use the operator that is wanted. Raises ``Refused`` if it cannot, and may use no other."""
        if self._chosen == self._wanted:
            return
        operator, is_only = self._wanted
        mode = ONE_OPERATOR if is_only else PREFERRED_OPERATOR
        try:
            if operator:
                await self._order_choice(f'+COPS={mode},2,"{operator}"')
            elif self._chosen is not None or await self._read_operator_mode() != ANY_OPERATOR:
                await self._order_choice("+COPS=0")
            self._chosen = self._wanted
        except CommandFailed as e:  # it is sent again before the next call
            if is_only:
                raise
            log.warning("%s: the choice of the operator is not changed: %s", self._name, e)

    async def _read_operator_mode(self) -> int | None:
        """Return how the modem chooses now; None: it does not say."""
        return operator_choice_mode_of(await self._channel.send_command("+COPS?", "+COPS:"))

    async def _order_choice(self, command: str) -> None:
        try:
            await self._channel.send_command(command, timeout_s=OPERATOR_S)
        finally:
            try:
                await self._channel.send_command(NAMES)
            except CommandFailed:
                log.debug("%s: operators are shown by number", self._name)
