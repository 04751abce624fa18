"""The composition root: a station file becomes a running station.

Order of the start: store, clock, link (BootNotification is on its way before any driver is imported), then the devices.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.assembly.dialects import backend_and_dialects, installed_transports
from agent.assembly.domain_setup import domain_collaborators, initial_state, record_signing, stranded_payments
from agent.assembly.files import (
    UPDATER_FIRST_S,
    booting_firmware,
    files_of,
    key_store_of,
    keys_of,
    last_version,
)
from agent.assembly.queries import status_socket_queries
from agent.assembly.snapshot import station_snapshot
from agent.domain.events import ClockTrusted, Event, FaultRaised, Started, StopRequested, TimeCame
from agent.domain.metrology import identity_from_record
from agent.domain.orders import Order, ReadMeter, Restart, Send, Shutdown
from agent.domain.station import assemble_blocks
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import frozen
from agent.model.types import Fault
from agent.ocpp.dialects.dialect import Identity
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks
from agent.ocpp.transport.families import preload_libraries
from agent.ocpp.transport.timeouts import wait_for_event
from agent.ports.store import Put, StoreError
from agent.services.clock import Boot, Clock, Scale
from agent.services.devices.board import BoardSupervisor, LivenessSignal
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.supervisor import MeterSupervisor, SupervisorServices
from agent.services.devices.updater import UpdaterSupervisor
from agent.services.engine import Engine
from agent.services.keys.root_counts import RootCounts
from agent.services.logs.buffer import LogRing
from agent.services.logs.masking import LogMask
from agent.services.sd_notify import notify_systemd
from agent.services.status import StatusSocket
from agent.services.store.store import Store
from agent.services.watchdog import feed_watchdogs
from agent.station_file.settings import Backend, StationFile

if TYPE_CHECKING:
    from agent.services.sinks.sinks import Sinks

log = logging.getLogger(__name__)

FLUSH_S = 5.0
STOP_S = 2.0
RTC_OFF_S = 60.0
HEAD_START_S = 0.3
"""Head start of the link before the devices: five round trips to a near backend."""
SEEN_S = 15 * 60.0
"""Real time between two records of the latest time of this boot (``Clock.seen``): four writes an hour."""


@frozen
class Options:
    """Options of the command line, for simulation and tests."""

    clock_rate: float = 1.0
    rtc_offset_s: float = 0.0
    clock_scale: Scale | None = None


class Station:
    """One running station with all its parts. ``await run()`` returns the exit code."""

    def __init__(self, file: StationFile, options: Options, store: Store, facts: dict[str, dict[str, dict[str, Any]]]):
        self.file = file
        self.store = store
        self._facts = facts
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.clock = Clock(
            facts.get("boot", {}),
            options.clock_rate,
            rtc=lambda: time.time() + options.rtc_offset_s,
            above=max(_highest_unreadable_boot(facts), store.highest_boot),
            scale=options.clock_scale,
        )
        self._boot_reason = self._find_boot_reason()
        self._key_store = key_store_of(file)
        self._root_counts = RootCounts(self._key_store)
        handed_in = domain_collaborators(file, facts, self._root_counts, self._max_token_length)
        self.site = initial_state(file, facts, handed_in, self.clock.rate, self._boot_reason)
        self.engine = Engine(assemble_blocks(self.site), store, self.clock)
        self.engine.restart = self._restart_or_shut_down
        self.mask = LogMask()
        self.engine.before_event = self._prepare_for_event
        self.engine.after_event = self._observe_order
        self.engine.sign_records = record_signing(file, facts)
        self._spoken: dict[str, str] = {}
        self.alive = LivenessSignal()
        self.ready = False
        self._answered = asyncio.Event()
        self.status = StatusSocket(self._socket_path(), self.status_snapshot, lambda: self.clock.now().utc_s)
        self.ring = LogRing(self.clock)
        self._firmware_known = asyncio.Event()
        self._trying, self._version = booting_firmware(facts), last_version(facts)
        self.keys, self.files = keys_of(self, self._key_store), files_of(self)
        self.hands = self.engine.order_dispatch = OrderDispatch(self.engine.post_event, (self.keys, self.files))
        self.links = {b.name: self._make_link(b) for b in file.backends}
        self.engine.links.update(self.links)
        for b in file.backends:
            self.mask.learn_secret(b.password)
        self.status.asks |= status_socket_queries(self)
        self.status.still = self.engine.hold_still

    def _prepare_for_event(self, event: Event) -> None:
        self.mask.before_event(event)
        self._root_counts.before_event(event)

    def _socket_path(self) -> Path:
        """Return the path of the status socket. The agent's group can enter systemd's runtime directory only."""
        given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        folder = Path(given) if given else self.file.station.state_dir
        return self.file.station.status_socket or folder / "status.sock"

    def _max_token_length(self) -> int:
        return next((link.max_token_length for link in self.links.values()), 36)

    def _make_link(self, backend: Backend) -> Link:
        config = LinkConfig(
            **backend_and_dialects(self.file, backend),
            evse_numbers=tuple(self.site.evses),
            is_primary=backend is self.file.backends[0],
            last_version=str(self._facts.get("spoken", {}).get(backend.name, {}).get("version", "")),
        )
        hooks = LinkHooks(
            post_event=self.engine.post_event,
            identity=self._station_identity,
            trace=self._trace_frame,
            password=lambda: self._backend_password(backend),
            access=lambda: self.site.network_profiles[backend.name].profile_in_turn,
            installed_transports=installed_transports,
        )
        return Link(config, hooks, outbox=self.store, clock=self.clock, settings=self.site.settings, pki=self.keys.pki)

    def _trace_frame(self, direction: str, link: str, version: str, text: str) -> None:
        self.status.add_frame(direction, link, version, text)
        if direction == "in":
            self._answered.set()

    def _find_boot_reason(self) -> str:
        """Return the reason of this boot (BootReasonEnumType).

        An ordered restart has stored its reason. Otherwise the boot of the kernel decides.
        """
        ordered = self._facts.get("restart", {}).get("ordered")
        if ordered:
            return str(ordered.get("reason", "Unknown"))
        return "ApplicationReset" if str(self.clock.boot.number) in self._facts.get("boot", {}) else "PowerUp"

    def _backend_password(self, backend: Backend) -> str | None:
        """Return the password of the station file. The link itself knows one that its backend has set since."""
        if backend.password_file is not None:
            try:
                text = backend.password_file.read_text("utf-8").strip()
                self.mask.learn_secret(text)
                return text
            except OSError as e:
                log.error("backend %s: password_file %s: %s", backend.name, backend.password_file, e.strerror)
        return backend.password or None

    def _station_identity(self) -> Identity:
        """Return the identity for BootNotification. Until the meter has been read, its last known identity is used."""
        station = self.file.station
        meters = (k.identity for k in self.hands.supervisors_of(MeterSupervisor) if k.identity)
        meter = next(meters, None) or identity_from_record(self._facts.get("meter", {}).get("1", {}))
        return Identity(
            vendor=station.vendor,
            model=station.model,
            serial=station.serial or station.id,
            firmware=self._firmware_version(),
            meter_serial=meter.serial,
            meter_type=meter.model,
            organisation=self.site.settings.text_value("cpo_name"),
            boot_reason=self._boot_reason,
        )

    def _firmware_version(self) -> str:
        """Return the version that the updater reports, otherwise that of the station file, otherwise our own."""
        reported = next((s.version for s in self.hands.supervisors_of(UpdaterSupervisor)), "")
        return reported or self._version or self.file.station.firmware_version or __version__

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        await self._record_boot()
        self.ring.addFilter(self.mask)
        logging.getLogger().addHandler(self.ring)
        self.clock.changed = self._clock_changed
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._request_exit, 0)
        for complaint in stranded_payments(self.file, self._facts):
            log.warning("%s", complaint)
        self.engine.post_event(Started(self._facts))
        self._facts = {"meter": self._facts.get("meter", {})}  # the rest may be a list of thousands
        if self.clock.boot.offset_s is not None:
            self.engine.post_event(ClockTrusted())
        if self.store.set_aside is not None:
            log.error("the store was damaged; it was set aside as %s, a new one is in use", self.store.set_aside)
        async with self.status, asyncio.TaskGroup() as group:
            self.files.begin = self.keys.begin = group.create_task
            works = [group.create_task(self.engine.run())]
            works += [group.create_task(self._run_link(b)) for b in self.file.backends if b.url]
            works.append(group.create_task(self._start_devices(group)))
            works.append(group.create_task(self._record_uptime_regularly()))
            if self.file.sinks:
                works.append(group.create_task(self._run_sinks()))
            code = await self._exit
            await self._shut_down()
            for keeper in self.hands.supervisors:
                keeper.prepare_to_stop()
            for work in (*works, *self._tasks):
                work.cancel()
        logging.getLogger().removeHandler(self.ring)
        return code

    async def _run_link(self, backend: Backend) -> None:
        if self._trying:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPDATER_FIRST_S):
                    await self._firmware_known.wait()
        await self.links[backend.name].run()

    async def _run_sinks(self) -> None:
        from agent.services.sinks.sinks import Sinks

        self.sinks = Sinks(self.file.sinks, self.file.station.id, self.clock)
        self.sinks.addFilter(self.mask)
        await self.sinks.run()

    async def _record_boot(self) -> None:
        """Store the record of this boot. If the disk refuses it, the engine tries again and reports it."""
        boot = self.clock.boot
        aside = [
            Put("poisoned", f"boot/{k}", {"record": r, "why": "no boot"}) for k, r in self.clock.unreadable.items()
        ]
        gone = [Put("boot", k, None) for k in self.clock.unreadable]
        puts = [*aside, *gone, Put("boot", str(boot.number), boot.to_record()), Put("restart", "ordered", None)]
        try:
            await self.store.commit(puts)
        except StoreError as e:
            log.error("the boot is not on disk yet: %s", e)
            self.engine.remember_fact("boot", str(boot.number), boot.to_record())

    async def _record_uptime_regularly(self) -> None:
        while True:
            await asyncio.sleep(SEEN_S)
            self._record_uptime()
            # what is remembered goes with the next event
            self.engine.post_event(TimeCame(Timer(TimerKind.STORE_RETRY)))

    def _record_uptime(self) -> None:
        boot = self.clock.mark_boot_alive()
        self.engine.remember_fact("boot", str(boot.number), boot.to_record())
        for link in self.links.values():
            if link.is_up and self._spoken.get(link.name) != link.ocpp_version:
                self._spoken[link.name] = link.ocpp_version
                self.engine.remember_fact("spoken", link.name, {"version": link.ocpp_version})

    _tasks: tuple[asyncio.Task[None], ...] = ()
    sinks: Sinks | None = None

    async def _start_devices(self, group: asyncio.TaskGroup) -> None:
        """Open the devices when the backend has answered or seems far away. Importing drivers blocks the loop."""
        if any(b.url for b in self.file.backends):
            await wait_for_event(self._answered, HEAD_START_S)
        alone = resume_garbage_collection()
        from agent.assembly.devices import add_supervisors
        from agent.services.devices.configured import compose_devices

        devices = compose_devices(self.file, self.clock.boot_stamp)
        for complaint in (c for d in devices for c in d.complaints):
            log.warning("%s", complaint)
        services = SupervisorServices(
            self.engine.post_event, self.alive, self.files.firmware_image, self._firmware_known
        )
        add_supervisors(self.hands, devices, self.file.roles, services, self.site.evses)
        boards = {k.evse for k in self.hands.supervisors_of(BoardSupervisor)}
        tasks = [group.create_task(k.run()) for k in self.hands.supervisors]
        tasks.append(group.create_task(feed_watchdogs(self.engine, self.alive, bool(boards))))
        self._tasks = tuple(tasks)
        for number in self.site.evses:
            if number not in boards:
                log.warning("EVSE %d has no board in the station file: it stays out of service", number)
                self.engine.post_event(FaultRaised(number, Fault.BOARD_SILENT))
        for keeper in self.hands.supervisors:
            await keeper.seen.wait()
        await self.engine.wait_until_handled()
        if alone:
            freeze_garbage_collection()
        self.ready = True
        self.status.mark_changed()
        notify_systemd("READY=1\nSTATUS=in service")

    def _clock_changed(self, boot: Boot) -> None:
        off_s = self.clock.rtc_deviation_s
        if off_s is not None and abs(off_s) > RTC_OFF_S and not self.clock.hurried:
            log.warning("the board's real-time clock is off by %.0f s (not used; check its battery)", off_s)
        self.engine.remember_fact("boot", str(boot.number), boot.to_record())
        self.engine.post_event(ClockTrusted())

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
        self.engine.remember_fact("restart", "ordered", {"reason": order.reason, "hard": order.hard})
        self._boot_board = order.reason == "FirmwareUpdate"
        self._request_exit(0)

    _boot_board = False

    async def _shut_down(self) -> None:
        """Withdraw release, store the sessions, send the replies; then the context of every device closes."""
        notify_systemd("STOPPING=1")
        self._record_uptime()
        self.engine.post_event(StopRequested())
        await self.engine.wait_until_handled()
        await self.hands.wait_until_settled(STOP_S)
        await self.engine.wait_until_handled()  # what a terminal has answered is on disk
        for link in self.links.values():
            await link.drain_queues(FLUSH_S if self._exit.result() == 0 and link.is_up else 0.5)
        self.files.close()
        self.keys.close()
        if self._boot_board:
            for updater in self.hands.supervisors_of(UpdaterSupervisor):
                await updater.reboot_board()

    # --- what is shown -----------------------------------------------------------------------------------------

    def _observe_order(self, order: Order | None) -> None:
        if isinstance(order, Send) and self.sinks is not None and order.link == self.site.config.links[0]:
            self.sinks.accept_message(order.message)
        elif isinstance(order, ReadMeter) and order.billing:
            self._record_uptime()  # goes with what is billed of it: a later boot is then never put before this bill
        elif order is None:
            self.status.mark_changed()

    def status_snapshot(self) -> dict[str, Any]:
        """Return the agent's half of the control API's picture."""
        return station_snapshot(self)


def resume_garbage_collection() -> bool:
    """Switch the garbage collector on again after the start.

    Returns False if it was not off (many stations in one process).
    """
    if gc.isenabled():
        return False
    freeze_garbage_collection()
    gc.enable()
    return True


def freeze_garbage_collection() -> None:
    """Exempt all present objects from garbage collection. They stay, and a look at them blocks the loop for 10 ms."""
    gc.collect()
    gc.freeze()


def _highest_unreadable_boot(facts: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the highest boot number of an unreadable boot record. Stored stamps may still use it."""
    numbers = (key.partition("/")[2] for key in facts.get("poisoned", {}) if key.startswith("boot/"))
    return max((int(n) for n in numbers if n.isdecimal()), default=0)


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
