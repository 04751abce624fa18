"""Signed tariff files in the domain: whole or not at all, never an older one, on either road."""

from __future__ import annotations

import json
from decimal import Decimal as D
from typing import Any

import pytest

from agent.domain.adhoc_tariff import AdhocTariff
from agent.domain.events import ClockTrusted, LinkChanged, RequestReceived, TariffFileChecked, TariffFileFetched
from agent.domain.messages import FirmwareStatus, SecurityHappened
from agent.domain.network_wait import PATIENCE_S
from agent.domain.orders import AnswerTariffFile, FetchTariffFile, Order, Persist, Response, Send
from agent.domain.requests import TariffFileRequest, UpdateFirmwareRequest
from agent.domain.tariff import Tariff
from agent.domain.tariff_file import PURPOSE
from agent.model.fastclass import replace
from tests.domain.playbook import LINK, T0_S, UTC0_S, Playbook, make_site, sent_message
from tests.domain.test_plays_adhoc_tariff import FILE, at, in_force, presented
from tests.support.domain_state import configure

STATION = "LU*CHY*7"
UPDATE = UpdateFirmwareRequest("https://prices.example/7.tariff", 0.0, retries=1, retry_interval_s=60)


def street(evses: int = 1, power_w: float = 22_000) -> Playbook:
    """The backend may set no price; the operator's files may."""

    def site() -> Any:
        made = make_site(evses, tariff_station=STATION)
        for evse in made.evses.values():
            configure(evse, offer=AdhocTariff(FILE, power_w))
        return made

    return Playbook(site).skip()


def file_text(*tariffs: dict[str, Any], sequence: int = 1, stations: Any = (STATION,), **more: Any) -> str:
    whole = {"format": 1, "purpose": PURPOSE, "sequence": sequence, "stations": [*stations], "tariffs": [*tariffs]}
    return json.dumps({**whole, **more})


def checked(text: str, job: str = "mqtt", **more: Any) -> TariffFileChecked:
    return TariffFileChecked(job, text, f"digest of {text}", **more)


def answer(play: Playbook, text: str) -> tuple[bool, str]:
    """What is answered to a file that comes to the topic."""
    play.skip()
    [order] = [o for o in play.feed(checked(text)) if isinstance(o, AnswerTariffFile)]
    play.skip()
    return order.accepted, order.why


def test_a_file_sets_the_prices_of_all_its_outlets_in_one_transaction() -> None:
    play = street(2)
    one, two = {"id": "A", "kwh": 0.6, "evses": [1]}, {"id": "B", "kwh": 0.7, "session": 1, "evses": [2]}
    orders = play.feed(checked(file_text(one, two)))
    assert [(o.kind, o.key) for o in orders if isinstance(o, Persist)] == [
        ("tariff_file", "taken"), ("adhoc_tariffs", "1"), ("adhoc_tariffs", "2"),
    ]  # fmt: skip
    assert AnswerTariffFile("mqtt", True) in orders
    assert (presented(play, 1), presented(play, 2)) == (
        Tariff(D("0.6"), vat_percent=D(17)),
        Tariff(D("0.7"), session=D(1), vat_percent=D(17)),
    )


def test_a_file_has_a_schedule_and_an_empty_one_brings_the_station_files_price_back() -> None:
    play = street()
    now, later = {"id": "A", "kwh": 0.6}, {"id": "B", "kwh": 0.7, "valid_from": at(600)}
    assert answer(play, file_text(now, later)) == (True, "")
    assert in_force(play)[0]["next"] == {"id": "B", "valid_from": at(600)}
    play.wait(600).skip()
    assert presented(play) == Tariff(D("0.7"), vat_percent=D(17))
    assert answer(play, file_text(sequence=2)) == (True, "")
    assert presented(play) == FILE


