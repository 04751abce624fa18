"""A newcomer's exercise: ``docs/porting.md`` done word for word, in an environment of its own.

The environment is a new one into which the wheel of this tree is installed. Nothing is fetched: dependencies are lent
by the environment that runs the tests, and ``pip`` installs without an index. Files are the blocks under a line that
is nothing but their name; commands stand in blocks of ``console``, their output below them (``...`` for anything).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.busy_machine import deadline, stretched

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "porting.md"
WITHIN_S = 90.0
_BLOCK = re.compile(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
_MARK = "--- ended with "
_DESK = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""A newcomer has the wheel, not the tree of the person who runs the tests."""


@dataclass(frozen=True)
class File:
    path: str
    text: str


@dataclass(frozen=True)
class Command:
    line: str
    prints: str

    @property
    def stays(self) -> bool:
        return self.line.endswith("&")


def steps(document: str) -> Iterator[File | Command]:
    """What is to be done, in order."""
    for path, language, body in _BLOCK.findall(document):
        if language == "console":
            for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
                line, _, prints = part.partition("\n")
                yield Command(line, prints)
        else:
            assert path, f"a block of {language} that is no file: {body[:40]!r}"
            yield File(path, body)


def fits(wanted: str, said: str) -> bool:
    """``...`` is anything, also over several lines."""
    parts = (re.escape(p) for p in wanted.strip().split("..."))
    return re.fullmatch(".*?".join(parts), said.strip(), re.S) is not None


class Shell:
    """One bash from the first command to the last, as at a desk."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        path = f"{programs}:{_DESK['PATH']}"
        self._env = {**_DESK, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
        self._jobs = 0

    async def __aenter__(self) -> Shell:
        self._bash = await asyncio.create_subprocess_exec(
            "bash", "--norc", cwd=self._folder, env=self._env, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=(self._folder / "stderr").open("wb"),
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(b"kill $(jobs -p) 2>/dev/null; wait; exit\n")
        await asyncio.wait_for(self._bash.wait(), stretched(20))

    async def run(self, command: Command) -> str:
        if command.stays:
            return await self._start(command)
        line = command.line + ("; wait" if command.line.startswith("kill ") else "")
        await self._write(f"{line}\necho; echo '{_MARK}'$?\n")
        return await asyncio.wait_for(self._heard(), stretched(WITHIN_S))

    async def _start(self, command: Command) -> str:
        self._jobs += 1
        log = self._folder / f"job-{self._jobs}"
        await self._write(f"{command.line.removesuffix('&')} >{log} 2>&1 &\n")
        async with deadline(WITHIN_S):
            while not log.exists() or not fits(command.prints, log.read_text()):
                await asyncio.sleep(0.05)
        return log.read_text()

    async def _write(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text.encode())
        await self._bash.stdin.drain()

    async def _heard(self) -> str:
        assert self._bash.stdout is not None
        out = ""
        while _MARK not in (line := (await self._bash.stdout.readline()).decode()):
            assert line, "bash has ended"
            out += line
        return out

    def complaints(self) -> str:
        return (self._folder / "stderr").read_text()[-3000:]


def wheel(folder: Path) -> Path:
    """Of a copy of this tree: a build in it would leave its folders there."""
    tree = folder / "tree"
    for name in ("agent", "drivers", "config"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):  # without setup.py: its bytecode is another test's affair
        shutil.copy(ROOT / name, tree)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=stretched(100)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of the new environment."""
    folder = tmp_path_factory.mktemp("newcomer")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = home / "bin" / "pip"
    options = "--disable-pip-version-check"
    offline = "--quiet --no-index --no-deps --no-build-isolation --no-compile"
    pip.write_text(
        f'#!/bin/sh\nshift\nexec {sys.executable} -m pip {options} --python {home}/bin/python install {offline} "$@"\n'
    )
    pip.chmod(0o755)
    subprocess.run([pip, "install", wheel(folder)], check=True, timeout=stretched(100), capture_output=True)
    return home / "bin"


def test_the_wheel_is_what_is_tried(programs: Path) -> None:
    ask = "import agent, drivers, config; print(agent.__file__, drivers.__path__, config.__path__)"
    asked = [programs / "python", "-c", ask]
    said = subprocess.run(asked, cwd="/", env=_DESK, capture_output=True, text=True, check=True).stdout
    assert said.count(str(programs.parent)) == 3
    assert str(ROOT) not in said


@pytest.mark.timeout(300)
async def test_a_newcomer_gets_to_the_end(programs: Path, tmp_path: Path) -> None:
    found = list(steps(DOCUMENT.read_text("utf-8")))
    assert len(found) > 20
    async with Shell(tmp_path, programs) as shell:
        for step in found:
            if isinstance(step, File):
                (tmp_path / step.path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / step.path).write_text(step.text)
            else:
                said = await shell.run(step)
                why = f"$ {step.line}\n{said}\n--- wanted:\n{step.prints}\n--- errors:\n{shell.complaints()}"
                assert fits(step.prints, said), why


@pytest.mark.parametrize(
    ("wanted", "said", "true"),
    [
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a ...\n", "a b\n", True),
        ("a\n...\nd\n", "a\nb\n", False),
        ("a\n", "a\nb\n", False),
        ("", "", True),
        ("", "something\n", False),
    ],
)
def test_what_fits(wanted: str, said: str, true: bool) -> None:
    assert fits(wanted, said) is true


def test_every_file_and_command_is_found() -> None:
    text = "`a/b.toml`\n\n```toml\nx = 1\n```\n\n```console\n$ ls\nb\n$ true\n```\n"
    assert list(steps(text)) == [File("a/b.toml", "x = 1\n"), Command("ls", "b\n"), Command("true", "")]
