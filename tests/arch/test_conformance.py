"""The book of certification cases: what is listed, declared and shown holds together; the run's judge judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.ocpp.dialects.device_model_v2x import NAMES
from agent.ocpp.dialects.dialect import NotOffered
from agent.ocpp.v201 import V201
from tests.conformance import payments_21
from tests.conformance.cases import CASES, HERE, OPEN, VERSIONS, Case
from tests.conformance.declared import ABSENT, OFFERED, lacking
from tests.conformance.ledger import covered, problems
from tests.conformance.record import record, recorded, status
from tests.conformance.shown import ROOT, Proof, by_case, digest, proofs
from tests.support.busy_machine import stretched

SHOWN = by_case(proofs())


def test_every_case_of_the_official_lists_is_here() -> None:
    assert {v: sum(c.version == v for c in CASES.values()) for v in VERSIONS} == {"1.6": 107, "2.0.1": 432}


def test_a_claimed_case_has_a_test_or_says_what_it_waits_for() -> None:
    assert [i for i, c in CASES.items() if c.claimed and i not in SHOWN and i not in OPEN] == []


def test_a_test_shows_a_case_that_is_claimed() -> None:
    wrong = {i: CASES[i].why_not if i in CASES else "no such case" for i in SHOWN if i not in CASES or CASES[i].why_not}
    assert wrong == {}, "declare what is offered (tests/conformance/declared.py), or name the test otherwise"


def test_open_are_only_claimed_cases() -> None:
    assert [i for i in OPEN if not CASES[i].claimed] == []


def test_every_code_is_declared_or_absent() -> None:
    rows = tomllib.loads((HERE / "cases-2.0.1.toml").read_text("utf-8"))
    needs = " ".join(n for block in rows.values() for _, n in block.values())
    used = {code.lstrip("!") for term in needs.split() for code in term.split("|")}
    assert used == (OFFERED.keys() | ABSENT.keys()) & used
    assert OFFERED.keys() & ABSENT.keys() == set()
    assert (OFFERED.keys() | ABSENT.keys()) - used == set(), "declared for nothing"


def test_what_is_declared_is_what_the_device_model_and_the_requests_say() -> None:
    answered = {
        a
        for a in V201.schemas.known_actions()
        if V201.request_row(a) and not isinstance(V201.request_row(a), NotOffered)
    }
    reported = {f"{n.component}.{n.variable}" for n in NAMES} | answered
    assert [code for code, (_, by) in OFFERED.items() if by and by not in reported] == []
    assert [f"{by} is offered: declare {code}" for code, (_, by) in ABSENT.items() if by in reported] == []


def test_every_requirement_on_payments_of_2_1_is_shown_or_says_why_not() -> None:
    """What is of the backend alone has nothing that a station could show."""
    rows, shown = payments_21.requirements(), payments_21.tests_by_requirement()
    assert len(rows) == 61
    assert shown.keys() <= rows.keys(), "no such requirement"
    assert [i for i, row in rows.items() if row["whose"] == "station" and i not in shown and "absent" not in row] == []


def test_needs() -> None:
    assert lacking("") == lacking("C-49 LA-0") == lacking("ISO|reports") == lacking("!AQ-2") == ""
    assert lacking("C-49 ISO") == ABSENT["ISO"][0]
    assert lacking("!C-13").startswith("for stations without this")


def test_an_open_case_has_no_test() -> None:
    assert sorted(OPEN.keys() & SHOWN.keys()) == [], "shown by a test now: take it off OPEN, tests/conformance/cases.py"


# --- the judge of a run ----------------------------------------------------------------------------------------------

CONFTEST = """
import sys
sys.path.insert(0, {repo!r})
from tests.conformance.cases import CASES
from tests.conformance.ledger import Ledger
from pathlib import Path

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        cases = {{i: CASES[i] for i in ("003", "004_1", "010", "012", "E_28")}}
        config.pluginmanager.register(Ledger(config, Path({here!r}), cases))
