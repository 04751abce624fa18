"""Several stations of one command: what copies of a file are called, and where each keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.station_file.settings import SettingsError, StationFile
from drivers.sim import command
from drivers.sim.runner import Unusable, run_stations
from drivers.sim.station_copies import MOST_COPIES, count_up_name, own_path

FILE = """
[station]
id = "CP-09"
number = "0999"
serial = "SN"
[metrics]
port = 9100
[[backends]]
name = "one"
url = "ws://127.0.0.1:9"
charge_point_id = "CP-09"
[[backends]]
name = "two"
url = "http://127.0.0.1:9"
charge_point_id = "other"
versions = ["1.6"]
soap_port = 8090
[[evse]]
"""


def files_of(folder: Path, text: str = FILE, count: int = 3, ids: str | None = None) -> list[StationFile]:
    path = folder / "station.toml"
    path.write_text(text, "utf-8")
    return command.station_files([path], count, ids)


@pytest.mark.parametrize(
    ("name", "steps", "counted"),
    [
        ("CP-1", 0, "CP-1"),
        ("CP-1", 1, "CP-2"),
        ("CP-09", 1, "CP-10"),
        ("CP-9", 1, "CP-10"),
        ("0042", 2, "0044"),
        ("CHARGY", 0, "CHARGY"),
        ("CHARGY", 1, "CHARGY-2"),
        ("LU*1*x", 2, "LU*1*x-3"),
        ("", 2, ""),
    ],
)
def test_names_count_up(name: str, steps: int, counted: str) -> None:
    assert count_up_name(name, steps) == counted


@given(name=st.from_regex(r"[A-Za-z0-9*_=:+|@.-]{1,12}", fullmatch=True), count=st.integers(2, MOST_COPIES))
def test_no_two_copies_have_the_same_name(name: str, count: int) -> None:
    assert len({count_up_name(name, steps) for steps in range(count)}) == count


def test_all_that_identifies_a_station_counts_up(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    assert [f.station.id for f in files] == ["CP-09", "CP-10", "CP-11"]
    assert [f.station.number for f in files] == ["0999", "1000", "1001"]
    assert [f.station.serial for f in files] == ["SN", "SN-2", "SN-3"]
    assert [[b.charge_point_id for b in f.backends] for f in files] == [
        ["CP-09", "other"], ["CP-10", "other-2"], ["CP-11", "other-3"],
    ]  # fmt: skip
    assert [(f.metrics.port, f.field_page.port, f.backends[1].soap_port) for f in files] == [
        (9100, 0, 8090), (9101, 0, 8091), (9102, 0, 8092),
    ]  # fmt: skip
    assert len({f.simulation.seed for f in files}) == 3


RECEIPTS = """
[payment]
[payment.receipts]
port = 8085
"""


def test_the_ports_of_receipts_count_up(tmp_path: Path) -> None:
    files = files_of(tmp_path, FILE + RECEIPTS)
    assert [f.payment["receipts"]["port"] for f in files] == [8085, 8086, 8087]
    (off, also) = files_of(tmp_path, FILE + RECEIPTS.replace("8085", "0"), count=2)
    assert off.payment["receipts"]["port"] == also.payment["receipts"]["port"] == 0


@pytest.mark.parametrize(
    "text",
    [
        FILE + RECEIPTS.replace("8085", "65534"),
        FILE.replace("9100", "65534"),
        FILE.replace("8090", "65534"),
    ],
)
def test_a_port_that_there_is_not_is_reported_at_once(tmp_path: Path, text: str) -> None:
    assert len(files_of(tmp_path, text, count=2)) == 2
    with pytest.raises(SettingsError, match="the ports count up from 65534, and 65536 is above 65535"):
        files_of(tmp_path, text)


@pytest.mark.parametrize("table", ["master", 'satellite]\nmaster = "127.0.0.1:8740"\n#'])
def test_a_station_of_a_shared_terminal_is_not_copied(tmp_path: Path, table: str) -> None:
    text = FILE.replace("[[evse]]", f'[payment.{table}]\ncertificate = "a.crt"\nca = "ca.crt"\n[[evse]]')
    assert len(files_of(tmp_path, text, count=1)) == 1
    with pytest.raises(SettingsError, match="makes no copies of a file with"):
        files_of(tmp_path, text, count=2)


def test_the_first_id_may_be_given(tmp_path: Path) -> None:
    files = files_of(tmp_path, count=2, ids="LUX-001")
    assert [f.station.id for f in files] == ["LUX-001", "LUX-002"]
    assert [f.backends[0].charge_point_id for f in files] == ["LUX-001", "LUX-002"]


def test_each_copy_has_folders_of_its_own(tmp_path: Path) -> None:
    files = files_of(tmp_path, count=2)
    assert [f.simulation.state_dir for f in files] == [tmp_path / "world-CP-09", tmp_path / "world-CP-10"]
    assert [f.station.state_dir for f in files] == [tmp_path / "state-CP-09", tmp_path / "state-CP-10"]


def test_files_keep_the_folder_that_only_they_have_in_whatever_order_they_come(tmp_path: Path) -> None:
    for name, folder in (("a", "world"), ("b", "world"), ("c", "elsewhere")):
        text = (
            f'[station]\nid = "{name}"\nstate_dir = "state-of-{name}"\n[[evse]]\n[simulation]\nstate_dir = "{folder}"'
        )
        (tmp_path / f"{name}.toml").write_text(text)
    for order in ("abc", "cba"):
        files = command.station_files([tmp_path / f"{name}.toml" for name in order], None, None)
        worlds = {f.station.id: f.simulation.state_dir.name for f in files}
        assert worlds == {"a": "world-a", "b": "world-b", "c": "elsewhere"}
        assert {f.station.state_dir.name for f in files} == {"state-of-a", "state-of-b", "state-of-c"}
    (alone,) = command.station_files([tmp_path / "a.toml"], None, None)
    assert alone.simulation.state_dir.name == "world"


def test_a_recording_of_each_station() -> None:
    assert own_path(Path("/x/day.jsonl"), "CP-2") == Path("/x/day-CP-2.jsonl")


@pytest.mark.parametrize(
    ("count", "ids", "why"),
    [(0, None, "must be 1 to 50, is 0"), (51, None, "chargy-agent fleet"), (None, "CP-1", "add --stations N")],
)
def test_what_cannot_be_asked_for(tmp_path: Path, count: int | None, ids: str | None, why: str) -> None:
    (tmp_path / "a.toml").write_text("[[evse]]\n")
    with pytest.raises(Unusable, match=why):
        command.station_files([tmp_path / "a.toml"], count, ids)


def test_copies_of_two_files(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="--stations: makes copies of one station file, 2 are given"):
        command.station_files([tmp_path / "a.toml", tmp_path / "b.toml"], 2, None)


def test_an_id_that_becomes_too_long_or_a_file_with_a_mistake_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"station\.id: must have 1 to 48 characters"):
        files_of(tmp_path, '[station]\nserial = "1"\n[[evse]]\n', ids="x" * 47)
    with pytest.raises(SettingsError, match=r"\[station\]: must be a table"):
        files_of(tmp_path, "station = 5\n[[evse]]\n")


async def test_two_stations_of_one_id(tmp_path: Path) -> None:
    from drivers.sim.runner import Plan

    (file,) = files_of(tmp_path, count=1)
    with pytest.raises(Unusable, match="two stations have the id 'CP-09'"):
        await run_stations([Plan(file, 0), Plan(file, 0)])
