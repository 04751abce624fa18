"""Monitoring of variables (OCPP 2.x, N02 to N08). It is imported when a backend first asks for it, or when the store
has monitors: a station without them does not load it."""
