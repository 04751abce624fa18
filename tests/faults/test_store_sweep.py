"""Every way in which a disk may damage the store, at random moments: nothing of it is lost in silence, nothing that had
been delivered leaves again, and nothing is other than it was written."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import (
    MeterSampled,
    Sample,
    StopReason,
    TransactionEnded,
    TransactionStarted,
    TriggerReason,
)
from agent.domain.serialization import UnreadableRecord
from agent.model.types import Reading, ReadingContext, Stamp, Token
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store, StoreRefused

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128"))
PAGE, WAL_HEADER, FRAME = 4096, 32, 4096 + 24
LINK = "chargy"
TAILS = ("", "-wal")


@dataclass
class Books:
    """What a person would have written down beside the store."""

    messages: dict[int, Any] = field(default_factory=dict)
    """All that were ever queued, by their place."""
    waiting: list[int] = field(default_factory=list)
    delivered: set[int] = field(default_factory=set)
    facts: dict[tuple[str, str], Any] = field(default_factory=dict)
    ever: set[tuple[str, str, str]] = field(default_factory=set)
    """Kind, key and text of each fact that ever was."""
    over: set[str] = field(default_factory=set)
    leaving: set[int] = field(default_factory=set)
    """Delivered samples that leave the disk with a later commit: after a kill they wait again."""
    registers: dict[str, int] = field(default_factory=dict)
    """By session: the least that its register on disk may be. Renewals since then may be lost on a damaged disk."""


class Life:
    """Sessions on a real store. ``online``: how likely the backend takes what waits."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.path, self.dice, self.books = folder / "agent.db", dice, Books()
        self.store: Store
        self._count, self._wh, self._online = 0, 1000, dice.choice((0.0, 0.5, 0.95))
        self._running: dict[int, str] = {}

    async def begin(self) -> None:
        self.store = await Store.open(self.path)

    async def commit(self, puts: list[Put], *messages: Any) -> None:
        before = self._highest()
        await self.store.commit(puts, [(LINK, m) for m in messages])
        self.books.delivered |= self.books.leaving
        self.books.leaving.clear()
        for put in puts:
            if put.kind == "session" and put.value is not None:
                self.books.registers[put.key] = put.value["last_wh"]
            if put.value is None:
                self.books.facts.pop((put.kind, put.key), None)
            else:
                self.books.facts[put.kind, put.key] = put.value
                self.books.ever.add((put.kind, put.key, repr(put.value)))
        if messages:
            rows = await self.store.oldest_rows(LINK, -1)
            for row in rows:
                if row.seq > before:
                    self.books.messages[row.seq] = row.message
                    self.books.waiting.append(row.seq)

    def _highest(self) -> int:
        return max(self.books.messages, default=0)

    async def step(self) -> None:
        outlet = self.dice.choice((1, 2))
        session = self._running.get(outlet)
        if self.books.waiting and self.dice.random() < self._online:
            await self._deliver()
        elif session is None:
            self._count += 1
            session = self._running[outlet] = f"{self._count:08x}-{self.dice.randrange(10**9)}"
            start = TransactionStarted(session, outlet, Token("04A1B2C3"), Stamp(1, 5.0), self._wh)
            await self.commit([self._fact(session, outlet), Put("boot", "1", {"id": "x"})], start)
        elif self.dice.random() < 0.25:
            await self._renew_register(session, outlet)
        elif self.dice.random() < 0.5:
            self._wh += self.dice.randrange(500)
            reading = Reading(Stamp(1, 6.0), self._wh)
            sample = MeterSampled(session, outlet, (Sample(ReadingContext.PERIODIC, reading, ()),))
            await self.commit([self._fact(session, outlet)], sample)
        elif self.dice.random() < 0.5:
            await self.commit([Put("cache", f"CARD-{self.dice.randrange(40):04d}", {"n": self._wh})])
        else:
            del self._running[outlet]
            end = TransactionEnded(
                session, outlet, None, Stamp(1, 9.0), self._wh, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED
            )
            await self.commit([Put("session", session, None)], end)
            self.books.over.add(session)

    async def _deliver(self) -> None:
        (row,) = await self.store.oldest_rows(LINK)
        self.books.delivered |= self.books.leaving  # with the look at the queue
        self.books.leaving.clear()
        self.books.waiting.remove(row.seq)
        if isinstance(row.message, MeterSampled) and row.session in self._running.values() and not self.books.waiting:
            await self.store.remove_with_next_commit(row)
            self.books.leaving.add(row.seq)
        else:
            await self.store.remove_delivered(row)
            self.books.delivered.add(row.seq)

    async def _renew_register(self, session: str, outlet: int) -> None:
        self._wh += self.dice.randrange(500)
        fact = self._fact(session, outlet)
        await self.store.commit([fact])
        self.books.facts[fact.kind, fact.key] = fact.value
        self.books.ever.add((fact.kind, fact.key, repr(fact.value)))

    def _fact(self, session: str, outlet: int) -> Put:
        return Put("session", session, {"evse": outlet, "last_wh": self._wh})

    async def copy(self, to: Path, *tails: str) -> Path:
        """The files as a kill or a power cut leaves them."""
        await self.store._file.run_in_thread(lambda: None)  # no merge runs meanwhile: a copy takes longer than a kill
        to.mkdir(exist_ok=True)  # noqa: ASYNC240
        for name in (*(self.path.name + t for t in tails), "agent.witness"):
            if (self.path.parent / name).exists():
                shutil.copyfile(self.path.parent / name, to / name)
        return to / self.path.name


