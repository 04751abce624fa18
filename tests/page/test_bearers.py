"""The bearers of a station on its page: which one carries the link, what each is like, and what a visitor does to
them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import at, has, judged, visited
from tests.scenarios.control_rig import ROOT, Simulation, simulated

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
DEMO = ROOT / "config/stations/ac_bearers.toml"
ICCID = "89352010000000000176"


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = Path(shutil.copy(DEMO, tmp_path_factory.mktemp("bearers")))
    with simulated(str(path), "--port", "0", "--speed", "20") as s:
        yield s


@pytest.fixture(scope="module")
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        has(page, "bearer-lan", "carries the link")
        has(page, "bearer-gprs", "ready")
        yield page


def test_what_each_bearer_is_like(page: Any) -> None:
    has(page, "bearer-wifi", "ready")
    has(page, "bearer-gprs", "-79 dBm · LU POST · EDGE · roaming")
    has(page, "bearer-gprs", f"SIM ready · ICCID …{ICCID[-4:]}")
    signal = at(page, "bearer-gprs").locator(".signal")
    assert signal.get_attribute("aria-label") == "signal 4 of 5"
    assert signal.locator(".on").count() == 4
    assert ICCID not in page.content()
    judged(page, "bearers")


def test_what_is_cut_is_left_and_what_is_restored_is_taken_back(page: Any) -> None:
    at(page, "cut-lan").click()
    has(page, "bearer-lan", "no carrier")
    has(page, "bearer-wifi", "carries the link")
    at(page, "cut-wifi").click()
    has(page, "bearer-gprs", "carries the link")
    has(page, "backend", "Accepted")
    judged(page, "two bearers are cut")
    at(page, "cut-lan").click()
    at(page, "cut-wifi").click()
    has(page, "bearer-lan", "carries the link")
    has(page, "bearer-gprs", "ready")


def test_a_fault_of_the_modem_and_its_end(page: Any) -> None:
    at(page, "modem-denied").click()
    has(page, "bearer-gprs", "the network refuses the SIM")
    assert at(page, "modem-denied").get_attribute("aria-pressed") == "true"
    judged(page, "a refused SIM")
    at(page, "modem-denied").click()
    at(page, "modem-no_signal").click()
    has(page, "bearer-gprs", "no signal")
    assert at(page, "bearer-gprs").locator(".signal .on").count() == 0
    at(page, "modem-no_signal").click()
    has(page, "bearer-gprs", "ready")


def test_the_signal_of_the_cell_is_set_with_the_keys(page: Any) -> None:
    signal = at(page, "modem-signal")
    signal.focus()
    page.keyboard.press("Home")
    has(page, "bearer-gprs", "-113 dBm")
    page.keyboard.press("End")
    has(page, "bearer-gprs", "-51 dBm")


def test_without_an_agent_the_bearers_stay_on_the_page(page: Any) -> None:
    at(page, "agent-stop").click()
    has(page, "bearer-lan", "no agent")
    judged(page, "bearers without an agent")
    at(page, "agent-start").click()
    has(page, "bearer-lan", "carries the link")


def test_the_service_screen_is_opened_by_its_button(page: Any) -> None:
    has(page, "says-1", "free")
    at(page, "service-button").click()
    has(page, "says-1", "service: connection of the station")
    at(page, "service-button").click()
    has(page, "says-1", "free")
