"""The composition root: a station file becomes a running station.

Order of the start: store, clock, link (BootNotification is on its way before any driver is imported), then the devices.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.assembly.bearers import (
    TrafficReports,
    bearer_executors,
    bearer_via,
    interface_in_use,
    silence_limit_s,
    wait_for_sim,
)
from agent.assembly.boot_record import BootRecord, find_boot_reason, highest_unreadable_boot
from agent.assembly.dialects import backend_and_dialects, installed_transports
from agent.assembly.domain_setup import (
    domain_collaborators,
    initial_state,
    link_conditions,
    record_signing,
    stranded_payments,
)
from agent.assembly.files import (
    UPDATER_FIRST_S,
    booting_firmware,
    firmware_image,
    key_store_of,
    late_file_orders,
    security_log,
    tariff_topics,
)
from agent.assembly.identity import IdentitySource, backend_password, learn_backend_secrets
from agent.assembly.queries import status_socket_queries
from agent.assembly.snapshot import SnapshotParts, station_snapshot
from agent.assembly.startup import freeze_garbage_collection, resume_garbage_collection
from agent.domain.events import ClockTrusted, Event, FaultRaised, LinkChanged, Started, StopRequested
from agent.domain.orders import ExamineConnection, InformSinks, Restart, Send, SendLog, Shutdown
from agent.domain.station import assemble_blocks
from agent.model.fastclass import frozen
from agent.model.types import Fault
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.transport.families import preload_libraries
from agent.ocpp.transport.timeouts import wait_for_event
from agent.ports.store import StoreError
from agent.services.clock import Clock, Scale
from agent.services.devices.dispatch import LateExecutor, OrderDispatch
from agent.services.devices.supervisor import SupervisorServices
from agent.services.engine import Engine, EngineHooks
from agent.services.event_queue import EventQueue
from agent.services.keys.orders import KeyOrders
from agent.services.keys.root_counts import RootCounts
from agent.services.logs.buffer import LogRing
from agent.services.logs.masking import LogMask
from agent.services.sd_notify import notify_systemd
from agent.services.status import QuestionHandler, StatusSocket
from agent.services.store.facts import ARCHIVED
from agent.services.store.store import Store
from agent.services.watchdog import LivenessSignal, feed_watchdogs
from agent.station_file.settings import Backend, StationFile

if TYPE_CHECKING:
    from agent.assembly.doctor.service_examiner import ServiceExaminer
    from agent.assembly.field_page_queries import FieldPageQueries
    from agent.assembly.satellites import SharedTerminalService
    from agent.domain.payment import PaymentTerms
    from agent.services.recording import ConversationRecorder
    from agent.services.sinks.sinks import Sinks

log = logging.getLogger(__name__)

FLUSH_S = 5.0
STOP_S = 2.0
HEAD_START_S = 0.3
"""Head start of the link before the devices: five round trips to a near backend."""
SERVICES_S = 1.0
"""Between two looks whether the station is ready."""


@frozen
class Options:
    """Options of the command line, for simulation and tests."""

    clock_rate: float = 1.0
    rtc_offset_s: float = 0.0
    clock_scale: Scale | None = None
    record: Path | None = None
    """The file into which the conversations are recorded."""


class Station:
    """One running station with all its parts. ``await run()`` returns the exit code."""

    def __init__(self, file: StationFile, options: Options, store: Store, facts: dict[str, dict[str, dict[str, Any]]]):
        self.file, self.store, self._facts = file, store, facts
        self.ready = False
        self.sinks: Sinks | None = None
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answered, self._firmware_known = asyncio.Event(), asyncio.Event()
        self._updates, self._boots_board = booting_firmware(facts), False
        self._works: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup
        self.events = EventQueue()
        self.clock = Clock(
            facts.get("boot", {}),
            options.clock_rate,
            rtc=lambda: time.time() + options.rtc_offset_s,
            above=max(highest_unreadable_boot(facts), store.highest_boot),
            scale=options.clock_scale,
            changed=lambda boot: self._boot_record.record_clock_change(boot),
        )
        self._boot_record = BootRecord(self.clock, self.events, facts)
        self._root_counts = RootCounts(key_store := key_store_of(file))
        collaborators = domain_collaborators(file, facts, self._root_counts, lambda: self.links, store.queued_count)
        boot_reason = find_boot_reason(facts, self.clock.boot.number)
        self.site = initial_state(file, facts, collaborators, self.clock.rate, boot_reason)
        blocks = assemble_blocks(self.site)  # before the links: a block knows the addresses
        self.mask, self.ring, self.alive = LogMask(), LogRing(self.clock), LivenessSignal()
        post, serial = self.events.post_event, file.station.serial or file.station.id
        self.keys = KeyOrders(key_store, post, serial, self._begin_task)
        self.files = late_file_orders(file, self._collect_diagnostics, key_store, post, self._begin_task, self.site)
        self._topics = tariff_topics(file, post, self._begin_task, lambda: self.sinks)
        examiner = _late_service_examiner(file, post, self._connection_knowledge, store)
        self._sharing = _shared_terminal_services(file, self.events)
        reports = (SinkReports(lambda: self.sinks), *self._sharing)
        executors = (*reports, *bearer_executors(file, post, lambda: self.links), *self._topics)
        self.dispatch = OrderDispatch(post, (self.keys, self.files, examiner, *executors))
        self._page = _field_page_queries(self) if file.field_page.port else None
        self._recorder = _make_recorder(options.record, file, self.clock) if options.record else None
        self._identity = IdentitySource(file, self.site, self.dispatch, facts)
        self.traffic = TrafficReports(self.site, post)
        self.links = {b.name: self._make_link(b) for b in file.backends}
        learn_backend_secrets(file, self.mask)
        hooks = EngineHooks(
            restart=self._restart_or_shut_down,
            before_event=self._prepare_for_event,
            after_event=lambda: self.status.mark_changed(),
            after_message=self._observe_sent_message,
            sign_records=record_signing(file, facts),
            facts_beside=self._boot_record.facts_beside_commit,
        )
        self.engine = Engine(self.events, blocks, store, self.clock, self.links, self.dispatch, hooks)
        self._shown = SnapshotParts(self.site, store, self.clock, self.links, self.dispatch)
        self.status = StatusSocket(
            status_socket_path(file),
            self.status_snapshot,
            lambda: self.clock.now().utc_s,
            self._status_questions(),
            self.events.hold_still,
        )

    def _status_questions(self) -> dict[str, QuestionHandler]:
        common = status_socket_queries(
            self.site, self.store, self.events, self.links, self.dispatch, self.clock, self.traffic,
            self._connection_knowledge,
        )  # fmt: skip
        return {**common, **({"field_page": self._page.answer_question} if self._page is not None else {})}

    def _connection_knowledge(self) -> dict[str, Any]:
        from agent.assembly.doctor.agent_knowledge import station_knowledge

        return station_knowledge(self._shown)

    def _make_link(self, backend: Backend) -> Link:
        config = LinkConfig(
            **backend_and_dialects(self.file, backend),
            **link_conditions(self.file),
            evse_numbers=tuple(self.site.evses),
            is_primary=backend is self.file.backends[0],
            last_version=str(self._facts.get("spoken", {}).get(backend.name, {}).get("version", "")),
        )
        hooks = LinkHooks(
            post_event=self.events.post_event,
            identity=self._identity.current_identity,
            traffic=self.traffic.counter,
            trace=self._trace_frame,
            password=lambda: backend_password(backend, self.mask),
            access=lambda: self.site.network_profiles[backend.name].profile_in_turn,
            is_known_address=lambda access: self.site.network_profiles[backend.name].is_known_address(access),
            installed_transports=installed_transports,
            interface=lambda: interface_in_use(self.site, backend.name),
            bearer_via=lambda: bearer_via(self.file, self.site.bearer_in_use, backend.name),
            silence_limit_s=lambda: silence_limit_s(self.file, self.site),
        )
        return Link(config, hooks, LinkPorts(self.store, self.clock, self.site.settings, self.keys.pki))

    def _trace_frame(self, direction: str, link: str, version: str, text: str) -> None:
        self.status.add_frame(direction, link, version, text)
        if self._recorder is not None:
            self._recorder.add_frame(direction, link, version, text)
        if direction == "in":
            self._answered.set()

    def _collect_diagnostics(self, order: SendLog) -> Callable[[], Mapping[str, bytes]]:
        """Collect what a diagnostics archive holds. The function that it returns builds the parts, in any thread."""
        from agent.assembly.diagnostics import Diagnostics

        build_parts = Diagnostics(
            self.file,
            self.site.settings,
            self.ring,
            lambda: self.status.frame_lines,
            self.status_snapshot,
            self.store.usage_summary,
            lambda: security_log(self.site, self.clock),
            lambda: self.clock.now().utc_s,
        ).collect_parts(order)
        # free text of a backend (error descriptions, messages to the driver) repeats tokens where no name says so
        return lambda: {name: self.mask.mask_text(text.decode()).encode() for name, text in build_parts().items()}

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        await self._boot_record.store_boot(self.store)
        self.ring.addFilter(self.mask)
        logging.getLogger().addHandler(self.ring)
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._request_exit, 0)
        self._post_start()
        async with self.status, asyncio.TaskGroup() as self._group:
            self._begin_work(self.engine.run())
            if self._recorder is not None:
                self._begin_work(self._recorder.run())
            for backend in (b for b in self.file.backends if b.url):
                self._begin_work(self._run_link(backend))
            self._begin_work(self._start_devices())
            self._begin_work(self._boot_record.record_uptime_regularly())
            if self.file.sinks:
                self._begin_work(self._run_sinks())
            if self.file.metrics.port:
                self._begin_work(self._run_metrics())
            if self._page is not None:
                self._begin_work(self._run_field_page())
            for service in self._sharing:
                self._begin_work(service.run())
            self._begin_work(_run_payment_services(self, self.site.config.payment_terms))
            code = await self._exit
            await self._shut_down()
            for supervisor in self.dispatch.supervisors:
                supervisor.prepare_to_stop()
            for work in self._works:
                work.cancel()
        logging.getLogger().removeHandler(self.ring)
        return code

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(work)

    def _begin_work(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin what runs until the station ends."""
        self._works.append(self._begin_task(work))

    def _post_start(self) -> None:
        """Report the start to the domain, with all that was on disk."""
        for complaint in stranded_payments(self.file, self._facts):
            log.warning("%s", complaint)
        self.events.post_event(Started(self._facts))
        self._facts = {}  # a list of thousands may be in it
        if self.clock.boot.offset_s is not None:
            self.events.post_event(ClockTrusted())
        if self.store.set_aside is not None:
            log.error("the store was damaged; it was set aside as %s, a new one is in use", self.store.set_aside)

    async def _run_link(self, backend: Backend) -> None:
        if self._updates:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPDATER_FIRST_S):
                    await self._firmware_known.wait()
        await wait_for_sim(self.file, self.site)
        await self.links[backend.name].run()

    async def _run_sinks(self) -> None:
        from agent.services.sinks.sinks import Sinks

        self.sinks = Sinks(self.file.sinks, self.file.station.id, self.clock, *(t.accept_file for t in self._topics))
        self.sinks.addFilter(self.mask)
        await self.sinks.run()

    async def _run_metrics(self) -> None:
        from agent.assembly.metrics import StationMetrics

        await StationMetrics(self.file, self._shown, self.traffic, lambda: self.ready).make_metrics_service().run()

    async def _run_field_page(self) -> None:
        from agent.services.field_page import FieldPageProcess

        await wait_for_event(self._answered, HEAD_START_S)  # the link comes first
        await FieldPageProcess(self.file.path, self.file.field_page_users).run()

    async def _start_devices(self) -> None:
        """Open the devices when the backend has answered or seems far away. Importing drivers blocks the loop."""
        if any(b.url for b in self.file.backends):
            await wait_for_event(self._answered, HEAD_START_S)
        alone = resume_garbage_collection()
        from agent.assembly.devices import add_supervisors
        from agent.services.devices.board import BoardSupervisor
        from agent.services.devices.configured import compose_devices

        devices = compose_devices(self.file, self.clock.boot_stamp)
        for complaint in (c for d in devices for c in d.complaints):
            log.warning("%s", complaint)
        services = SupervisorServices(
            self.events.post_event, self.alive, firmware_image(self.file), self._firmware_known, self.clock.boot_stamp
        )
        add_supervisors(self.dispatch, devices, self.file.roles, services, self.site.evses)
        boards = {s.evse for s in self.dispatch.supervisors_of(BoardSupervisor)}
        for supervisor in self.dispatch.supervisors:
            self._begin_work(supervisor.run())
        self._begin_work(feed_watchdogs(self.events, self.alive, bool(boards)))
        for number in self.site.evses:
            if number not in boards:
                log.warning("EVSE %d has no board in the station file: it stays out of service", number)
                self.events.post_event(FaultRaised(number, Fault.BOARD_SILENT))
        for supervisor in self.dispatch.supervisors:
            await supervisor.seen.wait()
        await self.events.wait_until_handled()
        if alone:
            freeze_garbage_collection()
        self.ready = True
        self.status.mark_changed()
        notify_systemd("READY=1\nSTATUS=in service")

    # --- ending ------------------------------------------------------------------------------------------------

    def _request_exit(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    def _restart_or_shut_down(self, order: Restart | Shutdown) -> None:
        if isinstance(order, Shutdown):  # no reason is stored: the next boot of the kernel shows whether power was lost
            log.warning("mains is lost and everything is on disk: ending in order")
            self._request_exit(0)
            return
        log.info("restart ordered (%s, %s)", order.reason, "hard" if order.hard else "soft")
        self.events.remember_fact("restart", "ordered", {"reason": order.reason, "hard": order.hard})
        self._boots_board = order.reason == "FirmwareUpdate"
        self._request_exit(0)

    async def _shut_down(self) -> None:
        """Withdraw release, store the sessions, send the replies; then the context of every device closes."""
        notify_systemd("STOPPING=1")
        self._boot_record.record_uptime()
        self.traffic.report_counts()
        self.events.post_event(StopRequested())
        await self.events.wait_until_handled()
        await self.dispatch.wait_until_settled(STOP_S)
        await self.events.wait_until_handled()  # what a terminal has answered is on disk
        for link in self.links.values():
            await link.drain_queues(FLUSH_S if self._exit.result() == 0 and link.is_up else 0.5)
        if (files := self.files.close_intake()) is not None:
            files.close()
        self.keys.close()
        if self._boots_board:
            await _reboot_board(self.dispatch)

    # --- what is shown -----------------------------------------------------------------------------------------

    def _prepare_for_event(self, event: Event) -> None:
        self.mask.before_event(event)
        if self._recorder is not None:
            self._recorder.add_event(event)
        self._root_counts.before_event(event)
        if isinstance(event, LinkChanged):
            self._boot_record.record_link_version(event, self.links[event.link].ocpp_version)
        if self._page is not None:
            self._page.before_event(event)

    def _observe_sent_message(self, order: Send) -> None:
        if self.sinks is not None and order.link == self.site.config.links[0]:
            self.sinks.accept_message(order.message)

    def status_snapshot(self) -> dict[str, Any]:
        """Return the agent's half of the control API's picture."""
        return station_snapshot(self._shown, self.ready, self.sinks)


def status_socket_path(file: StationFile) -> Path:
    """Return the path of the status socket. The agent's group can enter systemd's runtime directory only."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    folder = Path(given) if given else file.station.state_dir
    return file.station.status_socket or folder / "status.sock"


def _make_recorder(path: Path, file: StationFile, clock: Clock) -> ConversationRecorder:
    from agent import __version__
    from agent.services.recording import ConversationRecorder

    links = {b.name: b.charge_point_id or file.station.id for b in file.backends}
    about = {"program": f"chargy-agent {__version__}", "station": file.station.id, "links": links}
    return ConversationRecorder(path, about, clock.now)


def _field_page_queries(station: Station) -> FieldPageQueries:
    from agent.assembly.field_page_queries import FieldPageQueries

    def restart_agent_in_order() -> None:
        station._restart_or_shut_down(Restart(reason="LocalReset"))

    return FieldPageQueries(
        station.site, station.store, station.clock, station.ring, station._collect_diagnostics,
        station.dispatch, station.events, restart_agent_in_order,
    )  # fmt: skip


class SinkReports:
    """Passes on what the domain reports to the sinks. ``sinks``: None if the station has none."""

    orders = (InformSinks,)

    def __init__(self, sinks: Callable[[], Sinks | None]) -> None:
        self._sinks = sinks

    def accept_order(self, order: InformSinks) -> None:
        sinks = self._sinks()
        if sinks is not None:
            sinks.report_message(order.message)


async def _run_payment_services(station: Station, terms: PaymentTerms | None) -> None:
    """Run them where payments are taken, or where some are archived: their cards are to leave in time."""
    while not station.ready:  # noqa: ASYNC110  nothing waits for it, and a start has other things to do
        await asyncio.sleep(SERVICES_S)
    if terms is None:
        if not await _archive_has_rows(station.store):
            return
        from agent.station_file.payment import remaining_terms

        terms = remaining_terms(station.file)
    from agent.assembly.payment_services import run_payment_services

    await run_payment_services(station.file, station.store, station.clock, terms, station.events.post_event)


async def _archive_has_rows(store: Store) -> bool:
    try:
        pages = [await store.read_fact_page(kind, "", 1) for kind in ARCHIVED]
    except StoreError:
        return True  # what reads it later says so
    return any(found or after for found, after in pages)


def _shared_terminal_services(file: StationFile, events: EventQueue) -> tuple[SharedTerminalService, ...]:
    """Return the connection of a station that shares a terminal with others. Most stations do not."""
    if file.payment_master is None and file.payment_satellite is None:
        return ()
    from agent.assembly.satellites import shared_terminal_services

    return shared_terminal_services(file, events)


def _late_service_examiner(
    file: StationFile, post: Callable[[Event], None], knowledge: Callable[[], dict[str, Any]], store: Store
) -> LateExecutor:
    def make_examiner() -> ServiceExaminer:
        from agent.assembly.doctor.service_examiner import ServiceExaminer

        return ServiceExaminer(file, post, knowledge, lambda: store.disk_problem)

    return LateExecutor((ExamineConnection,), make_examiner)


async def _reboot_board(dispatch: OrderDispatch) -> None:
    from agent.services.devices.updater import UpdaterSupervisor

    for updater in dispatch.supervisors_of(UpdaterSupervisor):
        await updater.reboot_board()


async def run(file: StationFile, options: Options, begun: Store) -> int:
    """Run a station until it is ordered to end. Returns 0 if the end was ordered (SIGTERM, Reset)."""
    preload_libraries([b.url for b in file.backends])  # while the disk works
    store = await begun.finish_opening()
    try:
        station = Station(file, options, store, await store.read_facts())
        station.mask.install_filter()
        return await station.run()
    finally:
        await store.close()
