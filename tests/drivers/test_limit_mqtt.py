"""The energy manager on MQTT: its contract against the simulated far end and a real broker, what its messages may mean,
and what is reported about a wrong table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.model.energy_manager import LimitReport
from agent.ports import Unreachable
from agent.ports.driver import Where
from drivers.limit_mqtt import DRIVER, list_complaints
from drivers.limit_mqtt.manager import MOST_OCTETS, decode_limit_message
from drivers.limit_mqtt.settings import MqttLimitSettings
from drivers.sim.energy_manager import MqttEnergyManager
from drivers.testkit.energy_manager import check_energy_manager
from tests.support.busy_machine import deadline, stretched
from tests.support.mosquitto import MOSQUITTO, mosquitto_at
from tests.support.simulated_station import held_port

WHERE = Where(0, "energy_manager", lambda: (1, 0.0), ())


@asynccontextmanager
async def far_end(**options: Any) -> AsyncIterator[tuple[MqttEnergyManager, MqttLimitSettings]]:
    manager = MqttEnergyManager({"every_s": 0.1, **options})
    await manager.start()
    try:
        settings = MqttLimitSettings(topic=str(options.get("topic", "site/limit")), host="127.0.0.1", port=manager.port)
        yield manager, replace(settings, key=str(options.get("key", "")), every_s=stretched(2.0))
    finally:
        await manager.close()


@pytest.mark.parametrize("key", ["", "amperes"])
async def test_it_keeps_the_contract(key: str) -> None:
    async with far_end(key=key) as (manager, settings):

        def set_limit(amperes: float | None) -> None:
            manager.max_a = amperes

        await check_energy_manager(lambda: DRIVER.open(settings, WHERE), set_limit, timeout_s=stretched(5.0))


async def test_an_energy_manager_that_publishes_no_more_is_unreachable_and_its_last_message_is_kept() -> None:
    async with far_end() as (manager, settings):
        manager.max_a = 13
        settings = replace(settings, every_s=stretched(0.5))
        async with DRIVER.open(settings, WHERE) as port:
            reports = port.limits()
            while (await anext(reports)).is_kept:
                pass
            manager.silent = True
            with pytest.raises(Unreachable, match="no message"):
                while True:
                    await anext(reports)
            again = port.limits()
            assert await anext(again) == LimitReport(13.0, is_kept=True)
            with pytest.raises(Unreachable):
                await anext(again)


async def test_a_broker_that_is_away_is_unreachable() -> None:
    async with far_end() as (_, settings):
        pass
    with pytest.raises(Unreachable, match="does the broker run"):
        async with DRIVER.open(settings, WHERE):
            pass


async def test_a_connection_that_ends_is_unreachable_and_made_again() -> None:
    async with far_end() as (manager, settings), DRIVER.open(settings, WHERE) as port:
        reports = port.limits()
        await anext(reports)
        for client in list(manager.broker._clients):
            client.writer.transport.abort()
        with pytest.raises(Unreachable):
            while True:
                await anext(reports)
        assert (await anext(port.limits())).problem == ""


@pytest.mark.parametrize(
    ("payload", "key", "report"),
    [
        (b"16", "", LimitReport(16.0)),
        (b" 16.5 ", "", LimitReport(16.5)),
        (b"0", "", LimitReport(0.0)),
        (b"-1", "", LimitReport(-1.0)),  # is refused above, like that of any driver
        (b"null", "", LimitReport(None)),
        (b'{"limit": 11000, "unit": "W"}', "limit", LimitReport(11_000.0)),
        (b'{"limit": null}', "limit", LimitReport(None)),
        (b'{"other": 5}', "limit", LimitReport(problem="""'{"other": 5}' has no 'limit'""")),
        (b"5", "limit", LimitReport(problem="'5' has no 'limit'")),
        (b"", "", LimitReport(problem="'' is no JSON")),
        (b"16 A", "", LimitReport(problem="'16 A' is no JSON")),
        (b"\xff", "", LimitReport(problem="'\\ufffd' is no JSON")),
        (b"true", "", LimitReport(problem="'true' is no limit: a number, or null for none")),
        (b'"16"', "", LimitReport(problem="""'"16"' is no limit: a number, or null for none""")),
        (b"1" * 400, "", LimitReport(problem=f"'{'1' * 60}' is no limit: a number, or null for none")),
        (b"[" * 1000, "", LimitReport(problem=f"'{'[' * 60}' is no JSON")),
        (b" " * (MOST_OCTETS + 1), "", LimitReport(problem=f"a message of {MOST_OCTETS + 1} octets")),
    ],
)
def test_what_a_message_means(payload: bytes, key: str, report: LimitReport) -> None:
    assert decode_limit_message(payload, key) == report


def test_a_wrong_table_is_named(tmp_path: Path) -> None:
    assert list_complaints(MqttLimitSettings("site/limit", host="broker.local")) == []
    (said,) = list_complaints(MqttLimitSettings("site/limit"))
    assert said.startswith("host: is missing")
    (said,) = list_complaints(MqttLimitSettings("site/+", host="b"))
    assert said.startswith("topic: ")
    (said,) = list_complaints(MqttLimitSettings("t", host="b", ca=tmp_path / "absent.pem"))
    assert said.startswith("ca: ")


async def test_of_a_flood_the_newest_limit_counts() -> None:
    async with far_end() as (manager, settings), DRIVER.open(settings, WHERE) as port:
        reports = port.limits()
        await anext(reports)
        manager.silent = True
        for number in range(1000):
            manager.publish_payload(str(number).encode())
        last = LimitReport()
        async with deadline(30):
            while last.limit != 999.0:
                last = await anext(reports)
        manager.publish_payload(b"5")
        async with deadline(30):
            assert (await anext(reports)).limit == 5.0


# --- a real broker ---------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
async def test_it_follows_a_topic_of_a_real_broker(tmp_path: Path, port: int) -> None:
    import aiomqtt

    settings = MqttLimitSettings("site/limit", host="127.0.0.1", port=port)
    async with mosquitto_at(tmp_path, port), deadline(60), aiomqtt.Client("127.0.0.1", port) as publisher:
        await publisher.publish("site/limit", "20", qos=1, retain=True)
        async with DRIVER.open(settings, WHERE) as manager:
            reports = manager.limits()
            assert await anext(reports) == LimitReport(20.0, is_kept=True)
            for text, report in (("16", LimitReport(16.0)), ("null", LimitReport(None)), ("16", LimitReport(16.0))):
                await publisher.publish("site/limit", text, qos=1)
                assert await anext(reports) == report
