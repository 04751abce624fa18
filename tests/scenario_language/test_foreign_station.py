"""A charge point that is not ours, over ``--listen``: a good one passes, and each planted mistake fails with the right
words. So no kind of condition is one that cannot fail."""

from __future__ import annotations

import pytest

from agent.commands.scenario.stations import library_folder
from agent.scenario.outcome import Verdict
from agent.scenario.scenario_file import load_scenario
from agent.scenario.scenario_model import Scenario
from tests.scenario_language.foreign_runs import failed_step, run_on_foreign_point, run_steps, scenario_of
from tests.support.busy_machine import stretched

LONG_S = 60.0
"""How long a step waits for what does come."""
PLUG = "{ plug = 1 },"
CHARGE = f"""{PLUG}
{{ wait_status = "occupied" }},
{{ tap = "${{card}}" }},
{{ wait_transaction = "started", within_s = SOON, set = {{ number = "id" }} }},
"""
CHARGED = CHARGE.replace("SOON", f"{LONG_S:g}")
SHORT_SESSION = (
    CHARGE
    + """{ wait_status = "charging", within_s = SOON },
{ wait_energy = 40, within_s = SOON },
{ tap = "${card}" },
{ wait_transaction = "ended", where = { reason = "Local", id = "${number}" }, within_s = SOON },
{ unplug = 1 },"""
)
"""``SOON`` is filled in when the steps are run: a mistake is to be found soon, what is right may take its time."""
DEFECTS = [
    ("sleeping_status", CHARGED + '{ wait_status = "charging", within_s = SOON },',
     "outlet 1: the status is Preparing, expected charging; waited SOON s"),
    ("no_start", CHARGE, "outlet 1: no transaction has started within SOON s"),
    ("lost_stop", CHARGED + '{ tap = "${card}" }, { wait_transaction = "ended", within_s = SOON },',
     "outlet 1: no transaction has ended within SOON s"),
    ("wrong_reason", CHARGED + '{ tap = "${card}" }, { wait_transaction = "ended", where = { reason = "Local" } },',
     "outlet 1: the transaction has ended, but reason is 'Other', expected 'Local'"),
    ("no_authorize", PLUG + '{ tap = "${card}" }, { wait_message = "Authorize", within_s = SOON },',
     "no Authorize as expected from the station within SOON s"),
    ("lower_case_token",
     PLUG + '{ tap = "${card}" }, { wait_message = "Authorize", where = { idTag = "${card}" }, within_s = SOON },',
     "it came, but idTag is '04a1b2c3', expected '04A1B2C3'"),
    ("starts_refused_card", PLUG + '{ tap = "${bad}" }, { forbid_message = "StartTransaction", for_s = 2 },',
     "StartTransaction arrived, which must not happen here"),
    ("no_meter_values", CHARGED + "{ wait_energy = 50, within_s = SOON },",
     "outlet 1: 0 Wh so far, expected 50 Wh; waited SOON s"),
    ("ignores_profile",
     CHARGED + '{ backend = "charging_profile", with = { limit_a = 10 }, status = "Accepted" }, '
     '{ measure = "power_w", at_most = 7250, within_s = SOON },',
     "outlet 1: power_w: 11000 is more than 7250; waited SOON s"),
    ("energy_off_2_percent",
     CHARGED + '{ wait_energy = 40, set = { meter = "stop_wh" } }, { tap = "${card}" }, '
     '{ wait_transaction = "ended", set = { stop = "stop_wh" } }, '
     '{ check = "${stop}", equals = "${meter}", tolerance = 1000 },',
     "differs from"),
    ("refuses_remote_start", PLUG + '{ backend = "remote_start", with = { token = "APP" }, status = "Accepted" },',
     "answer to RemoteStartTransaction: status is 'Rejected', expected 'Accepted'"),
    ("forgets_settings",
     '{ backend = "set_setting", with = { name = "heartbeat_interval_s", value = 77 }, status = "Accepted" }, '
     '{ backend = "get_setting", with = { name = "heartbeat_interval_s" }, results = { value = "77" } },',
     "answer to GetConfiguration: value is '300', expected '77'"),
    ("never_disconnects", '{ link = "down" }, { wait_connection = "down", within_s = SOON },',
     "the connection to the backend is up, expected down; waited SOON s"),
]  # fmt: skip


def timed(text: str, seconds: float) -> str:
    return text.replace("SOON", f"{seconds:g}")


