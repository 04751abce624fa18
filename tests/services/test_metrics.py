"""The metrics of a running station, as a collector reads them: read by the parser of prometheus_client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from agent.assembly.metrics import FAMILIES
from agent.assembly.station import Options, Station
from agent.domain.events import CardPresented
from agent.model.types import Token
from agent.services.get_service import CONNECTIONS_MOST, HEAD_BYTES
from agent.services.metrics.exposition import (
    CONTENT_TYPE,
    PLAIN_CONTENT_TYPE,
    MetricFamily,
    MetricSample,
    openmetrics_text,
    prometheus_text,
)
from agent.services.metrics.http_service import MetricsService, choose_content_type
from agent.services.store.store import Store
from agent.station_file.settings import SettingsError, parse_station_file
from tests.bench.backend import open_backend
from tests.support.busy_machine import stretched
from tests.support.simulated_station import held_port

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "config" / "grafana" / "station.json"
CARD, SECRET = "04A1B2C3D4E5F6", "hunter2hunter2hu"
BASE_UNITS = {"seconds", "bytes", "joules", "watts", "dbm"}


@contextlib.asynccontextmanager
async def running(folder: Path, **metrics: Any) -> AsyncIterator[tuple[Station, int]]:
    """A station without devices, connected to a backend, with metrics at a port."""
    async with contextlib.AsyncExitStack() as resources:
        port = metrics.get("port") or resources.enter_context(held_port())
        backend = await resources.enter_async_context(open_backend())
        raw = {
            "station": {"state_dir": "state", "status_socket": str(folder / "s"), "serial": "SN-77"},
            "backend": {
                "url": f"ws://127.0.0.1:{backend.port}/p?key=Q-SECRET",
                "security_profile": 1,
                "password": SECRET,
            },
            "link": {"profile": "gprs", "monthly_mb_soft": 4, "monthly_mb_hard": 5},
            "metrics": {**metrics, "port": port},
            "evse": [{"number": 1}, {"number": 2}],
        }
        file = parse_station_file(raw, folder / "station.toml")
        store = await Store.open(file.station.state_dir / "agent.db", 1)
        station = Station(file, Options(), store, await store.read_facts())
        work = asyncio.create_task(station.run())
        try:
            await backend.wait_heard("BootNotification")
            await until(lambda: station.ready)
            await until(lambda: connectable(port))
            yield station, port
        finally:
            station._request_exit(0)
            await work
            await store.close()


async def until(true: Any) -> None:
    async with asyncio.timeout(stretched(20)):
        while not true():
            await asyncio.sleep(0.02)


def connectable(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(0.2)
        return one.connect_ex(("127.0.0.1", port)) == 0


async def asked(port: int, request: bytes) -> tuple[int, dict[str, str], str]:
    """Status, fields and body of the answer to these bytes; 0 for none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(stretched(20)):
        with contextlib.suppress(OSError):
            writer.write(request)
            await writer.drain()
        answer = b""
        with contextlib.suppress(OSError):
            answer = await reader.read()
        writer.close()
    if not answer:
        return 0, {}, ""
    head, _, body = answer.decode().partition("\r\n\r\n")
    first, *fields = head.split("\r\n")
    return int(first.split()[1]), dict(f.split(": ", 1) for f in fields), body


def get(path: str = "/metrics", host: str = "127.0.0.1", method: str = "GET", accept: str = "*/*") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode()


async def test_a_foreign_parser_reads_every_family(tmp_path: Path) -> None:
    async with running(tmp_path) as (station, port):
        station.events.post_event(CardPresented(1, Token(CARD)))
        await station.events.wait_until_handled()
        status, fields, body = await asked(port, get())
        assert status == 200
        assert fields["Content-Type"] == CONTENT_TYPE
        assert int(fields["Content-Length"]) == len(body.encode())
        found = {f.name: f for f in text_string_to_metric_families(body)}
        assert set(found) <= {f.name for f in FAMILIES}
        assert {f.name: (f.type, f.unit) for f in found.values()} == {
            f.name: (f.kind, f.unit) for f in FAMILIES if f.name in found
        }
        value = {(s.name, *s.labels.values()): s.value for f in found.values() for s in f.samples}
        assert value["chargy_backend_up", "chargy"] == 1
        assert value["chargy_evse_session_state", "1", "Free"] == 1
        assert value["chargy_data_budget_limit_bytes", "hard"] == 5_000_000
        assert value["chargy_data_budget", "within"] == 1
        assert value["chargy_traffic_bytes_total", "default", "BootNotification", "sent"] > 100
        assert value["process_resident_memory_bytes",] > 10_000_000
        assert value["process_start_time_seconds",] > 0
        again = (await asked(port, get()))[2]
        assert _counters(again) >= _counters(body)


