"""The field page in a real browser: the first-time path by the page's own words, and what axe finds in each state and
language, on a small telephone and on a desk."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.commands.page.page_texts import LANGUAGES, PageTexts
from agent.commands.page.roles import Role
from tests.page.visiting import axe_violations, patience_ms, wait_until_true
from tests.scenarios.control_rig import Simulation, simulated, wait_for
from tests.support.field_page_process import PASSWORD, write_users
from tests.support.simulated_station import held_port

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]
STATION = """
[station]
id = "CP-1"
number = "1234"
state_dir = "state"
[[evse]]
number = 1
[evse.meter]
driver = "meter_modbus"
map = "carlo_gavazzi_em340"
[simulation]
state_dir = "world"
"""
PAGES = ("state", "commission", "doctor", "kit", "meters", "cards", "audits", "logs")
LANGUAGE_TEXTS = {code: PageTexts(code) for code in LANGUAGES}
SIZES = ((320, 640), (1280, 900))
SMALL_TARGETS = """() => [...document.querySelectorAll('button, .button, nav a, summary, input:not([type=hidden])')]
  .filter(e => e.offsetParent && e.type !== 'checkbox')
  .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, box]) => box.height < 47.5 || box.width < 47.5)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""


@dataclass
class Site:
    simulation: Simulation
    url: str

    def tap_card(self) -> None:
        assert self.simulation.post("cards/tap", {"token": "04A1B2C3D4E5F6", "evse": 1}) == 202


