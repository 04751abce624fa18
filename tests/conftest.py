"""The longest files first: with several workers the run is as long as what begins last. Hypothesis keeps no time: how
long an example takes says how busy the machine is."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance.ledger import Ledger
from tests.support.simulated_station import CAMPAIGN

LONG = (
    "/test_network_manager",
    "scenarios/test_rauc",
    "conformance/ocpp16/",
    "page/test_accessible",
    "verify/test_far_ends",
    "page/test_field_page",
    "drivers/test_updater_rauc",
    "scenarios/test_dc",
    "scenarios/test_same_day",
    "page/test_clicks",
    "board_package/",
    "scenarios/test_kill_sweep",
    "scenarios/test_roads",
    "drivers/test_shared_display",
    "drivers/test_terminal_payter",
    "commissioning/test_doctor",
    "scenarios/test_bearer",
    "page/test_history",
    "faults/test_store_lost",
    "page/test_page",
    "scenarios/test_largest",
    "verify/",
    "faults/",
    "conformance/",
    "scenarios/",
    "page/",
    "drivers/",
    "field_page/",
    "scenario_language/",
    "audit/",
    "fleet/",
    "desk/",
    "domain/test_session_properties",
    "arch/",
)
"""Parts of names, by the time that their files take: most of it is waiting."""

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """None, of which xdist makes its own, unless the run is one of ``make test``."""
    from tests.support.work_units import UnitScheduling

    return UnitScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    """One book for the whole run: not in the workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(config), "certification-cases")
