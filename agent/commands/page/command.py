"""``chargy-agent page``: the page for technicians on site: its address, its users, and the server itself."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import logging
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.page.page_users import UserProblem, load_page_users, make_page_user, save_page_users
from agent.commands.page.roles import Role
from agent.model.command import Command
from agent.ports.driver import missing_module
from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)

DONE, SOMETHING_WRONG = 0, 1
NICENESS, OOM_SCORE = 10, 500
"""The page waits for the agent, and not the other way round; where memory ends, it is the page that is ended."""
MOST_DATA_BYTES = 160 * 1024 * 1024
"""Heap and stacks (RLIMIT_DATA). With all threads and a password that is hashed it has about 130 MiB of addresses."""

ABOUT = """\
The field page: what a technician at the station needs, in a browser. The agent serves it if the station file has a
table [field_page] with a port (docs/field-page.md). It answers at the loopback unless the table names another address.

  chargy-agent page address  station.toml            print the address, and what is still missing
  chargy-agent page user     add station.toml anna   add a user; the password is asked for twice
                                                     --role reader | technician (usual) | manufacturer
  chargy-agent page user     list station.toml       list the users and their roles
  chargy-agent page user     password station.toml anna    give a user another password
  chargy-agent page user     remove station.toml anna      remove a user, whose logins end at once
  chargy-agent page serve    station.toml            serve the page without an agent, for example while it cannot start

There is no default password: without a user the page is not served. Where standard input is no terminal, its first line
is the password.

Exit code: 0 done, 1 (address) something is missing, 2 it cannot be done (wrong file or arguments, a port is taken).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    for name, (text, do) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(page_action=do)
        if name == "user":
            action.add_argument("user_action", choices=sorted(USER_ACTIONS), metavar="add|list|password|remove")
        add_station_argument(action)
        if name == "user":
            action.add_argument("name", nargs="?", default="", metavar="NAME")
            action.add_argument("--role", choices=[str(r) for r in Role], default=str(Role.TECHNICIAN))
        if name == "serve":
            action.add_argument("--port", type=int, metavar="N", help="wins over the file's")
            action.add_argument("--with-agent", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    file = load_or_report(options.station)
    if file is None:
        return EXIT_CANNOT
    do: Callable[[StationFile, argparse.Namespace], int] = options.page_action
    try:
        return do(file, options)
    except UserProblem as e:
        print(e, file=sys.stderr)
    except OSError as e:
        print(f"{e.filename or file.field_page_users}: {e.strerror or e}", file=sys.stderr)
    return EXIT_CANNOT


def _print_address(file: StationFile, options: argparse.Namespace) -> int:
    page, missing = file.field_page, []
    if not page.port:
        missing.append(f"{file.path}: switch it on:\n\n[field_page]\nport = 8443\n")
    if said := missing_module(("aiohttp",), "chargy-agent[page]"):
        missing.append(said)
    if not load_page_users(file.field_page_users):
        missing.append(f"there is no user yet: chargy-agent page user add {file.path} NAME")
    if page.port:
        host = f"[{page.host}]" if ":" in page.host else page.host
        print(f"{'https' if page.tls_cert else 'http'}://{host}:{page.port}/")
    for said in missing:
        print(f"missing: {said}", file=sys.stderr)
    return SOMETHING_WRONG if missing else DONE


def _run_user_action(file: StationFile, options: argparse.Namespace) -> int:
    if options.user_action != "list" and not options.name:
        raise UserProblem(f"page user {options.user_action}: the NAME of the user is missing")
    return USER_ACTIONS[options.user_action](file, options)


def _print_page_users(file: StationFile, options: argparse.Namespace) -> int:
    users = load_page_users(file.field_page_users)
    for user in users.values():
        print(f"{user.name}: {user.role}")
    if not users:
        print(f"there is no user: chargy-agent page user add {file.path} NAME")
    return DONE


def _add_page_user(file: StationFile, options: argparse.Namespace) -> int:
    users = load_page_users(file.field_page_users)
    if options.name in users:
        raise UserProblem(f"{options.name} exists: give another password, or remove the user first")
    users[options.name] = make_page_user(options.name, Role(options.role), _ask_password_twice())
    save_page_users(file.field_page_users, users)
    print(f"{options.name} may log in as {options.role}. A running agent serves the page within some seconds.")
    return DONE


def _change_password(file: StationFile, options: argparse.Namespace) -> int:
    users = load_page_users(file.field_page_users)
    user = users.get(options.name)
    if user is None:
        raise UserProblem(f"there is no user {options.name}")
    users[options.name] = make_page_user(options.name, user.role, _ask_password_twice())
    save_page_users(file.field_page_users, users)
    print(f"{options.name} has another password; logins with the old one have ended")
    return DONE


def _remove_page_user(file: StationFile, options: argparse.Namespace) -> int:
    users = load_page_users(file.field_page_users)
    if users.pop(options.name, None) is None:
        raise UserProblem(f"there is no user {options.name}")
    save_page_users(file.field_page_users, users)
    print(f"{options.name} is removed" + ("" if users else "; without a user the page is not served"))
    return DONE


def _ask_password_twice() -> str:
    """Ask for a password twice, or read it from a pipe. Raises ``UserProblem``."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise UserProblem("these were two different passwords; nothing was changed")
    return first


def _serve_page_without_agent(file: StationFile, options: argparse.Namespace) -> int:
    if said := missing_module(("aiohttp",), "chargy-agent[page]"):
        print(f"the field page: {said}", file=sys.stderr)
        return EXIT_CANNOT
    if not file.field_page.port and options.port is None:
        print(f"{file.path}: [field_page] has no port: name one, or give --port", file=sys.stderr)
        return EXIT_CANNOT
    from agent.commands.page.page_server import CannotServe, serve_field_page

    _lower_own_priority()
    _bound_own_memory()
    try:
        asyncio.run(serve_field_page(file, options.port, options.with_agent))
    except CannotServe as e:
        print(f"the field page is not served: {e}", file=sys.stderr)
        return EXIT_CANNOT
    return DONE


def _lower_own_priority() -> None:
    """Let the agent have processor and memory first. A service that may not say so runs as it is, and says that."""
    try:
        os.nice(NICENESS)
    except OSError as e:
        log.warning("the field page runs at the priority of the agent: %s (setpriority)", e.strerror or e)
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError as e:
        log.warning("the field page is not the first to be ended where memory ends: %s", e.strerror or e)


def _bound_own_memory() -> None:
    """A request that takes too much fails by itself, before the kernel ends a process of the service."""
    with contextlib.suppress(OSError, ValueError):  # a lower limit was set from outside
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))


USER_ACTIONS: dict[str, Callable[[StationFile, argparse.Namespace], int]] = {
    "list": _print_page_users,
    "add": _add_page_user,
    "password": _change_password,
    "remove": _remove_page_user,
}
ACTIONS: dict[str, tuple[str, Callable[[StationFile, argparse.Namespace], int]]] = {
    "address": ("Print the address of the page, and what is still missing.", _print_address),
    "user": ("Add, list and remove users, and change their passwords.", _run_user_action),
    "serve": ("Serve the page without an agent.", _serve_page_without_agent),
}

COMMAND = Command(
    "page", "The page for technicians on site: its address, its users, its server.", add_arguments, run, ABOUT
)
