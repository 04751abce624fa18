"""What ``kit apply`` and ``kit undo`` write: no link is followed, no secret becomes readable, no file is lost that the
station file names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.commands.check import check_station_file
from agent.commands.kit.generations import FileOwner, GenerationFolder, write_synced
from tests.support.kit_files import BEARER, KIT, STATION, call_kit


def apply_two(kit: Path, station: Path) -> tuple[bytes, bytes]:
    """Apply two kits; return the station file of before, and of between them. The password is of the first kit."""
    before = station.read_bytes()
    assert call_kit("apply", kit, station) == 0
    between = station.read_bytes()
    kit.write_text(KIT.replace("kwh = 0.45", "kwh = 0.46"))
    assert call_kit("apply", kit, station) == 0
    return before, between


def test_undo_of_a_later_kit_keeps_the_files_of_an_earlier_one(kit: Path, station: Path) -> None:
    """The station file of before both kits was put back by hand."""
    before, between = apply_two(kit, station)
    station.write_bytes(before)
    assert call_kit("undo", station, "--discard-edits") == 0
    assert station.read_bytes() == between
    assert check_station_file(station)[1] == []


def test_what_the_station_file_names_stays_after_an_undo(kit: Path, station: Path) -> None:
    """The file of the kit was put back by hand after the undo."""
    assert call_kit("apply", kit, station) == 0
    with_kit = station.read_bytes()
    assert call_kit("undo", station) == 0
    station.write_bytes(with_kit)
    kit.write_text(KIT.replace("kwh = 0.45", "kwh = 0.46"))
    assert call_kit("apply", kit, station) == 0
    assert check_station_file(station)[1] == []


def test_undo_refuses_a_file_that_names_what_is_gone(
    kit: Path, station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apply_two(kit, station)
    (lost,) = (station.parent / "station.toml.kit" / "0001").glob("password_file-*")
    lost.unlink()
    present = station.read_bytes()
    assert call_kit("undo", station) == 2
    assert "names a file that is not there" in capsys.readouterr().err
    assert station.read_bytes() == present


@pytest.mark.parametrize("broken", [b"[station\n", b"\xff\xfe", b"station = 1\n"])
def test_undo_repairs_a_broken_file(
    kit: Path, station: Path, broken: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    before = station.read_bytes()
    assert call_kit("apply", kit, station) == 0
    station.write_bytes(broken)
    assert call_kit("undo", station) == 2
    assert "was edited after the kit was applied" in capsys.readouterr().err
    assert station.read_bytes() == broken
    assert call_kit("undo", station, "--discard-edits") == 0
    assert station.read_bytes() == before


def test_a_secret_takes_the_rights_of_others_away(kit: Path, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    station.write_text(STATION.replace('password = "a bench only"', "") + BEARER)
    station.chmod(0o664)
    assert call_kit("apply", kit, station) == 0
    assert stat.S_IMODE(station.stat().st_mode) == 0o640
    assert "the agent's user must be one of them" in capsys.readouterr().err
    assert call_kit("undo", station) == 0
    assert stat.S_IMODE(station.stat().st_mode) == 0o640


def test_a_station_file_without_secrets_keeps_its_rights(kit: Path, station: Path) -> None:
    station.chmod(0o644)
    assert call_kit("apply", kit, station) == 0
    assert stat.S_IMODE(station.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_agent_still_reads_what_it_read_as_one_of_the_others(kit: Path, station: Path) -> None:
    station.write_text(STATION + BEARER)
    station.chmod(0o644)
    (station.parent / "state").mkdir()
    os.chown(station.parent / "state", 1, 1)
    assert call_kit("apply", kit, station) == 0
    found = station.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 1, 0o640)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("of root")
    link.symlink_to(target)
    with pytest.raises(FileExistsError):
        write_synced(link, b"other", 0o600)
    assert target.read_text() == "of root"


def test_a_link_beside_the_station_file_is_replaced(kit: Path, station: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("of root")
    assert call_kit("apply", kit, station) == 0
    (station.parent / ".station.toml.partial").symlink_to(target)
    assert call_kit("undo", station) == 0
    assert target.read_text() == "of root"
    assert not station.is_symlink()


def test_undo_does_not_read_through_a_link(kit: Path, station: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("# of root\n")
    assert call_kit("apply", kit, station) == 0
    present = station.read_bytes()
    before = station.parent / "station.toml.kit" / "0001" / "before.toml"
    before.unlink()
    before.symlink_to(target)
    assert call_kit("undo", station) == 2
    assert station.read_bytes() == present


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_is_given_away_when_it_is_full(station: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, kinds = FileOwner(1, 1), []
    fchown = os.fchown

    def note(handle: int, user: int, group: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fchown(handle, user, group)

    monkeypatch.setattr(os, "fchown", note)
    generations = GenerationFolder(station, owner)
    with generations.locked():
        kinds.clear()
        generations.add_generation("0001", b"", b"", {"password": b"x"})
    assert kinds == [False, False, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_that_a_kill_left_to_root_is_given_to_the_agent(kit: Path, station: Path) -> None:
    (station.parent / "state").mkdir()
    os.chown(station.parent / "state", 1, 1)
    folder = station.parent / "station.toml.kit"
    folder.mkdir(mode=0o700)
    assert call_kit("apply", kit, station) == 0
    assert folder.stat().st_uid == 1
