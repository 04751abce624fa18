"""The longest files first: with several workers the run is as long as what begins last. Hypothesis keeps no time: how
long an example takes says how busy the machine is."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance.ledger import Ledger
from tests.support.simulated_station import CAMPAIGN

LONG = (
    "scenarios/test_kill_sweep",
    "verify/test_far_ends",
    "scenarios/test_dc",
    "scenarios/test_roads",
    "scenarios/test_dc",
    "faults/test_faults",
    "scenarios/test_crossing",
    "faults/test_restarts",
    "ocpp201/test_ej",
    "verify/",
    "conformance/",
    "scenarios/",
    "faults/",
    "page/",
    "drivers/",
)

settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100 if CAMPAIGN else 30
)
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, part in enumerate(LONG) if part in item.nodeid), len(LONG)))


gc.disable()  # what a collection makes stays: looking for garbage in it takes a sixth of its time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """One book for the whole run: not in the workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(config), "certification-cases")
