"""The certification cases of OCPP 1.6: one file per official id, ``tc_004_1.py`` for case 004_1.

How to write one. The file's name declares the case; ``tests/conformance/cases.py`` lists all of them (a case without a
file needs a reason there). The module's docstring says in a line what is tested, in our own words. A test is an
``async def test_...(s: Play)``: a black-box play between a scripted central system and a simulated station over a real
socket. No marker is needed; all cases of one worker share one loop and one station::

    async def test_remote_stop(s: Play) -> None:
        number = await s.session()                       # cable, card, energy flows
        assert await s.stop(number) == "Accepted"        # a request, and the status of its answer
        await s.status_reported("Finishing")                        # waited for, with a deadline
        assert (await s.call("StopTransaction"))["reason"] == "Remote"

* ``s`` is a shared station with two sockets, at rest; ``tethered`` one with a fixed cable, ``bare`` one with
  profiles switched off, ``backed`` one with a back-up supply. A case finds it free and may
  leave it as it likes: cars, cables, faults, keys (by ``s.put``/``s.set``), availability, power and road are put back,
  the cache is emptied, and then no frame may have broken a schema and no transaction may be open.
* ``known`` is a shared station at security profile 1, with its central system.
* ``secured`` is a shared station at security profile 2, with its central system and the authority that signs for both.
* Other shared stations: a text in ``play.TEXTS`` and a fixture of three lines here. A station of the case's own (about
  two seconds of processor): ``async with play(tmp_path, text) as s``.
* The central system's moods: ``s.csms.infos[token] = {...}`` (idTagInfo), ``s.csms.instead[action]``, ``s.csms.boot``,
  ``s.csms.hook``. What was said: ``s.calls()``, ``s.payloads(action)``, ``s.story(n)`` since the case began, or since
  ``s.begin()``.
* A helper that a family of cases shares goes to ``play.py`` (or a ``NAME_play.py`` beside it).
* Cheap: a case is one or two seconds. Shorten times by keys (ConnectionTimeOut, intervals): the street runs 20 times as
  fast as the clock on the wall. Never sleep and hope.
* The agent polls its board: a cable that goes and comes between two polls has never gone. After ``s.leave()``,
  ``s.seen_free()`` or ``s.seen_occupied()`` it has seen what people did; the world (``e["cp"]``) says nothing of that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.ocpp16.play import Play, Shelf
from tests.conformance.ocpp16.secure_play import Basic, Guarded, back, basic, with_tls
from tests.support.certificate_authorities import tls

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shelf(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shelf]:
    shelf = Shelf(tmp_path_factory.mktemp("cases"))
    yield shelf
    await shelf.close()


@pytest_asyncio.fixture(loop_scope="session")
async def s(shelf: Shelf) -> AsyncIterator[Play]:
    yield await shelf.take("sockets")
    await shelf.give_back("sockets")


@pytest_asyncio.fixture(loop_scope="session")
async def tethered(shelf: Shelf) -> AsyncIterator[Play]:
    yield await shelf.take("tethered")
    await shelf.give_back("tethered")


@pytest_asyncio.fixture(loop_scope="session")
async def bare(shelf: Shelf) -> AsyncIterator[Play]:
    yield await shelf.take("bare")
    await shelf.give_back("bare")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def at_profile_1(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Basic]:
    async with basic(tmp_path_factory.mktemp("basic")) as pair:
        yield pair


@pytest_asyncio.fixture(loop_scope="session")
async def known(at_profile_1: Basic) -> AsyncIterator[Basic]:
    """A station at security profile 1 whose file names no root, and its central system, which takes its password."""
    s, csms = at_profile_1
    s.begin()
    csms.frames.clear()
    csms.users[:-1] = []
    yield at_profile_1
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert csms.violations == []


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def at_profile_2(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with with_tls(tmp_path_factory.mktemp("secured")) as guarded:
        yield guarded


@pytest_asyncio.fixture(loop_scope="session")
async def secured(at_profile_2: Guarded) -> AsyncIterator[Guarded]:
    """A station at security profile 2, its central system and who signs for both; the right server is put back."""
    s, csms, ours = at_profile_2
    s.begin()
    csms.frames.clear()
    yield at_profile_2
    csms.become(tls(ours.server()))
    await back(s, csms)
    assert csms.violations == []


@pytest_asyncio.fixture(loop_scope="session")
async def backed(shelf: Shelf) -> AsyncIterator[Play]:
    yield await shelf.take("backed")
    await shelf.give_back("backed")
