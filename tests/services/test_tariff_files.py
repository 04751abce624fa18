"""Signed tariff files: whose signature is believed, and how a file comes over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.domain.events import Event, TariffFileChecked, TariffFileFetched
from agent.domain.orders import AnswerTariffFile, FetchTariffFile
from agent.domain.tariff_file import PURPOSE
from agent.services.clock import Clock
from agent.services.files.orders import FileOrders
from agent.services.files.tariff_files import TariffTopics
from agent.services.keys.tariff_signature import FILE_BYTES_MAX, UntrustedTariff, read_signed_tariffs, sign_tariffs
from agent.services.sinks.sinks import Sinks
from agent.station_file.settings import SettingsError, SinkTable, parse_station_file
from drivers.sim.mqtt import Broker
from tests.audit.signers import new_key, public_pem, write_key
from tests.support.busy_machine import deadline, stretched
from tests.support.file_servers import web_server
from tests.support.tariff_files import as_file, b64, signed_elsewhere

TEXT = json.dumps(
    {"format": 1, "purpose": PURPOSE, "sequence": 3, "stations": ["*"], "tariffs": [{"id": "A", "kwh": 0.6}]}
)


@pytest.fixture
def trusted(tmp_path: Path) -> tuple[Any, Path]:
    """A key, and the file that names it as trusted."""
    key = new_key("ed25519")
    path = tmp_path / "trusted.pem"
    path.write_text(public_pem(key))
    return key, path


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "rsa"])
def test_each_kind_of_key(tmp_path: Path, kind: str) -> None:
    key, other = new_key(kind), new_key(kind)
    keys = tmp_path / "keys.pem"
    keys.write_text(public_pem(new_key("ed25519")) + public_pem(key))
    assert read_signed_tariffs(as_file(signed_elsewhere(key, kind, TEXT, kid="7", typ="JOSE")), keys) == TEXT
    assert read_signed_tariffs(sign_tariffs(TEXT, key).encode(), keys) == TEXT
    with pytest.raises(UntrustedTariff, match="none of the trusted keys"):
        read_signed_tariffs(as_file(signed_elsewhere(other, kind, TEXT)), keys)


def flipped(text: str) -> str:
    return ("B" if text[0] != "B" else "C") + text[1:]


Change = Callable[[dict[str, str]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {**m, "payload": b64(TEXT.replace("0.6", "0.1").encode())},
        lambda m: {**m, "signature": flipped(m["signature"])},
        lambda m: {**m, "signature": ""},
        lambda m: {**m, "signature": m["signature"] + "="},
        lambda m: {**m, "protected": b64(b'{"alg":"none"}')},
        lambda m: {**m, "protected": b64(b'{"alg":"EdDSA","crit":["x"],"x":1}')},
        lambda m: {**m, "protected": b64(b"[]")},
        lambda m: {**m, "payload": None},
        lambda m: {**m, "header": {"alg": "EdDSA"}},
        lambda m: {k: v for k, v in m.items() if k != "signature"},
        lambda m: [m],
        lambda m: "\u00e9",
        lambda m: {**m, "payload": "\u00e9"},
    ],
)
def test_what_was_changed_is_not_believed(trusted: tuple[Any, Path], change: Change) -> None:
    key, keys = trusted
    good = signed_elsewhere(key, "ed25519", TEXT)
    assert read_signed_tariffs(as_file(good), keys) == TEXT
    with pytest.raises(UntrustedTariff):
        read_signed_tariffs(as_file(change(good)), keys)


def test_other_bytes_and_keys_that_cannot_be_read(trusted: tuple[Any, Path], tmp_path: Path) -> None:
    key, keys = trusted
    good = as_file(signed_elsewhere(key, "ed25519", TEXT))
    for content in (b"", b"\xff\xfe", good + b" " * FILE_BYTES_MAX, good[:-1]):
        with pytest.raises(UntrustedTariff):
            read_signed_tariffs(content, keys)
    for name, content in (("none.pem", b"# nothing"), ("cut.pem", keys.read_bytes()[:60])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UntrustedTariff, match=name):
            read_signed_tariffs(good, tmp_path / name)
    with pytest.raises(UntrustedTariff, match=r"gone\.pem"):
        read_signed_tariffs(good, tmp_path / "gone.pem")


async def test_a_file_that_is_fetched(trusted: tuple[Any, Path], tmp_path: Path) -> None:
    key, keys = trusted
    heard: asyncio.Queue[Event] = asyncio.Queue()
    folder = tmp_path / "files"
    files = FileOrders(folder, heard.put_nowait, lambda order: dict, list, tariff_keys=keys)
    with web_server() as web:
        web.files = {
            "/a.tariff": as_file(signed_elsewhere(key, "ed25519", TEXT)),
            "/b.tariff": as_file(signed_elsewhere(new_key("ed25519"), "ed25519", TEXT)),
            "/c.tariff": b"x" * (FILE_BYTES_MAX + 1),
        }

        async def answers(path: str, count: int) -> list[Event]:
            files.accept_order(FetchTariffFile(path, f"http://127.0.0.1:{web.port}/{path}"))
            return [await asyncio.wait_for(heard.get(), stretched(20)) for _ in range(count)]

        fetched, checked = await answers("a.tariff", 2)
        assert fetched == TariffFileFetched("a.tariff", True)
        assert isinstance(checked, TariffFileChecked)
        assert (checked.text, checked.problem, checked.is_fetched) == (TEXT, "", True)
        assert len(checked.digest) == 64
        _, refused = await answers("b.tariff", 2)
        assert isinstance(refused, TariffFileChecked)
        assert (refused.text, refused.problem) == ("", "none of the trusted keys has signed it")
        for path in ("c.tariff", "d.tariff"):
            assert await answers(path, 1) == [TariffFileFetched(path, False)]
    assert list(folder.iterdir()) == []
    files.close()


def sink(port: int, **more: Any) -> SinkTable:
    return SinkTable("prices", "mqtt", host="127.0.0.1", port=port, tariffs=True, **more)


async def until(holds: Callable[[], Any]) -> None:
    async with deadline(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_file_that_comes_to_a_topic(trusted: tuple[Any, Path]) -> None:
    """Also the one that the broker has kept, and after the broker was away."""
    key, keys = trusted
    far, answered, events = Broker(), list[bytes](), list[Event]()
    far.attach_subscriber("chargy/CP-1/tariff_answer", lambda topic, data: answered.append(data))
    await far.start()
    good, bad = (
        as_file(signed_elsewhere(key, "ed25519", TEXT)),
        as_file(signed_elsewhere(new_key("ed25519"), "ed25519", TEXT)),
    )
    far.publish_message("chargy/CP-1/tariff", good, retain=True)
    tasks = set[asyncio.Task[None]]()

    def begin(work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        return task

    sinks: list[Sinks] = []
    topics = TariffTopics(keys, events.append, begin, lambda *line: sinks[0].send_line(*line))
    sinks.append(Sinks([sink(far.port)], "CP-1", Clock({}, 1.0, rtc=lambda: 0.0), topics.accept_file))
    running = asyncio.create_task(sinks[0].run())
    try:
        await until(lambda: len(events) == 1)
        far.publish_message("chargy/CP-1/tariff", bad)
        await until(lambda: len(events) == 2)
        found = [(e.job, e.text, e.problem) for e in events if isinstance(e, TariffFileChecked)]
        assert found == [("prices", TEXT, ""), ("prices", "", "none of the trusted keys has signed it")]
        topics.accept_order(AnswerTariffFile("prices", True))
        topics.accept_order(AnswerTariffFile("prices", False, "older"))
        await until(lambda: len(answered) == 2)
        assert [json.loads(line) for line in answered] == [
            {"status": "Accepted", "why": ""}, {"status": "Rejected", "why": "older"},
        ]  # fmt: skip
    finally:
        running.cancel()
        await asyncio.gather(running, *tasks, return_exceptions=True)
        await far.close()


def test_the_command_signs_what_is_right_and_checks_what_is_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_key("ed25519")
    private, public = write_key(tmp_path / "private.pem", key), tmp_path / "public.pem"
    public.write_text(public_pem(key))
    source = tmp_path / "prices.json"
    source.write_text(TEXT)
    assert main(["tariff", "sign", str(source), "--key", str(private)]) == 0
    signed = tmp_path / "prices.tariff"
    assert read_signed_tariffs(signed.read_bytes(), public) == TEXT
    assert main(["tariff", "check", str(signed), "--key", str(public)]) == 0
    said = capsys.readouterr().out
    assert "number 3, for *" in said
    assert 'A: {"currency":"EUR","kwh":0.6}' in said
    public.write_text(public_pem(new_key("ed25519")))
    assert main(["tariff", "check", str(signed), "--key", str(public)]) == 1
    source.write_text(TEXT.replace("0.6", "-1"))
    assert main(["tariff", "sign", str(source), "--key", str(private)]) == 1
    assert "kwh: must be 0 or more" in capsys.readouterr().err
    assert main(["tariff", "check", str(tmp_path / "gone"), "--key", str(public)]) == 2


@pytest.mark.parametrize(
    ("sinks", "wrong"),
    [
        ('name = "a"\nkind = "file"\npath = "x"\ntariffs = true', "tariffs: tariff files come to an MQTT topic"),
    ],
)
def test_a_sink_that_cannot_take_files(sinks: str, wrong: str) -> None:
    import tomllib

    with pytest.raises(SettingsError, match=wrong):
        parse_station_file(tomllib.loads(f"[[evse]]\nnumber = 1\n[[sinks]]\n{sinks}\n"), Path("station.toml"))
