"""No station file that ``check`` calls good fails in ``run`` for its content: values are drawn from the rules of the
keys, at their edges above all, and a station whose file is called good runs against its simulated devices."""

from __future__ import annotations

import asyncio
import copy
import tempfile
import tomllib
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.assembly.station import Options, Station
from agent.commands import check
from agent.domain.variables import VARIABLES, Variable
from agent.model.key_rules import Between, Entries, OneOf, Text, key_type, split_type_and_rules
from agent.model.toml_text import format_document
from agent.ports import Broken, DeviceError
from agent.services.devices.supervisor import DeviceSupervisor
from agent.services.store.store import Store
from agent.station_file import payment, receipts, tariff
from agent.station_file import tables as station_tables
from agent.station_file.settings import load_station_file
from drivers.sim.command import station_file
from drivers.sim.world import World
from tests.support.busy_machine import stretched
from tests.support.simulated_station import CAMPAIGN

BASE = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
url = "ws://127.0.0.1:9"
[web_payment]
dynamic = true
[settings]
cost_display = true
[tariff]
kwh = 0.45
[payment]
amount_cents = 6000
[terminal]
driver = "terminal_payter"
[power]
driver = "power_sysfs"
[buzzer]
driver = "buzzer_evdev"
[[evse]]
number = 1
[[evse]]
number = 2
kind = "DC"
[simulation]
port = 0
"""
MORE = """
[[backends]]
name = "service"
url = "ws://127.0.0.1:9"
calls = ["Reset"]
[[sinks]]
name = "alerts"
path = "alerts.jsonl"
[[sinks]]
name = "broker"
kind = "mqtt"
host = "127.0.0.1"
[link]
[metrics]
[energy_manager]
driver = "limit_modbus"
host = "127.0.0.1"
port = 9
register = 4096
[updater]
driver = "updater_command"
install = ["/bin/true", "{file}"]
running = ["/bin/echo", "good"]
commit = ["/bin/true"]
reboot = ["/bin/true"]
[payment.receipts]
seller = "Energy SA"
vat_number = "LU12345678"
address = ["L-1000 Luxembourg"]
"""
"""What the simulation has no device for: nothing listens there, which is no fault of the content."""
SETTINGS = {e.name: e.load().settings for e in entry_points(group="chargy_agent.drivers")}
KEPT = set(
    """
    number charge_point_id_in_url subprotocol_echo state_dir status_socket config_dir id via url host port device path
    driver map unit point board meter reader display terminal lamp tariff phases kind keys fields install running commit
    reboot serial extra_fault_names extra_fault_base green red blue yellow folder
    """.split()  # noqa: SIM905
)
"""Which device it is and where, and how the parts of the file belong together: no other device could answer."""


def values(hint: Any) -> st.SearchStrategy[Any] | None:
    """Of one key: at the edges of its rule, within it, and sometimes beyond; None: it has no values of its own."""
    base, rules = split_type_and_rules(hint)
    if base is bool:
        return st.booleans()
    if get_origin(base) is tuple:
        inner = values(get_args(base)[0])
        most = next((r.most for r in rules if isinstance(r, Entries)), 3)
        return None if inner is None else st.lists(inner, max_size=min(most, 3))
    for rule in rules:
        if isinstance(rule, OneOf):
            return st.sampled_from(rule.choices)
        if isinstance(rule, Between):
            edges = [rule.low, rule.high, rule.low - 1, rule.high + 1]
            within = st.integers(int(rule.low), int(rule.high)) if base is int else st.floats(rule.low, rule.high)
            return st.sampled_from(edges).map(base) | within | within
        if isinstance(rule, Text):
            form = st.from_regex(rule.form, fullmatch=True) if rule.form else st.text(st.characters(codec="utf-8"))
            return form.filter(lambda s: len(s) < 600) | st.sampled_from(["", "x", "x" * rule.longest])
        if isinstance(rule, tariff.Amount):
            return st.sampled_from([0, 0.01, 1, "0.5", 60, 999_999, -1])
    return None


def of_setting(v: Variable) -> st.SearchStrategy[Any]:
    if v.kind == "bool":
        return st.booleans()
    if v.kind == "int":
        return st.sampled_from([v.low, v.high, v.low - 1, v.high + 1]) | st.integers(v.low, v.high)
    known = st.sampled_from(v.choices) if v.choices else st.from_regex(v.pattern or r"[a-z]{0,8}", fullmatch=True)
    return st.lists(known, max_size=3) if v.kind == "list" else known


def edits_of(path: tuple[Any, ...], cls: type[Any]) -> list[st.SearchStrategy[Any]]:
    drawn = {f.name: values(key_type(cls, f)) for f in fields(cls) if f.name not in KEPT}
    return [st.tuples(st.just((*path, name)), value) for name, value in drawn.items() if value is not None]


def edits_in(raw: dict[str, Any]) -> st.SearchStrategy[Any]:
    tables: dict[tuple[Any, ...], type[Any]] = {
        ("station",): station_tables.Station, ("backend",): station_tables.Backend,
        ("web_payment",): station_tables.WebPayment, ("tariff",): tariff.TariffTable,
        ("payment",): payment.PaymentTable, ("payment", "receipts"): receipts.ReceiptTable,
        ("backends", 0): station_tables.Backend, ("sinks", 0): station_tables.SinkTable,
        ("sinks", 1): station_tables.SinkTable, ("link",): station_tables.LinkKeys,
        ("metrics",): station_tables.MetricsKeys, ("energy_manager",): station_tables.EnergyManagerKeys,
        ("evse", 0): station_tables.Evse, ("evse", 1): station_tables.Evse,
    }  # fmt: skip
    for place in [("terminal",), ("power",), ("buzzer",), ("buttons",)]:
        if place[0] in raw:
            tables[place] = SETTINGS[raw[place[0]]["driver"]]
    choices = [st.one_of(edits_of(("energy_manager",), SETTINGS["limit_modbus"]))]
    choices.append(st.one_of(edits_of(("updater",), SETTINGS["updater_command"])))
    for n, evse in enumerate(raw["evse"]):
        for role in ("board", "meter", "display", "lamp"):
            if role in evse:
                tables["evse", n, role] = SETTINGS[evse[role]["driver"]]
    for n, reader in enumerate(raw.get("reader", ())):
        tables["reader", n] = SETTINGS[reader["driver"]]
    # a table is chosen first: one with many keys is not edited more often than one with few
    choices += [st.one_of(edits_of(path, cls)) for path, cls in tables.items()]
    choices += [st.one_of([st.tuples(st.just(("settings", v.name)), of_setting(v)) for v in VARIABLES.values()])] * 2
    return st.lists(st.one_of(choices), min_size=1, max_size=4)


def edited(raw: dict[str, Any], edits: list[tuple[tuple[Any, ...], Any]]) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    for path, value in edits:
        table = raw
        for step in path[:-1]:
            table = table[step] if isinstance(step, int) else table.setdefault(step, {})
        table[path[-1]] = value
    return raw


async def run_of(path: Path, seconds: float) -> list[DeviceError]:
    """What goes wrong for the content of the file while a station runs with it. An exception of ``run`` is raised."""
    broken: list[DeviceError] = []
    failed = DeviceSupervisor._on_failure

    async def noted(self: DeviceSupervisor, error: DeviceError) -> None:
        if isinstance(error, Broken):
            broken.append(error)
        await failed(self, error)

    DeviceSupervisor._on_failure = noted  # type: ignore[method-assign]
    file = load_station_file(path)
    store = await Store.open(file.station.state_dir / "agent.db", file.station.store_max_mb)
    try:
        station = Station(file, Options(), store, await store.read_facts())
        task = asyncio.create_task(station.run())
        until = asyncio.get_running_loop().time() + seconds
        while not station.ready and not task.done() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)
        if task.done():
            raise AssertionError(f"it ended with {task.result()}")
        station._request_exit(0)
        assert await asyncio.wait_for(task, stretched(60)) == 0
    finally:
        DeviceSupervisor._on_failure = failed  # type: ignore[method-assign]
        await store.close()
    return broken


def world_of(path: Path) -> AbstractAsyncContextManager[World]:
    return World.open(station_file(path), status_socket=path.with_name("s"), backend_url="ws://127.0.0.1:9")


def with_more_tables(raw: dict[str, Any]) -> dict[str, Any]:
    more = tomllib.loads(MORE)
    return {**raw, **more, "payment": {**raw["payment"], **more["payment"]}}


async def example(folder: Path, data: st.DataObject) -> bool:
    """Was the file called good?"""
    base = folder / "station.toml"
    base.write_text(BASE, "utf-8")
    async with world_of(base) as world:
        raw = with_more_tables(tomllib.loads(world.derived_station_file()))
        edits = data.draw(edits_in(raw))
        path = folder / "edited.toml"
        path.write_text(format_document(edited(raw, edits)), "utf-8")
        _, problems = check.check_station_file(path)
        if problems:
            return False
        assert await run_of(path, 5.0) == [], edits
        return True


GOOD: list[bool] = []
"""Of each example: was it called good?"""


@pytest.mark.campaign
@settings(
    max_examples=400 if CAMPAIGN else 12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not CAMPAIGN,
)
@given(st.data())
def test_what_check_calls_good_runs(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(prefix="chargy-") as folder:
        GOOD.append(asyncio.run(example(Path(folder), data)))


def test_enough_of_them_were_called_good() -> None:
    """Otherwise nothing was shown."""
    assert not GOOD or sum(GOOD) >= len(GOOD) / 5


def test_the_base_itself_is_good_and_runs(tmp_path: Path) -> None:
    async def base() -> None:
        path = tmp_path / "station.toml"
        path.write_text(BASE, "utf-8")
        async with World.open(
            station_file(path), status_socket=tmp_path / "s", backend_url="ws://127.0.0.1:9"
        ) as world:
            derived = tmp_path / "derived.toml"
            raw = with_more_tables(tomllib.loads(world.derived_station_file()))
            derived.write_text(format_document(raw), "utf-8")
            assert check.check_station_file(derived)[1] == []
            assert await run_of(derived, 20.0) == []

    asyncio.run(base())
