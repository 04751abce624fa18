"""The maintainer scripts of the package, run by the shell in folders of a test. The tools that would change the machine
(systemd, users) are stubs; the store, ``chargy-agent undelivered``, find and sha256sum are real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.services.store.store import Store
from tests.services.test_store import ended, started
from tests.support.board_package import ROOT
from tests.support.busy_machine import stretched

CHANGES_THE_MACHINE = ("deb-systemd-helper", "deb-systemd-invoke", "systemd-tmpfiles", "systemd-sysusers", "systemctl")
FOLDERS = ("/etc/chargy-agent", "/var/lib/", "/opt/chargy-agent/venv/bin/", "/run/systemd/")
AS_ROOT = 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"'
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("sh", "find", "sha256sum")), reason="sh, find or sha256sum is missing"
)


class Board:
    """The folders of the package below ``root``, with a station file that names ``state_dir``."""

    def __init__(self, root: Path, state_dir: Path | None = None) -> None:
        self.root = root
        self.state, self.config, self.said = (
            root / name for name in ("var/lib/chargy-agent", "etc/chargy-agent", "var/lib/misc")
        )
        self.state_dir = state_dir or self.state
        for folder in (self.state, self.config, self.said, self.state_dir, root / "bin"):
            folder.mkdir(parents=True, exist_ok=True)
        self.station = self.config / "station.toml"
        self.station.write_text(f'[station]\nstate_dir = "{self.state_dir}"\n[[evse]]\nnumber = 1\n')
        for name in CHANGES_THE_MACHINE:
            self.stub(name, "exit 0")
        self.stub("setpriv", AS_ROOT)
        self.stub("chargy-agent", f'cd "{ROOT}" && exec "{sys.executable}" -m agent "$@"', "opt/chargy-agent/venv/bin")

    def stub(self, name: str, text: str, folder: str = "bin") -> None:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    async def fill_store(self, queued: bool) -> Path:
        store = await Store.open(self.state_dir / "agent.db")
        if queued:
            await store.commit([], [("chargy", m(session="s1")) for m in (started, ended)])
        await store.close()
        return self.state_dir / "agent.db"

    def run(self, script: str, what: str) -> subprocess.CompletedProcess[str]:
        text = (ROOT / "deb" / script).read_text()
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        env = {**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", "-c", text, script, what], capture_output=True, text=True, timeout=stretched(60), env=env
        )

    def shell(self, text: str) -> None:
        subprocess.run(["sh", "-c", text], check=True, timeout=stretched(30))

    def remove(self) -> str:
        done = self.run("prerm", "remove")
        assert done.returncode == 0, done.stderr
        return done.stderr

    def purge(self) -> str:
        """Purge. Returns why it was refused, "" if it was not. A refused one has deleted nothing."""
        before = self.files()
        done = self.run("postrm", "purge")
        if done.returncode == 0:
            assert not self.config.exists()
            assert not self.state.exists()
            return ""
        assert "NOT purged" in done.stderr
        assert self.files() == before
        return done.stderr

    def files(self) -> list[Path]:
        return sorted(self.root.rglob("*"))


# --- a purge ----------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_delivered_is_deleted(tmp_path: Path) -> None:
    board = Board(tmp_path)
    await board.fill_store(queued=False)
    assert board.remove() == ""
    assert board.purge() == ""
    assert not list(board.said.iterdir())


async def test_a_store_with_a_queued_transaction_is_kept_until_it_is_given_up(tmp_path: Path) -> None:
    board = Board(tmp_path)
    await board.fill_store(queued=True)
    assert "queued" in board.remove()
    refused = board.purge()
    assert "queued" in refused
    (give_up,) = (line.partition(": ")[2].split(",")[0] for line in refused.splitlines() if "give it up" in line)
    board.shell(give_up)
    assert board.purge() == ""


async def test_a_search_that_fails_has_found_nothing_out(tmp_path: Path) -> None:
    board = Board(tmp_path)
    await board.fill_store(queued=False)
    board.remove()
    board.stub("find", "exit 1")
    assert "cannot be examined" in board.purge()


async def test_a_search_that_fails_at_the_removal_is_said(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.stub("find", "exit 1")
    assert "there is no store" in board.remove()
    (tmp_path / "bin/find").unlink()
    assert "there is no store" in board.purge()


@pytest.mark.parametrize("name", ["agent.salvaged", "agent.corrupt-1", "deep/agent.db"])
async def test_another_store_that_turns_up_is_kept(tmp_path: Path, name: str) -> None:
    board = Board(tmp_path)
    path = await board.fill_store(queued=False)
    board.remove()
    (board.state / name).parent.mkdir(exist_ok=True)
    path.rename(board.state / name)
    assert name in board.purge()


async def test_a_store_that_lies_beside_the_station_file_is_kept(tmp_path: Path) -> None:
    board = Board(tmp_path, tmp_path / "etc/chargy-agent/state")
    await board.fill_store(queued=False)
    (board.config / "old").mkdir()
    shutil.copy(board.state_dir / "agent.db", board.config / "old")
    board.remove()
    assert "not examined" in board.purge()


async def test_a_store_under_the_name_of_an_interrupted_recovery_is_examined(tmp_path: Path) -> None:
    """It is the whole store; the agent puts it in its place at its start."""
    board = Board(tmp_path)
    path = await board.fill_store(queued=True)
    path.rename(path.with_suffix(".salvaged"))
    assert "queued" in board.remove()
    assert "queued" in board.purge()


async def test_the_station_file_of_a_store_elsewhere_is_kept_until_that_is_delivered(tmp_path: Path) -> None:
    board = Board(tmp_path, tmp_path / "data")
    path = await board.fill_store(queued=True)
    assert "queued" in board.remove()
    assert "queued" in board.purge()
    board.shell(f"rm {tmp_path}/data/*")
    await board.fill_store(queued=False)
    board.remove()
    assert board.purge() == ""
    assert path.exists(), "a state_dir of another place is never touched"


@pytest.mark.parametrize("name", ["data", "var/lib/chargy-agent2", "var/lib/chargy-agent/../other"])
def test_the_station_file_is_kept_while_the_disk_of_its_store_is_absent(tmp_path: Path, name: str) -> None:
    board = Board(tmp_path, tmp_path / name)
    board.state_dir.rmdir()
    assert "there is no store" in board.remove()
    assert "there is no store" in board.purge()


@pytest.mark.parametrize("text", ["", "state_dir = 'state'", '[station]\nstate_dir="{}/var/lib/chargy-agent/x" # /y'])
def test_a_board_that_never_ran_is_purged(tmp_path: Path, text: str) -> None:
    """With a station file that is wrong: it has no [[evse]]."""
    board = Board(tmp_path)
    board.station.write_text(text.format(tmp_path))
    assert board.remove() == ""
    assert board.purge() == ""


def test_the_example_of_a_station_file_keeps_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.station.write_text((ROOT / "deb/station.toml").read_text().replace("/var/lib", f"{tmp_path}/var/lib"))
    assert board.remove() == ""
    assert board.purge() == ""


def test_a_board_without_a_station_file_is_purged(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.station.unlink()
    assert board.remove() == ""
    assert board.purge() == ""


# --- an upgrade -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "code"), [("exit 0", 0), ("exit 2", 2)])
def test_users_that_cannot_be_made_leave_no_agent_stopped_that_has_its_own(
    tmp_path: Path, user: str, code: int
) -> None:
    board = Board(tmp_path)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    board.stub("systemd-sysusers", "exit 1")
    board.stub("getent", f'[ "$*" = "passwd chargy-agent" ] || exit 9; {user}')
    board.stub("deb-systemd-invoke", f'echo "$*" >>"{tmp_path}/invoked"')
    board.stub("udevadm", "exit 0")
    done = board.run("postinst", "configure")
    assert done.returncode == code, done.stderr
    assert (tmp_path / "invoked").exists() is (code == 0)
