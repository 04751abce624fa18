"""The simulated bearers below the production drivers: a modem with every fault of the control API, and the ways of the
data. The programs in the place of pppd are real processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.model.bearer import ApnAccess, BearerState, BearerStatus, Registration, SimState
from agent.model.pin_mark import make_pin_mark
from agent.ports import Refused, Unreachable
from agent.ports.bearer import ApnPort, BearerPort, PinNotPresented
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import StationFile, parse_station_file
from drivers.lan_static import DRIVER as LAN_DRIVER
from drivers.lan_static.settings import InterfaceSettings
from drivers.modem_at import DRIVER
from drivers.modem_at import modem as modem_module
from drivers.modem_at.settings import ModemSettings
from drivers.sim.bearers import BearerFarEnds
from drivers.sim.derived_file import Table, without_addresses
from drivers.sim.evse import Evse
from drivers.sim.installation import Installation
from drivers.sim.link_proxy import LinkProxy
from drivers.sim.mains import Mains
from drivers.sim.modem_far_end import EVENTS, MODEM_FAULTS, ModemFarEnd
from tests.support.busy_machine import deadline, stretched

PIN = "4711"
MARK = make_pin_mark(PIN)
OWN_KEYS = ("driver", "kind", "via", "iccid")
NO_EVSES: dict[int, Evse] = {}


def station(folder: Path, **modem: str) -> StationFile:
    table = {"driver": "modem_at", "kind": "gprs", "pin": PIN, "apn": "chargy.m2m", "auth": "chap", **modem}
    lan = {"driver": "lan_static", "kind": "lan"}
    return parse_station_file({"evse": [{"number": 1}], "bearer": [lan, table]}, folder / "station.toml")


class Bench:
    """``tables``: those of the derived station file."""

    def __init__(self, folder: Path, far_ends: BearerFarEnds, tables: list[Table], backend: LinkProxy) -> None:
        self.folder, self.far_ends, self.tables, self.backend = folder, far_ends, tables, backend

    @property
    def modem(self) -> ModemFarEnd:
        return self.far_ends.modems["gprs"]

    @asynccontextmanager
    async def open_modem(self, *without: str) -> AsyncIterator[BearerPort]:
        """Open the modem. ``without``: keys of its table that are left out."""
        left_out = (*OWN_KEYS, *without)
        keys = {k: tuple(v) if isinstance(v, list) else v for k, v in self.tables[1].items() if k not in left_out}
        patience = {"answer_s": 0.5, "register_s": 0.5, "connect_s": min(60.0, stretched(10.0))}
        settings = ModemSettings(**{**keys, **patience})
        where = Where(0, "bearer", lambda: (1, 0.0), (), StationFacts(state_dir=self.folder))
        async with DRIVER.open(settings, where) as port:
            yield port

    async def until(self, port: BearerPort, words: str = "", sim: SimState | None = None) -> BearerStatus:
        """Wait for this reason, or for a bearer that is up."""
        async with deadline(30):
            while True:
                self.far_ends.follow_conditions()
                status = await port.read_status()
                if words in status.reason if words else status.is_up:
                    assert sim in (None, status.sim)
                    return status
                await asyncio.sleep(0.05)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened(tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(folder: Path, **modem: str) -> AsyncIterator[Bench]:
    place = Installation(station(folder, **modem), NO_EVSES, Mains(1), folder)
    far_ends = BearerFarEnds(place)
    async with echoing() as backend:
        await far_ends.open(backend)
        yield Bench(folder, far_ends, place.tables.station["bearer"], backend)
        far_ends.close()
        for proxy in far_ends.proxies.values():
            await proxy.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[LinkProxy]:
    """The way to a backend that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        proxy = LinkProxy("127.0.0.1", server.sockets[0].getsockname()[1])
        await proxy.start()
        yield proxy
        await proxy.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modem_module, "GUARD_S", 0.05)
    monkeypatch.setattr(modem_module, "POLL_S", 0.05)


async def connected(bench: Bench, port: BearerPort) -> BearerStatus:
    if (await port.read_status()).sim is SimState.PIN_REQUIRED:
        await port.unlock_sim(MARK)
    await port.bring_up()
    return await bench.until(port)


