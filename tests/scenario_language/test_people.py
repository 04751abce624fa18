"""Where a person takes part: a real station, of which a technician is asked at a terminal; a backend that is not ours.

The technician of these tests reads the prompts and acts on the world of a simulated station, whose agent knows nothing
of the scenario.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import string
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.commands.scenario.prompts import PromptTexts
from agent.scenario.grammar import KINDS, Group
from tests.support.busy_machine import stretched
from tests.support.command_terminal import CommandTerminal
from tests.support.simulated_station import ONE_EVSE, Simulated, held_port
from tests.support.third_party_csms import Foreign

SESSION = """
title = "A session with a technician"
variables = { card = "04A1B2C3" }
steps = [
  { plug = 1 },
  { wait_status = "occupied" },
  { tap = "${card}" },
  { wait_transaction = "started", where = { token = "${card}" } },
  { wait_status = "charging" },
  { wait_screen = "charging" },
  { ask = "What does the meter show?", set = "reading" },
  { check = "${reading}", equals = 1234.5 },
  { unplug = 1, side = "vehicle" },
  { wait_transaction = "ended", where = { reason = "EVDisconnected" } },
  { unplug = 1 },
  { wait_status = "available" },
]
"""


def scenario_file(folder: Path, text: str = SESSION) -> str:
    path = folder / "session.toml"
    path.write_text(text)
    return str(path)


async def test_a_technician_is_led_through_a_session_on_a_real_station(tmp_path: Path) -> None:
    with held_port() as port:
        station = tmp_path / "station.toml"
        station.write_text(ONE_EVSE)
        words = ("run", scenario_file(tmp_path), "--station", str(station), "--listen", f"127.0.0.1:{port}")
        async with CommandTerminal("scenario", *words, "--json", str(tmp_path / "r.json")) as terminal:
            await terminal.find_text("waiting for CP-1 at ws://127.0.0.1")
            async with Simulated(tmp_path, ONE_EVSE, f"ws://127.0.0.1:{port}") as simulated:
                await lead_session(terminal, simulated)
                assert await terminal.end_code() == 0, terminal.said
    assert re.search(r"\[#+\.+\] \d+/12 \d+:\d\d left", terminal.said), "the bar shows what is done and the time left"
    assert re.search(r"1[0-9]+ s left: plug the cable", terminal.said), "a prompt counts down"
    (outcome,) = json.loads((tmp_path / "r.json").read_text())["scenarios"]
    says = {step["kind"]: step["says"] for step in outcome["steps"]}
    assert says["plug"] == "done by a person, noticed by StatusNotification"
    assert says["ask"] == "answered 1234.5"


async def lead_session(terminal: CommandTerminal, simulated: Simulated) -> None:
    """Do what the terminal asks for. No key is pressed where the station shows it."""
    await terminal.find_text("please plug the cable of a vehicle into outlet 1")
    await simulated.post("/evses/1/plug")
    await terminal.find_text("please hold the card 04A1B2C3 to the reader of outlet 1")
    await simulated.post("/cards/tap", {"token": "04A1B2C3", "evse": 1})
    await terminal.find_text("Does the display of outlet 1 show that the vehicle is charging")
    await simulated.until_evse(lambda e: e["screen"] == "charging")
    terminal.write_line("y")
    await terminal.find_text("What does the meter show")
    terminal.write_line("1234.5")
    await terminal.find_text(r"please pull the cable of outlet 1 \(at the vehicle\)")
    await simulated.post("/evses/1/unplug", {"side": "ev"})
    await terminal.find_text(r"please pull the cable of outlet 1 \(at the station\)")
    await simulated.until_evse(lambda e: not e["locked"])
    await simulated.post("/evses/1/unplug", {"side": "station"})


PROMPTS = {
    "de": (
        r">>> bitte das Kabel eines Fahrzeugs in Ladepunkt 1 stecken \(innerhalb von 30 s; Enter: getan",
        r">>> bitte die Karte 04A1B2C3 an den Leser von Ladepunkt 1 halten und wegnehmen",
        r">>> Zeigt die Anzeige von Ladepunkt 1, dass das Fahrzeug lädt\? \(ja, nein oder ein Wert",
        r">>> bitte das Kabel von Ladepunkt 1 ziehen \(am Fahrzeug\)",
    ),
    "fr": (
        r">>> à faire : brancher le câble d’un véhicule à la prise 1 \(en 30 s ; Entrée : fait",
        r">>> à faire : présenter la carte 04A1B2C3 au lecteur de la prise 1, puis la retirer",
        r">>> L’écran de la prise 1 montre-t-il que le véhicule se recharge \? \(oui, non ou une valeur",
        r">>> à faire : retirer le câble de la prise 1 \(au véhicule\)",
    ),
}


@pytest.mark.parametrize("language", PROMPTS)
async def test_a_technician_is_led_in_another_language(language: str, tmp_path: Path) -> None:
    text = (
        'title = "T"\nsteps = [ { plug = 1 }, { tap = "04A1B2C3" }, { wait_status = "charging" }, '
        '{ wait_screen = "charging" }, { unplug = 1, side = "vehicle" }, { wait_transaction = "ended" } ]'
    )
    plug, tap, display, unplug = PROMPTS[language]
    with held_port() as port:
        asked = ("run", scenario_file(tmp_path, text), "--listen", f"127.0.0.1:{port}", "--patience", "30")
        async with (
            CommandTerminal("scenario", *asked, "--language", language) as terminal,
            Simulated(tmp_path, ONE_EVSE, f"ws://127.0.0.1:{port}") as simulated,
        ):
            await terminal.find_text(plug)
            await simulated.post("/evses/1/plug")
            await terminal.find_text(tap)
            await simulated.post("/cards/tap", {"token": "04A1B2C3", "evse": 1})
            await terminal.find_text(display)
            terminal.write_line({"de": "ja", "fr": "oui"}[language])
            await terminal.find_text(unplug)
            await simulated.post("/evses/1/unplug", {"side": "ev"})
            assert await terminal.end_code() == 0, terminal.said


DEEDS: dict[str, list[dict[str, Any]]] = {
    "plug": [{"plug": 1}, {"plug": 1, "ready": False}],
    "unplug": [{"unplug": 1}, {"unplug": 1, "side": "vehicle"}],
    "vehicle": [{"vehicle": 1, "ready": False}, {"vehicle": 1, "max_a": 6}],
    "tap": [{"tap": "04A1"}], "pay": [{"pay": 1}, {"pay": 1, "behaviour": "decline", "last4": "0009"}],
    "scan": [{"scan": 1}], "press": [{"press": "language"}],
    "fault": [{"fault": "DoorOpen"}, {"fault": "DoorOpen", "active": False}], "clear": [{"clear": 1}],
    "link": [{"link": "down"}, {"link": "stalled"}, {"link": "up", "latency_ms": 9, "kbit_s": 9, "loss": 0.1}],
    "mains": [{"mains": "off"}, {"mains": "on"}], "power_cut": [{"power_cut": 5}],
}  # fmt: skip
"""Each kind of deed with each option and each value that is a word."""


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", ["fr", "de"])
def test_every_prompt_is_in_each_language(language: str) -> None:
    english, other = PromptTexts("en"), PromptTexts(language)
    for part in ("words", "screens"):
        assert set(other.table[part]) == set(english.table[part])
        for name, text in english.table[part].items():
            assert blanks(other.table[part][name]) == blanks(text), name
    physical = {name for name, kind in KINDS.items() if kind.group is Group.PHYSICAL}
    assert physical == set(other.table["deeds"]) == set(DEEDS)
    for kind in physical:
        assert blanks(other.table["deeds"][kind]) == blanks(KINDS[kind].sentence), kind
        for values in DEEDS[kind]:
            said = other.describe_deed(kind, values)
            assert said != english.describe_deed(kind, values)
            left = set(re.findall(r"\b(?:true|false|vehicle|down|stalled|decline|approve|ready|latency_ms)\b", said))
            assert left == set(), said


@pytest.mark.parametrize(("typed", "code", "words"), [
    ("s", 3, "NOT APPLICABLE session"),
    (None, 3, "ERROR session .*not done within 1 s: plug the cable of a vehicle into outlet 1"),
    ("", 1, "FAIL session .*the status is Available, expected occupied; waited 1 s"),
])  # fmt: skip
async def test_a_technician_who_does_otherwise(tmp_path: Path, typed: str | None, code: int, words: str) -> None:
    text = 'title = "T"\nsteps = [ { plug = 1 }, { wait_status = "occupied", within_s = 1 } ]'
    patience = ("--patience", "1" if typed is None else "30")
    with held_port() as port:
        asked = ("run", scenario_file(tmp_path, text), "--listen", f"127.0.0.1:{port}", *patience)
        async with (
            CommandTerminal("scenario", *asked) as terminal,
            Simulated(tmp_path, ONE_EVSE, f"ws://127.0.0.1:{port}"),
        ):
            await terminal.find_text("please plug")
            if typed is not None:
                terminal.write_line(typed)
            assert await terminal.end_code() == code
            assert re.search(words, terminal.said), terminal.said


# --- a backend that is not ours --------------------------------------------------------------------------------------


async def run_beside(
    foreign: Foreign, act: Callable[[str, dict[str, Any]], Awaitable[Any]], *words: str
) -> CommandTerminal:
    """Run on a backend that is not ours; ``act`` is its operator. Returns the terminal at its end."""
    async with CommandTerminal(
        "scenario", "run", *words, "--simulate", "--ocpp", "1.6", "--backend", foreign.url
    ) as terminal:
        while terminal.process.returncode is None:
            found = asyncio.ensure_future(terminal.find_text(r"have your backend send (\w+) (\{.*?\}) to", 90))
            ended = asyncio.ensure_future(terminal.process.wait())
            await asyncio.wait({found, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                found.cancel()
                break
            await act(found.result()[1], json.loads(found.result()[2]))
        await terminal.end_code()
        await asyncio.sleep(0)
    return terminal


async def test_the_same_scenario_tests_a_backend_that_is_not_ours() -> None:
    async with Foreign() as foreign:
        terminal = await run_beside(foreign, foreign.ask, "remote_start_and_stop")
        assert terminal.process.returncode == 0, terminal.said
        assert "1 scenario: 1 PASS" in terminal.said
        ledger = await foreign.ledger()
        assert ledger["violations"] == []
        assert len(ledger["transactions"]) == 1


async def test_an_operator_who_sends_something_else_is_an_error_of_the_test() -> None:
    async def send_otherwise(action: str, payload: dict[str, Any]) -> None:
        await foreign.ask("ClearCache", {})

    async with Foreign() as foreign:
        terminal = await run_beside(foreign, send_otherwise, "remote_start_and_stop", "--patience", "2")
        assert terminal.process.returncode == 3, terminal.said
        assert "the backend has not sent RemoteStartTransaction within" in terminal.said


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_no_process_stays_behind(number: signal.Signals, tmp_path: Path) -> None:
    text = 'title = "T"\nsteps = [ { wait_status = "faulted", within_s = 6000 } ]'
    async with CommandTerminal(
        "scenario", "run", scenario_file(tmp_path, text), "--simulate", "--ocpp", "1.6"
    ) as terminal:
        await terminal.find_text("outlet 1 becomes faulted")
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        assert len(children) >= 2, "the simulation and its agent"
        terminal.process.send_signal(number)
        assert await terminal.end_code() == 130
        psutil.wait_procs(children, timeout=stretched(15))
        assert [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE] == []