def _counters(body: str) -> float:
    found = text_string_to_metric_families(body)
    return float(sum(s.value for f in found if f.type == "counter" for s in f.samples))


async def test_an_older_collector_gets_the_same_values_in_its_own_format(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port):
        status, fields, body = await asked(port, get(accept="text/plain;version=0.0.4;q=1, */*;q=0.1"))
        assert (status, fields["Content-Type"], fields["Vary"]) == (200, PLAIN_CONTENT_TYPE, "Accept")
        plain = {s.name: s for f in plain_families(body) for s in f.samples}
        newer = (await asked(port, get()))[2]
        assert len(plain) > 15
        assert plain.keys() <= {s.name for f in text_string_to_metric_families(newer) for s in f.samples}
        assert {f.type for f in plain_families(body)} == {"gauge", "counter"}
        assert plain["chargy_agent_info"].labels["version"]
        assert "# EOF" not in body
        assert "# UNIT" not in body


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", CONTENT_TYPE),
        ("*/*", CONTENT_TYPE),
        ("text/html", CONTENT_TYPE),
        ("text/plain", PLAIN_CONTENT_TYPE),
        ("text/*;q=0.5", PLAIN_CONTENT_TYPE),
        ("text/plain, application/openmetrics-text", CONTENT_TYPE),
        ("TEXT/PLAIN; Q=0.9, application/openmetrics-text;version=1.0.0;q=0.8", PLAIN_CONTENT_TYPE),
        # as Prometheus asks
        ("application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
         "text/plain;version=0.0.4;q=0.4,*/*;q=0.1", CONTENT_TYPE),
        ("text/plain;q=nan", CONTENT_TYPE),
        ("text/plain;q=often, ;;=,", CONTENT_TYPE),
        ("application/openmetrics-text;q=0, text/plain;q=0.1", PLAIN_CONTENT_TYPE),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_a_collector_likes_best(accept: str, chosen: str) -> None:
    assert choose_content_type(accept, (CONTENT_TYPE, PLAIN_CONTENT_TYPE)) == chosen


async def test_no_secret_no_card_and_no_address_is_in_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (station, port):
        station.events.post_event(CardPresented(1, Token(CARD)))
        await station.events.wait_until_handled()
        body = (await asked(port, get()))[2]
        for hidden in (CARD, SECRET, "Q-SECRET", "key=", "ws://", "SN-77"):
            assert hidden.casefold() not in body.casefold()


async def test_the_number_of_series_has_an_end(tmp_path: Path) -> None:
    """Whatever a backend does: actions are bounded where they are counted, everything else by the station file."""
    async with running(tmp_path) as (_, port):
        body = (await asked(port, get()))[2]
        labels = {name for f in FAMILIES for name in f.labels}
        bounded = {"version", "python", "vendor", "model", "firmware", "backend", "ocpp", "evse", "device", "bearer"}
        bounded |= {"kind", "action", "direction", "limit"} | {f.name for f in FAMILIES if f.kind == "stateset"}
        assert labels == bounded
        assert len(body.splitlines()) < 250


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/"), 404),
        (get("/metrics?x=1"), 200),
        (get(method="POST"), 405),
        (get(host="localhost"), 200),
        (get(host="[::1]:9100"), 200),
        (get(host="collector.example"), 200),
        (get(host="evil.example"), 421),
        (get(host="evil.example:9100"), 421),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET /metrics\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES * 2 + b"\r\n\r\n", 431),
    ],
)
async def test_a_request_is_answered_by_its_host_path_and_method(
    tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    async with running(tmp_path, allowed_hosts=["collector.example"]) as (_, port):
        found, _, body = await asked(port, request_bytes)
        assert found == status
        assert bool(body) is (status == 200)


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port):
        status, fields, body = await asked(port, get(method="HEAD"))
        assert (status, body) == (200, "")
        assert int(fields["Content-Length"]) > 1000


async def test_clients_that_say_nothing_keep_the_others_out_no_longer_than_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.services.get_service.REQUEST_S", 0.3)
    async with running(tmp_path) as (_, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MOST + 4)]
        for reader, _ in silent:
            async with asyncio.timeout(stretched(20)):
                assert await reader.read() == b""
        monkeypatch.setattr("agent.services.get_service.REQUEST_S", 60.0)  # what is shown is that there is room for it
        assert (await asked(port, get()))[0] == 200
        for _, writer in silent:
            writer.close()


