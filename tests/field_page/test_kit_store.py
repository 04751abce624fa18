"""Kits that a browser or a USB stick brings: what becomes a copy, and what never does."""

from __future__ import annotations

import io
import os
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest

from agent.commands.kit.kit_file import load_kit
from agent.commands.page.kit_store import MOST_BYTES, MOST_FILES, MOST_KITS, KitRefused, KitStore, foreign_files_of_kit
from agent.commands.page.visit import UploadedFile
from tests.support.kit_files import KIT, PASSWORD, PIN


@pytest.fixture
def store(tmp_path: Path) -> KitStore:
    return KitStore(tmp_path / "state" / "kits", tmp_path / "stick")


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def upload(store: KitStore, content: bytes) -> str:
    return store.store_uploaded_kit(UploadedFile("../../anything.zip", content))


def refusal(store: KitStore, content: bytes) -> str:
    with pytest.raises(KitRefused) as refused:
        upload(store, content)
    assert store.names_of_kit_copies() == []
    assert not any(store.folder.glob("*")), "nothing is left of it"
    return str(refused.value)


WHOLE = {"kit.toml": KIT.encode(), "secrets/password": PASSWORD.encode(), "secrets/pin": PIN.encode()}


@pytest.mark.parametrize("above", ["", "kit-0042/", "a/b/"])
def test_a_zip_file_with_its_secrets(store: KitStore, above: str) -> None:
    name = upload(store, packed({f"{above}{path}": data for path, data in WHOLE.items()}))
    path = store.path_of_kit_copy(name)
    assert path is not None
    assert load_kit(path).station.number == "0042"
    for made in path.parent.rglob("*"):
        assert stat.S_IMODE(made.stat().st_mode) == (0o700 if made.is_dir() else 0o600)


def test_a_kit_alone(store: KitStore) -> None:
    path = store.path_of_kit_copy(upload(store, b"[kit]\nversion = 1\n"))
    assert path is not None
    assert path.read_bytes() == b"[kit]\nversion = 1\n"


@pytest.mark.parametrize(
    "name", ["../kit.toml", "/etc/kit.toml", "a/../../kit.toml", "..\\kit.toml", "a/../../../../tmp/evil"]
)
def test_no_entry_leads_out(store: KitStore, tmp_path: Path, name: str) -> None:
    assert refusal(store, packed({"kit.toml": b"", name: b"evil"})) == "bad_zip"
    assert list(tmp_path.rglob("*")) == []


