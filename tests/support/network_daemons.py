"""The real ModemManager, NetworkManager and polkitd on a private bus, for tests: nothing of this machine is touched.

NetworkManager runs in a network namespace of its own with pairs of virtual interfaces (``lan``, and ``wwan0``, which a
simulated modem connects); ModemManager sees, in a mount namespace of its own, one device in its ``/sys``, whose line is
the pseudo terminal of ``drivers.sim.modem``. udev's part (the events of a port) is taken by ``report_ports``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.busy_machine import deadline
from tests.support.modem_process import SimulatedModem

ROOT = Path(__file__).resolve().parents[2]
POLKITD = "/usr/lib/polkit-1/polkitd"
PROGRAMS = {
    "dbus-daemon": "dbus-daemon", "ModemManager": "modemmanager", "NetworkManager": "network-manager",
    POLKITD: "polkitd", "ip": "iproute2", "unshare": "util-linux", "dnsmasq": "dnsmasq-base",
}  # fmt: skip
"""By the program: the Debian package that brings it."""
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"""
MODEM_MANAGER = """\
set -e
mount --make-rprivate /
mount -t tmpfs none /sys
device=/sys/devices/usb1/1-1
mkdir -p $device /sys/bus/usb/drivers/cdc_acm /sys/bus/usb/drivers/cdc_ether /sys/class/tty /sys/class/net
echo 1782 >$device/idVendor; echo 4d11 >$device/idProduct; ln -s /sys/bus/usb $device/subsystem
port() {{
    port=$device/1-1:1.$1; mkdir -p $port/$2/$3; ln -s /sys/bus/usb $port/subsystem; echo 0$1 >$port/bInterfaceNumber
    ln -s /sys/bus/usb/drivers/$4 $port/driver; ln -s $port $port/$2/$3/device; ln -s $port/$2/$3 /sys/class/$2/$3
}}
port 0 tty ttyACM0 cdc_acm
{net_port}
mkdir {folder}/dev; mount -t tmpfs none {folder}/dev
for name in null zero random urandom; do touch {folder}/dev/$name; mount --bind /dev/$name {folder}/dev/$name; done
mkdir {folder}/dev/pts; mount --bind /dev/pts {folder}/dev/pts; ln -s {line} {folder}/dev/ttyACM0
mount --rbind {folder}/dev /dev
mkdir {folder}/rules; cp {folder}/80-mm-test.udev {folder}/rules/80-mm-test.rules
mount --bind {folder}/rules /usr/lib/udev/rules.d
exec ModemManager --no-auto-scan --test-no-udev --test-no-suspend-resume --test-no-qrtr
"""
POLKIT = """\
set -e
mount --make-rprivate /
mount -t tmpfs none /etc/polkit-1/rules.d
cp {folder}/*.rules /etc/polkit-1/rules.d/; chmod -R a+rX /etc/polkit-1/rules.d
exec {program} --no-debug
"""
RULES = """\
ENV{ID_MM_CANDIDATE}="1"
ENV{ID_MM_TTY_BAUDRATE}="115200"
ENV{ID_MM_PORT_TYPE_AT_PRIMARY}="1"
"""
NETWORK_MANAGER = """\
set -e
mount --make-rprivate /
mount -t sysfs -o ro none /sys
for folder in /etc/NetworkManager /run/NetworkManager /var/lib/NetworkManager /usr/lib/NetworkManager/conf.d; do
    mkdir -p $folder; mount -t tmpfs none $folder
done
exec NetworkManager --no-daemon --config={folder}/NetworkManager.conf
"""
SETTINGS = """\
[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
auth-polkit=true
no-auto-default=*
dhcp=internal
[connectivity]
enabled=false
[device]
match-device=*
managed=1
[logging]
level=INFO
"""
NUMBERS = itertools.count()


