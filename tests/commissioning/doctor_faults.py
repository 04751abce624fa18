"""The planted faults for the doctor in one table: the fault, the rung and the finding that name it, and words of the
English text. ``test_doctor.py`` plants each against a real far end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.model.traffic import DEFAULT_BEARER
from agent.ports.store import Put
from agent.services.store.store import Store
from tests.drivers.modbus_far_ends import Bank, TcpLine
from tests.support import doctor_far_ends as far
from tests.support import modem_process
from tests.support.busy_machine import stretched
from tests.support.certificate_authorities import Authority, tls

ROOT = Path(__file__).resolve().parents[2]
OUTLET = "[[evse]]\nnumber = 1\n"


@dataclass
class Plot:
    """Where a fault is planted. ``backend`` and ``tables`` become parts of the station file."""

    folder: Path
    ours: Authority
    foreign: Authority
    url: str = ""
    backend: dict[str, str] = field(default_factory=dict)
    tables: str = ""
    sys_folder: Path = Path("/sys")
    state_dir: str = "state"

    def text(self) -> str:
        keys = "".join(f"{k} = {v}\n" for k, v in self.backend.items())
        return (
            f'[station]\nid = "CP-1"\nstate_dir = "{self.state_dir}"\n[backend]\nurl = "{self.url}"\n{keys}'
            f"{self.tables or OUTLET}"
        )


Planting = Callable[[Plot], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """``at``: the rung. ``options``: of the doctor. ``is_quick`` False: a step takes all its time to see it."""

    at: str
    code: str
    words: tuple[str, ...]
    plant: Planting
    options: dict[str, Any] = field(default_factory=dict)
    is_quick: bool = True


# --- the backend -----------------------------------------------------------------------------------------------------


def on_port(make: Callable[[], AbstractContextManager[int]], scheme: str = "ws") -> Planting:
    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        with make() as port:
            plot.url = f"{scheme}://127.0.0.1:{port}"
            if scheme == "wss":
                plot.backend["ca"] = f'"{plot.ours.root}"'
            yield

    return plant


def answering(respond: far.Respond) -> Planting:
    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with far.raw_server(respond) as port:
            plot.url = f"ws://127.0.0.1:{port}"
            yield

    return plant


def over_soap(act: far.Respond) -> Planting:
    """A server at the address of a station that speaks OCPP 1.5."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with far.raw_server(far.over_soap(act)) as port:
            plot.url = f"http://127.0.0.1:{port}/ocpp"
            plot.backend |= {"versions": '["1.5"]', "soap_port": "0"}
            yield

    return plant


def posting(status: str, body: str = "", *headers: str) -> Planting:
    return over_soap(far.say(far.post_answer(status, body, *headers)))


@asynccontextmanager
async def taken_port(plot: Plot) -> AsyncIterator[None]:
    """Another program has the station's own port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with far.raw_server(far.soap_backend([])) as port:
            plot.url = f"http://127.0.0.1:{port}/ocpp"
            plot.backend |= {"versions": '["1.5"]', "soap_port": str(taken.getsockname()[1])}
            yield


def booting(answer: far.Answer, **options: Any) -> Planting:
    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with far.backend(answer, **options) as (port, _):
            plot.url = f"ws://127.0.0.1:{port}"
            yield

    return plant


def saying(text: str) -> far.Answer:
    async def answer(ws: Any, id_: str) -> None:
        await ws.send(text.replace("ID", id_))

    return answer


async def say_nothing(ws: Any, id_: str) -> None:
    await ws.wait_closed()


async def close_connection(ws: Any, id_: str) -> None:
    await ws.close()


async def slowly(head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2.1)
    writer.write(far.plain_answer())
    await writer.drain()


async def swallow_large(head: bytes, writer: asyncio.StreamWriter) -> None:
    if len(head) > 1400:
        await asyncio.sleep(3600)
    writer.write(far.plain_answer())
    await writer.drain()


def losing_every_second() -> far.Respond:
    seen: list[int] = []

    async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(1)
        if len(seen) % 2 == 0:
            await asyncio.sleep(3600)
        writer.write(far.plain_answer())
        await writer.drain()

    return respond


def beside_a_good_upgrade(respond: far.Respond) -> Planting:
    """A WebSocket server takes the upgrades; plain requests get this answer."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with far.backend() as (good, _):

            async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    head = await reader.readuntil(b"\r\n\r\n")
                    if far.is_upgrade(head):
                        theirs, ours = await asyncio.open_connection("127.0.0.1", good)
                        ours.write(head)
                        await asyncio.gather(far.pass_on(reader, ours), far.pass_on(theirs, writer))
                    else:
                        await respond(head, writer)
                writer.close()

            server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
            plot.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield
            server.close()

    return plant


