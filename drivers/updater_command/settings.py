"""Settings of ``drivers.updater_command``: the keys of its table in the station file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Text

Word: TypeAlias = Annotated[str, Text(4000)]


@frozen
class CommandUpdaterSettings:
    """Keys of ``[updater]``: commands as lists of words, run without a shell. ``install``: ``{file}`` is the file; exit
    0 = installed, boot the board; 10 = installed, no boot needed; 2 = this is no firmware for this board; anything else
    = failed. ``running`` prints ``good``, ``pending`` (not committed yet) or ``fell-back``, and perhaps a version
    after it."""

    install: tuple[Word, ...] = ()
    running: tuple[Word, ...] = ()
    commit: tuple[Word, ...] = ()
    reboot: tuple[Word, ...] = ("systemctl", "reboot")
    install_s: Annotated[float, Between(0.01, 86_400, "seconds")] = 1800.0
    answer_s: Annotated[float, Between(0.01, 3600, "seconds")] = 30.0
