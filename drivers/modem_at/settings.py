"""Settings of ``drivers.modem_at``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from agent.model.key_rules import BaudRate, Between, DevicePath, OneLine, OneOf, Text
from drivers.mobile_modem import AccessPointName, ApnPassword, OperatorCode, SimPin, UserName
from drivers.network_interface import NETWORK_CLASS, InterfaceName, NetworkFolder


@dataclass(frozen=True, slots=True)
class ModemSettings:
    """``device``: the line for AT commands. ``data_device``: a second line of the modem for PPP, so that its signal is
    known while it is connected; "": the same line carries both. ``apn``, ``username``, ``password``, ``auth``: of the
    network operator. ``operator``: country and network code of the only one that the modem may use; "": any.
    ``number``: what is dialled. ``interface``: the name that pppd gives to its interface. ``pppd``: the command that
    starts it. ``network_folder``: where the state of the interface is read. ``power``: a command that switches the
    supply of the modem off and on; empty: there is none. ``answer_s``: how long an answer may take; ``register_s``: how
    long the network may take; ``connect_s``: how long the call and pppd may take each."""

    device: DevicePath
    data_device: DevicePath = ""
    baud: BaudRate = 115_200
    pin: SimPin = field(default="", repr=False)
    apn: AccessPointName = ""
    username: UserName = ""
    password: ApnPassword = field(default="", repr=False)
    auth: Annotated[str, OneOf(("none", "pap", "chap", "auto"))] = "none"
    operator: OperatorCode = ""
    number: Annotated[str, Text(20, 1, "[0-9*#]+", "digits, * and #")] = "*99***1#"
    interface: InterfaceName = "ppp0"
    network_folder: NetworkFolder = NETWORK_CLASS
    pppd: tuple[OneLine, ...] = ("pppd",)
    power: tuple[OneLine, ...] = ()
    answer_s: Annotated[float, Between(0.1, 30, "seconds")] = 3.0
    register_s: Annotated[float, Between(0.1, 60, "seconds")] = 30.0
    connect_s: Annotated[float, Between(0.1, 60, "seconds")] = 45.0
