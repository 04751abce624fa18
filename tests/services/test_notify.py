"""sd_notify against a real datagram socket."""

import os
import socket
from pathlib import Path

import pytest

from agent.services.sd_notify import notify_systemd, watchdog_period_s


def test_a_datagram_reaches_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify_systemd("READY=1\nSTATUS=x")
        assert s.recv(100) == b"READY=1\nSTATUS=x"


def test_abstract_socket(monkeypatch: pytest.MonkeyPatch):
    name = f"chargy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify_systemd("WATCHDOG=1")
        assert s.recv(100) == b"WATCHDOG=1"


def test_no_one_listens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    assert not notify_systemd("READY=1")


def test_watchdog_half_of_the_patience_and_only_for_us(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_period_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_period_s() is None
