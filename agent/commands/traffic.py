"""``chargy-agent traffic``: what the links take of the data volume, by bearer and by OCPP action."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from agent.assembly.link_profile import MEGABYTE, data_plan
from agent.assembly.traffic_queries import ASK, report_of_store
from agent.commands.command import EXIT_CANNOT, add_station_argument, load_or_report
from agent.commands.store_query import CannotDo, query_agent_or_store
from agent.domain.station_config import StationConfig
from agent.model.command import Command
from agent.ports.store import StoreError
from agent.services.store.store import Store, StoreRefused
from agent.station_file.settings import StationFile

ABOUT = """\
What the links to the backends have taken of the data volume: by bearer, by OCPP action, by day, and what the month
will have taken at its end.

  chargy-agent traffic station.toml           the present month
  chargy-agent traffic station.toml --json    all months that are kept, for machines

Bytes are counted at the socket, TLS included. The headers of IP and TCP are estimated by the number of segments, and so
are attempts that brought no connection. Transfers of files (firmware, diagnostics) are not counted. Days and months are
those of UTC. Works beside a running agent (as a member of its group) and while it is stopped.

Exit code: 0 within the limits of [link], or none is set; 1 a limit is reached; 2 it cannot be done.
"""
LIMIT_REACHED = 1
DAYS_SHOWN = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument("--json", action="store_true", help="for machines, on standard output")


def run(options: argparse.Namespace) -> int:
    file = load_or_report(options.station)
    return EXIT_CANNOT if file is None else show_traffic(file, options.json)


def show_traffic(file: StationFile, as_json: bool) -> int:
    """Print the traffic. Returns the exit code."""
    try:
        said = asyncio.run(_query_traffic(file))
    except (CannotDo, StoreError, StoreRefused) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    months = said["months"]
    if as_json:
        print(json.dumps({"v": 1, "months": months}, indent=2))
    else:
        print("\n".join(_month_lines(months[-1]) if months else ["nothing was counted yet"]))
    return LIMIT_REACHED if months and months[-1]["level"] != "within" else 0


async def _query_traffic(file: StationFile) -> dict[str, Any]:
    async def answer(store: Store, question: dict[str, Any]) -> dict[str, Any]:
        return await report_of_store(store, StationConfig(data_plan=data_plan(file)), time.time())

    said = await query_agent_or_store(file, ASK, {}, answer)
    if "error" in said:
        raise CannotDo(str(said["error"]))
    return said


def _month_lines(month: Mapping[str, Any]) -> Iterator[str]:
    since = time.strftime("%Y-%m-%d %H:%M", time.gmtime(month["since_utc_s"]))
    yield f"{month['month']}, counted since {since} UTC; bytes at the socket, TLS included"
    yield from _table_lines("action", month["actions"])
    yield ""
    yield from _table_lines("day", _newest_days(month["days"]))
    yield ""
    for bearer in month["bearers"]:
        yield _bearer_line(month, bearer)
    if month["level"] != "within":
        yield f"The {month['level']} limit is reached."


def _table_lines(name: str, rows: list[Mapping[str, Any]]) -> Iterator[str]:
    columns = ("messages", "sent", "received", "headers (est.)", "total")
    yield f"{'bearer':<8} {name:<28}" + "".join(f" {column:>15}" for column in columns)
    for row in sorted(rows, key=lambda r: (r["bearer"], r[name] if name == "day" else -r["total_bytes"])):
        amounts = [row[key] for key in ("messages", "sent_bytes", "received_bytes", "header_bytes_estimated")]
        yield f"{row['bearer']:<8} {row[name]:<28}" + "".join(f" {n:>15,}" for n in (*amounts, row["total_bytes"]))


def _newest_days(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    newest = sorted({row["day"] for row in rows})[-DAYS_SHOWN:]
    return [row for row in rows if row["day"] in newest]


def _bearer_line(month: Mapping[str, Any], bearer: Mapping[str, Any]) -> str:
    projected = bearer["projected_bytes"]
    ahead = "known after one day" if projected is None else f"{projected / MEGABYTE:.2f} MB"
    limits = [f"{name} limit {month[key] / MEGABYTE:g} MB" for name, key in _LIMITS if month[key] is not None]
    end = ", ".join(limits) if bearer["metered"] else "not metered"
    return f"{bearer['kind']}: {bearer['month_bytes'] / MEGABYTE:.2f} MB this month; at its end: {ahead}; {end}"


_LIMITS = (("soft", "soft_bytes"), ("hard", "hard_bytes"))

COMMAND = Command("traffic", "What the links take of the data volume, by OCPP action.", add_arguments, run, ABOUT)
