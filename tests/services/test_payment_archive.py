"""Ten thousand payments of a station: what is exported is what was charged, and the comparison with the acquirer's file
finds every difference that was planted and invents none. The acquirer's side is reckoned by the test itself."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import payment_services
from agent.assembly.payment_queries import PAGE, answer_payments, payment_entry
from agent.assembly.payment_services import ArchiveUpkeep
from agent.commands import payment_export, payments
from agent.commands.payment_reconciliation import NAMES, Booking, _booking_of, bookings_of_station, find_differences
from agent.domain.blocks.payment_retention import FINISHED_MAX
from agent.domain.events import Event, FaultCleared, FaultRaised
from agent.domain.payment import DAY_S, Payment, PaymentTerms, PayState, payment_reference
from agent.domain.payment_journal import ARCHIVE
from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.payment_receipt import ReceiptTerms
from agent.domain.session_usage import Sum
from agent.domain.tariff import Tariff
from agent.model.bank_card import AcquirerRecord, BankCard
from agent.model.fastclass import replace
from agent.model.types import STATION, Fault, Stamp, Token, TokenType
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store
from agent.station_file.payment import remaining_terms
from agent.station_file.settings import load_station_file
from tests.support.busy_machine import deadline
from tests.support.card_shop import put_into_store, running_shop, write_station_file

COUNT = 10_000
BEGIN_S = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
TARIFF = Tariff(kwh=Decimal("0.49"), vat_percent=Decimal(17))
NAMED = {name: name for name in NAMES}
SALE = {"terminals": {0: (1,)}, "amount_cents": 6000}


def cents_of(wh: int) -> int:
    """0.49 per kWh, rounded half up: the test's own reckoning."""
    return int((Decimal(wh) * 49 / 1000).quantize(Decimal(1), ROUND_HALF_UP))


def stored(n: int, draw: random.Random) -> Payment:
    """A payment every four minutes of a month; each twentieth is released, each hundredth uncertain."""
    wh = draw.randint(1000, 90_000)
    usage = replace(TARIFF.start_usage(), sums=(Sum(wh, 0, 0),), at_ms=0, wh=wh)
    state = PayState.UNCERTAIN if n % 100 == 7 else PayState.VOIDED if n % 20 == 3 else PayState.COMMITTED
    cents = cents_of(wh)
    return Payment(
        id=f"{n:08x}-0000-4000-8000-{draw.getrandbits(48):012x}",
        terminal=0,
        token=Token(f"PY{n:012}", TokenType.DIRECT_PAYMENT),
        asked_cents=6000,
        at=Stamp(1, float(n)),
        state=state,
        card=BankCard("mark", "1234", "VISA"),
        evse=1,
        reservation=n + 1,
        serial=f"APO{n % 2}",
        held_cents=6000,
        session=f"s{n}",
        tariff=TARIFF,
        usage=usage,
        cents=None if state is PayState.VOIDED else cents,
        owed_cents=cents,
        utc_s=BEGIN_S + 240.0 * n,
        reviewed=True,
        acquirer=AcquirerRecord(f"HTR{n % 9000:06}", "00", f"SIM,{n:06}"),
        receipt=f"CHY42-7KQ2-{n:06}",
        settled_utc_s=BEGIN_S + 240.0 * n + 60.0,
    )


def booked(p: Payment, amount: int | None = None, **more: str) -> dict[str, str]:
    """A line of the acquirer's file. It calls a payment by its own reference of the transaction where that is not given
    twice, and otherwise as the station does."""
    cents = p.cents if amount is None else amount
    assert cents is not None
    own = p.acquirer.reference if 1000 <= int(p.token.value[2:]) < 9000 else p.token.value
    return {"Ref": own, "Brutto": f"{Decimal(cents) / 100:.2f}".replace(".", ","), "Waehrung": "EUR", **more}


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Payment]]:
    """A station file, and the payments in its store."""
    folder = tmp_path_factory.mktemp("month")
    station = folder / "station.toml"
    station.write_text(
        '[station]\nid = "CHY42"\nstate_dir = "state"\n[[evse]]\nnumber = 1\n[tariff]\nkwh = 0.49\n'
        '[terminal]\ndriver = "terminal_payter"\nhost = "127.0.0.1"\n[payment]\namount_cents = 6000\n'
    )
    draw = random.Random(2026)
    made = [stored(n, draw) for n in range(COUNT)]

    async def fill_store() -> None:
        (folder / "state").mkdir()
        store = await Store.open(folder / "state" / "agent.db")
        for begin in range(0, COUNT, 1000):
            await store.commit([
                Put(ARCHIVE if n < COUNT - FINISHED_MAX else "payment", made[n].id, made[n].to_record())
                for n in range(begin, begin + 1000)
            ])  # fmt: skip
        await store.close()

    asyncio.run(fill_store())
    return station, made


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    payments.add_arguments(parser)
    return payments.run(parser.parse_args(words))


