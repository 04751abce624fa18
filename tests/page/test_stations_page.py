"""The page of several stations: all beside one another, one of them open; and a station of eight outlets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.desk import Station
from tests.page.test_languages import FINGER_PX, LOOKS, SMALL, SPOKEN, TARGETS, texts_of_other_languages
from tests.page.visiting import at, has, judged, patience_ms, visited
from tests.scenarios.control_rig import Simulation, simulated

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
OUTLETS = range(1, 9)
STATION = """
[station]
id = "{name}"
{outlets}
[simulation]
port = 0
state_dir = "{folder}"
"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """The second station has eight outlets, the third has no folder to keep its memory in."""
    folder = tmp_path_factory.mktemp("stations")
    (folder / "taken").write_text("a file where a folder is to be")
    paths: list[str] = []
    for name, count, world in (("LUX-1", 2, "world"), ("LUX-8", 8, "world"), ("LUX-0", 1, "taken/world")):
        outlets = "".join(f"[[evse]]\nnumber = {n}\n" for n in range(1, count + 1))
        path: Path = folder / f"{name}.toml"
        path.write_text(STATION.format(name=name, outlets=outlets, folder=world), "utf-8")
        paths.append(str(path))
    with simulated(*paths, "--port", "0") as s:
        yield s


@pytest.fixture
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        has(page, "station-LUX-8-outlet-8", "Available")
        has(page, "station-LUX-1", "Accepted")
        for n in (1, 2):
            has(page, f"station-LUX-1-outlet-{n}", "Available")
        yield page


def open_station(page: Any, name: str) -> None:
    at(page, f"station-{name}").locator(".station-name").click()
    page.wait_for_url(f"**/stations/{name}/")
    page.wait_for_selector(f"[data-testid=station-{name}] [aria-current=page]")


def test_a_charge_at_the_second_station_leaves_the_first_untouched(page: Any, simulation: Simulation) -> None:
    first = Station(simulation.url, name="LUX-1")
    assert page.evaluate("openStation.id") == "LUX-1", "at the root it is the first"
    open_station(page, "LUX-8")
    assert page.title().startswith("LUX-8 · ")
    at(page, "plug-3").click()
    at(page, "to-cards-3").click()
    assert at(page, "tap-at-3").get_attribute("aria-checked") == "true"
    at(page, "card-alice").click()
    has(page, "reported-3", "Charging")
    has(page, "station-LUX-8-outlet-3", "Charging")
    has(page, "station-LUX-8-outlet-3", "kW")
    at(page, "card-alice").click()
    page.wait_for_selector("[data-testid=bay-3].over")
    at(page, "unplug-3").click()
    has(page, "station-LUX-8-outlet-3", "Available")
    for n in (1, 2):
        assert at(page, f"station-LUX-1-outlet-{n}").text_content() == f"{n}Available"
        assert first.get_evse(n)["last_session"] is None
    actions = {call.action for call in first.calls_since()}
    assert actions.isdisjoint({"Authorize", "StartTransaction", "StopTransaction"})


def test_each_of_many_outlets_is_reached_and_unfolded(page: Any) -> None:
    open_station(page, "LUX-8")
    page.wait_for_selector("[data-testid=bay-8].folded")
    assert page.locator(".bay.folded").count() == len(OUTLETS)
    assert not at(page, "screen-8").is_visible()
    at(page, "station-LUX-8-outlet-8").click()
    page.wait_for_selector("[data-testid=bay-8]:not(.folded).has-picture")
    assert at(page, "fold-8").get_attribute("aria-expanded") == "true"
    page.wait_for_function("document.querySelector('[data-testid=bay-8]').getBoundingClientRect().top < innerHeight")
    at(page, "fold-8").click()
    page.wait_for_selector("[data-testid=bay-8].folded")
    page.reload()
    page.wait_for_selector("[data-testid=bay-8]:not(.folded)")
    assert page.locator(".bay.folded").count() == len(OUTLETS) - 1, "the address has the outlet"


def test_a_link_leads_to_the_outlet_of_another_station(page: Any) -> None:
    at(page, "station-LUX-8-outlet-7").click()
    page.wait_for_url("**/stations/LUX-8/#outlet-7")
    page.wait_for_selector("[data-testid=bay-7]:not(.folded)")


def test_a_station_that_has_not_started_says_why(page: Any, simulation: Simulation) -> None:
    has(page, "station-LUX-0", "taken/world: Not a directory")
    open_station(page, "LUX-0")
    at(page, "station-ended").wait_for()
    assert not at(page, "card-alice").is_visible()
    has(page, "station-LUX-8-outlet-8", "Available")
    judged(page, "a station that has ended", LOOKS[:2])


def test_all_of_it_is_usable_at_each_width_and_by_a_finger(page: Any) -> None:
    open_station(page, "LUX-8")
    page.wait_for_selector("[data-testid=bay-8].folded")
    at(page, "fold-2").click()
    judged(page, "eight outlets", LOOKS)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(SMALL, [TARGETS, FINGER_PX]) == []


def test_the_stations_in_german(browser: Any, simulation: Simulation) -> None:
    with visited(browser, simulation, locale="de-LU") as page:
        has(page, "station-LUX-0", "ist beendet")
        open_station(page, "LUX-8")
        page.wait_for_selector("[data-testid=bay-8].folded")
        assert at(page, "fold-8").get_attribute("aria-label") == "Ladepunkt 8: mehr"
        assert texts_of_other_languages(page.evaluate(SPOKEN), "de") == []


def test_the_list_says_when_the_simulation_is_away(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "station.toml").write_text(STATION.format(name="CP-1", outlets="[[evse]]", folder="world"), "utf-8")
    with simulated(str(tmp_path / "station.toml"), "--stations", "2", "--port", "0") as simulation:
        page = browser.new_page()
        page.set_default_timeout(patience_ms())
        page.goto(simulation.url)
        has(page, "station-CP-2-outlet-1", "Available")
        simulation.process.terminate()
        has(page, "station-CP-2", "simulation away")
        page.close()