async def test_it_connects_and_its_signal_is_known_meanwhile(bench: Bench) -> None:
    async with bench.open_modem() as port:
        assert not bench.modem.is_connected
        status = await connected(bench, port)
        assert (status.interface, status.address, status.signal_dbm) == ("lo", "127.0.0.1", -79)
        assert bench.modem.describe_modem()["connected"] is True
        bench.modem.set_radio_signal(5)
        assert (await port.read_status()).signal_dbm == -103
        await port.take_down()
        assert (await port.read_status()).state is BearerState.DOWN
    async with deadline(10):
        while bench.modem.is_connected:  # pppd has hung up
            await asyncio.sleep(0.05)


LOST = {
    "no_sim": ("SIM: missing", SimState.MISSING),
    "puk": ("SIM: PUK required", SimState.PUK_REQUIRED),
    "wrong_pin": ("SIM: PIN required", SimState.PIN_REQUIRED),
    "denied": ("refuses the SIM", SimState.READY),
    "searching": ("not registered in the network (searching)", SimState.READY),
    "detach": ("not registered in the network (searching)", SimState.READY),
    "no_signal": ("no signal", SimState.READY),
    "hang": ("no answer", SimState.NOT_USED),
    "garbage": ("no answer", SimState.NOT_USED),
    "wrong_baud": ("check baud", SimState.NOT_USED),
    "brown_out": ("SIM: PIN required", SimState.PIN_REQUIRED),
}
COMMANDS_ONLY = ("garbage", "wrong_baud")
"""They spoil the line for commands: a connection over the other line lasts."""
AT_THE_CALL = {
    "wrong_apn": "unknown APN",
    "no_carrier": "PDP activation failed",
    "auth_refused": "refuses user or password",
    "ipcp_refused": "agreed to no PPP",
}
HARMLESS = ("unasked", "pieces")
OTHERS = ("vanish", "other_sim", "busy", "refuses_all", "pin_busy", "no_numbers", "no_tries", "cops_fails")


def test_each_fault_of_the_control_api_is_tested_here() -> None:
    """The last ones of ``OTHERS`` are tested with the driver (``test_modem_at.py``)."""
    assert sorted([*LOST, *AT_THE_CALL, *HARMLESS, *OTHERS]) == sorted(MODEM_FAULTS)


@pytest.mark.parametrize("fault", LOST)
async def test_a_fault_ends_the_connection_and_its_end_lets_it_come_back(bench: Bench, fault: str) -> None:
    words, sim = LOST[fault]
    async with bench.open_modem() as port:
        await connected(bench, port)
        bench.modem.set_modem_fault(fault, True)
        if fault in COMMANDS_ONLY:
            assert (await port.read_status()).is_up
            await port.take_down()
        await bench.until(port, words, sim)
        bench.modem.set_modem_fault(fault, False)
        if fault not in EVENTS:
            assert bench.modem.describe_modem()["faults"] == []
        await port.take_down()
        await connected(bench, port)


@pytest.mark.parametrize("without", [(), ("data_device",)], ids=["two lines", "one line"])
async def test_a_modem_that_hung_when_its_connection_ended_is_taken_out_of_data_mode(
    bench: Bench, without: tuple[str, ...]
) -> None:
    async with bench.open_modem(*without) as port:
        assert isinstance(port, modem_module.Modem)
        await connected(bench, port)
        bench.modem.set_modem_fault("hang", True)
        await bench.until(port, "no answer")
        async with deadline(30):
            while port._ppp.is_running:  # its last word is lost
                await asyncio.sleep(0.05)
        await port.read_status()
        bench.modem.set_modem_fault("hang", False)
        await connected(bench, port)


@pytest.mark.parametrize("fault", AT_THE_CALL)
async def test_a_call_that_fails_says_why(bench: Bench, fault: str) -> None:
    bench.modem.set_modem_fault(fault, True)
    async with bench.open_modem() as port:
        with pytest.raises(Refused, match=AT_THE_CALL[fault]):
            await connected(bench, port)
        assert bench.modem.describe_modem()["faults"] == [fault]
        bench.modem.set_modem_fault(fault, False)
        await connected(bench, port)


@pytest.mark.parametrize("fault", HARMLESS)
async def test_what_a_driver_must_bear(bench: Bench, fault: str) -> None:
    bench.modem.set_modem_fault(fault, True)
    async with bench.open_modem() as port:
        await connected(bench, port)


