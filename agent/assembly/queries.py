"""The questions of the status socket and the functions that answer them. Each is imported at its first question."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.assembly.bearers import TrafficReports
from agent.domain.events import Event, FaultsAcknowledged
from agent.domain.evse import StationState
from agent.domain.terminal_messages import PaymentReviewed
from agent.model.types import EvseId
from agent.ocpp.link import Link
from agent.ports.clock import ClockPort
from agent.services.devices.dispatch import OrderDispatch
from agent.services.event_queue import EventQueue
from agent.services.status import QuestionHandler
from agent.services.store.store import Store

log = logging.getLogger(__name__)


def status_socket_queries(
    site: StationState,
    store: Store,
    events: EventQueue,
    links: Mapping[str, Link],
    dispatch: OrderDispatch,
    clock: ClockPort,
    traffic: TrafficReports,
    knowledge: Callable[[], dict[str, Any]],
) -> dict[str, QuestionHandler]:
    """Return the function that answers each question, by the name of the question. ``knowledge``: what the station
    knows of its way to the backends."""

    async def query_dead_letters(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import dead_letter_queries

        def wake_links() -> None:
            for link in links.values():
                link.queue_changed()

        return await dead_letter_queries.answer_dead_letters(store, question, wake_links)

    async def query_payments(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import payment_queries

        async def mark_reviewed(payment: str) -> None:
            events.post_event(PaymentReviewed(payment))
            await events.wait_until_handled()

        async def order_settlement(order: Event) -> None:
            log.warning("a person orders about a card payment: %s", order)
            events.post_event(order)
            await events.wait_until_handled()

        return await payment_queries.answer_payments(store, question, mark_reviewed, order_settlement)

    async def query_faults(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import fault_queries

        async def acknowledge_faults(evse: EvseId) -> None:
            log.warning("outlet %d: a technician has reviewed its latched faults and wants them cleared", evse)
            events.post_event(FaultsAcknowledged(evse))
            await events.wait_until_handled()

        def current_rows() -> list[fault_queries.Row]:
            return fault_queries.fault_rows(site, dispatch.supervisors)

        return await fault_queries.answer_faults(store, question, current_rows, acknowledge_faults)

    return {
        "dead": query_dead_letters,
        "payments": query_payments,
        "faults": query_faults,
        "bearers": _bearers_query(site, store, clock),
        "traffic": _traffic_query(site, store, events, clock, traffic),
        "undelivered": _undelivered_query(store),
        "doctor": _doctor_query(store, knowledge),
    }


def _bearers_query(site: StationState, store: Store, clock: ClockPort) -> QuestionHandler:
    async def query_bearers(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import bearer_queries

        def current_rows() -> list[bearer_queries.Row]:
            return bearer_queries.bearer_rows([*site.bearers.values()], site.bearer_in_use, clock.now().t_s)

        return await bearer_queries.answer_bearers(store, question, current_rows)

    return query_bearers


def _doctor_query(store: Store, knowledge: Callable[[], dict[str, Any]]) -> QuestionHandler:
    async def query_doctor(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly.doctor import agent_knowledge

        return await agent_knowledge.answer_doctor(store, question, knowledge)

    return query_doctor


def _traffic_query(
    site: StationState, store: Store, events: EventQueue, clock: ClockPort, traffic: TrafficReports
) -> QuestionHandler:
    async def query_traffic(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import traffic_figures, traffic_queries

        traffic.report_counts()
        await events.wait_until_handled()
        return await traffic_queries.answer_traffic(
            store, question, lambda: traffic_figures.traffic_report(site.traffic, site.config, clock.now().utc_s)
        )

    return query_traffic


def _undelivered_query(store: Store) -> QuestionHandler:
    async def query_undelivered(question: dict[str, Any]) -> dict[str, Any]:
        from agent.assembly import undelivered_queries

        return await undelivered_queries.answer_undelivered(store, question)

    return query_undelivered
