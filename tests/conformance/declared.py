"""What the station declares towards certification, in the codes of the certification profiles of OCPP 2.0.1 (Part 5).

A code is either here (offered) or there (not offered, and why); which cases concern the station follows from that.
Where a variable of the device model says the same, it stands beside it, and a test holds the two together: who offers
``AuthCacheCtrlr.LifeTime`` declares C-53, and thereby owes its cases.
"""

from __future__ import annotations

OFFERED: dict[str, tuple[str, str]] = {
    "AS": ("Advanced Security", ""),
    "SC": ("Smart Charging", "SmartChargingCtrlr.Enabled"),
    "SC-10": ("an energy manager limits the station", "SmartChargingCtrlr.ExternalControlSignalsEnabled"),
    "LA-0": ("local authorization list", "LocalAuthListCtrlr.Enabled"),
    "LA-3": ("DisablePostAuthorize of the list", "LocalAuthListCtrlr.DisablePostAuthorize"),
    "R-0": ("reservation", "ReservationCtrlr.Available"),
    "R-1": ("reservation of a connector type", "ReservationCtrlr.Available"),
    "R-2": ("reservation of no particular EVSE", "ReservationCtrlr.NonEvseSpecific"),
    "R-3": ("reservation can be switched off", "ReservationCtrlr.Enabled"),
    "AS-2": ("new roots are signed by the old ones", "SecurityCtrlr.AdditionalRootCertificateCheck"),
    "AS-3": ("a request to sign is repeated when no certificate comes", "SecurityCtrlr.CertSigningWaitMinimum"),
    "C-01": ("authorization off line", "AuthCtrlr.LocalAuthorizeOffline"),
    "C-02": ("off line for unknown cards", "AuthCtrlr.OfflineTxForUnknownIdEnabled"),
    "C-03": ("so much energy for an invalid card", "TxCtrlr.MaxEnergyOnInvalidId"),
    "C-06.1": ("authorization is kept when the cable is pulled at the car", "TxCtrlr.StopTxOnEVSideDisconnect"),
    "C-06.2": ("authorization is lost when the cable is pulled at the car", "TxCtrlr.StopTxOnEVSideDisconnect"),
    "C-07": ("a master pass with a choice, where a screen and buttons are", "AuthCtrlr.MasterPassGroupId"),
    "C-08": ("master pass without a user interface", "AuthCtrlr.MasterPassGroupId"),
    "C-09.1": ("TxStartPoint EVConnected", "TxCtrlr.TxStartPoint"),
    "C-09.2": ("TxStartPoint Authorized", "TxCtrlr.TxStartPoint"),
    "C-09.3": ("TxStartPoint DataSigned", "TxCtrlr.TxStartPoint"),
    "C-09.4": ("TxStartPoint PowerPathClosed", "TxCtrlr.TxStartPoint"),
    "C-09.5": ("TxStartPoint EnergyTransfer", "TxCtrlr.TxStartPoint"),
    "C-09.6": ("TxStartPoint ParkingBayOccupancy", "TxCtrlr.TxStartPoint"),
    "C-10.1": ("TxStopPoint EVConnected", "TxCtrlr.TxStopPoint"),
    "C-10.2": ("TxStopPoint Authorized", "TxCtrlr.TxStopPoint"),
    "C-10.3": ("TxStopPoint PowerPathClosed", "TxCtrlr.TxStopPoint"),
    "C-10.4": ("TxStopPoint EnergyTransfer", "TxCtrlr.TxStopPoint"),
    "C-10.5": ("TxStopPoint ParkingBayOccupancy", "TxCtrlr.TxStopPoint"),
    "C-12.1": ("the socket unlocks when the car has left", "OCPPCommCtrlr.UnlockOnEVSideDisconnect"),
    "C-12.2": ("the socket stays locked when the car has left", "OCPPCommCtrlr.UnlockOnEVSideDisconnect"),
    "C-13": ("reset of one EVSE", "EVSE.AllowReset"),
    "C-14": ("customers by customerIdentifier", "CustomerInformation"),
    "C-20": ("sessions may begin while new firmware waits", "ChargingStation.AllowNewSessionsPendingFirmwareUpdate"),
    "C-28": ("clock-aligned values only while there is no transaction", "AlignedDataCtrlr.SendDuringIdle"),
    "C-29.1": ("trigger MeterValues", ""),
    "C-29.2": ("trigger TransactionEvent", ""),
    "C-29.3": ("trigger LogStatusNotification", ""),
    "C-29.4": ("trigger FirmwareStatusNotification", ""),
    "C-29.5": ("trigger StatusNotification", ""),
    "C-29.6": ("trigger BootNotification", ""),
    "C-47": ("falls back when a network profile fails", "OCPPCommCtrlr.NetworkProfileConnectionAttempts"),
    "C-48.1": ("remote starts are authorized", "AuthCtrlr.AuthorizeRemoteStart"),
    "C-48.2": ("remote starts are not authorized", "AuthCtrlr.AuthorizeRemoteStart"),
    "C-49": ("authorization cache", "AuthCacheCtrlr.Enabled"),
    "C-53": ("life time of cached tokens", "AuthCacheCtrlr.LifeTime"),
    "C-56": ("SummaryInventory", ""),
    "C-57": ("a log upload can be cancelled", ""),
    "C-58": ("no backend is asked about cards", "AuthCtrlr.DisableRemoteAuthorization"),
    "C-59": ("DisablePostAuthorize of the cache", "AuthCacheCtrlr.DisablePostAuthorize"),
    "C-60": ("a firmware update can be cancelled", ""),
    "C-61": ("security profile 1", "SecurityCtrlr.BasicAuthPassword"),
    "AQ-1": ("at security profile 1 the last root can be removed", ""),
    "AQ-3": ("at security profiles 1 and 2 no certificate of the station is needed", ""),
    "AQ-7": ("downloads firmware during a transaction", ""),
    "AQ-9": ("IEC 61851-1 charging", ""),
    "AQ-18": ("motor lock", ""),
    "DC": ("direct current", ""),
    "one-unit": ("one rate unit, where the station file says so", "SmartChargingCtrlr.RateUnit"),
    "C-42": ("values are signed", "SampledDataCtrlr.SignReadings"),
    "DM-0": ("monitoring of variables", "MonitoringCtrlr.Available"),
    "DM-3": ("events wait for a backend that is away", "MonitoringCtrlr.OfflineQueuingSeverity"),
    "AQ-5": ("hard-wired monitors", ""),
    "AQ-10": ("a monitor on a write-only variable", "SecurityCtrlr.BasicAuthPassword"),
    "card": ("start and stop by card (ISO 14443)", ""),
    "cost": ("running and final cost is shown", "TariffCostCtrlr.Currency"),
    "customer": ("what is known of a customer is reported and cleared", "CustomerInformation"),
    "UI-0": ("messages of the backend are shown", "DisplayMessageCtrlr.Available"),
    "UI-1.1": ("messages that are always in front", "DisplayMessageCtrlr.SupportedPriorities"),
    "UI-1.2": ("messages in front take turns", "DisplayMessageCtrlr.SupportedPriorities"),
    "fewer-formats": ("messages are plain text, not HTML or URI", "DisplayMessageCtrlr.SupportedFormats"),
    "reports": ("custom reports (GetReport)", ""),
    "several": ("more than one EVSE", ""),
    "socket": ("detachable cable", ""),
    "tethered": ("fixed cable", ""),
}
"""Code -> what it is, and the variable that shows it."""

