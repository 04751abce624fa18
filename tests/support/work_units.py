"""What one worker of ``pytest -n`` gets at a time.

Usually a file. Files of tests that share stations per worker are few units, so that few workers start those stations;
files of tests that wait for the real daemons of a network are few units too, so that few workers wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from zlib import crc32

from xdist.scheduler.loadfile import LoadFileScheduling

UNITS: Mapping[str, int] = MappingProxyType({"tests/conformance/ocpp16/": 3})
"""By the beginning of the files' names: how many units they are."""
NETWORK_DAEMONS: Mapping[str, int] = MappingProxyType({
    "tests/drivers/test_network_manager_losses.py": 1,
    "tests/drivers/test_network_manager_faults.py": 1,
    "tests/drivers/test_network_manager.py": 2,
    "tests/scenarios/test_network_manager.py": 2,
    "tests/scenarios/test_network_manager_recovery.py": 2,
})  # fmt: skip
"""By the file: its unit. ModemManager takes its time: these wait for nine tenths of theirs, minutes in all."""


def unit_of(nodeid: str) -> str:
    """The name of the unit of a test."""
    file = nodeid.partition("::")[0]
    if file in NETWORK_DAEMONS:
        return f"network daemons {NETWORK_DAEMONS[file]}"
    for beginning, count in UNITS.items():
        if file.startswith(beginning):
            return f"{beginning} {crc32(file.encode()) % count}"
    return file


class UnitScheduling(LoadFileScheduling):
    """Like ``--dist loadfile``, by units."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
