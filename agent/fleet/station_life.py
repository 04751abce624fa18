"""One life of a station of a fleet, from its start to its end or to a reset: composed as on a board.

What belongs to a process and not to a station is left out: signals, status socket, log ring, systemd, watchdogs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.assembly.domain_setup import new_session_id
from agent.domain.collaborators import Collaborators
from agent.domain.events import ClockTrusted, ConnectFailed, Event, LinkChanged, Started, StopRequested
from agent.domain.evse import StationState
from agent.domain.station import assemble_blocks
from agent.fleet.outlet_ports import NoWatchdog, OutletMeter, OutletMeterSupervisor, always_open, open_board
from agent.fleet.rare_orders import FileAndKeyOrders
from agent.model.types import STATION
from agent.ocpp.dialects.dialect import Identity
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.transport.transport import WireOptions
from agent.services.devices.board import BoardSupervisor
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.supervisor import DeviceSupervisor, ReaderSupervisor
from agent.services.engine import Engine, EngineHooks
from agent.services.event_queue import EventQueue

if TYPE_CHECKING:
    from agent.fleet.fleet_station import FleetStation

NO_WATCHDOG = NoWatchdog()
PLAIN_WIRE = WireOptions(compress=False)
"""Compression takes 44 KiB of each connection."""
SETTLE_S, FLUSH_S = 2.0, 5.0


class StationLife:
    """``await run(over)`` ends when ``over`` is set."""

    def __init__(self, station: FleetStation, boot_reason: str) -> None:
        self._station, self._boot_reason = station, boot_reason
        self.events = EventQueue()
        self._works: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup
        post = self.events.post_event
        kind, store, clock = station.kind, station.store, station.clock
        self._file = kind.file_of_station(station.id)
        site = kind.state_of_station(self._collaborators(), boot_reason, station.id[:20])
        blocks = assemble_blocks(site)  # before the link: a block knows the addresses
        self._rare = FileAndKeyOrders(self._file, post, self._describe_station, self._begin_task)
        self._dispatch = OrderDispatch(post, (self._rare,))
        self.link = self._make_link(site)
        hooks = EngineHooks(restart=station.end_life)
        self._engine = Engine(self.events, blocks, store, clock, {self.link.name: self.link}, self._dispatch, hooks)
        self._add_devices()

    def _collaborators(self) -> Collaborators:
        return Collaborators(
            new_id=new_session_id,
            max_token_length=lambda: self.link.max_token_length,
            can_csms_settle=lambda: self.link.can_csms_settle,
            has_open_exchange=lambda: self.link.has_open_exchange,
            count_queued_messages=lambda: self._station.store.queued_count(self.link.name),
        )

    def _make_link(self, site: StationState) -> Link:
        station = self._station
        backend = self._file.backends[0]
        config = LinkConfig(
            backend, station.kind.dialects, tuple(site.evses), wire=PLAIN_WIRE, jitter=station.shared.jitter
        )
        hooks = LinkHooks(
            post_event=self._pass_link_event,
            identity=self._identity,
            trace=station.conversation.trace_frame,
            password=lambda: backend.password or None,
            access=lambda: site.network_profiles[backend.name].profile_in_turn,
            is_known_address=lambda access: site.network_profiles[backend.name].is_known_address(access),
            interface=lambda: None if station.is_cut_off else "",
        )
        return Link(config, hooks, LinkPorts(station.store, station.clock, site.settings))

    def _identity(self) -> Identity:
        station, meter = self._file.station, self._station.meter_identity(1)
        return Identity(
            vendor=station.vendor, model=station.model, serial=station.serial or station.id[:25],
            firmware=station.firmware_version or __version__, meter_serial=meter.serial, meter_type=meter.model,
            organisation=self._file.backends[0].cpo_name, boot_reason=self._boot_reason,
        )  # fmt: skip

    def _describe_station(self) -> dict[str, Any]:
        return {"station": self._station.id, "version": __version__, "ocpp": self.link.ocpp_version}

    def _add_devices(self) -> None:
        """Give the station its boards, meters and its reader, each behind the supervisor of its role."""
        station, post = self._station, self.events.post_event
        for number, outlet in station.outlets.items():
            meter = OutletMeter(outlet, station.clock.boot_stamp, station.meter_identity(number))
            opening = partial(open_board, outlet)
            board = BoardSupervisor(number, f"board {number}", opening, post, NO_WATCHDOG, station.clock.boot_stamp)
            self._dispatch.add_supervisor(board)
            self._dispatch.add_supervisor(OutletMeterSupervisor(number, f"meter {number}", always_open(meter), post))
        reader = ReaderSupervisor(STATION, "reader", always_open(station.reader), post)
        self._dispatch.add_supervisor(reader, [*station.outlets])
        self._dispatch.note_devices_known()

    def _pass_link_event(self, event: Event) -> None:
        if isinstance(event, LinkChanged):
            self._station.note_link_change(event.up)
        elif isinstance(event, ConnectFailed):
            self._station.note_failed_attempt(event.trouble.value)
        self.events.post_event(event)

    # --- running -------------------------------------------------------------------------------------------------

    async def run(self, over: asyncio.Event) -> None:
        self.events.post_event(Started(self._station.store.read_facts()))
        if self._station.clock.boot.offset_s is not None:
            self.events.post_event(ClockTrusted())
        async with asyncio.TaskGroup() as self._group:
            supervisors: list[DeviceSupervisor] = self._dispatch.supervisors
            for work in (self._engine.run(), self.link.run(), *(s.run() for s in supervisors)):
                self._works.append(self._begin_task(work))
            await over.wait()
            await self._shut_down()
            for supervisor in supervisors:
                supervisor.prepare_to_stop()
            for task in self._works:
                task.cancel()
        self._station.note_link_change(False)

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(work)

    async def _shut_down(self) -> None:
        """Withdraw release, store the sessions, send the replies."""
        self.events.post_event(StopRequested())
        await self.events.wait_until_handled()
        await self._dispatch.wait_until_settled(SETTLE_S)
        await self.events.wait_until_handled()
        await self.link.drain_queues(FLUSH_S if self.link.is_up else 0.0)
        self._rare.close()