def test_an_older_file_is_refused_and_the_last_one_again_changes_nothing() -> None:
    play = street()
    first, second = file_text({"id": "A", "kwh": 0.6}), file_text({"id": "B", "kwh": 0.7}, sequence=2)
    assert answer(play, first)[0]
    assert answer(play, second)[0]
    stored = json.dumps([play.store[kind] for kind in ("tariff_file", "adhoc_tariffs")])
    for _ in range(2):
        accepted, why = answer(play, first)
        assert not accepted
        assert "sequence: 1 is not above 2" in why
        assert answer(play, second) == (True, ""), "a broker sends the file that it has kept at each connection"
        assert answer(play, file_text({"id": "C", "kwh": 0.1}, sequence=2))[0] is False
        assert json.dumps([play.store[kind] for kind in ("tariff_file", "adhoc_tariffs")]) == stored
        play.skip().restart().skip()  # it knows the number after a restart as well
    assert presented(play) == Tariff(D("0.7"), vat_percent=D(17))


GOOD: dict[str, Any] = {"id": "A", "kwh": 0.6}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        (file_text(GOOD, format=2), "is no tariff file"),
        (file_text(GOOD, purpose="signature of an audit by chargy-agent"), "is no tariff file"),
        (file_text(GOOD, more=1), "and nothing else"),
        (file_text(GOOD, sequence=0), "sequence: must be a whole number above 0"),
        (file_text(GOOD, sequence=True), "sequence: must be a whole number above 0"),
        (file_text(GOOD, stations=["LU*CHY*8"]), "stations: LU*CHY*7 is none of them"),
        (file_text(GOOD, stations=[]), "stations: must be a list"),
        (file_text(GOOD, {"id": "B", "kwh": -1}), "kwh: must be 0 or more"),
        (file_text(GOOD, {"id": "B C", "kwh": 1}), "tariffs[1].id: must be"),
        (file_text(GOOD, {"id": "B", "kwh": 0.6, "evses": [3]}), "EVSE 3 has no price"),
        (file_text(GOOD, {"id": "B", "kwh": 0.6, "currency": "CHF"}), "currency: EVSE 1 sells in EUR"),
    ],
)
def test_one_mistake_refuses_the_whole_file(text: str, said: str) -> None:
    play = street()
    store = json.dumps(play.store)
    accepted, why = answer(play, text)
    assert not accepted
    assert said in why
    assert json.dumps(play.store) == store
    assert presented(play) == FILE
    assert answer(play, file_text(GOOD)) == (True, ""), "a file that was refused has used up no number"


def test_a_file_for_every_station_and_the_law_at_a_fast_charger() -> None:
    assert answer(street(), file_text(GOOD, stations=["*"]))[0]
    accepted, why = answer(street(power_w=150_000), file_text({"id": "A", "kwh": 0.6, "minute": 0.1}))
    assert not accepted
    assert "from 50 kW on" in why


def test_a_file_that_is_not_signed_is_answered_with_the_reason() -> None:
    play = street()
    orders = play.feed(TariffFileChecked("mqtt", problem="none of the trusted keys has signed it"))
    assert AnswerTariffFile("mqtt", False, "none of the trusted keys has signed it") in orders
    assert presented(play) == FILE


# --- over the firmware channel ---------------------------------------------------------------------------------------


def asked(play: Playbook, update: UpdateFirmwareRequest = UPDATE, request: str = "q1") -> list[str]:
    orders = play.skip().feed(RequestReceived(LINK, request, TariffFileRequest(update)))
    play.skip()
    return [o.status for o in orders if isinstance(o, Response)]


def job(play: Playbook) -> str:
    return next(o.job for o in reversed(play.log) if isinstance(o, FetchTariffFile))


def statuses(orders: list[Order]) -> list[str]:
    return [o.message.status for o in orders if isinstance(o, Send) and isinstance(o.message, FirmwareStatus)]


