"""The container image: its file is judged by hadolint where that is installed, by rules of our own, and it is built and
run where a builder exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.arch.test_wheel import BUILD_FILES, BUILD_FOLDERS
from tests.support.busy_machine import stretched

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "Dockerfile"


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and arguments of each instruction; lines that go on are joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def complaints(text: str) -> list[str]:
    """What breaks the rules of our own."""
    found = instructions(text)
    named = [name for name, _ in found]
    wrong = []
    if "USER" not in named or dict(found)["USER"].split(":")[0] in ("root", "0"):
        wrong.append("it runs as root")
    base = dict(found).get("ARG", "").partition("=")[2]
    if base.partition(":")[2] in ("", "latest"):
        wrong.append("the base image has no version")
    for name, rest in found:
        if name in ("ENTRYPOINT", "CMD") and not isinstance(json.loads(rest) if rest.startswith("[") else None, list):
            wrong.append(f"{name}: a shell would take the signals")
        if name == "RUN" and "pip install" in rest and "--constraint requirements.lock" not in rest:
            wrong.append("pip install: without the versions of requirements.lock")
        if name == "RUN" and "apt-get install" in rest and "rm -rf /var/lib/apt/lists/*" not in rest:
            wrong.append("apt-get: its lists stay in the image")
        if name == "ADD":
            wrong.append("ADD: COPY says what it does")
    return wrong


def test_the_file_keeps_the_rules() -> None:
    assert complaints(FILE.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("USER 10001\n", "", "it runs as root"),
        ("USER 10001\n", "USER root\n", "it runs as root"),
        ("ARG BASE=python:3.13-slim-trixie\n", "ARG BASE=python\n", "the base image has no version"),
        ("ARG BASE=python:3.13-slim-trixie\n", "ARG BASE=python:latest\n", "the base image has no version"),
        ('ENTRYPOINT ["chargy-agent"]', "ENTRYPOINT chargy-agent", "ENTRYPOINT: a shell would take the signals"),
        (" --constraint requirements.lock", "", "pip install: without the versions of requirements.lock"),
        (" \\\n    && rm -rf /var/lib/apt/lists/*", "", "apt-get: its lists stay in the image"),
        ("COPY agent agent", "ADD agent agent", "ADD: COPY says what it does"),
    ],
)
def test_a_broken_rule_is_found(before: str, after: str, complaint: str) -> None:
    text = FILE.read_text("utf-8")
    assert before in text
    assert complaints(text.replace(before, after)) == [complaint]


def test_it_has_what_the_wheel_is_built_of_and_nothing_else_is_sent_to_the_builder() -> None:
    copied = {
        word for name, rest in instructions(FILE.read_text("utf-8")) if name == "COPY" and not rest.startswith("--")
        for word in rest.split()[:-1]
    }  # fmt: skip
    assert copied == {*BUILD_FOLDERS, *BUILD_FILES, "requirements.lock"}
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_hadolint_has_no_complaint() -> None:
    program = shutil.which("hadolint") or str(Path(sys.executable).with_name("hadolint"))
    if not os.access(program, os.X_OK):
        pytest.skip("hadolint is not installed: the rules of our own judge the file")
    judged = subprocess.run([program, str(FILE)], capture_output=True, text=True, timeout=stretched(60))
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_image_is_built_and_runs() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("no builder of containers here: the file is judged, not built")
    name = f"chargy-agent-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, str(ROOT)], check=True, timeout=stretched(600))
    try:
        argv = ["docker", "run", "--rm", "--network", "none", name, "--version"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=stretched(60), check=True).stdout
        assert said.startswith("chargy-agent ")
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True)
