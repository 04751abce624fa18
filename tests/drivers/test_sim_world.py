"""The opened world: its wires, its derived station file, its memory."""

from __future__ import annotations

import asyncio
import io
import os
import re
import struct
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.commands.check import complaints_after_loading
from agent.model.types import Fault
from agent.station_file.settings import Device, load_station_file, parse_station_file
from drivers.sim.checked_values import Impossible, Unknown
from drivers.sim.command import station_file
from drivers.sim.faults import FAULT_NAMES
from drivers.sim.world import World
from drivers.sim.world_state import InUse, WorldStateFolder
from tests.drivers.sim_stations import TWO, released, run, station, until

ADDRESSED = """
[backend]
url = "ws://10.0.0.1"
[[backends]]
name = "service"
url = "ws://10.0.0.2"
[[reader]]
driver = "reader_nfc"
path = "usb:072f:2200"
mode = "uid"
[power]
driver = "power_sysfs"
path = "/sys/class/power_supply/mains"
hold_s = 0.5
[updater]
driver = "updater_command"
install = ["/usr/bin/install-it", "{file}"]
running = ["/usr/bin/which"]
[[evse]]
[evse.board]
driver = "evse_modbus"
map = "charx_sec"
host = "192.168.5.30"
[evse.display]
driver = "display_png"
path = "/x.png"
"""


def opened(folder: Path, speed: float = 1.0, url: str = "", **tables: Any) -> Any:
    return World.open(station(folder, **tables), speed=speed, backend_url=url, status_socket=folder / "s.sock")


async def test_derived_file_names_every_device_and_loads(tmp_path: Path) -> None:
    backend = {"url": "ws://127.0.0.1:9/ocpp", "versions": ["2.0.1", "1.6"], "password": 'q"\\ü'}
    tables = {"settings": {"ocpp2": {"TxCtrlr.EVConnectionTimeOut": "60"}, "x": 5}, "backend": backend, "evse": TWO}
    async with opened(tmp_path, **tables) as world:
        text = world.derived_station_file()
        file = parse_station_file(tomllib.loads(text), tmp_path / "elsewhere" / "derived.toml")
        assert file.station.state_dir == tmp_path / "state"
        assert file.station.status_socket == tmp_path / "s.sock"
        assert file.settings == tables["settings"]
        derived = file.backends[0]
        assert (derived.url, derived.password, derived.versions) == (backend["url"], 'q"\\ü', ("2.0.1", "1.6"))
        assert derived.via == world.devices.far_end_addresses()["road backend"]
        for evse in file.evses:
            assert "board" in evse.devices
            assert evse.devices["board"].driver == "evse_modbus"
            assert evse.devices["board"].options["point"] == evse.number
            assert evse.devices["board"].options["extra_fault_names"] == list(FAULT_NAMES)
            assert "meter" in evse.devices
            assert is_link(evse.devices["meter"].options["device"])
            assert [r.driver for r in evse.devices.of_role("reader").values()] == ["reader_nfc", "reader_serial"]
            assert "display" in evse.devices
            assert size(evse.devices["display"].options["path"]) == 800 * 480 * 2
        assert [r.driver for r in file.devices.of_role("reader").values()] == ["reader_nfc", "reader_serial"]
        assert "buttons" in file.devices
        assert file.devices["buttons"].options["keys"] == {
            "language": 2,
            "stop": 3,
            "service": 4,
            "outlet-1": 11,
            "outlet-2": 12,
        }
        assert world.devices.link_conditions() == {
            "backend": {"up": True, "latency_ms": 0.0, "kbit_s": None, "loss": 0.0, "stall": False}
        }


async def test_url_of_the_command_line_wins(tmp_path: Path) -> None:
    async with opened(tmp_path, url="ws://127.0.0.1:9", backend={"url": "ws://example.org"}) as world:
        backend = tomllib.loads(world.derived_station_file())["backend"]
        assert backend["url"] == "ws://127.0.0.1:9"
        assert backend["charge_point_id"] == "CP-1"
    async with opened(tmp_path, url="ws://127.0.0.1:9") as world:
        assert tomllib.loads(world.derived_station_file())["backend"]["url"] == "ws://127.0.0.1:9"


