"""The report of a fleet as one HTML file: it loads nothing, runs no script, and can be printed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from agent.commands.audit.chart_svg import drawing_svg
from agent.commands.audit.latency_chart import latency_drawing
from agent.commands.audit.report_record import LatencyRow
from agent.commands.fleet.course_chart import course_drawing

STYLE_FILE = "report.css"
PLAN_WORDS = {
    "backend": "Backend", "profile": "Profile", "about": "What it is", "versions": "Versions", "rate": "Rate of time",
    "duration_s": "Duration (s of the stations)", "seed": "Seed", "program": "Program",
}  # fmt: skip


def fleet_report_html(report: Mapping[str, Any]) -> str:
    """Return the page of a report (``FleetResult.to_report``). Its style sheet is named by its hash, so a strict
    content security policy allows it alone."""
    style = (Path(__file__).parent / STYLE_FILE).read_text("utf-8")
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style_hash}'; base-uri 'none'; form-action 'none'"
    title = f"Fleet of {report['stations']['count']} stations"
    sections = "".join(_report_sections(report))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{_verdict_html(report)}{sections}</main>\n</body>\n</html>\n"
    )


def _verdict_html(report: Mapping[str, Any]) -> str:
    word = "PASSED" if report["passed"] else "FAILED"
    reasons = "".join(f"<li>{escape(text)}</li>" for text in (*report["failures"], *report["notes"]))
    return f'<p class="verdict {word.lower()}">{word}</p>\n' + (f"<ul>{reasons}</ul>\n" if reasons else "")


def _report_sections(report: Mapping[str, Any]) -> Iterator[str]:
    yield _section("Run", _pairs_table(_run_facts(report)))
    course = course_drawing(report["course"])
    if course is not None:
        yield _section("Course", _figure_html(drawing_svg(course)))
    yield _section("Answers of the backend", _latency_html(report["calls"], "station"))
    if report["requests"]:
        yield _section("Answers of the stations", _latency_html(report["requests"], "backend"))
    yield _section("Errors", _pairs_table(report["errors"].items()) if report["errors"] else "<p>None.</p>")
    yield _section("What happened", _pairs_table(report["counts"].items()))
    yield _section("Books against meters", _books_html(report["books"]))


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _figure_html(svg: str) -> str:
    return f'<figure class="wide" tabindex="0">{svg}</figure>'


def _run_facts(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    stations = report["stations"]
    yield from ((PLAN_WORDS.get(key, key), value) for key, value in report["plan"].items())
    yield "Stations accepted", f"{stations['accepted']} of {stations['count']}"
    if "all_s" in stations:
        yield "First accepted after (s)", stations["first_s"]
        yield "All accepted after (s)", stations["all_s"]
    for number, cost in enumerate(report["processes"], 1):
        name = f"Process {number}" if len(report["processes"]) > 1 else "Process"
        grown_kib = max(0, cost["memory_kib"] - cost["memory_before_kib"])
        yield f"{name}: lasted (s)", round(cost["lasted_s"], 1)
        yield f"{name}: CPU (s)", round(cost["cpu_s"], 1)
        yield f"{name}: memory (MiB)", round(cost["memory_kib"] / 1024, 1)
        yield f"{name}: of it for the stations (MiB)", round(grown_kib / 1024, 1)


def _pairs_table(pairs: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>' for k, v in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def _latency_html(calls: Mapping[str, Mapping[str, float]], sender: str) -> str:
    rows = [
        LatencyRow(action, sender, int(one["count"]), one["p50_ms"], one["p95_ms"], one["max_ms"])
        for action, one in calls.items()
    ]
    drawing = latency_drawing(rows)
    if drawing is None:
        return "<p>None.</p>"
    names = {"count": "Answers", "mean_ms": "Mean", "p50_ms": "p50", "p90_ms": "p90", "p95_ms": "p95", "p99_ms": "p99"}
    names["max_ms"] = "Slowest"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Action", *names.values()))
    body = "".join(
        f'<tr><th scope="row">{escape(action)}</th>'
        + "".join(f'<td class="number">{one[key]:g}</td>' for key in names)
        + "</tr>"
        for action, one in calls.items()
    )
    table = f"<table><caption>Times in ms</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _figure_html(drawing_svg(drawing)) + f'<div class="wide" tabindex="0">{table}</div>'


def _books_html(books: Mapping[str, Any]) -> str:
    verdict = "Books and meters agree." if books["agree"] else "Books and meters do not agree."
    facts = {
        "Transactions": books["transactions"],
        "Transactions without an end": books["open_transactions"],
        "Messages that wait": books["waiting_messages"],
        "Messages that the backend refused": books["refused_messages"],
        "Billed (kWh)": round(books["billed_wh"] / 1000, 3),
        "Metered (kWh)": round(books["metered_wh"] / 1000, 3),
    }
    wrong = "".join(
        f'<tr><th scope="row">{escape(row["station"])}</th><td class="number">{row["billed_wh"]}</td>'
        f'<td class="number">{row["metered_wh"]}</td><td class="number">{row["open_transactions"]}</td>'
        f'<td class="number">{row["waiting"]}</td><td class="number">{row["dead"]}</td></tr>'
        for row in books["disagreeing"]
    )
    names = ("Station", "Billed (Wh)", "Metered (Wh)", "Without an end", "Waiting", "Refused")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{wrong}</tbody></table>" if wrong else ""
    return f"<p>{verdict}</p>{_pairs_table(facts.items())}{table}"
