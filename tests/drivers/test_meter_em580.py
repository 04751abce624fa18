"""The signing side of an EM580 against a far end that signs, register by register, on a line that loses answers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyocmf import OCMF

from agent.model.meter_signing import Signing
from agent.model.types import SignedReading, Stamp
from agent.ports import DeviceError
from agent.ports.driver import StationFacts, Where
from agent.ports.meter import SigningMeter
from drivers.meter_modbus import DRIVER
from drivers.meter_modbus.settings import MeterSettings
from drivers.sim.rest_meters import MeterSigner, ocmf_payload
from tests.drivers import modbus_far_ends as modbus
from tests.drivers.modbus_far_ends import Asked, Bank, TcpLine
from tests.drivers.test_meter_maps import CONFIG, Truth, far_end, words

pytestmark = pytest.mark.steady_clock

UTC_S = 1_795_687_200.0
BEGIN = Signing(
    "8f7e6d5c-4b3a-2910-8f7e-6d5c4b3a2910", False, "LU-1 1", "04A1B2C3", "ISO14443", "TRUSTED",
    ("RFID_PLAIN", "OCPP_AUTH"), Stamp(7, 90.0), UTC_S,
)  # fmt: skip
END = replace(BEGIN, ends=True)
NEXT = replace(BEGIN, id="11111111-2222-3333-4444-555555555555")
NAME = "carlo_gavazzi_em580"
STATE, SIZE, FILE = 0x7100, 0x7101, 0x7110


class Em580Far(Bank):
    """``full``: it begins nothing. ``slow``: so many looks at the state show ``slow_state`` after the end."""

    def __init__(self, notary: MeterSigner) -> None:
        self.truth = Truth()
        super().__init__(units=far_end(NAME, self.truth).units)
        self.notary, self.full, self.slow, self.page = notary, False, 0, 0
        self.slow_state = 1
        self.begun: list[str] = []
        self.clock: list[int] = []
        self.records: dict[str, str] = {}
        self.begin_wh = 0
        der = notary.public_key_der
        self.put(1, 0x24FF, 0 if notary.key.curve.key_size == 256 else 1)
        self.put(1, 0x2600, *words(der + b"\0" * (len(der) % 2)))
        self.put(1, STATE, 0, 0, 0, 0)

    def energy(self, wh: int) -> None:
        self._measures(energy_wh=self.truth.energy_wh + wh)

    def still(self) -> None:
        """Nothing flows any more."""
        self._measures(current_a=(0.0,) * 3, power_w=(0.0,) * 3)

    def _measures(self, **now: Any) -> None:
        self.truth = replace(self.truth, **now)
        for at, word in far_end(NAME, self.truth).units[1].items():
            if at < 0x2000:
                self.units[1][at] = word

    def text(self, at: int, count: int) -> str:
        raw = b"".join(self.units[1].get(at + i, 0).to_bytes(2, "big") for i in range(count))
        return raw.split(b"\0")[0].decode()

    def answer(self, asked: Asked) -> bytes:
        if asked.function == 16 and asked.address == 0x7040 and not self._may(asked.values[0]):
            return bytes([0x90, 4])
        if asked.function == 3 and asked.address == STATE and self.slow < 0:
            self.slow += 1
            if self.slow == 0:
                self._ready()
        answer = super().answer(asked)
        if asked.function == 16:
            self._written(asked.address, asked.values)
        return answer

    def _may(self, command: int) -> bool:
        return self.units[1][STATE] == (0 if command == 0x42 else 1)

    def _written(self, address: int, values: list[int]) -> None:
        if address == 0x7032:
            assert self.units[1][STATE] != 1, "the clock is set while a transaction is open"
            self.clock.append(sum(v << (16 * i) for i, v in enumerate(values)))
        elif address == 0x7040 and values[0] == 0x42 and not self.full:
            self.units[1][STATE], self.begin_wh = 1, self.truth.energy_wh
            self.begun.append(self.text(0x6900, 126))
        elif address == 0x7040 and values[0] == 0x45:
            self.end()

    def end(self) -> None:
        """By order, or because its power went away."""
        if self.units[1][STATE] == 1 and self.slow > 0:
            self.slow, self.units[1][STATE] = -self.slow, self.slow_state
        elif self.units[1][STATE] == 1:
            self._ready()

    def _ready(self) -> None:
        self.page += 1
        name, unit = self.text(0x6900, 126), self.units[1]
        flags = [("RFID_PLAIN", 1, 0x7002), ("OCPP_AUTH", 2, 0x7003)]
        who = {
            "IS": unit[0x7000] == 1, "IL": ("NONE", "HEARSAY", "TRUSTED")[unit[0x7001]],
            "IF": [word for word, number, at in flags if unit[at] == number],
            "IT": {10: "ISO14443"}[unit[0x7006]], "ID": self.text(0x7007, 20),
            "CT": ("EVSEID", "CBIDC")[unit[0x701B]], "CI": self.text(0x701C, 20), "TT": name,
        }  # fmt: skip
        payload = ocmf_payload("21060001", self.page, who, self.begin_wh, self.truth.energy_wh, ZX="x" * 700)
        record = self.records[name] = self.notary.sign_payload(payload)
        raw = record.encode()
        raw += b"\0" * (len(raw) % 2)
        self.put(1, FILE, *words(raw))
        self.units[1][STATE], self.units[1][SIZE] = 2, len(raw) // 2


def notaries() -> list[MeterSigner]:
    return [
        MeterSigner(ec.BrainpoolP256R1(), "ECDSA-brainpoolP256r1-SHA256"),
        MeterSigner(ec.BrainpoolP384R1(), "ECDSA-brainpool384r1-SHA256"),
    ]


@pytest.fixture
def far() -> Em580Far:
    return Em580Far(notaries()[0])


@asynccontextmanager
async def opened(far: Em580Far, rtu: bool = False, **more: object) -> AsyncIterator[SigningMeter]:
    """On a serial line without the silence that the real meter wants between requests."""
    with tempfile.TemporaryDirectory() as folder:
        hasty = Path(folder) / "meters" / f"{NAME}.toml"
        hasty.parent.mkdir()
        hasty.write_text((CONFIG / "meters" / f"{NAME}.toml").read_text().replace("gap_s = 0.1", "gap_s = 0"))
        where = Where(1, "meter", lambda: (7, 100.0), (Path(folder),), StationFacts(phases=3, max_a=32))
        async with on_a_line(far, where, rtu, **more) as meter:
            yield meter


@asynccontextmanager
async def on_a_line(far: Em580Far, where: Where, rtu: bool, **more: object) -> AsyncIterator[SigningMeter]:
    async with TcpLine(far, rtu=rtu) as line:
        base = {"host": "127.0.0.1", "port": line.port, "record_s": 0.3, "timeout_s": 1.0, "baud": 115200, **more}
        settings = MeterSettings(NAME, "rtu_tcp" if rtu else "tcp", **base)  # type: ignore[arg-type]
        async with DRIVER.open(settings, where) as meter:
            yield meter


def verified(record: SignedReading) -> bool:
    """By a verifier that is not ours; it reads no keys of brainpoolP384r1, those are tried by hand."""
    key = load_der_public_key(bytes.fromhex(record.public_key))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if key.curve.key_size == 256:
        return bool(OCMF.from_string(record.data).verify_signature(record.public_key))
    _, payload, signature = record.data.split("|")
    try:
        key.verify(bytes.fromhex(json.loads(signature)["SD"]), payload.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("notary", notaries(), ids=["256 bits", "384 bits"])
@pytest.mark.parametrize("rtu", [False, True])
async def test_a_session_is_signed_by_the_meter(notary: MeterSigner, rtu: bool) -> None:
    far = Em580Far(notary)
    async with opened(far, rtu) as meter:
        assert meter.identity.signs
        begin = await meter.read_signed(BEGIN)
        assert (begin.energy_wh, begin.signed, far.begun) == (123_456, None, [BEGIN.id])
        far.energy(5001)
        end = await meter.read_signed(END)
        assert (end.energy_wh, end.record_due) == (128_457, False)
        assert end.signed is not None
        assert end.signed.data == far.records[BEGIN.id], "byte for byte"
        assert verified(end.signed)
        broken = end.signed.data.replace("128.457", "128.458")
        assert broken != end.signed.data
        assert not verified(replace(end.signed, data=broken))
        assert '"ID": "04A1B2C3"' in end.signed.data
        assert '"CI": "LU-1 1"' in end.signed.data
        assert '"IF": ["RFID_PLAIN", "OCPP_AUTH"]' in end.signed.data


async def test_the_price_stands_before_the_name_of_the_transaction(far: Em580Far) -> None:
    """However long it is: the name is whole, and the meter is asked by it."""
    for n, price in enumerate(("0.59 EUR/kWh", "0.59 EUR/kWh, " * 20)):
        begin = replace(BEGIN, id=BEGIN.id[:-1] + str(n), price=price)
        async with opened(far) as meter:
            await meter.read_signed(begin)
            await meter.read_signed(begin)  # it goes on, as it has the name
            assert len(far.begun) == n + 1
            assert far.begun[n].startswith(price[:80])
            assert far.begun[n].endswith(f"; {begin.id}")
            end = await meter.read_signed(replace(begin, ends=True))
            assert end.signed is not None
            assert json.dumps(far.begun[n]) in end.signed.data
            assert verified(end.signed)


async def test_no_one_is_assigned_where_any_person_may_charge(far: Em580Far) -> None:
    unassigned = replace(BEGIN, holder="", id_type="NONE", level="NONE", flags=(), assigned=False)
    async with opened(far) as meter:
        await meter.read_signed(unassigned)
        assert [far.units[1][at] for at in (0x7000, 0x7001, 0x7002, 0x7003, 0x7006)] == [0, 0, 0, 0, 0]


async def test_the_clock_is_set_before_and_never_in_between(far: Em580Far) -> None:
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        await meter.read_signed(BEGIN)
        assert far.begun == [BEGIN.id]
        await meter.read_signed(END)
        assert far.clock == [int(UTC_S) + 10]
        await meter.read_signed(replace(NEXT, utc_s=None))
        assert len(far.clock) == 1


async def test_a_new_driver_ends_what_the_killed_one_began(far: Em580Far) -> None:
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
    far.energy(700)
    async with opened(far) as meter:
        for _ in range(2):  # killed again before the bill was on disk
            end = await meter.read_signed(END)
            assert end.signed is not None
            assert end.signed.data == far.records[BEGIN.id]


async def test_what_another_left_open_is_ended_and_owed(far: Em580Far) -> None:
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        begin = await meter.read_signed(replace(NEXT, owed=BEGIN.id))
        assert begin.signed is not None
        assert begin.signed.data == far.records[BEGIN.id]
        await meter.read_signed(NEXT)
        assert far.begun == [BEGIN.id, NEXT.id]
        end = await meter.read_signed(replace(NEXT, ends=True))
        assert end.signed is not None
        assert end.signed.data == far.records[NEXT.id]


async def test_a_meter_that_lost_its_power_has_signed_what_it_saw(far: Em580Far) -> None:
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        far.energy(700)
        far.end()
        far.energy(300)
        end = await meter.read_signed(END)
        assert end.energy_wh == 124_456
        assert end.signed is not None
        assert "124.156" in end.signed.data


async def test_a_meter_that_begins_nothing_is_billed_without(
    far: Em580Far, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.meter_modbus.em580.STEPS", 2)
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        await meter.read_signed(END)
        far.full = True
        assert (await meter.read_signed(NEXT)).energy_wh == 123_456
        assert "is its memory full" in caplog.text
        end = await meter.read_signed(replace(NEXT, ends=True))
        assert (end.signed, end.record_due) == (None, False), "the last record is another transaction's"
    async with opened(far, signature_required=True) as meter:
        with pytest.raises(DeviceError, match="is its memory full"):
            await meter.read_signed(NEXT)


@pytest.mark.parametrize("state", [0, 1], ids=["not ready", "running"])
async def test_an_end_waits_for_its_record(far: Em580Far, state: int) -> None:
    async with opened(far, record_s=5.0) as meter:
        await meter.read_signed(BEGIN)
        far.slow, far.slow_state = 3, state
        end = await meter.read_signed(END)
        assert end.signed is not None
        assert end.signed.data == far.records[BEGIN.id]


async def test_a_transaction_that_was_left_open_is_owed_also_if_its_record_is_not_ready(far: Em580Far) -> None:
    async with opened(far, record_s=5.0) as meter:
        await meter.read_signed(BEGIN)
        far.slow, far.slow_state = 3, 0
        begin = await meter.read_signed(replace(NEXT, owed=BEGIN.id))
        assert begin.signed is not None
        assert begin.signed.data == far.records[BEGIN.id]


async def test_a_record_that_never_gets_ready_is_due_and_keeps_no_driver_waiting(far: Em580Far) -> None:
    async with opened(far, record_s=0.0, signature_required=True) as meter:
        await meter.read_signed(BEGIN)
        far.slow, far.slow_state = 10**6, 0
        for _ in range(3):  # the end is read again while a record is due
            end = await meter.read_signed(END)
            assert (end.signed, end.record_due, end.energy_wh) == (None, True, 123_456)
        begin = await meter.read_signed(replace(NEXT, owed=BEGIN.id))
        assert (begin.signed, begin.record_due) == (None, False)
        assert far.begun == [BEGIN.id, NEXT.id]


@pytest.mark.parametrize("state", [0, 1], ids=["not ready", "running"])
async def test_a_record_that_is_not_ready_is_due(far: Em580Far, state: int) -> None:
    async with opened(far, record_s=0.0) as meter:
        await meter.read_signed(BEGIN)
        far.slow, far.slow_state = 4, state
        end = await meter.read_signed(END)
        assert (end.signed, end.record_due, end.energy_wh) == (None, True, 123_456)
        for _ in range(3):  # it is read again while it is due
            end = await meter.read_signed(END)
        assert end.signed is not None
    async with opened(far) as meter:
        end = await meter.read_signed(END)
        assert end.signed is not None


@pytest.mark.parametrize("lost", range(0, 24, 2))
async def test_a_lost_answer_begins_nothing_twice(far: Em580Far, lost: int) -> None:
    """On a serial line, whichever answer it is: said again, and the state shows what became of it."""
    async with opened(far, rtu=True, timeout_s=0.3) as meter:
        far.script.extend([modbus.fine] * lost + [modbus.silent])
        await meter.read_signed(BEGIN)
        far.script.clear()
        assert far.begun == [BEGIN.id]
        far.energy(100)
        far.script.extend([modbus.fine] * lost + [modbus.silent])
        end = await meter.read_signed(END)
        assert end.signed is not None
        assert verified(end.signed)


@pytest.mark.parametrize("place", range(4, 30, 2))
async def test_a_late_answer_gets_into_no_record(far: Em580Far, place: int) -> None:
    """Later than the silence after a time-out: a record that is not the meter's is never passed on."""
    async with opened(far, rtu=True, timeout_s=0.3) as meter:
        await meter.read_signed(BEGIN)
        far.script.extend([modbus.fine] * place + [modbus.late(0.25)])
        end = await meter.read_signed(END)
        assert end.signed is not None or end.record_due
        assert end.signed is None or end.signed.data == far.records[BEGIN.id]


