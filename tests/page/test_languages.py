"""The simulation page in each of its languages, in a real browser: nothing of another language is left, nothing is
wider than the screen, axe finds nothing, and a finger finds every target of a telephone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.page.test_page_texts import TEXTS, VALUES
from tests.page.visiting import at, has, judged, visited, wait_until_true
from tests.scenarios.control_rig import Simulation, simulated, wait_for

pytestmark = [pytest.mark.page, pytest.mark.timeout(900)]
LOOKS = tuple((width, theme) for width in (1400, 1024, 390) for theme in ("light", "dark"))
FINGER_PX = 44
STATION = """
[station]
id = "CP-1"
number = "1234"
state_dir = "state"
[backend]
versions = ["2.0.1"]
[tariff]
kwh = 0.45
[web_payment]
dynamic = true
allowed_hosts = ["127.0.0.1"]
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[[bearer]]
driver = "lan_static"
kind = "lan"
interface = "eth0"
[[bearer]]
driver = "modem_at"
kind = "gprs"
device = "/dev/ttyUSB2"
data_device = "/dev/ttyUSB3"
pin = "4711"
apn = "chargy.m2m"
username = "chargy"
password = "station"
auth = "chap"
iccid = "89352010000000000176"
[[evse]]
number = 1
[[evse]]
number = 2
[simulation]
alone = true
state_dir = "world"
"""
SPOKEN = """() => {
  const places = ["aria-label", "title", "placeholder", "alt"];
  const isOther = (e) => e.closest("[lang]").lang !== document.documentElement.lang
    || e.closest("#pay-screens, .frames, .steps, datalist");
  const isName = (place, e) => place === "title" && e.matches("[data-fault], #requests button");
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (!isOther(walker.currentNode.parentElement)) texts.push(walker.currentNode.data.trim());
  for (const place of places)
    for (const e of document.querySelectorAll(`[${place}]`))
      if (!isOther(e) && !isName(place, e)) texts.push(e.getAttribute(place));
  return texts.concat(document.title).filter(Boolean);
}"""
"""What the page says in its own words, not what station, bank or OCPP say: their parts, and their names as titles."""
TARGETS = "button, a[href], summary, input:not([type=checkbox]), select, [role=button]"
SMALL = """([targets, least]) => [...document.querySelectorAll(targets)]
  .filter(e => e.checkVisibility({ visibilityProperty: true }))
  .map(e => [e.className.baseVal || e.className || e.id || e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
  .filter(([, r]) => r.width < least - .5 || r.height < least - .5)
  .map(([name, r]) => `${name}: ${Math.round(r.width)} x ${Math.round(r.height)}`)"""


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """A station on which much is to be seen: one outlet charges, one is out of service."""
    path = tmp_path_factory.mktemp("languages") / "station.toml"
    path.write_text(STATION, "utf-8")
    with simulated(str(path), "--port", "0") as s:
        s.wait_healthy(120)
        wait_for(lambda: (s.station()["backend"] or {}).get("boot") == "Accepted", "the boot", 120)
        s.post("recording", {"action": "start", "title": "1234"})
        s.post("evses/1/plug", {"ready": True})
        s.post("cards/tap", {"uid": "04A1B2C3D4E5F6", "card": "desfire_ev1", "evse": 1})
        s.post("evses/2/fault", {"fault": "ContactorWelded", "active": True})
        wait_for(lambda: s.evse(1)["power_w"] > 0, "power", 120)
        yield s


@pytest.fixture(scope="module", params=TEXTS)
def translated(request: pytest.FixtureRequest, browser: Any, simulation: Simulation) -> Iterator[tuple[str, Any]]:
    """A language, and the page in a browser whose own language it is. All that is folded is unfolded."""
    language = request.param
    with visited(browser, simulation, locale=f"{language}-LU") as page:
        has(page, "reported-2", "Faulted")
        has(page, "bearer-gprs", "ICCID")
        page.locator("[data-testid=frame]").first.wait_for(state="attached")
        for summary in page.locator(".more summary").all():
            summary.click()
        yield language, page


def patterns_of(texts: set[str]) -> list[re.Pattern[str]]:
    """Return patterns of texts with any values. Texts that are hardly more than their values say nothing."""
    telling = [text for text in texts if re.search(r"[A-Za-zà-ÿ]{3,}", VALUES.sub("", text))]
    return [re.compile(VALUES.sub("(.+)", re.escape(text).replace(r"\{", "{").replace(r"\}", "}"))) for text in telling]


def texts_of_other_languages(spoken: list[str], language: str) -> list[str]:
    own = set(TEXTS[language].values())
    others = {text for code in TEXTS if code != language for text in TEXTS[code].values()} - own
    foreign, native = patterns_of(others), patterns_of(own)
    return [s for s in spoken if any(p.fullmatch(s) for p in foreign) and not any(p.fullmatch(s) for p in native)]


def test_the_page_says_all_in_one_language(translated: tuple[str, Any]) -> None:
    language, page = translated
    assert page.evaluate("document.documentElement.lang") == language
    spoken = page.evaluate(SPOKEN)
    assert len(spoken) > 200
    assert texts_of_other_languages(spoken, language) == []
    assert [text for text in spoken if text in TEXTS["en"]] == [], "keys without a text"


def test_nothing_is_too_wide_and_axe_finds_nothing(translated: tuple[str, Any]) -> None:
    language, page = translated
    judged(page, language, LOOKS)


def test_a_finger_finds_every_target_of_a_telephone(translated: tuple[str, Any]) -> None:
    page = translated[1]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(SMALL, [TARGETS, FINGER_PX]) == []


def test_a_text_of_another_language_is_found() -> None:
    french = TEXTS["fr"]
    spoken = [french["own_token_tap"], "Button of outlet 7", french["outlet_name"].format(number=1), "Charging"]
    assert texts_of_other_languages(spoken, "fr") == ["Button of outlet 7"]


def test_a_reader_chooses_a_language_and_it_stays(browser: Any, simulation: Simulation) -> None:
    with visited(browser, simulation) as page:
        assert at(page, "own-tap").text_content() == "Tap"
        at(page, "page-language-fr").click()
        has(page, "own-tap", TEXTS["fr"]["own_token_tap"])
        assert at(page, "page-language-fr").get_attribute("aria-current") == "true"
        page.goto(simulation.url)
        has(page, "own-tap", TEXTS["fr"]["own_token_tap"])
        page.goto(f"{simulation.url}?lang=de")
        has(page, "own-tap", TEXTS["de"]["own_token_tap"])
        page.goto(f"{simulation.url}?lang=xx")
        has(page, "own-tap", TEXTS["de"]["own_token_tap"])


def test_the_screen_of_a_station_is_not_cut_off(browser: Any, simulation: Simulation) -> None:
    """The picture keeps its shape, 480 by 340, at every width: what is cut off is the screen at its top."""
    with visited(browser, simulation) as page:
        for width in (1800, 1400, 1024, 390):
            page.set_viewport_size({"width": width, "height": 700})
            box = page.locator(".scene").first.bounding_box()
            assert box["height"] / box["width"] == pytest.approx(340 / 480, abs=0.01), width


def test_figures_are_written_as_the_language_writes_them(browser: Any, simulation: Simulation) -> None:
    with visited(browser, simulation, locale="de-DE") as page:
        wait_until_true(page, r"() => /^\d+,\d$/.test(document.querySelector('[data-testid=power-1]').textContent)")
