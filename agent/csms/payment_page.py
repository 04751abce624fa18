"""The payment page of the demonstration: the target of a QR code on a display (``chargy-agent csms --pay``).

It sets up one-time codes at each station that offers them (``payment_words.py``). It checks the codes by its own
calculation: of the present time slot and its neighbours, each code once. It reserves the outlet during the payment,
starts the charge and shows the cost, on the page and on the station's display, the receipt as a code.
No money is involved.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from agent.csms.errors import NotConnected
from agent.csms.payment_page_texts import PAGE_TEXTS, PaymentPageTexts
from agent.csms.payment_words import PaymentWords, Visit
from agent.model.accepted_language import accepted_language

if TYPE_CHECKING:
    from agent.csms.central_system import Central
    from agent.csms.station_records import Transaction

VALIDITY_S, LENGTH, HOLD_S = 30, 8, 60
"""Seconds of real time. A simulation that runs faster multiplies them by its rate."""
SYMBOLS = "".join(map(chr, [*range(48, 58), *range(97, 123), *range(65, 91)]))
OUTLETS_MOST = 4
HELD_EURO = 50
"""What a charge may cost at most: no bank is asked here."""
LIMITS = {"maxtime": "max_time", "maxenergy": "max_energy", "maxcost": "max_cost"}
"""Parameters of an address, and what they are as limits of a transaction."""
QUERY_MOST = 200
"""Characters of a query that are looked at."""
LOOK_S = 0.2
SEE_OTHER = 303


class PayDesk:
    """``rate``: how fast the stations' clocks run. ``apart``: they differ from this machine's clock, whatever the rate.
    ``pay_at``: the address of this page from outside; "": this server."""

    def __init__(
        self, central: Central, euro_kwh: float, rate: float = 1.0, apart: bool = False, pay_at: str = ""
    ) -> None:
        self._central, self._euro_kwh, self._rate = central, Decimal(str(euro_kwh)), rate
        self._apart, self._pay_at = apart or rate != 1.0, pay_at.rstrip("/")
        self._base = urlsplit(self._pay_at).path
        """What stands before ``/pay/`` where a driver's browser sends its requests; the requests come without it."""
        self._secrets: dict[tuple[str, int], str] = {}
        self._used: set[tuple[str, int, str]] = set()
        self._visits: dict[str, Visit] = {}
        self._words: dict[str, PaymentWords] = {}
        """By station."""
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def _validity_s(self) -> int:
        return min(3600, round(VALIDITY_S * self._rate))

    @property
    def _hold_s(self) -> int:
        return min(300, round(HOLD_S * self._rate))

    def set_rate(self, rate: float) -> None:
        """Change the rate from now on. A station uses the new validity after its next boot."""
        for record in self._central.ledger.stations.values():
            record.clock = (self._station_time_s(record.id), time.time())
        self._rate, self._apart = rate, True

    # --- the stations ------------------------------------------------------------------------------------------------

    async def set_up_codes(self, station: str, words: PaymentWords) -> None:
        """Wait for the boot of the station and give every outlet that offers codes a secret of its own."""
        self._words[station] = words
        boots = self._central.ledger.station_record(station)
        before = boots.boots
        async with asyncio.timeout(60):
            while boots.boots == before:  # noqa: ASYNC110  the ledger has no event for this
                await asyncio.sleep(0.05)
        for number in range(OUTLETS_MOST + 1):
            await self._set_up_outlet(station, number)

    async def _set_up_outlet(self, station: str, number: int) -> None:
        words = self._words[station]
        if not await words.offers_codes(station, number):
            return
        secret = secrets.token_urlsafe(18)
        values = {
            "URLTemplate": self._page_address() + "/pay/{chargingStationId}/{evse}/{totp}/{version}",
            "ValidityTime": str(self._validity_s),
            "Length": str(LENGTH),
            "SharedSecret": secret,
            "Enabled": "true",
        }
        for name, value in values.items():
            status = await words.set_code_variable(station, number, name, value)
            if status != "Accepted":
                self._central.print_line(f"{station}: WebPaymentsCtrlr {number} {name} was {status}: no codes there")
                return
        self._secrets[station, number] = secret

    def _page_address(self) -> str:
        return self._pay_at or f"http://{self._central.options.host}:{self._central.port}"

    # --- what the display says ---------------------------------------------------------------------------------------

    async def _send_costs(self, number: str, visit: Visit) -> None:
        """Send the cost of one charge with each new reading, and once the total with its receipt.

        A station that does not show the costs of a backend (``cost_display``) refuses, which is correct.
        """
        last_shown: tuple[int, bool] | None = None
        while last_shown is None or not last_shown[1]:
            await asyncio.sleep(LOOK_S)
            charge = self._find_transaction(visit)
            if charge is None or last_shown == (now := (_energy_wh(charge), charge.stopped is not None)):
                continue
            cost, words = float(self._transaction_cost(charge)), self._words[visit.station]
            with contextlib.suppress(NotConnected, TimeoutError, ValueError):
                if now[1]:
                    await words.send_final_cost(visit, charge, cost, self._receipt_address(number))
                else:
                    await words.send_running_cost(visit, charge, cost, float(self._euro_kwh))
                last_shown = now

    def _receipt_address(self, number: str) -> str:
        return f"{self._page_address()}/pay/at/{number}"

    def payment_answer(self, transaction_id: object, kind: str) -> dict[str, Any]:
        """Return what the answer to a transaction event of OCPP 2.1 says besides of a charge that was paid here: what
        it may cost at most (C25.FR.24), and in the end what it has cost, with its receipt (C25.FR.41)."""
        charge = next(
            (t for t in self._central.ledger.transactions.values() if t.transaction_id == transaction_id), None
        )
        number = next((n for n, v in self._visits.items() if charge is not None and v.tag == charge.id_tag), None)
        if charge is None or number is None:
            return {}
        if kind == "Started":
            return {"transaction_limit": _limits_of_charge(self._visits[number])}
        if kind != "Ended":
            return {}
        receipt = {"format": "URI", "content": self._receipt_address(number)}
        return {"total_cost": float(self._transaction_cost(charge)), "updated_personal_message": receipt}

    def _find_transaction(self, visit: Visit) -> Transaction | None:
        return next((t for t in self._central.ledger.transactions.values() if t.id_tag == visit.tag), None)

    # --- the page ----------------------------------------------------------------------------------------------------

    async def answer_page_request(self, path: str, post: bool, query: str = "", accepted: str = "") -> tuple[int, str]:
        """Return status and HTML of ``/pay/...``. Status 303 comes with the path of the next page. ``query``: what the
        driver has chosen at the station as the most (C25.FR.59); other parameters are ignored. ``accepted``: the
        browser's ``Accept-Language``.

        Only a POST changes something: previews and reloads send a GET.
        """
        texts = PaymentPageTexts(accepted_language(accepted, PAGE_TEXTS) or "en")
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["pay", "do" | "not" as wish, number] if number in self._visits:
                if post:
                    await (self._start_charging if wish == "do" else self._give_up)(number, self._visits[number])
                return SEE_OTHER, f"{self._base}/pay/at/{number}"
            case ["pay", "at", number] if number in self._visits:
                return 200, self._progress_page(texts, number, self._visits[number])
            case ["pay", station, connector, code, "v1"] if len(connector) < 4 and connector.isdecimal():
                return await self._open_visit(texts, station, int(connector), code, post, parse_limits(query))
            case _:
                return 404, _refusal_page(texts, "unknown")

    async def _open_visit(
        self,
        texts: PaymentPageTexts,
        station: str,
        connector: int,
        code: str,
        post: bool,
        limits: Mapping[str, float],
    ) -> tuple[int, str]:
        secret = self._secrets.get((station, connector)) or self._secrets.get((station, 0))
        if secret is None or not any(hmac.compare_digest(code.encode(), c) for c in self._valid_codes(secret, station)):
            return 403, _refusal_page(texts, "invalid")
        if (station, connector, code) in self._used:
            return 410, _refusal_page(texts, "used")
        if not post:
            chosen = urlencode({name: f"{most:g}" for name, most in limits.items()})
            path = f"{self._base}/pay/{quote(station, safe='')}/{connector}/{code}/v1{chosen and '?'}{chosen}"
            button = _form_button(path, texts.text_of("continue"))
            body = f"{self._price_html(texts)}{_limits_html(texts, limits)}<p>{button}</p>"
            return 200, _html_page(texts, _page_title(texts, station, connector), body)
        self._used.add((station, connector, code))
        visit = Visit(station, connector, "WP" + secrets.token_hex(6).upper(), limits=limits)
        if not await self._words[station].announce_payment(visit, self._hold_s):
            return 409, _refusal_page(texts, "in_use")
        number = secrets.token_urlsafe(9)
        self._visits[number] = visit
        return SEE_OTHER, f"{self._base}/pay/at/{number}"

    async def _start_charging(self, number: str, visit: Visit) -> None:
        if visit.paid or visit.refusal:
            return
        visit.paid = True
        words = self._words[visit.station]
        if not await words.start_charging(visit):
            visit.refusal = "not_started"
            await words.withdraw_payment(visit)
            return
        telling = asyncio.create_task(self._send_costs(number, visit))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _give_up(self, number: str, visit: Visit) -> None:
        if visit.paid or visit.refusal:
            return
        visit.refusal = "cancelled"
        await self._words[visit.station].withdraw_payment(visit)

    def _price_html(self, texts: PaymentPageTexts) -> str:
        return f"<p class=price>{texts.text_of('price', price=texts.figure_text(f'{self._euro_kwh:.2f}'))}</p>"

    def _progress_page(self, texts: PaymentPageTexts, number: str, visit: Visit) -> str:
        if visit.refusal:
            return _html_page(texts, texts.text_of(visit.refusal), texts.text_of("nothing_taken"))
        if not visit.paid:
            buttons = _form_button(f"{self._base}/pay/do/{number}", texts.text_of("pay")) + _form_button(
                f"{self._base}/pay/not/{number}", texts.text_of("cancel"), "quiet"
            )
            kept = f"<p>{texts.text_of('kept')}</p>"
            body = f"{self._price_html(texts)}{_limits_html(texts, visit.limits)}{kept}{buttons}"
            return _html_page(texts, _page_title(texts, visit.station, visit.connector), body)
        charge = self._find_transaction(visit)
        if charge is None:
            return _html_page(texts, texts.text_of("waiting"), texts.text_of("plug_in"), again=True)
        cost, energy_kwh = self._transaction_cost(charge), _energy_wh(charge) / 1000
        rows = texts.figure_text(f"<p class=price>{cost:.2f} €</p><p>{energy_kwh:.3f} kWh</p>")
        if charge.stopped is None:
            return _html_page(texts, texts.text_of("charging"), rows, again=True)
        period = texts.text_of("period", begin=html.escape(str(charge.started)), end=html.escape(charge.stopped))
        return _html_page(texts, texts.text_of("receipt"), f"{rows}<p>{period}</p>")

    def _valid_codes(self, secret: str, station: str) -> list[bytes]:
        """Return the codes of the present slot, the one before and the one after (clocks differ)."""
        now = int(self._station_time_s(station)) // self._validity_s
        return [_one_time_code(secret, (now + step) & 0xFFFFFFFFFFFFFFFF).encode() for step in (-1, 0, 1)]

    def _station_time_s(self, station: str) -> float:
        """Return the time of a station. If its clock differs, its last status shows its time."""
        if not self._apart:
            return time.time()
        told_utc_s, heard_s = self._central.ledger.station_record(station).clock
        return told_utc_s + (time.time() - heard_s) * self._rate

    def _transaction_cost(self, charge: Transaction) -> Decimal:
        return (self._euro_kwh * _energy_wh(charge) / 1000).quantize(Decimal("0.01"), ROUND_HALF_UP)


