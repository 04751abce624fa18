"""The port: newest screen wins, all work in one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from agent.kinds import Screen
from agent.ports.driver import Where
from drivers.display_framebuffer import FramebufferSettings
from drivers.display_framebuffer.page import Page, page
from drivers.display_framebuffer.texts import FALLBACKS, Texts, load

if TYPE_CHECKING:
    from drivers.display_framebuffer.raster import Framebuffer

T = TypeVar("T")


class FramebufferDisplay:
    """``DisplayPort`` over a frame buffer. ``open`` and ``show`` raise ``Unreachable``, ``Broken``."""

    def __init__(self, settings: FramebufferSettings, where: Where) -> None:
        self._settings = settings
        self._where = where
        self._thread = ThreadPoolExecutor(1, "display")
        self._turn = asyncio.Lock()
        self._wanted: Screen | None = None
        self._texts: dict[str, Texts] = {}
        self._page: Page | None = None
        self._buffer: Framebuffer | None = None

    @classmethod
    async def open(cls, settings: FramebufferSettings, where: Where) -> FramebufferDisplay:
        display = cls(settings, where)
        try:
            await display._in_thread(display._prepare)
        except BaseException:
            await display.close()
            raise
        return display

    async def show(self, screen: Screen) -> None:
        """Returns when ``screen`` is on the panel, or when a newer one has taken its place."""
        self._wanted = screen
        async with self._turn:
            if self._wanted is screen:
                await self._in_thread(lambda: self._draw(screen))

    async def close(self) -> None:
        """The last picture stays on the panel."""
        self._thread.shutdown(wait=False)
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            await asyncio.to_thread(self._thread.shutdown)
            buffer.close()

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    # --- in the thread -------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        from drivers.display_framebuffer.raster import Framebuffer

        for language in FALLBACKS:
            self._words(language)
        self._buffer = Framebuffer(self._settings)

    def _words(self, language: str) -> Texts:
        if language not in self._texts:
            self._texts[language] = load(language, self._where.config_dirs)
        return self._texts[language]

    def _draw(self, screen: Screen) -> None:
        from drivers.display_framebuffer.paint import paint

        said = page(screen, self._words(screen.language), self._where.facts)
        if said == self._page or self._buffer is None:
            return
        self._page = None  # a picture that failed half-way is drawn again
        g, s = self._buffer.geometry, self._settings
        size = (g.height, g.width) if s.rotate in (90, 270) else (g.width, g.height)
        image = paint(said, size, s.margin).image
        self._buffer.show(image.rotate(-s.rotate, expand=True) if s.rotate else image)
        self._page = said
