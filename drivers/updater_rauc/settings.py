"""Settings of ``drivers.updater_rauc``: the keys of its table in the station file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Text

Word: TypeAlias = Annotated[str, Text(4000)]


@frozen
class RaucSettings:
    """Keys of ``[updater]``. ``bus``: the address of the message bus that RAUC is on, "" for the system bus.
    ``reboot``: the command that boots the board, as a list of words, run without a shell. ``install_s``: the longest
    time of the checks, and of an installation without any progress. ``answer_s``: of every other answer."""

    bus: Annotated[str, Text(400, form=r"([a-z]+:.+)?", like="an address such as unix:path=/run/dbus/socket")] = ""
    reboot: tuple[Word, ...] = ("systemctl", "reboot")
    install_s: Annotated[float, Between(1, 86_400, "seconds")] = 1800.0
    answer_s: Annotated[float, Between(0.1, 3600, "seconds")] = 30.0
