"""The checks of ``chargy-agent verify`` for signs."""

from __future__ import annotations

from agent.ports.verify import Check, DeviceUnderTest


async def check_sign_shows_text(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as port:
        await port.show_text("1 free")
        shown = bench.settings.path.read_text("utf-8")
        assert shown == "1 free", f"{bench.name}: shows {shown!r}"
    return "shows what it is given"


CHECKS = (Check("sign", "shows_text", check_sign_shows_text),)
