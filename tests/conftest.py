"""The longest files first: with several workers the run is as long as what begins last."""

from __future__ import annotations

import pytest

from tests.conformance.ledger import Ledger

LONG = ("scenarios/test_kill_sweep", "conformance/", "scenarios/", "faults/", "page/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, part in enumerate(LONG) if part in item.nodeid), len(LONG)))


def pytest_configure(config: pytest.Config) -> None:
    """One book for the whole run: not in the workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(config), "certification-cases")
