"""The conversation on the page is whole: after a reload, while frames flow, after a restart of the simulation."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import has, patience_ms, visited
from tests.scenarios.control_rig import Simulation, simulated, wait_for, write_station
from tests.support.busy_machine import stretched
from tests.support.simulated_station import held_port

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]
RELOADS = 20
LATENCY_MS = 200
LAST_SEQ = "() => Number(document.querySelector('#frames li:last-child')?.dataset.seq ?? 0)"
SHOWN = """() => [...document.querySelectorAll('#frames li')].map(li =>
  [Number(li.dataset.seq), li.dataset.dir, li.querySelector('time').textContent])"""


@contextlib.contextmanager
def traffic(simulation: Simulation) -> Iterator[None]:
    """A card that is refused again and again: an Authorize and its answer each time."""
    stop = threading.Event()

    def tap() -> None:
        while not stop.wait(0.05):
            simulation.post("cards/tap", {"token": "B10C0C0D", "evse": 1})

    thread = threading.Thread(target=tap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def last_seq(simulation: Simulation) -> int:
    """0 before the station has connected."""
    return max((int(frame["seq"]) for frame in simulation.trace()), default=0)


def shows_all(page: Any, simulation: Simulation) -> None:
    """All frames of the trace, from the first one to one that is newer than the load, and no others."""
    wanted = last_seq(simulation)
    wait_for(lambda: shown_frames(page) >= wanted, f"frame {wanted} on the page")
    wait_for(lambda: differences(page, simulation) == [], "the page to show the trace")


def shown_frames(page: Any) -> int:
    return int(page.evaluate(LAST_SEQ))


def differences(page: Any, simulation: Simulation) -> list[Any]:
    """The frames of the page that are not those of the trace. A page whose simulation was started again shows the
    earlier frames until its event stream is open again."""
    shown = page.evaluate(SHOWN)
    trace = simulation.trace()[: len(shown)]
    clock = page.evaluate(
        "(all) => all.map(t => new Date(t * 1000).toLocaleTimeString('en-GB'))", [f["t"] for f in trace]
    )
    traced = [[f["seq"], f["dir"], at] for f, at in zip(trace, clock, strict=True)]
    return [pair for pair in itertools.zip_longest(shown, traced) if pair[0] != pair[1]]


def slow_down(page: Any) -> None:
    """A telephone far from the access point: every answer takes its time, and frames flow meanwhile."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1},
    )


def test_twenty_reloads_while_frames_flow_show_the_whole_conversation(browser: Any, tmp_path: Path) -> None:
    with simulated(str(write_station(tmp_path)), "--port", "0", "--speed", "20") as simulation:
        simulation.wait_healthy()
        with traffic(simulation), visited(browser, simulation) as page:
            wait_for(lambda: last_seq(simulation) > 80, "a conversation", 90)
            began = last_seq(simulation)
            slow_down(page)
            for _ in range(RELOADS):
                page.reload()
                shows_all(page, simulation)
            assert last_seq(simulation) > began + RELOADS, "the frames did not flow"


def test_an_open_page_follows_a_simulation_that_is_started_again(browser: Any, tmp_path: Path) -> None:
    with held_port() as port:
        arguments = (str(write_station(tmp_path)), "--port", str(port), "--speed", "20")
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(simulated(*arguments))
            first.wait_healthy()
            page = stack.enter_context(quiet(browser, first))
            wait_for(lambda: last_seq(first) > 20, "a conversation", 60)
            shows_all(page, first)
            first.process.terminate()
            first.process.wait(stretched(12))
            has(page, "agent", "away")
            second = stack.enter_context(simulated(*arguments))
            second.wait_healthy()
            has(page, "agent", "agent ")
            has(page, "backend", "Accepted")
            shows_all(page, second)
            assert page.locator("[data-action=BootNotification][data-kind=call]").count() == 1


@contextlib.contextmanager
def quiet(browser: Any, simulation: Simulation) -> Iterator[Any]:
    """A page whose server goes away complains of it, as it must."""
    page = browser.new_page(reduced_motion="reduce")
    page.set_default_timeout(patience_ms())
    page.goto(simulation.url)
    page.wait_for_selector("[data-testid=bay-1]")
    yield page
    page.close()
