"""The port, for any output: newest screen wins, all work in one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from PIL import Image

from agent.kinds import Screen
from agent.ports import Broken, Unreachable
from agent.ports.driver import Where
from drivers.panel.faces import Face, faces, turns
from drivers.panel.layout import Size
from drivers.panel.mounting import Mounting
from drivers.panel.page import Page, page
from drivers.panel.texts import FALLBACKS, Texts, load

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
        self._wanted: Screen | None = None
        self._texts: dict[str, Texts] = {}
        self._page: Page | None = None
        self._faces: tuple[Face, ...] = ()
        self._turns: tuple[int, ...] = ()
        self._face = self._stood = 0
        self._output: Output | None = None
        self._failed: Exception | None = None
        self._turning: asyncio.Task[None] | None = None

    async def open(self, output: Callable[[], Output]) -> None:
        """``output`` is opened in the drawing thread."""
        await self._in_thread(lambda: self._prepare(output))
        self._turning = asyncio.create_task(self._turn_faces())

    @property
    def about(self) -> str:
        """What the panel says that it is."""
        output = self._output
        return "" if output is None else f"{output.size[0]}x{output.size[1]} pixels, {output.depth} bits each"

    async def show(self, screen: Screen) -> None:
        """Returns when ``screen`` is on the panel, or when a newer one has taken its place."""
        self._wanted = screen
        if self._turning is not None and self._turning.done():
            self._turning.result()  # a defect: it never ends by itself
        async with self._turn:
            if failed := self._failed:
                self._failed = None
                raise failed
            if self._wanted is screen:
                await self._in_thread(lambda: self._draw(screen))

    async def _turn_faces(self) -> None:
        """What does not fit at once takes turns. A panel that fails meanwhile is told by the next ``show``."""
        while True:
            await asyncio.sleep(self._mounting.turn_s)
            async with self._turn:
                try:
                    await self._in_thread(self._next)
                except (Unreachable, Broken) as e:
                    self._page, self._failed = None, e

    async def close(self) -> None:
        """The last picture stays on the panel."""
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
        if self._page is None or said.title != self._page.title:
            self._face = self._stood = 0  # a new state begins with its name; figures that go on do not disturb the turn
        self._page = None  # a picture that failed half-way is drawn again
        self._faces = faces(said, self._upright(self._output.size), self._output.depth, self._mounting.margin)
        self._turns = turns(self._faces) if said.qr else ()
        self._put(self._output)
        self._page = said

    def _next(self) -> None:
        if len(self._faces) < 2 or self._output is None:
            return
        self._stood += 1
        if not self._turns or self._stood >= self._turns[self._face % len(self._turns)]:
            self._stood = 0
            self._face += 1
            self._put(self._output)

    def _put(self, output: Output) -> None:
        image, turned = self._faces[self._face % len(self._faces)]().image, self._mounting.rotate
        output.show(image.rotate(-turned, expand=True) if turned else image)

    def _upright(self, size: Size) -> Size:
        """The panel as people see it."""
        return (size[1], size[0]) if self._mounting.rotate in (90, 270) else size


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