def parse_limits(query: str) -> dict[str, float]:
    """Return what the parameters of an address limit: ``maxtime`` (s), ``maxenergy`` (Wh), ``maxcost`` (euro)."""
    limits = {}
    for name, text in parse_qsl(query[:QUERY_MOST]):
        with contextlib.suppress(ValueError):
            if name in LIMITS and 0 < (most := float(text)) < 10**9:
                limits[name] = most
    return limits


def _limits_of_charge(visit: Visit) -> dict[str, float]:
    """Return the limits of the transaction that was paid for: what is held, and what the driver has chosen."""
    limits = {LIMITS[name]: most for name, most in visit.limits.items()}
    whole = {name: int(most) for name, most in limits.items() if name != "max_cost"}
    return {**whole, "max_cost": min(float(HELD_EURO), limits.get("max_cost", float(HELD_EURO)))}


def _limits_html(texts: PaymentPageTexts, limits: Mapping[str, float]) -> str:
    """Return what the driver has chosen, to be read before the payment."""
    units = (("maxenergy", 1000, "kWh"), ("maxtime", 60, "min"), ("maxcost", 1, "€"))
    chosen = [f"{limits[name] / scale:g} {unit}" for name, scale, unit in units if name in limits]
    return f"<p>{texts.text_of('limits', limits=texts.figure_text(', '.join(chosen)))}</p>" if chosen else ""