@pytest.mark.parametrize(("mistake", "steps", "words"), DEFECTS, ids=[d[0] for d in DEFECTS])
async def test_a_planted_mistake_fails_with_the_right_words(mistake: str, steps: str, words: str) -> None:
    soon_s = round(stretched(1.0), 1)
    failed = failed_step(await run_steps(timed(steps, soon_s), {mistake}))
    assert failed.verdict is Verdict.FAIL
    assert timed(words, soon_s) in failed.says
    good = [o for o in await run_steps(timed(steps, LONG_S)) if o.verdict is not Verdict.PASS]
    assert good == [], "the same steps pass on a station without the mistake"


def short_session(soon_s: float = LONG_S) -> Scenario:
    return scenario_of(timed(SHORT_SESSION, soon_s))


@pytest.mark.parametrize("mistake", ["sleeping_status", "lost_stop", "wrong_reason", "no_meter_values"])
async def test_the_mistakes_are_found_in_ocpp_201_too(mistake: str) -> None:
    (outcome,) = await run_on_foreign_point(short_session(stretched(1.0)), mistakes={mistake}, version="2.0.1")
    assert outcome.final_verdict is Verdict.FAIL
    (good,) = await run_on_foreign_point(short_session(), version="2.0.1")
    assert good.final_verdict is Verdict.PASS, [o.says for o in good.outcomes]


async def test_what_the_station_does_not_know_is_said_with_its_error() -> None:
    failed = failed_step(await run_steps('{ backend = "unlock", status = "Unlocked" },'))
    assert failed.verdict is Verdict.FAIL
    assert "UnlockConnector was answered with the error NotImplemented" in failed.says


async def test_a_deed_that_the_command_cannot_do_is_not_applicable() -> None:
    failed = failed_step(await run_steps('{ press = "stop" }, { plug = 1 },'))
    assert (failed.verdict, failed.says) == (Verdict.NOT_APPLICABLE, "cannot")


async def test_a_request_that_breaks_the_schema_is_an_error_of_the_scenario() -> None:
    failed = failed_step(await run_steps('{ backend = "Reset", payload = { type = "Gentle" } },'))
    assert failed.verdict is Verdict.ERROR
    assert "Reset cannot be sent: payload of Reset" in failed.says


async def test_the_library_runs_on_a_charge_point_that_is_not_ours() -> None:
    """What this charge point can do passes; what the scenario needs and it has not is not applicable."""
    names = (
        "cable_first",
        "configuration_round_trip",
        "remote_start_and_stop",
        "link_lost_stop_offline",
        "two_outlets",
    )
    scenarios = [load_scenario(library_folder() / f"{name}.toml") for name in names]
    lacks = dict.fromkeys(("display", "two_outlets", "link_control"), "is not there")
    outcomes = await run_on_foreign_point(*scenarios, lacks=lacks)
    failures = {o.scenario.id: [s.says for s in o.outcomes if s.verdict is Verdict.FAIL] for o in outcomes}
    verdicts = {o.scenario.id: (str(o.final_verdict), failures[o.scenario.id]) for o in outcomes}
    assert verdicts == {
        "cable_first": ("PASS", []),
        "configuration_round_trip": ("PASS", []),
        "remote_start_and_stop": ("PASS", []),
        "link_lost_stop_offline": ("NOT APPLICABLE", []),
        "two_outlets": ("NOT APPLICABLE", []),
    }


@pytest.mark.parametrize(("name", "mistake", "words"), [
    ("cable_first", "wrong_reason", "reason is 'Other', expected 'EVDisconnected'"),
    ("remote_start_and_stop", "refuses_remote_start", "status is 'Rejected', expected 'Accepted'"),
    ("configuration_round_trip", "forgets_settings", "value is '300', expected '123'"),
])  # fmt: skip
async def test_the_library_finds_planted_mistakes(name: str, mistake: str, words: str) -> None:
    scenario = load_scenario(library_folder() / f"{name}.toml")
    (outcome,) = await run_on_foreign_point(scenario, mistakes={mistake})
    assert outcome.final_verdict is Verdict.FAIL
    assert words in next(o.says for o in outcome.outcomes if o.verdict is Verdict.FAIL)


async def test_a_station_that_says_nothing_is_asked_for_its_status() -> None:
    (outcome,) = await run_on_foreign_point(short_session(), mistakes={"says_nothing"}, silence_s=0.2)
    assert outcome.final_verdict is Verdict.PASS


async def test_no_station_comes() -> None:
    from agent.commands.scenario.sessions import RunRequest, run_listening
    from agent.commands.scenario.terminal import Terminal

    (outcome,) = await run_listening(RunRequest((short_session(),), connect_within_s=0.2), Terminal())
    assert outcome.final_verdict is Verdict.ERROR
    assert "a station is not connected" in outcome.says