def require_programs() -> None:
    """Skip the test where this machine cannot run the daemons, and print why."""
    if os.geteuid() != 0:
        pytest.skip("the daemons need root")
    absent = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if absent:
        pytest.skip(f"install {' '.join(absent)} (Debian) to run the real ModemManager and NetworkManager")


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class NetworkDaemons:
    """``space``: the namespace of the station, ``far_space``: that of its backend. ``modem``: the far end.
    ``has_net_port``: whether the modem has a network interface; without one its data need PPP."""

    def __init__(self, folder: Path, *modem_argv: str, has_net_port: bool = True) -> None:
        mark = f"{os.getpid() % 100_000}{next(NUMBERS)}"
        self.folder, self.space, self.far_space = folder, f"cn{mark}", f"cf{mark}"
        self.lan, self.wwan = f"l{mark}", "wwan0"
        self.modem = SimulatedModem(folder, *modem_argv)
        self._short = tempfile.TemporaryDirectory(prefix="bus-", dir="/tmp")
        self.run_folder = Path(self._short.name)
        self.run_folder.chmod(0o755)  # polkitd has a user of its own
        self._has_net_port = has_net_port
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @property
    def bus_address(self) -> str:
        return f"unix:path={self.run_folder}/bus"

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus_address}

    # --- networks ----------------------------------------------------------------------------------------------------

    def lay_networks(self) -> None:
        for space in (self.space, self.far_space):
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        for name, net in ((self.lan, "10.91.1"), (self.wwan, "10.91.2")):
            far = ("peer", "name", f"{name}b", "netns", self.far_space)
            ip("link", "add", name, "netns", self.space, "type", "veth", *far)
            ip("-n", self.far_space, "addr", "add", f"{net}.1/24", "dev", f"{name}b")
            ip("-n", self.far_space, "link", "set", f"{name}b", "up")

    def remove_networks(self) -> None:
        for space in (self.space, self.far_space):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    def pull_cable(self, is_out: bool = True) -> None:
        ip("-n", self.far_space, "link", "set", f"{self.lan}b", "down" if is_out else "up")

    def addresses(self, interface: str) -> list[str]:
        return ip("-n", self.space, "-br", "addr", "show", interface).split()[2:]

    # --- processes ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self.modem.up()
        self.lay_networks()
        self._write("bus.conf", BUS.format(folder=self.run_folder))
        bus = f"--config-file={self.run_folder}/bus.conf"
        await self._run("dbus-daemon", "dbus-daemon", bus, "--nofork", "--nopidfile")
        async with deadline(30):
            while "bus" not in os.listdir(self.run_folder):
                await asyncio.sleep(0.02)
        await self.start_polkit()
        await self.start_modem_manager()
        await self.start_network_manager()
        await self._start_dhcp()

    async def start_polkit(self, rule: str = "") -> None:
        """``rule``: one more, beside those of Debian. Root is allowed everything."""
        self._write("50-test.rules", rule)
        self._write("polkit.sh", POLKIT.format(folder=self.run_folder, program=POLKITD))
        await self._run("polkitd", "unshare", "-m", "sh", f"{self.run_folder}/polkit.sh")
        await self._wait_for_name("org.freedesktop.PolicyKit1")

    async def start_modem_manager(self) -> None:
        self._write("80-mm-test.udev", RULES)
        for used in ("dev", "rules"):
            shutil.rmtree(self.run_folder / used, ignore_errors=True)
        port = f"port 1 net {self.wwan} cdc_ether" if self._has_net_port else ""
        self._write("mm.sh", MODEM_MANAGER.format(folder=self.run_folder, line=self.modem.line, net_port=port))
        await self._run("ModemManager", "unshare", "-m", "sh", f"{self.run_folder}/mm.sh")
        await self._wait_for_name("org.freedesktop.ModemManager1")

    async def start_network_manager(self) -> None:
        self._write("NetworkManager.conf", SETTINGS)
        self._write("nm.sh", NETWORK_MANAGER.format(folder=self.run_folder))
        words = ("ip", "netns", "exec", self.space, "unshare", "-m", "sh", f"{self.run_folder}/nm.sh")
        await self._run("NetworkManager", *words)
        await self._wait_for_name("org.freedesktop.NetworkManager")

    async def _start_dhcp(self) -> None:
        ranges = [f"--dhcp-range={net}.10,{net}.90,255.255.255.0,1h" for net in ("10.91.1", "10.91.2")]
        await self._run(
            "dnsmasq", "ip", "netns", "exec", self.far_space, "dnsmasq", "--keep-in-foreground", "--port=0",
            "--no-ping", "--conf-file=/dev/null", "--pid-file", "--user=root", "--bind-interfaces",
            f"--dhcp-leasefile={self.run_folder}/leases", *ranges,
        )  # fmt: skip

    async def _run(self, name: str, *words: str) -> None:
        with (self.run_folder / f"{name}.out").open("ab") as out:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *words, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
            )

    async def end(self, name: str) -> None:
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with deadline(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        for name in reversed(list(self._processes)):
            await self.end(name)
        await self.modem.down()
        self.remove_networks()
        self._short.cleanup()

    def logs(self) -> str:
        """What the daemons printed, for a failed test."""
        files = sorted(self.run_folder.glob("*.out"))
        return "\n".join(f"== {file.name}\n{file.read_text('utf-8', 'replace')[-3000:]}" for file in files)

    # --- the bus -----------------------------------------------------------------------------------------------------

    async def report_ports(self, action: str = "add") -> None:
        """Report the ports of the modem as udev does."""
        ports = [("tty", "ttyACM0"), *([("net", self.wwan)] if self._has_net_port else [])]
        for subsystem, name in ports:
            await self.command("mmcli", f"--report-kernel-event=action={action},subsystem={subsystem},name={name}")

    async def replug(self) -> None:
        """Take the modem off the bus, and put it back: ModemManager starts with it again."""
        await self.report_ports("remove")
        async with deadline(60):
            while "No modems" not in await self.command("mmcli", "--list-modems"):  # what is read next is the new one's
                await asyncio.sleep(0.1)
        await self.report_ports("add")

    async def command(self, *words: str, is_checked: bool = True) -> str:
        """Run a program that uses the private bus. Return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *words, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode == 0 or not is_checked, f"{' '.join(words)}: {said.decode()}\n{self.logs()}"
        return said.decode()

    async def _wait_for_name(self, name: str) -> None:
        words = ("dbus-send", f"--bus={self.bus_address}", "--print-reply", "--dest=org.freedesktop.DBus", "/")
        async with deadline(60):
            while "boolean true" not in await self.command(
                *words, "org.freedesktop.DBus.NameHasOwner", f"string:{name}", is_checked=False
            ):
                for started, process in self._processes.items():
                    assert process.returncode is None, f"{started} has ended\n{self.logs()}"
                await asyncio.sleep(0.05)

    def _write(self, name: str, text: str) -> None:
        (self.run_folder / name).write_text(text, "utf-8")

    # --- programs of the project, inside the namespace ---------------------------------------------------------------

    @asynccontextmanager
    async def inside(self, *words: str, user: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """A process in the namespace of the station, on the private bus. It is killed at the end."""
        as_user = ("setpriv", f"--reuid={user}", "--clear-groups") if user else ()
        process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.space, *as_user, *words, env=self.environment, cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def running_daemons(folder: Path, *modem_argv: str, has_net_port: bool = True) -> AsyncIterator[NetworkDaemons]:
    """All daemons run, and the ports of the modem are reported to ModemManager."""
    require_programs()
    daemons = NetworkDaemons(folder, *modem_argv, has_net_port=has_net_port)
    try:
        try:
            await daemons.start()
        except OSError as e:
            pytest.skip(f"this machine gives no namespaces with virtual interfaces ({e})")
        await daemons.report_ports()
        yield daemons
    finally:
        await daemons.stop()
