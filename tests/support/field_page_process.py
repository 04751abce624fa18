"""The field page of a station as a process of its own, and a client that speaks HTTP by hand."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from agent.commands.page.page_users import PageUser, make_page_user, save_page_users
from agent.commands.page.roles import Role
from tests.scenarios.control_rig import wait_for
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse 7"
STATION = """
[station]
id = "CP-1"
number = "1234"
state_dir = "state"
[backend]
url = "ws://127.0.0.1:9/ocpp"
[field_page]
port = 1
{more}
[[evse]]
number = 1
"""


def write_users(path: Path, **roles: Role) -> None:
    """All have the same password, and one hash: to hash it takes long."""
    one = make_page_user("someone", Role.READER, PASSWORD)
    save_page_users(path, {name: PageUser(name, role, one.salt, one.hash) for name, role in roles.items()})


def write_page_station(folder: Path, more: str = "") -> Path:
    path = folder / "station.toml"
    path.write_text(STATION.format(more=more), "utf-8")
    write_users(
        folder / "state" / "field-page" / "users.json",
        rita=Role.READER, tom=Role.TECHNICIAN, max=Role.MANUFACTURER,
    )  # fmt: skip
    return path


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def cookies(self) -> dict[str, str]:
        found = (value.partition(";")[0].partition("=") for key, value in self.headers if key.lower() == "set-cookie")
        return {name: value for name, _, value in found}

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def form(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.text)
        assert found, self.text[:500]
        return found[1]


@dataclass
class RawClient:
    """A browser with nothing of its own: it keeps cookies and sends what it is given."""

    port: int
    tls: ssl.SSLContext | None = None
    cookies: dict[str, str] = field(default_factory=dict)

    def connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=stretched(20))
        return plain if self.tls is None else self.tls.wrap_socket(plain, server_hostname="localhost")

    def send(self, data: bytes) -> Answer:
        with self.connect() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def request_bytes(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> bytes:
        given = {"Host": f"{host}:{self.port}", **(headers or {})}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if method == "POST":
            given.setdefault("Content-Length", str(len(body)))
            given.setdefault("Content-Type", "application/x-www-form-urlencoded")
        head = "".join(f"{k}: {v}\r\n" for k, v in given.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> Answer:
        answer = self.send(self.request_bytes(method, path, body, headers, host))
        self.cookies.update({k: v for k, v in answer.cookies.items() if v})
        return answer

    def get(self, path: str, **more: str) -> Answer:
        return self.request("GET", path, **more)  # type: ignore[arg-type]

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("POST", path, urlencode(fields).encode(), headers)

    def login(self, user: str, password: str = PASSWORD) -> Answer:
        self.cookies = {name: value for name, value in self.cookies.items() if "session" not in name}
        form = self.get("/login").form
        return self.post("/login", {"form": form, "user": user, "password": password})


def read_answer(connection: socket.socket) -> Answer:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    assert status.startswith("HTTP/1."), f"no answer: {data[:100]!r}"
    pairs = (line.partition(": ") for line in lines)
    return Answer(int(status.split()[1]), [(name, value) for name, _, value in pairs], body)


class PageProcess:
    """``lines`` grows with what the process says."""

    def __init__(self, station: Path) -> None:
        argv = [sys.executable, "-m", "agent", "page", "serve", "--port", "0", str(station)]
        self.process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.lines: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.port = int(wait_for(self._address, "the address of the page", 60))

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def peak_memory_mib(self) -> float:
        """The most memory that the process has had resident (proc_pid_status(5))."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1024

    def cpu_time_s(self) -> float:
        """The CPU time of the process, which other processes do not lengthen (proc_pid_stat(5))."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _address(self) -> str | None:
        found = (re.search(r"field page at https?://\S+:(\d+)/", line) for line in list(self.lines))
        port = next((match[1] for match in found if match), None)
        assert port or self.process.poll() is None, self.lines
        return port


@contextlib.contextmanager
def served_page(station: Path) -> Iterator[PageProcess]:
    page = PageProcess(station)
    try:
        yield page
    finally:
        page.process.terminate()
        page.process.wait(stretched(10))
