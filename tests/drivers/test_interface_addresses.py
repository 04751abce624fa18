"""Which IPv6 address of an interface is reported: one that stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ports import Unreachable
from drivers import network_interface

TEMPORARY = "20010db8000000000000000000000001 02 40 00 01     eth0"
DEPRECATED = "20010db8000000000000000000000002 02 40 00 20     eth0"
STABLE = "20010db8000000000000000000000003 02 40 00 00     eth0"
LINK_LOCAL = "fe800000000000000000000000000001 02 40 20 80     eth0"
OTHERS = "20010db8000000000000000000000009 03 40 00 00    wlan0"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((TEMPORARY, DEPRECATED, STABLE), "2001:db8::3"),
        ((TEMPORARY, LINK_LOCAL), "2001:db8::1"),
        ((LINK_LOCAL, OTHERS), ""),
    ],
)
def test_an_address_that_stays_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], address: str
) -> None:
    file = tmp_path / "if_inet6"
    file.write_text("\n".join(lines) + "\n", "ascii")
    monkeypatch.setattr(network_interface, "IPV6_ADDRESSES", file)
    monkeypatch.setattr(network_interface.fcntl, "ioctl", _refuse)
    assert network_interface.interface_address("eth0") == address


def test_another_error_is_one_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example no memory, or too many open files: the supervisor opens the bearer again."""

    def fail(*_: object) -> bytes:
        raise OSError(network_interface.errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(network_interface.fcntl, "ioctl", fail)
    with pytest.raises(Unreachable, match=r"eth0: .*Cannot allocate memory"):
        network_interface.interface_address("eth0")


def _refuse(*_: object) -> bytes:
    raise OSError(network_interface.errno.EADDRNOTAVAIL, "no IPv4 address")
