"""Settings of ``drivers.terminal_payter``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from agent.model.key_rules import Between, DevicePath, HostName, OneLine, OneOf, TcpPort, Text

LINES = ("tcp", "tls", "serial")

ANSWERS = ("either", "result", "none")

BAUDS = (0, 115200, 57600, 38400, 19200, 9600)

Hexadecimal: TypeAlias = Annotated[str, Text(254, form="([0-9A-Fa-f]{2})*", like="bytes in hexadecimal")]

Tags: TypeAlias = Annotated[str, Text(254, form="([0-9A-Fa-f]{2})*", like="tags in hexadecimal")]


@dataclass(frozen=True, slots=True)
class PayterSettings:
    """``line``: ``tcp``, ``tls`` (needs ``ca_file``; ``tls_name``: the name in its certificate, "" = any) or ``serial``
    (``device``; ``baud`` 0 = tried one after the other). ``session_timeout_s``: after so long the terminal voids
    an unsettled session. ``bank_s``: how long to wait for a bank that an earlier process has asked;
    ``raise_s``: for a bank that shall hold more.
    ``badges``: it is a reader of badges too; ``uid_order``, ``uid_case``: as of ``reader_nfc``; ``badge_holdoff_ms``:
    how long a badge that is read again is the same presence.
    ``screen_hold_s``: so long a result is on its screen before it asks for the next card; 0: only where it asks for
    none.
    ``serial``: the number on its back, for one that does not report its own; change it with the terminal.
    ``salt_file``: secret that card marks are made with; without it one is kept in the state directory."""

    host: HostName = ""
    port: TcpPort = 3201
    line: Annotated[str, OneOf(LINES)] = "tcp"
    device: DevicePath = ""
    baud: Annotated[int, OneOf(BAUDS)] = 115200
    ca_file: Path | None = None
    tls_name: HostName = ""
    serial: OneLine = ""
    salt_file: Path | None = None
    session_timeout_s: Annotated[int, Between(3600, 2_592_000, "seconds")] = 259_200
    extended: bool = False
    badges: bool = False
    uid_order: Annotated[str, OneOf(("normal", "reversed"))] = "normal"
    uid_case: Annotated[str, OneOf(("upper", "lower"))] = "upper"
    badge_holdoff_ms: Annotated[int, Between(0, 60_000, "ms")] = 5000
    screen_hold_s: Annotated[float, Between(0, 10, "seconds")] = 0.0
    # patience
    reply_s: Annotated[float, Between(0.1, 60, "seconds")] = 4.0
    settle_s: Annotated[float, Between(0.1, 120, "seconds")] = 15.0
    keep_alive_s: Annotated[float, Between(0.05, 15, "seconds")] = 10.0
    sync_every_s: Annotated[float, Between(0.02, 10, "seconds")] = 0.5
    sync_s: Annotated[float, Between(0.5, 300, "seconds")] = 15.0
    bank_s: Annotated[float, Between(0, 160, "seconds")] = 120.0
    raise_s: Annotated[float, Between(0.5, 600, "seconds")] = 120.0
    gap_ms: Annotated[int, Between(20, 2000, "ms")] = 250
    # open points of the public documents
    auth_payload: Hexadecimal = ""
    commit_extra: Hexadecimal = ""
    orders_answer: Annotated[str, OneOf(ANSWERS)] = "either"
    start_extras: bool = True
    dol_tags: Tags = "DFAA70DFCA0BDFCA0ADFCA03DFCA02DFAA01"
    hash_tag: Tags = "DFAA70"
    approval_hash: bool = True
    payment_methods: Annotated[int, Between(0, 255)] = 0x02
    amount_scale: Annotated[int, Between(1, 1000)] = 1
    select_language: Annotated[int, Between(0, 255)] = 0
    session_ids_unique: bool = True
    ui_request: Annotated[int, Between(0, 255)] = 0x28
    card_message: bool = False
    badge_tags: Tags = "DFF002DFF003"
    read_card: Annotated[int, Between(0, 255)] = 0x41
    connection_info: Annotated[int, Between(0, 255)] = 0
    get_receipt: Annotated[int, Between(0, 255)] = 0
    transaction_record: Annotated[int, Between(0, 255)] = 0
