"""The process: ``python -m drivers.sim.apollo --books FILE --control SOCKET (--port N | --serial LINK) ...``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from drivers.sim.apollo.server import Server


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="drivers.sim.apollo")
    parser.add_argument("--books", type=Path, required=True, help="the bank's books; they survive")
    parser.add_argument("--control", required=True, help="path of the Unix socket for cards, faults and the picture")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int)
    where.add_argument("--serial", type=Path)
    parser.add_argument("--cert", type=Path, help="PEM with key and certificate: TLS")
    parser.add_argument("--polls", type=int, default=3, help="Synchronize commands left unanswered after power-up")
    parser.add_argument("--idle-s", type=float, default=20.0)
    parser.add_argument("--bank-s", type=float, default=0.3)
    parser.add_argument("--rate", type=float, default=1.0, help="rate of the clock that ends open sessions")
    parser.add_argument("--first", type=int, default=1, help="number of the first session in new books")
    parser.add_argument("--offline", action="store_true", help="start without a connection to the bank")
    parser.add_argument("--bare", action="store_true", help="approvals carry no card data")
    parser.add_argument("--nameless", action="store_true", help="refuse the command Request Ids")
    parser.add_argument("--mute-orders", action="store_true", help="send no result to Start Session and Auth Session")
    return parser.parse_args(argv)


async def _serve_until_signal(args: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Server(args):
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve_until_signal(_parse_arguments(sys.argv[1:])))
