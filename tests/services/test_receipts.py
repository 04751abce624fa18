"""A paid session on its receipt: page, print, record, the bank's books and the signed reading say the same cents and
the same watt-hours, in each language. The page is served to who knows the reference."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tomllib
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.payment_queries import payment_entry
from agent.commands import payments
from agent.commands.receipt_pdf import receipt_pdf
from agent.domain.events import ContactorOpened, MeterKnown, MeterRead, VehicleLeft
from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.reading_purposes import end_reading
from agent.domain.tariff import Tariff
from agent.domain.terminal_messages import BankCardRead, CommitPayment, PaymentApproved, PaymentSettled
from agent.model.accepted_language import accepted_language
from agent.model.bank_card import AcquirerRecord, Settlement
from agent.model.types import MeterIdentity, SignedReading
from agent.ports.store import Put
from agent.services.receipts.receipt_document import receipt_document
from agent.services.receipts.receipt_html import receipt_page
from agent.services.receipts.receipt_texts import LANGUAGES
from drivers.sim.apollo.bank_records import FINE, Bank
from tests.audit.printed_pages import outside_the_margins, page_texts, squeezed
from tests.domain.playbook import LINK, Playbook, wh
from tests.domain.test_plays_payment import AMOUNT, CARD, PLUG, charge, energised, offer, till, unplugged
from tests.domain.test_plays_receipt import TERMS
from tests.support.busy_machine import stretched
from tests.support.card_shop import put_into_store, running_shop, write_station_file
from tests.support.domain_state import configure
from tests.support.record_signer import signing_in
from tests.support.simulated_station import held_port

ZONE = "Europe/Luxembourg"
AC = Tariff(kwh=Decimal("0.49"), minute=Decimal("0.025"), session=Decimal("0.35"), vat_percent=Decimal(17))
DC = Tariff(kwh=Decimal("0.653"), vat_percent=Decimal("14.5"))
BEGIN_WH, END_WH = 1000, 24_457
METER = MeterIdentity("Example", "M1", "S1", "1", 1.0, ("B",))
CONFIG = Path(__file__).parents[2] / "config" / "receipts"
TEXTS = {language: tomllib.loads((CONFIG / f"{language}.toml").read_text("utf-8")) for language in LANGUAGES}


class Sale:
    """One session, from the card to the bank's books. ``dc``: at a DC outlet whose meter signs; otherwise the station
    signs."""

    def __init__(self, folder: Path, dc: bool) -> None:
        folder.mkdir(exist_ok=True)
        self.bank = Bank(folder / "bank.json")
        signs = None if dc else signing_in(folder)
        play = till(
            tariff=DC if dc else AC, receipts=TERMS, settings={"sign_readings": True}, number="42", signs=signs,
            settlement_links=(LINK,),
        )  # fmt: skip
        if dc:
            configure(play.evse(), dc=True)
        play.feed(MeterKnown(1, METER))
        (play.skip() >> PLUG).skip()
        payment = offer(play)
        play.feed(BankCardRead(0, payment, CARD))
        hold = self.bank.place_hold(AMOUNT, 86_400, True)
        play.feed(PaymentApproved(0, payment, hold, AMOUNT, acquirer=AcquirerRecord("HTR77", "00", "SIM,004711")))
        energised(play.skip(), meter_wh=BEGIN_WH)
        for minute in range(1, 40):
            charge(play, BEGIN_WH + 600 * minute, 60.0)
        self._end(play, dc)
        (order,) = [o for o in play.log if isinstance(o, CommitPayment)]
        assert self.bank.commit_session(order.reservation, order.amount_cents) == FINE
        play.feed(PaymentSettled(0, payment, Settlement.DONE))
        ((self.reference, self.receipt),) = play.store[RECEIPT].items()
        self.payment = payment_entry(payment, play.store["payment"][payment])
        self.cost = play.ended()[-1].cost

    @staticmethod
    def _end(play: Playbook, dc: bool) -> None:
        if not dc:
            unplugged(play, END_WH)
            play.skip()
            return
        for event in (VehicleLeft(1), ContactorOpened(1)):
            play.feed(event)
        play.skip().wait(11).skip()
        record = {"RD": [{"RV": BEGIN_WH / 1000, "RU": "kWh"}, {"RV": END_WH / 1000, "RU": "kWh"}], "MS": "S1"}
        signed = SignedReading(f'OCMF|{json.dumps(record)}|{{"SD":"00ff"}}', public_key="3059301306072a86")
        reading = replace(wh(END_WH, at=play.now.stamp), signed=signed)
        play.feed(MeterRead(1, end_reading(play.evse().progress.end_try), reading))
        play.skip()

    @property
    def booked_cents(self) -> int:
        (capture,) = self.bank.ledger_rows()["captures"]
        return int(capture["cents"])

    def signed_wh(self) -> int:
        """The energy between the first and the last register of the signed record."""
        record = json.loads(self.receipt["signed"]["data"].split("|")[1])
        registers = [Decimal(str(one["RV"])) * {"Wh": 1, "kWh": 1000}[one["RU"]] for one in record["RD"]]
        return int(registers[-1] - registers[0])


class PageReader(HTMLParser):
    """Text and amounts of a page, read as a browser would."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.amounts: list[str] = []
        self.addresses: list[str] = []
        self.language = ""
        self._in_amount = self._is_text = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._in_amount = tag == "td" and found.get("class") == "amount"
        self._is_text = tag not in ("style", "title")
        if tag == "a":
            self.addresses.append(str(found["href"]))
        if tag == "html":
            self.language = str(found["lang"])

    def handle_data(self, data: str) -> None:
        if self._is_text:
            self.lines.append(data)
        if self._in_amount:
            self.amounts.append(data)


