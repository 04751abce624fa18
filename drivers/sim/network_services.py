"""Far end of ModemManager and NetworkManager: a system bus with both services on it, in a process of its own.

``python -m drivers.sim.network_services --bus SOCKET --control SOCKET --wifi IFACE --wwan IFACE``. It has a modem and a
Wi-Fi interface, and shows what the real services do not show on every machine. Orders at the control socket, one JSON
object a line: ``{"do": "fault", "name": "silent", "on": true}``, ``{"do": "set", "tries": 1}``, ``state``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from drivers.sim.control_socket import ControlOrder, ControlSocket, switch_fault
from drivers.sim.dbus_wire import (
    ANSWER,
    CALL,
    ERROR,
    SIGNAL,
    BusMessage,
    Typed,
    message_length,
    read_message,
    write_message,
)

MM, NM = "org.freedesktop.ModemManager1", "org.freedesktop.NetworkManager"
MODEM_PATH, SIM_PATH = "/org/freedesktop/ModemManager1/Modem/0", "/org/freedesktop/ModemManager1/SIM/0"
NM_PATH = "/org/freedesktop/NetworkManager"
WIFI_PATH, WWAN_PATH = f"{NM_PATH}/Devices/2", f"{NM_PATH}/Devices/3"
UNAVAILABLE, DISCONNECTED, PREPARE, ACTIVATED, FAILED = 20, 30, 40, 100, 120
FAULTS = (
    "silent", "not_allowed", "no_modem", "two_modems", "no_sim", "pin_silent", "pin_fails", "pin_denied",
    "tries_stale", "no_tries", "hangs", "no_attach", "no_lte", "register_fails", "register_denied",
)  # fmt: skip
"""``silent``: no call is answered. ``not_allowed``: polkit refuses every change. ``pin_silent``: the call with the PIN
is not answered, and the SIM has got it. ``pin_fails``: it gets an error that does not mean a wrong PIN. ``pin_denied``:
the SIM has got it, and the error sounds like one of rights. ``tries_stale``: the tries are those of the start.
``no_tries``: they are not reported. ``hangs``: an activation does not end. ``no_attach``: the modem cannot leave the
packet network alone. ``no_lte``: it has no initial APN. ``register_fails``: it takes no choice of an operator.
``register_denied``: polkit refuses that choice."""


class CallError(Exception):
    """``args``: the name of the error on the bus, and its text."""


def _variants(properties: dict[str, tuple[str, Any]]) -> dict[str, Typed]:
    return {name: Typed(*value) for name, value in properties.items()}


class Services:
    """Both services: calls in, answers and signals out. ``signals``: those that wait to be sent."""

    def __init__(self, wifi: str, wwan: str) -> None:
        self.wifi, self.wwan = wifi, wwan
        self.faults: set[str] = set()
        self.values: dict[str, Any] = {
            "pin": "", "tries": 3, "locked": False, "state": 8, "registration": 5, "signal": 54,
            "iccid": "89352010000000000176", "reason": 0, "initial": {"apn": ""},
            "operator": "", "networks": [],
        }  # fmt: skip
        """``reason``: NMDeviceStateReason with which each activation fails; 0: it does not."""
        self.calls: list[str] = []
        self.profiles: dict[str, dict[str, dict[str, Any]]] = {}
        self.active: dict[str, tuple[str, str]] = {}
        """By the device: the path of its active connection, and of its profile."""
        self.volatile: set[str] = set()
        self.signals: list[tuple[str, str, str, list[Any]]] = []
        self._count = 0

    def answer_call(self, path: str, interface: str, member: str, body: list[Any]) -> tuple[str, Any] | None:
        """Return signature and value of the answer; None: there is none. Raises ``CallError``."""
        self.calls.append(member)
        if "silent" in self.faults:
            return None
        if member == "GetAll":
            return "a{sv}", _variants(self._properties(path, body[0]))
        handler = getattr(self, "_on_" + member.lower(), None)
        if handler is None:
            raise CallError("org.freedesktop.DBus.Error.UnknownMethod", f"no {interface}.{member}")
        if "not_allowed" in self.faults and not member.startswith(("Get", "List")):
            raise CallError(f"{interface.rpartition('.')[0]}.Error.Core.Unauthorized", "PolicyKit authorization failed")
        found: tuple[str, Any] | None = handler(path, body)
        return found

    def _new_path(self, kind: str) -> str:
        self._count += 1
        return f"{NM_PATH}/{kind}/{self._count}"

    # --- properties --------------------------------------------------------------------------------------------------

    def _properties(self, path: str, interface: str) -> dict[str, tuple[str, Any]]:
        if path == SIM_PATH:
            hidden = self.values["locked"]
            numbers = ("", "") if hidden else (self.values["iccid"], "270991234567890")
            return {"SimIdentifier": ("s", numbers[0]), "Imsi": ("s", numbers[1])}
        if path in (WIFI_PATH, WWAN_PATH):
            return self._device_properties(path)
        for device, (active, profile) in self.active.items():
            if active == path:
                connection = self.profiles[profile]["connection"]
                state = 2 if "hangs" not in self.faults else 1
                return {
                    "Uuid": ("s", connection["uuid"]), "Id": ("s", connection["id"]), "State": ("u", state),
                    "Devices": ("ao", [device]),
                }  # fmt: skip
        raise CallError("org.freedesktop.DBus.Error.UnknownObject", f"no {path}")

    def _device_properties(self, path: str) -> dict[str, tuple[str, Any]]:
        active = self.active.get(path, ("/", ""))[0]
        is_wifi = path == WIFI_PATH
        return {
            "Udi": ("s", "/sys/wlan" if is_wifi else MODEM_PATH),
            "Interface": ("s", self.wifi if is_wifi else "ttyACM0"),
            "IpInterface": ("s", self.wifi if is_wifi else self.wwan),
            "State": ("u", DISCONNECTED if active == "/" else ACTIVATED),
            "StateReason": ("(uu)", (0, 0)),
            "ActiveConnection": ("o", active),
        }

    def _modem(self) -> dict[str, dict[str, Typed]]:
        values = self.values
        is_locked, is_missing = values["locked"], "no_sim" in self.faults
        modem: dict[str, tuple[str, Any]] = {
            "State": ("i", -1 if is_missing else 2 if is_locked else values["state"]),
            "StateFailedReason": ("u", 2 if is_missing else 0),
            "UnlockRequired": ("u", (2 if values["tries"] else 4) if is_locked else 1),
            "UnlockRetries": ("a{uu}", self._reported_tries()),
            "SignalQuality": ("(ub)", (values["signal"], True)),
            "AccessTechnologies": ("u", 1 << 14 | 1 << 4),
            "Sim": ("o", "/" if is_missing else SIM_PATH),
            "EquipmentIdentifier": ("s", "356938035643809"), "Device": ("s", "/sys/devices/usb1/1-1"),
            "PrimaryPort": ("s", "ttyACM0"), "Ports": ("a(su)", [("ttyACM0", 3)]),
        }  # fmt: skip
        network = {
            "RegistrationState": ("u", values["registration"]), "OperatorName": ("s", "LU POST"),
            "InitialEpsBearerSettings": ("a{sv}", {k: Typed("s", v) for k, v in values["initial"].items()}),
        }  # fmt: skip
        return {f"{MM}.Modem": _variants(modem), f"{MM}.Modem.Modem3gpp": _variants(network)}

    def _reported_tries(self) -> dict[int, int]:
        tries = None if "no_tries" in self.faults else 3 if "tries_stale" in self.faults else self.values["tries"]
        return {2: tries, 4: 10} if tries is not None else {}

    # --- ModemManager ------------------------------------------------------------------------------------------------

    def _on_getmanagedobjects(self, path: str, body: list[Any]) -> tuple[str, Any]:
        count = 0 if "no_modem" in self.faults else 2 if "two_modems" in self.faults else 1
        return "a{oa{sa{sv}}}", {MODEM_PATH[:-1] + str(n): self._modem() for n in range(count)}

    def _on_sendpin(self, path: str, body: list[Any]) -> tuple[str, Any] | None:
        if "pin_fails" in self.faults:
            raise CallError(f"{MM}.Error.MobileEquipment.SimBusy", "SIM busy")
        if body[0] != self.values["pin"]:
            self.values["tries"] -= 1
            if "pin_denied" in self.faults:
                raise CallError(f"{MM}.Error.MobileEquipment.NotAuthorized", "not authorized")
            if "pin_silent" in self.faults:
                return None
            raise CallError(f"{MM}.Error.MobileEquipment.IncorrectPassword", "Incorrect password")
        self.values["locked"] = False
        return None if "pin_silent" in self.faults else ("", None)

    def _on_enable(self, path: str, body: list[Any]) -> tuple[str, Any]:
        self.values["state"] = 8 if body[0] else 3
        return "", None

    def _on_setpowerstate(self, path: str, body: list[Any]) -> tuple[str, Any]:
        return "", None

    _on_reset = _on_setpowerstate

    def _on_register(self, path: str, body: list[Any]) -> tuple[str, Any]:
        """``networks``: the operators in reach; none: all that are asked for."""
        if "register_denied" in self.faults:
            raise CallError(f"{MM}.Error.Core.Unauthorized", "PolicyKit authorization failed")
        if "register_fails" in self.faults:
            raise CallError(f"{MM}.Error.MobileEquipment.NotSupported", "operation not supported")
        self.values["operator"] = body[0]
        if self.values["networks"] and body[0] and body[0] not in self.values["networks"]:
            raise CallError(f"{MM}.Error.MobileEquipment.NoNetwork", "no such network")
        return "", None

    def _on_setpacketservicestate(self, path: str, body: list[Any]) -> tuple[str, Any]:
        if "no_attach" in self.faults:
            raise CallError(f"{MM}.Error.Core.Unsupported", "not supported")
        return "", None

    def _on_setinitialepsbearersettings(self, path: str, body: list[Any]) -> tuple[str, Any]:
        if "no_lte" in self.faults:
            raise CallError(f"{MM}.Error.Core.Unsupported", "not supported")
        self.values["initial"] = body[0]
        return "", None

    # --- NetworkManager ----------------------------------------------------------------------------------------------

    def _on_getdevicebyipiface(self, path: str, body: list[Any]) -> tuple[str, Any]:
        if body[0] != self.wifi:
            raise CallError(f"{NM}.UnknownDevice", "No device found for the requested iface.")
        return "o", WIFI_PATH

    def _on_getdevices(self, path: str, body: list[Any]) -> tuple[str, Any]:
        return "ao", [WIFI_PATH, WWAN_PATH]

    def _on_listconnections(self, path: str, body: list[Any]) -> tuple[str, Any]:
        return "ao", list(self.profiles)

    def _on_getsettings(self, path: str, body: list[Any]) -> tuple[str, Any]:
        connection = self._profile(path)["connection"]
        if "permissions" in connection:
            raise CallError(f"{NM}.Settings.PermissionDenied", "uid 0 has no permission to perform this operation")
        shown = {name: Typed("b" if isinstance(value, bool) else "s", value) for name, value in connection.items()}
        return "a{sa{sv}}", {"connection": shown}

    def _profile(self, path: str) -> dict[str, dict[str, Any]]:
        if path not in self.profiles:
            raise CallError("org.freedesktop.DBus.Error.UnknownObject", f"no {path}")
        return self.profiles[path]

    def _on_addconnection2(self, path: str, body: list[Any]) -> tuple[str, Any]:
        made = self._new_path("Settings")
        self.profiles[made] = body[0]
        return "oa{sv}", (made, {})

    def _on_update2(self, path: str, body: list[Any]) -> tuple[str, Any]:
        self._profile(path)
        self.profiles[path] = body[0]
        return "a{sv}", {}

    def _on_delete(self, path: str, body: list[Any]) -> tuple[str, Any]:
        self._profile(path)
        del self.profiles[path]
        return "", None

    def _on_activateconnection(self, path: str, body: list[Any]) -> tuple[str, Any]:
        profile, device, _ = body
        return "o", self._activate(profile, device)

    def _on_addandactivateconnection2(self, path: str, body: list[Any]) -> tuple[str, Any]:
        made = self._new_path("Settings")
        self.profiles[made] = body[0]
        if body[3].get("persist") == "volatile":
            self.volatile.add(made)
        return "ooa{sv}", (made, self._activate(made, body[1]), {})

    def _activate(self, profile: str, device: str) -> str:
        self._profile(profile)
        made = self._new_path("ActiveConnection")
        self.signals.append((device, f"{NM}.Device", "StateChanged", [PREPARE, DISCONNECTED, 0]))
        if self.values["reason"]:
            failure = [FAILED, PREPARE, self.values["reason"]]
            self.signals.append((device, f"{NM}.Device", "StateChanged", failure))
            self._forget(profile)
        else:
            self.active[device] = made, profile
        return made

    def _on_deactivateconnection(self, path: str, body: list[Any]) -> tuple[str, Any]:
        for device, (active, profile) in list(self.active.items()):
            if active == body[0]:
                del self.active[device]
                self._forget(profile)
        return "", None

    def _forget(self, profile: str) -> None:
        if profile in self.volatile:
            self.volatile.remove(profile)
            del self.profiles[profile]


class BusConnection:
    """One client of the bus. It has the bus for itself."""

    def __init__(self, services: Services, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._services, self._reader, self._writer = services, reader, writer
        self._serial = 0

    async def serve(self) -> None:
        await self._reader.readexactly(1)
        while (line := await self._reader.readline()) != b"BEGIN\r\n":
            is_login = line.startswith(b"AUTH EXTERNAL")
            self._writer.write(b"OK 0123456789abcdef0123456789abcdef\r\n" if is_login else b"REJECTED EXTERNAL\r\n")
        while True:
            head = await self._reader.readexactly(16)
            message = read_message(head + await self._reader.readexactly(message_length(head) - 16))
            if message.kind == CALL:
                self._answer(message)

    def _answer(self, message: BusMessage) -> None:
        fields = {"answers": message.serial, "sender": message.fields.get("destination", "")}
        try:
            found = self._find_answer(message)
        except CallError as e:
            self._send(ERROR, {**fields, "error": e.args[0]}, "s", e.args[1])
            found = None
        if found is not None:
            signature, value = found
            values = value if signature in ("oa{sv}", "ooa{sv}") else (value,)
            self._send(ANSWER, fields, signature, *(values if signature else ()))
        for path, interface, member, body in self._services.signals:
            self._send(SIGNAL, {"path": path, "interface": interface, "member": member, "sender": NM}, "uuu", *body)
        self._services.signals.clear()

    def _find_answer(self, message: BusMessage) -> tuple[str, Any] | None:
        f = message.fields
        if f.get("destination") == "org.freedesktop.DBus":
            return ("s", ":1.1") if f["member"] == "Hello" else ("", None)
        return self._services.answer_call(f["path"], f.get("interface", ""), f["member"], message.body)

    def _send(self, kind: int, fields: dict[str, Any], signature: str, *body: Any) -> None:
        self._serial += 1
        self._writer.write(write_message(kind, self._serial, fields, signature, *body))


class FarEndProcess:
    """The bus and the control socket around the services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, bus: str, control: str) -> None:
        await asyncio.start_unix_server(self._serve_bus, bus)
        await ControlSocket(self._obey_order, self._read_state).serve_until_signal(control)

    async def _serve_bus(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await BusConnection(self._services, reader, writer).serve()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    def _obey_order(self, order: ControlOrder) -> None:
        services = self._services
        match order["do"]:
            case "fault":
                switch_fault(services.faults, order, FAULTS)
            case "set":
                services.values |= {key: order[key] for key in order.keys() & services.values.keys()}
            case "profile":
                services.profiles[f"{NM_PATH}/Settings/foreign"] = {"connection": order["connection"]}
            case "state":
                pass
            case other:
                raise ValueError(f"no such order: {other}")

    def _read_state(self) -> ControlOrder:
        profiles = list(self._services.profiles.values())
        return {
            "calls": self._services.calls,
            "profiles": json.loads(json.dumps(profiles, default=lambda value: value.decode())),
            "values": {key: value for key, value in self._services.values.items() if key != "pin"},
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="drivers.sim.network_services")
    parser.add_argument("--bus", required=True, help="path of the Unix socket of the bus")
    parser.add_argument("--control", required=True, help="path of the Unix socket for faults and the state")
    parser.add_argument("--wifi", default="wlan0", help="the interface that is the Wi-Fi network")
    parser.add_argument("--wwan", default="wwan0", help="the interface that the modem has")
    args = parser.parse_args()
    asyncio.run(FarEndProcess(Services(args.wifi, args.wwan)).run(args.bus, args.control))


if __name__ == "__main__":
    main()
