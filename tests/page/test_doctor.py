"""The doctor on the page: the rungs of the running station, live, and the rung at which a planted fault stops it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psutil
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


@pytest.fixture(autouse=True)
def station_at_work_again(simulation: Simulation) -> Iterator[None]:
    """What a test leaves behind when it fails does not fail the next one."""
    yield
    simulation.post("links/backend", {"up": True, "stall": False})
    simulation.post("agent", {"action": "start"})


def start_doctor(page: Any, language: str) -> None:
    """Returns when the simulation has taken the request: its latest run is this one then."""
    at(page, "doctor-language").select_option(language)
    with page.expect_response("**/doctor"):
        at(page, "doctor-run").click()


def finished_run(simulation: Simulation) -> Any:
    wait_for(lambda: not simulation.get("doctor")["running"], "the end of the doctor", 120)
    return simulation.get("doctor")


def verdicts(simulation: Simulation, page: Any) -> dict[str, str]:
    """By rung, as the page shows them once the doctor has come to an end."""
    run = finished_run(simulation)
    has(page, "doctor-says", run["error"] or run["summary"])
    wait_until_true(page, "() => !document.getElementById('doctor-run').disabled")
    items = page.locator("#rungs li")
    found = [items.nth(n) for n in range(items.count())]
    return {i.get_attribute("data-testid").removeprefix("rung-"): i.get_attribute("data-verdict") for i in found}


def doctor_processes(simulation: Simulation) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(simulation.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [child] if "doctor" in child.cmdline() else []
    return found


@contextlib.contextmanager
def suspended(process: psutil.Process) -> Iterator[bool]:
    """Yields whether the process was still there to be suspended."""

    def latest_status() -> str:
        try:
            return process.status()
        except psutil.NoSuchProcess:
            return psutil.STATUS_DEAD

    with contextlib.suppress(psutil.NoSuchProcess):
        process.suspend()
    no_longer_runs = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    try:
        wait_for(lambda: latest_status() in no_longer_runs, "the suspension", 30)
        yield latest_status() == psutil.STATUS_STOPPED
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


@contextlib.contextmanager
def doctor_held_at_work(simulation: Simulation, page: Any, language: str) -> Iterator[None]:
    """A run that has judged its first rungs, and comes to no end before it is left. A link that answers nothing makes a
    run last ten seconds, which may be over too soon on a busy machine: then there is another run."""

    def is_disk_judged() -> bool:
        run = simulation.get("doctor")
        return not run["running"] or any(row["rung"] == "disk" and row["findings"] for row in run["rungs"])

    def begin_run() -> psutil.Process | None:
        start_doctor(page, language)
        wait_for(is_disk_judged, "the rung of the disk", 60)
        return next(iter(doctor_processes(simulation)), None)

    while True:
        with suspended(wait_for(begin_run, "a doctor at work", 180)) as is_held:
            if is_held:
                yield
                return


def test_before_it_was_asked(simulation: Simulation, page: Any) -> None:
    assert simulation.get("doctor") == {
        "running": False, "language": None, "judging": None, "rungs": [], "verdict": None, "summary": None,
        "begin_at": None, "at": None, "error": "",
    }  # fmt: skip
    assert at(page, "rungs").is_hidden()


def test_a_good_station_has_nothing_wrong_and_its_agent_goes_on(simulation: Simulation, page: Any) -> None:
    before = simulation.station()["agent"]
    start_doctor(page, "en")
    found = verdicts(simulation, page)
    has(page, "doctor-says", "Nothing wrong was found.")
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
    with doctor_held_at_work(simulation, page, "de"):
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
    start_doctor(page, "fr")
    has(page, "rung-agent", "systemctl start chargy-agent")
    found = verdicts(simulation, page)
    assert {found[rung] for rung in ("devices", "tcp", "http")} == {"good"}
    assert at(page, "rungs").get_attribute("lang") == "fr"
    at(page, "link-down").click()
    start_doctor(page, "fr")
    found = verdicts(simulation, page)
    has(page, "doctor-says", "Commencez par")
    assert "wrong" in found.values()
    judged(page, "a wrong rung")
    page.reload()  # the page keeps nothing: what was found is still there
    has(page, "doctor-says", "Commencez par")
    at(page, "link-up").click()
    at(page, "agent-start").click()
    has(page, "backend", "Accepted")


def test_a_doctor_takes_no_store_from_an_agent_that_starts(simulation: Simulation) -> None:
    """An agent that starts has no socket yet, as if it did not run. It refuses to start when its store is taken."""
    is_heard = True
    while is_heard:  # the agent was quicker than this test
        assert simulation.post("agent", {"action": "stop"}) == 202
        wait_for(lambda: simulation.station()["agent"]["pid"] is None, "the end of the agent")
        assert simulation.post("agent", {"action": "start"}) == 202
        pid = wait_for(lambda: simulation.station()["agent"]["pid"], "the agent")
        with suspended(psutil.Process(pid)):
            assert simulation.post("doctor", {"language": "en"}) == 202
            assert simulation.get("doctor")["running"] is True
            processes = doctor_processes(simulation)
            is_heard = simulation.station()["agent"]["up"]
        run = finished_run(simulation)
    assert processes == []
    assert run["error"] == ""
    assert [row["findings"][0]["verdict"] for row in run["rungs"] if row["rung"] == "agent"] == ["good"]
    now = simulation.station()["agent"]
    assert (now["up"], now["pid"]) == (True, pid)


@pytest.mark.parametrize("wish", [{"language": "lb"}, {"boot": True}, []])
def test_a_wrong_wish_is_refused(simulation: Simulation, wish: Any) -> None:
    assert simulation.post("doctor", wish) == 400