async def test_the_network_knows_one_apn(tmp_path: Path) -> None:
    async with opened(tmp_path, apn="old.m2m") as bench, bench.open_modem() as port:
        bench.modem.set_network_rules(apns=["new.m2m"])
        with pytest.raises(Refused, match="unknown APN"):
            await connected(bench, port)
        bench.modem.set_network_rules(apns=None)
        await connected(bench, port)
        assert bench.modem.describe_modem()["apn"] == "old.m2m"


async def test_a_network_profile_has_its_own_apn_login_and_operator(bench: Bench) -> None:
    """And the station file's are back when it is taken back."""
    network = bench.modem.set_network_rules
    async with bench.open_modem() as port:
        assert isinstance(port, ApnPort)
        await connected(bench, port)
        network(apns=["new.m2m"], login=["user", "secret"])
        await port.take_down()
        with pytest.raises(Refused, match="unknown APN"):
            await connected(bench, port)
        await port.use_apn_access(ApnAccess("new.m2m", "user", "wrong", "pap"))
        with pytest.raises(Refused, match="refuses user or password"):
            await connected(bench, port)
        await port.use_apn_access(ApnAccess("new.m2m", "user", "secret", "auto", network="27001", is_network_only=True))
        await connected(bench, port)
        assert (bench.modem.describe_modem()["apn"], bench.modem.chosen_operator) == ("new.m2m", "27001")
        await port.take_down()
        await port.use_apn_access(ApnAccess("new.m2m", network="20404", is_network_only=True))
        with pytest.raises(Refused, match="no network"):
            await connected(bench, port)
        await port.use_apn_access(None)
        network(apns=["chargy.m2m"], login=None)
        await connected(bench, port)
        assert (bench.modem.describe_modem()["apn"], bench.modem.chosen_operator) == ("chargy.m2m", "")


async def test_the_pin_of_a_network_profile_unlocks_the_sim(bench: Bench) -> None:
    bench.modem.set_modem_fault("wrong_pin", True)
    async with bench.open_modem() as port:
        assert isinstance(port, ApnPort)
        with pytest.raises(Refused, match="does not accept the PIN"):
            await port.unlock_sim(MARK)
        with pytest.raises(PinNotPresented):
            await port.unlock_sim(MARK)
        await port.use_apn_access(ApnAccess("chargy.m2m", auth="chap", pin="0000"))
        with pytest.raises(PinNotPresented, match="is another one"):
            await port.unlock_sim(MARK)
        await port.unlock_sim(make_pin_mark("0000"))
        assert (await port.read_status()).sim is SimState.READY


async def test_a_modem_that_vanishes_takes_the_connection_with_it(bench: Bench) -> None:
    async with bench.open_modem() as port:
        await connected(bench, port)
        bench.modem.set_modem_fault("vanish", True)
        with pytest.raises(Unreachable):
            async with deadline(10):
                while True:
                    await port.read_status()
    assert not bench.modem.is_connected
    bench.modem.set_modem_fault("vanish", False)
    async with bench.open_modem() as port:
        await connected(bench, port)


async def test_another_sim_has_other_numbers(bench: Bench) -> None:
    async with bench.open_modem() as port:
        before = await connected(bench, port)
        bench.modem.set_modem_fault("other_sim", True)
        await bench.until(port, "PIN required")
        await port.unlock_sim(MARK)
        after = await port.read_status()
        assert after.sim is SimState.READY
        assert (after.iccid, after.imsi) != (before.iccid, before.imsi)


async def test_a_wrong_pin_costs_one_try_and_another_sim_has_all(bench: Bench) -> None:
    bench.modem.set_modem_fault("wrong_pin", True)
    async with bench.open_modem() as port:
        assert (await port.read_status()).sim is SimState.PIN_REQUIRED
        with pytest.raises(Refused, match="does not accept the PIN"):
            await port.unlock_sim(MARK)
        assert bench.modem.describe_modem()["pin_tries"] == 2
        bench.modem.set_modem_fault("wrong_pin", False)
        assert bench.modem.describe_modem()["pin_tries"] == 3