def test_a_file_over_the_firmware_channel() -> None:
    play = street()
    assert asked(play) == ["Accepted"]
    play.feed(TariffFileFetched(job(play), True))
    play.feed(checked(file_text(GOOD), job(play), is_fetched=True))
    assert statuses(play.log) == ["Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"]
    assert presented(play) == Tariff(D("0.6"), vat_percent=D(17))
    assert "tariff" not in play.store["firmware"]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (TariffFileChecked("", problem="none of the trusted keys has signed it", is_fetched=True), "InvalidSignature"),
        (checked(file_text({"id": "A"}), is_fetched=True), "InstallationFailed"),
    ],
)
def test_a_file_that_is_refused_over_the_firmware_channel(event: TariffFileChecked, status: str) -> None:
    play = street()
    asked(play)
    play.feed(TariffFileFetched(job(play), True))
    orders = play.feed(TariffFileChecked(job(play), event.text, event.digest, event.problem, is_fetched=True))
    assert statuses(orders)[-1] == status
    assert (sent_message(SecurityHappened, kind="InvalidFirmwareSignature") in orders) is (status == "InvalidSignature")
    assert presented(play) == FILE


def test_a_file_that_does_not_come_is_fetched_again_and_then_given_up() -> None:
    play = street()
    asked(play)
    play.feed(TariffFileFetched(job(play), False))
    assert statuses(play.log) == ["Downloading"]
    play.skip().wait(60).skip()
    assert len(fetches(play)) == 2
    play.feed(TariffFileFetched(job(play), False))
    assert statuses(play.log) == ["Downloading", "DownloadFailed"]


def test_a_file_is_fetched_not_before_its_time_and_again_after_a_kill() -> None:
    play = street()
    later = UpdateFirmwareRequest(UPDATE.location, UTC0_S + 100, request_id=5)
    assert asked(play, later) == ["Accepted"]
    assert statuses(play.log) == ["DownloadScheduled"]
    play.wait(50).skip().restart().skip()
    assert not fetches(play)
    play.wait(60).skip()
    play.restart().skip().wait(1).skip()
    play.feed(TariffFileFetched(job(play), True))
    play.feed(checked(file_text(GOOD), job(play), is_fetched=True))
    assert statuses(play.log)[-1] == "Installed"


def test_a_file_that_a_power_cut_interrupts_is_fetched_when_the_network_is_there() -> None:
    play = street()
    asked(play, replace(UPDATE, retries=0))
    play.restart(online=False).skip().wait(PATIENCE_S + 1).skip()
    assert len(fetches(play)) == 2, "the file server may be on site"
    play.feed(TariffFileFetched(job(play), False))
    assert statuses(play.log) == ["Downloading"], "none of the tries that were granted"
    play = (play.skip() >> LinkChanged(LINK, True)).skip()
    assert len(fetches(play)) == 3
    play.feed(TariffFileFetched(job(play), False))
    assert statuses(play.log) == ["Downloading", "DownloadFailed"]


def fetches(play: Playbook) -> list[Order]:
    return [o for o in play.log if isinstance(o, FetchTariffFile)]


def test_without_a_clock_a_file_is_not_fetched_before_its_time() -> None:
    """The mains was lost, and no backend has given the time since."""
    play = street()
    asked(play, UpdateFirmwareRequest(UPDATE.location, UTC0_S + 7200, request_id=5))
    play.trusted = False
    play.restart(new_boot=True, online=False).skip().wait(900).skip()
    assert not fetches(play)
    play.trusted, play.clock_off_s = True, 3600 - (play.t_s - T0_S)
    play = (play >> ClockTrusted()).skip().wait(3590).skip()
    assert not fetches(play)
    play.wait(11).skip()
    assert fetches(play)


def test_a_later_request_takes_the_place_of_a_file_on_its_way() -> None:
    play = street()
    asked(play)
    first = job(play)
    assert asked(play, request="q2") == ["AcceptedCanceled"]
    play.feed(checked(file_text(GOOD), first, is_fetched=True))
    assert presented(play) == FILE


@pytest.mark.parametrize(("request_id", "said"), [(None, ["DownloadFailed"]), (3, [])])
def test_an_address_that_cannot_be_fetched_from(request_id: int | None, said: list[str]) -> None:
    play = street()
    update = UpdateFirmwareRequest("gopher://h/7.tariff", 0.0, request_id=request_id)
    assert asked(play, update) == ["Rejected"]
    assert statuses(play.log) == said