def charged(made: Sequence[Payment]) -> list[Payment]:
    return [p for p in made if p.state is PayState.COMMITTED]


def test_ten_thousand_payments_fit_the_store_and_do_not_grow_the_start(month: tuple[Path, list[Payment]]) -> None:
    station, _ = month
    file = station.parent / "state" / "agent.db"
    assert file.stat().st_size < 24 * 2**20, "of the 32 MiB that a store has unless the file says otherwise"


async def test_a_start_reads_no_archive(month: tuple[Path, list[Payment]]) -> None:
    store = await Store.open(month[0].parent / "state" / "agent.db")
    try:
        facts = await store.read_facts()
        assert ARCHIVE not in facts
        assert len(facts["payment"]) == FINISHED_MAX
    finally:
        await store.close()


def test_everything_is_exported(month: tuple[Path, list[Payment]], capsys: pytest.CaptureFixture[str]) -> None:
    station, made = month
    assert command("export", str(station)) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(rows) == COUNT
    by_reference = {row["reference"]: row for row in rows}
    for p in made:
        row = by_reference[p.token.value]
        assert p.usage is not None
        due = p.cents if p.state is PayState.COMMITTED else 0
        assert row["charged"] == f"{Decimal(due or 0) / 100:.2f}"
        assert int(row["energy_wh"]) == p.usage.energy_wh
        assert Decimal(row["net"]) + Decimal(row["vat"]) == Decimal(row["charged"])
        assert (row["receipt"], row["host_reference"]) == (p.receipt, p.acquirer.reference)
        assert (row["last4"], row["acquirer_data"]) == ("1234", p.acquirer.data)


