"""The order of steps: repeat, parallel, versions, go_on, finally, and what a failure leaves out."""

from __future__ import annotations

import pytest

from agent.model.fastclass import replace
from agent.scenario.outcome import ScenarioOutcome, Verdict
from tests.scenario_language.foreign_runs import run_on_foreign_point, scenario_of

FAILS = '{ wait_status = "faulted", within_s = 0.2'


async def outcome_of(steps: str, version: str = "1.6") -> ScenarioOutcome:
    (outcome,) = await run_on_foreign_point(scenario_of(steps), version=version)
    return outcome


def ids(outcome: ScenarioOutcome) -> list[str]:
    return [o.step_id for o in outcome.outcomes]


async def test_a_failure_ends_the_steps_and_finally_is_done_all_the_same() -> None:
    outcome = await outcome_of(
        f"{FAILS} }}, {{ plug = 1, id = 'later' }} ]\n"
        'finally = [ { set = { a = 1 } }, { check = "${a}", equals = 2 }, { set = { b = 1 } }'
    )
    assert ids(outcome) == ["1", "F1", "F2"]
    assert [o.verdict for o in outcome.outcomes] == [Verdict.FAIL, Verdict.PASS, Verdict.FAIL]
    assert outcome.outcomes[2].says == "1 is not 2"
    assert outcome.not_reached == ("later",)
    assert outcome.final_verdict is Verdict.FAIL


async def test_go_on_tries_the_steps_that_follow() -> None:
    outcome = await outcome_of(f"{FAILS}, go_on = true }}, {{ set = {{ a = 1 }} }}")
    assert [o.verdict for o in outcome.outcomes] == [Verdict.FAIL, Verdict.PASS]
    assert outcome.not_reached == ()


async def test_repetitions_are_counted_and_see_their_number() -> None:
    outcome = await outcome_of(
        "{ repeat = 2, steps = [\n{ repeat = 2, steps = [ { check = '${round}', at_most = 2, id = 'in' } ] },\n"
        "{ check = '${round}', at_most = 1, go_on = true, id = 'out' },\n] }"
    )
    assert ids(outcome) == ["in#1#1", "in#1#2", "out#1", "in#2#1", "in#2#2", "out#2"]
    assert [o.says for o in outcome.outcomes if o.verdict is Verdict.FAIL] == ["2 is more than 1"]


async def test_parallel_lists_run_at_the_same_time_and_end_together() -> None:
    steps = "{ parallel = [ [ { pause_s = 0.5 } ], [ { pause_s = 0.5 } ], [ { pause_s = 0.5 } ] ] }"
    outcome = await outcome_of(steps)
    assert sorted(ids(outcome)) == ["1a1", "1b1", "1c1"]
    ends_s = [o.began_s + o.took_s for o in outcome.outcomes]
    assert max(o.began_s for o in outcome.outcomes) < min(ends_s), "each begins before one of them ends"
    outcome = await outcome_of(f"{{ parallel = [ [ {{ pause_s = 600 }} ], [ {FAILS} }} ] ] }}")
    assert ids(outcome) == ["1b1"]
    assert outcome.not_reached == ("1a1",)
    assert outcome.took_s < 60


@pytest.mark.parametrize(("version", "done"), [("1.6", ["1", "3"]), ("2.0.1", ["2", "3"])])
async def test_a_step_for_one_version_is_left_out_in_others(version: str, done: list[str]) -> None:
    one, other = "{ set = { a = 1 }, versions = ['1.6'] }", "{ set = { a = 2 }, versions = ['2.0.1'] }"
    outcome = await outcome_of(f"{one}, {other}, {{ set = {{ b = 1 }} }}", version)
    assert ids(outcome) == done
    assert outcome.not_reached == ()


async def test_a_variable_without_a_value_is_an_error_of_the_scenario() -> None:
    outcome = await outcome_of("{ set = { a = 1 }, versions = ['2.0.1'] }, { check = '${a}', equals = 1 }")
    assert outcome.final_verdict is Verdict.ERROR
    assert "${a} has no value yet" in outcome.outcomes[0].says


async def test_a_message_counts_for_one_wait_only() -> None:
    outcome = await outcome_of(
        '{ plug = 1 }, { tap = "${card}" }, { wait_message = "Authorize", within_s = 60 },'
        '{ wait_message = "Authorize", within_s = 0.3 }'
    )
    assert [o.verdict for o in outcome.outcomes][-2:] == [Verdict.PASS, Verdict.FAIL]


async def test_values_of_the_command_line_have_the_type_of_the_variable() -> None:
    scenario = scenario_of(
        "{ set = { n = 0 }, versions = ['2.0.1'] }, { check = '${n}', equals = 7 },"
        "{ check = '${card}', equals = '007' }"
    )
    scenario = replace(scenario, variables={"n": 1, "card": "x"})
    (outcome,) = await run_on_foreign_point(scenario, variables={"n": "7", "card": "007"})
    assert outcome.final_verdict is Verdict.PASS, [o.says for o in outcome.outcomes]


async def test_every_step_has_a_title_in_words() -> None:
    outcome = await outcome_of(
        '{ plug = 1, ready = false }, { wait_status = ["occupied", "preparing"] }, { tap = "${card}" },'
        '{ wait_transaction = "started", where = { token = "${card}" } }, { unplug = 1, title = "He leaves" }'
    )
    assert [o.title for o in outcome.outcomes] == [
        "plug the cable of a vehicle into outlet 1 ready = false",
        "the status of outlet 1 becomes occupied or preparing",
        "hold the card 04A1B2C3 to the reader of outlet 1 and take it away",
        "a transaction of outlet 1 has started where = {token = 04A1B2C3}",
        "He leaves",
    ]
