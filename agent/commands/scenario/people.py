"""Targets without a control API: a person is asked, or a command of the user acts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agent.commands.scenario.prompts import PromptTexts
from agent.commands.scenario.terminal import Terminal, TypedLines
from agent.model.secret_texts import HIDDEN, names_secret
from agent.scenario.frames import CALL, Frame, FrameLog
from agent.scenario.grammar import KINDS
from agent.scenario.target import CannotCarryOut, CheckFailed, NotApplicable, Person
from agent.scenario.wording import step_in_words

SKIP = ("s", "skip")
EXIT_NOT_APPLICABLE = 3


class TerminalPerson:
    """Asks at the terminal."""

    def __init__(self, terminal: Terminal, typed: TypedLines, texts: PromptTexts) -> None:
        self._terminal, self._typed, self._texts = terminal, typed, texts

    async def answer_question(self, question: str, patience_s: float) -> str | None:
        self._typed.drop_typed()
        self._terminal.print_line(self._texts.ask_question_of_person(question, patience_s))
        try:
            async with asyncio.timeout(patience_s):
                answer = await self._typed.next_line()
        except TimeoutError:
            raise CannotCarryOut(f"not answered within {patience_s:g} s: {question}") from None
        if answer.lower() in SKIP:
            raise NotApplicable("the person at the station could not say it")
        return answer


class NoPerson:
    """There is no person."""

    async def answer_question(self, question: str, patience_s: float) -> str | None:
        return None


class PromptHands:
    """Asks a person to act. Enter, or a message of the station that shows it, ends the wait."""

    def __init__(self, terminal: Terminal, typed: TypedLines, frames: FrameLog, texts: PromptTexts) -> None:
        self._terminal, self._typed, self._frames, self._texts = terminal, typed, frames, texts

    async def perform_deed(self, kind: str, values: Mapping[str, Any], patience_s: float) -> str:
        what, shown_by = self._texts.describe_deed(kind, values), KINDS[kind].shown_by
        self._typed.drop_typed()
        self._terminal.print_line(self._texts.ask_person_for_deed(what, patience_s))
        seen = asyncio.create_task(wait_for_sign(self._frames, shown_by, self._frames.next_seq))
        typed = asyncio.create_task(self._typed.next_line())
        countdown = asyncio.create_task(self._show_countdown(what, patience_s))
        try:
            done, _ = await asyncio.wait({seen, typed}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel_tasks(seen, typed, countdown)
        if typed in done:
            if typed.result().lower() in SKIP:
                raise NotApplicable("the person at the station cannot do it")
            return "done by a person"
        if seen in done:
            return f"done by a person, noticed by {seen.result().action}"
        raise CannotCarryOut(f"not done within {patience_s:g} s: {step_in_words(KINDS[kind], values)}")

    async def _show_countdown(self, what: str, patience_s: float) -> None:
        end_s = time.monotonic() + patience_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._terminal.show_bar(self._texts.time_left_in_words(left_s, what))
            await asyncio.sleep(1.0)


class CommandHands:
    """Starts a command of the user for each deed: ``COMMAND KIND JSON``. Exit code 0: done, 3: cannot be done here."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    async def perform_deed(self, kind: str, values: Mapping[str, Any], patience_s: float) -> str:
        await run_user_command(self._command, (kind, json.dumps(values)), patience_s)
        return f"done by {self._command[0]}"


class PromptEyes:
    """Asks a person what the display shows."""

    def __init__(self, person: Person, patience_s: float, texts: PromptTexts) -> None:
        self._person, self._patience_s, self._texts = person, patience_s, texts

    async def screen_name(self, evse: int, expected: tuple[str, ...]) -> str:
        question = self._texts.display_question(evse, expected)
        answer = await self._person.answer_question(question, self._patience_s)
        if answer is None:
            raise NotApplicable("there is no person here to look at the display")
        return expected[0] if answer.lower().startswith(("y", "j", "o")) or not answer else f"otherwise ({answer})"

    async def measured_value(self, quantity: str, evse: int) -> float | None:
        return None


