"""The longest files first: with several workers the run is as long as what begins last."""

from __future__ import annotations

import pytest

LONG = ("scenarios/test_kill_sweep", "conformance/", "scenarios/", "faults/", "page/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, part in enumerate(LONG) if part in item.nodeid), len(LONG)))
