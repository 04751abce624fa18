"""Operators plug in a cable, hold a card to the reader, and report what a lamp shows.

There is a person, a robot, or none. The robot takes the calls of the simulated station's control API
(docs/control-api.md). A test bench with relays can offer the same calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol

from agent.model.types import EvseId
from agent.ports.verify import Action, Skipped

ROBOT_S = 10.0
PERSON_S = 120.0
CARD = "04A1B2C3D4E5F6"
"""The card of the robot."""


class Operator(Protocol):
    patience_s: float

    async def perform_action(self, action: Action, evse: EvseId, what: str) -> None:
        """Raises ``Skipped``."""
        ...

    async def reference_value(self, key: str, evse: EvseId, question: str) -> str:
        """Raises ``Skipped``."""
        ...

    async def report_observation(self, what: str, evse: EvseId, expected: str, question: str) -> str:
        """Return the observation, the word ``expected`` if it is as expected. Raises ``Skipped``."""
        ...

    def panel_image(self, evse: EvseId) -> bytes | None:
        """Return a PNG of the panel, or None if the panel's own memory has to be read."""
        ...


class NoOperator:
    """``chargy-agent verify --no-hands``."""

    patience_s = 0.0

    async def perform_action(self, action: Action, evse: EvseId, what: str) -> None:
        raise Skipped(f"needs an operator ({_instruction(action, evse, what)}): repeat it without --no-hands")

    async def reference_value(self, key: str, evse: EvseId, question: str) -> str:
        device = question.partition(":")[0]
        raise Skipped(f"needs a reference value: --reference '{device}.{key}=VALUE', or a person to ask")

    async def report_observation(self, what: str, evse: EvseId, expected: str, question: str) -> str:
        raise Skipped(f"needs eyes or ears ({question}): repeat it without --no-hands")

    def panel_image(self, evse: EvseId) -> bytes | None:
        return None


def _instruction(action: Action, evse: EvseId, what: str) -> str:
    where = f" of EVSE {evse}" if evse else ""
    return {
        Action.CAR_AWAY: f"take the vehicle and its cable away from the outlet{where}",
        Action.CAR_ASKS: f"connect a vehicle, or a test box in state C, that asks for energy to the outlet{where}",
        Action.CARD: f"hold the card to the reader{where} for a second and take it away; {what}",
        Action.BANK_CARD: f"hold a bank card of your own to the payment terminal{where}: {what}",
        Action.BUTTON: f"press the button {what!r} once",
        Action.MAINS_OFF: "take the mains away from the power-fail input (the station lives on its back-up supply)",
        Action.MAINS_ON: "give the mains back",
    }[action]


class HumanOperator:
    """Asks on standard error and reads the answers from standard input. An empty line (or s) skips a question."""

    def __init__(self, say: Callable[[str], None], patience_s: float = PERSON_S) -> None:
        self.patience_s = patience_s
        self._say = say

    async def perform_action(self, action: Action, evse: EvseId, what: str) -> None:
        self._say(f">>> please {_instruction(action, evse, what)} (within {self.patience_s:g} s; no key is needed)")

    async def reference_value(self, key: str, evse: EvseId, question: str) -> str:
        answer = await self.ask_question(f"{question} (empty: skip)")
        if answer in ("", "s"):
            raise Skipped(f"not answered: {question}")
        return answer

    async def report_observation(self, what: str, evse: EvseId, expected: str, question: str) -> str:
        answer = (await self.ask_question(f"{question} (y, n; empty: skip)")).lower()
        if answer in ("", "s"):
            raise Skipped(f"not observed: {question}")
        return expected if answer.startswith(("y", "j", "o")) else "otherwise, says the technician"

    def panel_image(self, evse: EvseId) -> bytes | None:
        return None

    async def ask_question(self, question: str) -> str:
        self._say(f">>> {question}")
        try:
            async with asyncio.timeout(self.patience_s):
                return await read_input_line()
        except TimeoutError:
            return ""


