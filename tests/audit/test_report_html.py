"""The report as HTML: one file that loads nothing, shows everything, and is usable by everyone."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.commands.audit.bundle_manifest import hash_audit_files
from agent.commands.audit.report_content import build_report_content
from agent.commands.audit.report_html import report_html
from agent.commands.audit.report_record import load_audit_record
from tests.audit import sample_records
from tests.audit.test_report_pdf import TEXTS, record_of_text, write_raw


def page_of(folder: Path) -> str:
    """The page of the audit in this folder."""
    return report_html(build_report_content(folder, load_audit_record(folder), hash_audit_files(folder)))


def page_of_record(folder: Path, record: dict[str, Any]) -> str:
    return page_of(sample_records.write_folder(folder, record))


class PageReader(HTMLParser):
    """Collects elements with their attributes, and all texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all_text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_everything_is_on_the_page(tmp_path: Path) -> None:
    record = sample_records.bad_ac_record()
    text = PageReader(page_of_record(tmp_path / "audit", record)).all_text()
    obligations = [o for section in record["sections"] for o in section["obligations"]]
    wanted = [o[key] for o in obligations for key in ("id", "title", "says")]
    wanted += [f["action"] for f in record["findings"]]
    wanted += [frame["frame"] for o in obligations for frame in o["evidence"]]
    wanted += [row["value"] for row in record["station"]]
    wanted += [f.sha256 for f in hash_audit_files(tmp_path / "audit")]
    assert len(wanted) > 120
    assert [one for one in wanted if " ".join(one.split()) not in text] == []


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = page_of_record(tmp_path / "audit", sample_records.dc_record())
    elements = PageReader(page).elements
    assert {tag for tag, _ in elements} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    sources = [
        value for _, attributes in elements for key, value in attributes.items() if key in ("src", "href", "srcset")
    ]
    assert len(sources) > 10
    assert [s for s in sources if not s or not s.startswith(("#", "data:image/png;base64,"))] == []
    assert [a for _, a in elements if "style" in a or any(key.startswith("on") for key in a)] == []
    assert re.search(r"url\(|@import", page) is None


def test_the_policy_allows_this_style_sheet_alone(tmp_path: Path) -> None:
    page = page_of_record(tmp_path / "audit", sample_records.good_ac_record())
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for tag, a in PageReader(page).elements if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_becomes_markup(tmp_path: Path, name: str) -> None:
    plain = page_of_record(tmp_path / "plain", sample_records.bad_ac_record())
    page = page_of(write_raw(tmp_path / "audit", record_of_text(TEXTS[name])))
    page.encode("utf-8")
    known = {tag for tag, _ in PageReader(plain).elements}
    assert {tag for tag, _ in PageReader(page).elements} <= known
    assert "\u202e" not in page
    assert "\x00" not in page


def test_a_text_of_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    page = page_of(write_raw(tmp_path / "audit", record_of_text(TEXTS["markup"])))
    assert html.escape("<script>alert(1)</script> **bold** {nb} {{ 7*7 }}", quote=False) in page


def test_half_of_four_hundred_obligations_are_not_lost(tmp_path: Path) -> None:
    record = sample_records.large_record(400)
    text = PageReader(page_of_record(tmp_path / "audit", record)).all_text()
    ids = [o["id"] for section in record["sections"] for o in section["obligations"]]
    assert [one for one in ids if one not in text] == []


def test_a_record_without_anything(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    for key in ("station", "sections", "findings", "charge_curves", "latency", "sequence", "pictures"):
        record[key] = []
    text = PageReader(page_of_record(tmp_path / "audit", record)).all_text()
    assert "Nothing is known of the station." in text
    assert "Charge curves" not in text


# --- in a browser -----------------------------------------------------------------------------------------------------

LOOKS = ((1280, "light"), (1280, "dark"), (390, "light"), (320, "dark"))
RECORDS = {"bad": sample_records.bad_ac_record, "dc": sample_records.dc_record}


@pytest.mark.page
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RECORDS)
def test_it_is_accessible_at_every_width(tmp_path: Path, browser: Any, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    file = tmp_path / "report.html"
    file.write_text(page_of_record(tmp_path / "audit", RECORDS[name]()), "utf-8")
    found: list[str] = []
    for width, scheme in LOOKS:
        # axe is a script in the page, which the policy of the page refuses
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{width}: {wide} px wide"] if wide > width else []
        for violation in axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]:
            found += [f"{width} {scheme} {violation['id']}: {n['failureSummary']}" for n in violation["nodes"][:3]]
        page.close()
    assert found == []


@pytest.mark.page
@pytest.mark.timeout(600)
def test_the_browser_refuses_nothing_of_it_and_prints_all_of_it(tmp_path: Path, browser: Any) -> None:
    record = sample_records.bad_ac_record()
    file = tmp_path / "report.html"
    file.write_text(page_of_record(tmp_path / "audit", record), "utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: complaints.append(m.text))
    page.on("request", lambda r: requests.append(r.url))
    page.goto(file.as_uri())
    shown = page.evaluate("[...document.images].map(i => i.naturalWidth)")
    assert shown == [480, 480, 480]
    assert page.evaluate("getComputedStyle(document.body).fontSize") == "15px"
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", file.as_uri()))] == []
    from tests.audit.printed_pages import page_texts, squeezed

    text = "".join(page_texts(printed))
    folded = [
        s["says"]
        for sec in record["sections"]
        for o in sec["obligations"]
        if o["scenario"]
        for s in o["scenario"]["steps"]
    ]
    assert [one for one in folded if squeezed(one) not in text] == [], "what is folded on the screen is printed too"
