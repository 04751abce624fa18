"""DC meters behind HTTP against far ends that sign: what is read, what is signed, what goes wrong on the way."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from pyocmf import OCMF

from agent.model.meter_signing import Signing
from agent.model.types import SignedReading, Stamp
from agent.ports import Broken, DeviceError, Exchanged, Garbled, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.ports.meter import SigningMeter
from drivers.meter_rest import DRIVER
from drivers.meter_rest.settings import RestSettings
from drivers.sim.rest_meters import IemFarEnd, LemFarEnd, RestMeter
from drivers.testkit.meter import check_meter
from tests.support.busy_machine import deadline

UTC_S = 1_795_687_200.0
BEGIN = Signing(
    "8f7e6d5c-4b3a-2910-8f7e-6d5c4b3a2910", False, "LU-1 1", "04A1B2C3", "ISO14443", "TRUSTED", ("RFID_PLAIN",),
    Stamp(7, 90.0), UTC_S,
)  # fmt: skip
END = replace(BEGIN, ends=True)
NEXT = replace(BEGIN, id="11111111-2222-3333-4444-555555555555")
MODELS = [LemFarEnd, IemFarEnd]

pytestmark = pytest.mark.parametrize("kind", MODELS)


@asynccontextmanager
async def opened(far: RestMeter, clock: list[float] | None = None, **more: object) -> AsyncIterator[SigningMeter]:
    now = clock or [100.0]
    where = Where(1, "meter", lambda: (7, now[0]), (), StationFacts(max_a=400, phases=3))
    settings = RestSettings(far.model, "127.0.0.1", far.port, **{"timeout_s": 2.0, "record_s": 0.2, **more})  # type: ignore[attr-defined]
    async with DRIVER.open(settings, where) as meter:
        yield meter


def verified(record: SignedReading) -> bool:
    return bool(OCMF.from_string(record.data).verify_signature(record.public_key))


# --- what is read ---------------------------------------------------------------------------------------------------


async def test_what_the_meter_measures_is_read(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.energy_wh = 1_234_567.9
        for reading in (await meter.read(), await meter.read_billing()):
            assert (reading.energy_wh, reading.export_wh, reading.dc) == (1_234_567, 12_000, True)
            assert (reading.voltage_v, reading.current_a) == ((401.2,), (100.5,))
            assert reading.power_w == pytest.approx(401.2 * 100.5)
        assert (meter.identity.serial, meter.identity.signs, meter.identity.classes) == ("M-1", True, ("A", "B"))


async def test_it_keeps_the_contract_of_the_port(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        await check_meter(meter)


async def test_the_register_of_a_transaction_is_not_billed(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        far.energy_wh += 3
        assert (await meter.read()).energy_wh == 1_234_570


async def test_the_record_says_the_price(kind: type[RestMeter]) -> None:
    """LEM: with newer firmware only, the older has no field for it."""
    far = LemFarEnd("0.2.0.0") if kind is LemFarEnd else kind()
    begin = replace(BEGIN, price="0.59 EUR/kWh, VAT 17% incl.", id_type="CARD_TXN_NR", flags=())
    async with far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(begin)
        end = await meter.read_signed(replace(begin, ends=True))
        assert end.signed is not None
        assert verified(end.signed)
        said = json.loads(end.signed.data.split("|")[1])
        assert said["TT"] == f"{begin.price}; {begin.id}"
        if kind is IemFarEnd:
            assert (said["IS"], said["IF"], said["IT"]) == (True, [], "CARD_TXN_NR")


async def test_values_of_another_unit_are_noticed(kind: type[RestMeter], monkeypatch: pytest.MonkeyPatch) -> None:
    async with kind() as far, opened(far) as meter:
        monkeypatch.setattr(kind, "power_w", property(lambda self: self.voltage_v * self.current_a * 1000))
        with pytest.raises(Garbled, match=r"is not 4\.032e"):
            await meter.read()


async def test_another_meter_bills_nothing(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far, serial="M-1") as meter:
        far.serial = "M-2"
        with pytest.raises(Exchanged, match="'M-2', expected 'M-1'"):
            await meter.read_billing()
        with pytest.raises(Broken):
            async with opened(far, serial="M-1"):
                pass


async def test_a_register_that_runs_backwards_is_not_believed(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.energy_wh -= 1
        with pytest.raises(Garbled, match="went back"):
            await meter.read()


@pytest.mark.parametrize("place", range(3))
async def test_one_wrong_look_does_not_count(kind: type[RestMeter], place: int) -> None:
    """IEM: who it is takes a look as well."""
    async with kind() as far, opened(far) as meter:
        far.glitches.extend([0.0] * place + [9_999_999.0])
        assert (await meter.read_billing()).energy_wh == 1_234_567
        far.glitches.clear()
        far.glitches.append(9_999_999.0)
        assert (await meter.read()).energy_wh == 1_234_567


def odd(kind: type[RestMeter], number: str) -> str:
    if kind is IemFarEnd:
        return (
            f'{{"RD": [{{"RI": "1-b:1.8", "RU": "kWh", "RV": {number}}}], "P": {number}, "U2": 1, "I": 1, "MS": "M-1"}}'
        )
    return f'{{"energyImportTotal": {number}, "power": {number}, "voltage": 1, "current": 1}}'


@pytest.mark.parametrize("number", ["1e30", "1e999999999", "-1e999999999", "1e-999999999", "9" * 4000, "1e400", "NaN"])
async def test_a_number_that_no_meter_shows_is_garbled(kind: type[RestMeter], number: str) -> None:
    """It raised what no driver may raise, and ended the agent."""
    async with kind() as far, opened(far) as meter:
        far.ways.extend(["= " + odd(kind, number)] * 4)
        with pytest.raises(Garbled):
            await meter.read()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 10_000, "[" * 40 + "]" * 40])
async def test_an_answer_that_is_nested_without_end_is_garbled(kind: type[RestMeter], text: str) -> None:
    async with kind() as far, opened(far) as meter:
        far.ways.extend(["= " + odd(kind, text)] * 2)
        with pytest.raises(Garbled, match=r"brackets|values"):
            await meter.read()


async def test_an_answer_that_drips_is_given_up(kind: type[RestMeter]) -> None:
    """Each octet is in time and the whole of it never comes: the end of a session would wait for ever."""
    async with kind() as far, opened(far, timeout_s=0.2) as meter:
        far.ways.extend(["drips"] * 4)
        async with deadline(30):
            with pytest.raises(Unreachable):
                await meter.read()


async def test_no_one_there_is_unreachable(kind: type[RestMeter]) -> None:
    async with kind() as far:
        pass
    with pytest.raises(Unreachable, match="check address, power and network cable"):
        async with opened(far):
            pass


async def test_no_wrong_value_whatever_happens_to_answers(kind: type[RestMeter]) -> None:
    draw, clock, good = random.Random(11), [100.0], 0
    async with kind() as far, opened(far, clock) as meter:
        for _ in range(150):
            clock[0] += 1
            far.energy_wh += draw.randrange(60)
            for _ in range(3):
                far.ways.append(draw.choice(["", "", "", "deaf", "lost", "garbage", "error"]))
            try:
                reading = await (meter.read_billing() if draw.random() < 0.5 else meter.read())
            except DeviceError:
                continue
            finally:
                far.ways.clear()
            good += 1
            assert reading.energy_wh == int(far.energy_wh)
    assert good > 20


# --- what is signed -------------------------------------------------------------------------------------------------


async def test_a_session_is_signed_by_the_meter(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        begin = await meter.read_signed(BEGIN)
        assert (begin.energy_wh, begin.signed, begin.record_due) == (1_234_567, None, False)
        assert far.begun == [BEGIN.id]
        far.energy_wh += 5000
        end = await meter.read_signed(END)
        assert (end.energy_wh, end.record_due) == (1_239_567, False)
        assert end.signed is not None
        assert end.signed.data == far.records[BEGIN.id], "byte for byte"
        assert end.signed.maker == "meter"
        assert verified(end.signed)
        broken = end.signed.data.replace("1239.567", "1239.566")
        assert broken != end.signed.data
        assert not verified(replace(end.signed, data=broken))


async def test_the_clock_is_set_before_and_never_in_between(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        assert [c[:19] for c in far.clock] == ["2026-11-26T10:00:10"], "asked at 90 s, set at 100 s"
        await meter.read_signed(BEGIN)
        await meter.read_signed(END)
        assert len(far.clock) == 1


async def test_a_time_that_no_one_knows_is_not_set(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(replace(BEGIN, utc_s=None))
        assert far.clock == []


@pytest.mark.parametrize("lost", range(12))
async def test_an_answer_that_is_lost_begins_nothing_twice(kind: type[RestMeter], lost: int) -> None:
    """Whichever answer of the begin it is: one transaction, or none and the reading all the same."""
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        far.ways.extend([""] * lost + ["lost"])
        try:
            await meter.read_signed(BEGIN)
        except DeviceError:
            pass  # the register's own answer was lost
        far.ways.clear()
        await meter.read_signed(BEGIN)
        assert far.begun == [BEGIN.id]
        far.energy_wh += 100
        end = await meter.read_signed(END)
        assert end.signed is not None
        assert verified(end.signed)


async def test_what_was_left_open_is_ended_and_is_of_no_other(kind: type[RestMeter]) -> None:
    async with kind() as far:
        far.current_a = 0.0
        async with opened(far) as meter:
            await meter.read_signed(BEGIN)
        async with opened(far) as meter:
            assert (await meter.read_signed(NEXT)).signed is None
            assert far.begun == [BEGIN.id, NEXT.id]
            end = await meter.read_signed(replace(NEXT, ends=True))
            assert end.signed is not None
            assert end.signed.data == far.records[NEXT.id]


async def test_a_new_driver_ends_what_the_killed_one_began(kind: type[RestMeter]) -> None:
    async with kind() as far:
        far.current_a = 0.0
        async with opened(far) as meter:
            await meter.read_signed(BEGIN)
        far.energy_wh += 700
        async with opened(far) as meter:
            for _ in range(2):  # killed again before the bill was on disk
                end = await meter.read_signed(END)
                assert end.signed is not None
                assert (end.energy_wh, end.signed.data) == (1_235_267, far.records[BEGIN.id])


async def test_a_meter_that_lost_its_power_has_signed_what_it_saw(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        far.energy_wh += 700
        far.power_cycle()
        far.energy_wh += 300
        end = await meter.read_signed(END)
        assert end.energy_wh == 1_235_567, "the register is billed, whatever was signed"
        assert end.signed is not None
        assert "1235.267" in end.signed.data
        assert verified(end.signed)


async def test_a_meter_whose_memory_is_full_is_billed_without(
    kind: type[RestMeter], caplog: pytest.LogCaptureFixture
) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a, far.full = 0.0, True
        assert (await meter.read_signed(BEGIN)).energy_wh == 1_234_567
        assert "not signed by the meter" in caplog.text
        far.energy_wh += 50
        end = await meter.read_signed(END)
        assert (end.energy_wh, end.signed) == (1_234_617, None)


async def test_an_unsigned_session_gets_no_other_ones_record(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        assert (await meter.read_signed(END)).signed is not None
        far.full = True
        await meter.read_signed(NEXT)
        end = await meter.read_signed(replace(NEXT, ends=True))
        assert (end.signed, end.record_due) == (None, False)


async def test_where_a_signature_is_demanded_no_one_begins_without(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far, signature_required=True) as meter:
        far.current_a, far.full = 0.0, True
        with pytest.raises(DeviceError, match="the meter reports"):
            await meter.read_signed(BEGIN)


async def test_a_record_that_is_not_ready_is_due(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far, record_s=0.05) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        far.energy_wh += 900
        far.not_before = 10**6
        end = await meter.read_signed(END)
        assert (end.energy_wh, end.signed, end.record_due) == (1_235_467, None, True)
        far.not_before = 0
        end = await meter.read_signed(END)
        assert end.signed is not None
        assert not end.record_due


async def test_an_end_waits_while_the_meter_shows_what_it_had_before(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far, record_s=5.0) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        assert (await meter.read_signed(END)).signed is not None
        await meter.read_signed(NEXT)
        far.shown_before = 2
        end = await meter.read_signed(replace(NEXT, ends=True))
        assert end.signed is not None
        assert end.signed.data == far.records[NEXT.id]


async def test_a_record_that_is_owed_comes_with_the_next_begin(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        begin = await meter.read_signed(replace(NEXT, owed=BEGIN.id))
        assert begin.signed is not None
        assert begin.signed.data == far.records[BEGIN.id]
        assert far.open is None, "it may forget the record only when that is on disk"
        await meter.read_signed(NEXT)
        assert far.open is not None
        assert far.open["name"] == NEXT.id


@pytest.mark.parametrize("restarted_before", ["", "begin", "end"])
async def test_a_transaction_that_the_meter_ends_late_is_still_owed(
    kind: type[RestMeter], restarted_before: str
) -> None:
    """The IEM names no transaction: what is open at the end of a session may be that of the session before."""
    if kind is not IemFarEnd:
        return
    async with kind() as far, AsyncExitStack() as drivers:
        far.current_a = 0.0
        meter = await drivers.enter_async_context(opened(far, record_s=0.05))
        await meter.read_signed(BEGIN)
        far.current_a = 50.0
        assert (await meter.read_signed(END)).record_due, "no transaction ends while current flows"
        if restarted_before == "begin":
            meter = await drivers.enter_async_context(opened(far, record_s=0.05))
        assert (await meter.read_signed(replace(NEXT, owed=BEGIN.id))).record_due
        if restarted_before == "end":
            meter = await drivers.enter_async_context(opened(far, record_s=0.05))
        for current_a in (50.0, 0.0):
            far.current_a = current_a
            end = await meter.read_signed(replace(NEXT, ends=True, owed=BEGIN.id))
            assert (end.signed, end.record_due, far.begun) == (None, False, [BEGIN.id])
        third = await meter.read_signed(replace(NEXT, id="third", owed=BEGIN.id))
        assert third.signed is not None
        assert third.signed.data == far.records[BEGIN.id]


@pytest.mark.parametrize("lost", range(12))
async def test_a_begin_whose_answers_are_lost_has_its_record(kind: type[RestMeter], lost: int) -> None:
    """The driver does not learn that the meter has begun, the session goes on, and the meter signs it."""
    async with kind() as far, opened(far, record_s=5.0) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        assert (await meter.read_signed(END)).signed is not None
        far.ways.extend([""] * lost + ["lost", "deaf"])
        with suppress(DeviceError):  # the register's own answer was lost: no session begins
            await meter.read_signed(NEXT)
        far.ways.clear()
        if far.open is not None:
            far.shown_before = 2
            end = await meter.read_signed(replace(NEXT, ends=True))
            assert end.signed is not None
            assert end.signed.data == far.records[NEXT.id]


async def test_an_end_while_the_meter_is_away_owes_the_record(kind: type[RestMeter]) -> None:
    async with kind() as far, opened(far) as meter:
        far.current_a = 0.0
        await meter.read_signed(BEGIN)
        far.ways.append("deaf")
        end = await meter.read_signed(END)
        assert (end.record_due, end.energy_wh) == (True, 1_234_567)
        assert (await meter.read_signed(END)).signed is not None


async def test_newer_firmware_of_the_lem_has_another_interface(kind: type[RestMeter]) -> None:
    if kind is not LemFarEnd:
        return
    async with LemFarEnd("0.2.0.0") as far, opened(far) as meter:
        await meter.read_signed(BEGIN)
        assert "POST /v2/legal" in far.asked
        assert (await meter.read_signed(END)).signed is not None
