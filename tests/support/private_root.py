"""A machine of its own for packages: an overlay of the running root in namespaces, with systemd as PID 1.

Nothing that is done in it reaches the machine: the overlay and what lies above it are in the mount namespace, which
ends with its PID 1. Processes, the cgroup and /run are its own, the network is the machine's. ``folder`` is seen in it
as ``/srv/outside``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.support.busy_machine import Deadline, stretched

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTSIDE = "/srv/outside"
TOOLS = ("unshare", "nsenter", "mount", "chroot", "dpkg", "/usr/lib/systemd/systemd")
INIT = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work" "$BASE/root"
cd "$BASE/root"
# Of the machine's units only what is asked for starts, and the packages may start theirs.
rm -rf etc/systemd/system/*.wants usr/lib/systemd/system/*.target.wants usr/sbin/policy-rc.d
mkdir usr/lib/systemd/system/sysinit.target.wants usr/lib/systemd/system/sockets.target.wants
ln -s ../systemd-journald.service usr/lib/systemd/system/sysinit.target.wants/
ln -s ../systemd-journald.socket usr/lib/systemd/system/sockets.target.wants/
: >etc/fstab
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
mkdir dev/pts dev/shm
mount --rbind /dev/pts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -p srv/outside
mount --bind "$FOLDER" srv/outside
exec env -i container=test "PATH=$PATH" chroot . /usr/lib/systemd/systemd --system --unit=multi-user.target \
  --log-target=console --show-status=0
"""


def why_not() -> str:
    """Return why this machine cannot have a private root, "" if it can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces and an overlay"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{missing[0]} is not installed"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "the kernel has no overlay file system"
    if cgroup_mount() is None:
        return "no cgroup2 is mounted that can be written"
    return ""


def cgroup_mount() -> Path | None:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    found = [Path(words[1]) for words in mounts if words[2] == "cgroup2" and words[3].startswith("rw")]
    return found[0] if found else None


class PrivateRoot:
    """``with PrivateRoot(folder) as root: root.run("dpkg", "-i", ...)``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._base = folder / "root"
        mount = cgroup_mount()
        assert mount is not None
        self._cgroup = mount / f"chargy-test-{os.getpid()}-{id(self):x}"
        self.pid = 0

    def __enter__(self) -> PrivateRoot:
        self.folder.chmod(0o755)  # its services, which are not root, find what is outside
        self._base.mkdir()
        self._cgroup.mkdir()
        self._log = (self.folder / "systemd.log").open("w")
        enter = f'echo $$ >"{self._cgroup}/cgroup.procs"; exec unshare "$@"'
        apart = ("--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup")
        self._process = subprocess.Popen(
            ["sh", "-c", enter, "sh", *apart, "sh", "-c", INIT],
            env={"PATH": PATH, "BASE": str(self._base), "FOLDER": str(self.folder)},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        try:
            self._await_start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _await_start(self) -> None:
        patience = Deadline(30)
        while not patience.over:
            if self._process.poll() is not None:
                break
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self.pid = int(children[0]) if children else 0
            if self.pid and Path(f"/proc/{self.pid}/comm").read_text() == "systemd\n":
                state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.02)
        raise AssertionError(f"systemd did not start: {(self.folder / 'systemd.log').read_text()[-3000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid and self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)  # PID 1 of its namespace: all others of it end too
        self._process.kill()
        self._process.wait(stretched(20))
        self._log.close()
        patience = Deadline(20)
        while self._cgroup.exists() and not patience.over:
            for folder in sorted(self._cgroup.rglob("*/"), reverse=True):
                _remove_cgroup(folder)
            _remove_cgroup(self._cgroup)
            time.sleep(0.02)

    def run(self, *argv: str, check: bool = True, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root. ``check``: a failure is one of the test."""
        words = ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "env", "-i", f"PATH={PATH}"]
        words += ["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *argv]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=stretched(timeout_s)
        )
        if check and done.returncode:
            raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.journal()}")
        return done

    def shell(self, script: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("sh", "-c", script, check=check)

    def write(self, path: str, text: str) -> None:
        """Write a file in it, in place: its owner and rights stay."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--root", "--wd", "tee", path],
            input=text, text=True, stdout=subprocess.DEVNULL, timeout=stretched(20),
        )  # fmt: skip
        assert done.returncode == 0, path

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", "60", check=False).stdout if self.pid else ""


def _remove_cgroup(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # its processes are not gone yet