def said_amount(cents: int, language: str) -> str:
    """The test's own way to write an amount."""
    return f"{Decimal(cents) / 100:.2f} EUR".replace(".", "." if language == "en" else ",")


def read_cents(text: str) -> int:
    return int(Decimal(text.removesuffix(" EUR").replace(",", ".")) * 100)


@pytest.fixture(scope="module", params=["AC", "DC"])
def sale(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sale:
    return Sale(tmp_path_factory.mktemp("sale") / request.param, request.param == "DC")


def test_record_books_cost_and_signed_reading_agree(sale: Sale) -> None:
    receipt = sale.receipt
    assert receipt["cents"] == sale.booked_cents == sale.payment["cents"] == sale.cost.cents
    assert receipt["energy_wh"] == END_WH - BEGIN_WH == sale.signed_wh() == sale.cost.energy_wh
    assert receipt["end_wh"] - receipt["begin_wh"] == receipt["energy_wh"]
    assert sum(c["cents"] for c in receipt["components"]) == receipt["cents"]
    assert receipt["net_cents"] + receipt["vat_cents"] == receipt["cents"]
    exact = sum(
        Decimal(rate) * 100 * count / {"Wh": 1000, "ms": 60_000, "1": 1}[unit]
        for component in receipt["components"]
        for rate, count, unit in component["rates"]
    )
    assert abs(exact - receipt["cents"]) <= Decimal("0.5"), "rounded once"


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_and_print_say_what_the_record_says(sale: Sale, language: str) -> None:
    receipt = sale.receipt
    document = receipt_document(receipt, sale.payment, language, ZONE)
    page = PageReader(receipt_page(document, "x.pdf"))
    printed = "".join(page_texts(receipt_pdf(document)))
    *parts, total, net, vat = page.amounts
    assert page.language == language
    assert [read_cents(text) for text in parts] == [c["cents"] for c in receipt["components"]]
    assert read_cents(total) == sale.booked_cents
    assert (read_cents(net), read_cents(vat)) == (receipt["net_cents"], receipt["vat_cents"])
    energy = f"{Decimal(END_WH - BEGIN_WH) / 1000} kWh".replace(".", "." if language == "en" else ",")
    wanted = [
        TEXTS[language]["title"], receipt["number"], sale.reference, "Energy SA", "LU12345678", energy,
        said_amount(sale.booked_cents, language), said_amount(receipt["vat_cents"], language), "**** 1234", "VISA",
        "HTR77", "SIM,004711", receipt["signed"]["data"], "LU*CHY*E42*1",
        TEXTS[language]["states"]["paid"].partition("{")[0].strip(),
    ]  # fmt: skip
    for text in wanted:
        assert text in page.lines or any(text in line for line in page.lines), text
        assert squeezed(text) in printed, text
    assert page.amounts[-3:] == [said_amount(receipt[k], language) for k in ("cents", "net_cents", "vat_cents")]


def test_the_print_is_within_its_margins_and_reproducible(sale: Sale) -> None:
    document = receipt_document(sale.receipt, sale.payment, "fr", ZONE)
    printed = receipt_pdf(document)
    assert outside_the_margins(printed) == []
    assert printed == receipt_pdf(document)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("CommitPending", "pending"),
        ("Voided", "released"),
        ("WrittenOff", "written_off"),
        ("Uncertain", "uncertain"),
    ],
)
def test_a_receipt_says_what_has_become_of_the_money(sale: Sale, state: str, text: str) -> None:
    document = receipt_document(sale.receipt, {**sale.payment, "state": state}, "de", ZONE)
    assert document.state == TEXTS["de"]["states"][text]
    assert receipt_document(sale.receipt, None, "de", ZONE).state == ""
    if state == "Uncertain":
        given_up = receipt_document(sale.receipt, {**sale.payment, "state": state, "cents": 0}, "de", ZONE)
        assert given_up.state == TEXTS["de"]["states"]["written_off"]


