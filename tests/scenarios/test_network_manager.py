"""An agent that reaches its backend by the real NetworkManager and ModemManager: over the simulated modem alone, and
over a LAN with the modem behind it."""

from __future__ import annotations

from pathlib import Path

from tests.support.network_site import OVER_LAN, OVER_MODEM, running_site

WRONG_PIN = "1234"


async def test_the_agent_boots_over_the_modem_with_the_numbers_of_its_sim(tmp_path: Path) -> None:
    async with running_site(tmp_path) as s:
        async with s.agent():
            boot = await s.came(OVER_MODEM, "BootNotification")
            assert (boot["iccid"], boot["imsi"]) == ("89352010000000000176", "270991234567890")
            said = await s.shown("* bearer[0]  gprs  up, interface wwan0, address 10.91.2.")
            assert "SIM ready (ICCID …0176), registration roaming, operator LU POST, technology EDGE, signal -" in said
        async with s.agent():  # it was killed: the connection is still there
            await s.came(OVER_MODEM, "BootNotification")
        modem = await s.daemons.modem.do("state")
        assert modem["pins_tried"] == 1
        assert len([c for c in modem["commands"] if c.startswith("+GTRNDIS=1")]) == 1


async def test_the_modem_carries_when_the_cable_is_pulled(tmp_path: Path) -> None:
    async with running_site(tmp_path, has_lan=True) as s, s.agent():
        await s.came(OVER_LAN, "BootNotification")
        await s.shown("* bearer[0]  lan   up, interface", "  bearer[1]  gprs  up, interface wwan0")
        s.daemons.pull_cable()
        await s.came(OVER_MODEM, "Heartbeat", within_s=10)
        await s.shown("  bearer[0]  lan   down", "no carrier: check the cable or the radio", "* bearer[1]  gprs  up")
        s.daemons.pull_cable(is_out=False)
        await s.shown("  bearer[0]  lan   up, interface", "* bearer[1]  gprs  up")


async def test_a_wrong_pin_is_tried_once_by_agent_and_services_together(tmp_path: Path) -> None:
    async with running_site(tmp_path, pin=WRONG_PIN, has_lan=True) as s:
        for attempt in range(2):
            async with s.agent():
                await s.came(OVER_LAN, "BootNotification")
                await s.shown("bearer[1]  gprs  down, SIM PIN re")
                if attempt:
                    await s.daemons.end("ModemManager")
                    await s.daemons.start_modem_manager()
                    await s.daemons.report_ports()
                    await s.shown("bearer[1]  gprs  down, SIM PIN required")
        state = await s.daemons.modem.do("state")
        assert (state["pins_tried"], state["values"]["tries"]) == (1, 2)
