"""The signing side of a Carlo Gavazzi EM580 (registers 0x6900 to 0x7900 of its protocol; one source, unproven on
hardware): it takes the driver's idToken, begins and ends a transaction, and shows the record as text in registers.

Our name of a transaction stands behind the price in its tariff text, which is written while none is open: so it can be
read back. The record stays until it is confirmed, which is done when the next transaction begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.model import json_limits
from agent.model.meter_signing import Signing, named_in, tariff_text
from agent.model.types import SignedReading
from agent.ports import Broken, Garbled, Refused
from drivers.bus import ModbusLine, Priority

SIGNATURE_KIND, KEY = 0x24FF, 0x2600
TARIFF, ASSIGNED, LEVEL, FLAGS, ID_TYPE, HOLDER = 0x6900, 0x7000, 0x7001, 0x7002, 0x7006, 0x7007
POINT_KIND, POINT, CLOCK, MODALITY, COMMAND, STATE, FILE = 0x701B, 0x701C, 0x7032, 0x7036, 0x7040, 0x7100, 0x7110
IDLE, RUNNING, READY, CORRUPTED = range(4)
BEGIN, END = 0x42, 0x45
CBIDC = 1
TARIFF_WORDS = 60
"""119 characters and the zero behind them: what one transfer can carry, of the 252 that the meter has room for."""
MOST_WORDS = 2031
LONGEST = 120
STEP_S, STEPS = 0.1, 20
"""How long a state may take to come."""

METHODS = {0: ("ECDSA-brainpool256r1-SHA256", 46), 1: ("ECDSA-brainpool384r1-SHA256", 62)}
"""By the kind of signature: its name, and how many registers the key has."""
LEVELS = (
    "NONE", "HEARSAY", "TRUSTED", "VERIFIED", "CERTIFIED", "SECURE", "MISMATCH", "INVALID", "OUTDATED", "UNKNOWN",
)  # fmt: skip
FLAG_GROUPS = (
    ("RFID_NONE", "RFID_PLAIN", "RFID_RELATED", "RFID_PSK"),
    ("OCPP_NONE", "OCPP_RS", "OCPP_AUTH", "OCPP_RS_TLS", "OCPP_AUTH_TLS", "OCPP_CACHE", "OCPP_WHITELIST",
     "OCPP_CERTIFIED"),
    ("ISO15118_NONE", "ISO15118_PNC"),
    ("PLMN_NONE", "PLMN_RING", "PLMN_SMS"),
)  # fmt: skip
ID_TYPES = {
    "NONE": 0, "DENIED": 1, "UNDEFINED": 2, "ISO14443": 10, "ISO15693": 11, "EMAID": 20, "EVCCID": 21, "EVCOID": 30,
    "ISO7812": 40, "CARD_TXN_NR": 50, "CENTRAL": 60, "CENTRAL_1": 61, "CENTRAL_2": 62, "LOCAL": 70, "LOCAL_1": 71,
    "LOCAL_2": 72, "PHONE_NUMBER": 80, "KEY_CODE": 90,
}  # fmt: skip


class Em580:
    """``drivers.meter_signing.Transactions``."""

    def __init__(self, line: ModbusLine, unit: int) -> None:
        self._line, self._unit = line, unit
        self._method, self._key = "", ""

    async def open_transaction(self) -> str | None:
        state, _ = await self._read_state()
        return named_in(text_of_words(await self._read_registers(TARIFF, TARIFF_WORDS))) if state == RUNNING else None

    async def set_clock(self, utc_s: float) -> None:
        whole = int(utc_s)
        await self._write_registers(CLOCK, [whole >> shift & 0xFFFF for shift in (0, 16, 32, 48)])

    async def start_transaction(self, signing: Signing, utc_s: float | None) -> None:
        await self._confirm_last_record()
        for address, words in _signing_registers(signing):
            await self._write_registers(address, words)
        try:
            await self._write_registers(COMMAND, [BEGIN])
        except Refused:
            pass  # sent twice, since the first answer was lost: the state shows what became of it
        await self._wait_for_state(
            RUNNING, "it does not begin a transaction: is its memory full, or its clock not set?"
        )

    async def _confirm_last_record(self) -> None:
        """Confirm that the last record has been taken."""
        if (await self._read_state())[0] != IDLE:
            await self._write_registers(STATE, [IDLE])
            await self._wait_for_state(IDLE, "it holds on to its last transaction")

    async def stop_transaction(self, name: str) -> None:
        try:
            await self._write_registers(COMMAND, [END])
        except Refused:
            if (await self._read_state())[0] == RUNNING:
                raise

    async def read_record(self, name: str, just_ended: bool) -> SignedReading | None:
        state, words = await self._read_state()
        if state == RUNNING:
            raise Refused(f"{self._place_name}: the transaction still runs")
        if state == IDLE and just_ended:
            raise Refused(f"{self._place_name}: its record is not ready")
        if state != READY:
            return None
        data = await self._read_record_text(words)
        if name not in data:
            return None
        method, key = await self._read_public_key()
        return SignedReading(data, method=method, public_key=key)

    async def _read_record_text(self, words: int) -> str:
        """Read the record twice: RTU cannot distinguish late answers, and only the backend checks the record."""
        if not 0 < words <= MOST_WORDS:
            raise Garbled(f"{self._place_name}: its record has {words} registers, at most {MOST_WORDS} are there")
        first, second = await self._read_record_words(words), await self._read_record_words(words)
        if first != second:
            raise Refused(f"{self._place_name}: two looks at the record differ")
        return _check_whole_record(first, self._place_name)

    async def _read_record_words(self, count: int) -> list[int]:
        """Read the record in blocks of different lengths: the late answer to one cannot pass for the other."""
        found: list[int] = []
        longest = LONGEST
        while len(found) < count:
            found += await self._read_registers(FILE + len(found), min(longest, count - len(found)))
            longest -= 1
        return found

    async def _read_public_key(self) -> tuple[str, str]:
        if not self._key:
            [kind] = await self._read_registers(SIGNATURE_KIND, 1)
            if kind not in METHODS:
                raise Broken(
                    f"{self._place_name}: it has no key to sign with (kind {kind}); a meter of another order code?"
                )
            self._method, count = METHODS[kind]
            raw = octets_of_words(await self._read_registers(KEY, count))
            self._key = raw[: 2 + raw[1]].hex() if raw[0] == 0x30 else ""
        return self._method, self._key

    async def _wait_for_state(self, state: int, otherwise: str) -> None:
        for _ in range(STEPS):
            if (await self._read_state())[0] == state:
                return
            await asyncio.sleep(STEP_S)
        raise Refused(f"{self._place_name}: {otherwise}")

    async def _read_state(self) -> tuple[int, int]:
        """Read the state and the length of the record in registers. The third register makes the length of this read
        unique."""
        state, size, _ = await self._read_registers(STATE, 3)
        return state, size

    async def _read_registers(self, address: int, count: int) -> list[int]:
        return await self._line.read_registers(self._unit, 3, address, count, Priority.BILLING)

    async def _write_registers(self, address: int, words: Sequence[int]) -> None:
        await self._line.write_registers(self._unit, address, words, Priority.BILLING)

    @property
    def _place_name(self) -> str:
        return f"{self._line.settings.name}: unit {self._unit}"


def _signing_registers(signing: Signing) -> list[tuple[int, list[int]]]:
    """Return the registers to write before a begin, field by field, as the meter is known to take them."""
    return [
        (ASSIGNED, [int(signing.assigned)]),
        (LEVEL, [LEVELS.index(signing.level)]),
        (FLAGS, [next((g.index(f) for f in signing.flags if f in g), 0) for g in FLAG_GROUPS]),
        (ID_TYPE, [ID_TYPES.get(signing.id_type, ID_TYPES["UNDEFINED"])]),
        (HOLDER, text_words(signing.holder, 20)),
        (POINT_KIND, [CBIDC]),
        (POINT, text_words(signing.point, 20)),
        (TARIFF, text_words(tariff_text(signing.price, signing.id, 2 * TARIFF_WORDS - 1), TARIFF_WORDS)),
        (MODALITY, [0]),
    ]


def text_words(text: str, most: int) -> list[int]:
    """Convert a text to registers: two characters in each, a zero behind the last; a longer text is cut."""
    raw = text.encode("ascii", "replace")[: 2 * most - 1] + b"\0"
    raw += b"\0" * (len(raw) % 2)
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]


def text_of_words(words: Sequence[int]) -> str:
    return octets_of_words(words).partition(b"\0")[0].decode("ascii", "replace")


def octets_of_words(words: Sequence[int]) -> bytes:
    return b"".join(w.to_bytes(2, "big") for w in words)


def _check_whole_record(words: Sequence[int], where: str) -> str:
    """Return the record as it is, without the zeros that fill the last register. Raises ``Garbled`` if a part of it is
    missing."""
    try:
        data = octets_of_words(words).rstrip(b"\0").decode("utf-8")
        head, payload, signature = data.split("|")
        json_limits.read_json(payload), json_limits.read_json(signature)
    except ValueError as e:  # also nesting without end
        raise Garbled(f"{where}: its record is not whole ({e})") from e
    if head != "OCMF":
        raise Garbled(f"{where}: its record is no OCMF")
    return data