async def talk(port: int) -> bytes:
    """What comes back over a link proxy; nothing if it refuses or breaks the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return b""
    try:
        writer.write(b"hello")
        return await reader.read(5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_bearer_carries_data_only_while_it_is_connected(bench: Bench) -> None:
    port = bench.far_ends.proxies["gprs"].port
    assert bench.tables[1]["via"] == f"127.0.0.1:{port}"
    assert await talk(port) == b""
    async with bench.open_modem() as modem:
        await connected(bench, modem)
        assert await talk(port) == b"hello"
        bench.far_ends.follow_conditions()
        status = await modem.read_status()
        assert (status.sent_bytes, status.received_bytes) == (5, 5)
        bench.far_ends.proxies["gprs"].set_condition(up=False)
        assert await talk(port) == b""
        await bench.until(modem, "not registered")
        assert (await modem.read_status()).registration is Registration.SEARCHING
        bench.far_ends.proxies["gprs"].set_condition(up=True)
        bench.far_ends.follow_conditions()
        await modem.take_down()
        await connected(bench, modem)
        assert await talk(port) == b"hello"


async def test_lan_has_a_carrier_until_it_is_cut(bench: Bench) -> None:
    proxy, table = bench.far_ends.proxies["lan"], bench.tables[0]
    settings = InterfaceSettings(table["interface"], table["network_folder"])
    where = Where(0, "bearer", lambda: (1, 0.0), (), StationFacts(state_dir=bench.folder))
    assert LAN_DRIVER.check(settings, where) == []
    async with LAN_DRIVER.open(settings, where) as port:
        assert await talk(proxy.port) == b"hello"
        bench.far_ends.follow_conditions()
        assert await port.read_status() == BearerStatus(
            BearerState.UP, "", "lo", "127.0.0.1", received_bytes=5, sent_bytes=5
        )
        proxy.set_condition(up=False)
        bench.far_ends.follow_conditions()
        assert (await port.read_status()).reason == "no carrier: check the cable or the radio"
        assert await talk(proxy.port) == b""


async def test_a_probe_finds_what_the_network_leads_to(bench: Bench) -> None:
    """A network that swallows everything answers no opening; a backend that is not there refuses it."""
    lan = bench.far_ends.proxies["lan"]
    for proxy in (lan, bench.backend):
        proxy.set_condition(stall=True)
        bench.far_ends.follow_conditions()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.open_connection("127.0.0.1", lan.port)
        proxy.set_condition(stall=False)
        bench.far_ends.follow_conditions()
        assert await talk(lan.port) == b"hello"
    bench.backend.set_condition(up=False)
    bench.far_ends.follow_conditions()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", lan.port)
    bench.backend.set_condition(up=True)
    bench.backend.target = ("127.0.0.1", 9)
    bench.far_ends.follow_conditions()
    assert await talk(lan.port) == b"", "the first attempt finds out that there is no backend"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", lan.port)


async def test_a_backend_that_is_there_again_is_found(bench: Bench) -> None:
    lan, there = bench.far_ends.proxies["lan"], bench.backend.target
    bench.backend.target = ("127.0.0.1", 9)
    assert await talk(lan.port) == b""
    bench.backend.target = there
    async with deadline(10):
        while bench.backend.trouble:
            await asyncio.sleep(0.05)
    assert await talk(lan.port) == b"hello"


async def test_a_second_modem_has_a_link_of_its_own(tmp_path: Path) -> None:
    tables = [{"driver": "modem_at", "kind": "gprs", "device": f"/dev/ttyUSB{n}"} for n in (2, 5)]
    file = parse_station_file({"evse": [{"number": 1}], "bearer": tables}, tmp_path / "station.toml")
    file = without_addresses(file)  # as of a station file with "alone"
    far_ends = BearerFarEnds(Installation(file, NO_EVSES, Mains(1), tmp_path))
    await far_ends.open(LinkProxy("127.0.0.1", 9))
    assert list(far_ends.proxies) == list(far_ends.modems) == ["gprs", "gprs2"]
    far_ends.close()
    for proxy in far_ends.proxies.values():
        await proxy.close()


async def test_a_bearer_with_an_address_is_left_as_it_is(tmp_path: Path) -> None:
    raw = {"driver": "lan_static", "kind": "lan", "interface": "eth7"}
    file = parse_station_file({"evse": [{"number": 1}], "bearer": [raw]}, tmp_path / "station.toml")
    place = Installation(file, NO_EVSES, Mains(1), tmp_path)
    far_ends = BearerFarEnds(place)
    await far_ends.open(LinkProxy("127.0.0.1", 9))
    assert (far_ends.proxies, place.tables.station["bearer"]) == ({}, [raw])


async def test_an_interface_that_is_removed_meanwhile_does_not_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in of pppd, another program, removes it between a look and the writing."""
    proxy = bench.far_ends.proxies["gprs"]
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    proxy.show_interface(None)
    monkeypatch.undo()
    assert not (proxy.network_folder / "lo").exists()
