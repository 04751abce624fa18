"""PPP by ``pppd`` as a child process: its options, its start and end, and its exit codes in words."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from agent.ports import Refused
from drivers.mobile_modem import MTU_BYTES
from drivers.modem_at.settings import ModemSettings
from drivers.network_interface import interface_status

END_S = 5.0
POLL_S = 0.1
EXIT_WORDS = {
    1: "it failed at once; its options are in {file}",
    2: "it does not know one of the options in {file}",
    3: "it has not the rights: see docs/operations.md",
    4: "this kernel has no PPP",
    6: "the line is locked by another program",
    7: "the line cannot be opened",
    10: "the other side agreed to no PPP",
    11: "the other side did not prove itself",
    15: "the other side does not answer any more",
    16: "the modem has hung up",
    17: "the modem is still in command mode",
    19: "the network refuses user or password of the APN",
}


def ppp_options(settings: ModemSettings) -> str:
    """Return the options for pppd as the text of a file: a password does not belong on a command line."""
    refused = {
        "none": ("eap", "pap", "chap", "mschap", "mschap-v2"),
        "pap": ("eap", "chap", "mschap", "mschap-v2"),
        "auto": ("eap",),
    }
    lines = [
        settings.data_device or settings.device, str(settings.baud), "local", "nodetach", "noauth", "noipdefault",
        "ipcp-accept-local", "ipcp-accept-remote", "defaultroute", "defaultroute-metric 700", "usepeerdns",
        f"ifname {settings.interface}", "novj", "novjccomp", "noccp", "nobsdcomp", "nodeflate", f"mtu {MTU_BYTES}",
        "lcp-echo-interval 30", "lcp-echo-failure 4", "nopersist", "maxfail 1",
        *(f"refuse-{kind}" for kind in refused.get(settings.auth, ("eap", "pap"))),
    ]  # fmt: skip
    if settings.auth != "none":
        lines += [f'user "{settings.username}"', f'password "{settings.password}"', "hide-password"]
    return "\n".join(lines) + "\n"


class PppProcess:
    """``why``: why it is not running, for a technician."""

    def __init__(self, settings: ModemSettings, state_dir: Path) -> None:
        self.why = "not connected"
        self.settings = settings
        self._file = state_dir / f"ppp-{settings.interface}.options"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def take_exit(self) -> bool:
        """Return True once after the process has ended by itself, and note why."""
        if self._process is None or self._process.returncode is None:
            return False
        self._note_exit(self._process.returncode)
        self._process = None
        return True

    async def start(self) -> None:
        """Start it, and wait until the interface has an address. Raises ``Refused``."""
        try:
            self._write_options()
            self._process = await asyncio.create_subprocess_exec(
                *self.settings.pppd,
                "file",
                str(self._file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except (OSError, ValueError) as e:
            self.why = f"pppd cannot be started: {e}"
            raise Refused(f"modem {self.settings.device}: {self.why}") from e
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.connect_s):
                while self.is_running:
                    if interface_status(self.settings.interface, self.settings.network_folder).is_up:
                        return
                    await asyncio.sleep(POLL_S)
        if not self.take_exit():
            await self.stop()
            self.why = f"pppd: no address within {self.settings.connect_s:g} s"
        raise Refused(f"modem {self.settings.device}: {self.why}")

    async def stop(self) -> None:
        """End it in order, otherwise by force. ``Refused``: it runs as another user (``pppd`` names sudo or doas)."""
        process = self._process
        if process is None or process.returncode is not None:
            self._process = None
            return
        for end in (process.terminate, process.kill):
            try:
                end()
            except ProcessLookupError:
                pass
            except PermissionError as e:
                raise Refused(
                    f"modem {self.settings.device}: pppd runs as another user and is not ended by a signal: it ends"
                    " after the modem has hung up"
                ) from e
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await process.wait()
                    break
        self._process = None
        self.why = "not connected"

    def _note_exit(self, code: int) -> None:
        self.why = f"pppd has ended (exit {code}): " + EXIT_WORDS.get(code, "see its own log").format(file=self._file)

    def _write_options(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.unlink(missing_ok=True)
        with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(ppp_options(self.settings))