async def test_devices_with_addresses_are_kept(tmp_path: Path) -> None:
    tables = {
        "evse": [
            {"number": 1, "meter": {"driver": "meter_modbus", "map": "abb_b23", "line": "tcp"}},
            {"number": 2, "meter": {"driver": "meter_modbus", "map": "abb_b23", "device": "/dev/ttyS7"}},
        ],
        "board": {"driver": "evse_modbus", "map": "charx_sec", "host": "192.0.2.1"},
        "reader": [{"driver": "reader_nfc", "path": "usb"}, {"driver": "reader_serial"}],
        "display": {"driver": "display_framebuffer", "width": 320, "height": 240, "format": "XRGB8888"},
        "buttons": {"driver": "buttons_evdev", "path": "/dev/input/event0", "keys": {"language": 59}},
    }
    async with opened(tmp_path, **tables) as world:
        raw = tomllib.loads(world.derived_station_file())
        assert raw["board"] == tables["board"]
        assert raw["buttons"] == tables["buttons"]
        assert raw["reader"][0] == {"driver": "reader_nfc", "path": "usb"}
        assert is_link(raw["reader"][1]["device"])
        one, two = raw["evse"]
        assert (one["meter"]["line"], one["meter"]["host"], one["meter"]["map"]) == ("tcp", "127.0.0.1", "abb_b23")
        assert two["meter"]["device"] == "/dev/ttyS7"
        assert "board" not in one
        assert "reader" not in one
        assert "display" not in one
        assert size(raw["display"]["path"]) == 320 * 240 * 4
        assert world.devices.display_panels() == [{"evses": [1, 2]}]
        with pytest.raises(Unknown):
            world.devices.press_button("language")
        with pytest.raises(Impossible):
            world.devices.tap_contactless_card("04A1B2C3D4E5F6")


async def test_device_that_cannot_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="abb_b23"):
        async with opened(tmp_path, meter={"driver": "meter_modbus", "map": "abb_b99"}):
            pass


async def test_time_runs_and_changes_are_reported(tmp_path: Path) -> None:
    async with opened(tmp_path, speed=50) as world:
        reports: list[int] = []
        world.add_change_listener(lambda: reports.append(1))
        world.plug_in_vehicle(1, car={"max_a": 32})
        released(world, 1, 32)
        await until(lambda: world.evse_picture(1)["meter_wh"] > 20)
        assert reports
        assert world.devices.lamp_colors() == {"1": "off"}, "the lamp is the agent's, and there is none"


