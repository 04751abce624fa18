"""What axe (https://github.com/dequelabs/axe-core, all of its rules) finds on the page: nothing, in any state, at any
width, light or dark; and the page is never wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.page.visiting import at, frame, has, judged, patience_ms, visited
from tests.scenarios.control_rig import Simulation, simulated

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]
WIDTHS = (1440, 390, 320)
STATION = """
[station]
id = "CP-1"
number = "1234"
state_dir = "state"
[tariff]
kwh = 0.45
[web_payment]
dynamic = true
allowed_hosts = ["127.0.0.1"]
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
state_dir = "world"
"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = tmp_path_factory.mktemp("accessible") / "station.toml"
    path.write_text(STATION, "utf-8")
    with simulated(str(path), "--port", "0") as s:
        yield s


@pytest.fixture(scope="module")
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        has(page, "backend", "Accepted")
        for n in (1, 2):
            has(page, f"reported-{n}", "Available")
        yield page


def test_a_free_station(page: Any) -> None:
    judged(page, "free")


def test_what_is_folded(page: Any) -> None:
    summaries = page.locator(".more summary")
    for n in range(summaries.count()):
        summaries.nth(n).click()
    frame(page, "BootNotification", "out").last.locator("summary").click()
    judged(page, "unfolded")
    for n in range(summaries.count()):
        summaries.nth(n).click()


def test_a_question_a_session_and_its_end(page: Any) -> None:
    for n in (1, 2):
        at(page, f"plug-{n}").click()
        has(page, f"reported-{n}", "Preparing")
    judged(page, "plugged")
    at(page, "card-alice").click()
    for n in (1, 2):
        page.wait_for_selector(f"[data-testid=bay-{n}].asked")
    at(page, "outlet-button-1").click()
    has(page, "reported-1", "Charging")
    judged(page, "charging")
    at(page, "unplug-1").click()
    page.wait_for_selector("#toast.shown")
    page.evaluate("clearTimeout(toastTimer)")
    judged(page, "a toast")
    page.evaluate("document.getElementById('toast').classList.remove('shown')")
    at(page, "ready-1").click()
    has(page, "reported-1", "SuspendedEV")
    judged(page, "suspended")
    at(page, "card-alice").click()
    page.wait_for_selector("[data-testid=bay-1].over")
    judged(page, "over")
    for n in (1, 2):
        at(page, f"unplug-{n}").click()
        has(page, f"reported-{n}", "Available")


def test_the_question(page: Any) -> None:
    """As the page shows it: the station itself asks for a quarter of a minute only."""
    page.evaluate(
        """() => { const asked = structuredClone(station);
                   for (const evse of asked.evses) evse.screen = "choose_outlet";
                   show(asked); }"""
    )
    judged(page, "asked")


def test_faults(page: Any) -> None:
    page.locator("[data-testid=bay-2] .more summary").click()
    at(page, "fault-ContactorWelded-2").click()
    has(page, "reported-2", "Faulted")
    at(page, "clear-latched-2").wait_for()
    judged(page, "a weld")
    at(page, "fault-ContactorWelded-2").click()
    page.get_by_text("out of service until").wait_for()
    judged(page, "a weld that is over")
    at(page, "clear-latched-2").click()
    has(page, "reported-2", "Available")


def test_an_enlarged_screen(page: Any) -> None:
    page.wait_for_selector("[data-testid=bay-1].has-picture")
    at(page, "screen-1").click()
    judged(page, "the screen")
    page.keyboard.press("Escape")


def test_the_payment_terminal(page: Any) -> None:
    at(page, "terminal-cycle").click()
    has(page, "pay-screen-0", "off")
    judged(page, "a terminal without power")
    has(page, "pay-screen-0", "Welcome")


def test_what_is_away(page: Any) -> None:
    at(page, "link-down").click()
    has(page, "backend", "away")
    at(page, "mains-toggle").click()
    has(page, "mains", "lost")
    judged(page, "no connection, no mains")
    at(page, "mains-toggle").click()
    at(page, "link-up").click()
    at(page, "agent-stop").click()
    has(page, "agent", "down")
    judged(page, "no agent")
    at(page, "agent-start").click()
    has(page, "backend", "Accepted")
    for n in (1, 2):
        has(page, f"reported-{n}", "Available")


def test_the_payment_page(page: Any) -> None:
    with page.expect_popup() as opened:
        at(page, "code-1").click()
    phone = opened.value
    phone.set_default_timeout(patience_ms())
    judged(phone, "the price")
    phone.goto(at(page, "code-1").get_attribute("href"))  # a code is valid for half a minute: judging takes longer
    phone.get_by_text("Continue to payment").click()
    phone.get_by_text("Pay and charge").wait_for()
    judged(phone, "to pay")
    phone.get_by_text("Cancel").click()
    phone.get_by_role("heading", name="Cancelled").wait_for()
    judged(phone, "cancelled")
    phone.close()


CONTROLS = "button, a[href], input, select, summary, [role=button]"
STOPS = """(controls) => [...document.querySelectorAll(controls)]
  .filter(e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true })).length"""
NEXT_STOP = """() => { const e = document.activeElement;
  if (e === document.body || e.dataset.stop) return '';
  return e.dataset.stop = e.id || e.dataset.testid || e.className || e.tagName; }"""


def walk_by_tab_key(page: Any) -> tuple[int, list[str]]:
    """Return how many controls the page has at the beginning, and what the tab key reaches, from the top of the
    page."""
    page.reload()
    has(page, "reported-2", "Available")
    frame(page, "BootNotification", "out")
    controls, stops = int(page.evaluate(STOPS, CONTROLS)), list[str]()
    page.keyboard.press("Tab")
    while stop := page.evaluate(NEXT_STOP):
        stops.append(stop)
        page.keyboard.press("Tab")
    return controls, stops


def test_every_control_is_reached_by_the_tab_key(page: Any) -> None:
    """Each once; what belongs together by one stop: a group of choices, the conversation."""
    controls, stops = walk_by_tab_key(page)
    while controls != page.evaluate(STOPS, CONTROLS):  # some came during the walk, behind its back
        controls, stops = walk_by_tab_key(page)
    assert len(stops) == controls + 1, "the list of frames itself is one stop"
    assert "frames" in stops
    page.locator("#frames").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('li').previousElementSibling !== null")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('details').open")


def test_a_choice_is_made_with_the_arrow_keys(page: Any) -> None:
    at(page, "tap-at-any").focus()
    page.keyboard.press("ArrowRight")
    assert at(page, "tap-at-1").get_attribute("aria-checked") == "true"
    page.keyboard.press("ArrowLeft")
    assert at(page, "tap-at-any").get_attribute("aria-checked") == "true"
    assert page.evaluate("document.activeElement.dataset.testid") == "tap-at-any"


SMALL = """() => [...document.querySelectorAll('button, summary, input:not([type=checkbox]), select, [role=button]')]
  .filter(e => e.checkVisibility({ visibilityProperty: true }))
  .map(e => [e.className.baseVal || e.className || e.id, e.getBoundingClientRect()])
  .filter(([, r]) => r.width < 24 || r.height < 24)
  .map(([name, r]) => `${name}: ${Math.round(r.width)} x ${Math.round(r.height)}`)"""


def test_targets_are_large_enough_for_a_finger(page: Any) -> None:
    """WCAG 2.2, 2.5.8: 24 by 24 px."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(SMALL) == [], width
    page.set_viewport_size({"width": 1440, "height": 900})