def test_a_file_that_is_in_it_twice_changes_nothing(store: KitStore) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("kit.toml", "first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("kit.toml", "second")
    with pytest.raises((KitRefused, OSError)):
        upload(store, content.getvalue())
    assert not any(store.folder.glob("*"))


def test_a_link_in_a_zip_file_is_a_file(store: KitStore) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo("secret")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("kit.toml", "")
    path = store.path_of_kit_copy(upload(store, content.getvalue()))
    assert path is not None
    assert not (path.parent / "secret").is_symlink()


def test_what_is_too_much(store: KitStore) -> None:
    assert refusal(store, packed({"kit.toml": b"\0" * (MOST_BYTES + 1)})) == "too_large"  # a thousandth as a ZIP file
    assert refusal(store, packed({f"{n}": b"" for n in range(MOST_FILES + 1)})) == "too_many"
    assert refusal(store, b"\0" * (MOST_BYTES + 1)) == "too_large"
    assert refusal(store, packed({"other.toml": b""})) == "no_kit"


def test_a_zip_file_that_lies_about_its_size(store: KitStore) -> None:
    content = bytearray(packed({"kit.toml": b"\0" * 10_000_000}))
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(mark) + place
        assert struct.unpack_from("<I", content, at)[0] == 10_000_000
        struct.pack_into("<I", content, at, 10)
    assert refusal(store, bytes(content)) == "bad_zip"


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_to_compress_are_refused(store: KitStore, method: int) -> None:
    """LZMA says itself how much memory unpacking takes, and its errors are its own."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("kit.toml", b"x" * 1000)
    assert refusal(store, content.getvalue()) == "bad_zip"


def test_a_zip_file_that_is_broken(store: KitStore) -> None:
    content = packed(WHOLE)
    for cut in range(10, len(content), 97):
        broken = content[:cut] + b"\xff" * 20 + content[cut + 20 :]
        try:
            upload(store, broken)
        except KitRefused:
            continue


def test_kits_of_a_stick_are_copied_with_rights_of_their_own(store: KitStore, tmp_path: Path) -> None:
    kit = tmp_path / "stick" / "station-0042"
    for path, data in WHOLE.items():
        (kit / path).parent.mkdir(parents=True, exist_ok=True)
        (kit / path).write_bytes(data)
        (kit / path).chmod(0o777)  # a stick has no rights
    (tmp_path / "stick" / "alone.toml").write_text("[kit]\n", "utf-8")
    (tmp_path / "stick" / "readme.txt").write_text("no kit", "utf-8")
    os.symlink("/etc", tmp_path / "stick" / "etc")
    os.symlink("/etc/passwd", kit / "passwd")
    assert store.names_of_offered_kits() == ["alone.toml", "station-0042"]
    path = store.path_of_kit_copy(store.copy_offered_kit("station-0042"))
    assert path is not None
    assert load_kit(path).sim is not None
    assert sorted(p.name for p in path.parent.rglob("*") if p.is_file()) == ["kit.toml", "password", "pin"]
    for name in ("etc", "../stick/alone.toml", "", "/etc", "readme.txt"):
        with pytest.raises(KitRefused):
            store.copy_offered_kit(name)


def test_old_copies_go(store: KitStore) -> None:
    made = [upload(store, b"[kit]\n") for _ in range(MOST_KITS + 3)]
    assert len(set(made)) == len(made)
    assert len(store.names_of_kit_copies()) == MOST_KITS
    assert store.path_of_kit_copy(made[-1]) is not None
    store.remove_kit_copy(made[-1])
    store.remove_kit_copy("../../etc")
    assert store.path_of_kit_copy(made[-1]) is None
    assert store.path_of_kit_copy("..") is None


def test_a_kit_stays_that_came_after_the_clock_was_set_back(store: KitStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(MOST_KITS):
        upload(store, b"[kit]\n")
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2020, 1, 1, 0, 0, 0, 2, 1, 0)))
    name = upload(store, b"[kit]\n")
    assert name.startswith("20200101-000000")
    assert store.path_of_kit_copy(name) is not None
    assert len(store.names_of_kit_copies()) == MOST_KITS


def test_without_a_folder_of_kits_there_is_none(tmp_path: Path) -> None:
    assert KitStore(tmp_path / "kits", None).names_of_offered_kits() == []
    assert KitStore(tmp_path / "kits", tmp_path / "away").names_of_offered_kits() == []


@pytest.mark.parametrize("key", ["backend.password_file", "backend.client_key", "sim.pin_file", "sim.password_file"])
def test_a_kit_names_no_file_of_the_station(store: KitStore, key: str) -> None:
    """The agent would send any file that it can read, as a password."""
    table, name = key.split(".")
    text = f'[{table}]\n{name} = "/etc/chargy-agent/secret"\nurl = "wss://evil.example"\n'
    path = store.path_of_kit_copy(upload(store, text.encode()))
    assert path is not None
    said = f"{key}: names a file of the station: a kit that is brought to this page has all its files"
    assert foreign_files_of_kit(path, {}) == [said]
    assert foreign_files_of_kit(path, {table: {name: "/etc/chargy-agent/another"}}) == [said]
    assert foreign_files_of_kit(path, {table: {name: "/etc/chargy-agent/secret"}}) == []


def test_files_of_the_kit_itself_are_no_foreign_ones(store: KitStore) -> None:
    path = store.path_of_kit_copy(upload(store, packed(WHOLE)))
    assert path is not None
    assert foreign_files_of_kit(path, {}) == []
