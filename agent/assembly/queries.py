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
        from agent.commands import dead_letters as dead

        def resent() -> None:
            for link in station.links.values():
                link.wake()

        return await dead.answer(station.store, question, resent)

    async def payments(question: dict[str, Any]) -> dict[str, Any]:
        from agent.commands import payments as ledger

        async def reviewed(payment: str) -> None:
            station.engine.post(PaymentReviewed(payment))
            await station.engine.ping()

        return await ledger.answer(station.store, question, reviewed)

    async def faults(question: dict[str, Any]) -> dict[str, Any]:
        from agent.commands import faults as faulty

        async def clear(evse: EvseId) -> None:
            log.warning("outlet %d: somebody has looked at its latched faults and wants them cleared", evse)
            station.engine.post(FaultsAcknowledged(evse))
            await station.engine.ping()

        return await faulty.answer(station.store, question, lambda: faulty.told(station.site, station.keepers), clear)

    return {"dead": dead_letters, "payments": payments, "faults": faults}
