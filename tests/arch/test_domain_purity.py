"""The domain is pure: an event in, orders out. No handler opens a file, a socket or a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.assembly.domain_setup import wall_clock
from agent.assembly.station import Options, Station
from agent.domain.collaborators import Collaborators
from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CardPresented,
    ContactorOpened,
    Event,
    LinkChanged,
    MeterKnown,
    RawMeterReading,
    ReleaseWithdrawn,
    RequestReceived,
    Started,
    StopWanted,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.functional_block import Blocks
from agent.domain.messages import StopReason, TransactionEnded, TriggerReason
from agent.domain.orders import AuthorizeToken, Order, ReadMeter, Response
from agent.domain.requests import DeviceReportRequest, SetVariablesRequest
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.fastclass import field_specs
from agent.model.types import AuthorizationStatus, MeterIdentity, Moment, Reading, Token, Verdict
from agent.ports import zone
from agent.services.store.store import Store
from agent.station_file.settings import parse_station_file
from tests.support.certificate_authorities import Authority

STATION: dict[str, Any] = {
    "station": {"state_dir": "state"},
    "backend": {"url": "ws://127.0.0.1:9"},
    "settings": {"sign_readings": True, "sign_samples": True},
    "evse": [{"number": 1}],
}
CARD = Token("04A1B2C3")
HANDED_IN = {
    "new_id": "random numbers of the operating system; no file, cannot fail or wait",
    "max_token_length": "a figure of the link's version",
    "can_csms_settle": "a word of the version of the first link",
    "local_offset": "arithmetic on a time zone that is in memory; a station with prices has loaded it at the start",
    "count_queued_messages": "figures that the store keeps in memory",
    "count_trusted_roots": "a figure that the key store has worked out before the request",
    "count_csms_roots": "a figure that the key store has worked out before the request",
    "has_open_exchange": "a look at the links: does a CALL or a request wait for its answer?",
}
"""Functions that the composition root hands to the domain. A new one does no I/O: it becomes an order otherwise."""
OUTSIDE = ("open", "os.", "socket.", "subprocess.", "sqlite3.", "shutil.", "tempfile.", "urllib.")
IMPORTED = (".py", ".pyc", ".so")
"""A module of the domain may be loaded when it is first needed."""

_found: list[str] | None = None


def _note_audit_event(name: str, args: tuple[Any, ...]) -> None:
    if _found is None or not name.startswith(OUTSIDE) or name == "os.listdir":  # the import system lists folders
        return
    target = str(args[0]) if args else ""
    if not (target.endswith(IMPORTED) or "__pycache__" in target):
        _found.append(f"{name} {target}")


_hooked = False


@contextmanager
def audited(found: list[str]) -> Iterator[None]:
    """Collect what is done outside the process meanwhile. An audit hook cannot be removed: it is set once."""
    global _found, _hooked
    if not _hooked:
        sys.addaudithook(_note_audit_event)
        _hooked = True
    before, _found = _found, found
    try:
        yield
    finally:
        _found = before


class AuditedBlocks(Blocks):
    """The blocks of a station, with everything written down that a handler does outside the process."""

    def __init__(self, blocks: Blocks) -> None:
        self._real = blocks
        self.found: list[str] = []
        self.ordered: list[Order] = []

    def handle_event(self, event: Event, now: Moment) -> list[Order]:
        with audited(self.found):
            orders = self._real.handle_event(event, now)
        self.ordered += orders
        return orders


class Street:
    """One station, its real engine and store, and events as its devices would report them."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.blocks = station.engine._blocks = AuditedBlocks(station.engine._blocks)

    async def feed(self, *events: Event) -> None:
        for event in events:
            await self.station.engine.handle_event(event)

    async def read(self, energy_wh: int) -> None:
        """Answer the latest order to read the meter for the bill."""
        order = [o for o in self.blocks.ordered if isinstance(o, ReadMeter) and o.billing][-1]
        reading = Reading(self.station.clock.now().stamp, energy_wh)
        await self.feed(RawMeterReading(1, order.purpose, reading))

    async def charge(self) -> None:
        """Let one driver charge, from the plug to the bill."""
        state = EvseState(Pilot.A, pwm=False, contactor=False)
        await self.feed(Started({}), BoardOpened(1, state, EvseTraits()))
        await self.feed(LinkChanged(self.station.file.backends[0].name, True), ReleaseWithdrawn(1))
        await self.feed(MeterKnown(1, MeterIdentity("Eastron", "SDM630-MID", "1", "1", 1.0, ("B",))))
        await self.feed(CablePlugged(1), VehicleConnected(1), CardPresented(1, CARD))
        [asked] = [o for o in self.blocks.ordered if isinstance(o, AuthorizeToken)]
        await self.feed(TokenAuthorized(asked.request, CARD, Verdict(AuthorizationStatus.ACCEPTED)))
        await self.read(1000)
        await self.feed(StopWanted(1, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, CARD))
        await self.feed(ReleaseWithdrawn(1), ContactorOpened(1), VehicleLeft(1))
        await self.read(1000)


