"""An agent whose modem loses the network, and then its supply: it connects again by itself, step by step."""

from __future__ import annotations

from pathlib import Path

from tests.support.network_site import OVER_MODEM, running_site

UP = "* bearer[0]  gprs  up, interface wwan0"


async def test_the_modem_is_recovered_after_a_lost_network_and_a_brown_out(tmp_path: Path) -> None:
    async with running_site(tmp_path) as s, s.agent():
        await s.came(OVER_MODEM, "BootNotification")
        modem = s.daemons.modem
        await modem.do("detach")
        await s.shown("bearer[0]  gprs  down", "registration searching: not registered in the network (searching)")
        await modem.fault("searching", on=False)
        await s.came(OVER_MODEM, "Heartbeat", within_s=120)
        assert "+CGATT=0" in (await modem.do("state"))["commands"], "it was re-attached"
        await modem.do("vanish")
        await s.daemons.report_ports("remove")
        await s.shown("bearer[0]  gprs  absent: ModemManager has no such modem")
        await modem.do("return")
        await s.daemons.report_ports("add")
        await s.shown(UP)
        await s.came(OVER_MODEM, "Heartbeat")
        state = await modem.do("state")
        assert (state["pins_tried"], state["values"]["tries"]) == (2, 3), "once for each time it was locked"
