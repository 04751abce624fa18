"""The findings of the doctor as text in three languages, and as JSON."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.assembly.doctor.findings import NOT_JUDGED_AFTER, RUNGS, Finding, Verdict, first_wrong

if TYPE_CHECKING:
    from agent.commands.doctor.ladder import Ladder
    from agent.station_file.settings import StationFile

INDENT = " " * 4


class DoctorTexts:
    """The texts of one language: ``config/doctor/LANGUAGE.toml``."""

    def __init__(self, language: str) -> None:
        import config

        path = Path(next(iter(config.__path__))) / "doctor" / f"{language}.toml"
        self.language = language
        self.table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))

    def title_of(self, what: str) -> str:
        """Return what is judged now: the name of a rung with its subject, or the name of a device."""
        name, _, subject = what.partition(" ")
        return f"{self.table['rungs'].get(name, name)} {subject}".strip()

    def reason_of(self, finding: Finding) -> str:
        return self._fill(finding, "is")

    def advice_of(self, finding: Finding) -> str:
        """Return what to do; "": nothing."""
        return self._fill(finding, "do")

    def _fill(self, finding: Finding, key: str) -> str:
        text: str = self.table["findings"][finding.code].get(key, "")
        values = dict(finding.values)
        if needs := values.get("needs"):
            values["needs"] = self.table["rungs"][needs]
        return text.format(**values)

    def finding_lines(self, finding: Finding) -> list[str]:
        place = f" [{finding.subject}]" if finding.subject else ""
        verdict = self.table["verdicts"][str(finding.verdict)]
        lines = [
            f"{verdict:<{self._verdict_width}} {self.table['rungs'][finding.rung]}{place}: {self.reason_of(finding)}"
        ]
        if advice := self.advice_of(finding):
            lines.append(f"{INDENT}{self.table['words']['to_do']}: {advice}")
        return lines

    @property
    def _verdict_width(self) -> int:
        return max(map(len, self.table["verdicts"].values()))

    def summary(self, findings: Sequence[Finding]) -> str:
        """Return one sentence: the first rung that is wrong is where to begin."""
        words = self.table["words"]
        wrong = first_wrong(findings)
        if wrong is not None:
            place = f" [{wrong.subject}]" if wrong.subject else ""
            return str(words["begin_here"]).format(rung=f"{self.table['rungs'][wrong.rung]}{place}")
        if any(f.code == NOT_JUDGED_AFTER for f in findings):
            return str(words["not_all_judged"])
        verdicts = {f.verdict for f in findings}
        return str(words["only_warnings" if Verdict.WARNING in verdicts else "nothing_wrong"])


def overall_verdict(findings: Sequence[Finding]) -> Verdict:
    """Return the worst verdict. ``NOT_JUDGED``: nothing is wrong, and a rung was left out because of another one."""
    verdicts = {f.verdict for f in findings}
    if Verdict.WRONG in verdicts:
        return Verdict.WRONG
    if any(f.code == NOT_JUDGED_AFTER for f in findings):
        return Verdict.NOT_JUDGED
    return Verdict.WARNING if Verdict.WARNING in verdicts else Verdict.GOOD


def machine_page(file: StationFile | None, ladder: Ladder, texts: DoctorTexts) -> dict[str, Any]:
    """Return the page as data. ``v`` changes when a key changes its meaning."""
    wrong = first_wrong(ladder.findings)
    return {
        "v": 1,
        "program": f"chargy-agent {__version__}",
        "station": file.station.id if file is not None else None,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "language": texts.language,
        "verdict": str(overall_verdict(ladder.findings)),
        "summary": texts.summary(ladder.findings),
        "begin_at": wrong.rung if wrong is not None else None,
        "rungs": [
            {
                "rung": name,
                "title": texts.title_of(name),
                "findings": [finding_entry(f, texts) for f in ladder.findings if f.rung == name],
            }
            for name in RUNGS
        ],
        "took_s": {name: round(seconds, 2) for name, seconds in ladder.took_s.items()},
    }


def finding_entry(finding: Finding, texts: DoctorTexts) -> dict[str, Any]:
    return {
        "subject": finding.subject or None,
        "verdict": str(finding.verdict),
        "code": finding.code,
        "values": dict(finding.values),
        "reason": texts.reason_of(finding),
        "to_do": texts.advice_of(finding) or None,
    }
