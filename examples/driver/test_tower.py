"""The driver against a far end that speaks the tower's language on a real socket, by the checks of its port."""

import asyncio
from pathlib import Path

import pytest
from acme_tower import DRIVER, TowerSettings

from agent.model.types import Lamp, Light
from agent.ports import Garbled, Unreachable
from agent.ports.driver import Where
from drivers.testkit.lamp import check_lamp


class FarEnd:
    """A tower of which only the wire is real."""

    def __init__(self, answer=b"OK\n"):
        self.color, self.percent, self._answer = "OFF", 0, answer

    async def serve(self, reader, writer):
        while line := await reader.readline():
            color, percent = line.decode().split()
            self.color, self.percent = color, int(percent)
            writer.write(self._answer)
        writer.close()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error):
        self._server.close()

    def open_port(self):
        port = self._server.sockets[0].getsockname()[1]
        where = Where(1, "lamp", lambda: (0, 0.0), (Path(),))
        return DRIVER.open(TowerSettings("127.0.0.1", port, timeout_s=5.0), where)


def test_it_keeps_the_contract_of_a_lamp():
    async def check():
        async with FarEnd() as tower:
            await check_lamp(tower.open_port, lambda: Lamp(tower.color.lower()), lambda: tower.percent / 100)

    asyncio.run(check())


def test_an_answer_that_makes_no_sense_is_garbled():
    async def check():
        async with FarEnd(answer=b"WHAT\n") as tower, tower.open_port() as lamp:
            await lamp.show(Light(Lamp.RED))

    with pytest.raises(Garbled):
        asyncio.run(check())


def test_a_tower_that_is_not_there_is_unreachable():
    async def check():
        async with FarEnd() as tower:
            away = tower.open_port()
        async with away:
            pass

    with pytest.raises(Unreachable):
        asyncio.run(check())
