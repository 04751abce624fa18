"""Station-side OCPP agent for public EV charge points."""

__version__ = "0.1.0"
