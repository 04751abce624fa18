"""What a station measures of itself for a monitoring system: the families and their values (decision 46).

No label holds a token, a card, a secret or free text of a backend, and each has few values.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator

from agent import __version__
from agent.assembly.bearers import TrafficReports
from agent.assembly.snapshot import SnapshotParts
from agent.domain.evse import EvseRecord, ServiceState, SessionState
from agent.domain.traffic import BudgetLevel, projected_bytes
from agent.services.metrics.exposition import (
    CONTENT_TYPE,
    PLAIN_CONTENT_TYPE,
    MetricFamily,
    MetricSample,
    openmetrics_text,
    prometheus_text,
)
from agent.services.metrics.http_service import MetricsService
from agent.station_file.settings import StationFile

JOULES_A_WH = 3600.0
PAGE_BYTES = 4096

AGENT = MetricFamily("chargy_agent", "info", "The program.", ("version", "python"))
STATION = MetricFamily("chargy_station", "info", "The charging station.", ("vendor", "model", "firmware"))
START = MetricFamily("process_start_time_seconds", "gauge", "When the process has started, since 1970.", (), "seconds")
CPU = MetricFamily("process_cpu_seconds", "counter", "Processor time of the process.", (), "seconds")
MEMORY = MetricFamily("process_resident_memory_bytes", "gauge", "Resident memory of the process.", (), "bytes")
READY = MetricFamily("chargy_ready", "gauge", "1: all devices have been looked for and the station is in service.")
CLOCK = MetricFamily("chargy_clock_trusted", "gauge", "1: the time is known.")
STORE = MetricFamily("chargy_store_bytes", "gauge", "Size of the store.", (), "bytes")
STORE_MOST = MetricFamily("chargy_store_limit_bytes", "gauge", "What the store may grow to.", (), "bytes")
STORE_FAILED = MetricFamily("chargy_store_failed", "gauge", "1: the disk takes no records, so nothing new starts.")
BACKEND_UP = MetricFamily("chargy_backend_up", "gauge", "1: connected, and the boot was accepted.", ("backend",))
VERSION = MetricFamily("chargy_backend", "info", "The version of OCPP in use.", ("backend", "ocpp"))
QUEUE = MetricFamily(
    "chargy_backend_queued_messages", "gauge", "Messages that wait for the backend on disk.", ("backend",)
)
DROPPED = MetricFamily("chargy_backend_dropped_frames", "counter", "Frames that were no messages.", ("backend",))
SESSION = MetricFamily(
    "chargy_evse_session_state", "stateset", "The session region.", ("evse", "chargy_evse_session_state")
)
SERVICE = MetricFamily(
    "chargy_evse_service_state", "stateset", "The service region.", ("evse", "chargy_evse_service_state")
)
FAULTS = MetricFamily("chargy_evse_faults", "gauge", "Faults that are present.", ("evse",))
ENERGY = MetricFamily(
    "chargy_evse_energy_joules", "counter", "The meter's register of imported energy.", ("evse",), "joules"
)
POWER = MetricFamily("chargy_evse_power_watts", "gauge", "Power that the meter has shown last.", ("evse",), "watts")
DEVICE = MetricFamily("chargy_device_open", "gauge", "1: the device is in use.", ("device",))
BEARER = MetricFamily("chargy_bearer_up", "gauge", "1: the bearer has an address.", ("bearer", "kind"))
BEARER_USED = MetricFamily("chargy_bearer_in_use", "gauge", "1: it carries the links.", ("bearer", "kind"))
SIGNAL = MetricFamily("chargy_bearer_signal_dbm", "gauge", "Signal of the mobile network.", ("bearer", "kind"), "dbm")
TRAFFIC = MetricFamily(
    "chargy_traffic_bytes",
    "counter",
    "Bytes of the links at the socket, TLS included, since the start; headers of IP and TCP (estimated) are a direction"
    " of their own.",
    ("bearer", "action", "direction"),
    "bytes",
)
MESSAGES = MetricFamily(
    "chargy_traffic_messages", "counter", "Requests and answers of the links since the start.", ("bearer", "action")
)
MONTH = MetricFamily(
    "chargy_traffic_month_bytes", "gauge", "Bytes of this month (UTC) with all headers.", ("bearer",), "bytes"
)
PROJECTED = MetricFamily(
    "chargy_traffic_month_projected_bytes", "gauge", "What the month will have taken at its end.", ("bearer",), "bytes"
)
LIMIT = MetricFamily("chargy_data_budget_limit_bytes", "gauge", "The limits of the month.", ("limit",), "bytes")
BUDGET = MetricFamily(
    "chargy_data_budget", "stateset", "How far the data budget of the month is used up.", ("chargy_data_budget",)
)
FAMILIES = (
    AGENT, STATION, START, CPU, MEMORY, READY, CLOCK, STORE, STORE_MOST, STORE_FAILED, BACKEND_UP, VERSION, QUEUE,
    DROPPED, SESSION, SERVICE, FAULTS, ENERGY, POWER, DEVICE, BEARER, BEARER_USED, SIGNAL, TRAFFIC, MESSAGES, MONTH,
    PROJECTED, LIMIT, BUDGET,
)  # fmt: skip


class StationMetrics:
    """Reads the values of a running station."""

    def __init__(
        self, file: StationFile, parts: SnapshotParts, traffic: TrafficReports, is_ready: Callable[[], bool]
    ) -> None:
        self._file, self._parts, self._traffic, self._is_ready = file, parts, traffic, is_ready
        self._started_s = time.time() - time.monotonic() + _process_start_s()

    def make_metrics_service(self) -> MetricsService:
        """Return the HTTP service at the port of the station file."""
        table = self._file.metrics
        texts = {CONTENT_TYPE: self.exposition_text, PLAIN_CONTENT_TYPE: self.plain_exposition_text}
        return MetricsService(table.host, table.port, texts, table.allowed_hosts)

    def exposition_text(self) -> str:
        self._traffic.report_counts()
        return openmetrics_text(FAMILIES, self._samples())

    def plain_exposition_text(self) -> str:
        self._traffic.report_counts()
        return prometheus_text(FAMILIES, self._samples())

    def _samples(self) -> Iterator[MetricSample]:
        yield from self._process_samples()
        yield from self._store_samples()
        for name in self._parts.links:
            yield from self._link_samples(name)
        for evse in self._parts.site.evses.values():
            yield from self._evse_samples(evse)
        for supervisor in self._parts.dispatch.supervisors:
            yield MetricSample(DEVICE, (supervisor.name,), supervisor.open)
        yield from self._bearer_samples()
        yield from self._traffic_samples()
        yield from self._budget_samples()

    def _process_samples(self) -> Iterator[MetricSample]:
        station, usage = self._file.station, resource.getrusage(resource.RUSAGE_SELF)
        firmware = station.firmware_version or __version__
        yield MetricSample(AGENT, (__version__, platform.python_version()), 1)
        yield MetricSample(STATION, (station.vendor, station.model, firmware), 1)
        yield MetricSample(START, (), round(self._started_s, 2))
        yield MetricSample(CPU, (), usage.ru_utime + usage.ru_stime)
        yield MetricSample(MEMORY, (), _resident_bytes())
        yield MetricSample(READY, (), self._is_ready())
        yield MetricSample(CLOCK, (), self._parts.clock.now().utc_s is not None)

    def _store_samples(self) -> Iterator[MetricSample]:
        store = self._parts.store
        yield MetricSample(STORE, (), store.usage_summary()["file_bytes"])
        yield MetricSample(STORE_MOST, (), self._file.station.store_max_mb * 1_000_000)
        yield MetricSample(STORE_FAILED, (), bool(store.disk_problem) or not self._parts.site.store_ok)

    def _link_samples(self, name: str) -> Iterator[MetricSample]:
        link = self._parts.links[name]
        yield MetricSample(BACKEND_UP, (name,), link.is_up)
        yield MetricSample(VERSION, (name, link.ocpp_version), 1)
        yield MetricSample(QUEUE, (name,), self._parts.store.queued_count(name))
        yield MetricSample(DROPPED, (name,), link.dropped_frames)

    def _evse_samples(self, evse: EvseRecord) -> Iterator[MetricSample]:
        number, service = str(evse.number), self._parts.site.service_state(evse)
        for state in SessionState:
            yield MetricSample(SESSION, (number, str(state)), evse.state is state)
        for possible in ServiceState:
            yield MetricSample(SERVICE, (number, str(possible)), service is possible)
        yield MetricSample(FAULTS, (number,), len(evse.faults))
        if (reading := evse.metering.reading) is not None:
            yield MetricSample(ENERGY, (number,), reading.energy_wh * JOULES_A_WH)
            if reading.power_w is not None:
                yield MetricSample(POWER, (number,), reading.power_w)

    def _bearer_samples(self) -> Iterator[MetricSample]:
        for name, record in self._parts.site.bearers.items():
            labels = name, str(record.config.kind)
            yield MetricSample(BEARER, labels, record.status.is_up)
            yield MetricSample(BEARER_USED, labels, name == self._parts.site.bearer_in_use)
            if record.status.signal_dbm is not None:
                yield MetricSample(SIGNAL, labels, record.status.signal_dbm)

    def _traffic_samples(self) -> Iterator[MetricSample]:
        for bearer, rows in self._traffic.since_start.items():
            for action, total in rows.items():
                yield MetricSample(MESSAGES, (bearer, action), total.messages)
                for direction, octets in (
                    ("sent", total.sent),
                    ("received", total.received),
                    ("headers", total.headers),
                ):
                    yield MetricSample(TRAFFIC, (bearer, action, direction), octets)

    def _budget_samples(self) -> Iterator[MetricSample]:
        site, now_utc_s = self._parts.site, self._parts.clock.now().utc_s
        month, plan = site.traffic.months.get(site.traffic.present), site.config.data_plan
        for bearer in month.days if month is not None else ():
            used = month.used_bytes((bearer,)) if month is not None else 0
            yield MetricSample(MONTH, (bearer,), used)
            ahead = None if month is None or now_utc_s is None else projected_bytes(used, month.since_utc_s, now_utc_s)
            if ahead is not None:
                yield MetricSample(PROJECTED, (bearer,), ahead)
        for name, limit in (("soft", plan.soft_bytes), ("hard", plan.hard_bytes)) if plan is not None else ():
            if limit is not None:
                yield MetricSample(LIMIT, (name,), limit)
        for level in BudgetLevel:
            yield MetricSample(BUDGET, (str(level),), site.traffic.level is level)


def _process_start_s() -> float:
    """Return when the process has started, by the monotonic clock (proc_pid_stat(5))."""
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return time.monotonic()
    return ticks / os.sysconf("SC_CLK_TCK")


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
