"""What packages bring is found without the library for it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from agent.commands.drivers import driver_row
from agent.model.entry_points import EntryPointError, list_entry_points, load_checked, load_entry_point
from agent.services.devices import configured
from agent.services.devices.configured import CONFIG_GROUP, GROUP, _package_config_dirs
from agent.station_file.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("group", [GROUP, CONFIG_GROUP, "pytest11", "console_scripts", "not.known"])
def test_it_is_what_the_library_finds(group: str) -> None:
    assert list_entry_points(group) == [(e.name, e.value.partition("[")[0].strip()) for e in entry_points(group=group)]


def brought(folder: Path, package: str, lines: str) -> None:
    (folder / package).mkdir(parents=True)
    (folder / package / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package.partition('-')[0]}\nVersion: 1\n"
    )
    (folder / package / "entry_points.txt").write_text(lines)


def test_of_two_packages_with_one_name_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought(
        tmp_path / "new", "acme_box-2.dist-info", "[other]\nz = z:Z\n[g]\n# no = x:Y\na = new:A [bus]\n b=new:B.C\n"
    )
    brought(tmp_path / "old", "Acme.Box-1.dist-info", "[g]\na = old:A\nc = old:C\n")
    brought(tmp_path / "old", "more.egg-info", "[ g ]\nd = more\n")
    (tmp_path / "old" / "bare-1.dist-info").mkdir()
    (tmp_path / "old" / "file-1.egg-info").write_text("Name: file\n")
    for folder in ("old", "new"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    monkeypatch.setattr(sys, "path", [*sys.path, "/nowhere"])
    assert dict(list_entry_points("g")) == {"a": "new:A", "b": "new:B.C", "d": "more"}


def test_an_archive_on_the_path_is_read_by_who_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "acme.zip", "w") as archive:
        archive.writestr("acme-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
        archive.writestr("acme-1.dist-info/entry_points.txt", "[g]\na = acme:A\n")
    monkeypatch.syspath_prepend(tmp_path / "acme.zip")
    assert list_entry_points("g") == [("a", "acme:A")]


def test_so_is_an_archive_that_was_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``setup.py install`` leaves such folders."""
    brought(tmp_path / "acme-1-py3.11.egg", "EGG-INFO", "[g]\na = acme:A\n")
    monkeypatch.syspath_prepend(tmp_path / "acme-1-py3.11.egg")
    assert list_entry_points("g") == [("a", "acme:A")]


def test_maps_of_two_packages_may_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("acme_maps", "more_maps"):
        brought(tmp_path, f"{package}-1.dist-info", f"[{CONFIG_GROUP}]\nmaps = {package}\n")
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert {tmp_path / "acme_maps", tmp_path / "more_maps"} <= set(_package_config_dirs.__wrapped__())


def test_a_package_of_maps_that_is_broken_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for package, text in (("sound_maps", ""), ("broken_maps", "raise RuntimeError('out of order')")):
        brought(tmp_path, f"{package}-1.dist-info", f"[{CONFIG_GROUP}]\nmaps = {package}\n")
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(text)
    brought(tmp_path, "absent_maps-1.dist-info", f"[{CONFIG_GROUP}]\nmaps = absent_maps\n")
    brought(tmp_path, "module_maps-1.dist-info", f"[{CONFIG_GROUP}]\nmaps = module_maps\n")
    (tmp_path / "module_maps.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = _package_config_dirs.__wrapped__()
    assert [folder.name for folder in found if folder.parent == tmp_path] == ["sound_maps"]
    assert "broken_maps cannot be loaded (RuntimeError: out of order)" in caplog.text
    assert "absent_maps cannot be loaded" in caplog.text


@pytest.mark.parametrize("entry", ["broken_driver:DRIVER", "absent_driver:DRIVER", "sys:path", ":DRIVER"])
def test_a_driver_that_is_broken_is_named(entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_driver.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(configured, "_installed_drivers", lambda: {"broken": entry})
    with pytest.raises(SettingsError, match=f"the driver {entry} (cannot be loaded|is no )"):
        configured.find_driver("broken")
    row = driver_row(EntryPoint("broken", entry, GROUP))
    assert entry in row.trouble


def test_a_package_that_wrote_rubbish_stops_no_station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought(tmp_path, "acme-1.dist-info", "[g]\na = acme:A\n")
    brought(tmp_path, "rubbish-1.dist-info", "")
    (tmp_path / "rubbish-1.dist-info" / "entry_points.txt").write_bytes(b"[other]\n\xff = rubbish:A\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list_entry_points("g") == [("a", "acme:A")]


def test_what_is_named_is_loaded() -> None:
    assert load_entry_point("pathlib:Path") is Path
    assert load_entry_point("pathlib : Path.home") == Path.home
    assert load_entry_point("pathlib").Path is Path
    for wrong, error in (("pathlib:Nothing", AttributeError), ("no_such_module:X", ImportError)):
        with pytest.raises(error):
            load_entry_point(wrong)


def test_what_cannot_be_used_is_named_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wordy_module.py").write_text("raise RuntimeError('out\\nof order, ' + 'x' * 1000)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EntryPointError) as found:
        load_checked("wordy_module:X", int)
    assert str(found.value).startswith("wordy_module:X cannot be loaded (RuntimeError: out of order, x")
    assert len(str(found.value)) < 300
    with pytest.raises(EntryPointError, match=r"^pathlib:Path is no builtins.int$"):
        load_checked("pathlib:Path", int)


def test_the_library_stays_out() -> None:
    code = (
        "import sys; from agent.services.devices.configured import find_driver, _package_config_dirs; "
        "find_driver('reader_serial'); _package_config_dirs(); "
        "print({'email', 'zipfile', 'bz2', 'tempfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
