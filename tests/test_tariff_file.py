"""The tariff of a station file: what is taken, and what is refused with words that help."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.domain_setup import (
    initial_evses,
    initial_settings,
    initial_terms,
    unusable_certificates,
    wall_clock,
    web_plan,
)
from agent.assembly.files import tariff_keys
from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.tariff import Rates, Tariff, Window
from agent.domain.variables import TERMINAL_RAISES, Settings, web_limit_part
from agent.station_file.settings import SettingsError, parse_station_file
from agent.station_file.tariff import adhoc_tariffs
from tests.test_station_file import GOOD, said

AC, DC = "[[evse]]\nnumber = 1\n", '[[evse]]\nnumber = 1\nkind = "DC"\n'
FULL = """
[tariff]
kwh = 0.45
minute = "0.02"
occupancy = 0.1
grace_min = 15
session = 1
other = 0.25
other_name = "Parking"
minimum = 0.50
maximum = 50
vat_percent = 17
"""
NIGHT = """
[tariff]
minute = 0.02
[[tariff.window]]
begin = "22:00"
end = "6:00"
kwh = 0.25
[[tariff.window]]
begin = "06:00"
end = "22:00"
days = ["mon", "tue", "wed", "thu", "fri"]
kwh = 0.55
[[tariff.window]]
begin = "06:00"
end = "22:00"
days = ["sun", "sat"]
kwh = 0.35
"""


def made(text: str) -> tuple[dict[int, AdhocTariff], list[str]]:
    wrong: list[str] = []
    return adhoc_tariffs(parse_station_file(tomllib.loads(text), Path("station.toml")), wrong), wrong


def tariff(text: str) -> Tariff:
    found, wrong = made(text)
    assert wrong == []
    assert found[1].tariff is not None
    return found[1].tariff


def complaints(text: str) -> list[str]:
    return made(text)[1]


def test_a_whole_tariff() -> None:
    numbers = ("0.45", "0.02", "0.1", 15, "1", "0.25")
    first = (Decimal(n) if isinstance(n, str) else n for n in numbers)
    assert tariff(AC + FULL) == Tariff(  # type: ignore[misc]
        *first, other_name="Parking", min_cents=50, max_cents=5000, vat_percent=Decimal(17)
    )


def test_windows() -> None:
    every, work, weekend = (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4), (5, 6)
    at = [(every, 1320, 360, "0.25"), (work, 360, 1320, "0.55"), (weekend, 360, 1320, "0.35")]
    wanted = tuple(Window(d, a, b, Rates(Decimal(kwh))) for d, a, b, kwh in at)
    assert tariff(AC + NIGHT) == Tariff(minute=Decimal("0.02"), windows=wanted)
    assert (
        tariff(AC + '[tariff]\nkwh = 0.4\n[[tariff.window]]\nbegin = "0:00"\nend = "24:00"\n').windows[0].to_min == 1440
    )


def test_the_page_about_the_file_shows_files_that_are_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "station-file.md").read_text("utf-8").partition("## Tariff")[2]
    whole, windows = (part.partition("```")[0] for part in page.split("```toml")[1:3])
    assert tariff(AC + whole).min_cents == 100
    assert len(tariff(AC + whole + windows).windows) == 3
    assert complaints(DC + "power_kw = 150" + whole) != []


def test_an_outlet_of_its_own() -> None:
    found, wrong = made("[[evse]]\nnumber = 1\n[evse.tariff]\nkwh = 0.3\n[[evse]]\nnumber = 2\n" + FULL)
    assert wrong == []
    assert [t.tariff.kwh for t in found.values() if t.tariff] == [Decimal("0.3"), Decimal("0.45")]
    assert found[1].tariff == Tariff(kwh=Decimal("0.3"))  # it replaces the station's as a whole
    assert made(AC)[0][1].tariff is None


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("kwhs = 1", "tariff.kwhs: unknown key (did you mean 'kwh'?)"),
        ("kwh = -0.1", "tariff.kwh: must be 0 or more and below a million, is -0.1"),
        ("kwh = 0.30000000000000004", "tariff.kwh: has more than 6 decimals: 0.30000000000000004"),
        ("kwh = nan", "tariff.kwh: must be 0 or more and below a million, is nan"),
        ('kwh = "cheap"', "tariff.kwh: 'cheap' is no number"),
        ("kwh = true", "tariff.kwh: bool is no price"),
        ("", "tariff: names no price; kwh = 0.45 would be one"),
        ("kwh = 0.4\ngrace_min = 5", "tariff.grace_min: there is no occupancy fee that it could be of"),
        (
            'kwh = 0.4\noccupancy_from = "grant"',
            "tariff.occupancy_from: there is no occupancy fee that it could be of",
        ),
        (
            'occupancy = 0.4\noccupancy_from = "cable"',
            "tariff.occupancy_from: must be one of 'energy', 'grant', is 'cable'",
        ),
        ("occupancy = 0.4\ngrace_min = -5", "tariff.grace_min: must be 0 to 1440 (minutes), is -5"),
        ("kwh = 0.4\nother = 1", "tariff.other_name: must say what the other fee is for"),
        ("kwh = 0.4\nminimum = 0.005", "tariff.minimum: must be whole cents, is 0.005"),
        ("kwh = 0.4\nminimum = 5\nmaximum = 4", "tariff.minimum: is more than the maximum"),
        ("kwh = 0.4\nvat_percent = 101", "tariff.vat_percent: must be 0 to 100, with 6 decimals at most, is 101"),
        ('kwh = 0.4\ncurrency = "Euro"', "tariff.currency: must be three capital letters such as EUR, is 'Euro'"),
        ('kwh = 0.4\nsource = "both"', "tariff.source: must be one of 'file', 'backend', is 'both'"),
        (
            'kwh = 0.4\nsource = "backend"',
            "tariff.source: a backend can set a price only with settings.cost_display = true",
        ),
        ('[[tariff.window]]\nbegin = "1:00"', "tariff.window[0].end: is missing"),
        (
            'kwh = 1\n[[tariff.window]]\nbegin = "24:00"\nend = "1pm"',
            "tariff.window[0].begin: must be a time like \"22:00\", is '24:00'",
        ),
        (
            'kwh = 1\n[[tariff.window]]\nbegin = "06:00"\nend = "06:00"\ndays = ["mon", "Tuesday"]',
            "tariff.window[0].days[1]: must be one of 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun', is 'Tuesday'",
        ),
        (
            'kwh = 1\n[[tariff.window]]\nbegin = "06:00"\nend = "22:00"',
            "tariff.window: no window holds on mon 00:00; they must cover the whole week",
        ),
        (
            NIGHT.removeprefix("\n[tariff]\n").replace('"6:00"', '"6:01"'),
            "tariff.window[1]: overlaps window[0] on mon 06:00",
        ),
        (
            NIGHT.removeprefix("\n[tariff]\n").replace('"sun", ', ""),
            "tariff.window: no window holds on sun 06:00; they must cover the whole week",
        ),
    ],
)
def test_what_is_refused(line: str, wanted: str) -> None:
    assert wanted in complaints(f"{AC}[tariff]\n{line}\n")


def test_the_currency_of_a_backends_price_is_that_of_the_file() -> None:
    settings = '[settings]\ncost_display = true\n{}[tariff]\nkwh = 0.4\nsource = "backend"\ncurrency = "CHF"\n'
    assert complaints(AC + settings.format("")) == [
        "tariff.currency: is CHF and settings.currency is EUR: no price of a backend could be sold"
    ]
    assert complaints(AC + settings.format('currency = "CHF"\n')) == []


def test_a_terminal_charges_in_one_currency() -> None:
    text = """
    terminal = { driver = "terminal_payter", host = "192.168.5.10" }
    payment = { amount_cents = 5000 }
    tariff = { kwh = 0.4 }
    evse = [{ number = 1 }, { number = 2, tariff = { kwh = 0.4, currency = "CHF" } }]
    """
    with pytest.raises(SettingsError, match=r"terminal: it charges in one currency, and its outlets sell in CHF, EUR"):
        initial_terms(parse_station_file(tomllib.loads(text), Path("station.toml")))
    assert (
        initial_terms(parse_station_file(tomllib.loads(text.replace("CHF", "EUR")), Path("station.toml"))) is not None
    )


def test_no_tariff_where_charging_is_free() -> None:
    [complaint] = complaints("[station]\nfree_vending = true\n" + AC + "[tariff]\nkwh = 0\n")
    assert complaint == "tariff: station.free_vending gives the energy away; take one of the two out"


# --- from 50 kW on ---------------------------------------------------------------------------------------------------

LAW = "and from 50 kW on only a price per kWh and an occupancy fee per minute may be asked" + (
    " (Regulation (EU) 2023/1804, 5(4))"
)


@pytest.mark.parametrize(
    ("evse", "power"),
    [
        (DC + "power_kw = 50\n", "50 kW"), (DC + "power_kw = 160\n", "160 kW"),
        (AC + "max_a = 80\n", "55.2 kW"), (AC + "power_kw = 50.0\n", "50 kW"),
    ],
)  # fmt: skip
def test_a_strong_outlet_sells_energy_and_occupancy(evse: str, power: str) -> None:
    names = ("minute", "session", "other", "minimum", "maximum")
    assert complaints(evse + FULL) == [f"tariff.{n}: cannot be asked: EVSE 1 has {power}, {LAW}" for n in names]
    assert complaints(evse + "[tariff]\noccupancy = 0.1\n") == [f"tariff.kwh: is missing: EVSE 1 has {power}, {LAW}"]
    assert complaints(evse + "[tariff]\nkwh = 0.6\noccupancy = 0.1\ngrace_min = 30\n") == []


@pytest.mark.parametrize("evse", [DC + "power_kw = 49.9\n", AC + "max_a = 72\n", AC, AC + "phases = 1\nmax_a = 80\n"])
def test_a_weak_outlet_sells_what_it_wants(evse: str) -> None:
    assert complaints(evse + FULL) == []


def test_windows_of_a_strong_outlet() -> None:
    strong = AC + "power_kw = 100\n"
    assert complaints(strong + NIGHT.replace("minute", "occupancy")) == []
    at = "the window's own price"
    assert complaints(strong + NIGHT)[0].startswith("tariff.minute: cannot be asked"), at
    in_window = NIGHT.replace("[tariff]\nminute = 0.02", "[tariff]\nkwh = 0.4").replace("kwh = 0.25", "minute = 0.25")
    assert [c.partition(":")[0] for c in complaints(strong + in_window)] == ["tariff.window.minute"]
    without = NIGHT.replace("[tariff]\nminute = 0.02", "[tariff]\noccupancy = 0.4").replace(
        "kwh = 0.25", "occupancy = 1"
    )
    assert [c.partition(":")[0] for c in complaints(strong + without)] == ["tariff.kwh"]


def test_a_power_that_nothing_has() -> None:
    for power in ("-50", "0", "nan", "10001"):
        with pytest.raises(SettingsError, match=rf"power_kw: must be 0.1 to 10000 \(kW\), is {power}"):
            parse_station_file(tomllib.loads(f"{AC}power_kw = {power}\n"), Path("station.toml"))


def test_a_dc_outlet_says_what_it_can_give() -> None:
    with pytest.raises(SettingsError, match=r"evse\[1\].power_kw: is missing"):
        parse_station_file(tomllib.loads(DC), Path("station.toml"))
    for efficiency in ("0.4", "1.1", "nan"):
        with pytest.raises(SettingsError, match=f"efficiency: must be 0.5 to 1, is {efficiency}"):
            parse_station_file(tomllib.loads(f"{DC}power_kw = 150\nefficiency = {efficiency}\n"), Path("station.toml"))


def test_only_the_strong_one_of_two_is_named() -> None:
    text = "[[evse]]\nnumber = 1\n[[evse]]\nnumber = 2\npower_kw = 60\n[tariff]\nkwh = 1\nsession = 1\n"
    assert complaints(text) == [f"tariff.session: cannot be asked: EVSE 2 has 60 kW, {LAW}"]
    own = text.replace("[tariff]", "[evse.tariff]")
    assert complaints(own) == [f"evse[2].tariff.session: cannot be asked: EVSE 2 has 60 kW, {LAW}"]


def test_check_says_it(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(GOOD.replace("[evse.board]", "power_kw = 60\n[evse.board]") + "[tariff]\nkwh = 1\nminute = 0.1\n")
    code, words = said("check", path)
    assert code == 2
    assert f"tariff.minute: cannot be asked: EVSE 1 has 60 kW, {LAW}" in words
    path.write_text(GOOD + "[tariff]\nkwh = 1\nminute = 0.1\n")
    assert said("check", path)[0] == 0


def test_the_station_begins_with_it() -> None:
    file = parse_station_file(tomllib.loads(AC + FULL), Path("station.toml"))
    assert (offered := initial_evses(file)[1].config.offer) is not None
    assert offered.tariff is not None
    assert not offered.is_fast_charger
    with pytest.raises(SettingsError, match=r"station.toml: tariff.session: cannot be asked"):
        initial_evses(parse_station_file(tomllib.loads(DC + "power_kw = 50\n" + FULL), Path("station.toml")))
    assert initial_evses(parse_station_file(tomllib.loads(AC), Path("station.toml")))[1].config.offer is None


def test_the_wall_clock_of_the_file() -> None:
    file = parse_station_file(tomllib.loads(AC), Path("station.toml"))
    spring_s = 1_806_195_600  # 2027-03-28T01:00Z
    found = [wall_clock(file)(s) for s in (spring_s - 9 * 86_400, spring_s - 6 * 86_400, spring_s - 1, spring_s)]
    assert [(at.offset_min, at.turn_utc_s, at.after_min) for at in found] == [
        (60, None, 0), (60, spring_s, 120), (60, spring_s, 120), (120, None, 0),
    ]  # fmt: skip


# --- whose price it is -----------------------------------------------------------------------------------------------


def sold(offer: AdhocTariff, **settings: Any) -> Tariff | None:
    return offer.tariff_for_new_driver(Settings(settings))


def test_the_backends_price_counts_only_where_the_file_says_so() -> None:
    own = Tariff(Decimal("0.4"), occupancy=Decimal("0.1"), grace_min=5, session=Decimal("1"), vat_percent=Decimal(17))
    prices = {"offline_kwh_price": "0.5", "offline_hour_price": "1.2"}
    assert sold(AdhocTariff(own, 22_000), **prices) == own
    assert sold(AdhocTariff(own, 22_000, backend=True)) == own
    assert sold(AdhocTariff(own, 22_000, backend=True), **prices) == Tariff(
        Decimal("0.5"), Decimal("0.02"), Decimal("0.1"), 5, vat_percent=Decimal(17)
    )
    assert sold(AdhocTariff(own, 22_000, backend=True), currency="CHF", **prices) == own  # the terminal charges in EUR
    assert sold(AdhocTariff(own, 22_000, backend=True), offline_hour_price="1") == own  # 1.666... cents a minute
    assert sold(AdhocTariff(own, 22_000, backend=True), offline_flat_price="2") == Tariff(
        None, None, Decimal("0.1"), 5, Decimal(2), vat_percent=Decimal(17)
    )
    assert sold(AdhocTariff(None, 22_000, backend=True), **prices) is None


def test_the_backend_cannot_ask_either_what_the_law_forbids() -> None:
    own = Tariff(Decimal("0.4"))
    for power_w in (50_000, None):
        strong = AdhocTariff(own, power_w, backend=True)
        assert sold(strong, offline_kwh_price="0.5", offline_hour_price="1.2") == own
        assert sold(strong, offline_flat_price="1") == own
        assert sold(strong, offline_kwh_price="0.5") == Tariff(Decimal("0.5"))


RAISING = """
[backend]
url = "ws://127.0.0.1:9"
versions = ["{versions}"]
[tariff]
kwh = 0.45
[payment]
amount_cents = 5000
raise_cents = 2000
most_cents = {most}
vat_numbers = true
vat_prefix = "LU"
[web_payment]
dynamic = {dynamic}
max_energy_kwh = [20, 10]
max_time_min = [60]
max_cost = [5]
[terminal]
driver = "terminal_payter"
host = "192.168.5.10"
{devices}
[[evse]]
number = 1
"""
DEVICES = """
[display]
driver = "display_framebuffer"
path = "/dev/fb0"
[buttons]
driver = "buttons_evdev"
path = "/dev/input/event0"
keys = { vat = 59 }
"""


def raising(versions: str = "2.1", most: int = 9000, dynamic: str = "true", devices: str = DEVICES) -> list[str]:
    """What is wrong with a file by which holds are raised, limits chosen and VAT numbers entered."""
    text = RAISING.format(versions=versions, most=most, dynamic=dynamic, devices=devices)
    file = parse_station_file(tomllib.loads(text), Path("station.toml"))
    wrong: list[str] = []
    for load in (initial_settings, initial_terms):
        try:
            load(file)
        except SettingsError as e:
            wrong += [problem.partition(": ")[2] for problem in e.problems]
    return wrong


def test_what_raised_holds_and_what_drivers_enter_need() -> None:
    assert raising() == []
    assert raising(most=5000) == ["payment.most_cents: must be above amount_cents 5000, is 5000"]
    assert raising("2.0.1")[0] == "web_payment.max_energy_kwh: needs a first backend of OCPP 2.1"
    assert raising(dynamic="false")[0].startswith("web_payment.max_energy_kwh: needs dynamic = true")
    blind = raising(devices="")
    assert "payment.vat_numbers: needs [buttons]: drivers use them" in blind
    assert blind[-1] == "payment.most_cents: drivers must see up to how much is held: add [display] for EVSE 1"
    of_one = '[[evse]]\nnumber = 2\n[evse.display]\ndriver = "display_framebuffer"\npath = "/dev/fb0"\n'
    assert blind[-1] in raising(devices=DEVICES.partition("[buttons]")[2].join(("[buttons]", of_one)))


def test_what_drivers_may_choose() -> None:
    file = parse_station_file(
        tomllib.loads(RAISING.format(versions="2.1", most=9000, dynamic="true", devices=DEVICES)), Path("station.toml")
    )
    assert web_plan(file).limit_choices == {"maxtime": (3600,), "maxenergy": (10_000, 20_000), "maxcost": (500,)}
    settings = initial_settings(file)
    assert {web_limit_part(1), web_limit_part(1, "maxcost"), TERMINAL_RAISES} <= settings.fitted
    terms = initial_terms(file)
    assert terms is not None
    assert (terms.raise_cents, terms.most_cents, terms.vat_numbers, terms.vat_prefix) == (2000, 9000, True, "LU")


# --- a tariff from afar ----------------------------------------------------------------------------------------------

SIGNED = '[tariff]\nkwh = 0.4\nsigned_by = "operator.pem"\n'
SINK = '[[sinks]]\nname = "prices"\nkind = "mqtt"\nhost = "broker"\ntariffs = true\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (AC + SIGNED + SINK, []),
        (AC + "[tariff]\nkwh = 0.4\n" + SINK, ["sinks[1].tariffs: nothing would be taken: [tariff] has no signed_by"]),
        (
            AC + '[evse.tariff]\nkwh = 0.3\nsigned_by = "x.pem"\n' + SIGNED,
            ["evse[1].tariff.signed_by: is of the whole station: it belongs to [tariff]"],
        ),
    ],
)
def test_who_may_sign_a_tariff_file(text: str, wanted: list[str]) -> None:
    assert complaints(text) == wanted


def test_keys_that_cannot_be_read_are_reported_before_a_file_comes(tmp_path: Path) -> None:
    file = parse_station_file(tomllib.loads(AC + SIGNED), tmp_path / "station.toml")
    assert tariff_keys(file) == tmp_path / "operator.pem"
    [problem] = unusable_certificates(file)
    assert "tariff.signed_by" in problem
    assert "no tariff file would be taken" in problem
    assert unusable_certificates(parse_station_file(tomllib.loads(AC), tmp_path / "station.toml")) == []


def test_a_station_file_has_its_price_in_its_own_table() -> None:
    text = AC + "[settings]\nadhoc_tariff = '{}'\n"
    with pytest.raises(SettingsError, match="is a backend's to set"):
        initial_settings(parse_station_file(tomllib.loads(text), Path("station.toml")))