def _energy_wh(charge: Transaction) -> int:
    return charge.last_wh - charge.meter_start_wh if charge.energy_wh is None else charge.energy_wh


def _one_time_code(secret: str, counter: int) -> str:
    mac = hmac.new(secret.encode("utf-8"), counter.to_bytes(8), hashlib.sha256).digest()
    first = mac[31] % 16
    turned = mac[first:] + mac[:first]
    return "".join(SYMBOLS[turned[i % 32] % 62] for i in range(LENGTH))


def _page_title(texts: PaymentPageTexts, station: str, connector: int) -> str:
    return texts.text_of("title", station=html.escape(station), outlet=connector)


def _form_button(path: str, text: str, look: str = "pay") -> str:
    return f'<form method=post action="{html.escape(path)}"><button class={look}>{text}</button></form>'


def _refusal_page(texts: PaymentPageTexts, refusal: str) -> str:
    """Return a page that says what is wrong and what to do."""
    return _html_page(texts, texts.text_of(refusal), texts.text_of(f"{refusal}_do"))


def _html_page(texts: PaymentPageTexts, title: str, body: str, again: bool = False) -> str:
    """Return a page. ``again``: it reloads every second."""
    reload = "<meta http-equiv=refresh content=1>" if again else ""
    return (
        f"<!doctype html><html lang={texts.language}><meta charset=utf-8>{reload}"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>body{{font:20px system-ui;margin:2em auto;max-width:24em;padding:0 1em}}"
        ".price{font-size:2em;margin:.3em 0}button{font:inherit;padding:.6em 1em;margin:.2em 0;border-radius:.4em;"
        "border:2px solid #0a5c36;background:none;color:#0a5c36}button.pay{background:#0a5c36;color:#fff}"
        f"</style><main><h1>{title}</h1>{body}"
        f"<p><small>{texts.text_of('demonstration')}</small></p></main></html>"
    )
