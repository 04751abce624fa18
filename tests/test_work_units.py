"""What a worker gets at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.work_units import NETWORK_DAEMONS, unit_of

ROOT = Path(__file__).resolve().parents[1]


def test_all_tests_of_the_real_daemons_are_few_units() -> None:
    starters = ("running_daemons(", "running_site(")
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if p != Path(__file__)]
    found = {str(p.relative_to(ROOT)) for p in files if any(word in p.read_text("utf-8") for word in starters)}
    assert set(NETWORK_DAEMONS) == found
    assert len({unit_of(f"{file}::test_x") for file in NETWORK_DAEMONS}) == 2


@pytest.mark.parametrize(
    "file", ["tests/conformance/ocpp16/tc_003.py", "tests/drivers/test_bus.py", "tests/test_probe.py"]
)
def test_a_file_is_never_divided(file: str) -> None:
    assert unit_of(f"{file}::test_one[a::b]") == unit_of(f"{file}::test_two")
