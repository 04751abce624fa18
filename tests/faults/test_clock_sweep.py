"""Boards whose real-time clock says 1970, backends that come late, are wrong or are corrected, kills and power cuts in
any order: no bill is of 1970, none ends before it began, and where the time was known it is the time."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.model.types import Stamp
from agent.services.clock import BUILT_UTC_S, LAST_UTC_S, STEADY, Boot, Clock

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128"))
YEAR_S = 366 * 86400.0
STEP_S = 2.0


@dataclass
class Bill:
    """True times beside the stamps."""

    begin: Stamp
    begin_s: float
    end: Stamp | None = None
    end_s: float = 0.0


class Board:
    """A machine in true time: ``true_s`` is UTC. Its own clock says what it likes, and is asked for nothing that is
    billed. What the agent remembers goes through JSON, as on disk."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.true_s = dice, BUILT_UTC_S + dice.random() * YEAR_S
        self.disk: dict[str, dict[str, object]] = {}
        self.boots, self.booted_s = 0, 0.0
        self.rtc_off_s = 0.0
        self.clock: Clock
        self.power_up()

    def power_up(self) -> None:
        self.boots += 1
        self.booted_s = self.true_s
        self.true_s += self.dice.uniform(3, 60)
        # 1970, a date of the factory, or right
        self.rtc_off_s = self.dice.choice((-self.true_s, -5 * YEAR_S, 0.0, 30 * YEAR_S))
        self.start()

    def start(self) -> None:
        """The agent begins, after a kill or a power cut."""
        self.clock = Clock(
            self.disk, boot_id=f"b{self.boots}", boottime=lambda: self.true_s - self.booted_s,
            rtc=lambda: self.true_s + self.rtc_off_s, changed=self.keep,
        )  # fmt: skip
        self.keep(self.clock.boot)

    def keep(self, boot: Boot) -> None:
        self.disk[str(boot.number)] = json.loads(json.dumps(boot.to_record()))

    def billed(self) -> Stamp:
        """As ``compose_devices`` does: with what is billed it is on disk how far this boot has come."""
        self.keep(self.clock.mark_boot_alive())
        return self.clock.now().stamp

    def backend(self, off_s: float, times: int = 1) -> None:
        for _ in range(times):
            self.clock.heard_utc(self.true_s + off_s, self.dice.uniform(0.0, 1.0))
            self.true_s += 1.0


def walk(dice: random.Random, seen: Counter[str]) -> None:
    board = Board(dice)
    bills: list[Bill] = []
    wrong = False
    for _ in range(dice.randrange(10, 60)):
        board.true_s += dice.choice((1.0, 60.0, 3600.0, 86400.0)) * dice.random()
        deed = dice.choice(("begin", "end", "end", "hear", "odd", "never", "corrected", "kill", "cut", "look"))
        seen[deed] += 1
        if deed == "begin":
            bills.append(Bill(board.billed(), board.true_s))
        elif deed == "end":
            for bill in bills:
                if bill.end is None:
                    bill.end, bill.end_s = board.billed(), board.true_s
        elif deed == "hear":
            board.backend(0.0)
        elif deed == "odd" and board.clock.boot.offset_s is not None:
            board.backend(dice.uniform(-YEAR_S, YEAR_S))  # a single answer that is wrong
            board.backend(0.0)
        elif deed == "never":
            board.clock.heard_utc(dice.choice((0.0, -1.0, 2.0**33, LAST_UTC_S + 1, float("nan"))), 0.1)
        elif deed == "corrected" and not wrong:
            wrong = True
            off_s = dice.uniform(10, 7200)
            board.backend(off_s, STEADY)  # the backend's own clock is wrong, and is set right
            board.backend(0.0, STEADY + 1)
        elif deed == "kill":
            board.start()
        elif deed == "cut":
            board.true_s += dice.choice((5.0, 600.0, 86400.0 * 30))
            board.power_up()
        judge(board, bills, wrong)
    board.backend(0.0, STEADY + 1)
    judge(board, bills, wrong)
    for bill in bills:
        known = board.disk[str(bill.begin.boot)]["offset_s"] is not None
        seen["known" if known else "guessed"] += 1
        if known:
            assert abs(board.clock.utc_s(bill.begin) - bill.begin_s) <= STEP_S + 1.0


def judge(board: Board, bills: list[Bill], wrong: bool) -> None:
    """``wrong``: the backend's own clock was wrong for a while. Between its times a boot that never learnt the time may
    have less room than it lasted."""
    now = board.clock.now().utc_s
    for bill in bills:
        begin = board.clock.utc_s(bill.begin)
        assert BUILT_UTC_S <= begin <= LAST_UTC_S, "of 1970"
        if now is not None:
            assert begin <= now + STEP_S, "it is yet to come"
        if bill.end is None:
            continue
        end = board.clock.utc_s(bill.end)
        assert begin <= end, "it ended before it began"
        known = board.disk[str(bill.begin.boot)]["offset_s"] is not None
        if bill.begin.boot == bill.end.boot and (known or not wrong):
            off_s = 1e-3 if known else STEP_S  # of the times between which such a boot lies
            assert end - begin == pytest.approx(bill.end_s - bill.begin_s, abs=off_s), "as long as it was"


@pytest.mark.campaign
def test_no_bill_is_of_another_time(record_property: Callable[[str, object], None]) -> None:
    """Walks of a board through starts in 1970, late, wrong and corrected backends, kills and power cuts."""
    seen: Counter[str] = Counter()
    count = 100_000 if FULL else 400
    for n in range(count):
        try:
            walk(random.Random(f"{SEED}-{n}"), seen)
        except AssertionError as e:
            raise AssertionError(f"walk {n} of seed {SEED}: {e}") from e
    record_property("walks", count)
    record_property("seen", dict(seen))
    assert min(seen["known"], seen["guessed"]) > 0
