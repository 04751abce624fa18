"""A board with the real RAUC: two slots that are files, a message bus of its own, and a boot loader that counts tries.

RAUC mounts its bundles in a mount namespace of its own, so nothing of it is seen outside. The boot loader is a script
of this module behind RAUC's interface for custom loaders; a boot ends the bus and RAUC and starts both again.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.busy_machine import deadline
from tests.support.firmware_signers import Maker

NEEDED = {
    "rauc": "rauc",
    "mksquashfs": "squashfs-tools",
    "dbus-daemon": "dbus-daemon",
    "dbus-send": "dbus-bin",
    "unshare": "util-linux",
}
"""Commands, and the Debian packages that bring them."""
BOARD, SLOT_BYTES, TRIES = "chargy-test", 1 << 20, 3

LOADER = """
import json, pathlib, sys
folder, verb, *words = pathlib.Path(sys.argv[1]), *sys.argv[2:]
if (folder / "-".join(["refuse", verb, *words[1:]])).exists():
    sys.exit(1)
file = folder / "loader.json"
state = json.loads(file.read_text())
if verb == "get-primary":
    print(next((n for n in state["order"] if state["left"][n] > 0), ""))
elif verb == "get-state":
    print("good" if state["left"][words[0]] > 0 else "bad")
elif verb == "set-primary":
    state["order"] = [words[0]] + [n for n in state["order"] if n != words[0]]
    state["left"][words[0]] = 3
elif verb == "set-state":
    state["left"][words[0]] = 3 if words[1] == "good" else 0
    state["marks"].append(words)
new = folder / "loader.json.new"
new.write_text(json.dumps(state))
new.replace(file)
"""
REBOOT = """
import pathlib, sys, time
request = pathlib.Path(sys.argv[1]) / "boot-requested"
request.touch()
until = time.monotonic() + 60
while request.exists() and time.monotonic() < until:
    time.sleep(0.02)
"""
WITHIN_SLOT = f"trap '' XFSZ; ulimit -f {SLOT_BYTES // 512}; exec rauc \"$@\""
"""A file grows, a partition does not: what is written behind its end fails."""
HOLD = """#!/bin/sh
while [ -e {folder}/hold{end} ]; do touch {folder}/held{end}; sleep 0.05; done
rm -f {folder}/held{end}
"""
"""Before RAUC writes anything, and when it has written all (``-end``)."""
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy>{policy}</busconfig>
"""
SYSTEM = """[system]
compatible={board}
bootloader=custom
mountprefix={folder}/mnt
data-directory={folder}/data
[handlers]
bootloader-custom-backend={folder}/loader
pre-install={folder}/pre-install
post-install={folder}/post-install
[keyring]
path={folder}/keyring.pem
[slot.rootfs.0]
device={folder}/A.img
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/B.img
type=raw
bootname=B
"""


def why_no_rauc() -> str:
    """Why this machine cannot run RAUC for real; "": it can."""
    missing = sorted(package for command, package in NEEDED.items() if shutil.which(command) is None)
    if missing:
        return f"RAUC cannot run here: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return "RAUC cannot run here: only root mounts a bundle"
    if not os.path.exists("/dev/loop-control"):
        return "RAUC cannot run here: this kernel has no loop devices (/dev/loop-control)"
    if "squashfs" not in Path("/proc/filesystems").read_text("ascii"):
        return "RAUC cannot run here: this kernel has no squashfs"
    return ""


