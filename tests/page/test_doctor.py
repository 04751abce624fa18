"""The doctor on the page: the rungs of the running station, live, and the rung at which a planted fault stops it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.assembly.doctor.findings import RUNGS
from tests.page.visiting import at, has, judged, visited, wait_until_true
from tests.scenarios.control_rig import Simulation, simulated, wait_for, write_station

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = write_station(tmp_path_factory.mktemp("doctor"))
    with simulated(str(path), "--port", "0", "--speed", "20") as s:
        yield s


@pytest.fixture(scope="module")
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        has(page, "backend", "Accepted")
        yield page


def verdicts(page: Any) -> dict[str, str]:
    """By rung, once the doctor has come to an end."""
    wait_until_true(
        page, "() => document.querySelector('#rungs li') && !document.getElementById('doctor-run').disabled"
    )
    items = page.locator("#rungs li")
    found = [items.nth(n) for n in range(items.count())]
    return {i.get_attribute("data-testid").removeprefix("rung-"): i.get_attribute("data-verdict") for i in found}


def test_before_it_was_asked(simulation: Simulation, page: Any) -> None:
    assert simulation.get("doctor") == {
        "running": False, "language": None, "judging": None, "rungs": [], "verdict": None, "summary": None,
        "begin_at": None, "at": None, "error": "",
    }  # fmt: skip
    assert at(page, "rungs").is_hidden()


def test_a_good_station_has_nothing_wrong_and_its_agent_goes_on(simulation: Simulation, page: Any) -> None:
    before = simulation.station()["agent"]
    at(page, "doctor-run").click()
    has(page, "doctor-says", "Nothing wrong was found.")
    found = verdicts(page)
    assert list(found) == list(RUNGS)
    assert set(found.values()) <= {"good", "not judged", "warning"}
    assert {found[rung] for rung in ("agent", "devices", "tcp", "http", "boot")} == {"good"}
    has(page, "rung-http", "the agent is connected, OCPP 1.6")
    after = simulation.station()["agent"]
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
    judged(page, "a healthy station")


def test_rungs_are_shown_while_the_others_are_still_judged(simulation: Simulation, page: Any) -> None:
    """The link answers nothing: the first rungs stand there long before the last one is left out."""
    at(page, "link-stall").click()
    at(page, "doctor-language").select_option("de")
    at(page, "doctor-run").click()
    wait_until_true(
        page,
        """() => document.querySelector('[data-testid=rung-disk]')?.dataset.verdict === 'good'
             && document.getElementById('doctor-run').disabled""",
    )
    assert simulation.post("doctor", {"language": "en"}) == 409
    assert simulation.get("doctor")["running"] is True
    judged(page, "at work")
    has(page, "rung-disk", "Datenträger")
    at(page, "agent-kill").click()  # an agent that starts needs the store, which the doctor may hold
    has(page, "doctor-says", "the agent was started meanwhile")
    at(page, "link-up").click()
    wait_for(lambda: (simulation.station()["backend"] or {}).get("boot") == "Accepted", "boot", 60)


def test_a_stopped_agent_leaves_the_whole_way_to_the_doctor(simulation: Simulation, page: Any) -> None:
    at(page, "agent-stop").click()
    has(page, "agent", "down")
    at(page, "doctor-language").select_option("fr")
    at(page, "doctor-run").click()
    has(page, "rung-agent", "systemctl start chargy-agent")
    found = verdicts(page)
    assert {found[rung] for rung in ("devices", "tcp", "http")} == {"good"}
    assert at(page, "rungs").get_attribute("lang") == "fr"
    at(page, "link-down").click()
    at(page, "doctor-run").click()
    has(page, "doctor-says", "Commencez par")
    assert "wrong" in verdicts(page).values()
    judged(page, "a wrong rung")
    page.reload()  # the page keeps nothing: what was found is still there
    has(page, "doctor-says", "Commencez par")
    at(page, "link-up").click()
    at(page, "agent-start").click()
    has(page, "backend", "Accepted")


@pytest.mark.parametrize("wish", [{"language": "lb"}, {"boot": True}, []])
def test_a_wrong_wish_is_refused(simulation: Simulation, wish: Any) -> None:
    assert simulation.post("doctor", wish) == 400
