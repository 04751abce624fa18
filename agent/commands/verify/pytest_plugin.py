"""The checks of ``chargy-agent verify`` as tests: ``pytest --station STATION.toml``.

The package contains this pytest plugin. It does nothing without that option. No questions are asked: a robot acts
(``--station-hands URL``), or the checks that need an operator are skipped, with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agent.commands.verify.command import VerifyRequest
    from agent.commands.verify.runner import DeviceChecks
    from agent.ports.verify import Check
    from agent.station_file.settings import StationFile


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chargy-agent", "checks of a charging station's devices")
    group.addoption("--station", type=Path, metavar="STATION.toml", help="verify the devices of this station")
    group.addoption("--station-port", action="append", default=[], metavar="DEVICE", help="one device; repeatable")
    group.addoption("--station-yes", action="store_true", help="allow release: outlets may become live")
    group.addoption("--station-hands", default="", metavar="URL", help="the control API of a robot that acts")
    group.addoption(
        "--station-reference",
        action="append",
        default=[],
        metavar="DEVICE.KEY=VALUE",
        help="a reference value; repeatable",
    )
    group.addoption("--station-reads", type=int, default=10_000, metavar="N", help="reads of the memory check (10000)")
    group.addoption(
        "--station-samples", type=int, default=40, metavar="N", help="samples of each time measurement (40)"
    )


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among them too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.getoption("--station")
    if path is None:
        return
    if hasattr(config, "workerinput"):
        raise pytest.UsageError("--station: devices are verified one after the other: run it without -n")
    items += _check_items(session, config, path)


def _check_items(session: pytest.Session, config: pytest.Config, path: Path) -> list[pytest.Item]:
    from agent.commands.verify import runner
    from agent.station_file.settings import SettingsError, load_station_file

    try:
        file, wanted = load_station_file(path), _verify_request(config)
        made = runner.device_rounds(file, wanted.only)
    except SettingsError as e:
        raise pytest.UsageError(f"--station: {e}") from e
    return [
        DeviceCheck.from_parent(session, name=f"{r.device.name}::{check.name}", of=(file, wanted, r, check))
        for r in made
        for check in r.checks
    ]


def _verify_request(config: pytest.Config) -> VerifyRequest:
    from agent.commands.verify import command

    option = config.getoption
    words = argparse.Namespace(
        yes=option("--station-yes"),
        hands=option("--station-hands"),
        no_hands=True,
        port=option("--station-port"),
        reference=option("--station-reference"),
        reads=option("--station-reads"),
        samples=option("--station-samples"),
    )
    return command.parse_request(words)


class DeviceCheck(pytest.Item):
    """One check of one device."""

    def __init__(self, *, of: tuple[StationFile, VerifyRequest, DeviceChecks, Check], **more: Any) -> None:
        super().__init__(**more)
        self._of = of

    def runtest(self) -> None:
        from agent.commands.verify import runner

        made, figures = asyncio.run(self._run_check())
        self.user_properties += list(figures.items())
        if made.outcome == runner.SKIPPED:
            pytest.skip(made.says)
        if made.outcome == runner.FAILED:
            raise Failed(made.says)

    async def _run_check(self) -> tuple[Any, dict[str, float | str]]:
        from agent.commands.verify import runner
        from agent.commands.verify.command import operator_for
        from agent.commands.verify.exclusive import exclusive_access

        file, wanted, r, check = self._of
        async with exclusive_access(file, runner.device_wires([r])):
            bench = runner.device_under_test(r, operator_for(wanted), wanted.options, lambda text: None)
            return await runner.run_check(check, bench), bench.figures

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self._of[0].path, None, self.name


class Failed(AssertionError):
    """A failed check. Its message is complete, so no traceback is shown."""
