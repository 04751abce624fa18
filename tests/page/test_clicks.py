"""The page played by clicks only: what a visitor reads at the end is what was billed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.visiting import at, frame, has, patience_ms, visited, wait_until_true
from tests.scenarios.control_rig import simulated, wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clicks")


@pytest.fixture(scope="module")
def page(browser: Any, folder: Path) -> Iterator[Any]:
    """The built-in station as ``make run`` starts it, with its central system and its speed."""
    with (
        simulated("--port", "0", cwd=folder) as simulation,
        visited(browser, simulation) as page,
    ):
        has(page, "backend", "Accepted")
        for n in (1, 2):
            has(page, f"reported-{n}", "Available")
        yield page


def number(page: Any, testid: str) -> float:
    return float(at(page, testid).text_content())


def grows(page: Any, testid: str, above: float = 0.0) -> None:
    wait_until_true(
        page, "([id, n]) => Number(document.querySelector(`[data-testid=${id}]`)?.textContent) > n", arg=[testid, above]
    )


def payload(found: Any) -> Any:
    """What the frame says once it is unfolded."""
    if not found.locator("pre").count():
        found.locator("summary").click()
    return json.loads(found.locator("pre").text_content())


def billed_wh(page: Any, action: str = "StopTransaction") -> int:
    """Of the newest transaction in the conversation."""
    stop = payload(frame(page, action, "out").last)
    begun = frame(page, "StartTransaction", "out")
    answers = frame(page, "StartTransaction", "in", "result")
    for i in range(answers.count() - 1, -1, -1):
        if payload(answers.nth(i))["transactionId"] == stop["transactionId"]:
            return int(stop["meterStop"]) - int(payload(begun.nth(i))["meterStart"])
    raise AssertionError(f"no start of {stop}")


def answered(page: Any, action: str) -> int:
    """How many of these calls have been answered so far."""
    return int(page.locator(f"[data-action={action}][data-kind=result]").count())


def another(page: Any, action: str, before: int) -> None:
    """Waits until one more is answered."""
    wait_until_true(
        page,
        "([a, n]) => document.querySelectorAll(`[data-action=${a}][data-kind=result]`).length > n",
        arg=[action, before],
    )


def shows_the_last_session(page: Any, n: int) -> None:
    page.wait_for_selector(f"[data-testid=bay-{n}].over")
    assert at(page, f"bay-{n}").locator(".which").first.text_content() == "last session"


def leave(page: Any, n: int) -> None:
    at(page, f"unplug-{n}").click()
    has(page, f"reported-{n}", "Available")


def test_two_cables_one_card_and_the_question_is_answered(page: Any) -> None:
    for n in (1, 2):
        at(page, f"plug-{n}").click()
        has(page, f"reported-{n}", "Preparing")
    at(page, "card-alice").click()
    for n in (1, 2):
        has(page, f"says-{n}", "which outlet?")
        page.wait_for_selector(f"[data-testid=bay-{n}].asked")
    at(page, "outlet-button-1").click()  # without an answer the newest cable, which is the other one
    has(page, "reported-1", "Charging")
    has(page, "says-2", "free")
    assert "Charging" not in at(page, "reported-2").text_content()
    grows(page, "energy-1", 0.3)
    at(page, "card-alice").click()  # her own session ends, although outlet 2 still waits
    another(page, "StopTransaction", 0)
    shows_the_last_session(page, 1)
    assert number(page, "energy-1") == pytest.approx(billed_wh(page) / 1000, abs=1e-9)
    has(page, "lock-1", "unlocked")
    for n in (1, 2):
        leave(page, n)
    shows_the_last_session(page, 1)


def test_a_weld_is_cleared(page: Any) -> None:
    at(page, "bay-2").locator(".more summary").click()
    weld = at(page, "fault-ContactorWelded-2")
    weld.click()
    has(page, "reported-2", "Faulted")
    hint = at(page, "bay-2").locator(".latched .hint")
    hint.get_by_text("switch the fault off").wait_for()
    weld.click()
    hint.get_by_text("out of service until").wait_for()
    assert "Faulted" in at(page, "reported-2").text_content()
    at(page, "clear-latched-2").click()
    has(page, "reported-2", "Available")
    at(page, "clear-latched-2").wait_for(state="hidden")


def test_a_web_payment_by_the_link_of_the_code(page: Any, folder: Path) -> None:
    stops = answered(page, "StopTransaction")
    with page.expect_popup() as opened:
        at(page, "code-1").click()
    phone = opened.value
    phone.set_default_timeout(patience_ms())
    phone.reload()  # a preview, or an impatient driver
    phone.get_by_text("Continue to payment").click()
    phone.get_by_text("Pay and charge").click()
    phone.get_by_text("Please plug in.").wait_for()
    has(page, "says-1", "plug in now")
    at(page, "socket-1").click()
    has(page, "reported-1", "Charging")
    grows(page, "energy-1", 0.3)
    grows(page, "cost-1")
    at(page, "unplug-ev-1").click()
    phone.get_by_role("heading", name="Receipt").wait_for()
    paid = float(re.findall(r"([0-9.]+) €", phone.content())[0])
    kwh = float(re.findall(r"([0-9.]+) kWh<", phone.content())[0])
    another(page, "StopTransaction", stops)
    shows_the_last_session(page, 1)
    has(page, "cost-1", f"{paid:.2f}")
    assert (number(page, "energy-1"), number(page, "cost-1")) == (kwh, paid)
    assert round(kwh * 1000) == billed_wh(page)
    booked = [json.loads(line) for line in (folder / "chargy-sim" / "world" / "central.jsonl").read_text().splitlines()]
    assert [f["energy_wh"] for f in booked if f["kind"] == "stop"][-1] == round(kwh * 1000)
    assert [f for f in booked if f["kind"] == "violation"] == []
    phone.close()
    leave(page, 1)
    assert (number(page, "energy-1"), number(page, "cost-1")) == (kwh, paid), "what it was stays to be read"


def test_time_runs_as_the_page_says_and_can_be_switched(page: Any) -> None:
    """A session goes on over the switch, and its end does not lie before its begin."""
    assert "×10" in at(page, "time").text_content()
    stops = answered(page, "StopTransaction")
    at(page, "tap-at-1").click()
    at(page, "card-bob").click()
    has(page, "says-1", "plug in now")
    at(page, "plug-1").click()
    has(page, "reported-1", "Charging")
    grows(page, "energy-1", 0.1)
    boots = answered(page, "BootNotification")
    at(page, "speed-1").click()
    another(page, "BootNotification", boots)
    assert at(page, "time").text_content() == "time ×1"
    has(page, "reported-1", "Charging")
    before = number(page, "energy-1")
    grows(page, "energy-1", before)
    at(page, "card-bob").click()
    another(page, "StopTransaction", stops)
    shows_the_last_session(page, 1)
    assert number(page, "energy-1") == pytest.approx(billed_wh(page) / 1000, abs=1e-9)
    stop, start = (payload(frame(page, f"{a}Transaction", "out").last) for a in ("Stop", "Start"))
    assert start["timestamp"] < stop["timestamp"]
    leave(page, 1)
    at(page, "speed-1").press("ArrowRight")
    another(page, "BootNotification", boots + 1)
    assert at(page, "time").text_content() == "time ×10"


def test_a_bank_card_is_charged_what_the_page_says(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "dc.toml"
    path.write_text((ROOT / "config" / "stations" / "dc-ccs.toml").read_text("utf-8"), "utf-8")
    with contextlib.ExitStack() as stack:
        simulation = stack.enter_context(simulated(str(path), "--port", "0", "--speed", "40"))
        page = stack.enter_context(visited(browser, simulation))
        has(page, "pay-screen-0", "60.00")
        at(page, "card-pays").click()
        has(page, "ledger", "held 1 (60.00 €)")
        at(page, "plug-1").click()
        has(page, "reported-1", "Charging")
        grows(page, "energy-1", 3.0)
        at(page, "unplug-ev-1").click()
        shows_the_last_session(page, 1)
        (capture,) = wait_for(lambda: simulation.station()["ledger"]["captures"], "the charge", 60)
        another(page, "StopTransaction", 0)
        has(page, "ledger", f"charged 1 ({capture['cents'] / 100:.2f} €)")
        has(page, "cost-1", f"{capture['cents'] / 100:.2f}")  # of the agent; the ledger is the terminal's
        assert number(page, "cost-1") == capture["cents"] / 100
        assert number(page, "energy-1") == pytest.approx(billed_wh(page) / 1000, abs=1e-9)
