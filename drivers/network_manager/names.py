"""Names and numbers of the two services on the bus (ModemManager 1.24, NetworkManager 1.52) and their meaning here."""

from __future__ import annotations

from agent.model.bearer import SimState

# --- ModemManager ----------------------------------------------------------------------------------------------------

MM = "org.freedesktop.ModemManager1"
MM_ROOT = "/org/freedesktop/ModemManager1"
MODEM, MODEM_3GPP, SIM, BEARER = f"{MM}.Modem", f"{MM}.Modem.Modem3gpp", f"{MM}.Sim", f"{MM}.Bearer"
WRONG_PIN = f"{MM}.Error.MobileEquipment.IncorrectPassword"
NETWORK_ERRORS = f"{MM}.Error.MobileEquipment."
"""Errors that the modem gives a number for, by their beginning; those of the network among them."""
LOCK_PIN, LOCK_PUK = 2, 4
"""MMModemLock. The second PIN and its PUK (3, 5) are of no use here."""
SIM_LOCKS = {LOCK_PIN: SimState.PIN_REQUIRED, LOCK_PUK: SimState.PUK_REQUIRED}
STATE_FAILED, STATE_LOCKED, STATE_DISABLED, STATE_ENABLED = -1, 2, 3, 6
"""MMModemState. What is above LOCKED can use its SIM."""
FAILED_SIMS = {2: SimState.MISSING, 3: SimState.FAILED}
"""By MMModemStateFailedReason."""
TECHNOLOGIES = {
    1: "GSM", 2: "GSM", 3: "GPRS", 4: "EDGE", 5: "UMTS", 6: "HSDPA", 7: "HSUPA", 8: "HSPA", 9: "HSPA+",
    14: "LTE", 15: "NR", 16: "LTE-M", 17: "NB-IoT",
}  # fmt: skip
"""By the bit of MMModemAccessTechnology."""
POWER_LOW, POWER_ON = 2, 3
DETACHED, ATTACHED = 2, 1
"""MMModem3gppPacketServiceState."""
WEAKEST_DBM, STRONGEST_DBM = -113, -51
"""What ModemManager reports as 0 and 100 per cent."""

# --- NetworkManager --------------------------------------------------------------------------------------------------

NM = "org.freedesktop.NetworkManager"
NM_ROOT = "/org/freedesktop/NetworkManager"
NM_SETTINGS_PATH = f"{NM_ROOT}/Settings"
DEVICE, ACTIVE, SETTINGS = f"{NM}.Device", f"{NM}.Connection.Active", f"{NM}.Settings"
PROFILE = f"{SETTINGS}.Connection"
UNKNOWN_DEVICE = f"{NM}.UnknownDevice"
NOTHING = "/"
"""The path of no object."""
IN_MEMORY = 2
"""NMSettingsAddConnection2Flags, and Update2: nothing is written to disk."""
DEVICE_UNMANAGED, DEVICE_UNAVAILABLE, DEVICE_FAILED = 10, 20, 120
ACTIVATED = 2
"""NMActiveConnectionState."""
REASON_WORDS = {
    4: "its configuration failed", 5: "it got no address", 6: "its lease has ended", 7: "a password is missing",
    8: "the Wi-Fi network has ended the connection", 9: "the Wi-Fi network refuses the settings",
    10: "the Wi-Fi network refuses the passphrase: check psk_file", 11: "the Wi-Fi network does not answer",
    12: "PPP cannot be started", 13: "PPP has ended", 14: "PPP failed: check user and password of the APN",
    15: "no DHCP client can be started", 16: "DHCP failed", 17: "no DHCP server answers",
    23: "the modem is busy", 24: "the modem finds no network", 25: "the network has ended the call",
    26: "the call was not answered in time", 27: "the call failed: check apn, user and password",
    28: "the modem cannot be set up", 29: "the network refuses the APN: check apn", 30: "the modem is not searching",
    31: "the network refuses the SIM: ask the network operator", 32: "the modem did not register in time",
    33: "the modem cannot register", 34: "the SIM needs its PIN", 40: "no carrier: check the cable or the radio",
    42: "it was disconnected by order", 43: "the modem is away", 45: "there is no SIM", 46: "the SIM needs its PIN",
    47: "the SIM is locked: a person has to enter the PUK", 48: "the SIM does not work",
    52: "ModemManager is not running", 53: "the Wi-Fi network is not in reach: check ssid",
    57: "the modem has failed", 59: "the SIM does not accept the PIN", 60: "another connection took its place",
}  # fmt: skip
"""By NMDeviceStateReason, for a technician."""
