"""Frames of a central system that is broken or means harm, drawn at random: made from the schemas of the standard and
valid, or broken somewhere; deep, long, repeated, late, binary, and noise."""

from __future__ import annotations

import json
import random
import string
from collections import deque
from typing import Any, TypeAlias

from tests.support.large_frames import others, requests
from tests.support.strict_csms import REQUEST, SCHEMAS

Content: TypeAlias = str | bytes
STATION_SAYS = {
    "Authorize", "BootNotification", "ClearedChargingLimit", "DiagnosticsStatusNotification",
    "FirmwareStatusNotification", "Get15118EVCertificate", "GetCertificateStatus", "Heartbeat",
    "LogStatusNotification", "MeterValues", "NotifyChargingLimit", "NotifyCustomerInformation",
    "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "NotifyEvent",
    "NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification", "ReportChargingProfiles",
    "ReservationStatusUpdate", "SecurityEventNotification", "SignCertificate", "SignedFirmwareStatusNotification",
    "StartTransaction", "StatusNotification", "StopTransaction", "TransactionEvent",
}  # fmt: skip
ENDS = {"Reset"}
"""What a station obeys by ending its process: only sent broken."""
RARE = {"GetBaseReport": 0.02, "GetReport": 0.1, "CustomerInformation": 0.1, "GetChargingProfiles": 0.3}
"""One of them is answered by up to fifty messages."""
NAMES = (
    "HeartbeatInterval", "AuthorizationKey", "MeterValueSampleInterval", "TxCtrlr", "EVConnectionTimeOut", "EVSE",
    "SecurityCtrlr", "BasicAuthPassword", "OCPPCommCtrlr", "NetworkConfigurationPriority", "DefaultPrice", "Power",
    "org.openchargealliance.costmsg", "cloud.charging.open", "SetUserPrice", "FinalCost", "NotifyWebPaymentStarted",
    '{"priceText":"x"}', "[[[[", "ftp://u:p@127.0.0.1:1/x", "http://127.0.0.1:1/?s=1", "\ud800", "\x00", "1", "-1", "",
)  # fmt: skip
NUMBERS = (0, 1, 2, -1, 3, 17, 2**31, 2**63, -(2**70), 10**300, 1.5, 0.1, -0.0, 1e300)
KINDS = {
    "valid": 34, "broken": 26, "deep": 8, "odd": 8, "repeated": 8, "reused": 2, "late": 7, "noise": 4, "binary": 1.5,
    "middle": 1.3, "long": 0.2,
}  # fmt: skip


