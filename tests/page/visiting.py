"""A visitor of the page: what is looked for on it, by the names that its parts have for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.scenarios.control_rig import Simulation

WITHIN_MS = 60_000


@contextlib.contextmanager
def visited(browser: Any, simulation: Simulation, **options: Any) -> Iterator[Any]:
    """Fails the test if the page complained on its console: a broken script, a blocked resource. An answer 409 is no
    complaint: what is physically impossible may be tried. Nothing moves on the page unless ``options`` say so: to paint
    what moves costs a tenth of a processor."""
    usual = {"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce"}
    page = browser.new_page(**{**usual, **options})
    page.set_default_timeout(WITHIN_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "409" not in m.text else None)
    page.goto(simulation.url)
    page.wait_for_selector("[data-testid=bay-1]")
    yield page
    page.close()
    assert not complaints, f"the page complained on its console: {complaints}"


def at(page: Any, testid: str) -> Any:
    return page.get_by_test_id(testid)


def has(page: Any, testid: str, text: str) -> None:
    """Waits until the part is on the page and says ``text``: a page that was just loaded has no part yet."""
    page.wait_for_function(
        "([id, text]) => document.querySelector(`[data-testid=${id}]`)?.textContent.includes(text)", arg=[testid, text]
    )


def frame(page: Any, action: str, direction: str, kind: str = "call") -> Any:
    """The frames of this kind in the conversation, at least one."""
    found = page.locator(f'[data-testid=frame][data-action="{action}"][data-dir="{direction}"][data-kind="{kind}"]')
    found.first.wait_for(state="attached")
    return found
