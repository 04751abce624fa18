"""The doctor in networks and on disks of its own: namespaces with virtual interfaces, a name server that is ours, and
small file systems in memory."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.doctor.findings import CODES
from tests.support.busy_machine import deadline, stretched

ROOT = Path(__file__).resolve().parents[2]
NAME_SERVER = """\
import socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.9.9.9", 53))
print("ready", flush=True)
while True:
    asked, there = server.recvfrom(512)
    if sys.argv[1] == "silent":
        continue
    end = 12
    while asked[end]:
        end += asked[end] + 1
    kind = struct.unpack(">H", asked[end + 1:end + 3])[0]
    question, found = asked[12:end + 5], sys.argv[1] == "good" and kind == 1
    code = 3 if sys.argv[1] == "unknown" else 0
    head = asked[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, int(found), 0, 0)
    record = b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
    server.sendto(head + question + (record if found else b""), there)
"""
PAIR = "ip link add v0 type veth peer name v1"
LAN = '[[bearer]]\ndriver = "lan_static"\nkind = "lan"\ninterface = "v0"\n'
OURS = "nameserver 127.9.9.9\noptions timeout:3 attempts:1\n"
SILENT = OURS.replace("timeout:3", "timeout:1")
FAR_AWAY, NAMED, NEAR = "ws://198.51.100.7:9000", "ws://ocpp.example.org:9", "ws://127.0.0.1:9"


@dataclass(frozen=True)
class NetworkFault:
    """``commands``: run in the namespaces before the doctor. ``follows``: what else is wrong because of it."""

    at: str
    code: str
    words: tuple[str, ...]
    commands: str = "true"
    url: str = NEAR
    tables: str = ""
    name_server: str = ""
    resolv_conf: str | None = None
    follows: tuple[str, ...] = ("tcp_refused",)


FAULTS: dict[str, NetworkFault] = {
    "cable pulled": NetworkFault(
        "bearer", "bearer_no_carrier", ("no carrier", "cable"), f"{PAIR}; ip link set v0 up", tables=LAN
    ),
    "no address": NetworkFault(
        "bearer", "bearer_no_address", ("no address", "DHCP"), f"{PAIR}; ip link set v0 up; ip link set v1 up",
        tables=LAN,
    ),
    "no route": NetworkFault(
        "route", "route_missing", ("no route to 198.51.100.7",), url=FAR_AWAY, follows=("tcp_unreachable",)
    ),
    "no gateway on the interface of the bearer": NetworkFault(
        "route", "route_missing", ("no route", "v0", "gateway"),
        f"{PAIR}; ip link set v0 up; ip link set v1 up; ip addr add 10.9.9.1/30 dev v0", FAR_AWAY, LAN,
        follows=("tcp_unreachable", "tcp_silent"),
    ),
    "a route that leads nowhere": NetworkFault(
        "tcp", "tcp_unreachable", ("cannot be reached",),
        f"{PAIR}; ip link set v0 up; ip link set v1 up; ip addr add 10.9.9.1/30 dev v0",
        "ws://10.9.9.2:9000", follows=("tcp_silent",),
    ),
    "name server silent": NetworkFault(
        "dns", "dns_silent", ("does not answer", "ocpp.example.org"), url=NAMED, name_server="silent",
        resolv_conf=SILENT, follows=("route_missing",),
    ),
    "unknown name": NetworkFault(
        "dns", "dns_unknown_name", ("no name server knows ocpp.example.org", "typing error"), url=NAMED,
        name_server="unknown", resolv_conf=OURS, follows=("route_missing",),
    ),
    "no name server": NetworkFault(
        "dns", "dns_no_server", ("no name server is set",), url=NAMED, resolv_conf="# none\n",
        follows=("route_missing",),
    ),
    "disk full": NetworkFault(
        "disk", "disk_full", ("full", "make room"),
        "mount -t tmpfs -o size=2m tmpfs state; head -c 1500000 /dev/zero > state/ballast",
    ),
    "disk read-only": NetworkFault(
        "disk", "disk_read_only", ("read-only",), "mount -t tmpfs -o ro tmpfs state"
    ),
    "little room": NetworkFault("disk", "disk_low", ("only",), "mount -t tmpfs -o size=16m tmpfs state"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("namespaces need root, ip (Debian: iproute2) and unshare (util-linux)")
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", f"ip link set lo up && {PAIR} && mount -t tmpfs tmpfs /mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        pytest.skip(f"no namespaces with virtual interfaces and mounts here ({tried.stderr.strip()})")


async def examine(folder: Path, fault: NetworkFault) -> list[dict[str, Any]]:
    """All findings of the doctor in namespaces of its own."""
    (folder / "state").mkdir()
    (folder / "names.py").write_text(NAME_SERVER)
    (folder / "station.toml").write_text(
        f'[station]\nid = "CP-1"\nstate_dir = "state"\n[backend]\nurl = "{fault.url}"\n{fault.tables}'
        "[[evse]]\nnumber = 1\n"
    )
    lines = ["set -e", "mount -t sysfs sysfs /sys", "ip link set lo up", fault.commands]
    if fault.resolv_conf is not None:
        (folder / "resolv.conf").write_text(fault.resolv_conf)
        lines.append("mount --bind resolv.conf /etc/resolv.conf")
    if fault.name_server:
        lines += [
            f"{sys.executable} names.py {fault.name_server} > ready & server=$!",
            "while [ ! -s ready ]; do sleep 0.05; done",
        ]
        lines.append("trap 'kill $server' EXIT")
    patience = f"{stretched(4):.1f}"
    lines.append(
        f"PYTHONPATH={ROOT} {sys.executable} -m agent doctor station.toml --json --language en --timeout {patience}"
    )
    process = await asyncio.create_subprocess_exec(
        "unshare", "--net", "--mount", "sh", "-c", "\n".join(lines), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with deadline(120):
        text, errors = await process.communicate()
    assert text, errors.decode()
    return [{"rung": row["rung"], **f} for row in json.loads(text)["rungs"] for f in row["findings"]]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_planted_fault_is_named(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    findings = await examine(tmp_path, fault)
    assert CODES[fault.code][0] == fault.at
    named = [f for f in findings if f["code"] == fault.code]
    assert len(named) == 1, findings
    said = f"{named[0]['reason']} {named[0]['to_do']}"
    assert [word for word in fault.words if word not in said] == []
    others = {f["code"] for f in findings if f["verdict"] in ("wrong", "warning")} - {fault.code}
    assert others <= set(fault.follows), others


async def test_a_name_that_a_name_server_knows_is_no_finding(tmp_path: Path) -> None:
    fault = NetworkFault("dns", "dns_good", (), url=NAMED, name_server="good", resolv_conf=OURS)
    findings = await examine(tmp_path, fault)
    (found,) = [f for f in findings if f["rung"] == "dns"]
    assert found["code"] == "dns_good"
    assert found["values"]["addresses"] == "127.0.0.1"
    assert next(f for f in findings if f["rung"] == "tcp")["code"] == "tcp_refused"