# --- TLS -------------------------------------------------------------------------------------------------------------


def secured(
    certificate: Callable[[Plot], Path], context: Callable[[Plot, Path], Any] | None = None, **keys: str
) -> Planting:
    """A good backend behind TLS. ``keys``: of [backend], with names of the plot's files in braces."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        path = certificate(plot)
        made = context(plot, path) if context is not None else tls(path)
        async with far.backend() as (good, _):
            with far.tls_front(good, made) as port:
                plot.url = f"wss://127.0.0.1:{port}"
                plot.backend |= {"ca": f'"{plot.ours.root}"', **keys}
                yield

    return plant


def dated_server(span: tuple[float, float], offset_days: float) -> Planting:
    """A server whose certificate is valid by its own clock only."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        signer = Authority(plot.folder, "Dated Root", span=(-2000, 2000))

        async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(far.plain_answer(offset_days * far.DAY_S))
            await writer.drain()

        async with far.raw_server(respond) as plain:
            with far.tls_front(plain, tls(far.server_file(signer, plot.folder, span=span))) as port:
                plot.url = f"wss://127.0.0.1:{port}"
                plot.backend["ca"] = f'"{signer.root}"'
                yield

    return plant


def ours_for(
    hosts: tuple[str, ...] = ("127.0.0.1",), span: tuple[float, float] = (-100, 100)
) -> Callable[[Plot], Path]:
    return lambda plot: far.server_file(plot.ours, plot.folder, hosts, span)


def foreign_with_root(plot: Plot) -> Path:
    return far.server_file(plot.foreign, plot.folder, chain=[plot.foreign])


def without_intermediate(plot: Plot) -> Path:
    middle = Authority(plot.folder, "Test Intermediate", above=plot.ours)
    return far.server_file(middle, plot.folder)


def demanding(version: str) -> Callable[[Plot, Path], Any]:
    return lambda plot, path: tls(path, clients=plot.ours.root, version=version)


@asynccontextmanager
async def own_certificate(plot: Plot, days: int, signer: Authority) -> AsyncIterator[None]:
    path = signer.client("CP-1", days=days)
    path.chmod(0o600)
    async with far.backend() as (good, _):
        context = tls(ours_for()(plot), clients=plot.ours.root)
        with far.tls_front(good, context) as port:
            plot.url = f"wss://127.0.0.1:{port}"
            plot.backend |= {"ca": f'"{plot.ours.root}"', "security_profile": "3", "client_cert": f'"{path}"'}
            yield


@asynccontextmanager
async def revoked(plot: Plot) -> AsyncIterator[None]:
    path = ours_for()(plot)
    plot.backend["crl"] = f'"{plot.ours.crl(path)}"'
    async with secured(lambda _: path)(plot):
        yield


# --- modem, bearers, devices, disk -----------------------------------------------------------------------------------


