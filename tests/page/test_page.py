"""The page in a real browser: what a visitor can do with clicks and keys, against the real agent and its backend."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agent.domain.repeated_card import BEGUN_S
from tests.page.visiting import at, frame, has, patience_ms, visited, wait_until_true
from tests.scenarios.control_rig import Simulation, simulated, wait_for, write_station
from tests.support.simulated_station import USUAL_PANEL

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    path = write_station(tmp_path_factory.mktemp("page"), panel=USUAL_PANEL)
    with path.open("a", encoding="utf-8") as file:
        file.write('\n[terminal]\ndriver = "terminal_payter"\nsync_every_s = 0.1\n')
        file.write('\n[web_payment]\ndynamic = true\nallowed_hosts = ["127.0.0.1"]\n[settings]\ncost_display = true\n')
    with simulated(str(path), "--port", "0", "--speed", "20") as s:
        s.wait_healthy()
        wait_for(lambda: (s.station()["backend"] or {}).get("boot") == "Accepted", "boot", 60)
        yield s


@pytest.fixture
def page(browser: Any, simulation: Simulation) -> Iterator[Any]:
    with visited(browser, simulation) as page:
        yield page


def test_a_whole_session_by_clicks(page: Any) -> None:
    has(page, "reported-1", "Available")
    at(page, "tap-at-1").click()
    at(page, "card-alice").click()
    assert "04A1B2C3D4E5F6" in frame(page, "Authorize", "out").last.text_content()
    assert "Accepted" in frame(page, "Authorize", "in", "result").last.text_content()
    at(page, "socket-1").click()
    has(page, "reported-1", "Charging")
    has(page, "lock-1", "locked")
    has(page, "contactor-1", "closed")
    frame(page, "StartTransaction", "out")
    wait_until_true(page, "() => Number(document.querySelector('[data-testid=energy-1]')?.textContent) > 0.01")
    first = float(at(page, "energy-1").text_content())
    wait_until_true(
        page, "([e]) => Number(document.querySelector('[data-testid=energy-1]')?.textContent) > e", arg=[first]
    )
    assert float(at(page, "power-1").text_content()) > 1
    at(page, "unplug-1").click()  # the plug is locked: physically impossible, and the page says so
    page.wait_for_selector("#toast.shown")
    assert "locked" in page.locator("#toast").text_content()
    at(page, "card-alice").click()
    stop = frame(page, "StopTransaction", "out")
    stop.last.locator("summary").click()
    assert '"meterStop"' in stop.last.locator("pre").text_content()
    _goes(page)


def _goes(page: Any) -> None:
    has(page, "lock-1", "unlocked")
    at(page, "unplug-1").click()
    has(page, "reported-1", "Available")
    has(page, "cp-1", "no car")


def test_a_whole_session_by_clicks_on_2_0_1(browser: Any, tmp_path: Path) -> None:
    """The demonstration with its own central system, made to speak the newer version."""
    path = write_station(tmp_path, panel=USUAL_PANEL)
    with simulated(str(path), "--port", "0", "--speed", "20", "--ocpp", "2.0.1") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation, reduced_motion="no-preference") as page:
            has(page, "backend", "OCPP 2.0.1 Accepted")
            has(page, "reported-1", "Available")
            at(page, "tap-at-1").click()
            at(page, "card-alice").click()
            assert "04A1B2C3D4E5F6" in frame(page, "Authorize", "out").last.text_content()
            at(page, "socket-1").click()
            has(page, "reported-1", "Occupied")
            has(page, "contactor-1", "closed")
            frame(page, "TransactionEvent", "out")
            wait_until_true(page, "() => Number(document.querySelector('[data-testid=energy-1]')?.textContent) > 0.01")
            at(page, "card-alice").click()
            has(page, "contactor-1", "open")
            _goes(page)
            wait_for(lambda: simulation.station()["agent"]["queue"] == 0, "an empty queue", 60)
        register = simulation.evse(1)["meter_wh"]
    facts = [json.loads(line) for line in (tmp_path / "world" / "central.jsonl").read_text().splitlines()]
    assert [f for f in facts if f["kind"] == "violation"] == []
    (stop,) = [f for f in facts if f["kind"] == "stop"]
    assert (stop["meter_stop_wh"], stop["energy_wh"], stop["reason"]) == (register, register - 5000, "Local")


def test_a_bank_card_pays_for_direct_current(browser: Any, tmp_path: Path) -> None:
    """The shipped DC station: card, plug, energy, card. What is charged is on the page."""
    path = tmp_path / "dc.toml"
    path.write_text((ROOT / "config" / "stations" / "dc-ccs.toml").read_text("utf-8"), "utf-8")
    with simulated(str(path), "--port", "0", "--speed", "40") as simulation:
        simulation.wait_healthy()
        with visited(browser, simulation) as page:
            assert at(page, "bay-1").locator(".name").text_content() == "Outlet 1 · direct current"
            assert at(page, "bay-1").locator("select[name=profile] option").all_text_contents() == ["dc400", "dc800"]
            has(page, "pay-screen-0", "60.00")
            at(page, "card-pays").click()
            has(page, "ledger", "held 1 (60.00 €)")
            at(page, "plug-1").click()
            has(page, "reported-1", "Charging")
            wait_until_true(page, "() => Number(document.querySelector('[data-testid=power-1]')?.textContent) > 50")
            assert "150 kW" in page.locator("[data-testid=bay-1] .limit").text_content()
            page.wait_for_timeout(BEGUN_S * 1000)  # a card that is held too long ends nothing
            has(page, "pay-screen-0", "60.00")
            at(page, "card-pays").click()
            has(page, "reported-1", "Finishing")
            has(page, "ledger", "held 0")
            (capture,) = wait_for(lambda: simulation.station()["ledger"]["captures"], "the charge", 60)
            has(page, "ledger", f"charged 1 ({capture['cents'] / 100:.2f} €)")
            at(page, "unplug-1").click()
            has(page, "reported-1", "Available")


def test_the_screen_is_the_stations_own(page: Any, simulation: Simulation) -> None:
    page.wait_for_selector("[data-testid=bay-1].has-picture")
    href = page.locator("[data-testid=screen-1] image").get_attribute("href")
    assert simulation.call(href.removeprefix("api/v1/"))[1][:4] == b"\x89PNG"
    at(page, "language").click()
    wait_until_true(
        page, "(old) => document.querySelector('[data-testid=screen-1] image').getAttribute('href') !== old", arg=href
    )
    at(page, "screen-1").click()
    assert page.locator("#zoom").is_visible()
    page.keyboard.press("Escape")


def test_scan_the_screen_on_the_page_pay_charge_and_scan_the_receipt(
    page: Any, browser: Any, simulation: Simulation
) -> None:
    """Someone without a contract, with a telephone that looks at the page."""
    phone = browser.new_page()
    phone.set_default_timeout(patience_ms())
    phone.goto(wait_for(lambda: scanned(page), "a code on the page"))
    phone.get_by_text("Continue to payment").click()
    phone.get_by_text("Pay and charge").click()
    phone.get_by_text("Please plug in.").wait_for()
    at(page, "socket-1").click()
    has(page, "reported-1", "Charging")
    phone.get_by_role("heading", name="Charging").wait_for()
    wait_until_true(page, "() => Number(document.querySelector('[data-testid=cost-1]')?.textContent) > 0")
    at(page, "unplug-ev-1").click()
    phone.get_by_role("heading", name="Receipt").wait_for()
    wait_for(lambda: scanned(page) == phone.url, "the receipt as a code on the page")
    phone.close()
    _goes(page)


def scanned(page: Any) -> str:
    """What a camera reads off the first outlet's screen on the page; "" while there is no code."""
    zxingcpp: Any = pytest.importorskip("zxingcpp")
    shot = Image.open(io.BytesIO(at(page, "screen-1").screenshot()))
    return "".join(
        code.text for code in zxingcpp.read_barcodes(shot.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
    )


def test_a_blocked_card_is_refused(page: Any) -> None:
    at(page, "tap-at-1").click()
    at(page, "card-blocked").click()
    answers = page.locator('[data-testid=frame][data-action="Authorize"][data-kind="result"]')
    answers.filter(has_text="Blocked").first.wait_for(state="attached")


def test_the_payment_terminal_loses_power_and_its_bank(page: Any, simulation: Simulation) -> None:
    has(page, "pay-screen-0", "Welcome")
    has(page, "ledger", "held 0 (0.00 €), charged 0 (0.00 €), released 0")
    at(page, "bank-link").click()
    wait_for(lambda: not simulation.station()["terminals"][0]["online"], "the bank is away", 60)
    at(page, "terminal-cycle").click()
    has(page, "pay-screen-0", "off")
    has(page, "pay-screen-0", "Welcome")
    page.wait_for_selector("[data-testid=bank-link][aria-pressed=false]")
    at(page, "bank-link").click()
    page.wait_for_selector("[data-testid=bank-link][aria-pressed=true]")
    with page.expect_response("**/api/v1/terminal/card") as answer:
        at(page, "card-pays").click()
    assert answer.value.status == 202


def test_keys_do_what_clicks_do(page: Any) -> None:
    at(page, "car-2").focus()
    page.keyboard.press("Enter")
    has(page, "cp-2", "connected")
    at(page, "unplug-ev-2").focus()
    page.keyboard.press("Space")
    has(page, "cp-2", "no car")


def test_a_fault_is_switched_on_and_off(page: Any) -> None:
    page.locator("[data-testid=bay-2] summary").click()
    button = at(page, "fault-GroundFailure-2")
    button.click()
    has(page, "reported-2", "Faulted")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    has(page, "reported-2", "Available")


def test_the_conversation_can_be_filtered(page: Any) -> None:
    frame(page, "StatusNotification", "out")
    at(page, "filter").fill("BootNotification")
    shown = page.locator("[data-testid=frame]:visible")
    wait_until_true(page, "() => document.querySelectorAll('[data-testid=frame]:not([hidden])').length > 0")
    assert {shown.nth(i).get_attribute("data-action") for i in range(shown.count())} == {"BootNotification"}
    page.locator("#answers").click()
    kinds = {shown.nth(i).get_attribute("data-kind") for i in range(shown.count())}
    assert kinds == {"call"}


def test_the_road_is_cut_and_mended(page: Any) -> None:
    at(page, "link-down").click()
    has(page, "backend", "away")
    at(page, "link-up").click()
    has(page, "backend", "Accepted")


def test_the_agent_is_killed_stopped_and_started(page: Any, simulation: Simulation) -> None:
    before = simulation.station()["agent"]["restarts"]
    at(page, "agent-kill").click()
    wait_for(lambda: simulation.station()["agent"]["restarts"] == before + 1, "a restart", 60)
    has(page, "agent", "0.")
    at(page, "agent-stop").click()
    has(page, "agent", "down")
    at(page, "agent-start").click()
    has(page, "agent", "0.")
    simulation.wait_healthy()


def test_a_phone_needs_no_sideways_scrolling(browser: Any, simulation: Simulation) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.set_default_timeout(patience_ms())
    page.goto(simulation.url)
    page.wait_for_selector("[data-testid=bay-2]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_everything_that_can_be_pressed_has_a_name(page: Any) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, [role=button], input, select')].filter(e =>
             !(e.textContent.trim() || e.getAttribute('aria-label') || (e.labels && e.labels.length))
           ).map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_the_data_volume_of_the_month_is_shown(page: Any) -> None:
    """The station has booted, so it has taken some kilobytes."""
    wait_until_true(page, "() => /[0-9.]+ [kM]B this month/.test(document.querySelector('#traffic-now').textContent)")