@contextlib.contextmanager
def served_station(folder: Path) -> Iterator[Site]:
    (folder / "station.toml").write_text(STATION, "utf-8")
    write_users(folder / "state" / "field-page" / "users.json", rita=Role.READER, max=Role.MANUFACTURER)
    with (
        held_port() as port,
        simulated(str(folder / "station.toml"), "--port", "0", "--field-page", str(port)) as simulation,
    ):
        simulation.wait_healthy()
        url = f"http://127.0.0.1:{port}"
        assert f"field page: {url}/" in simulation.lines

        def is_served() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        wait_for(is_served, "the field page")
        yield Site(simulation, url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_station(tmp_path_factory.mktemp("field")) as site:
        yield site


@contextlib.contextmanager
def visitor(browser: Any, site: Site, language: str = "en", user: str = "max", **options: Any) -> Iterator[Any]:
    """Fails the test if the page complained on its console. A station that restarts, and what is refused, are no
    complaints."""
    page = browser.new_page(viewport={"width": 320, "height": 640}, locale=language, reduced_motion="reduce", **options)
    page.set_default_timeout(patience_ms())
    complaints: list[str] = []
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    try:
        page.goto(f"{site.url}/login")
        if user:
            log_in(page, user)
        yield page
    finally:
        page.close()
    wrong = [
        said
        for said in complaints
        if not re.search(r"ERR_CONNECTION|ERR_EMPTY|status of (400|401|403|404|409|429|503)", said)
    ]
    assert not wrong, f"the page complained on its console: {wrong}"


def log_in(page: Any, user: str) -> None:
    """After wrong passwords from this address the page asks for a pause: a person waits, and tries again."""
    while True:
        page.fill("#user", user)
        page.fill("#password", PASSWORD)
        with page.expect_navigation() as navigation:
            page.keyboard.press("Enter")
        if navigation.value.status != 429:
            break
        page.wait_for_timeout(1000 * int(navigation.value.headers["retry-after"]))
    page.wait_for_url("**/state")


def press(page: Any, label: str) -> None:
    page.get_by_role("button", name=label, exact=True).first.click()


def follow(page: Any, label: str) -> None:
    page.get_by_role("link", name=label, exact=True).first.click()


def judged(page: Any, what: str) -> None:
    """Fails the test if axe finds anything, the page is wider than the screen, or a target is smaller than 48 px."""
    found = []
    page.wait_for_load_state("load")  # its style is there
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{what}, {width}: {wide} px wide"] if wide > width else []
        found += [f"{what}, {width}: small: {small}" for small in page.evaluate(SMALL_TARGETS)]
        for violation in axe_violations(page):
            nodes = [f"{n['target']}: {n['failureSummary']}" for n in violation["nodes"][:3]]
            found.append(f"{what}, {width}: {violation['id']}: {nodes}")
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    assert found == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_page_in_each_language(browser: Any, site: Site, language: str) -> None:
    texts = LANGUAGE_TEXTS[language]
    with visitor(browser, site, language, user="") as page:
        assert page.locator("h1").inner_text() == texts.text_of("login.title")
        judged(page, "login")
        page.fill("#user", "max")
        page.fill("#password", "wrong password")
        press(page, texts.text_of("login.submit"))
        page.get_by_text(texts.text_of("login.wrong")).wait_for()
        judged(page, "a wrong password")
        log_in(page, "max")
        for name in PAGES:
            page.goto(f"{site.url}/{name}")
            assert page.locator("h1").inner_text() == texts.text_of(f"pages.{name}")
            assert page.locator("html").get_attribute("lang") == language
            judged(page, name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_station_is_commissioned_by_the_words_of_the_page(browser: Any, tmp_path: Path, language: str) -> None:
    """As a new user does it: each step is named by the page, and each click is on what the page shows for it."""
    texts = LANGUAGE_TEXTS[language]
    with served_station(tmp_path) as site, visitor(browser, site, language) as page:
        page.get_by_text(texts.text_of("state.begin")).wait_for()
        follow(page, texts.text_of("state.begin_do"))
        press(page, texts.text_of("kit.take", name="station-1234"))
        page.get_by_text("+352 80 00 11 22").first.wait_for()
        judged(page, "a kit")
        press(page, texts.text_of("kit.apply_do"))
        page.get_by_text(texts.text_of("kit.applied")).wait_for()
        assert page.get_by_role("link", name=texts.text_of("restart.on")).count() == 1
        page.wait_for_url("**/commission")
        page.get_by_text(texts.text_of("commission.devices.good")).wait_for()
        judged(page, "devices")
        press(page, texts.text_of("commission.on"))
        press(page, texts.text_of("doctor.start"))
        page.get_by_text(texts.text_of("commission.step_done")).wait_for()
        judged(page, "the doctor")
        follow(page, texts.text_of("commission.next"))
        page.get_by_text(texts.text_of("cards.none")).wait_for()
        judged(page, "no card yet")
        site.tap_card()
        page.get_by_text(texts.text_of("cards.read", token="…E5F6")).wait_for()
        assert "04A1B2C3" not in page.content()
        judged(page, "a card")
        follow(page, texts.text_of("commission.next"))
        press(page, texts.text_of("commission.finish.do"))
        page.get_by_text(texts.text_of("commission.finished")).wait_for()
        judged(page, "commissioned")
        page.goto(f"{site.url}/state")
        page.get_by_text(texts.text_of("state.all_good")).wait_for()
        assert page.get_by_text(texts.text_of("state.begin")).count() == 0
    derived = (tmp_path / "world" / "derived.toml").read_text("utf-8")
    assert 'hotline = "+352 80 00 11 22"' in derived


def test_a_session_and_a_fault(browser: Any, site: Site) -> None:
    with visitor(browser, site) as page:
        simulation = site.simulation
        assert simulation.post("evses/1/plug") == 202
        site.tap_card()
        page.get_by_text("charging", exact=False).first.wait_for()
        page.get_by_text("…E5F6", exact=False).first.wait_for()
        judged(page, "charging")
        page.goto(f"{site.url}/meters")
        page.get_by_text("counts").wait_for()
        page.get_by_text(re.compile(r"\d+\.\d{3} kWh")).first.wait_for()
        judged(page, "a meter that counts")
        page.goto(f"{site.url}/kit/view?kit=gone")
        page.get_by_text("There is no such kit any more.").wait_for()
        press(page, "Undo the last kit")
        page.get_by_text("Outlet 1 is in use.", exact=False).wait_for()
        judged(page, "refused during a session")
        site.tap_card()
        wait_for(lambda: simulation.post("evses/1/unplug") == 202, "the plug to be free")
        page.goto(f"{site.url}/state")
        page.get_by_text("Last session").wait_for()
        assert simulation.post("evses/1/fault", {"fault": "ContactorWelded", "active": True}) == 202
        page.get_by_text("a contactor does not open: the outlet may be live", exact=False).wait_for()
        judged(page, "a fault")
        assert simulation.post("evses/1/fault", {"fault": "ContactorWelded", "active": False}) == 202
        assert simulation.post("evses/1/clear") == 202
        page.get_by_text("The station is in service and connected.").wait_for()


def test_a_kit_is_brought_refused_and_undone(browser: Any, site: Site, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.toml", tmp_path / "kit.toml"
    broken.write_text("[kit]\nversion = 1\n[station]\nnumber = 5\n", "utf-8")
    with visitor(browser, site) as page:
        page.goto(f"{site.url}/kit")
        page.set_input_files("#kit", str(broken))
        press(page, "Upload and look at it")
        page.get_by_text("This kit cannot be used:").wait_for()
        judged(page, "a kit with mistakes")
        example = next(line for line in site.simulation.lines if line.startswith("a kit to try: "))
        text = Path(example.partition(": ")[2]).read_text("utf-8")
        good.write_text(text.replace('"1234"', '"5678"'), "utf-8")
        page.goto(f"{site.url}/kit")
        page.set_input_files("#kit", str(good))
        press(page, "Upload and look at it")
        page.get_by_text("This station has another number, charge point id or SIM than the kit.").wait_for()
        judged(page, "the kit of another station")
        page.check("#rename")
        press(page, "Apply the kit and restart")
        page.wait_for_url("**/commission")
        page.get_by_text("CP-1 (5678)").first.wait_for()
        page.goto(f"{site.url}/kit")
        press(page, "Undo the last kit")
        page.get_by_text("The station file is as before the last kit.").wait_for()
        page.wait_for_url("**/commission")
        page.get_by_text("CP-1 (1234)").first.wait_for()
        page.goto(f"{site.url}/kit")
        press(page, "Undo the last kit")
        page.get_by_text("Nothing was changed:").wait_for()
        judged(page, "no kit to undo")


LAMP_TEST = ["green", "blue", "yellow", "red", "green"]


@contextlib.contextmanager
def watched_lamp(simulation: Simulation) -> Iterator[list[str]]:
    """The colours of the lamp of outlet 1, one after the other, from the one that it has at the beginning."""
    colors: list[str] = [simulation.station()["lamps"]["1"]]
    ended = threading.Event()

    def watch_lamp() -> None:
        while not ended.wait(0.05):
            color = simulation.station()["lamps"]["1"]
            if color != colors[-1]:
                colors.append(color)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch_lamp)
        try:
            yield colors
        finally:
            ended.set()
    watching.result()


def is_in_order(wanted: list[str], seen: list[str]) -> bool:
    """A lamp of several LEDs may show something else between two colours."""
    rest = iter(seen)
    return all(color in rest for color in wanted)


def test_the_lamps_show_all_colours_and_then_the_state(browser: Any, site: Site) -> None:
    with visitor(browser, site) as page:
        page.goto(f"{site.url}/cards")
        wait_for(lambda: site.simulation.station()["lamps"]["1"] == "green", "a free outlet")
        with watched_lamp(site.simulation) as colors:  # each is shown for a second, maybe before the answer is
            press(page, "Show all colours")
            page.get_by_text("The lamps show their colours now.").wait_for()
            wait_for(lambda: is_in_order(LAMP_TEST, colors), "all colours and the state")
        judged(page, "a test of the lamps")


def test_the_display_shows_the_service_screen(browser: Any, site: Site) -> None:
    def screen_name() -> str:
        return str(site.simulation.evse(1)["screen"])

    with visitor(browser, site) as page:
        for expected in ("service", "idle"):
            page.goto(f"{site.url}/cards")
            press(page, "Show the service screen")
            page.get_by_text("The display shows the service screen now.").wait_for()
            wait_for(lambda expected=expected: screen_name() == expected, expected)


def test_what_is_not_there_or_not_allowed(browser: Any, site: Site) -> None:
    with visitor(browser, site, user="rita") as page:
        for path, said in (("/nothing", "There is no such page."), ("/kit", "This is not allowed,")):
            page.goto(site.url + path)
            page.get_by_text(said, exact=False).wait_for()
            judged(page, said)
        follow(page, "To the state of the station")
        page.wait_for_url("**/state")


def test_with_the_keyboard_alone(browser: Any, site: Site) -> None:
    with visitor(browser, site, user="") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(9):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "user":
                break
        page.keyboard.type("rita")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/state")
        assert page.get_by_role("link", name="Kit").count() == 0, "a reader has no kit"


def test_without_its_script_the_page_works(browser: Any, site: Site) -> None:
    with visitor(browser, site, java_script_enabled=False) as page:
        for name in PAGES:
            page.goto(f"{site.url}/{name}")
            assert page.locator("h1").count() == 1
        page.goto(f"{site.url}/doctor")
        page.get_by_role("button", name="Examine", exact=False).first.click()
        page.wait_for_url("**/doctor")


def test_a_part_to_which_a_person_has_come_is_not_replaced(browser: Any, site: Site) -> None:
    """Nor if its new content was on its way: a click whose target goes before the button is released is lost."""
    asked: list[Any] = []

    def answer_with_new_content(page: Any) -> None:
        while not asked:
            page.wait_for_timeout(50)
        asked.pop().fulfill(content_type="text/html", body="<p>This is newer.</p>")

    with visitor(browser, site) as page:
        page.route(re.compile(r"/state\?part=live$"), lambda route: asked.append(route))
        begin = page.get_by_role("link", name=LANGUAGE_TEXTS["en"].text_of("state.begin_do"), exact=True)
        begin.wait_for()
        while not asked:
            page.wait_for_timeout(50)
        begin.focus()
        page.evaluate("offline.hidden = false")
        answer_with_new_content(page)
        wait_until_true(page, "() => offline.hidden")
        assert page.evaluate("document.activeElement.tagName") == "A"
        page.evaluate("document.activeElement.blur()")
        answer_with_new_content(page)
        page.get_by_text("This is newer.").wait_for()


def test_the_diagnostics_are_a_zip_file_without_cards(browser: Any, site: Site, tmp_path: Path) -> None:
    import zipfile

    site.tap_card()
    with visitor(browser, site) as page:
        page.goto(f"{site.url}/logs")
        with page.expect_download() as waiting:
            press(page, "Download the diagnostics")
        waiting.value.save_as(tmp_path / "d.zip")
    with zipfile.ZipFile(tmp_path / "d.zip") as archive:
        names = set(archive.namelist())
        assert {"about.json", "agent.log", "settings.json", "wire.jsonl"} <= names
        assert not any(b"04A1B2C3D4E5F6" in archive.read(name) for name in names)


def test_a_station_that_goes_away_is_said(browser: Any, site: Site) -> None:
    with visitor(browser, site) as page:
        assert site.simulation.post("agent", {"action": "stop"}) == 202
        page.get_by_text("The station does not answer.", exact=False).wait_for()
        judged(page, "away")
        assert site.simulation.post("agent", {"action": "start"}) == 202
        page.get_by_text("The station does not answer.", exact=False).wait_for(state="hidden")