def test_the_totals_are_those_of_the_days_on_the_wall(
    month: tuple[Path, list[Payment]], capsys: pytest.CaptureFixture[str]
) -> None:
    station, made = month
    assert command("export", str(station), "--from", "2026-11-03", "--to", "2026-11-05", "--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    expected: dict[tuple[str, str], int] = Counter()
    for p in charged(made):
        assert p.settled_utc_s is not None
        assert p.cents is not None
        day = (datetime.fromtimestamp(p.settled_utc_s, UTC) + timedelta(hours=1)).date().isoformat()
        if "2026-11-03" <= day <= "2026-11-05":
            expected[day, p.serial] += p.cents
    assert {(t["day"], t["terminal"]): t["charged"] for t in shown["totals"]} == {
        key: f"{Decimal(cents) / 100:.2f}" for key, cents in expected.items()
    }
    assert len(shown["totals"]) == 6
    assert sum(Decimal(p["charged"]) for p in shown["payments"]) == Decimal(sum(expected.values())) / 100


def written(folder: Path, lines: list[dict[str, str]]) -> Path:
    path = folder / "acquirer.csv"
    with path.open("w", newline="") as target:
        writer = csv.DictWriter(target, ["Ref", "Brutto", "Waehrung", "Art"], delimiter=";", restval="")
        writer.writeheader()
        writer.writerows(lines)
    return path


COLUMNS = ("--columns", "reference=Ref,amount=Brutto,currency=Waehrung,type=Art", "--format", "json")


def test_an_honest_file_has_no_difference(
    month: tuple[Path, list[Payment]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station, made = month
    lines = [booked(p) for p in charged(made)]
    random.Random(1).shuffle(lines)
    assert command("reconcile", str(station), str(written(tmp_path, lines)), *COLUMNS) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_each_planted_difference_is_found_and_none_is_invented(
    month: tuple[Path, list[Payment]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station, made = month
    draw = random.Random(7)
    picked = iter(draw.sample(charged(made), 200))
    odd = iter(draw.sample([p for p in made if p.state is not PayState.COMMITTED], 40))
    lines = {p.id: [booked(p)] for p in charged(made)}
    planted: set[tuple[str, str]] = set()

    def plant(kind: str, count: int, source: Any = picked) -> list[Payment]:
        chosen = [next(source) for _ in range(count)]
        planted.update((kind, p.token.value) for p in chosen)
        return chosen

    for p in plant("missing", 25):
        del lines[p.id]
    for p in plant("amount", 25):
        assert p.cents is not None
        lines[p.id] = [booked(p, p.cents + draw.choice((-1, 1, 100, -37)))]
    for p in plant("twice", 20):
        lines[p.id] *= 2
    for p in plant("currency", 10):
        lines[p.id] = [booked(p, Waehrung="CHF")]
    for p in plant("refund", 15):
        lines[p.id].append(booked(p, Art="Refund"))
    for p in plant("not_charged", 20, odd):
        lines[p.id] = [booked(p, 100)]
    strange = [{"Ref": f"STRANGE{n}", "Brutto": "1,00", "Waehrung": "EUR"} for n in range(15)]
    planted.update(("unknown", line["Ref"]) for line in strange)
    rows = [line for of_one in lines.values() for line in of_one] + strange
    draw.shuffle(rows)
    assert command("reconcile", str(station), str(written(tmp_path, rows)), *COLUMNS) == 1
    found = [(d["kind"], d["reference"]) for d in json.loads(capsys.readouterr().out)]
    assert Counter(found) == Counter(planted)


def test_a_month_whose_last_day_is_booked_later_is_not_missing(
    month: tuple[Path, list[Payment]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of three days also has what was charged in the night before, and lacks the last evening."""
    station, made = month
    day_s = BEGIN_S + 2 * 86_400
    file = [booked(p) for p in charged(made) if day_s - 9000 <= (p.settled_utc_s or 0) < day_s + 3 * 86_400 - 9000]
    late = {
        p.token.value
        for p in charged(made)
        if day_s + 3 * 86_400 - 9000 <= (p.settled_utc_s or 0) < day_s + 3 * 86_400 - 3600
    }
    path = written(tmp_path, file)
    assert command("reconcile", str(station), str(path), "--from", "2026-11-03", "--to", "2026-11-05", *COLUMNS) == 1
    found = json.loads(capsys.readouterr().out)
    assert {d["reference"] for d in found} == late
    assert {d["kind"] for d in found} == {"missing"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("reference,amount\nX,1.234.00\n", "no amount"),
        ("reference,amount\nX,1.005\n", "no amount"),
        ("reference,amount\nX,1.000\n", "no amount"),
        ("reference,betrag\nX,1.00\n", "has no 'amount'"),
        ('[{"reference": "X", "amount": 1.00}, 7]', "is no object"),
        ("[{", "is no JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    month: tuple[Path, list[Payment]], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, wrong: str
) -> None:
    path = tmp_path / "file.txt"
    path.write_text(text)
    assert command("reconcile", str(month[0]), str(path)) == 2
    assert wrong in capsys.readouterr().err


def row_of(p: Payment) -> dict[str, Any]:
    return payment_export.export_rows([payment_entry(p.id, p.to_record())], "UTC", [])[0]


def test_what_a_file_may_say_otherwise_is_no_difference() -> None:
    """Currencies in small letters; the file of several stations; what the backend charges."""
    paid, left = stored(1, random.Random(1)), stored(2, random.Random(2))
    left = replace(left, state=PayState.LEFT_TO_CSMS)
    assert paid.cents is not None
    assert left.cents is not None
    bookings = [
        _booking_of("f:1", {"reference": paid.token.value, "amount": f"{paid.cents / 100:.2f}", "currency": "eur",
                            "terminal": "apo1"}, NAMED),
        _booking_of("f:2", {"reference": left.token.value, "amount": f"{left.cents / 100:.2f}"}, NAMED),
        _booking_of("f:3", {"reference": "ELSEWHERE", "amount": "1.00", "terminal": "OTHER"}, NAMED),
    ]  # fmt: skip
    rows = [row_of(paid), row_of(left)]
    ours = bookings_of_station(["APO1", "APO0"], bookings)
    assert len(ours) == 2
    assert find_differences(rows, [paid.token.value], ours) == []
    assert bookings_of_station(["APO1", ""], bookings) == bookings
    short = replace(ours[1], cents=ours[1].cents - 1)
    assert [d.kind for d in find_differences(rows, [], [ours[0], short])] == ["amount"]


def test_a_terminal_that_says_no_serial_number_may_be_any_of_the_file() -> None:
    paid = replace(stored(1, random.Random(1)), serial="", acquirer=AcquirerRecord("H1"))
    assert paid.cents is not None
    bookings = [Booking("f:2", "H1", paid.cents, "EUR", "SN9")]
    assert bookings_of_station([paid.serial], bookings) == bookings
    assert find_differences([row_of(paid)], [paid.token.value], bookings) == []
    other = replace(paid, serial="SN8")
    assert {d.kind for d in find_differences([row_of(other)], [other.token.value], bookings)} == {"missing", "unknown"}


def test_a_refund_belongs_to_the_payment_with_its_amount() -> None:
    """The acquirer has given one reference to three payments, of which the first was released."""
    made = [replace(stored(n, random.Random(n)), acquirer=AcquirerRecord("H1")) for n in (3, 4, 5)]
    rows = [row_of(p) for p in made]
    amounts = [p.cents for p in made]
    charges = [Booking("f", "H1", cents) for cents in amounts if cents]
    refund = Booking("f", "H1", -int(made[2].cents or 0))
    names = [p.token.value for p in made[1:]]
    found = find_differences(rows, names, [refund, *charges])
    assert [(d.kind, d.reference) for d in found] == [("refund", names[1])]


def test_payments_that_cannot_be_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Damaged on the disk, without a field, and with a tariff that is none."""
    path = write_station_file(tmp_path)
    made = [stored(n, random.Random(n)) for n in range(4)]
    records = [p.to_record() for p in made]
    del records[1]["held_cents"]
    records[2]["tariff"] = {"kwh": "much", "currency": "EUR"}
    asyncio.run(put_into_store(tmp_path, [Put(ARCHIVE, p.id, r) for p, r in zip(made, records, strict=True)]))
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "agent.db")) as db, db:
        db.execute("UPDATE facts SET body = substr(body, 9) WHERE key = ?", (made[0].id,))
    unread = {payment_reference("", made[0].id), payment_reference("", made[1].id), made[2].token.value}
    assert command("export", str(path)) == 1
    said = capsys.readouterr()
    assert {line.partition(":")[0] for line in said.err.splitlines()} == unread
    assert [row["reference"] for row in csv.DictReader(said.out.splitlines())] == [made[3].token.value]
    lines = [{"Ref": made[3].token.value, "Brutto": "1,00"}]
    assert command("reconcile", str(path), str(written(tmp_path, lines)), *COLUMNS) == 1
    assert unread <= {line.partition(":")[0] for line in capsys.readouterr().err.splitlines()}


def test_payments_without_a_clock_are_in_each_export_by_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_station_file(tmp_path)
    made = [stored(n, random.Random(n)) for n in (1, 400, 2)]
    undated = replace(made[2], utc_s=None, settled_utc_s=None)
    asyncio.run(put_into_store(tmp_path, [Put(ARCHIVE, p.id, p.to_record()) for p in (undated, *made[:2])]))
    days = [("2026-11-01", made[0]), ("2026-11-02", made[1])]
    for day, dated in days:
        of_day = ("export", str(path), "--from", day, "--to", day)
        assert command(*of_day) == 0
        said = capsys.readouterr()
        rows = list(csv.DictReader(said.out.splitlines()))
        assert [(r["day"], r["reference"]) for r in rows] == [
            (day, dated.token.value), ("undated", undated.token.value),
        ]  # fmt: skip
        assert said.err.startswith("1 payments have no day")
        assert command(*of_day, "--totals") == 0
        totals = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert [(t["day"], t["payments"]) for t in totals] == [(day, "1"), ("undated", "1")]
    assert command("export", str(path), "--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [p["day"] for p in shown["payments"]] == ["2026-11-01", "2026-11-02", "undated"]


# --- the questions of the status socket ------------------------------------------------------------------------------


async def test_an_answer_is_a_page(month: tuple[Path, list[Payment]]) -> None:
    """An agent answers between its events: none of its answers is long."""
    store = await Store.open(month[0].parent / "state" / "agent.db")
    try:
        question = {"do": "list", "names": None, "store": str(store.path.resolve()), "after": ""}
        seen: set[str] = set()
        sizes = []
        while True:
            said = await answer_payments(store, question)
            seen |= {p["id"] for p in said["payments"]}
            sizes.append(len(said["payments"]))
            question["after"] = said["next"]
            if not said["next"]:
                break
        assert len(seen) == sum(sizes) == COUNT
        assert max(sizes[1:]) <= PAGE
    finally:
        await store.close()


# --- what is deleted, and when ---------------------------------------------------------------------------------------


async def test_cards_and_payments_leave_the_archive_in_time(tmp_path: Path) -> None:
    draw = random.Random(3)
    made = [stored(n, draw) for n in range(450)]
    store = await Store.open(tmp_path / "agent.db")
    try:
        puts = [Put(ARCHIVE, p.id, p.to_record()) for p in made]
        puts += [
            Put(RECEIPT, p.token.value, {"number": p.receipt, "issued_utc_s": p.settled_utc_s, "cents": p.cents,
                                         "card": {"last4": "1234"}, "acquirer": {"reference": "R"}})
            for p in made
        ]  # fmt: skip
        await store.commit(puts)
        receipts = ReceiptTerms({}, "CHY42", card_s=DAY_S / 2, keep_s=2 * DAY_S)
        now_s = [BEGIN_S + 240.0 * 450]
        terms = PaymentTerms(6000, {0: (1,)}, keep_s=DAY_S, receipts=receipts)
        assert await ArchiveUpkeep(store, lambda: now_s[0], terms, [].append).clean_archive()
        kept, after = await store.read_fact_page(ARCHIVE, "", 1000)
        assert after == ""
        assert {r["token"]["value"] for r in kept.values()} == {
            p.token.value for p in made if now_s[0] - (p.settled_utc_s or 0) <= DAY_S
        }
        for r in kept.values():
            old = now_s[0] - r["settled_utc_s"] > DAY_S / 2
            assert (r["card"] == ["", "", ""], "acquirer" not in r) == (old, old)
            assert r["owed_cents"] == next(p.owed_cents for p in made if p.token.value == r["token"]["value"])
        papers, _ = await store.read_fact_page(RECEIPT, "", 1000)
        assert len(papers) == 450, "a receipt is kept longer than its payment"
        assert {p["number"] for p in papers.values() if p["card"]} == {
            p.receipt for p in made if now_s[0] - (p.settled_utc_s or 0) <= DAY_S / 2
        }
        now_s[0] += 3 * DAY_S
        await ArchiveUpkeep(store, lambda: now_s[0], terms, [].append).clean_archive()
        assert (await store.read_fact_page(RECEIPT, "", 10)) == ({}, "")
        assert not await ArchiveUpkeep(store, lambda: None, terms, [].append).clean_archive(), "no clock is known"
    finally:
        await store.close()


def sale_of_day(n: int, day: int) -> list[Put]:
    """A finished payment and its receipt."""
    p = replace(stored(n, random.Random(n)), settled_utc_s=BEGIN_S + day * DAY_S)
    receipt = {"number": p.receipt, "issued_utc_s": p.settled_utc_s, "tariff": TARIFF.to_record(), "seller": "S" * 500}
    return [Put(ARCHIVE, p.id, p.to_record()), Put(RECEIPT, p.token.value, receipt)]


async def test_a_store_that_fills_is_reported_in_time_and_the_oldest_sales_go_first(tmp_path: Path) -> None:
    """What is to be kept is not deleted, however full the store is."""
    events: list[Event] = []
    now_s, count = [BEGIN_S], 0
    receipts = ReceiptTerms({}, "CHY42", keep_s=20 * DAY_S)
    terms = PaymentTerms(6000, {0: (1,)}, keep_s=20 * DAY_S, receipts=receipts)
    store = await Store.open(tmp_path / "agent.db", 1)
    upkeep = ArchiveUpkeep(store, lambda: now_s[0], terms, events.append)
    try:
        while await store.used_share() < 0.8:
            await upkeep.judge_free_room()
            assert events == []
            await store.commit([put for n in range(10) for put in sale_of_day(count + n, 10 * (n % 2))])
            count += 10
        for day, raised, kept in ((11, [FaultRaised], count), (12, [], count), (21, [FaultCleared], count // 2)):
            now_s[0] = BEGIN_S + day * DAY_S
            assert await upkeep.clean_archive()
            await upkeep.judge_free_room()
            assert [type(e) for e in events] == raised
            assert all(e == type(e)(STATION, Fault.STORE_NEARLY_FULL) for e in events)
            events.clear()
            for kind in (ARCHIVE, RECEIPT):
                assert len((await store.read_fact_page(kind, "", 10_000))[0]) == kept
    finally:
        await store.close()


async def test_a_full_store_begins_no_payment_and_ends_those_that_run(tmp_path: Path) -> None:
    """Nothing that is kept is given up for it: neither a receipt nor a payment."""
    store = await Store.open(tmp_path / "agent.db", 1)
    payment = replace(stored(9_999, random.Random(1)), state=PayState.ACTIVE, receipt="")
    running = [Put("session", payment.session, {"evse": 1}), Put("payment", payment.id, payment.to_record())]
    try:
        await store.commit(running)
        for count in range(9_000):
            try:
                await store.commit(sale_of_day(count, 0))
            except StoreError:
                break
        assert await store.used_share() > 0.98
        begun = replace(payment, id="f" * 8, state=PayState.AUTH_PENDING)
        with pytest.raises(StoreError, match="full"):
            await store.commit([Put("payment", begun.id, {**begun.to_record(), "why": "x" * 9000})])
        over = [Put("session", payment.session, None), *sale_of_day(9_999, 0)[1:]]
        for state in (PayState.COMMIT_PENDING, PayState.COMMITTED):
            await store.commit([*over, Put("payment", payment.id, replace(payment, state=state).to_record())])
        assert (await store.read_fact("payment", payment.id) or {})["state"] == PayState.COMMITTED
        assert len((await store.read_fact_page(RECEIPT, "", 10_000))[0]) == count + 1
        assert len((await store.read_fact_page(ARCHIVE, "", 10_000))[0]) == count
        upkeep = ArchiveUpkeep(store, lambda: BEGIN_S + 300 * DAY_S, PaymentTerms(6000, {0: (1,)}), [].append)
        assert await upkeep.clean_archive(), "what is kept long enough leaves a full store, too"
        await store.commit([Put("payment", begun.id, begun.to_record())])
    finally:
        await store.close()


def archived_pair(n: int) -> list[Put]:
    p = stored(n, random.Random(n))
    receipt = {"issued_utc_s": p.settled_utc_s, "card": {"last4": "1234"}, "acquirer": {"reference": "R"}}
    return [Put(ARCHIVE, p.id, p.to_record()), Put(RECEIPT, p.token.value, receipt)]


@pytest.mark.parametrize("sells", [True, False])
async def test_without_its_table_no_record_is_deleted_and_the_cards_are(tmp_path: Path, sells: bool) -> None:
    """The file may have said ten years."""
    path = tmp_path / "station.toml"
    path.write_text('[station]\nid = "X"\n[[evse]]\nnumber = 1\n')
    terms = PaymentTerms(6000, {0: (1,)}, keep_s=3660 * DAY_S) if sells else remaining_terms(load_station_file(path))
    store = await Store.open(tmp_path / "agent.db")
    try:
        await store.commit(archived_pair(0))
        assert await ArchiveUpkeep(store, lambda: BEGIN_S + 3000 * DAY_S, terms, [].append).clean_archive()
        (kept,) = (await store.read_fact_page(ARCHIVE, "", 9))[0].values()
        (receipt,) = (await store.read_fact_page(RECEIPT, "", 9))[0].values()
        assert (kept["card"], receipt["card"]) == (["", "", ""], {})
    finally:
        await store.close()


async def test_a_station_that_sells_no_more_forgets_the_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LaterUpkeep(ArchiveUpkeep):
        def __init__(self, store: Store, utc_s: Any, terms: PaymentTerms, post: Any) -> None:
            super().__init__(store, lambda: BEGIN_S + 3000 * DAY_S, terms, post)

    monkeypatch.setattr(payment_services, "FIRST_S", 0.0)
    monkeypatch.setattr(payment_services, "ArchiveUpkeep", LaterUpkeep)
    path = write_station_file(tmp_path)
    path.write_text(path.read_text().partition("[tariff]")[0])
    puts = archived_pair(0)
    await put_into_store(tmp_path, puts)
    async with running_shop(path) as station, deadline(60):
        while (await station.store.read_fact(ARCHIVE, puts[0].key) or {})["card"] != ["", "", ""]:
            await asyncio.sleep(0.05)
