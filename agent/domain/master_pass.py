"""What a master pass stops (OCPP 2.x C16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.domain.events import StopWanted, TransactionAbandoned
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import StopReason, TriggerReason
from agent.model.types import EvseId, Token

_STOP = (StopReason.MASTER_PASS, TriggerReason.STOP_AUTHORIZED)


def stoppable_evses(site: StationState) -> list[EvseRecord]:
    """Return the EVSEs with a transaction, whether or not a session runs."""
    return [e for e in site.evses.values() if _has_running_session(e) or _has_open_transaction(e)]


def stop_transactions(site: StationState, numbers: Iterable[EvseId], token: Token) -> Iterator[Yielded]:
    """Stop the transactions of these EVSEs, where there still is one: running sessions first."""
    chosen = frozenset(numbers)
    evses = [e for e in stoppable_evses(site) if e.number in chosen]
    yield from (StopWanted(e.number, *_STOP, token) for e in evses if _has_running_session(e))
    yield from (
        StopWanted(e.number, *_STOP, token) if e.authorization else TransactionAbandoned(e.number, *_STOP)
        for e in evses
        if _has_open_transaction(e)
    )


def _has_running_session(evse: EvseRecord) -> bool:
    return evse.state in (SessionState.ACTIVE, SessionState.RECOVERING)


def _has_open_transaction(evse: EvseRecord) -> bool:
    return evse.session is None and evse.tx is not None
