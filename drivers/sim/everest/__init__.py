"""Far end of EVerest: its public MQTT API for the outlet, the cable and the car of the simulated world."""