async def test_a_session_with_signed_records_does_no_io_in_the_domain(tmp_path: Path) -> None:
    """The first record made the station's key file, inside a call of the domain."""
    file = parse_station_file(STATION, tmp_path / "station.toml")
    store = await Store.open(file.station.state_dir / "agent.db", file.station.store_max_mb)
    try:
        station = Station(file, Options(), store, {})
        street = Street(station)
        await street.charge()
        rows = await store.oldest_rows(file.backends[0].name, 100)
        [end] = [r.message for r in rows if isinstance(r.message, TransactionEnded)]
        facts = await store.read_facts()
    finally:
        await store.close()
    assert end.signed is not None
    assert (file.station.state_dir / "ocmf.key").exists()
    assert facts["ocmf"] == {"made": {"number": 2}}, "stored with the message that carries it"
    assert street.blocks.found == []


async def test_roots_are_counted_before_a_request_that_needs_them(tmp_path: Path) -> None:
    """The domain read the root certificates from the disk, inside the call that answers the request."""
    root = Authority(tmp_path).root
    backend = {**STATION["backend"], "ca": str(root), "password": "x" * 16, "security_profile": 1}
    file = parse_station_file({**STATION, "backend": backend}, tmp_path / "station.toml")
    store = await Store.open(file.station.state_dir / "agent.db", file.station.store_max_mb)
    link = file.backends[0].name
    try:
        street = Street(Station(file, Options(), store, {}))
        await street.feed(Started({}), LinkChanged(link, True))
        root.rename(tmp_path / "elsewhere")
        await street.feed(RequestReceived(link, "r1", SetVariablesRequest({"security_profile": "2"})))
        (tmp_path / "elsewhere").rename(root)  # by hand, while the station runs
        await street.feed(RequestReceived(link, "r2", SetVariablesRequest({"security_profile": "2"})))
        await street.feed(RequestReceived(link, "r3", DeviceReportRequest()))
    finally:
        await store.close()
    first, second, report = [o for o in street.blocks.ordered if isinstance(o, Response)]
    assert [first.data, second.data] == [{"security_profile": "Rejected"}, {"security_profile": "Accepted"}]
    assert report.data["evses"][0]["certificates"] == 1
    assert street.blocks.found == []


def test_a_station_with_prices_has_loaded_its_time_zone(tmp_path: Path) -> None:
    zone._zone_or_none.cache_clear()
    ZoneInfo.clear_cache()
    priced = {**STATION, "tariff": {"currency": "EUR", "vat_percent": 17, "energy_per_kwh": "0.40"}}
    wall_time = wall_clock(parse_station_file(priced, tmp_path / "station.toml"))
    found: list[str] = []
    with audited(found):
        assert wall_time(1_800_000_000.0).offset_min == 60
    assert found == []


def test_io_is_found(tmp_path: Path) -> None:
    found: list[str] = []
    with audited(found):
        (tmp_path / "ocmf.key").write_text("a key")
    assert found == [f"open {tmp_path / 'ocmf.key'}"]


async def test_functions_from_outside_are_known(tmp_path: Path) -> None:
    file = parse_station_file(STATION, tmp_path / "station.toml")
    store = await Store.open(file.station.state_dir / "agent.db", file.station.store_max_mb)
    try:
        site = Station(file, Options(), store, {}).site
    finally:
        await store.close()
    assert set(field_specs(Collaborators)) == set(HANDED_IN)
    values = {name: getattr(site, name) for name in field_specs(type(site))}
    outside = {n for n, v in values.items() if callable(v) and not str(v.__module__).startswith("agent.domain.")}
    assert outside == set(), "it belongs to Collaborators"