class RaucBoard:
    """``maker`` signs what RAUC accepts. ``booted``: the slot whose system runs."""

    def __init__(self, policy: Path | None = None) -> None:
        """``policy``: rules of the message bus, read after those that allow everything."""
        self._policy = f"<include>{policy}</include>" if policy is not None else ""
        self.folder = Path(tempfile.mkdtemp(prefix="rauc-"))
        self.maker = Maker()
        self.booted = "A"
        self._bus: asyncio.subprocess.Process | None = None
        self._rauc: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._booting = asyncio.Lock()
        self._write_files()

    @property
    def address(self) -> str:
        return f"unix:path={self.folder}/bus"

    @property
    def table(self) -> dict[str, Any]:
        """Its table in the station file."""
        reboot = [sys.executable, str(self.folder / "reboot.py"), str(self.folder)]
        return {"driver": "updater_rauc", "bus": self.address, "reboot": reboot}

    @property
    def toml(self) -> str:
        return "[updater]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.table.items())

    def _write_files(self) -> None:
        names = {"folder": self.folder, "board": BOARD, "policy": self._policy}
        (self.folder / "bus.conf").write_text(BUS.format(**names))
        (self.folder / "system.conf").write_text(SYSTEM.format(**names))
        (self.folder / "keyring.pem").write_text(self.maker.root)
        (self.folder / "reboot.py").write_text(REBOOT)
        (self.folder / "loader.py").write_text(LOADER)
        loader = f'#!/bin/sh\nexec {sys.executable} {self.folder}/loader.py {self.folder} "$@"\n'
        hold, hold_end = (HOLD.format(**names, end=end) for end in ("", "-end"))
        for name, text in (("loader", loader), ("pre-install", hold), ("post-install", hold_end)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        for name in ("mnt", "data"):
            (self.folder / name).mkdir()
        for name in "AB":
            with (self.folder / f"{name}.img").open("wb") as slot:
                slot.truncate(SLOT_BYTES)
        self._write_loader({"order": ["A", "B"], "left": {"A": TRIES, "B": TRIES}, "marks": []})

    # --- the boot loader -------------------------------------------------------------------------------------------

    @property
    def loader(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "loader.json").read_text()))

    def _write_loader(self, state: dict[str, Any]) -> None:
        (self.folder / "loader.json").write_text(json.dumps(state))

    @property
    def primary(self) -> str:
        state = self.loader
        return next((n for n in state["order"] if state["left"][n] > 0), "")

    def marks(self, slot: str) -> list[str]:
        """What RAUC was made to mark a slot as, since the board was made."""
        return [word for name, word in self.loader["marks"] if name == slot]

    def refuse(self, verb: str = "") -> None:
        """Make the boot loader fail at this verb of RAUC from now on, for example ``set-state-good``; "": at none."""
        for refused in self.folder.glob("refuse-*"):
            refused.unlink()
        if verb:
            (self.folder / f"refuse-{verb}").touch()

    def content(self, slot: str) -> bytes:
        return (self.folder / f"{slot}.img").read_bytes()

    def _load_system(self) -> str:
        """Boot as a loader does that counts tries: a slot that is used up or does not start makes room."""
        state = self.loader
        for name in state["order"]:
            while state["left"][name] > 0:
                state["left"][name] -= 1
                if b"broken" not in self.content(name)[:64]:
                    self._write_loader(state)
                    return str(name)
        raise AssertionError(f"no system starts any more: {state}")

    async def lose_power(self, kill_agent: Callable[[], Awaitable[None]]) -> None:
        """The mains is gone in this instant, and back: nothing ends in order. The agent ends with its board, and no
        agent that knows the old message bus sees the new one."""
        async with self._booting:  # a boot that goes on would let the next agent live before the board is dead
            await kill_agent()
            self._kill_processes()
            await kill_agent()
            (self.folder / "boot-requested").unlink(missing_ok=True)
            await self._boot()

    def _kill_processes(self) -> None:
        """Kill the bus, RAUC, and what they and a killed agent have started: a command of the boot loader that goes on
        would write after the boot, and a command that boots the board would boot it once more."""
        mark = os.fsencode(self.folder)
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                if mark in line.read_bytes():
                    os.kill(int(line.parent.name), signal.SIGKILL)

    async def boot(self) -> None:
        """A cold start: what ran is gone, the loader decides, the bus and RAUC start."""
        async with self._booting:
            await self._boot()

    async def _boot(self) -> None:
        await self._stop()
        self.booted = self._load_system()
        await self._start()

    # --- processes -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> RaucBoard:
        await self._start()
        self._watch = asyncio.create_task(self._boot_when_requested())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        for name in ("hold", "hold-end"):
            (self.folder / name).unlink(missing_ok=True)
        await self._stop()
        shutil.rmtree(self.folder)

    async def _boot_when_requested(self) -> None:
        request = self.folder / "boot-requested"
        while True:
            async with self._booting:  # the mains that is lost meanwhile takes the request away
                if request.exists():
                    await self._boot()
                    request.unlink(missing_ok=True)
            await asyncio.sleep(0.02)

    async def _start(self) -> None:
        (self.folder / "bus").unlink(missing_ok=True)
        quiet = {"stdin": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
        words = ["dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile", "--print-address"]
        self._bus = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, **quiet)
        assert self._bus.stdout is not None
        assert await self._bus.stdout.readline(), "dbus-daemon did not start"
        await self.start_rauc()

    async def start_rauc(self) -> None:
        """As systemd starts it, and starts it again when it has ended."""
        log = (self.folder / "rauc.log").open("ab")
        words = ["sh", "-c", WITHIN_SLOT, "rauc", f"--conf={self.folder}/system.conf"]
        words += [f"--override-boot-slot={self.booted}", "service"]
        self._rauc = await asyncio.create_subprocess_exec(
            "unshare", "--mount", *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address, "DBUS_STARTER_ADDRESS": self.address,
                 "DBUS_STARTER_BUS_TYPE": "system"},
        )  # fmt: skip
        log.close()
        async with deadline(30):
            while not await self._is_rauc_there():
                assert self._rauc.returncode is None, self.said()
                await asyncio.sleep(0.02)

    async def _is_rauc_there(self) -> bool:
        words = ["/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner", "string:de.pengutronix.rauc"]
        return "true" in await self.send("org.freedesktop.DBus", *words)

    async def send(self, name: str, *words: str, user: str = "root") -> str:
        """What a user gets for a call on the bus, an error too."""
        asking = await asyncio.create_subprocess_exec(
            "setpriv", f"--reuid={user}", "--clear-groups",
            "dbus-send", f"--bus={self.address}", "--print-reply=literal", f"--dest={name}", *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        answer, _ = await asking.communicate()
        return answer.decode("utf-8", "replace")

    async def kill_rauc(self) -> None:
        self.end_rauc()
        assert self._rauc is not None
        await self._rauc.wait()

    def end_rauc(self) -> None:
        assert self._rauc is not None
        self._rauc.kill()

    async def _stop(self) -> None:
        for process in (self._rauc, self._bus):
            if process is not None and process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    def said(self) -> str:
        """RAUC's journal."""
        return (self.folder / "rauc.log").read_text("utf-8", "replace")

    # --- bundles ---------------------------------------------------------------------------------------------------

    async def bundle(
        self, version: str, board: str = BOARD, signer: Maker | None = None, broken: bool = False, size: int = 200_000
    ) -> bytes:
        """A bundle with one system. ``broken``: it does not start."""
        signer = signer or self.maker
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            here, content = Path(place), Path(place) / "content"
            content.mkdir()
            head = f"system {version}{' broken' if broken else ''}\n".encode().ljust(64)
            (content / "rootfs.img").write_bytes(head + os.urandom(size))
            manifest = f"[update]\ncompatible={board}\nversion={version}\n[bundle]\nformat=plain\n"
            (content / "manifest.raucm").write_text(manifest + "[image.rootfs]\nfilename=rootfs.img\n")
            (here / "cert.pem").write_text(signer.certificate)
            (here / "key.pem").write_text(signer.key_pem)
            (here / "root.pem").write_text(signer.root)
            words = [f"--cert={here}/cert.pem", f"--key={here}/key.pem", f"--keyring={here}/root.pem"]
            making = await asyncio.create_subprocess_exec(
                "rauc", "bundle", *words, str(content), str(here / "made.raucb"),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            words_said, _ = await making.communicate()
            assert making.returncode == 0, words_said.decode()
            return (here / "made.raucb").read_bytes()
