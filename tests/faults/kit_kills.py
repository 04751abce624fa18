"""Kill ``kit apply`` and ``kit undo`` at every file operation and at random moments; print what each kill left.

Run as a process of its own: it forks once per kill, so that the imports are paid once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from agent.commands.check import check_station_file
from agent.commands.kit.kit_file import load_kit
from agent.commands.kit.station_writer import apply_kit, undo_kit

OPERATIONS = {
    "open", "write", "flush", "close", "fsync", "fchmod", "chown", "replace", "rename", "mkdir", "rmdir", "unlink",
    "remove", "flock", "truncate",
}  # fmt: skip
"""Each is a moment before it and a moment after it: between ``open`` and ``write`` a file is empty."""


def count_steps(do: Callable[[], object], end_at: int) -> int:
    """Run ``do`` in a process of its own, which is killed at the moment of this number; return how many there were."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        done = 0

        def watch(frame: FrameType, event: str, called: object) -> None:
            nonlocal done
            if event not in ("c_call", "c_return") or getattr(called, "__name__", "") not in OPERATIONS:
                return
            done += 1
            write(send, b".")
            if done == end_at:
                os.kill(os.getpid(), signal.SIGKILL)

        write = os.write
        sys.setprofile(watch)
        do()
        os._exit(0)
    os.close(send)
    steps = 0
    while chunk := os.read(receive, 4096):
        steps += len(chunk)
    os.close(receive)
    os.waitpid(child, 0)
    return steps


def kill_after(do: Callable[[], object], after_s: float) -> None:
    child = os.fork()
    if child == 0:
        do()
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Sweep:
    """``template``: the folder that each kill begins with."""

    def __init__(self, kit: Path, template: Path, do: str) -> None:
        self._kit, self._template, self._do = kit, template, do
        self._folder = template.with_name("board")
        self.station = self._folder / "station.toml"
        self._renew()
        self.old = self.station.read_bytes()
        began = time.monotonic()
        self.steps = count_steps(self.perform, -1)
        self.took_s = time.monotonic() - began
        self.new = self.station.read_bytes()
        assert self.old != self.new
        assert check_station_file(self.station)[1] == []

    def perform(self) -> None:
        if self._do == "apply":
            apply_kit(load_kit(self._kit), self.station)
        else:
            undo_kit(self.station, discard_edits=False)

    def _renew(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._template, self._folder)

    def kill_at(self, step: int) -> str:
        self._renew()
        count_steps(self.perform, step)
        return self._judge()

    def kill_at_random(self, dice: random.Random) -> str:
        self._renew()
        kill_after(self.perform, dice.uniform(0, self.took_s))
        return self._judge()

    def _judge(self) -> str:
        """Return which file is there: ``old`` or ``new``; anything else is a defect. The same command works again."""
        text = self.station.read_bytes()
        found = "old" if text == self.old else "new" if text == self.new else "torn"
        if problems := check_station_file(self.station)[1]:
            return f"{found}, and wrong: {problems[0].message}"
        if found == "old":
            self.perform()
            if self.station.read_bytes() != self.new:
                return "old, and the command does not work again"
        elif self._do == "apply":
            undo_kit(self.station, discard_edits=False)
            if self.station.read_bytes() != self.old:
                return "new, and undo does not bring back the old file"
        left = [p.name for p in self._folder.rglob("*.partial")]
        return f"{found}, and left {left}" if left and (found == "old" or self._do == "apply") else found


def main(folder: Path, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    result: dict[str, dict[str, int]] = {}
    for do in ("apply", "undo"):
        sweep = Sweep(folder / "stick" / "kit.toml", folder / f"before-{do}", do)
        steps = list(range(1, sweep.steps + 1))
        if len(steps) > kills:
            steps = sorted(dice.sample(steps, kills))
        found = [sweep.kill_at(step) for step in steps]
        found += [sweep.kill_at_random(dice) for _ in range(max(kills - len(steps), kills // 5))]
        result[do] = {said: found.count(said) for said in sorted(set(found))} | {"steps": sweep.steps}
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
