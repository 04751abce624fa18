"""What a command of the command line is. Other packages bring theirs by entry points (``chargy_agent.commands``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.model.fastclass import frozen

if TYPE_CHECKING:
    import argparse


@frozen
class Command:
    """A command."""

    name: str
    help: str
    """A line for the list of the commands."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Runs the command and returns the exit code."""
    about: str = ""
    """The text of ``chargy-agent COMMAND --help``. Empty: the same as ``help``."""
    actions: tuple[str, ...] = ()
    """Names of its actions, if the first one is meant where the words of the user name none."""