async def test_line_reader_and_its_silence(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        device = world.devices.far_end_addresses()["reader_serial shared"]
        fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        world.devices.tap_serial_token("Abc-1", evse=1)
        await until(lambda: _bytes(fd) == b"Abc-1\r\n")
        world.devices.tap_serial_token("lost")
        world.devices.agent_restarted()
        assert _bytes(fd) == b""
        world.set_fault_state(1, "ReaderSilent", True)
        assert not is_link(device)
        with pytest.raises(OSError):
            os.write(fd, b"x")
        os.close(fd)
        world.set_fault_state(1, "ReaderSilent", False)
        fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        world.devices.tap_serial_token("again")
        await until(lambda: _bytes(fd) == b"again\r\n")
        os.close(fd)
        for wrong in ("", "x" * 37, "a\nb", 5):
            with pytest.raises(ValueError, match="token"):
                world.devices.tap_serial_token(wrong)
        for uid in ("zz", "04", 4):
            with pytest.raises(ValueError, match="uid"):
                world.devices.tap_contactless_card(uid)


def _bytes(fd: int) -> bytes:
    try:
        return os.read(fd, 100)
    except BlockingIOError:
        return b""


async def test_buttons_write_input_records(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        fd = os.open(world.devices.far_end_addresses()["buttons"], os.O_RDONLY | os.O_NONBLOCK)
        world.devices.press_button("stop")
        records = [struct.unpack("@qqHHi", raw)[2:] for raw in _chunks(os.read(fd, 1000), 24)]
        assert records == [(1, 3, 1), (0, 0, 0), (1, 3, 0), (0, 0, 0)]
        world.devices.press_button("outlet-1")
        world.devices.agent_restarted()
        with pytest.raises(BlockingIOError):
            os.read(fd, 1)
        os.close(fd)
        with pytest.raises(Unknown, match="outlet-1"):
            world.devices.press_button("outlet-2")


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


async def test_a_display_of_the_station_shows_the_outlets_without_an_own_one(tmp_path: Path) -> None:
    own = {"driver": "display_framebuffer", "width": 320, "height": 240}
    for displays, wanted in (
        ((None, None), [[1, 2]]),
        ((own, None), [[1], [2]]),
        ((own, own), [[1], [2]]),
    ):
        evses = [{"number": n, **({"display": d} if d else {})} for n, d in enumerate(displays, 1)]
        async with opened(tmp_path, evse=evses, display={"driver": "display_framebuffer"}) as world:
            assert sorted(d["evses"] for d in world.devices.display_panels()) == wanted
            raw = tomllib.loads(world.derived_station_file())
            assert size(raw["display"]["path"]) == 800 * 480 * 2, "the agent opens it in any case"
            assert [size(e["display"]["path"]) if "display" in e else 0 for e in raw["evse"]] == [
                320 * 240 * 2 if d else 0 for d in displays
            ]


async def test_frame_buffer_becomes_png(tmp_path: Path) -> None:
    from PIL import Image

    async with opened(tmp_path) as world:
        path = world.devices.far_end_addresses()["display 1"].split(" ")[0]
        red, blue = (0xF800).to_bytes(2, "little"), (0x001F).to_bytes(2, "little")
        write(path, red * 800 * 240 + blue * 800 * 240)
        picture = Image.open(io.BytesIO(world.devices.render_display_png(1)))
        assert picture.size == (800, 480)
        assert picture.getpixel((0, 0)) == (255, 0, 0)
        assert picture.getpixel((799, 479)) == (0, 0, 255)
        with pytest.raises(Unknown):
            world.devices.render_display_png(2)


async def test_links(tmp_path: Path) -> None:
    async with opened(tmp_path, backend={"url": "ws://127.0.0.1:9"}) as world:
        world.devices.set_link_condition("backend", up=False, latency_ms=300)
        assert world.devices.link_conditions()["backend"]["up"] is False
        with pytest.raises(Unknown):
            world.devices.set_link_condition("gprs", up=False)


async def test_the_world_remembers(tmp_path: Path) -> None:
    first = {"number": 1, "plugged": True, "ev_connected": True, "ev_ready": True, "meter_wh": 5000}
    tables = {"simulation": {"evse": [first]}, "evse": TWO}
    async with opened(tmp_path, speed=100, **tables) as world:
        assert world.evse_picture(1)["meter_wh"] == 5000
        released(world)
        world.plug_in_vehicle(2, ready=False, car={"soc": 10, "profile": "single_phase"})
        world.set_fault_state(2, "DoorOpen", True)
        world.set_site_limit(13)
        await until(lambda: world.evse_picture(1)["meter_wh"] > 5020)
        energy = world.evses[1].energy_nws
    async with opened(tmp_path, **tables) as world:
        assert world.evses[1].energy_nws >= energy
        assert (world.evse_picture(1)["car"], world.evse_picture(1)["ready"], world.evse_picture(1)["contactor"]) == (
            True,
            True,
            False,
        )
        assert not world.evses[1].registers.release
        car = world.evses[2].car
        assert car is not None
        assert (car.phases, car.soc, car.ready, car.profile) == (1, 10, False, "single_phase")
        assert world.evse_picture(2)["faults"] == [Fault.DOOR_OPEN]
        assert world.max_a == 13


async def test_two_worlds_cannot_share_a_memory(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(InUse, match="state_dir"):
            async with opened(tmp_path):
                pass


def test_register_survives_a_kill_at_any_time(tmp_path: Path) -> None:
    memory = WorldStateFolder(tmp_path / "w")
    world = World(station(tmp_path), speed=100, memory=memory)
    world.plug_in_vehicle(1)
    released(world)
    run(world, 5)
    energy = world.evses[1].energy_nws
    assert energy > 0
    memory.close()  # nothing was saved in order
    again = World(station(tmp_path), memory=WorldStateFolder(tmp_path / "w"))
    assert again.evses[1].energy_nws == energy


def test_spoilt_memory_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "world.json").write_text("{nonsense")
    world = World(station(tmp_path), memory=WorldStateFolder(tmp_path / "w"))
    assert world.evse_picture(1)["car"] is False
    assert (tmp_path / "w" / "world.unreadable").exists()


async def test_fault_of_the_program_ends_the_body(tmp_path: Path) -> None:
    async def live() -> None:
        async with opened(tmp_path) as world:
            world.step = lambda: 1 / 0
            await asyncio.sleep(5)

    with pytest.raises(ZeroDivisionError):
        await live()


@pytest.mark.parametrize("path", sorted(Path("config/stations").glob("*.toml")), ids=lambda p: p.stem)
async def test_own_station_files_are_right_and_have_a_world(tmp_path: Path, path: Path) -> None:
    of_board = "this machine has no"
    assert [c for c in complaints_after_loading(load_station_file(path)) if of_board not in c] == []
    own = station_file(path)
    file = replace(own, simulation=replace(own.simulation, state_dir=tmp_path / "world"))
    async with World.open(file, backend_url="ws://127.0.0.1:9", status_socket=tmp_path / "s.sock") as world:
        derived = parse_station_file(tomllib.loads(world.derived_station_file()), tmp_path / "derived.toml")
        assert list(complaints_after_loading(derived)) == []
        assert not re.findall(r"192\.168|/dev/", world.derived_station_file()), "an address of the board's"


def test_alone_no_address_of_the_file_is_used(tmp_path: Path) -> None:
    """As a board's file is played: what has a far end here loses its address, the rest stays as it is."""
    path = tmp_path / "station.toml"
    path.write_text(ADDRESSED + "[simulation]\nalone = true\n")
    file = station_file(path)
    assert [b.url for b in file.backends] == ["", ""]
    first = file.evses[0]
    assert (first.devices["board"].driver, dict(first.devices["board"].options)) == (
        "evse_modbus",
        {"map": "charx_sec"},
    )
    assert dict(first.devices["display"].options) == {"path": "/x.png"}, "nothing here plays a display_png"
    assert [dict(r.options) for r in file.devices.of_role("reader").values()] == [{"mode": "uid"}]
    assert dict(file.devices["power"].options) == {"hold_s": 0.5}
    assert file.devices["updater"] == Device("updater_command", {"running": ["/usr/bin/which"]})
    path.write_text(ADDRESSED)
    assert station_file(path) == load_station_file(path)


async def test_dc_is_enough_to_say_of_a_simulated_outlet(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "X"\nstate_dir = "s"\n[[evse]]\nkind = "DC"\n[[evse]]\nkind = "DC"\nmax_a = 32\n')
    file = station_file(path)
    assert [(e.outlet, e.power_kw, e.max_a) for e in file.evses] == [("tethered", 150, 350), ("tethered", 150, 32)]
    async with World.open(file, backend_url="ws://127.0.0.1:9", status_socket=tmp_path / "s.sock") as world:
        derived = parse_station_file(tomllib.loads(world.derived_station_file()), tmp_path / "derived.toml")
    assert list(complaints_after_loading(derived)) == []
    assert [(e.power_kw, e.devices["board"].driver) for e in derived.evses] == [(150, "evse_everest")] * 2
    path.write_text(path.read_text() + '[board]\ndriver = "evse_modbus"\n')
    assert [e.devices.get("board") for e in station_file(path).evses] == [None, None]


def is_link(path: str) -> bool:
    return os.path.islink(path)


def size(path: str) -> int:
    return os.stat(path).st_size


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


def read(path: Path) -> str:
    return path.read_text("utf-8")


async def test_what_the_link_may_cost_and_the_metrics_reach_the_agent(tmp_path: Path) -> None:
    tables = {
        "link": {"profile": "gprs", "compression": False, "monthly_mb_soft": 4.0, "metered": ["gprs", "wifi"]},
        "metrics": {"port": 9, "allowed_hosts": ["collector"]},
    }
    given = station(tmp_path, **tables)
    async with opened(tmp_path, **tables) as world:
        file = parse_station_file(tomllib.loads(world.derived_station_file()), tmp_path / "derived.toml")
        assert (file.link, file.metrics) == (given.link, given.metrics)
        assert file.link.monthly_mb_soft == 4.0
