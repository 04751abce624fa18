"""The field page against what a browser of a stranger, or no browser at all, may send. The page is a real process, the
other side is a socket."""

from __future__ import annotations

import contextlib
import json
import re
import select
import shutil
import signal
import socket
import ssl
import stat
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from agent.commands.page import http_service
from agent.commands.page.command import MOST_DATA_BYTES
from agent.commands.page.roles import Role
from tests.support.busy_machine import Deadline, stretched
from tests.support.certificate_authorities import Authority
from tests.support.field_page_process import (
    PASSWORD,
    Answer,
    PageProcess,
    RawClient,
    read_answer,
    served_page,
    write_page_station,
    write_users,
)

PAGES = ("/state", "/commission", "/doctor", "/kit", "/meters", "/cards", "/audits", "/logs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[PageProcess]:
    with served_page(write_page_station(folder)) as page:
        yield page


@pytest.fixture(scope="module")
def technician(page: PageProcess) -> RawClient:
    client = RawClient(page.port)
    assert client.login("tom").status == 303
    return client


def test_without_a_login_there_is_only_the_login(page: PageProcess) -> None:
    client = RawClient(page.port)
    for path in ("/", *PAGES, "/kit/view?kit=x", "/audits/file?audit=a&name=report.pdf", "/alive", "/restarting"):
        answer = client.get(path)
        assert (answer.status, answer.header("Location")) == (303, "/login"), path
    for path in (
        "/doctor",
        "/kit/apply",
        "/kit/undo",
        "/kit/upload",
        "/kit/choose",
        "/commission",
        "/logs/archive",
        "/logout",
    ):
        assert client.post(path, {"form": "0" * 64}).status == 401, path
    assert client.get("/state?part=live").status == 401


def test_what_each_role_may_do(page: PageProcess) -> None:
    reader = RawClient(page.port)
    assert reader.login("rita").status == 303
    seen = {path: reader.get(path).status for path in PAGES}
    allowed = {"/state", "/meters", "/cards", "/audits", "/logs"}
    assert seen == {path: 200 if path in allowed else 403 for path in PAGES}
    form = reader.get("/state").form
    for path in ("/doctor", "/kit/apply", "/kit/undo", "/logs/archive", "/commission"):
        assert reader.post(path, {"form": form}).status == 403, path
    assert "/commission" not in reader.get("/state").text


def test_every_answer_has_its_headers(page: PageProcess, technician: RawClient) -> None:
    stranger = RawClient(page.port)
    answers = [technician.get("/state"), stranger.get("/login"), stranger.get("/nothing"), stranger.get("/app.js")]
    answers += [stranger.post("/doctor", {}), stranger.request("PUT", "/state"), stranger.get("/", host="evil.example")]
    for answer in answers:
        for name, value in http_service.HEADERS.items():
            assert answer.header(name) == value
        assert "unsafe" not in answer.header("Content-Security-Policy")
        assert answer.header("Connection") == "close"
    assert "<script>" not in answers[0].text
    assert " style=" not in answers[0].text
    assert " onclick" not in answers[0].text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_that_leads_here_gets_nothing(page: PageProcess, host: str) -> None:
    answer = RawClient(page.port).request("GET", "/login", headers={"Host": host})
    assert answer.status == 421
    assert b"form" not in answer.body


def test_one_host_and_no_other(page: PageProcess) -> None:
    client = RawClient(page.port)
    assert client.send(b"GET /login HTTP/1.1\r\n\r\n").status == 400
    assert client.send(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n").status == 400


def test_a_form_of_another_site_is_refused(page: PageProcess, technician: RawClient) -> None:
    form = technician.get("/doctor").form
    assert technician.post("/doctor", {"form": form}, {"Origin": "http://evil.example"}).status == 403
    assert technician.post("/doctor", {"form": form}, {"Origin": "null"}).status == 403
    assert technician.post("/doctor", {}).status == 403
    assert technician.post("/doctor", {"form": "0" * 64}).status == 403
    other = RawClient(page.port)
    other.login("max")
    assert technician.post("/doctor", {"form": other.get("/doctor").form}).status == 403  # of another session
    assert technician.post("/kit/undo", {"form": form}, {"Content-Type": "text/plain"}).status == 415


def test_a_login_needs_its_form_too(page: PageProcess) -> None:
    client = RawClient(page.port)
    assert client.post("/login", {"user": "tom", "password": PASSWORD}).status == 403
    form = client.get("/login").form
    client.cookies["chargy-form"] = "another"
    assert client.post("/login", {"form": form, "user": "tom", "password": PASSWORD}).status == 403


def test_the_cookie_of_a_session(page: PageProcess) -> None:
    client = RawClient(page.port)
    answer = client.login("tom")
    cookie = next(v for k, v in answer.headers if k == "Set-Cookie" and v.startswith("chargy-session="))
    words = {word.strip().lower() for word in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= words
    assert not any(word.startswith(("expires", "max-age", "domain")) for word in words)
    first = client.cookies["chargy-session"]
    assert len(first) >= 40
    client.login("tom")
    assert client.cookies["chargy-session"] != first
    ended = dict(client.cookies)
    assert client.post("/logout", {"form": client.get("/state").form}).status == 303
    client.cookies = ended
    assert client.get("/state").status == 303, "the cookie of a session that has ended"


def test_a_session_ends_with_its_user_and_password(folder: Path, page: PageProcess) -> None:
    users = folder / "state" / "field-page" / "users.json"
    before = users.read_bytes()
    client = RawClient(page.port)
    client.login("max")
    assert client.get("/kit").status == 200
    try:
        write_users(users, rita=Role.READER, tom=Role.TECHNICIAN, max=Role.MANUFACTURER)  # another salt
        assert client.get("/kit").status == 303
        client.login("max")
        write_users(users, rita=Role.READER, tom=Role.TECHNICIAN)
        assert client.get("/kit").status == 303
        users.chmod(0o644)
        assert client.login("tom").status == 503, "a file of users that others can read"
    finally:
        users.write_bytes(before)
        users.chmod(0o600)


def test_nothing_on_disk_opens_the_page(folder: Path, page: PageProcess, technician: RawClient) -> None:
    for path in (folder / "state" / "field-page").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        if path.is_file():
            content = path.read_text("utf-8")
            assert PASSWORD not in content
            assert technician.cookies["chargy-session"] not in content
    assert not any(PASSWORD in line for line in page.lines)


def test_what_was_done_is_written_down(folder: Path, page: PageProcess) -> None:
    RawClient(page.port).login("tom")
    RawClient(page.port).login("eve\r\nX: y", "wrong password")
    lines = [json.loads(line) for line in (folder / "state/field-page/activity.jsonl").read_text("utf-8").splitlines()]
    assert {"login", "login refused"} <= {line["did"] for line in lines}
    assert all(set(line) <= {"at", "user", "from", "did", "detail"} for line in lines)
    refused = {line["user"] for line in lines if line["did"] == "login refused"}
    assert "unknown" in refused
    assert not any("eve" in line for line in page.lines), "what was typed may be a password in the wrong field"


def test_bodies_and_heads_have_an_end(page: PageProcess, technician: RawClient) -> None:
    form = technician.get("/doctor").form
    assert technician.post("/doctor", {"form": form, "x": "y" * 20_000}).status == 413
    too_long = {"Content-Length": str(10**9)}
    assert technician.request("POST", "/kit/upload", b"x", too_long).status == 413
    chunked = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert technician.send(chunked).status == 411
    assert technician.request("GET", "/login", headers={"X": "y" * 9000}).status == 400
    assert technician.request("GET", f"/{'x' * 9000}").status in (400, 414)
    assert technician.send(b"nonsense\r\n\r\n").status == 400
    assert technician.send(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello").status == 400
    assert technician.get("/state").status == 200


def test_a_multipart_that_is_none(page: PageProcess, technician: RawClient) -> None:
    for body in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--\r\n", b"\xff" * 100):
        answer = technician.request("POST", "/kit/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status in (400, 403)
    assert technician.request("POST", "/kit/upload", b"", {"Content-Type": "multipart/form-data"}).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/static/../page_users.py", "/%2e%2e/%2e%2e/etc/passwd", "/style.css/../../page_users.py",
        "//etc/passwd", "/kit/view?kit=../../..", "/kit/view?kit=%2e%2e%2f%2e%2e", "/language/../state",
        "/audits/file?audit=..&name=report.pdf", "/audits/file?audit=AUDIT-1&name=../../station.toml",
        "/audits/file?audit=&name=",
    ],
)  # fmt: skip
def test_no_path_leads_out(folder: Path, page: PageProcess, technician: RawClient, path: str) -> None:
    (folder / "state" / "audits" / "AUDIT-1").mkdir(parents=True, exist_ok=True)
    (folder / "state" / "audits" / "AUDIT-1" / "audit.json").write_text("{}", "utf-8")
    answer = technician.get(path)
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body
    assert b"state_dir" not in answer.body


def test_only_reports_leave_the_folder_of_an_audit(folder: Path, page: PageProcess, technician: RawClient) -> None:
    audit = folder / "state" / "audits" / "AUDIT-2"
    audit.mkdir(parents=True, exist_ok=True)
    (audit / "audit.json").write_text('{"verdict": "PASS", "plan": {"title": "<b>plan</b>"}}', "utf-8")
    (audit / "report.html").write_text("<script>alert(1)</script>", "utf-8")
    (audit / "trace.jsonl").write_text("{}", "utf-8")
    (audit / "report.pdf").symlink_to(folder / "station.toml")
    sent = technician.get("/audits/file?audit=AUDIT-2&name=report.html")
    assert (sent.status, sent.header("Content-Disposition")) == (200, 'attachment; filename="report.html"')
    assert technician.get("/audits/file?audit=AUDIT-2&name=trace.jsonl").status == 404
    assert technician.get("/audits/file?audit=AUDIT-2&name=report.pdf").status == 404, "a link that leads elsewhere"
    shown = technician.get("/audits").text
    assert "&lt;b&gt;plan&lt;/b&gt;" in shown
    assert "<b>plan" not in shown


def test_the_memory_of_the_page_is_bounded(page: PageProcess) -> None:
    limits = Path(f"/proc/{page.process.pid}/limits").read_text("ascii")
    assert re.search(rf"^Max data size +{MOST_DATA_BYTES} +{MOST_DATA_BYTES} +bytes", limits, re.MULTILINE), limits


def test_long_records_of_audits_take_little_memory(folder: Path, page: PageProcess, technician: RawClient) -> None:
    """The page shares its bound of memory with the agent: records of 7 MiB each must not fill it."""
    head = '{"plan": {"title": "a long audit"}, "verdict": "FAIL", "counts": {"FAIL": 7}, "sections": ['
    for number in range(8):
        audit = folder / "state" / "audits" / f"LONG-{number}"
        audit.mkdir(parents=True, exist_ok=True)
        (audit / "audit.json").write_text(head + "[1, 2], " * 900_000 + "0]}", "utf-8")
    before = page.peak_memory_mib()
    shown = technician.get("/audits")
    shutil.rmtree(folder / "state" / "audits")
    assert (shown.status, shown.text.count("a long audit"), shown.text.count("FAIL 7")) == (200, 8, 8)
    assert page.peak_memory_mib() - before < 16


def test_no_header_can_be_brought_in(page: PageProcess, technician: RawClient) -> None:
    for path in (
        "/language?to=de%0d%0aSet-Cookie:%20x=y&back=/state",
        "/language?to=de&back=/state%0d%0aX-Evil:%20y",
        "/language?to=de&back=//evil.example",
        "/language?to=de&back=https://evil.example/",
    ):
        answer = technician.get(path)
        assert (answer.status, answer.header("X-Evil")) == (303, "")
        assert answer.header("Location") in ("/", "/state")
        assert set(answer.cookies) <= {"chargy-language"}
        assert answer.cookies.get("chargy-language", "de") == "de"


def test_what_is_typed_is_text(page: PageProcess) -> None:
    client = RawClient(page.port)
    answer = client.get("/login?user=<script>alert(1)</script>")
    assert "<script>alert" not in answer.text
    answer = client.request("GET", "/login", headers={"Accept-Language": '"><script>alert(1)</script>'})
    assert (answer.status, "<script>alert" in answer.text) == (200, False)


def logins_in_pause(client: RawClient) -> tuple[float, Answer, Answer]:
    """A pause after a wrong guess (s), and two logins with the right password that were answered in it. The pause is
    twice as long after each guess: at last it is long enough for a machine that others use too."""
    pause_s = 1.0
    for number in range(8):
        began = time.monotonic()
        while (status := client.login("tom", f"later guess {number}").status) == 429:
            time.sleep(0.2)
            began = time.monotonic()
        assert status == 401
        answers = client.login("tom"), client.login("rita")
        if time.monotonic() - began < pause_s:
            return pause_s, *answers
        pause_s *= 2
    raise AssertionError("no pause was long enough for two logins")


def test_guessing_is_paused_more_and_more(tmp_path: Path) -> None:
    with served_page(write_page_station(tmp_path)) as page:
        client = RawClient(page.port)
        statuses = [client.login("tom", f"guess number {n}").status for n in range(2)]
        assert statuses == [401, 401]
        pause_s, refused, of_another = logins_in_pause(client)
        assert refused.status == 429, "even the right password is not tried during the pause"
        assert 1 <= int(refused.header("Retry-After")) <= pause_s
        assert of_another.status == 429, "the address has a pause for every user"

        def logged_in() -> bool:
            return client.login("tom").status == 303

        began = time.monotonic()
        while not logged_in():
            assert time.monotonic() - began < pause_s + stretched(30)
            time.sleep(0.2)
        assert client.get("/state").status == 200


def test_an_unknown_user_takes_as_long(tmp_path: Path) -> None:
    """Each login from a process of its own would cost much; after the third failure there is a pause."""
    took: dict[str, list[float]] = {"tom": [], "unknown": []}
    with served_page(write_page_station(tmp_path)) as page:
        client = RawClient(page.port)
        for name, seconds in took.items():
            while len(seconds) < 3:
                form = client.get("/login").form
                began = page.cpu_time_s()
                status = client.post("/login", {"form": form, "user": name, "password": "wrong password"}).status
                if status == 401:
                    seconds.append(page.cpu_time_s() - began)
                else:
                    time.sleep(0.3)
    known, unknown = (statistics.median(seconds) for seconds in took.values())
    assert min(known, unknown) > 0.3 * max(known, unknown), took  # without a hash it would be a tenth at most


def test_slow_clients_keep_the_others_out_no_longer_than_their_time(page: PageProcess, technician: RawClient) -> None:
    """As many connections as there may be send nothing, or the head of a form and no body."""
    silent = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(http_service.CONNECTIONS_MOST - 4)]
    slow = technician.connect()
    head = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
    slow.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nform=".encode())
    try:
        assert technician.get("/login").status in (200, 303), "the page is there beside them"
        for connection in silent:
            connection.settimeout(stretched(http_service.HEAD_S + 10))
            assert connection.recv(1) == b"", "a connection that sends nothing is cut off"
        slow.settimeout(stretched(http_service.BODY_S + 10))
        assert read_answer(slow).status == 408
    finally:
        for connection in (*silent, slow):
            connection.close()


def test_more_connections_than_there_may_be_are_refused(page: PageProcess) -> None:
    """Those that are not refused are answered, once all have come: a silent one is cut off later in any case."""
    held = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(http_service.CONNECTIONS_MOST + 8)]
    try:
        patience, refused = Deadline(20), list[socket.socket]()
        while len(refused) < 8 and not patience.over:
            refused = select.select(held, [], [], 0.1)[0]
        served = [connection for connection in held if connection not in refused]
        for connection in served:
            connection.settimeout(stretched(20))
            connection.sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert [read_answer(connection).status for connection in served] == [200] * http_service.CONNECTIONS_MOST
        assert [connection.recv(1) for connection in refused] == [b""] * 8
    finally:
        for connection in held:
            connection.close()


def test_many_logins_at_once_hash_one_after_the_other(page: PageProcess) -> None:
    """Each hash takes 16 MiB: with all at once the memory of a board would be gone."""

    def try_login(number: int) -> int:
        return RawClient(page.port).login(f"user{number}", PASSWORD).status

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(try_login, range(12)))
    assert set(statuses) <= {401, 429}
    assert 429 in statuses
    assert page.peak_memory_mib() < 110