def test_nothing_of_a_record_becomes_markup(sale: Sale) -> None:
    evil = '<script>alert("x")</script>'
    seller = {**sale.receipt["seller"], "name": evil}
    receipt = {**sale.receipt, "seller": seller, "acquirer": {"data": evil}, "card": {"brand": evil, "last4": "1234"}}
    page = receipt_page(receipt_document(receipt, sale.payment, "en", ZONE), "")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3


def flat(table: dict[str, Any], head: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        found |= flat(value, f"{head}{key}.") if isinstance(value, dict) else {head + key: value}
    return found


def test_the_languages_have_the_same_texts_and_places() -> None:
    shapes = {
        language: {key: sorted(re.findall(r"{\w+}", text)) for key, text in flat(table).items()}
        for language, table in TEXTS.items()
    }
    assert all(shape == shapes["en"] for shape in shapes.values())
    names = [flat(table)["title"] for table in TEXTS.values()]
    assert len(set(names)) == len(names)


def test_the_language_of_a_browser() -> None:
    assert accepted_language("lb-LU,fr;q=0.8", LANGUAGES) == "lb"
    assert accepted_language("es, fr;q=0.2, de;q=0.9", LANGUAGES) == "de"
    assert accepted_language("en;q=0, xx", LANGUAGES) == ""
    assert accepted_language("fr;q=much", LANGUAGES) == ""


# --- served by a station ---------------------------------------------------------------------------------------------


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def fetched(port: int, path: str, *fields: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(stretched(60)):
        head = "\r\n".join((f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "\r\n"))
        writer.write(head.encode())
        answer = await reader.read()
    writer.close()
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_a_station_serves_page_and_print(sale: Sale, tmp_path: Path) -> None:
    with held_port() as port:
        path = write_station_file(tmp_path, port)
        await put_into_store(tmp_path, [Put(RECEIPT, sale.reference, sale.receipt)])
        async with running_shop(path):
            async with asyncio.timeout(stretched(60)):
                while not await is_open(port):
                    await asyncio.sleep(0.05)
            await look_at_receipt(port, sale)


async def look_at_receipt(port: int, sale: Sale) -> None:
    status, fields, body = await fetched(port, f"/r/{sale.reference}", "Accept-Language: lb")
    assert status == 200
    page = PageReader(body.decode())
    assert page.language == "lb"
    assert read_cents(page.amounts[-3]) == sale.booked_cents
    assert fields["Cache-Control"] == "no-store"
    assert "default-src 'none'" in fields["Content-Security-Policy"]
    (pdf,) = [a for a in page.addresses if ".pdf" in a]
    status, fields, body = await fetched(port, f"/r/{pdf}")
    assert (status, fields["Content-Type"]) == (200, "application/pdf")
    assert squeezed(said_amount(sale.booked_cents, "lb")) in "".join(page_texts(body))
    german = (await fetched(port, f"/r/{sale.reference}?lang=de", "Accept-Language: lb"))[2]
    assert PageReader(german.decode()).language == "de"
    for wrong in ("/r/PY000000000000", "/r/", "/", "/r/../agent.db", "/metrics", f"/r/{sale.reference}.exe"):
        assert (await fetched(port, wrong))[0] == 404, wrong


def test_a_person_prints_a_receipt(sale: Sale, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While no agent runs: of the store itself."""
    station = write_station_file(tmp_path)
    asyncio.run(put_into_store(tmp_path, [Put(RECEIPT, sale.reference, sale.receipt)]))
    parser = argparse.ArgumentParser()
    payments.add_arguments(parser)
    assert payments.run(parser.parse_args(["receipt", str(station), sale.reference])) == 0
    assert json.loads(capsys.readouterr().out) == sale.receipt
    pdf = tmp_path / "receipt.pdf"
    words = ["receipt", str(station), sale.reference, "--language", "fr", "--pdf", str(pdf)]
    assert payments.run(parser.parse_args(words)) == 0
    assert squeezed(said_amount(sale.booked_cents, "fr")) in "".join(page_texts(pdf.read_bytes()))
    assert payments.run(parser.parse_args(["receipt", str(station), "PY000000000000"])) == 1