OPTIONAL = ("SC", "R-2", "C-09.5")
"""Offered, and left out where a station file (``features_off``) or a setting says so: cases of both are claimed."""

ABSENT: dict[str, tuple[str, str]] = {
    "ISO": ("nothing of ISO 15118 is carried between vehicle and backend: a later part", "ISO15118Ctrlr.Enabled"),
    "ISO-1.1": ("ISO 15118-2 is not offered", "ISO15118Ctrlr.Enabled"),
    "ISO-4": ("no certificates of customers", "ISO15118Ctrlr.Enabled"),
    "ISO-5": ("no contract certificates", "ISO15118Ctrlr.CentralContractValidationAllowed"),
    "AQ-2": ("no board of a station file has a shutter", ""),
    "AQ-8": ("the driver need not choose the outlet first", ""),
    "AQ-11": ("no combined certificate", ""),
    "C-43": ("an update waits for the sessions", ""),
    "fewer-priorities": ("messages of every priority are shown", ""),
    "fewer-states": ("messages for every state are shown", ""),
}
"""Code -> why it is not offered, and the variable (or action) that would show that it is."""


def lacking(needs: str) -> str:
    """Why a case with these needs does not concern the station; "" if it does. ``a|b``: one of; ``!a``: not that."""
    for term in needs.split():
        if term.startswith("!"):
            if term[1:] in OFFERED and term[1:] not in OPTIONAL:
                return f"for stations without this: {OFFERED[term[1:]][0]}"
        elif not any(code in OFFERED for code in term.split("|")):
            return ABSENT[term.split("|")[0]][0]
    return ""
