"""``payments retry``, ``void`` and ``write-off`` beside a running agent, over its status socket, and while it is
stopped."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.commands import payments
from agent.domain.payment import Payment, PayState
from agent.model.bank_card import BankCard
from agent.model.types import Stamp, Token, TokenType
from agent.ports.store import Put
from agent.services.store.store import Store
from tests.domain.test_plays_receipt import TARIFF
from tests.support.card_shop import put_into_store, running_shop, write_station_file


def owed(name: str, state: PayState, **more: Any) -> Put:
    """A bill of 3.50 that is not settled."""
    usage = TARIFF.start_usage().advance_to(0.0, 0, None).advance_to(1.0, 5001, None)
    p = Payment(
        id=f"id-{name}",
        terminal=0,
        token=Token(name, TokenType.DIRECT_PAYMENT),
        asked_cents=5000,
        at=Stamp(1, 0.0),
        state=state,
        card=BankCard("m", "1234", "VISA"),
        evse=1,
        held_cents=5000,
        session=f"s-{name}",
        tariff=TARIFF,
        usage=usage,
        cents=350,
        owed_cents=350,
        utc_s=1_800_000_000.0,
        **more,
    )
    return Put("payment", p.id, p.to_record())


BILLS = (
    owed("PYNEVERASKED", PayState.FINAL_KNOWN, reservation=1),
    owed("PYASKED", PayState.COMMIT_PENDING, reservation=2, asked=True),
    owed("PYINVAIN", PayState.UNCERTAIN, reservation=3, why="the terminal was never there"),
    owed("PYGONE", PayState.UNCERTAIN, reservation=4, why="the hold was gone"),
    owed("PYDONE", PayState.COMMITTED, reservation=5),
)


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    payments.add_arguments(parser)
    return payments.run(parser.parse_args(words))


async def records(folder: Path) -> dict[str, dict[str, Any]]:
    store = await Store.open(folder / "state" / "agent.db")
    try:
        found = (await store.read_facts())["payment"]
    finally:
        await store.close()
    return {r["token"]["value"]: r for r in found.values()}


async def test_orders_to_a_running_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_station_file(tmp_path)
    await put_into_store(tmp_path, BILLS)

    async def ordered(words: Sequence[str]) -> tuple[int, str, str]:
        code = await asyncio.to_thread(command, words[0], str(path), *words[1:])
        said = capsys.readouterr()
        return code, said.out, said.err

    async with running_shop(path):
        assert (await ordered(("void", "PYNEVERASKED", "--why", "the meter was wrong")))[:2] == (
            0,
            "PYNEVERASKED: VoidPending\n",
        )
        code, _, said = await ordered(("void", "PYASKED", "--why", "a mistake"))
        assert (code, "it may have happened; retry it" in said) == (1, True)
        assert (await ordered(("retry", "PYINVAIN")))[:2] == (0, "PYINVAIN: CommitPending\n")
        code, _, said = await ordered(("retry", "PYGONE", "PYDONE", "PYNOSUCH"))
        assert code == 1
        assert "PYGONE: not done: the terminal cannot be asked about it" in said
        assert "PYDONE: not done: nothing of it is open" in said
        assert "PYNOSUCH: no such payment" in said
        assert (await ordered(("write-off", "PYASKED", "PYGONE", "--why", "paid in cash")))[0] == 0
        assert (await ordered(("void", "PYINVAIN")))[0] == 2, "it must say why"
        code, listed, _ = await ordered(("list",))
        assert (code, "WrittenOff: written off by a person: paid in cash (reviewed)" in listed) == (0, True)
    kept = await records(tmp_path)
    assert {name: r.get("later_state", r["state"]) for name, r in kept.items()} == {
        "PYNEVERASKED": "VoidPending",
        "PYASKED": "WrittenOff",
        "PYINVAIN": "CommitPending",
        "PYGONE": "WrittenOff",
        "PYDONE": "Committed",
    }
    assert kept["PYNEVERASKED"]["why"] == "voided by a person: the meter was wrong"


def test_orders_while_no_agent_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal is the agent's: only what needs none is done."""
    path = write_station_file(tmp_path)
    asyncio.run(put_into_store(tmp_path, BILLS))
    assert command("retry", str(path), "PYNEVERASKED") == 1
    assert "no agent is running" in capsys.readouterr().err
    assert command("write-off", str(path), "PYNEVERASKED", "--why", "gone") == 0
    kept = asyncio.run(records(tmp_path))
    assert (kept["PYNEVERASKED"]["later_state"], kept["PYNEVERASKED"]["reviewed"]) == ("WrittenOff", True)
    assert kept["PYASKED"]["state"] == "CommitPending"
    assert command("write-off", str(path), "PYDONE", "--why", "gone") == 1