class HostileFrames:
    """``sent_by_station``: ids of its CALLs, for answers that come late."""

    def __init__(self, version: str, seed: str) -> None:
        self.version, self.random = version, random.Random(seed)
        self.sent_by_station: deque[str] = deque(maxlen=80)
        self._newest: deque[str] = deque(maxlen=8)
        """CALLs that were drawn, for repetition."""
        self._count = 0
        folder = SCHEMAS[version] / "schemas"
        self._schemas = {
            path.stem.removesuffix(REQUEST[version]): json.loads(path.read_text("utf-8-sig"))
            for path in sorted(folder.glob("*.json"))
            if not path.stem.endswith("Response")
        }
        self._actions = sorted(set(self._schemas) - STATION_SAYS)
        self._weights = [RARE.get(action, 1.0) for action in self._actions]
        self._longest = [text for _, text in requests(version, "$LONG$")] + [c for _, c in others("$LATE$")]

    def draw(self) -> tuple[str, Content]:
        """Kind and content of the next frame."""
        (kind,) = self.random.choices(list(KINDS), list(KINDS.values()))
        content: Content = getattr(self, f"_{kind}")()
        if isinstance(content, str) and kind != "long":
            self._newest.append(content)
        return kind, content

    def _id(self) -> str:
        self._count += 1
        return f"h{self._count}"

    # --- requests --------------------------------------------------------------------------------------------------

    def _action(self) -> str:
        return self.random.choices(self._actions, self._weights)[0]

    def _valid(self) -> str:
        action = self._action()
        if action in ENDS:
            return self._broken(action)
        return self._call(action, self._made(self._schemas[action], self._schemas[action]))

    def _call(self, action: Any, payload: Any) -> str:
        ascii_only = self.random.random() < 0.7
        try:
            text = json.dumps([2, self._id(), action, payload], ensure_ascii=ascii_only)
            text.encode()
        except UnicodeEncodeError:
            text = json.dumps([2, self._id(), action, payload])
        return text

    def _broken(self, action: str = "") -> str:
        action = action or self._action()
        payload = self._made(self._schemas[action], self._schemas[action])
        for _ in range(self.random.randint(1, 3)):
            self._break(payload)
        return self._call(action, {**payload, "unknown": 1} if action in ENDS else payload)

    def _break(self, value: Any) -> None:
        """Something somewhere is replaced, left out, or too much."""
        if isinstance(value, list) and value and self.random.random() < 0.7:
            self._break(value[0])
        elif isinstance(value, dict):
            key = self.random.choice([*value, self._text()])
            if isinstance(value.get(key), dict | list) and self.random.random() < 0.6:
                self._break(value[key])
            elif self.random.random() < 0.3:
                value.pop(key, None)
            else:
                value[key] = self._junk()

    def _made(self, schema: dict[str, Any], whole: dict[str, Any], depth: int = 0) -> Any:
        if "$ref" in schema:
            return self._made(whole["definitions"][schema["$ref"].rsplit("/", 1)[-1]], whole, depth + 1)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        kind = schema.get("type", "object")
        if kind == "object":
            required, optional = set(schema.get("required", ())), 0.4 if depth < 5 else 0.0
            parts = schema.get("properties", {}).items()
            return {
                n: self._made(s, whole, depth + 1) for n, s in parts if n in required or self.random.random() < optional
            }
        if kind == "array":
            least = schema.get("minItems", 0)
            return [self._made(schema["items"], whole, depth + 1) for _ in range(self.random.randint(least, least + 2))]
        return self._plain(kind, schema)

    def _plain(self, kind: str, schema: dict[str, Any]) -> Any:
        if kind == "string":
            if schema.get("format") == "date-time":
                return self.random.choice(["2026-11-25T10:00:00Z", "2039-11-25T10:00:00+01:00", "1970-01-01T00:00:00Z"])
            return self._text()[: schema.get("maxLength", 100)]
        if kind == "boolean":
            return self.random.random() < 0.5
        number = self.random.choice(NUMBERS)
        return int(number) if kind == "integer" else number

    def _text(self) -> str:
        if self.random.random() < 0.6:
            return self.random.choice(NAMES)
        return "".join(self.random.choices(string.printable + "äß\U0001f50c", k=self.random.randint(0, 12)))

    def _junk(self) -> Any:
        return self.random.choice(
            [None, True, {}, [], [[]], {"x": {}}, self._text(), self.random.choice(NUMBERS), [self._text()] * 3]
        )

    def _deep(self) -> str:
        """Up to 10,000 brackets, anywhere."""
        depth = self.random.choice([3, 31, 40, 971, 989, 1500, 9996, 10_000, self.random.randint(1, 10_000)])
        opened, closed = self.random.choice([("[", "]"), ('{"x":', "}"), ('[{"password":', "}]"), ('["\\ud800",', "]")])
        inner = opened * depth + "1" + closed * self.random.choice([depth, depth, depth, depth - 1])
        action = self._action()
        payload = self._made(self._schemas[action], self._schemas[action])
        keys = [*payload, "password", "value", "customData"]
        payload[self.random.choice(keys)] = "$DEEP$"
        return self._call(action, payload).replace('"$DEEP$"', inner, 1)

    def _odd(self) -> str:
        """What is JSON, and hardly a frame."""
        id_, action = self._id(), self._action()
        return self.random.choice([
            f'[2,"{id_}"]', f'[2,"{id_}","{action}"]', f'[2,"{id_}","{action}",null]', f'[2,"{id_}","{action}",[]]',
            f'[2,"{id_}","{action}",{{}},1]', f'[2,"{id_}",1,{{}}]', f'[2,"{id_}","NoSuch{action}",{{}}]',
            f'[2,"{id_}{"x" * 40}","{action}",{{}}]', f'[2,"{"x" * 300}","{action}",{{}}]', f'[2,7,"{action}",{{}}]',
            f'[2,"","{action}",{{}}]', f'[2,"{id_}","{action}",{{"x":1e999}}]', f'[2,"{id_}","{action}",{{"x":NaN}}]',
            f'[2,"{id_}","{action}",{{"x":{"9" * 5000}}}]', f'[2,"{id_}\\ud800","{action}",{{}}]',
            f'[2,"{id_}","Reset",{{"type":"\\ud800"}}]', f'[5,"{id_}",{{}}]', f'[6,"{id_}","{action}",{{}}]', "[2]",
            "[]", "{}", "null", "2", f' [ 2 , "{id_}" , "{action}" , {{ }} ] ', f'[2.0,"{id_}","{action}",{{}}]',
            f'["2","{id_}","{action}",{{}}]', f'[true,"{id_}","{action}",{{}}]',
        ])  # fmt: skip

    def _repeated(self) -> str:
        return self.random.choice(self._newest) if self._newest else self._valid()

    def _reused(self) -> str:
        """Another request under an id that was there before."""
        text = self._valid()
        if not self._newest:
            return text
        before = str(self.random.randint(max(1, self._count - 20), self._count))
        return text.replace(f'"h{self._count}"', f'"h{before}"', 1)

    # --- what is no request ----------------------------------------------------------------------------------------

    def _late(self) -> str:
        ids = [*self.sent_by_station, "never-sent"]
        id_, kind = json.dumps(self.random.choice(ids)), self.random.choice([3, 3, 4])
        payload = self.random.choice(
            ["{}", "[]", "null", '{"status":"Accepted"}', '{"x":' + "[" * 971 + "]" * 971 + "}"]
        )
        return f"[{kind},{id_},{payload}]" if kind == 3 else f'[4,{id_},"GenericError",{payload},{{}}]'

    def _noise(self) -> str:
        text = self._valid()
        cut = self.random.randint(0, len(text))
        noise = "".join(self.random.choices('[]{},:"\\0123456789abc \ud7ff', k=self.random.randint(0, 30)))
        return self.random.choice([text[:cut], text[:cut] + noise, noise, text + noise])

    def _binary(self) -> bytes:
        return self.random.choice([self._valid().encode("utf-8", "replace"), self.random.randbytes(200), b""])

    def _middle(self) -> str:
        action = self._action()
        payload = self._made(self._schemas[action], self._schemas[action])
        payload[self._text()] = [self._junk()] * self.random.randint(100, 3000)  # below 1 MiB
        return self._call(action, payload)

    def _long(self) -> Content:
        content = self.random.choice(self._longest)
        if isinstance(content, bytes):
            return content
        late = self.random.choice([*self.sent_by_station, "never"])[:6]
        return content.replace("$LONG$", self._id()[:6]).replace("$LATE$", late)
