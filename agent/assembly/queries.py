"""What may be asked over the status socket, and who answers; what answers is imported when somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.domain.events import FaultsAcknowledged
from agent.domain.evse import Site
from agent.domain.terminal_messages import PaymentReviewed
from agent.model.types import EvseId
from agent.ocpp.link import Link
from agent.services.devices.supervisor import Keeper
from agent.services.engine import Engine
from agent.services.status import Asked
from agent.services.store.store import Store

log = logging.getLogger(__name__)


class Station(Protocol):
    """What of a station is needed here."""

    site: Site
    store: Store
    engine: Engine

    @property
    def links(self) -> Mapping[str, Link]: ...
    @property
    def keepers(self) -> Sequence[Keeper]: ...


def inquiries(station: Station) -> dict[str, Asked]:
    async def dead_letters(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import dead_letter_queries

        def resent() -> None:
            for link in station.links.values():
                link.wake()

        return await dead_letter_queries.answer(station.store, question, resent)

    async def payments(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import payment_queries

        async def reviewed(payment: str) -> None:
            station.engine.post(PaymentReviewed(payment))
            await station.engine.ping()

        return await payment_queries.answer(station.store, question, reviewed)

    async def faults(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import fault_queries

        async def clear(evse: EvseId) -> None:
            log.warning("outlet %d: somebody has looked at its latched faults and wants them cleared", evse)
            station.engine.post(FaultsAcknowledged(evse))
            await station.engine.ping()

        def rows() -> list[fault_queries.Row]:
            return fault_queries.fault_rows(station.site, station.keepers)

        return await fault_queries.answer(station.store, question, rows, clear)

    return {"dead": dead_letters, "payments": payments, "faults": faults}
