"""Faults that a test orders from the terminal. Each happens once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ON_COMMAND = ("lose_reply", "delay_reply", "refuse", "event_first", "result_first", "hang_up", "approval_again")
ON_SENDING = ("garbage", "bad_checksum", "wrong_magic", "split", "merge")
NOISE = bytes.fromhex("00AAFF3CCCAA10AA023C9000")


@dataclass
class TerminalFaults:
    """The ordered faults, as tables.

    ``what`` is the kind, ``code`` the command that it applies to, ``s`` a delay, ``detail`` the reason of a refusal.
    ``result_first``: the command has a result of its own, and what it causes is sent after the delay.
    ``approval_again``: the approval that was sent last is sent once more, before the command is carried out.
    """

    waiting: list[dict[str, Any]] = field(default_factory=list)
    _merging: bytes = b""

    def add_fault(self, item: dict[str, Any]) -> None:
        if item.get("what") not in (*ON_COMMAND, *ON_SENDING):
            raise ValueError(f"what: must be one of {', '.join((*ON_COMMAND, *ON_SENDING))}, is {item.get('what')!r}")
        self.waiting.append(item)

    def take_command_fault(self, code: int, *whats: str) -> dict[str, Any] | None:
        """Return and remove the next fault of one of these kinds for this command."""
        for item in self.waiting:
            if item["what"] in whats and item.get("code", code) == code:
                self.waiting.remove(item)
                return item
        return None

    def apply_sending_fault(self, raw: bytes) -> list[bytes]:
        """Apply the next fault of sending. Return the pieces to write, each in a write of its own."""
        item = next((i for i in self.waiting if i["what"] in ON_SENDING), None)
        if item is None:
            raw, self._merging = self._merging + raw, b""
            return [raw]
        self.waiting.remove(item)
        if item["what"] == "merge":
            self._merging += raw
            return []
        return self._corrupt_block(item["what"], raw)

    @staticmethod
    def _corrupt_block(what: str, raw: bytes) -> list[bytes]:
        if what == "garbage":
            return [NOISE + raw]
        if what == "bad_checksum":
            return [raw[:-1] + bytes([raw[-1] ^ 0x55])]
        if what == "wrong_magic":
            return [raw.replace(b"\x3c", b"\x3d", 1)]
        return [raw[i : i + 2] for i in range(0, len(raw), 2)]
