"""Look for a sign of life of the backend when nothing has come from it for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.domain.messages import HeartbeatWanted
from agent.domain.variables import Settings
from agent.model.slim_event import SlimEvent
from agent.ocpp.link_config import LinkConfig, LinkHooks
from agent.ocpp.message_sender import MessageSender
from agent.ocpp.transport.call_channel import CallChannel
from agent.ocpp.transport.timeouts import wait_for_event


class SilenceWatch:
    """Sends pings after silence only. ``send_heartbeat``: queues a heartbeat, if the link is up."""

    def __init__(
        self,
        config: LinkConfig,
        hooks: LinkHooks,
        settings: Settings,
        channel: CallChannel,
        sender: MessageSender,
        send_heartbeat: Callable[[HeartbeatWanted], bool],
    ) -> None:
        self._settings, self._channel, self._sender, self._send_heartbeat = settings, channel, sender, send_heartbeat
        self._saves_pings, self._pong_s = config.wire.saves_pings, config.timeouts.pong_s
        self._silence_limit_s = hooks.silence_limit_s
        self._interval_changed = SlimEvent()

    def interval_changed(self) -> None:
        """Note that the interval may be another one from now on."""
        self._interval_changed.set()

    async def run(self) -> None:
        """Watch one connection. Return when it is dead. A ping interval of 0 switches the pings
        off: then TCP keepalive and the call time-outs remain."""
        replaced_s = 0.0
        while True:
            self._interval_changed.clear()
            (interval_s, is_limited), received_s = self._interval_in_force(), self._channel.last_received_s
            quiet_s = time.monotonic() - received_s
            if interval_s == 0 or quiet_s < interval_s:
                await wait_for_event(self._interval_changed, interval_s - quiet_s if interval_s else None)
            elif replaced_s != received_s and not is_limited and self._replace_ping_by_heartbeat(interval_s):
                replaced_s = received_s  # if it has no answer either, a ping follows
                await wait_for_event(self._interval_changed, min(self._pong_s, interval_s))
            elif not await self._channel.is_alive():
                self._channel.log_seldom(f"{self._channel.url}: no answer to a ping: connection closed, trying again")
                return

    def _interval_in_force(self) -> tuple[float, bool]:
        """Return the ping interval (0: no pings), and whether the bearer in use has made it shorter. No ping is saved
        then: a heartbeat in its place would find the silence later."""
        interval_s, limit_s = self._settings.int_value("ping_interval_s"), self._silence_limit_s()
        return (interval_s, False) if limit_s is None or interval_s <= limit_s else (limit_s, True)

    def _replace_ping_by_heartbeat(self, interval_s: float) -> bool:
        """Send a heartbeat that would be due before the next ping. It saves this one."""
        is_due_soon = self._sender.heartbeat.due_s() < time.monotonic() + interval_s
        return self._saves_pings and is_due_soon and self._send_heartbeat(HeartbeatWanted())
