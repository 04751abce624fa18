"""Audit plans are read as they are meant, and each mistake has its line and says what would be right."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from agent.audit.judge_table import known_judges
from agent.audit.plan_file import PlanError, parse_plan
from agent.audit.plan_model import ObligationKind
from agent.audit.plan_schema import schema_text
from agent.commands.audit.plans import (
    ScenarioShelf,
    built_in_kit,
    built_in_station,
    facts_of_kit,
    open_plan,
    shipped_plans,
)
from agent.commands.kit.kit_file import load_kit
from agent.station_file.settings import load_station_file

HEAD = 'title = "T"\nedition = "1"\n'
SECTION = '[[sections]]\nid = "one"\ntitle = "One"\n'
OBLIGATION = '[[sections.obligations]]\nid = "a"\ntitle = "A"\n'
GOOD = f'{HEAD}{SECTION}{OBLIGATION}judge = "boot_identity"\n'
"""Nine lines: the head, the section from 3 on, the obligation from 6 on."""


def read(text: str) -> object:
    return parse_plan(text.encode(), Path("p.toml"), ScenarioShelf(Path("p.toml")).find_scenario)


def problems_of(text: str) -> list[str]:
    with pytest.raises(PlanError) as caught:
        read(text)
    return str(caught.value).split("\n")


def test_a_plan_is_read_as_it_is_written() -> None:
    plan = parse_plan(
        f"""{HEAD}versions = ["1.6"]
