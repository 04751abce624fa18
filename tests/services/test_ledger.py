"""``chargy-agent payments``: the journal for people, beside a running agent (tests/scenarios/test_bank_card.py) and
without one."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from agent.assembly.domain_setup import startup_payment_terms, stranded_payments
from agent.domain.payment import Payment, PaymentTerms, PayState, payment_reference
from agent.domain.tariff import Tariff
from agent.model.bank_card import BankCard
from agent.model.types import Stamp, Token, TokenType
from agent.ports.store import Put
from agent.services.store.store import Store
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import deadline, stretched

ROOT = Path(__file__).resolve().parents[2]
MARK = "a-keyed-hash-of-a-card"


def payment(id_: str, state: PayState, **more: object) -> Payment:
    made = Payment(id_, 0, Token(f"PY{id_.upper()}", TokenType.LOCAL), 5000, Stamp(1, float(len(id_))), state)
    made.card, made.evse, made.reservation, made.held_cents = BankCard(MARK, "1234", "VISA"), 1, 7, 5000
    made.tariff, made.utc_s = Tariff(kwh=Decimal("0.50")), 1_800_000_000.0
    for name, value in more.items():
        setattr(made, name, value)
    return made


async def station(folder: Path) -> Path:
    file = folder / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    store = await Store.open(folder / "state" / "agent.db")
    paid = payment("a", PayState.COMMITTED, cents=123, owed_cents=123)
    lost = payment("bb", PayState.UNCERTAIN, cents=250, owed_cents=250, why="the hold was gone")
    await store.commit([Put("payment", p.id, p.to_record()) for p in (paid, lost)])
    await store.close()
    return file


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "payments", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=stretched(60))


async def test_while_the_agent_is_stopped(tmp_path: Path) -> None:
    file = await station(tmp_path)
    said = command("list", file)
    assert (said.returncode, said.stderr) == (0, "")
    _, paid, lost = said.stdout.splitlines()
    assert paid.split() == ["PYA", "2027-01-15", "08:00", "1", "50.00", "1.23", "VISA", "…1234", "Committed"]
    assert lost.split()[:5] == ["PYBB", "2027-01-15", "08:00", "1", "50.00"]
    assert lost.endswith("Uncertain: the hold was gone")
    shown = json.loads(command("show", file, "PYBB").stdout)
    assert (shown["id"], shown["cents"], shown["reservation"], shown["currency"]) == ("bb", 250, 7, "EUR")
    assert MARK not in json.dumps(shown)


async def test_one_that_could_not_be_read(tmp_path: Path) -> None:
    file, name = await station(tmp_path), payment_reference("", "dd")
    store = await Store.open(tmp_path / "state" / "agent.db")
    await store.commit([Put("poisoned", "payment/dd", {"record": '{"card": ["' + MARK, "why": "no JSON"})])
    await store.close()
    *_, line = command("list", file).stdout.splitlines()
    assert (line.split()[0], line.split("  ")[-1].strip()) == (name, "Unreadable: no JSON")
    shown = command("show", file, "dd").stdout
    assert (json.loads(shown)["state"], MARK in shown) == ("Unreadable", False)
    assert command("review", file, name).stdout == f"{name}: reviewed\n"
    assert "Unreadable: no JSON (reviewed)" in command("list", file).stdout
    assert command("review", file, name).returncode == 1


async def test_one_that_was_looked_at(tmp_path: Path) -> None:
    file = await station(tmp_path)
    said = command("review", file, "PYBB", "PYA")
    assert said.stdout == "PYBB: reviewed\n"
    assert "PYA: no uncertain payment" in said.stderr
    assert said.returncode == 1
    assert "(reviewed)" in command("list", file, "bb").stdout
    store = await Store.open(tmp_path / "state" / "agent.db")
    records = (await store.read_facts())["payment"]
    await store.close()
    assert Payment.from_record("bb", records["bb"]).reviewed
    assert records["bb"]["state"] == "Uncertain"
    assert not records["a"]["reviewed"]


@pytest.mark.parametrize(
    ("words", "why"), [(["review"], "name the"), (["list"], "there is no store"), (["show", "X"], "there is no store")]
)
def test_what_cannot_be_done_says_why_and_makes_no_store(tmp_path: Path, words: list[str], why: str) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    said = command(words[0], file, *words[1:])
    assert said.returncode == 2
    assert why in said.stderr
    assert not (tmp_path / "state").exists()


def test_a_station_whose_file_has_no_terminal_any_more_still_knows_its_payments(tmp_path: Path) -> None:
    """Once they were on disk and not reported."""
    file = tmp_path / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    facts = {"payment": {"c": payment("c", PayState.VOID_PENDING).to_record()}}
    loaded = load_station_file(file)
    assert startup_payment_terms(loaded, facts) == PaymentTerms(0, {}, keep_s=math.inf)
    assert startup_payment_terms(loaded, {"poisoned": {"payment/d": {}}}) == PaymentTerms(0, {}, keep_s=math.inf)
    assert startup_payment_terms(loaded, {"payment": {}, "poisoned": {"payment/d": {"reviewed": True}}}) is None
    [said] = stranded_payments(loaded, facts)
    assert "1 payment is unfinished" in said
    assert stranded_payments(loaded, {"payment": {"a": payment("a", PayState.COMMITTED).to_record()}}) == []
    file.write_text(file.read_text() + '[terminal]\ndriver = "terminal_payter"\nhost = "127.0.0.1"\n')
    loaded = load_station_file(file)
    assert startup_payment_terms(loaded, facts) == PaymentTerms(0, {0: (1,)}, keep_s=math.inf)
    assert stranded_payments(loaded, facts) == []


async def test_what_waits_for_a_terminal_that_is_not_in_the_file(tmp_path: Path) -> None:
    file = await station(tmp_path)
    store = await Store.open(tmp_path / "state" / "agent.db")
    waits = payment("c", PayState.VOID_PENDING, why="no session was begun", cents=None)
    await store.commit([Put("payment", "c", waits.to_record())])
    await store.close()
    *_, line = command("list", file, "c").stdout.splitlines()
    assert line.endswith("VoidPending: no session was begun (its terminal is not in the station file)")
    output = await started(file)
    assert "1 payment is unfinished and the terminal is not in the file" in output


async def started(file: Path) -> str:
    """What the agent says at its start; then it is ended."""
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "run", str(file), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert agent.stderr is not None
    try:
        async with deadline(60):
            first = await agent.stderr.readline()
    finally:
        agent.terminate()
        rest = await agent.stderr.read()
        await agent.wait()
    return (first + rest).decode()