"""
FILES = {
    "tc_003": "import pytest\n@pytest.mark.skip\ndef test_a(): ...\ndef test_b(): ...",
    "tc_004_1": "import pytest\n@pytest.fixture\ndef f():\n    yield\n    1 / 0\ndef test_a(f): ...",
    "tc_012": "def test_a(): ...",
    "tc_999": "def test_a(): ...",
}


def test_a_full_run_fails_for_what_was_not_shown(tmp_path: Path) -> None:
    """Skipped, failed while it was cleared away, never run, not listed: from a worker, by the exit code."""
    cases = tmp_path / "tests/conformance/ocpp16"
    cases.mkdir(parents=True)
    (tmp_path / "conftest.py").write_text(CONFTEST.format(repo=str(ROOT), here=str(tmp_path)))
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = tc_*.py\n")
    for name, text in FILES.items():
        (cases / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "1", "-p", "no:cacheprovider", str(cases)]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=stretched(150))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    report = json.loads((tmp_path / "build/conformance.json").read_text())
    assert {i: row["outcome"] for i, row in report["cases"].items()} == {
        "003": "skipped", "004_1": "failed", "012": "passed", "999": "passed",
    }  # fmt: skip
    assert [line.split(" (")[0] for line in report["wrong"]] == [
        "999: no such case is listed", "003: skipped", "004_1: failed", "010: did not run",
    ]  # fmt: skip
    assert report["wrong"][3] in ran.stdout


@pytest.mark.parametrize(
    ("args", "versions"),
    [
        ([""], {"1.6", "2.0.1"}),
        (["tests"], {"1.6", "2.0.1"}),
        (["tests/domain", "tests/conformance/ocpp16"], {"1.6"}),
        (["tests/conformance/ocpp16/tc_003.py"], set()),
        (["tests/conformance/ocpp16/tc_003.py::test_a"], set()),
    ],
)
def test_what_a_run_was_to_show(args: list[str], versions: set[str]) -> None:
    assert covered(args, ROOT, ROOT) == versions


def test_a_test_of_a_case_that_is_not_claimed_is_wrong_too() -> None:
    away = Case("X_01", "2.0.1", "X", "title", "not offered")
    here = Case("X_02", "2.0.1", "X", "title")
    cases = {c.id: c for c in (away, here)}
    assert problems(cases, {}, {"X_01": "passed", "X_02": "passed"}) == [
        "X_01: has a test and is not claimed (not offered)"
    ]
    assert problems(cases, {"X_02": "later"}, {}) == []


def test_only_a_green_full_run_of_a_commit_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "docs").mkdir()
    assert record(tmp_path) == ["build/conformance.json is not there: run make conformance"]
    row = {"outcome": "passed", "digest": "abc", "tests": {}}
    report = {"commit": "c", "day": "d", "python": "p", "full": ["1.6"], "clean": False, "wrong": ["003: failed"]}
    (tmp_path / "build/conformance.json").write_text(json.dumps({**report, "cases": {"012": row}}))
    assert len(record(tmp_path)) == 3
    assert recorded(tmp_path)["passed"] == {}
    report |= {"full": ["1.6", "2.0.1"], "clean": True, "wrong": []}
    (tmp_path / "build/conformance.json").write_text(json.dumps({**report, "cases": {"012": row}}))
    assert record(tmp_path) == []
    assert recorded(tmp_path) == {"commit": "c", "day": "d", "python": "p", "passed": {"012": "abc"}}


def test_a_test_that_has_changed_since_is_no_longer_passed() -> None:
    was, now = (Proof("p", "n", frozenset({"012"}), frozenset(), d) for d in ("1", "2"))
    run = {"passed": {"012": digest([was])}}
    assert status("012", [was], run) == "passed"
    assert status("012", [now], run) == status("012", [was, now], run) == "test changed since"
    assert status("003", [was], run) == "not recorded yet"
