"""Pages that are files: the report of a fleet, and receipts in their languages. axe finds nothing on them, and they are
never wider than the screen, light or dark."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agent.commands.fleet.report_html import fleet_report_html
from agent.fleet.figures import CoursePoint, FleetFigures
from agent.fleet.fleet_result import Thresholds
from agent.services.receipts.receipt_document import receipt_document
from agent.services.receipts.receipt_html import message_page, receipt_page
from agent.services.receipts.receipt_texts import LANGUAGES
from tests.fleet.test_figures import result_of
from tests.page.visiting import axe_violations, patience_ms
from tests.services.test_receipts import ZONE, Sale

pytestmark = [pytest.mark.page, pytest.mark.timeout(400)]
WIDTHS = (1400, 1024, 390)
ACTIONS = ("BootNotification", "Heartbeat", "MeterValues", "StartTransaction", "StatusNotification", "StopTransaction")


def judge_file(browser: Any, file: Path) -> list[str]:
    """Return what is wrong with a page in a file."""
    page = browser.new_page(bypass_csp=True)  # axe is a script in the page, which the policy of the page refuses
    page.set_default_timeout(patience_ms())
    found = []
    page.goto(file.as_uri())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            found += [f"{file.name} {width}: {wide} px wide"] if wide > width else []
        for violation in axe_violations(page):
            found += [f"{file.name} {scheme} {violation['id']}: {n['failureSummary']}" for n in violation["nodes"][:3]]
    page.close()
    return found


def write_fleet_report(file: Path) -> Path:
    """Write the report of a run with every part: course, calls, requests, errors, failures, books."""
    figures, dice = FleetFigures(), random.Random(72)
    for action in ACTIONS:
        for _ in range(50):
            figures.record_answer(action, dice.uniform(0.001, 0.4))
    figures.record_served_request("RemoteStartTransaction", 0.02)
    figures.errors["Authorize: InternalError"] += 3
    figures.counts["visits"] += 12
    figures.accepted_s = [0.4, 0.9]
    figures.course += [CoursePoint(float(s), s, s // 2, 10 * s, s % 3, 2.5 * s) for s in range(1, 60)]
    file.write_text(fleet_report_html(result_of(figures, 3).to_report(Thresholds(1.0, 0))), "utf-8")
    return file


def test_the_report_of_a_fleet(browser: Any, tmp_path: Path) -> None:
    assert judge_file(browser, write_fleet_report(tmp_path / "fleet.html")) == []


@pytest.fixture(scope="module", params=["AC", "DC"])
def sale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sale:
    return Sale(tmp_path_factory.mktemp("sale") / request.param, request.param == "DC")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receipt_in_each_language(browser: Any, sale: Sale, tmp_path: Path, language: str) -> None:
    receipt = tmp_path / f"receipt-{language}.html"
    receipt.write_text(receipt_page(receipt_document(sale.receipt, sale.payment, language, ZONE), "x.pdf"), "utf-8")
    absent = tmp_path / f"absent-{language}.html"
    absent.write_text(message_page(language, "not_found"), "utf-8")
    assert judge_file(browser, receipt) + judge_file(browser, absent) == []
