"""What the far end of a modem answers however it is: who made it, and which commands it knows."""

from __future__ import annotations

IMEI = "356938035643809"
FIXED_ANSWERS: dict[str, tuple[str, ...]] = {
    "V1": (), "X4": (), "&C1": (), "&D1": (), "Z": (),
    "+CGMI": ("Simulated",), "+CGMM": ("SIM-1",), "+CGMR": ("1.0",), "+CGSN": (IMEI,),
    "+GCAP": ("+GCAP: +CGSM",), "+WS46=?": ("+WS46: (12,22,28,31)",),
    "+CSCS=?": ('+CSCS: ("GSM","IRA","UCS2")',), '+CSCS="UCS2"': (), '+CSCS="GSM"': (), '+CSCS="IRA"': (),
    "+CREG=?": ("+CREG: (0-2)",), "+CGREG=?": ("+CGREG: (0-2)",),
    "+CGDCONT=?": ('+CGDCONT: (1-4),"IP",,,(0),(0)',),
    "+CGACT?": ("+CGACT: 1,0",),
    "+CLCK=?": ('+CLCK: ("SC")',),
}  # fmt: skip
"""By the command: the lines before OK."""
PIN_COUNTER = "0020000100"
"""An APDU that verifies no PIN: the card answers how often it still accepts one (ETSI TS 102 221, 11.1.9)."""
EF_ICCID = 12258
