"""The bank's books and the terminal's list of open sessions, in one file that survives a power cycle.

Only money on hold is booked: a capture above the hold, or a second one, is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FINE, NO_SESSION, DENIED = 0x00, 0x0C, 0x10


class Bank:
    def __init__(self, file: Path, first: int = 1) -> None:
        self._file = file
        self.online = True
        self._next = first
        self.open: dict[int, dict[str, Any]] = {}
        """Sessions that the terminal still knows, by number."""
        self.holds: dict[int, int] = {}
        self.captures: list[dict[str, int]] = []
        self.voids: list[dict[str, int]] = []
        self._unsent: list[tuple[str, int, int]] = []
        self._load_books()

    def place_hold(self, cents: int, timeout_s: float, void: bool, raises: str = "") -> int:
        """Place a hold. ``raises``: "" if the bank would hold more, ``part`` or ``none``."""
        number, self._next = self._next, self._next + 1
        self.open[number] = {"cents": cents, "left_s": timeout_s, "void": void, "raises": raises}
        self.holds[number] = cents
        self._save_books()
        return number

    def update_hold(self, number: int, cents: int) -> int:
        """Hold ``cents`` in all, or as much of the change as the bank allows. Return what is held now."""
        before, raises = self.open[number]["cents"], self.open[number].get("raises", "")
        if raises == "part":
            cents = before + (cents - before) // 2
        elif raises == "none" or not self.online:
            cents = before
        self.open[number]["cents"] = self.holds[number] = cents
        self._save_books()
        return cents

    def commit_session(self, number: int, cents: int) -> int:
        """Capture ``cents`` of the hold. Return a result code of the protocol.

        While the bank cannot be reached, the booking waits until it can.
        """
        if number not in self.open:
            return NO_SESSION
        if cents > self.open[number]["cents"]:
            return DENIED
        self._close_session("captures", number, cents)
        return FINE

    def void_session(self, number: int) -> int:
        if number not in self.open:
            return NO_SESSION
        self._close_session("voids", number, self.open[number]["cents"])
        return FINE

    def set_online(self, online: bool) -> None:
        self.online = online
        self._book_settlements()
        self._save_books()

    def expire_sessions(self, seconds: float) -> bool:
        """End the sessions that were not settled in time, as Setup ordered: voided, or charged in full.

        Return True if at least one session ended.
        """
        late = []
        for number, session in self.open.items():
            session["left_s"] -= seconds
            if session["left_s"] <= 0:
                late.append(number)
        for number in late:
            cents = self.open[number]["cents"]
            self._close_session("voids" if self.open[number]["void"] else "captures", number, cents)
        return bool(late)

    def ledger_rows(self) -> dict[str, Any]:
        held = [{"terminal_session": n, "cents": c} for n, c in sorted(self.holds.items())]
        return {"holds": held, "captures": list(self.captures), "voids": list(self.voids)}

    def _close_session(self, how: str, number: int, cents: int) -> None:
        del self.open[number]
        self._unsent.append((how, number, cents))
        self._book_settlements()
        self._save_books()

    def _book_settlements(self) -> None:
        while self.online and self._unsent:
            how, number, cents = self._unsent.pop(0)
            del self.holds[number]
            book = self.captures if how == "captures" else self.voids
            book.append({"terminal_session": number, "cents": cents})

    def _load_books(self) -> None:
        if not self._file.exists():
            return
        kept = json.loads(self._file.read_text("utf-8"))
        self._next, self.captures, self.voids = kept["next"], kept["captures"], kept["voids"]
        self.open = {int(n): s for n, s in kept["open"].items()}
        self.holds = {int(n): c for n, c in kept["holds"].items()}
        self._unsent = [tuple(u) for u in kept["unsent"]]

    def _save_books(self) -> None:
        kept = {
            "next": self._next, "open": self.open, "holds": self.holds, "captures": self.captures,
            "voids": self.voids, "unsent": self._unsent,
        }  # fmt: skip
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(kept), "utf-8")
        beside.replace(self._file)