async def test_half_a_record_is_none(far: Em580Far) -> None:
    async with opened(far, record_s=0.0) as meter:
        await meter.read_signed(BEGIN)
        far.end()
        far.units[1][SIZE] -= 20
        assert (await meter.read_signed(END)).record_due


async def test_a_record_nested_without_end_is_none(far: Em580Far) -> None:
    async with opened(far, record_s=0.0) as meter:
        await meter.read_signed(BEGIN)
        far.end()
        raw = b"OCMF|" + b"[" * 3995 + b"|{}"
        far.put(1, FILE, *words(raw + b"\0" * (len(raw) % 2)))
        far.units[1][SIZE] = (len(raw) + 1) // 2
        assert (await meter.read_signed(END)).record_due


async def test_a_record_that_was_changed_on_the_line_is_read_again(far: Em580Far) -> None:
    """Well-formed, and not what the meter has signed."""
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        far.script.extend([modbus.fine] * 6 + [lambda asked, good: [(0, good.replace(b"xxxx", b"xyxx"))]])
        end = await meter.read_signed(END)
        assert not far.script
        assert end.signed is not None
        assert end.signed.data == far.records[BEGIN.id]


async def test_an_unsigned_session_gets_no_other_ones_record(far: Em580Far) -> None:
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        assert (await meter.read_signed(END)).signed is not None
        far.script.append(modbus.tcp_exception(4))
        await meter.read_signed(NEXT)
        assert far.begun == [BEGIN.id]
        end = await meter.read_signed(replace(NEXT, ends=True))
        assert (end.signed, end.record_due) == (None, False)


async def test_a_record_that_is_owed_stays_until_no_one_asks_for_it(far: Em580Far) -> None:
    """An agent that is killed before it is on disk reads it again; this meter has room for one."""
    async with opened(far) as meter:
        await meter.read_signed(BEGIN)
        await meter.read_signed(END)
    for _ in range(2):
        async with opened(far) as meter:
            begin = await meter.read_signed(replace(NEXT, owed=BEGIN.id))
            assert begin.signed is not None
            assert begin.signed.data == far.records[BEGIN.id]
            assert far.begun == [BEGIN.id]
    async with opened(far) as meter:
        assert (await meter.read_signed(NEXT)).signed is None
        assert far.begun == [BEGIN.id, NEXT.id]
