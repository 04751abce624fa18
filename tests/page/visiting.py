"""A visitor of the page: what is looked for on it, by the names that its parts have for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.scenarios.control_rig import Simulation
from tests.support.busy_machine import stretched

WITHIN_MS = 60_000
POLL_MS = 50
LOOKS = ((1440, "light"), (1440, "dark"), (390, "light"), (320, "dark"))
"""Colours do not depend on the width, nor what is where on the colours."""
SETTLED = """() => { const end = Date.now() + 2000;
  return new Promise((resolve) => { const look = () => {
    const busy = document.getAnimations().some(a => a instanceof CSSTransition && a.playState === 'running');
    if (busy && Date.now() < end) setTimeout(look, 50); else resolve(); }; look(); }); }"""
"""Colours that are still on their way are no colours."""


def patience_ms() -> float:
    """How long a visitor waits for what must come: longer on a busy machine."""
    return stretched(WITHIN_MS)


@contextlib.contextmanager
def visited(browser: Any, simulation: Simulation, **options: Any) -> Iterator[Any]:
    """Fails the test if the page complained on its console: a broken script, a blocked resource. An answer 409 is no
    complaint: what is physically impossible may be tried. Nothing moves on the page unless ``options`` say so: to paint
    what moves costs a tenth of a processor."""
    usual = {"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce"}
    page = browser.new_page(**{**usual, **options})
    page.set_default_timeout(patience_ms())
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


def wait_until_true(page: Any, expression: str, arg: Any = None) -> None:
    """Wait until the expression is true in the page. ``wait_for_function`` would look, and have the page painted, with
    each of 60 frames a second."""
    page.wait_for_function(expression, arg=arg, polling=POLL_MS)


def has(page: Any, testid: str, text: str) -> None:
    """Waits until the part is on the page and says ``text``: a page that was just loaded has no part yet."""
    wait_until_true(
        page,
        "([id, text]) => document.querySelector(`[data-testid=${id}]`)?.textContent.includes(text)",
        arg=[testid, text],
    )


def frame(page: Any, action: str, direction: str, kind: str = "call") -> Any:
    """The frames of this kind in the conversation, at least one."""
    found = page.locator(f'[data-testid=frame][data-action="{action}"][data-dir="{direction}"][data-kind="{kind}"]')
    found.first.wait_for(state="attached")
    return found


def axe_violations(page: Any) -> list[dict[str, Any]]:
    """Return what axe finds wrong on the page as it looks now. A document gets axe once, however often it is judged:
    to load it takes half as long as to judge with it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe.axe_script)
    found: list[dict[str, Any]] = page.evaluate(
        "() => axe.run({ resultTypes: ['violations'] }).then((results) => results.violations)"
    )
    return found


def judged(page: Any, what: str, looks: Iterable[tuple[int, str]] = LOOKS) -> None:
    """Fails the test if axe finds anything on the page, or it is wider than the screen, in one of these looks."""
    found = []
    for width, theme in looks:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        page.evaluate(SETTLED)
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{what}, {width}: {wide} px wide"] if wide > width else []
        for violation in axe_violations(page):
            nodes = [f"{n['target']}: {n['failureSummary']}" for n in violation["nodes"][:3]]
            found.append(f"{what}, {width}, {theme}: {violation['id']}: {nodes}")
    page.set_viewport_size({"width": 1440, "height": 900})
    assert found == []