# --- damage -----------------------------------------------------------------------------------------------------------


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def empty(path: Path, dice: random.Random, old: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path, dice: random.Random, old: Path) -> None:
    path.unlink()
    if dice.random() < 0.5:
        wal_of(path).unlink(missing_ok=True)


def cut_at_a_page(path: Path, dice: random.Random, old: Path) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size // PAGE) * PAGE)


def cut_anywhere(path: Path, dice: random.Random, old: Path) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size))


def wal_gone(path: Path, dice: random.Random, old: Path) -> None:
    wal_of(path).unlink(missing_ok=True)


def wal_cut(path: Path, dice: random.Random, old: Path) -> None:
    wal = wal_of(path)
    frames = (wal.stat().st_size - WAL_HEADER) // FRAME
    whole = dice.random() < 0.5
    os.truncate(wal, WAL_HEADER + dice.randrange(frames) * FRAME if whole else dice.randrange(wal.stat().st_size))


def wal_header(path: Path, dice: random.Random, old: Path) -> None:
    _flip(wal_of(path), dice, dice.randrange(WAL_HEADER))


def first_page(path: Path, dice: random.Random, old: Path) -> None:
    with path.open("r+b") as file:
        file.seek(dice.choice((0, 0, dice.randrange(PAGE - 64))))
        file.write(dice.choice((bytes(PAGE), dice.randbytes(64))) if file.tell() == 0 else dice.randbytes(64))


def bits(path: Path, dice: random.Random, old: Path) -> None:
    _flip(path, dice, *(dice.randrange(path.stat().st_size) for _ in range(dice.choice((1, 1, 4)))))


def wal_bits(path: Path, dice: random.Random, old: Path) -> None:
    _flip(wal_of(path), dice, dice.randrange(wal_of(path).stat().st_size))


def put_back(path: Path, dice: random.Random, old: Path) -> None:
    """An older copy of the store; its witness stays."""
    for tail in TAILS:
        path.with_name(path.name + tail).unlink(missing_ok=True)
        if old.with_name(old.name + tail).exists():
            shutil.copyfile(old.with_name(old.name + tail), path.with_name(path.name + tail))


def nothing(path: Path, dice: random.Random, old: Path) -> None:
    """A kill alone."""


def older_witness(path: Path, dice: random.Random, old: Path) -> None:
    """A power cut before the kernel has written the newest one."""
    shutil.copyfile(old.parent / "agent.witness", path.parent / "agent.witness")


def half_a_witness(path: Path, dice: random.Random, old: Path) -> None:
    _flip(path.parent / "agent.witness", dice, dice.randrange(8192))


def no_witness(path: Path, dice: random.Random, old: Path) -> None:
    (path.parent / "agent.witness").unlink()


