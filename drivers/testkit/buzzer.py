"""The contract of every buzzer driver: ``check_buzzer`` for any ``BuzzerPort``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from agent.ports.buzzer import BuzzerPort


async def check_buzzer(
    open_port: Callable[[], AbstractAsyncContextManager[BuzzerPort]], heard: Callable[[], Sequence[int]]
) -> None:
    """Check the tone: silent at open, sounds until the next order, silent when closed during a tone and after an error.

    ``heard``: the changes of the tone since the begin in Hz, 0 for silence.
    """
    async with open_port() as port:
        assert not any(heard()), "it sounds as soon as it is opened"
        for frequency_hz in (2400, 600, 0):
            await port.tone(frequency_hz)
        assert [hz > 0 for hz in heard()][-1] is False, "silence was ordered"
        assert any(heard()), "a tone was ordered, nothing was heard"
        await port.tone(2400)
        assert heard()[-1] > 0, "a tone was ordered, nothing was heard"
    assert heard()[-1] == 0, "it was closed and still sounds"
    try:
        async with open_port() as port:
            await port.tone(2400)
            raise RuntimeError("of the test")
    except RuntimeError:
        pass
    assert heard()[-1] == 0, "its user failed and it still sounds"