class PromptedBackend:
    """A backend that is not ours: a person, or a command of the user, has it send a request. The frame decides.

    ``with_person``: there is a person to be asked.
    """

    def __init__(
        self, terminal: Terminal, frames: FrameLog, station_id: str, texts: PromptTexts, command: str = "",
        with_person: bool = True,
    ) -> None:  # fmt: skip
        self._terminal, self._frames, self._station_id, self._texts = terminal, frames, station_id, texts
        self._command, self._with_person = shlex.split(command), with_person

    async def send_request(self, action: str, payload: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
        if not self._command and not self._with_person:
            raise NotApplicable(f"there is no person, and no --backend-command, to have the backend send {action}")
        first, text = self._frames.next_seq, json.dumps(payload, ensure_ascii=False)
        shown = self._texts.hidden_payload(HIDDEN) if names_secret(text) else text
        self._terminal.print_line(self._texts.ask_backend_to_send(action, shown, self._station_id, patience_s))
        end_s = time.monotonic() + patience_s
        if self._command:
            await run_user_command(self._command, (action, text, self._station_id), patience_s)
        call = await _await_frame_until(
            wait_for_call(self._frames, (action,), False, first), end_s,
            CannotCarryOut(f"the backend has not sent {action} within {patience_s:g} s"),
        )  # fmt: skip
        answer = await _await_frame_until(
            self._wait_for_answer(call), max(end_s, time.monotonic() + 10),
            CheckFailed(f"{action} was not answered by the station"),
        )  # fmt: skip
        return dict(answer.payload)

    async def _wait_for_answer(self, call: Frame) -> Frame:
        while True:
            for frame in self._frames.frames[call.seq :]:
                if frame.answers is call:
                    return frame
            await self._frames.wait_for_change(1.0)


async def wait_for_call(frames: FrameLog, actions: Sequence[str], from_station: bool, first: int) -> Frame:
    """Return the first request of these actions from frame ``first`` on. Without actions it waits for ever."""
    while True:
        for frame in frames.frames[first:]:
            if frame.kind == CALL and frame.action in actions and frame.from_station == from_station:
                return frame
        await frames.wait_for_change(1.0)


async def wait_for_sign(frames: FrameLog, actions: Sequence[str], first: int) -> Frame:
    """Return the first request of the station that shows a change. A status that it reports again shows none."""
    while True:
        found = await wait_for_call(frames, actions, True, first)
        if found.action != "StatusNotification" or _is_new_status(frames, found):
            return found
        first = found.seq + 1


def _is_new_status(frames: FrameLog, frame: Frame) -> bool:
    """Return whether an outlet had another status before. The first one after a start is no change."""
    earlier = [f for f in frames.frames[: frame.seq] if f.kind == CALL and f.action == frame.action]
    same_place = [f for f in earlier if _status_place(f) == _status_place(frame)]
    return bool(same_place) and _status_content(same_place[-1]) != _status_content(frame)


def _status_place(frame: Frame) -> tuple[Any, Any]:
    return frame.payload.get("evseId"), frame.payload.get("connectorId")


def _status_content(frame: Frame) -> dict[str, Any]:
    return {key: value for key, value in frame.payload.items() if key != "timestamp"}


async def run_user_command(command: Sequence[str], words: Sequence[str], patience_s: float) -> None:
    """Run a command of the user. Raises ``NotApplicable`` for exit code 3, ``CannotCarryOut`` for another one."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as e:
        raise CannotCarryOut(f"{command[0]} cannot be started: {e.strerror}") from e
    try:
        async with asyncio.timeout(patience_s):
            said, _ = await process.communicate()
    except TimeoutError:
        raise CannotCarryOut(f"{command[0]} {words[0]} has not ended within {patience_s:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    if process.returncode == EXIT_NOT_APPLICABLE:
        raise NotApplicable(last[0] or f"{command[0]} cannot do {words[0]}")
    if process.returncode:
        raise CannotCarryOut(f"{command[0]} {words[0]} has failed (exit code {process.returncode}): {last[0]}")


async def _await_frame_until(waiting: Any, end_s: float, problem: Exception) -> Frame:
    try:
        async with asyncio.timeout(max(end_s - time.monotonic(), 0)):
            found: Frame = await waiting
            return found
    except TimeoutError:
        raise problem from None


async def _cancel_tasks(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(t for t in tasks), return_exceptions=True)