def modem(
    *argv: str,
    fault: str = "",
    values: dict[str, Any] | None = None,
    keys: str = "",
    deed: str = "",
    interface: str = "lo",
) -> Planting:
    """A modem as the only bearer. ``fault`` and ``values``: as its control socket takes them. It is a process, which a
    busy machine lets wait; only a silent one takes all its time."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with modem_process.running(plot.folder, *argv) as far_end, far.backend() as (port, _):
            if fault:
                await far_end.fault(fault)
            if values:
                await far_end.do("set", **values)
            plot.url = f"ws://127.0.0.1:{port}"
            answer_s = 0.5 if fault == "hang" else stretched(2.0)
            program = ", ".join(f'"{word}"' for word in far_end.pppd(deed or "time.sleep(3600)"))
            plot.tables = (
                f'[[bearer]]\ndriver = "modem_at"\nkind = "gprs"\ndevice = "{far_end.line}"\napn = "chargy.m2m"\n'
                f'interface = "{interface}"\nanswer_s = {answer_s:.1f}\npppd = [{program}]\n{keys}{OUTLET}'
            )
            yield

    return plant


def bearer(interface: str) -> Planting:
    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        async with far.backend() as (port, _):
            plot.url = f"ws://127.0.0.1:{port}"
            plot.tables = (
                f'[[bearer]]\ndriver = "lan_static"\nkind = "lan"\ninterface = "{interface}"\n[[evse]]\nnumber = 1\n'
            )
            yield

    return plant


def used_volume(soft_mb: int, hard_mb: int) -> Planting:
    """A good backend, and a store in which 2.5 MB were counted this month."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        month = time.strftime("%Y-%m", time.gmtime())
        counted = {DEFAULT_BEARER: {"01": [10, 1_000_000, 1_000_000, 500_000]}}
        record = {"since_utc_s": time.time(), "level": "within", "actions": {}, "days": counted}
        store = await Store.open(plot.folder / "state" / "agent.db")
        await store.commit([Put("traffic", month, record)])
        await store.close()
        async with far.backend() as (port, _):
            plot.url = f"ws://127.0.0.1:{port}"
            plot.tables = f"[link]\nmonthly_mb_soft = {soft_mb}\nmonthly_mb_hard = {hard_mb}\n{OUTLET}"
            yield

    return plant


METER = '[[evse]]\nnumber = 1\n[evse.meter]\ndriver = "meter_modbus"\nmap = "eastron_sdm630"\nline = "tcp"\n'


