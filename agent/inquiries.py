"""What may be asked over the status socket, and who answers; what answers is imported when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agent.domain.payment_words import PaymentReviewed
from agent.ocpp.link import Link
from agent.services.engine import Engine
from agent.services.status import Asked
from agent.services.store import Store


class Station(Protocol):
    """What of a station is needed here."""

    store: Store
    engine: Engine

    @property
    def links(self) -> Mapping[str, Link]: ...


def inquiries(station: Station) -> dict[str, Asked]:
    async def dead_letters(question: dict[str, Any]) -> dict[str, Any]:
        from agent import dead

        def resent() -> None:
            for link in station.links.values():
                link.wake()

        return await dead.answer(station.store, question, resent)

    async def payments(question: dict[str, Any]) -> dict[str, Any]:
        from agent import ledger

        async def reviewed(payment: str) -> None:
            station.engine.post(PaymentReviewed(payment))
            await station.engine.ping()

        return await ledger.answer(station.store, question, reviewed)

    return {"dead": dead_letters, "payments": payments}
