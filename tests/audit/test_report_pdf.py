"""The report as PDF: everything that has to be said is on a page, and no content breaks the pages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from agent import cli
from agent.commands.audit.bundle_manifest import hash_audit_files
from agent.commands.audit.report import write_report
from agent.commands.audit.report_content import build_report_content
from agent.commands.audit.report_pdf import report_pdf
from agent.commands.audit.report_record import load_audit_record
from tests.audit import sample_records
from tests.audit.printed_pages import lines_upon_each_other, outside_the_margins, page_texts, squeezed

pytestmark = pytest.mark.timeout(900)


def printed(folder: Path, record: dict[str, Any]) -> bytes:
    """The report of this record."""
    sample_records.write_folder(folder, record)
    content = build_report_content(folder, load_audit_record(folder), hash_audit_files(folder))
    return report_pdf(content)


def test_the_first_page_says_everything_in_short(tmp_path: Path) -> None:
    record = sample_records.bad_ac_record()
    first = page_texts(printed(tmp_path / "audit", record))[0]
    wanted = ["FAIL", "station 0042", "Chargy AC station, on site", "Actions to take", record["id"]]
    wanted += [row["value"] for row in record["station"]]
    wanted += [section["title"] for section in record["sections"]]
    wanted += [f"{f['action']} ({f['to']})" for f in record["findings"]]
    assert [text for text in wanted if squeezed(text) not in first] == []


def test_each_obligation_has_its_evidence(tmp_path: Path) -> None:
    record = sample_records.bad_ac_record()
    text = "".join(page_texts(printed(tmp_path / "audit", record)))
    obligations = [o for section in record["sections"] for o in section["obligations"]]
    assert len(obligations) == 21
    wanted = [o[key] for o in obligations for key in ("id", "title", "says")]
    wanted += [s["title"] for o in obligations if o["scenario"] for s in o["scenario"]["steps"]]
    wanted += ["Not reached: energy: Wait for 500 Wh", "+2.04 %", "10 earlier frames in trace.jsonl", "09:30:00.200"]
    wanted += ['[3,"b1",{"status":"Accepted","currentTime":"2026-03-10T09:30:01Z","interval":300}]']
    wanted += ["UnlockConnector: error InternalError", "RemoteStartTransaction (backend)", "1 240", "Power (kW)"]
    assert [one for one in wanted if squeezed(one) not in text] == []


def test_the_hash_of_each_file_is_printed(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    text = "".join(page_texts(printed(folder, sample_records.dc_record())))
    files = hash_audit_files(folder)
    assert len(files) == 6
    assert [f.name for f in files if f.sha256 not in text or squeezed(f.name) not in text] == []
    assert squeezed("requires the signatures of the manufacturer and the operator") in text


@pytest.mark.parametrize(
    "make", [sample_records.good_ac_record, sample_records.bad_ac_record, sample_records.dc_record]
)
def test_nothing_leaves_the_margins(tmp_path: Path, make: Any) -> None:
    pdf = printed(tmp_path / "audit", make())
    assert outside_the_margins(pdf) == []
    assert lines_upon_each_other(pdf) == []


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    record = sample_records.dc_record()
    assert printed(tmp_path / "one", record) == printed(tmp_path / "two", record)


def test_the_outline_names_each_section(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    document = pypdfium2.PdfDocument(printed(tmp_path / "audit", record))
    titles = [entry.get_title() for entry in document.get_toc()]
    assert titles[0] == "Summary"
    assert [s["title"] for s in record["sections"] if s["title"] not in titles] == []
    assert titles[-1] == "Files and signatures"


def test_four_hundred_obligations(tmp_path: Path) -> None:
    record = sample_records.large_record(400)
    obligations = [o for section in record["sections"] for o in section["obligations"]]
    assert len(obligations) >= 350
    pdf = printed(tmp_path / "audit", record)
    pages = page_texts(pdf)
    text = "".join(pages)
    assert [o["id"] for o in obligations if squeezed(o["id"]) not in text] == []
    left = len(record["findings"]) - sum(squeezed(f["title"]) in pages[0] for f in record["findings"])
    assert left > 50
    assert squeezed(f"{left} more actions: see the list on the next pages.") in pages[0]
    assert "Actionstotake" in pages[1]
    assert outside_the_margins(pdf) == []


LONG_WORD = "x" * 5000
TEXTS = {
    "long": "A long sentence that goes on and on. " * 300,
    "a word without an end": LONG_WORD,
    "other letters": "Зарядная станция · Σταθμός φόρτισης · محطة الشحن · תחנת טעינה · 充電站 · 충전소 · 🔌",
    "many lines": "line\n" * 800,
    "combining marks": "e" + "\u0301" * 200,
    "control characters": "a\x00b\x07c\u202edetouq\u202c \ud800 \ufffe",
    "markup": "<script>alert(1)</script> **bold** {nb} {{ 7*7 }} \\ %PDF &amp;",
    "nothing": "",
}


def record_of_text(text: str) -> dict[str, Any]:
    """A record in which every free text is this one."""
    record = sample_records.bad_ac_record()
    record["plan"]["title"] = record["ocpp"] = record["target"] = text
    for row in record["station"]:
        row.update(title=text, value=text, source=text)
    for section in record["sections"]:
        section["title"] = text
        for o in section["obligations"]:
            o.update(title=text, says=text, kind=text, references=[text], facts=[{"title": text, "value": text}])
            o["finding"] = {"action": text, "to": "client"}
            for frame in o["evidence"]:
                frame["frame"] = text
            for step in (o["scenario"] or {}).get("steps", ()):
                step.update(title=text, says=text)
                for frame in step["evidence"]:
                    frame["frame"] = text
            if o["scenario"]:
                o["scenario"].update(title=text, says=text, not_reached=[text])
    for curve in record["charge_curves"]:
        curve.update(title=text, transaction=text)
    for row in (*record["latency"], *record["sequence"]):
        row["action"] = text
    for row in record["sequence"]:
        row["label"] = text
    for picture in record["pictures"]:
        picture["title"] = text
    return sample_records.count_again(record)


def write_raw(folder: Path, record: dict[str, Any]) -> Path:
    """With half a surrogate pair, which only JSON can write, in its escaped form."""
    sample_records.write_folder(folder, sample_records.good_ac_record())
    (folder / "audit.json").write_text(json.dumps(record), "utf-8")
    return folder


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_breaks_the_pages(tmp_path: Path, name: str) -> None:
    folder = write_raw(tmp_path / "audit", record_of_text(TEXTS[name]))
    write_report(folder)
    pdf = (folder / "report.pdf").read_bytes()
    assert outside_the_margins(pdf) == []
    pages = page_texts(pdf)
    assert "Actionstotake" in pages[0], "the summary is one page"
    assert len(pages) < 120


def test_letters_that_the_font_lacks_are_printed_as_their_code(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    record["station"][2]["value"] = "充電 Київ"
    text = "".join(page_texts(printed(tmp_path / "audit", record)))
    assert "<U+5145><U+96FB>" in text
    assert "Київ" in text
    assert squeezed("A letter that this font lacks is printed as its code") in text


def test_a_record_without_anything(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    for key in ("station", "sections", "findings", "charge_curves", "latency", "sequence", "pictures"):
        record[key] = []
    pages = page_texts(printed(tmp_path / "empty", record))
    assert len(pages) == 2
    assert squeezed("Actions to take None.") in pages[0]


def test_an_empty_section_and_missing_pictures(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    record["sections"][1]["obligations"] = []
    record["pictures"] += [
        {"path": "pictures/gone.png", "title": "never taken", "evse": 1},
        {"path": "../secret.png", "title": "outside", "evse": 1},
        {"path": "pictures/damaged.png", "title": "damaged", "evse": 1},
        {"path": "pictures/link.png", "title": "linked", "evse": 1},
    ]
    folder = tmp_path / "audit"
    sample_records.write_folder(folder, {**record, "pictures": record["pictures"][:3]})
    sample_records.paint_screen(tmp_path / "secret.png", "a secret")
    (folder / "pictures" / "damaged.png").write_bytes((folder / "pictures/idle-1.png").read_bytes()[:200])
    (folder / "audit.json").write_text(json.dumps(record), "utf-8")
    files = hash_audit_files(folder)
    (folder / "pictures" / "link.png").symlink_to(tmp_path / "secret.png")
    content = build_report_content(folder, load_audit_record(folder), files)
    problems = {p.path: p.problem for p in content.pictures}
    assert problems == {
        "pictures/idle-1.png": "", "pictures/charging-1.png": "", "pictures/price-1.png": "",
        "pictures/gone.png": "the picture is missing", "../secret.png": "its path leaves the folder of the audit",
        "pictures/damaged.png": "the picture cannot be read", "pictures/link.png": "its path has a symbolic link",
    }  # fmt: skip
    pdf = report_pdf(content)
    text = "".join(page_texts(pdf))
    for words in ("the picture is missing", "This section has no obligation.", "never taken"):
        assert squeezed(words) in text
    assert outside_the_margins(pdf) == []


def test_a_station_with_many_and_long_facts_is_listed_in_full(tmp_path: Path) -> None:
    record = sample_records.good_ac_record()
    record["station"] += [
        {"key": f"more_{n}", "title": f"Fact {n}", "value": f"value {n} " + "long " * 30, "source": "asked"}
        for n in range(20)
    ]  # fmt: skip
    pages = page_texts(printed(tmp_path / "audit", record))
    assert squeezed("more on the next page") in pages[0]
    assert squeezed("Actions to take None.") in pages[0]
    text = "".join(pages[1:3])
    assert [n for n in range(20) if squeezed(f"value {n} " + "long " * 30) not in text] == []


@pytest.mark.parametrize("module", ["fpdf", "jinja2"])
def test_without_the_extra_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    folder = sample_records.write_folder(tmp_path / "audit", sample_records.good_ac_record())
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["audit", "report", str(folder)]) == 2
    assert f"{module} is not installed; install it: pip install 'chargy-agent[report]'" in capsys.readouterr().err
    assert not (folder / "manifest.json").exists()
