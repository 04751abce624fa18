"""The port, for any output: newest screen wins, all work in one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from PIL import Image

from agent.kinds import Screen
from agent.ports.driver import Where
from drivers.panel.page import Page, page
from drivers.panel.paint import paint
from drivers.panel.texts import FALLBACKS, Texts, load

T = TypeVar("T")


class Output(Protocol):
    """Where a picture goes. ``size``: width and height of what ``show`` takes (RGB). All calls come from one thread;
    ``show`` returns the bytes written and raises ``Unreachable``, ``Broken``."""

    @property
    def size(self) -> tuple[int, int]: ...
    def show(self, image: Image.Image) -> int: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Mounting:
    """How the panel sits in the door. ``rotate``: clockwise, 0, 90, 180 or 270. ``margin``: pixels on each side that
    the bezel hides."""

    rotate: int = 0
    margin: int = 0


class PanelDisplay:
    """``DisplayPort`` over an output. ``show`` raises ``Unreachable``, ``Broken``."""

    def __init__(self, mounting: Mounting, where: Where) -> None:
        self._mounting = mounting
        self._where = where
        self._thread = ThreadPoolExecutor(1, "display")
        self._turn = asyncio.Lock()
        self._wanted: Screen | None = None
        self._texts: dict[str, Texts] = {}
        self._page: Page | None = None
        self._output: Output | None = None

    async def open(self, output: Callable[[], Output]) -> None:
        """``output`` is opened in the drawing thread."""
        await self._in_thread(lambda: self._prepare(output))

    async def show(self, screen: Screen) -> None:
        """Returns when ``screen`` is on the panel, or when a newer one has taken its place."""
        self._wanted = screen
        async with self._turn:
            if self._wanted is screen:
                await self._in_thread(lambda: self._draw(screen))

    async def close(self) -> None:
        """The last picture stays on the panel."""
        self._thread.shutdown(wait=False)
        if self._output is not None:
            output, self._output = self._output, None
            await asyncio.to_thread(self._thread.shutdown)
            output.close()

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    # --- in the thread -------------------------------------------------------------------------------------------

    def _prepare(self, output: Callable[[], Output]) -> None:
        for language in FALLBACKS:
            self._words(language)
        self._output = output()

    def _words(self, language: str) -> Texts:
        if language not in self._texts:
            self._texts[language] = load(language, self._where.config_dirs)
        return self._texts[language]

    def _draw(self, screen: Screen) -> None:
        said = page(screen, self._words(screen.language), self._where.facts)
        if said == self._page or self._output is None:
            return
        self._page = None  # a picture that failed half-way is drawn again
        m, (width, height) = self._mounting, self._output.size
        image = paint(said, (height, width) if m.rotate in (90, 270) else (width, height), m.margin).image
        self._output.show(image.rotate(-m.rotate, expand=True) if m.rotate else image)
        self._page = said


@asynccontextmanager
async def opened(output: Callable[[], Output], mounting: Mounting, where: Where) -> AsyncIterator[PanelDisplay]:
    """Yields the port over ``output`` and closes both. Raises ``Unreachable`` (no such device), ``Broken`` (settings,
    texts)."""
    display = PanelDisplay(mounting, where)
    try:
        await display.open(output)
        yield display
    finally:
        await display.close()