station = "ac"
signing = ["operator"]
variables = {{ card = "04AABBCC" }}
{SECTION}references = ["S 1"]
{OBLIGATION}scenario = "card_first"
with = {{ card = "04DDEEFF" }}
references = ["O 2"]
[[sections.obligations]]
id = "b"
title = "B"
judge = "clock_offset"
of = ["one.a"]
with = {{ tolerance_s = 3 }}
advice = "Do it."
advice_to = "subcontractor"
[[sections.obligations]]
id = "c"
title = "C"
ask = "Is it so?"
fact = "seal"
simulated = "S1"
""".encode(),
        Path("p.toml"),
        ScenarioShelf(Path("p.toml")).find_scenario,
    )
    first, second, third = plan.all_obligations()
    assert (plan.id, plan.versions, plan.station, plan.signing) == ("p", ("1.6",), "ac", ("operator",))
    assert (first.id, first.kind, first.subject, first.line) == ("one.a", ObligationKind.SCENARIO, "card_first", 11)
    assert (first.given, first.references) == ({"card": "04DDEEFF"}, ("O 2", "S 1"))
    assert (second.of, second.given, second.advice_to) == (("one.a",), {"tolerance_s": 3}, "subcontractor")
    assert (third.subject, third.fact, third.simulated, third.expect) == ("Is it so?", "seal", "S1", "yes")


MISTAKES = [
    ('edition = "1"\n', "1:1", "a plan needs the key title"),
    (f'{HEAD}colour = "red"\n', "3:1", "a plan has no such key"),
    (f"{HEAD}", "1:1", "a plan needs the key sections"),
    (f"{HEAD}sections = []\n", "3:1", "needs at least one of sections"),
    (f"{HEAD}sections = [1]\n", "3:13", "must be a table, written as [[sections]]"),
    (f'{HEAD}versions = ["1.7"]\n{SECTION}', "3:1", "'1.7' is not known"),
    (f"{HEAD}speed = 2000\n{SECTION}", "3:1", "must be 0.1 to 1000, is 2000"),
    (f'{HEAD}signing = ["boss"]\n{SECTION}', "3:1", "known: manufacturer, operator"),
    (f"{HEAD}{SECTION}", "3:1", "a section needs the key obligations"),
    (f'{GOOD}{SECTION}{OBLIGATION}ask = "?"\n', "11:1", "'one' is the id of a section in line 3"),
    (GOOD.replace('id = "a"', 'id = "A b"'), "7:1", "small letters, digits and _"),
    (f'{GOOD}{OBLIGATION}ask = "?"\n', "11:1", "'one.a' is the id of an obligation in line 6"),
    (f"{HEAD}{SECTION}{OBLIGATION}", "6:1", "needs one of the keys scenario, judge, ask"),
    (f'{GOOD}ask = "?"\n', "10:1", "is a second kind beside judge: write two obligations"),
    (GOOD.replace("boot_identity", "boot_identiy"), "9:1", "is no judge; did you mean boot_identity?"),
    (f"{GOOD}with = {{ requird = [] }}\n", "10:10", "the judge has no such parameter; did you mean required?"),
    (f'{GOOD}with = {{ required = "all" }}\n', "10:10", "must be a list of texts"),
    (f'{GOOD}needs = ["kitt"]\n', "10:1", "'kitt' is not known; did you mean kit?"),
    (f'{GOOD}of = ["one.b"]\n', "10:1", "'one.b' is no obligation and no section"),
    (f'{GOOD}expect = "yes"\n', "10:1", "belongs to ask, not to judge"),
    (f'{GOOD}advice_to = "boss"\n', "10:1", "known: client, subcontractor"),
    (f'{HEAD}{SECTION}{OBLIGATION}scenario = "card_frist"\n', "9:1", "there is no scenario 'card_frist'"),
    (f'{HEAD}{SECTION}{OBLIGATION}scenario = "card_first"\nwith = {{ crad = "1" }}\n', "10:10", "did you mean card?"),
    (f'{HEAD}{SECTION}{OBLIGATION}ask = "?"\nfact = "sael"\n', "10:1", "'sael' is not known; did you mean seal?"),
    (f'{HEAD}{SECTION}{OBLIGATION}ask = "?"\nmatches = "(["\n', "10:1", "is no regular expression"),
    (f'{HEAD}variables = {{ nothing = 1 }}\n{SECTION}{OBLIGATION}ask = "?"\n', "3:15", "no scenario of the plan has"),
    (f"{HEAD}{SECTION}{OBLIGATION}ask = 7\n", "9:1", "must be a text in quotation marks"),
    (f"{HEAD}id = 1 2", "3:8", "Expected newline"),
]


@pytest.mark.parametrize(("text", "place", "words"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_a_mistake_has_its_place(text: str, place: str, words: str) -> None:
    found = problems_of(text)
    assert any(line.startswith(f"p.toml:{place}: ") and words in line for line in found), found


def test_a_mistake_in_a_scenario_of_the_plan_has_the_place_in_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text('title = "W"\nsteps = [{ plugg = 1 }]\n')
    path = tmp_path / "plan.toml"
    path.write_text(f'{HEAD}{SECTION}{OBLIGATION}scenario = "wrong"\n')
    with pytest.raises(PlanError) as caught:
        open_plan(path)
    assert str(caught.value).startswith(f"{path}:9:1: sections[1].obligations[1].scenario: wrong: ")
    assert f"{tmp_path / 'wrong.toml'}:2:" in str(caught.value)


@pytest.mark.parametrize("path", shipped_plans(), ids=lambda p: p.stem)
def test_a_plan_of_ours_is_right_for_the_program_and_for_editors(path: Path) -> None:
    plan = open_plan(path)
    assert len(list(plan.all_obligations())) > 20
    jsonschema.validate(tomllib.loads(path.read_text("utf-8")), json.loads(schema_text()))
    file, kit_path = load_station_file(built_in_station(plan)), built_in_kit(plan)
    assert kit_path is not None
    assert facts_of_kit(load_kit(kit_path)).charge_point_id == file.station.id
    assert all(o.advice or o.references or o.kind is not ObligationKind.ASK or o.fact for o in plan.all_obligations())


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    schema = json.loads(schema_text())
    jsonschema.validate(tomllib.loads(GOOD), schema)
    for text in (GOOD.replace("judge =", "juge ="), f'{GOOD}ask = "?"\n', f'{GOOD}needs = ["kitt"]\n', HEAD):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tomllib.loads(text), schema)


def test_every_judge_says_what_is_so_when_it_passes() -> None:
    for name, judge in known_judges().items():
        assert len(judge.meaning.split()) > 4, name
        assert all(p.meaning for p in judge.parameters.values()), name