@contextlib.asynccontextmanager
async def serving_unread_answers(count: int) -> AsyncIterator[asyncio.Task[None]]:
    """A service whose clients ask and read nothing, so that a part of each answer stays in it."""
    service = MetricsService("127.0.0.1", 0, {CONTENT_TYPE: lambda: "x" * 100_000})
    work = asyncio.create_task(service.run())
    clients: list[socket.socket] = []
    try:
        await until(lambda: service.port)
        for _ in range(count):
            clients.append(client := socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            client.connect(("127.0.0.1", service.port))
            client.sendall(get())
        await until(lambda: len(connection_tasks()) == min(count, CONNECTIONS_MOST))
        yield work
    finally:
        for client in clients:
            client.close()
        work.cancel()
        await asyncio.wait([work], timeout=stretched(5))


def connection_tasks() -> list[asyncio.Task[Any]]:
    return [t for t in asyncio.all_tasks() if "_serve_connection" in repr(t.get_coro())]


async def test_clients_that_do_not_read_keep_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.services.get_service.REQUEST_S", 0.3)
    async with serving_unread_answers(CONNECTIONS_MOST + 4):
        await until(lambda: not connection_tasks())


async def test_clients_that_do_not_read_do_not_keep_the_service_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.services.get_service.REQUEST_S", 600.0)
    async with serving_unread_answers(3) as work:
        work.cancel()
        await asyncio.wait([work], timeout=stretched(20))
        assert work.cancelled()
        await until(lambda: not connection_tasks())


async def test_an_address_that_cannot_be_one_does_not_end_the_station(caplog: pytest.LogCaptureFixture) -> None:
    work = asyncio.create_task(MetricsService("a..b", 0, {CONTENT_TYPE: str}).run())
    await until(lambda: "a..b port 0" in caplog.text or work.done())
    assert not work.done(), "it would take the process along"
    work.cancel()
    await asyncio.wait([work])


async def test_a_port_that_is_taken_costs_the_metrics_and_not_the_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.services.get_service.OPEN_RETRY_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running(tmp_path, port=taken.getsockname()[1]) as (station, _):
            assert station.ready
            await until(lambda: "is another program using the port" in caplog.text)


def test_off_by_default_and_on_the_loopback_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    file = parse_station_file({"evse": [{"number": 1}]}, tmp_path / "station.toml")
    assert (file.metrics.port, file.metrics.host) == (0, "127.0.0.1")
    with pytest.raises(SettingsError, match=r"metrics.host: must be an IP address"):
        parse_station_file({"metrics": {"port": 1, "host": "eth0"}, "evse": [{"number": 1}]}, tmp_path / "s.toml")


# --- the format ------------------------------------------------------------------------------------------------------


def test_labels_of_any_text_are_escaped() -> None:
    family = MetricFamily("x", "gauge", 'a "help"\\ of\ntwo lines', ("name",))
    text = openmetrics_text([family], [MetricSample(family, ('a "b"\\c\nd',), 1.5)])
    (found,) = text_string_to_metric_families(text)
    assert found.samples[0].labels == {"name": 'a "b"\\c\nd'}
    assert found.samples[0].value == 1.5
    (older,) = plain_families(prometheus_text([family], [MetricSample(family, ('a "b"\\c\nd',), 1.5)]))
    assert (older.samples[0].labels, older.documentation) == (found.samples[0].labels, family.help)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_names_follow_the_rules_of_prometheus(family: MetricFamily) -> None:
    """Lower case with underscores, base units at the end, ``_total`` and ``_info`` for the samples alone."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
    assert not family.name.endswith(("_total", "_info", "_count"))
    assert not family.unit or family.name.endswith(f"_{family.unit}")
    assert family.unit in {"", *BASE_UNITS}
    assert family.help.endswith(".")
    if family.kind == "stateset":
        assert family.labels[-1] == family.name


# --- the dashboard ---------------------------------------------------------------------------------------------------


def dashboard_queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_each_metric_of_the_dashboard_exists() -> None:
    there = {f.sample_name for f in FAMILIES}
    used = {name for query in dashboard_queries() for name in re.findall(r"\b(?:chargy|process)_[a-z_]+", query)}
    label_names = {name for f in FAMILIES for name in f.labels}
    assert used - label_names <= there
    assert len(used) >= 12
    assert not {q for q in dashboard_queries() if "$station" not in q}


def test_the_dashboard_is_of_the_model_that_grafana_imports() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time", "refresh"} <= set(board)
    assert board["id"] is None
    variables = {v["name"] for v in board["templating"]["list"]}
    assert variables == {"datasource", "station"}
    panels = board["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & own, f"{panel['title']} lies over another panel"
        cells |= own
        assert panel["type"] in {"row", "stat", "timeseries", "state-timeline", "table", "gauge"}
        for target in panel.get("targets", ()):
            assert target["refId"]
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
