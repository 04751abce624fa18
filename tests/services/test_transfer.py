"""Files from and to real servers that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.events import Event, FirmwareChecked, FirmwareFetched, LogSent, SignerJudged
from agent.domain.orders import CheckFirmware, DropFirmware, DropLog, FetchFirmware, JudgeSigner, Order, SendLog
from agent.services.files.orders import FileOrders
from agent.services.files.transfer import TransferControl, TransferFailed, fetch_file, send_file
from agent.services.files.transfer.address import Address, parse_address
from agent.services.files.transfer.partial_file import SPARE_BYTES, forget_file
from agent.services.files.transfer.progress import CHUNK
from tests.support.busy_machine import Deadline, deadline, stretched
from tests.support.file_servers import (
    PASSWORD,
    QUOTED,
    USER,
    WebServer,
    certificate,
    ftp_server,
    sftp_server,
    web_server,
)

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a-diagnostics-1.zip"
    path.write_bytes(CONTENT)
    return path


def trusting(pem: Path) -> TransferControl:
    return TransferControl(5.0, context=lambda: ssl.create_default_context(cafile=str(pem)))


# --- addresses -------------------------------------------------------------------------------------------------------


def test_an_address_never_shows_its_secrets() -> None:
    address = parse_address(f"ftp://{USER}:{QUOTED}@host:2121/a%20b/?signature=abc")
    assert address.secret == (USER, PASSWORD)
    assert (address.file_path, address.port) == ("/a b/", 2121)
    for text in (repr(address), str(address), address.shown_url):
        assert PASSWORD not in text
        assert QUOTED not in text
        assert "signature" not in text


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("ftp://h", "/x.zip"),
        ("ftp://h/", "/x.zip"),
        ("ftp://h/logs", "/logs/x.zip"),
        ("http://h/logs/", "/logs/x.zip"),
        ("https://h/in.php", "/in.php"),
        ("http://h/put?key=1", "/put"),
        ("ftp://h/logs/mine.zip", "/logs/mine.zip"),
    ],
)
def test_where_a_file_goes(location: str, path: str) -> None:
    assert parse_address(location).with_name("x.zip").path == path


@pytest.mark.parametrize(
    "location",
    [
        *("", "file:///etc/passwd", "ftp://", "nonsense", "http://h:99999/", "gopher://h/x", "http://[::1/"),
        *("ftp://h/a%0d%0aDELE%20x", "http://h/a%00b", "http://h/%7f"),
    ],
)
def test_what_is_no_address(location: str) -> None:
    with pytest.raises(TransferFailed) as e:
        parse_address(location)
    assert e.value.status == "BadMessage"


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for location in (text, "ftp://h/" + text, "http://" + text):
        with contextlib.suppress(TransferFailed):
            assert isinstance(parse_address(location), Address)


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_fetched_by_http(web: WebServer, tmp_path: Path) -> None:
    web.files["/fw.bin"] = CONTENT
    target = tmp_path / "in" / "firmware"
    fetch_file(f"http://{USER}:{QUOTED}@127.0.0.1:{web.port}/fw.bin", target, TransferControl())
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["firmware"]
    assert web.asked[0]["Authorization"].startswith("Basic ")


def test_what_broke_off_goes_on_where_it_was(web: WebServer, tmp_path: Path) -> None:
    web.files["/fw.bin"], web.cut_at = CONTENT, 200_000
    target = tmp_path / "firmware"
    location = f"http://127.0.0.1:{web.port}/fw.bin"
    with pytest.raises(TransferFailed):
        fetch_file(location, target, TransferControl())
    assert not target.exists()
    fetch_file(location, target, TransferControl())
    assert target.read_bytes() == CONTENT
    assert int(web.asked[1]["Range"].removeprefix("bytes=").rstrip("-")) > 0
    assert web.asked[1]["If-Range"] == '"v1"'


def test_another_address_begins_again(web: WebServer, tmp_path: Path) -> None:
    web.files |= {"/a": CONTENT, "/b": b"other"}
    web.cut_at = 200_000
    with pytest.raises(TransferFailed):
        fetch_file(f"http://127.0.0.1:{web.port}/a", tmp_path / "f", TransferControl())
    fetch_file(f"http://127.0.0.1:{web.port}/b", tmp_path / "f", TransferControl())
    assert (tmp_path / "f").read_bytes() == b"other"
    assert "Range" not in web.asked[1]


def test_sent_by_put_and_by_form_where_put_is_unknown(web: WebServer, source: Path) -> None:
    send_file(f"http://127.0.0.1:{web.port}/logs/", source, source.name, TransferControl())
    assert web.got == [("PUT", f"/logs/{source.name}", CONTENT)]
    web.puts = False
    send_file(f"http://127.0.0.1:{web.port}/upload?station=1", source, source.name, TransferControl())
    method, path, body = web.got[1]
    assert (method, path) == ("POST", "/upload?station=1")
    assert body.count(CONTENT) == 1
    assert f'name="file"; filename="{source.name}"'.encode() in body


@pytest.mark.parametrize(
    ("code", "status"),
    [(401, "PermissionDenied"), (403, "PermissionDenied"), (400, "BadMessage"), (500, "UploadFailure")],
)
def test_what_a_server_refuses_has_a_word(web: WebServer, source: Path, code: int, status: str) -> None:
    web.status = code
    with pytest.raises(TransferFailed) as e:
        send_file(f"http://{USER}:{QUOTED}@127.0.0.1:{web.port}/x", source, source.name, TransferControl())
    assert e.value.status == status
    assert PASSWORD not in str(e.value)


def test_a_password_does_not_follow_to_another_server(web: WebServer, tmp_path: Path) -> None:
    with web_server() as other:
        other.files["/fw"] = b"there"
        web.moved["/fw"] = f"http://127.0.0.1:{other.port}/fw"
        fetch_file(f"http://{USER}:{QUOTED}@127.0.0.1:{web.port}/fw", tmp_path / "f", TransferControl())
        assert "Authorization" not in other.asked[0]
    assert (tmp_path / "f").read_bytes() == b"there"


def test_going_round_in_circles_ends(web: WebServer, tmp_path: Path) -> None:
    web.moved["/a"] = "/a"
    with pytest.raises(TransferFailed, match="too often"):
        fetch_file(f"http://127.0.0.1:{web.port}/a", tmp_path / "f", TransferControl())


def test_tls_is_checked(tmp_path: Path, source: Path) -> None:
    pem = certificate(tmp_path)
    with web_server(pem) as web:
        with pytest.raises(TransferFailed, match="certificate"):
            send_file(f"https://127.0.0.1:{web.port}/x", source, source.name, TransferControl())
        assert web.got == []
        send_file(f"https://127.0.0.1:{web.port}/x", source, source.name, trusting(pem))
        assert len(web.got) == 1
        web.moved["/y.bin"] = "http://127.0.0.1:1/plain"
        with pytest.raises(TransferFailed, match="out of TLS"):
            fetch_file(f"https://127.0.0.1:{web.port}/y.bin", tmp_path / "f", trusting(pem))


def test_a_file_that_is_too_long_is_not_fetched(web: WebServer, tmp_path: Path) -> None:
    web.files["/fw"] = CONTENT
    with pytest.raises(TransferFailed, match="more than"):
        fetch_file(f"http://127.0.0.1:{web.port}/fw", tmp_path / "f", TransferControl(most_bytes=1000))
    assert not (tmp_path / "f").exists()


def test_what_says_no_length_leaves_the_disk_its_spare(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has to write on the same disk, whatever is fetched and whatever its server says of it."""
    target = tmp_path / "there" / "firmware"
    web.files["/fw"], web.says_length = CONTENT, False
    part = target.with_name("firmware.part")

    def disk(folder: Path) -> Any:
        have = part.stat().st_size if part.exists() else 0
        return SimpleNamespace(free=SPARE_BYTES + len(CONTENT) // 2 - have)

    monkeypatch.setattr("agent.services.files.transfer.partial_file.shutil.disk_usage", disk)
    with pytest.raises(TransferFailed, match="disk"):
        fetch_file(f"http://127.0.0.1:{web.port}/fw", target, TransferControl(5.0))
    assert part.stat().st_size <= len(CONTENT) // 2 + CHUNK


def test_stopped_from_outside_at_once(web: WebServer, tmp_path: Path) -> None:
    web.files["/fw"] = CONTENT
    web.hold.clear()
    going, failed = TransferControl(60.0), []

    def work() -> None:
        try:
            fetch_file(f"http://127.0.0.1:{web.port}/fw", tmp_path / "f", going)
        except TransferFailed as e:
            failed.append(str(e))

    thread = threading.Thread(target=work)
    thread.start()
    patience = Deadline(10)
    while not web.asked and not patience.over:
        time.sleep(0.01)
    going.stop_transfer()
    thread.join(stretched(10))
    assert failed == ["stopped"]


LONG_NAME = "http://" + "a" * 64 + ".example/fw"


@pytest.mark.parametrize("location", [LONG_NAME, "http://127.0.0.1:1/?\u00e9", "http://127.0.0.1:1/\ud800"])
def test_what_the_libraries_choke_on_is_a_failed_transfer(tmp_path: Path, source: Path, location: str) -> None:
    with pytest.raises(TransferFailed):
        fetch_file(location, tmp_path / "firmware", TransferControl(5.0))
    with pytest.raises(TransferFailed):
        send_file(location, source, source.name, TransferControl(5.0))


@pytest.mark.parametrize("location", [LONG_NAME, "ftp://127.0.0.1:1/a%0d%0aDELE%20x", "nonsense"])
async def test_every_order_is_answered(tmp_path: Path, location: str) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    files = FileOrders(
        tmp_path, heard.put_nowait, lambda order: {"about.json": b"{}"}, lambda: [(tmp_path / "no").read_bytes()]
    )
    orders: dict[Order, Event] = {
        FetchFirmware("f", location): FirmwareFetched("f", False),
        CheckFirmware("c", "no PEM", "\u00e9"): FirmwareChecked("c", False),
        JudgeSigner("j", "no PEM"): SignerJudged("j", False),
    }
    for order, event in orders.items():
        files.accept_order(order)
        assert await asyncio.wait_for(heard.get(), stretched(30)) == event
    files.accept_order(SendLog("s", location, name="log.zip"))
    answer = await asyncio.wait_for(heard.get(), stretched(30))
    assert isinstance(answer, LogSent)
    assert answer.status in ("UploadFailure", "BadMessage")


async def test_what_is_dropped_before_its_turn_is_not_carried_out(web: WebServer, tmp_path: Path) -> None:
    """The first server does not answer. Of the requests that come meanwhile the last one counts."""
    heard: asyncio.Queue[Event] = asyncio.Queue()
    files = FileOrders(tmp_path, heard.put_nowait, lambda order: lambda: {"about.json": b"{}"}, list)
    web.files |= {f"/{job}": CONTENT for job in "abc"}
    web.hold.clear()
    server = f"http://127.0.0.1:{web.port}"
    fetches = [FetchFirmware(job, f"{server}/{job}") for job in "abc"]
    uploads = [SendLog(job, f"{server}/{job}.zip", name=f"{job}.zip") for job in "def"]
    for order in (*fetches[:2], DropFirmware("b"), fetches[2], *uploads[:2], DropLog("e"), uploads[2]):
        files.accept_order(order)
    async with deadline(30):
        while len(web.asked) < 2:
            await asyncio.sleep(0.01)
        web.hold.set()
        answers = [await heard.get() for _ in range(4)]
    assert [e for e in answers if isinstance(e, FirmwareFetched)] == [
        FirmwareFetched("a", True),
        FirmwareFetched("c", True),
    ]
    assert [e for e in answers if isinstance(e, LogSent)] == [LogSent("d", "Uploaded"), LogSent("f", "Uploaded")]
    assert {asked["path"] for asked in web.asked} == {"/a", "/c", "/d.zip", "/f.zip"}


def test_no_one_there(source: Path) -> None:
    with pytest.raises(TransferFailed, match="refused"):
        send_file("http://127.0.0.1:1/x", source, source.name, TransferControl(2.0))


# --- FTP, FTPS, SFTP -------------------------------------------------------------------------------------------------


def test_ftp_both_ways(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "root"
    (root / "logs").mkdir(parents=True)
    with ftp_server(root) as port:
        send_file(f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/logs", source, source.name, TransferControl(5.0))
        assert (root / "logs" / source.name).read_bytes() == CONTENT
        fetch_file(f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/logs/{source.name}", tmp_path / "f", TransferControl(5.0))
        assert (tmp_path / "f").read_bytes() == CONTENT
        with pytest.raises(TransferFailed) as e:
            send_file(f"ftp://{USER}:wrong@127.0.0.1:{port}/logs", source, source.name, TransferControl(5.0))
        assert e.value.status == "PermissionDenied"
        with pytest.raises(TransferFailed):
            fetch_file(f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/does_not_exist", tmp_path / "g", TransferControl(5.0))


def test_ftp_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "fw").write_bytes(CONTENT)
    with ftp_server(root) as port:
        location = f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/fw"
        with pytest.raises(TransferFailed):
            fetch_file(location, tmp_path / "f", Stopping(300_000))
        have = (tmp_path / "f.part").stat().st_size
        assert have > 0
        (tmp_path / "f.part").write_bytes(b"\0" * have)  # to see that the rest was fetched only
        fetch_file(location, tmp_path / "f", TransferControl(5.0))
    assert (tmp_path / "f").read_bytes() == b"\0" * have + CONTENT[have:]


def test_ftp_begins_again_where_the_server_cannot_go_on(tmp_path: Path) -> None:
    """It does not know REST (RFC 3659). What is here must not stop each try that follows."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "fw").write_bytes(CONTENT)
    with ftp_server(root, unknown=["REST"]) as port:
        location = f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/fw"
        with pytest.raises(TransferFailed):
            fetch_file(location, tmp_path / "f", Stopping(300_000))
        have = (tmp_path / "f.part").stat().st_size
        assert have > 0
        (tmp_path / "f.part").write_bytes(b"\0" * have)  # to see that all of it was fetched
        fetch_file(location, tmp_path / "f", TransferControl(5.0))
        (root / "fw").unlink()
        with pytest.raises(TransferFailed, match="550"):
            fetch_file(location, tmp_path / "g", TransferControl(5.0))
    assert (tmp_path / "f").read_bytes() == CONTENT


class Stopping(TransferControl):
    def __init__(self, at: int) -> None:
        super().__init__(5.0)
        self._at = at

    def check_limits(self, done_bytes: int = 0) -> None:
        if self._at < done_bytes < len(CONTENT):
            raise TransferFailed("UploadFailure", "cut")


def test_ftps(tmp_path: Path, source: Path) -> None:
    pem, root = certificate(tmp_path), tmp_path / "root"
    root.mkdir()
    with ftp_server(root, pem) as port:
        with pytest.raises(TransferFailed, match=r"certificate|CERTIFICATE"):
            send_file(f"ftps://{USER}:{QUOTED}@127.0.0.1:{port}/", source, source.name, TransferControl(5.0))
        send_file(f"ftps://{USER}:{QUOTED}@127.0.0.1:{port}/", source, source.name, trusting(pem))
        assert (root / source.name).read_bytes() == CONTENT
        fetch_file(f"ftps://{USER}:{QUOTED}@127.0.0.1:{port}/{source.name}", tmp_path / "f", trusting(pem))
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_client_that_resets_its_connection_does_not_end_the_server_of_the_tests(tmp_path: Path) -> None:
    """A client that refuses the key of the server may do so."""
    with sftp_server(tmp_path) as (port, _):
        with socket.create_connection(("127.0.0.1", port), 20.0) as rude:
            rude.sendall(b"SSH-2.0-rude\r\n")
            with rude.makefile("rb") as answer:
                assert answer.readline().startswith(b"SSH-")
                assert answer.read(4), "the exchange of keys has begun"
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with socket.create_connection(("127.0.0.1", port), 20.0) as next_one:
            assert next_one.recv(4) == b"SSH-"


def test_sftp_only_to_a_server_that_is_known(tmp_path: Path, source: Path) -> None:
    root, known = tmp_path / "root", tmp_path / "known_hosts"
    root.mkdir()
    with sftp_server(root) as (port, line):
        location = f"sftp://{USER}:{QUOTED}@127.0.0.1:{port}"
        with pytest.raises(TransferFailed) as e:
            send_file(f"{location}/", source, source.name, TransferControl(stretched(5.0)))
        assert e.value.status == "PermissionDenied"
        known.write_text(line + "\n")
        going = TransferControl(stretched(5.0), known_hosts=str(known))
        send_file(f"{location}/", source, source.name, going)
        assert (root / source.name).read_bytes() == CONTENT
        fetch_file(f"{location}/{source.name}", tmp_path / "f", TransferControl(stretched(5.0), known_hosts=str(known)))
    assert (tmp_path / "f").read_bytes() == CONTENT


async def test_firmware_comes_by_sftp_from_a_server_that_is_known(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "files"
    for made in (root, folder):
        made.mkdir()
    (root / "fw").write_bytes(CONTENT)
    heard: asyncio.Queue[Event] = asyncio.Queue()
    with sftp_server(root) as (port, line):
        (folder / "known_hosts").write_text(line + "\n")
        files = FileOrders(folder, heard.put_nowait, lambda order: {}, list)
        files.accept_order(FetchFirmware("f", f"sftp://{USER}:{QUOTED}@127.0.0.1:{port}/fw"))
        assert await asyncio.wait_for(heard.get(), stretched(30)) == FirmwareFetched("f", True)
    assert files.firmware_image.read_bytes() == CONTENT


def test_known_hosts_that_cannot_be_read_are_a_failed_transfer(tmp_path: Path, source: Path) -> None:
    pytest.importorskip("paramiko")
    known = tmp_path / "known_hosts"
    known.write_text("h ssh-rsa AAAA!!!x\n")
    with pytest.raises(TransferFailed):
        send_file("sftp://127.0.0.1:1/", source, source.name, TransferControl(5.0, known_hosts=str(known)))


def test_forgotten(tmp_path: Path) -> None:
    for name in ("f", "f.part", "f.part.json", "other"):
        (tmp_path / name).write_text("{}")
    forget_file(tmp_path / "f")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]
