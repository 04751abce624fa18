"""The port, for any output: the newest screens win, all work in one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar

from PIL import Image

from agent.model.types import Screen
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from drivers.panel.layout import Size
from drivers.panel.mounting import Mounting
from drivers.panel.outlet_views import Panel, View, pages_by_rounds, views_of_pages
from drivers.panel.page import Page, count_message_rounds, page_of_screen
from drivers.panel.texts import FALLBACKS, Texts, load_texts

T = TypeVar("T")


class Output(Protocol):
    """Where a picture goes. ``size``: width and height of what ``show`` takes (RGB); ``depth``: bits per pixel that the
    panel makes of it. All calls come from one thread; ``show`` returns the bytes written and raises ``Unreachable``,
    ``Broken``."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def depth(self) -> int: ...
    def show(self, image: Image.Image) -> int: ...
    def close(self) -> None: ...


class PanelDisplay:
    """``DisplayPort`` over an output. ``show`` raises ``Unreachable``, ``Broken``."""

    def __init__(self, mounting: Mounting, where: Where) -> None:
        self._mounting = mounting
        self._where = where
        self._thread = ThreadPoolExecutor(1, "display")
        self._turn = asyncio.Lock()
        self._wanted: tuple[Screen, ...] = ()
        self._texts: dict[str, Texts] = {}
        self._pages: tuple[Page, ...] | None = None
        """What is on the panel; None: it is not known."""
        self._act: tuple[int, int] = (0, 0)
        """The newest act of a person: at which outlet, and how many there were."""
        self._round = self._rounds = 0
        """Which of so many rounds is shown: each has another message of a backend."""
        self._views: tuple[View, ...] = ()
        self._view = self._face = 0
        self._stood = self._stayed = 0
        """For how many turns the face, and the view, have been there."""
        self._output: Output | None = None
        self._failed: Exception | None = None
        self._anew = asyncio.Event()
        self._turning: asyncio.Task[None] | None = None

    async def open_output(self, output: Callable[[], Output]) -> None:
        """Open the output with ``output``, which is called in the drawing thread."""
        await self._in_thread(lambda: self._open_in_thread(output))
        self._turning = asyncio.create_task(self._turn_faces())

    @property
    def about(self) -> str:
        """What the panel is, as its output reports it."""
        output = self._output
        return "" if output is None else f"{output.size[0]}x{output.size[1]} pixels, {output.depth} bits each"

    async def show(self, first: Screen, /, *others: Screen) -> None:
        """Show these screens. Return when they have their turn on the panel, or when newer ones have taken their
        place."""
        screens = self._wanted = (first, *others)
        if self._turning is not None and self._turning.done():
            self._turning.result()  # a defect: it never ends by itself
        async with self._turn:
            if failed := self._failed:
                self._failed = None
                raise failed
            if self._wanted is screens and await self._in_thread(lambda: self._draw_screens(screens)):
                self._anew.set()

    async def _turn_faces(self) -> None:
        """Show in turns what does not fit at once. A panel that fails meanwhile is reported by the next ``show``."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._anew.wait(), self._mounting.turn_s)
                self._anew.clear()
                continue  # what has just come to the front has its whole turn
            async with self._turn:
                try:
                    await self._in_thread(self._show_next_face)
                except (Unreachable, Broken) as e:
                    self._pages, self._failed = None, e

    async def close_display(self) -> None:
        """Close the display. The last picture stays on the panel."""
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.wait([self._turning])
        self._thread.shutdown(wait=False)
        if self._output is not None:
            output, self._output = self._output, None
            await asyncio.to_thread(self._thread.shutdown)
            output.close()

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    # --- in the thread -------------------------------------------------------------------------------------------

    def _open_in_thread(self, output: Callable[[], Output]) -> None:
        for language in FALLBACKS:
            self._texts_of_language(language)
        self._output = output()

    def _texts_of_language(self, language: str) -> Texts:
        if language not in self._texts:
            self._texts[language] = load_texts(language, self._where.config_dirs)
        return self._texts[language]

    def _draw_screens(self, screens: tuple[Screen, ...]) -> bool:
        """Draw the screens. Return whether one was brought to the front, whose turn begins now."""
        pages = tuple(page_of_screen(s, self._texts_of_language(s.language), self._where.facts) for s in screens)
        act = (pages[0].evse, screens[0].acts)
        if self._output is None:
            return False
        pages = pages_by_rounds(pages, self._panel_of_output(self._output))
        if pages == self._pages and act == self._act:
            return False
        before = self._views[self._view] if self._pages is not None else None
        front = before is None or (len(pages) > 1 and act != self._act)
        self._pages = None  # a picture that failed half-way is drawn again
        self._rounds = count_message_rounds(pages)
        self._round %= self._rounds
        self._views = views_of_pages(pages, self._panel_of_output(self._output), self._round)
        self._turn_to(pages[0].evse if front or before is None else before.evse_numbers[0])
        now = self._views[self._view]
        if front:
            self._face = self._stood = self._stayed = 0
        elif before is None or (now.evse_numbers, now.page_titles) != (before.evse_numbers, before.page_titles):
            self._face = self._stood = 0  # a new state begins with its name; figures that go on do not disturb the turn
        if front or before is None or now.pages != before.pages:
            self._show_face(self._output)
        self._pages, self._act = pages, act
        return front

    def _turn_to(self, evse: int) -> None:
        self._view = next((n for n, view in enumerate(self._views) if evse in view.evse_numbers), 0)

    def _show_next_face(self) -> None:
        """End a turn: show the next face, or the next view."""
        if self._output is None or not self._views:
            return
        view = self._views[self._view]
        self._stood += 1
        self._stayed += 1
        if (len(self._views) > 1 or self._rounds > 1) and self._stayed >= sum(view.turns):
            self._turn_to_next_view(self._output)
            self._face = self._stood = self._stayed = 0
            self._show_face(self._output)
        elif len(view.faces) > 1 and self._stood >= view.turns[self._face % len(view.turns)]:
            self._stood = 0
            self._face += 1
            self._show_face(self._output)

    def _turn_to_next_view(self, output: Output) -> None:
        self._view = (self._view + 1) % len(self._views)
        if self._view == 0 and self._rounds > 1 and self._pages is not None:
            self._round = (self._round + 1) % self._rounds
            self._views = views_of_pages(self._pages, self._panel_of_output(output), self._round)

    def _show_face(self, output: Output) -> None:
        view, turned = self._views[self._view], self._mounting.rotate
        image = view.faces[self._face % len(view.faces)]().image
        output.show(image.rotate(-turned, expand=True) if turned else image)

    def _panel_of_output(self, output: Output) -> Panel:
        return Panel(self._upright_size(output.size), output.depth, self._mounting.margin, self._mounting.turn_s)

    def _upright_size(self, size: Size) -> Size:
        """Return the size of the panel as people see it."""
        return (size[1], size[0]) if self._mounting.rotate in (90, 270) else size


@asynccontextmanager
async def open_display(output: Callable[[], Output], mounting: Mounting, where: Where) -> AsyncIterator[PanelDisplay]:
    """Yield the port over ``output`` and closes both. Raises ``Unreachable`` (no such device), ``Broken`` (settings,
    texts)."""
    display = PanelDisplay(mounting, where)
    try:
        await display.open_output(output)
        yield display
    finally:
        await display.close_display()