def _flip(path: Path, dice: random.Random, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


Damage = Callable[[Path, random.Random, Path], None]
DAMAGES: tuple[Damage, ...] = (
    empty, deleted, cut_at_a_page, cut_anywhere, wal_gone, wal_cut, wal_header, first_page, bits, wal_bits, put_back,
)  # fmt: skip
HARMLESS: tuple[Damage, ...] = (nothing, older_witness, half_a_witness, no_witness)


# --- judgement --------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    rows: dict[int, Any]
    letters: dict[int, str]
    facts: dict[str, dict[str, Any]]
    said: str
    """Of what is missing: the picture's words, or the log's."""


async def found_in(path: Path, caplog: pytest.LogCaptureFixture) -> Found:
    caplog.clear()
    store = await Store.open(path)
    try:
        rows = {r.seq: r.message for r in await store.oldest_rows(LINK, -1)}
        letters = {x.seq: x.reason for x in await store.list_dead_letters()}
        facts = await store.read_facts()
        said = store.lost or str(store.set_aside or "")
        said += "".join(r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR)
        await store.commit([], [(LINK, TransactionStarted("new", 1, Token("A"), Stamp(2, 1.0), 1))])
        newest = (await store.oldest_rows(LINK, -1))[-1]
        assert newest.message.session == "new", "a new message is not the last one"
        assert newest.seq > max([0, *rows, *letters])
    finally:
        await store.close()
    return Found(rows, letters, facts, said)


def judge(books: Books, found: Found, highest: int) -> None:
    damaged = {seq for seq, m in found.rows.items() if isinstance(m, UnreadableRecord)}
    again = books.delivered & set(found.rows)
    assert not again, f"delivered, and waiting again: {again}"
    for seq, message in found.rows.items():
        if seq not in damaged:
            assert message == books.messages.get(seq), f"place {seq} is not what was written"
    missing = set(books.waiting) - set(found.rows) - set(found.letters)
    stale = []
    for kind in ("session", "cache"):
        for key, value in found.facts.get(kind, {}).items():
            assert (kind, key, repr(value)) in books.ever, f"{kind}/{key} is not what was written"
            if books.facts.get((kind, key)) != value and not _is_renewal_lost(books, kind, key, value):
                stale.append(key)
    gone = [k for k in books.facts if k[1] not in found.facts.get(k[0], {})]
    if missing or stale or gone or damaged:
        assert found.said or damaged, f"in silence: {missing=} {stale=} {gone=}"
    ended = {s for record in found.facts.get("lost", {}).values() for s in record["ended"]}
    open_again = set(found.facts.get("session", {})) & books.over
    if found.facts.get("lost"):
        assert open_again <= ended, f"had ended, and would get the register of now: {open_again - ended}"


def _is_renewal_lost(books: Books, kind: str, key: str, value: Any) -> bool:
    """Return whether this is an open session with a register that it had since its last commit that was more."""
    return kind == "session" and (kind, key) in books.facts and value["last_wh"] >= books.registers[key]


async def one(
    folder: Path, dice: random.Random, damage: Damage, caplog: pytest.LogCaptureFixture
) -> tuple[Found, Books]:
    life = Life(folder / "live", dice)
    await life.begin()
    steps = dice.randrange(20, 120)
    early = dice.randrange(10, steps)
    old = folder / "old" / "agent.db"
    for n in range(steps):
        await life.step()
        if n == early:
            await life.copy(old.parent, *TAILS)
    path = await life.copy(folder / "cut", *TAILS)
    await life.store.close()
    damage(path, dice, old)
    found = await found_in(path, caplog)
    judge(life.books, found, life._highest())
    return found, life.books


@pytest.mark.campaign
async def test_nothing_is_lost_in_silence_doubled_or_distorted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    """Empty, deleted, cut at and between pages, the WAL gone, cut, with a damaged header, bits flipped in either, an
    older copy put back: what is missing is reported each time, and what had been delivered never waits again."""
    seen: Counter[str] = Counter()
    reported = 0
    for n in range(3000 if FULL else 44):
        dice = random.Random(f"{SEED}-{n}")
        folder = tmp_path / str(n)
        damage = DAMAGES[n % len(DAMAGES)]
        try:
            found, _ = await one(folder, dice, damage, caplog)
        except (AssertionError, StoreError, StoreRefused) as e:
            raise AssertionError(f"trial {n} of seed {SEED}, {damage.__name__}: {e}") from e
        seen[damage.__name__] += 1
        reported += bool(found.said)
        shutil.rmtree(folder)
    record_property("damages", dict(seen))
    record_property("reported", reported)
    assert len(seen) >= len(DAMAGES)
    assert reported > len(DAMAGES)


@pytest.mark.campaign
async def test_a_kill_and_an_older_witness_are_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No alarm without a loss: everything is there, nothing is put away."""
    for n in range(400 if FULL else 16):
        dice = random.Random(f"{SEED}-h{n}")
        folder = tmp_path / str(n)
        damage = HARMLESS[n % len(HARMLESS)]
        found, books = await one(folder, dice, damage, caplog)
        assert found.said == "", f"trial {n}, {damage.__name__}"
        assert sorted(set(found.rows) - books.leaving) == books.waiting, f"trial {n}, {damage.__name__}"
        assert found.letters == {}
        assert set(found.facts.get("session", {})) == {k for kind, k in books.facts if kind == "session"}
        shutil.rmtree(folder)
