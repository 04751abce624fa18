"""The tables of ``docs/audit.md``, made of the grammar of plans, of the judges and of the plans: ``make docs``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.audit.judge_table import known_judges
from agent.audit.plan_grammar import FACTS, HEAD, NEEDS, OBLIGATION, SECTION
from agent.commands.audit.plans import open_plan, shipped_plans
from agent.scenario.grammar import NEEDS as SCENARIO_NEEDS
from agent.scenario.grammar import Key
from tests.support.wire_faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "audit.md"
MARK = "<!-- The rest is generated from the grammar, the judges and the plans: make docs -->\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _key_rows(keys: Iterable[Key]) -> Iterator[str]:
    yield "| key | holds | meaning |\n|---|---|---|\n"
    for key in keys:
        choices = f": {', '.join(f'`{c}`' for c in key.choices)}" if key.choices else ""
        yield f"| `{key.name}`{' (needed)' if key.required else ''} | {key.form} | {_cell(key.meaning)}{choices} |\n"


def _judge_rows() -> Iterator[str]:
    yield "| judge | when it passes | parameters of `with` |\n|---|---|---|\n"
    for judge in known_judges().values():
        parameters = "<br>".join(
            f"`{name}` ({p.form}) {_cell(p.meaning)}; {_default_words(p.default)}"
            for name, p in judge.parameters.items()
        )
        yield f"| `{judge.name}` | {_cell(judge.meaning)} | {parameters} |\n"


def _default_words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(f"`{v}`" for v in value) or "none unless it is said"
    return (
        "none unless it is said"
        if value in ({}, "", None)
        else f"`{value}` unless it is said".replace("False", "false")
    )


def _fault_rows() -> Iterator[str]:
    """A row for each fault that the tests plant on the wire between a simulated station and its audit."""
    yield "\n## What the audit finds\n\n"
    yield (
        "Each of these faults is planted on the wire between the simulated station and its audit (`make campaign`, "
        "`tests/audit/test_planted_faults.py`): the obligation fails, and its advice has these words. The judges have "
        "more faults in their own tests.\n\n"
    )
    yield "| the station | plan | fails | advice |\n|---|---|---|---|\n"
    for fault in FAULTS:
        yield f"| {_cell(fault.does)} | `{fault.plan}` | `{fault.fails}` | {_cell(fault.advice)} |\n"


def _plan_rows() -> Iterator[str]:
    for path in shipped_plans():
        plan = open_plan(path)
        signed = f" Signed by {' and '.join(plan.signing)}." if plan.signing else ""
        yield f"\n### `{plan.id}`, edition {plan.edition}\n\n{plan.title}. {plan.purpose}{signed}\n\n"
        yield "| obligation | what has to be so | how | needs |\n|---|---|---|---|\n"
        for one in plan.all_obligations():
            how = f"{one.kind}" if one.kind == "ask" else f"{one.kind} `{one.subject}`"
            yield f"| `{one.id}` | {_cell(one.title)} | {how} | {', '.join(one.needs)} |\n"


def text() -> str:
    """The whole page: what is written by hand, then the tables."""
    by_hand, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    assert mark, "the page has lost its mark"
    own_needs = {name: meaning for name, meaning in NEEDS.items() if name not in SCENARIO_NEEDS}
    parts = [
        by_hand, MARK, "\n## Keys of a plan\n\n", *_key_rows(HEAD), "\n### Keys of a section\n\n", *_key_rows(SECTION),
        "\n### Keys of an obligation\n\n", *_key_rows(OBLIGATION), "\n## Needs\n\n",
        "Those of [scenarios](scenarios.md#needs), and:\n\n| need | there is |\n|---|---|\n",
        *(f"| `{name}` | {meaning} |\n" for name, meaning in own_needs.items()),
        "\n## Facts of a station\n\n| fact | row of the report |\n|---|---|\n",
        *(f"| `{key}` | {title} |\n" for key, title in FACTS.items()),
        "\n## Judges\n\n", *_judge_rows(), *_fault_rows(), "\n## The plans\n", *_plan_rows(),
    ]  # fmt: skip
    return "".join(parts)
