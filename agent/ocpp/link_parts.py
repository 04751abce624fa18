"""What dials a backend and sends CALLs to it, for a link as for a diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.model.fastclass import frozen
from agent.ocpp.dialects.dialect import ResponseEffects, RowContext
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.reconnect import Reconnector
from agent.ocpp.transport.call_channel import CallChannel


@frozen
class LinkParts:
    """The parts that share the arguments of a link."""

    connector: Reconnector
    ctx: RowContext
    channel: CallChannel


def make_link_parts(
    config: LinkConfig,
    hooks: LinkHooks,
    ports: LinkPorts,
    take_late_answer: Callable[[Any, ResponseEffects | None], None],
    call_timeout_s: float,
) -> LinkParts:
    """Make the parts of one link. The version before the restart is in force until there is a connection."""
    backend, clock, settings = config.backend, ports.clock, ports.settings
    connector = Reconnector(config, hooks, settings, clock.rate, ports.pki)
    ctx = RowContext(
        backend.name, ports.outbox, clock, settings, hooks.identity, config.evse_numbers, primary=config.is_primary
    )
    present = next((d for d in config.dialects if d.name == config.last_version), config.dialects[0])
    channel = CallChannel(ctx, present, connector.url, take_late_answer, call_timeout_s)
    return LinkParts(connector, ctx, channel)