def modbus_meter(prepare: Callable[[Bank], None], unit: int, timeout_s: float = 5.0) -> Planting:
    """A good backend, and a meter at unit 1 on Modbus TCP. ``timeout_s``: a short one where no answer comes."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        bank = Bank()
        prepare(bank)
        async with TcpLine(bank) as line, far.backend() as (port, _):
            plot.url = f"ws://127.0.0.1:{port}"
            plot.tables = f'{METER}host = "127.0.0.1"\nport = {line.port}\nunit = {unit}\ntimeout_s = {timeout_s}\n'
            yield

    return plant


def fill_meter(bank: Bank) -> None:
    bank.put(1, 0, 0)
    for address, value in ((0, 230.0), (2, 230.0), (4, 230.0), (342, 12.5), (72, 12.5)):
        bank.floats(1, address, value)
    bank.put(1, 0xFC02, 0x0070)


def silence_meter(bank: Bank) -> None:
    fill_meter(bank)
    bank.deaf.add(1)


def spoil_meter(bank: Bank) -> None:
    fill_meter(bank)
    bank.floats(1, 342, float("nan"))
    bank.floats(1, 72, float("nan"))


@asynccontextmanager
async def missing_reader(plot: Plot) -> AsyncIterator[None]:
    async with far.backend() as (port, _):
        plot.url = f"ws://127.0.0.1:{port}"
        plot.tables = (
            f'[[evse]]\nnumber = 1\n[[reader]]\ndriver = "reader_serial"\ndevice = "{plot.folder}/no-such-line"\n'
        )
        yield


def worn_memory(life_time: str, pre_eol: str = "0x01") -> Planting:
    """A good backend, and a folder like that of the kernel for an eMMC."""

    @asynccontextmanager
    async def plant(plot: Plot) -> AsyncIterator[None]:
        number = os.stat(plot.folder).st_dev
        card = plot.folder / "sys/devices/mmc0"
        (card / "block/mmcblk0/mmcblk0p2").mkdir(parents=True)
        (card / "block/mmcblk0/device").symlink_to(card)
        (card / "life_time").write_text(f"{life_time}\n")
        (card / "pre_eol_info").write_text(f"{pre_eol}\n")
        (plot.folder / "sys/dev/block").mkdir(parents=True)
        place = plot.folder / "sys/dev/block" / f"{os.major(number)}:{os.minor(number)}"
        place.symlink_to(card / "block/mmcblk0/mmcblk0p2")
        plot.sys_folder = plot.folder / "sys"
        async with far.backend() as (port, _):
            plot.url = f"ws://127.0.0.1:{port}"
            yield

    return plant


@asynccontextmanager
async def mistyped_key(plot: Plot) -> AsyncIterator[None]:
    async with far.backend() as (port, _):
        plot.url = f"ws://127.0.0.1:{port}"
        plot.backend["pasword"] = '"x"'
        yield


def refuse_tls(client: socket.socket) -> None:
    client.recv(4096)
    client.shutdown(socket.SHUT_RDWR)


def hang_up(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_RDWR)
    client.close()


def do_nothing(client: socket.socket) -> None:
    return


def greet(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.7\r\n")


HTML = ("Content-Type: text/html",)
FAULTS: dict[str, Fault] = {
    "a mistyped key": Fault("station_file", "file_wrong", ("pasword", "password"), mistyped_key),
    # --- TCP
    "nothing listens": Fault("tcp", "tcp_refused", ("refuses",), on_port(far.closed_port)),
    "packets are swallowed": Fault(
        "tcp", "tcp_silent", ("swallowed", "firewall"), on_port(far.swallowing_port), is_quick=False
    ),
    # --- TLS
    "expired certificate": Fault(
        "tls", "tls_certificate_expired", ("expired",), secured(ours_for(span=(-90, -1)))
    ),
    "not yet valid": Fault("tls", "tls_not_yet_valid", ("not yet valid",), secured(ours_for(span=(1, 90)))),
    "station clock ahead": Fault(
        "tls", "tls_station_clock", ("clock of this station",), dated_server((-900, -300), -600)
    ),
    "station clock behind": Fault(
        "tls", "tls_station_clock", ("clock of this station",), dated_server((300, 900), 600)
    ),
    "wrong name": Fault(
        "tls", "tls_wrong_name", ("ocpp.example.org", "127.0.0.1"), secured(ours_for(("ocpp.example.org",)))
    ),
    "unknown root": Fault("tls", "tls_root_unknown", ("Foreign Root", "trust"), secured(foreign_with_root)),
    "incomplete chain": Fault(
        "tls", "tls_issuer_unknown", ("Test Intermediate", "complete chain"), secured(without_intermediate)
    ),
    "revoked certificate": Fault("tls", "tls_revoked", ("revoked",), revoked),
    "client certificate demanded, TLS 1.2": Fault(
        "tls", "tls_client_certificate_demanded", ("demands",), secured(ours_for(), demanding("1.2"))
    ),
    "client certificate demanded, TLS 1.3": Fault(
        "tls", "tls_client_certificate_demanded", ("demands",), secured(ours_for(), demanding("1.3"))
    ),
    "own certificate of another authority": Fault(
        "tls", "tls_client_certificate_refused", ("not accept",), lambda p: own_certificate(p, 30, p.foreign)
    ),
    "own certificate has ended": Fault(
        "tls", "tls_own_certificate_ended", ("expired",), lambda p: own_certificate(p, -1, p.ours)
    ),
    "TLS 1.1 alone": Fault(
        "tls", "tls_version", ("TLS 1.2",), secured(ours_for(), lambda plot, path: tls(path, version="1.1"))
    ),
    "no common cipher suite": Fault(
        "tls", "tls_cipher", ("cipher",),
        secured(ours_for(), lambda plot, path: tls(path, version="1.2", ciphers="ECDHE-ECDSA-CHACHA20-POLY1305")),
    ),
    "no TLS on the port": Fault("tls", "tls_not_tls", ("not speak TLS",), on_port(lambda: far.talker(greet), "wss")),
    "hung up during TLS": Fault("tls", "tls_hung_up", ("hangs up",), on_port(lambda: far.talker(refuse_tls), "wss")),
    "silent to TLS": Fault(
        "tls", "tls_silent", ("says nothing",), on_port(lambda: far.talker(do_nothing), "wss"), is_quick=False
    ),
    "certificate ends soon": Fault("tls", "tls_ends_soon", ("ends soon",), secured(ours_for(span=(-90, 5)))),
    # --- HTTP upgrade
    "401": Fault("http", "http_unauthorized", ("401", "password"), answering(far.http("401 Unauthorized"))),
    "403": Fault("http", "http_forbidden", ("403", "not allowed"), answering(far.http("403 Forbidden"))),
    "404": Fault("http", "http_not_found", ("404", "path"), answering(far.http("404 Not Found"))),
    "400": Fault("http", "http_status", ("400",), answering(far.http("400 Bad Request"))),
    "502": Fault("http", "http_server_error", ("502", "proxy"), answering(far.http("502 Bad Gateway"))),
    "redirected to another address": Fault(
        "http", "http_redirected", ("301", "https://new.example.org/x"),
        answering(far.http("301 Moved", "Location: https://new.example.org/x?token=SECRET")),
    ),
    "captive portal": Fault(
        "http", "http_portal", ("web page", "captive portal"),
        answering(far.http("200 OK", *HTML, body="<html>Welcome</html>")),
    ),
    "a web service": Fault(
        "http", "http_not_websocket", ("not with a WebSocket",),
        answering(far.http("200 OK", "Content-Type: application/json", body="{}")),
    ),
    "upgrade required": Fault("http", "http_not_websocket", ("426",), answering(far.http("426 Upgrade Required"))),
    "a wrong key in the upgrade": Fault(
        "http", "http_not_websocket", ("not with a WebSocket",),
        answering(far.http("101 Switching", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: x")),
    ),
    "no subprotocol": Fault(
        "http", "http_no_subprotocol", ("no OCPP version", "1.6"), booting(far.boot_answer(), subprotocols=None)
    ),
    "wrong subprotocol": Fault(
        "http", "http_wrong_subprotocol", ("not offered",),
        booting(far.boot_answer(), subprotocols=None, select_subprotocol=lambda ws, offered: "ocpp2.1"),
    ),
    "silent to the upgrade": Fault(
        "http", "http_silent", ("never answers",), answering(far.upgrade(far.stay_silent)), is_quick=False
    ),
    "closed at once": Fault(
        "http", "http_closed", ("closes the connection",), answering(far.upgrade(far.close_at_once))
    ),
    "hung up before the request": Fault(
        "http", "http_closed", ("closes the connection",), on_port(lambda: far.talker(hang_up))
    ),
    "another protocol": Fault("http", "http_not_http", ("else than HTTP",), on_port(lambda: far.talker(greet))),
    # --- SOAP
    "SOAP: 401": Fault("soap", "soap_unauthorized", ("401", "password"), posting("401 Unauthorized")),
    "SOAP: 403": Fault("soap", "soap_forbidden", ("403", "CP-1", "APN"), posting("403 Forbidden")),
    "SOAP: 404": Fault("soap", "soap_not_found", ("404", "path"), posting("404 Not Found", "<html>no</html>")),
    "SOAP: 405": Fault("soap", "soap_status", ("405",), posting("405 Method Not Allowed")),
    "SOAP: sent elsewhere": Fault(
        "soap", "soap_redirected", ("302",), posting("302 Found", "", "Location: https://login.example/?token=SECRET")
    ),
    "SOAP: login page": Fault(
        "soap", "soap_portal", ("page", "captive portal"), posting("200 OK", "<html>Welcome</html>")
    ),
    "SOAP: error page": Fault(
        "soap", "soap_server_error", ("500", "sends again"), posting("500 Internal Server Error", "<html>oh</html>")
    ),
    "SOAP: gateway without its backend": Fault(
        "soap", "soap_server_fault", ("no upstream", "gateway"),
        posting("500 Internal Server Error", far.fault_text("Receiver", "", "no upstream")),
    ),
    "SOAP: unknown identity": Fault(
        "soap", "soap_identity", ("IdentityMismatch", "CP-1", "charge_point_id"),
        posting("400 Bad Request", far.fault_text("Sender", "IdentityMismatch")),
    ),
    "SOAP: not allowed": Fault(
        "soap", "soap_security", ("SecurityError", "CP-1"),
        posting("400 Bad Request", far.fault_text("Sender", "SecurityError")),
    ),
    "SOAP: another version": Fault(
        "soap", "soap_version", ("offered: 1.5", "versions"), posting("400 Bad Request", far.fault_text("Sender"))
    ),
    "SOAP: another address of the station": Fault(
        "soap", "soap_wrong_url", ("UrlMismatch", "soap_address"),
        posting("400 Bad Request", far.fault_text("Sender", "UrlMismatch")),
    ),
    "SOAP: the backend's own error": Fault(
        "soap", "soap_fault", ("InternalError",), posting("500 Error", far.fault_text("Receiver", "InternalError"))
    ),
    "SOAP: answer without its time": Fault(
        "soap", "soap_wrong_answer", ("breaks the standard",),
        posting("200 OK", far.soap_text("<o:heartbeatResponse/>")),
    ),
    "SOAP: no answer": Fault("soap", "soap_silent", ("never answers",), over_soap(far.stay_silent), is_quick=False),
    "SOAP: closed at once": Fault(
        "soap", "soap_closed", ("closes the connection",), over_soap(far.close_at_once)
    ),
    "SOAP: own port taken": Fault("soap", "soap_own_port", ("soap_port", "in use"), taken_port),
    # --- BootNotification and clock
    "Pending": Fault("boot", "boot_pending", ("Pending",), booting(far.boot_answer("Pending")), {"boot": True}),
    "Rejected": Fault("boot", "boot_rejected", ("Rejected",), booting(far.boot_answer("Rejected")), {"boot": True}),
    "boot answer without time": Fault(
        "boot", "boot_wrong_answer", ("breaks the standard",), booting(saying('[3,"ID",{"status":"Accepted"}]')),
        {"boot": True},
    ),
    "boot answer with another status": Fault(
        "boot", "boot_wrong_answer", ("breaks the standard",),
        booting(saying('[3,"ID",{"status":"Fine","currentTime":"2026-11-28T12:00:00Z","interval":5}]')),
        {"boot": True},
    ),
    "boot answered with an error": Fault(
        "boot", "boot_error", ("error", "InternalError"), booting(saying('[4,"ID","InternalError","",{}]')),
        {"boot": True},
    ),
    "no answer to the boot": Fault(
        "boot", "boot_silent", ("no answer",), booting(say_nothing), {"boot": True}, is_quick=False
    ),
    "closed at the boot": Fault(
        "boot", "boot_closed", ("closes the connection",), booting(close_connection), {"boot": True}
    ),
    "backend clock an hour ahead": Fault(
        "clock", "clock_differs", ("+60 min",), booting(far.boot_answer(offset_s=3600)), {"boot": True}
    ),
    "clock of the web server a day behind": Fault(
        "clock", "clock_differs", ("-24 h",),
        beside_a_good_upgrade(far.say(far.plain_answer(-far.DAY_S))),
    ),
    # --- latency, loss, large packets
    "slow": Fault("latency", "latency_high", ("slow",), beside_a_good_upgrade(slowly)),
    "requests get lost": Fault(
        "latency", "answers_lost", ("1 of 3",), beside_a_good_upgrade(losing_every_second()), is_quick=False
    ),
    "large packets get lost": Fault(
        "mtu", "mtu_large_lost", ("3000 octets do not", "MTU"), beside_a_good_upgrade(swallow_large), is_quick=False
    ),
    # --- modem
    "no SIM": Fault("sim", "sim_missing", ("no SIM",), modem(fault="no_sim")),
    "PIN wanted, none in the file": Fault("sim", "sim_pin_missing", ("wants a PIN",), modem("--pin", "1234")),
    "PIN refused before": Fault(
        "sim", "sim_pin_refused", ("refused a PIN", "2"),
        modem("--pin", "1234", values={"tries": 2}, keys='pin = "9999"\n'),
    ),
    "one try left": Fault(
        "sim", "sim_last_try", ("one try left",), modem("--pin", "1234", values={"tries": 1}, keys='pin = "9999"\n')
    ),
    "PUK wanted": Fault("sim", "sim_puk", ("PUK",), modem(fault="puk")),
    "another SIM": Fault("sim", "sim_other", ("another SIM", "0176"), modem(keys='iccid = "89352010000000000999"\n')),
    "modem without answer": Fault("sim", "modem_silent", ("modem does not answer",), modem(fault="hang")),
    "registration denied": Fault("registration", "registration_denied", ("refuses the SIM",), modem(fault="denied")),
    "no network found": Fault(
        "registration", "registration_searching", ("not registered",), modem(fault="searching")
    ),
    "no signal": Fault("registration", "registration_no_signal", ("no signal", "antenna"), modem(fault="no_signal")),
    "weak signal": Fault("registration", "signal_weak", ("weak", "-111 dBm"), modem(values={"signal": 1})),
    "APN refused": Fault(
        "bearer", "dial_refused", ("refuses the connection", "apn", "PDP activation failed"),
        modem(fault="no_carrier"), {"dial": True},
    ),
    "password of the APN refused": Fault(
        "bearer", "dial_refused", ("user or password",), modem(deed="sys.exit(19)", interface="nosuch0"), {"dial": True}
    ),
    # --- data budget
    "soft limit of the data budget": Fault("budget", "budget_soft", ("soft limit", "2.50 MB"), used_volume(2, 5)),
    "hard limit of the data budget": Fault("budget", "budget_hard", ("hard limit", "2.50 MB"), used_volume(1, 2)),
    # --- interface, devices, memory
    "no such interface": Fault("bearer", "bearer_absent", ("not there", "nosuch0"), bearer("nosuch0")),
    "meter silent": Fault("devices", "device_silent", ("silent", "unit id"), modbus_meter(silence_meter, 1, 0.3)),
    "meter at another unit id": Fault(
        "devices", "device_silent", ("silent", "unit id"), modbus_meter(fill_meter, 7, 0.3)
    ),
    "meter reports nonsense": Fault("devices", "device_garbled", ("cannot be",), modbus_meter(spoil_meter, 1)),
    "reader missing": Fault("devices", "device_silent", ("no-such-line",), missing_reader),
    "flash memory worn": Fault("flash", "flash_worn", ("80 - 90 %",), worn_memory("0x03 0x09")),
    "flash memory at its end": Fault("flash", "flash_end", ("> 100 %", "replace"), worn_memory("0x0b 0x02")),
    "flash memory without spare blocks": Fault("flash", "flash_end", ("replace",), worn_memory("0x02 0x01", "0x03")),
}  # fmt: skip
MAY_FOLLOW = {
    "tls_own_certificate_ended": ("tls_client_certificate_refused",),
    "bearer_absent": ("device_unfit",),
    "device_silent": ("device_unfit",),
}
"""Findings of the same fault that may stand beside it."""