def test_logins_that_wait_for_their_turn_meet_the_pause(tmp_path: Path) -> None:
    """What was sent at once is judged one by one: the fourth wrong password is not hashed any more. The pause is a
    second: all four have to be there when the page begins with the first."""
    with served_page(write_page_station(tmp_path)) as page, contextlib.ExitStack() as stack:
        clients = [RawClient(page.port) for _ in range(4)]
        fields = [{"form": c.get("/login").form, "user": "max", "password": "a wrong one"} for c in clients]
        with suspended(page):
            connections = [stack.enter_context(client.connect()) for client in clients]
            for connection, client, given in zip(connections, clients, fields, strict=True):
                connection.sendall(client.request_bytes("POST", "/login", urlencode(given).encode()))
        answers = [read_answer(connection).status for connection in connections]
        assert sorted(answers) == [401, 401, 401, 429]


@contextlib.contextmanager
def suspended(page: PageProcess) -> Iterator[None]:
    page.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        page.process.send_signal(signal.SIGCONT)


def test_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert = authority.server()
    cert.chmod(0o600)
    with served_page(write_page_station(tmp_path, f'tls_cert = "{cert}"\ntls_key = "{cert}"')) as page:
        context = ssl.create_default_context(cafile=str(authority.root))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the root of the tests has no key identifiers
        client = RawClient(page.port, context)
        answer = client.login("tom")
        cookie = next(v for k, v in answer.headers if k == "Set-Cookie" and v.startswith("__Host-chargy-session="))
        assert "secure" in cookie.lower()
        assert client.get("/state").status == 200
        assert http_service.tls_context(cert, cert).minimum_version is ssl.TLSVersion.TLSv1_2