async def read_input_line() -> str:
    """Read the next line of standard input. A thread is not used: one that waits in ``input()`` cannot be ended."""
    fd, loop, ready = sys.stdin.fileno(), asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except OSError:  # a plain file is always ready
        return os.read(fd, 1000).decode("utf-8", "replace").partition("\n")[0].strip()
    try:
        await ready.wait()
        return os.read(fd, 1000).decode("utf-8", "replace").partition("\n")[0].strip()
    finally:
        loop.remove_reader(fd)


class RobotOperator:
    """``chargy-agent verify --hands URL``: ``URL`` of a control API, for example of ``chargy-agent bench``."""

    patience_s = ROBOT_S

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v1"

    async def perform_action(self, action: Action, evse: EvseId, what: str) -> None:
        for path, body in self._control_api_calls(action, evse, what):
            await asyncio.to_thread(self._post_call, path, body)

    async def reference_value(self, key: str, evse: EvseId, question: str) -> str:
        if key == "token":
            return CARD
        if key == "energy_kwh":
            return f"{(await self._evse_status(evse))['meter_wh'] / 1000:.3f}"
        raise Skipped(f"the robot does not know: {question}")

    async def report_observation(self, what: str, evse: EvseId, expected: str, question: str) -> str:
        if what == "lamp":
            return str((await asyncio.to_thread(self._get_json, "/station"))["lamps"].get(str(evse)))
        raise Skipped(f"the robot cannot see or hear it: {question}")

    def panel_image(self, evse: EvseId) -> bytes | None:
        with urllib.request.urlopen(f"{self._url}/display/{evse or 1}.png", timeout=ROBOT_S) as said:
            return bytes(said.read())

    def _control_api_calls(self, action: Action, evse: EvseId, what: str) -> list[tuple[str, dict[str, Any]]]:
        n = evse or 1
        match action:
            case Action.CAR_ASKS:
                return [(f"/evses/{n}/plug", {"ready": True, "car": {"max_a": 32}})]
            case Action.CAR_AWAY:
                return [(f"/evses/{n}/unplug", {"side": "ev"}), (f"/evses/{n}/unplug", {"side": "station"})]
            case Action.CARD:
                place = evse or None  # the call for the other kind of reader returns 409
                return [
                    ("/cards/tap", {"uid": CARD, "evse": place, "hold_s": 0.5}),
                    ("/cards/tap", {"token": CARD, "evse": place}),
                ]
            case Action.BANK_CARD:
                return [("/terminal/card", {"pan_last4": "1234", "behaviour": "approve", "evse": evse or None})]
            case Action.BUTTON:
                return [(f"/buttons/{what}", {})]
        return [("/power", {"mains": action is Action.MAINS_ON})]

    def _post_call(self, path: str, body: dict[str, Any]) -> None:
        """Send a command. 409 is accepted: the state is reached, or the plug is locked (the device shows it)."""
        data = json.dumps(body).encode()
        asked = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method="POST")
        try:
            urllib.request.urlopen(asked, timeout=ROBOT_S).close()
        except urllib.error.HTTPError as e:
            if e.code != 409:
                raise Skipped(f"the robot cannot do this: {path}: {e.read(300).decode('utf-8', 'replace')}") from e
        except OSError as e:
            raise Skipped(f"the robot at {self._url} does not answer ({e}); does it run?") from e

    def _get_json(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self._url + path, timeout=ROBOT_S) as said:
                return json.load(said)
        except (OSError, ValueError) as e:
            raise Skipped(f"the robot at {self._url} does not answer ({e}); does it run?") from e

    async def _evse_status(self, evse: EvseId) -> dict[str, Any]:
        station = await asyncio.to_thread(self._get_json, "/station")
        return next(e for e in station["evses"] if e["number"] == (evse or 1))
