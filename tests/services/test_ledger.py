"""``chargy-agent payments``: the journal for people, beside a running agent (tests/scenarios/test_bank_card.py) and
without one."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from agent.bankcards import BankCard
from agent.domain.adhoc import Payment, PayState
from agent.domain.tariff import Tariff
from agent.kinds import Stamp, Token, TokenType
from agent.ports.store import Put
from agent.services.store import Store

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
    await store.commit([Put("payment", p.id, p.record()) for p in (paid, lost)])
    await store.close()
    return file


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agent", "payments", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)


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


async def test_one_that_was_looked_at(tmp_path: Path) -> None:
    file = await station(tmp_path)
    said = command("review", file, "PYBB", "PYA")
    assert said.stdout == "PYBB: reviewed\n"
    assert "PYA: no uncertain payment" in said.stderr
    assert said.returncode == 1
    assert "(reviewed)" in command("list", file, "bb").stdout
    store = await Store.open(tmp_path / "state" / "agent.db")
    records = (await store.facts())["payment"]
    await store.close()
    assert Payment.of("bb", records["bb"]).reviewed
    assert records["bb"]["state"] == "Uncertain"
    assert not records["a"]["reviewed"]


@pytest.mark.parametrize(
    ("words", "why"), [(["review"], "say which"), (["list"], "there is no store"), (["show", "X"], "there is no store")]
)
def test_what_cannot_be_done_says_why_and_makes_no_store(tmp_path: Path, words: list[str], why: str) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\nstate_dir = "state"\n[[evse]]\nnumber = 1\n')
    said = command(words[0], file, *words[1:])
    assert said.returncode == 2
    assert why in said.stderr
    assert not (tmp_path / "state").exists()
