"""``audit report``, ``sign`` and ``verify`` as the command line calls them, and as a process of their own."""

from __future__ import annotations

import argparse
import sys

from agent.commands.audit.signing_actions import SIGNING_ACTIONS

CODE = "import sys; from tests.audit.actions import run_action; sys.exit(run_action(sys.argv[1:]))"
PROCESS = [sys.executable, "-c", CODE]


def run_action(argv: list[str]) -> int:
    """The exit code of an action."""
    _, add_arguments, do = SIGNING_ACTIONS[argv[0]]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return do(parser.parse_args(argv[1:]))
